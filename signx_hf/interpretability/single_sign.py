"""Look into a model of isolated signs: what its answer to a clip depends on, as numbers and as figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.messages import readable
from ..plots.candidates import plot_candidates
from ..plots.contact_sheet import plot_contact_sheet
from ..plots.importance import plot_importance
from ..plots.importance_over_time import plot_importance_over_time
from .drawing import draw_keypoints, frames_of_video
from .explanation import watched_inputs

if TYPE_CHECKING:
    from ..processing.base_pipeline_signx import SignXPipeline
    from ..processing.isolated_pipeline_signx import IsolatedSignRecognitionPipeline
    from ..processing.pose_files_signx import PoseClip


@dataclass(frozen=True)
class SignExplanation:
    """Everything that the figures of a clip of one sign show.

    Attributes:
        result: of the pipeline, with `details`.
        importance: `[T, D]`, |gradient x input| of the log-probability of the best candidate within the vocabulary,
            with respect to poses by track, or to the latents of a video.
        tracks: name -> columns of `importance`.
        vectors: `[1, C]`, the input of the classifier.
        window: start and end, in seconds, of the frames of `importance`.
    """

    result: dict[str, Any]
    importance: np.ndarray
    tracks: dict[str, slice]
    vectors: np.ndarray
    window: tuple[float, float]

    @property
    def duration(self) -> float:
        """Seconds of the clip."""
        return self.result["duration"]

    @property
    def glosses(self) -> list[str]:
        """The best candidate, with a question mark if the model is not sure of it."""
        return [self.result["candidates"][0]["label"] + ("?" if self.result["sure"] is False else "")]


def explain_sign(
    recognizer: "IsolatedSignRecognitionPipeline", clip: object, source_fps: float | None = None, **options: Any
) -> SignExplanation:
    """Recognize one clip and look into the model while it does.

    Args:
        recognizer: an `isolated-sign-recognition` pipeline.
        clip: one clip, as the pipeline takes it.
        source_fps: frame rate of the clip, if it has none of its own.
        options: of the call of the pipeline.

    Raises:
        SignXError: If the clip cannot be read.
    """
    given = options if source_fps is None else {**options, "source_fps": source_fps}
    result = recognizer(clip, **{**given, "details": True})
    read, forward, _ = recognizer._sanitize_parameters(**given)
    read = {**recognizer._preprocess_params, **read}
    if read.get("hand") == "detect":  # as detected a moment ago
        read["hand"] = "left" if result["signer"]["mirrored"] else "right"
    prepared = recognizer.preprocess(clip, **read)
    inputs, metadata = recognizer._split(recognizer._ensure_tensor_on_device(prepared, device=recognizer.device))
    ids = {**recognizer._forward_params, **forward}.get("ids")
    labels = {name: index for index, name in recognizer.model.config.id2label.items()}
    best = labels[result["candidates"][0]["label"]]
    importance, vectors, tracks = _importance(recognizer, inputs, best, ids)
    reads_stretch = "pose_values" in inputs and recognizer.feature_extractor.hand_steps is not None
    whole = (metadata[0].get("start", 0.0), result["duration"])
    window = (result["start"], result["end"]) if reads_stretch else whole
    return SignExplanation(result, importance, tracks, vectors, window)


def _importance(
    recognizer: "IsolatedSignRecognitionPipeline", inputs: Mapping[str, Any], best: int, ids: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray, dict[str, slice]]:
    """Return |gradient x input| `[T, D]`, the vector of the clip `[1, C]`, and the tracks."""
    import torch

    model = recognizer.model
    watched, given, tracks = watched_inputs(model, recognizer, inputs)
    vectors: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda _, args: vectors.append(args[0].detach()))
    try:
        with torch.enable_grad():
            logits = model(**given).logits[0].float() / model.config.confidence_temperature
            chosen = logits if ids is None else logits[list(ids)]
            (gradient,) = torch.autograd.grad(logits[best] - chosen.logsumexp(-1), watched)
    finally:
        hook.remove()
    return (gradient * watched.detach()).abs()[0].float().cpu().numpy(), vectors[0].float().cpu().numpy(), tracks


def draw_sign(
    explanation: SignExplanation,
    video: str | Path | None,
    poses: "str | Path | PoseClip | None",
    recognizer: "SignXPipeline",
    stem: Path,
    suffixes: Sequence[str],
) -> list[Path]:
    """Draw the figures of a clip, `STEM-NAME.png` and so on; arguments as for `drawing.draw`."""
    result, written = explanation.result, []
    title = f"{readable(stem.name)}: {explanation.glosses[0]}"
    title += ", mirrored: left-handed" if (result["signer"] or {}).get("mirrored") else ""
    decoded = None if video is None else frames_of_video(recognizer, video)

    def add(name: str, plot: Callable[..., Path], *arguments: object) -> None:
        for suffix in suffixes:
            path = stem.with_name(f"{stem.name}-{name}.{suffix}")
            written.append(plot(*arguments, path, title))

    span = (result["start"], result["end"])
    add("candidates", plot_candidates, result["candidates"], result["sure"], result["rejection"])
    add("importance", plot_importance, explanation.importance, explanation.tracks, explanation.window)
    add(
        "when",
        plot_importance_over_time,
        explanation.importance,
        explanation.tracks,
        explanation.window,
        explanation.duration,
        span,
    )
    if decoded is not None:
        sign = {"gloss": explanation.glosses[0], "start": span[0], "end": span[1]}
        sign["confidence"] = result["candidates"][0]["score"]
        add("contact_sheet", plot_contact_sheet, decoded.frames, decoded.timestamps, [sign])
    if poses is not None:
        draw_keypoints(add, poses, decoded, recognizer, explanation.duration)
    return written
