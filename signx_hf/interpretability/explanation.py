"""Looks into a model while it recognises a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.pipeline_signx import timed_logits


@dataclass(frozen=True)
class Explanation:
    """Everything that the figures of a clip show.

    result: of the pipeline. probabilities: `[T', V]` of the CTC that times come from, column 0 the blank. duration: seconds.
    lines: name of a time line -> its places. pieces, attention: of the decoder, `[L, T']`, mean over layers' heads of the last
    layer; None where the model has no decoder or found nothing. importance: `[T, D]`, |gradient x input| of the log-probability of
    the glosses, None where nothing was found. tracks: name -> columns of importance. vectors: `[N, C]`, mean feature of each
    segment.
    """

    result: dict[str, Any]
    probabilities: np.ndarray
    duration: float
    lines: dict[str, int]
    tracks: dict[str, slice]
    importance: np.ndarray | None = None
    pieces: list[str] = field(default_factory=list)
    attention: np.ndarray | None = None
    vectors: np.ndarray | None = None


def explain(recognizer: Any, clip: Any, source_fps: float | None = None, **options: Any) -> Explanation:
    """Recognises one clip and looks into the model while it does.

    Args:
        recognizer: a `sign-recognition` pipeline. clip: one clip as it takes them. options: of its call.

    Raises:
        SignXError: a clip that cannot be read.
    """
    import torch

    model = recognizer.model
    if options.get("chunk_length_s") is not None or recognizer._chunk.get("chunk_length_s") is not None:
        raise SignXError(
            "chunk_length_s: wanted a clip that the model sees at once, as the figures show one pass; cut the recording"
        )
    result = recognizer(clip, **options) if source_fps is None else recognizer(clip, source_fps=source_fps, **options)
    read = {
        **recognizer._preprocess_params,
        **recognizer._sanitize_parameters(**options)[0],
    }  # hand and person, if given
    if read.get("hand") == "detect":  # what was found out a moment ago
        read["hand"] = "left" if result["signer"]["mirrored"] else "right"
    prepared = recognizer.preprocess(clip, **{**read, "source_fps": source_fps})
    inputs, metadata = recognizer._split(recognizer._ensure_tensor_on_device(prepared, device=recognizer.device))
    with torch.inference_mode():
        encoded = model.encode(**inputs)
    steps = int(encoded.feature_mask[0].sum())
    timed = timed_logits(encoded)[0, :steps].float().cpu()
    frames = metadata[0]["frames"]
    lines = {"frames": frames}
    if encoded.latents is not None:
        lines["latents"] = int(encoded.latents.shape[1])
    lines["feature steps"] = steps
    found = {}
    if result["glosses"]:
        found["importance"], found["tracks"] = _importance(model, recognizer, inputs, result["glosses"])
        found["vectors"] = _vectors(encoded.features[0, :steps].float().cpu().numpy(), result)
        if recognizer._resolve("auto") == "attention":  # a stage-3 checkpoint has no trained decoder
            found["pieces"], found["attention"] = _attention(model, recognizer.tokenizer, encoded, result["glosses"])
    return Explanation(
        result=result,
        probabilities=(timed / model.config.confidence_temperature).softmax(-1).numpy(),
        duration=result["duration"],
        lines=lines,
        **({"tracks": {}} | found),
    )


def watched_inputs(
    model: Any, recognizer: Any, inputs: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], dict[str, slice]]:
    """Make what a model reads of one clip into something that gradients can be taken of.

    Returns:
        The tensor `[1, T, D]`: poses, or of video the latents; the arguments of a call of the model that reads it; name -> columns.
    """
    import torch

    if "pose_values" in inputs:
        watched = inputs["pose_values"].clone().requires_grad_()
        given = {"pose_values": watched, "pose_mask": inputs["pose_mask"], "frame_mask": inputs.get("frame_mask")}
        tracks = recognizer.feature_extractor.track_slices()
    else:
        with torch.no_grad():
            output = model.model(**{name: inputs.get(name) for name in ("pixel_values_videos", "frame_mask")})
        watched = output.last_hidden_state.clone().requires_grad_()
        given = {"latents": watched, "frame_mask": output.frame_mask}
        tracks = {"latents": slice(0, watched.shape[-1])}
    return watched, given, tracks


def _importance(
    model: Any, recognizer: Any, inputs: Mapping[str, Any], glosses: Sequence[str]
) -> tuple[np.ndarray | None, dict[str, slice]]:
    """|gradient x input| `[T, D]` of the log-probability that the CTC gives the glosses; of poses by track, of video in the
    latents. None where CTC has no path for them."""
    import torch

    known = set(recognizer.tokenizer.ctc_glosses)
    ids = recognizer.tokenizer.encode_ctc([gloss for gloss in glosses if gloss in known])
    watched, given, tracks = watched_inputs(model, recognizer, inputs)
    # cuDNN cannot go back through an LSTM that is not in training
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        output = model.get_features(**{name: value for name, value in given.items() if value is not None})
        logits = output.logits if output.aux_logits is None else output.aux_logits
        steps = int(output.feature_mask[0].sum())
        loss = torch.nn.functional.ctc_loss(
            logits[0, :steps].float().log_softmax(-1)[:, None], torch.tensor([ids]), [steps], [len(ids)],
            blank=model.config.ctc_blank_id, reduction="sum",
        )  # fmt: skip
        if not ids or not torch.isfinite(loss):
            return None, tracks
        (gradient,) = torch.autograd.grad(loss, watched)
    return (gradient * watched.detach()).abs()[0].float().cpu().numpy(), tracks


def _vectors(features: np.ndarray, result: Mapping[str, Any]) -> np.ndarray:
    """`[N, C]`: mean feature over the steps of each segment, of the nearest step where it is shorter than one."""
    step = result["duration"] / len(features)
    rows = []
    for part in result["segments"]:
        first = min(int(part["start"] / step), len(features) - 1)
        rows.append(features[first : max(first + 1, round(part["end"] / step))].mean(axis=0))
    return np.stack(rows)


def _attention(model: Any, tokenizer: Any, encoded: Any, glosses: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Cross-attention of the last layer, mean over heads, while the decoder is fed what was recognised."""
    import torch

    ids = tokenizer.build_targets(list(glosses))
    labels = torch.tensor([ids], device=model.device)
    kernel = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the other kernels return no weights
    try:
        with torch.inference_mode():
            output = model(encoder_outputs=encoded, labels=labels, output_attentions=True)
    finally:
        model.set_attn_implementation(kernel)
    weights = output.cross_attentions[-1][0].float().mean(dim=0)
    steps = int(encoded.feature_mask[0].sum())
    # row l predicts piece l: row 0 writes the task prompt, which says nothing
    return tokenizer.display_pieces(ids)[1:], weights[1:, :steps].cpu().numpy()
