"""Look into a model while it recognizes a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..processing.checks_signx import check_ctc
from ..processing.errors_signx import SignXError
from ..processing.pipeline_signx import timed_logits

if TYPE_CHECKING:
    import torch

    from ..modeling.encoders_signx import SignXPreTrainedModel
    from ..modeling.modeling_signx import SignXForGlossRecognition, SignXRecognitionModel
    from ..modeling.outputs_signx import SignXEncoderOutput
    from ..processing.base_pipeline_signx import SignXPipeline
    from ..processing.pipeline_signx import SignRecognitionPipeline
    from ..processing.tokenization_signx import SignXTokenizer


@dataclass(frozen=True)
class Explanation:
    """Everything that the figures of a clip show.

    Args:
        result: of the pipeline.
        probabilities: `[T', V]` of the CTC that times come from; column 0 is the blank.
        duration: seconds at which the clip ends.
        lines: name of a timeline -> number of its steps.
        tracks: name -> columns of `importance`.
        importance: `[T, D]`, |gradient x input| of the log-probability of the glosses; None if nothing was recognized.
        pieces: of the decoder, L of them.
        attention: `[L, T']`, cross-attention of the last layer, averaged over its heads; None if the model has no
            decoder or nothing was recognized.
        vectors: `[N, C]`, mean feature of each segment.
        start: seconds at which its first frame begins.
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
    start: float = 0.0


def explain(
    recognizer: "SignRecognitionPipeline", clip: object, source_fps: float | None = None, **options: Any
) -> Explanation:
    """Recognize one clip and look into the model while it does.

    Args:
        recognizer: a `sign-recognition` pipeline.
        clip: one clip, as the pipeline takes it.
        source_fps: frame rate of the clip, if it has none of its own.
        options: of the call of the pipeline.

    Raises:
        SignXError: If the clip cannot be read, the options read it in chunks, or the model has no CTC.
    """
    import torch

    model = recognizer.model
    check_ctc(model, "explain")
    if options.get("chunk_length_s") is not None or recognizer._chunk.get("chunk_length_s") is not None:
        raise SignXError(
            "`chunk_length_s` must not be set, because the figures show one pass over the clip. Cut the recording "
            "instead."
        )
    result = recognizer(clip, **options) if source_fps is None else recognizer(clip, source_fps=source_fps, **options)
    read = {
        **recognizer._preprocess_params,
        **recognizer._sanitize_parameters(**options)[0],
    }  # hand and person, if given
    if read.get("hand") == "detect":  # as detected a moment ago
        read["hand"] = "left" if result["signer"]["mirrored"] else "right"
    prepared = recognizer.preprocess(clip, **{**read, "source_fps": source_fps})
    inputs, metadata = recognizer._split(recognizer._ensure_tensor_on_device(prepared, device=recognizer.device))
    with torch.inference_mode():
        encoded = model.encode(**inputs)
    steps = int(encoded.feature_mask[0].sum())
    timed = timed_logits(encoded)[0, :steps].float().cpu()
    frames, start = metadata[0]["frames"], metadata[0].get("start", 0.0)
    lines = {"frames": frames}
    if encoded.latents is not None:
        lines["latents"] = int(encoded.latents.shape[1])
    lines["feature steps"] = steps
    details = {}
    if result["glosses"]:
        details["importance"], details["tracks"] = _importance(model, recognizer, inputs, result["glosses"])
        details["vectors"] = _vectors(encoded.features[0, :steps].float().cpu().numpy(), result, start)
        if recognizer._resolve("auto") == "attention":  # a stage-3 checkpoint has no trained decoder
            details["pieces"], details["attention"] = _attention(
                model, recognizer.tokenizer, encoded, result["glosses"]
            )
    return Explanation(
        result=result,
        probabilities=(timed / model.config.confidence_temperature).softmax(-1).numpy(),
        duration=result["duration"],
        lines=lines,
        start=start,
        **({"tracks": {}} | details),
    )


def watched_inputs(
    model: "SignXPreTrainedModel", recognizer: "SignXPipeline", inputs: Mapping[str, Any]
) -> "tuple[torch.Tensor, dict[str, Any], dict[str, slice]]":
    """Prepare the input of one clip for gradients.

    Returns:
        The tensor `[1, T, D]`: poses, or the latents of a video; the arguments of a call of the model that reads it;
        and name -> columns.
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
    model: "SignXRecognitionModel",
    recognizer: "SignRecognitionPipeline",
    inputs: Mapping[str, Any],
    glosses: Sequence[str],
) -> tuple[np.ndarray | None, dict[str, slice]]:
    """Return |gradient x input| `[T, D]` of the log-probability that CTC gives the glosses, and the tracks.

    It is taken with respect to poses by track, or to the latents of a video; None if CTC has no path for the glosses.
    """
    import torch

    known = set(recognizer.tokenizer.ctc_glosses)
    ids = recognizer.tokenizer.encode_ctc([gloss for gloss in glosses if gloss in known])
    watched, given, tracks = watched_inputs(model, recognizer, inputs)
    # cuDNN has no backward pass for an LSTM in evaluation mode
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


def _vectors(features: np.ndarray, result: Mapping[str, Any], start: float) -> np.ndarray:
    """Return the mean feature `[N, C]` over the steps of each segment, or the nearest step of a shorter one."""
    step = (result["duration"] - start) / len(features)
    rows = []
    for part in result["segments"]:
        first = min(int((part["start"] - start) / step), len(features) - 1)
        rows.append(features[first : max(first + 1, round((part["end"] - start) / step))].mean(axis=0))
    return np.stack(rows)


def _attention(
    model: "SignXForGlossRecognition",
    tokenizer: "SignXTokenizer",
    encoded: "SignXEncoderOutput",
    glosses: Sequence[str],
) -> tuple[list[str], np.ndarray]:
    """Return the pieces and the cross-attention of the last layer, averaged over heads, for the recognized glosses."""
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
