"""Streaming recognition of isolated signs: frames or poses in, one answer per stretch of signing between two rests.

A sign ends when the hands have rested for `rest_s`: they are down, or out of the picture. Its frames go through the
pipeline as a clip of their own, so the answer is that of `recognize` for that clip.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from ..processing.activity_signx import PictureActivity
from ..processing.errors_signx import SignXError, SignXPoseError
from ..processing.sampling_signx import FrameSampler
from ..processing.trained_signx import takes_landmarks
from ..processing.windowing_signx import BLOCK_FRAMES, PoseRows, check_seconds
from .streaming import SignXStreamer, StreamGloss, StreamUpdate
from .tasks import SIGNS, SPOTTING, TRANSLATION

if TYPE_CHECKING:
    from ..processing.base_pipeline_signx import SignXPipeline

LONGEST_SENTENCE_S = 20.0  # longest signing without a rest that is searched for signs at once


@dataclass(frozen=True)
class StreamSign:
    """A sign that was recognized.

    Attributes:
        gloss: the answer; None if the model is not sure.
        start, end: seconds between which the hands signed, on the clock of the pushed timestamps.
        confidence: score of the best candidate.
        candidates: `label` and `score`, best first.
        sure: as in a result.
    """

    gloss: str | None
    start: float
    end: float
    confidence: float
    candidates: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)
    sure: bool | None = None


@dataclass(frozen=True)
class SignStreamOptions:
    """When a sign begins and ends; all in seconds.

    Attributes:
        rest_s: rest of the hands that ends a sign, and the delay of its answer; at least 1.5 for pose tracks without
            keypoints.
        shortest_s: shorter signing is ignored as a twitch.
        longest_s: longer signing is cut, so that memory stays bounded: it is more than one sign.
        margin_s: rest that the model sees before and after a sign.
    """

    rest_s: float = 0.4
    shortest_s: float = 0.2
    longest_s: float = 8.0
    margin_s: float = 0.4

    def __post_init__(self):
        for name in ("rest_s", "shortest_s", "longest_s"):
            check_seconds(name, getattr(self, name))
        if self.margin_s != 0:
            check_seconds("margin_s", self.margin_s)
        if self.longest_s <= self.shortest_s:
            raise SignXError(f"`longest_s` must be above `shortest_s` ({self.shortest_s:g}), got {self.longest_s:g}.")


class _Rows(PoseRows):
    """A buffer of pose rows that the pipeline answers for."""

    def __init__(self, recognizer: "SignXPipeline", fps: float):
        super().__init__(fps)
        self._recognizer = recognizer

    def answer(self, start: int, stop: int, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result of buffered rows; None if nobody was observed in them."""
        rows = [self._rows[index] for index in range(start, stop)]
        clip: dict[str, Any] = {name: np.stack([row[name] for row, _ in rows]) for name in rows[0][0]}
        clip["masks"] = {name: np.array([mask[name] for _, mask in rows], bool) for name in rows[0][1]}
        clip["fps"], clip["notes"] = self._fps, dict(self.notes)
        try:
            return self._recognizer(clip, **options)
        except SignXPoseError:  # no body, or no shoulders to scale it by: nobody signs here
            return None


class _Pictures:
    """A buffer of encoded pictures; the pictures themselves are not kept."""

    def __init__(self, recognizer: "SignXPipeline", fps: float):
        self._recognizer, self._fps = recognizer, fps
        self._model, self._processor = recognizer.model, recognizer.processor.video_processor
        self._encoded: deque[torch.Tensor] = deque()
        self.activity = PictureActivity(fps)

    def append(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        stacked = np.stack(frames)
        pixels = np.empty((len(frames), 3, *stacked.shape[1:3]), np.float32)
        self._processor.normalize_frames(stacked, out=pixels)
        with torch.inference_mode():
            features = self._model.encode_frames(torch.from_numpy(pixels)[None].to(self._model.device))[0]
        self._encoded.extend(row.clone() for row in features)  # copies: a view would hold the whole block
        return self.activity.push(stacked)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._encoded.popleft()

    def answer(self, start: int, stop: int, options: Mapping[str, Any]) -> dict[str, Any]:
        features = torch.stack([self._encoded[index] for index in range(start, stop)])[None]
        with torch.inference_mode():
            latents = self._model.get_latents_of_frames(features)
        metadata = {"frames": stop - start, "fps": self._fps, "source": "stream", "signer": None}
        inputs = {"latents": latents, "metadata": metadata}
        return self._recognizer.answer(inputs, **options)


class SignXSignStreamer(SignXStreamer):
    """Recognize isolated signs in a recording while it goes on; `push` and `flush` work as in `SignXStreamer`.

        streamer = SignXSignStreamer(recognizer, source="video")
        for frame, seconds in camera:
            for sign in streamer.push(frame, seconds).final:
                print(sign.gloss or "?", sign.candidates)
        update = streamer.flush()

    Memory does not grow with the length of the recording.

    Args:
        recognizer: an `isolated-sign-recognition` pipeline, with its options (`vocabulary`, `threshold`, `top_k`).
        source: `"video"` (frames) or `"poses"` (rows of the tracks that the model knows).
        fps: frame rate of what is pushed without timestamps; None: that of the processor.
        options: `SignStreamOptions`.
        call_options: of the pipeline, as for a call.

    Raises:
        SignXError: If the pipeline is of another task, an option is out of its domain, or the model was not trained on
            that source.
    """

    task: ClassVar[str] = SIGNS
    details: ClassVar[Mapping[str, Any]] = {"details": True}  # options that a result needs for an update
    default_options: ClassVar[SignStreamOptions] = SignStreamOptions()

    def __init__(
        self,
        recognizer: "SignXPipeline",
        source: str = "video",
        fps: float | None = None,
        options: SignStreamOptions | None = None,
        **call_options: Any,
    ):
        task = getattr(recognizer, "task", type(recognizer).__name__)
        if task != self.task:
            raise SignXError(
                f"`recognizer` must be a pipeline of {self.task}, got {task}. For sentences use SignXStreamer."
            )
        if options is not None and not isinstance(options, SignStreamOptions):
            raise SignXError(f"`options` must be SignStreamOptions, got {type(options).__name__}.")
        recognizer.check_options(**call_options)
        is_picture = source == "video" and not takes_landmarks(recognizer.model.config)
        if is_picture and call_options.get("hand") not in (None, "as_trained", "right"):
            raise SignXError(
                f"`hand` must be 'as_trained' or 'right' for a video stream, got {call_options['hand']!r}. Mirror "
                "the frames before you push them."
            )
        self.recognizer, self.options = recognizer, self.default_options if options is None else options
        self._call_options = {**self.details, **call_options}
        self._open(recognizer.model, recognizer.processor, source, fps)
        self._store = (_Pictures if self.reads == "video" else _Rows)(recognizer, self.fps)
        self._frames_in = 0  # since the start of the stream
        self._first = 0  # number of the first buffered frame
        self._begin()
        self._restart(0.0)

    @property
    def latency_s(self) -> float:
        """Seconds from the rest of the hands to the answer, without the time that the model takes."""
        return max(self.options.rest_s, self._store.activity.shortest_rest)

    def _begin(self, free: int = 0) -> None:
        """Wait for the next sign, which begins at the frame `free` at the earliest."""
        self._free = free
        self._active: int | None = None  # first frame of the current signing
        self._last_active = free
        self._active_count = 0

    @property
    def frames_encoded(self) -> int:
        """Number of frames that went through the frame encoder."""
        return self._frames_in if self.reads == "video" else 0

    def _restart(self, origin: float) -> None:
        """Begin another recording, whose first frame is at `origin` seconds."""
        self._open_recording()
        self._sampler = FrameSampler(self.fps)
        self._origin, self._first_frame = origin, self._frames_in
        self._newest: float | None = None
        self._partial: list[StreamSign] = []

    def flush(self) -> StreamUpdate:
        """End the recording and answer the current sign; pushing again begins another recording."""
        time = self._newest or 0.0
        if self._newest is None:
            return StreamUpdate(time=time)
        final, ended = self._advance([frame for _, frame in self._sampler.finish()])
        signs, is_last = self._close(self._frames_in)
        self._begin(self._frames_in)
        self._forget()
        self._restart(time)
        return StreamUpdate(final + signs, [], time, ended or is_last)

    def _advance(self, chosen: list) -> tuple[list[StreamSign], bool]:
        """Return the signs that end in frames at the model's rate, and whether any does."""
        final: list[StreamSign] = []
        ended = False
        for start in range(0, len(chosen), BLOCK_FRAMES):
            block = self._prepared(chosen[start : start + BLOCK_FRAMES])
            rests, cuts = self._store.append(block)
            for is_resting, is_cut in zip(rests.tolist(), cuts.tolist()):
                signs, over = self._step(is_resting, is_cut)
                final, ended = final + signs, ended or over
            self._forget()
        return final, ended

    # ------------------------------------------------------------------------------------------------------ where signs are

    def _count(self, seconds: float) -> int:
        return max(1, round(seconds * self.fps))

    def _step(self, is_resting: bool, is_cut: bool) -> tuple[list[StreamSign], bool]:
        """Take one more frame; return the signs that end with it, and whether any does."""
        signs, ended = self._close(self._frames_in) if is_cut else ([], False)
        if is_cut:
            self._begin(self._frames_in)
        number, self._frames_in = self._frames_in, self._frames_in + 1
        if not is_resting:
            self._active = number if self._active is None else self._active
            self._last_active = number
            self._active_count += 1
        if self._active is None:
            return signs, ended
        over = is_resting and self._frames_in - 1 - self._last_active >= self._count(self.latency_s)
        if over or self._frames_in - self._active >= self._count(self.options.longest_s):
            more, last = self._close(self._frames_in)
            signs, ended = signs + more, ended or last
            self._begin(self._last_active + 1 if over else self._frames_in)
        return signs, ended

    def _close(self, stop: int) -> tuple[list[StreamSign], bool]:
        """Return the signs of the signing that ends before frame `stop`, and whether it was more than a twitch."""
        if self._active is None or self._active_count < self._count(self.options.shortest_s):
            return [], False
        margin = round(self.options.margin_s * self.fps)
        start, end = max(self._free, self._first, self._active - margin), min(stop, self._last_active + 1 + margin)
        result = self._store.answer(start - self._first, end - self._first, self._call_options)
        if result is None:
            return [], False
        return self._signs_of(result, start), True

    def _signs_of(self, result: Mapping[str, Any], first: int) -> list[Any]:
        """Return the signs of a result; first: number of the first frame that the model saw."""
        sign = StreamSign(
            result["glosses"][0] if result["glosses"] else None, round(self._seconds(self._active), 4),
            round(self._seconds(self._last_active + 1), 4), result["candidates"][0]["score"], tuple(result["candidates"]),
            result["sure"],
        )  # fmt: skip
        return [sign]

    def _forget(self) -> None:
        """Drop frames that no answer will need."""
        margin = round(self.options.margin_s * self.fps)
        needed = max(self._free, (self._frames_in if self._active is None else self._active) - margin)
        if needed > self._first:
            self._store.drop(needed - self._first)
            self._first = needed

    def _seconds(self, frame: float) -> float:
        return self._origin + (frame - self._first_frame) / self.fps


class SignXSpottingStreamer(SignXSignStreamer):
    """Find signs in a recording while it goes on: each stretch between two rests is searched when it ends.

    `recognizer` is a `sign-spotting` pipeline, and `final` holds a `StreamGloss` for each sign; all else as in
    `SignXSignStreamer`.
    """

    task = SPOTTING
    details: ClassVar[Mapping[str, Any]] = {}
    default_options: ClassVar[SignStreamOptions] = SignStreamOptions(longest_s=LONGEST_SENTENCE_S)

    def _signs_of(self, result: Mapping[str, Any], first: int) -> list[StreamGloss]:
        begin = self._seconds(first)
        return [
            StreamGloss(s["gloss"], round(begin + s["start"], 4), round(begin + s["end"], 4), s["confidence"])
            for s in result["segments"]
        ]


def open_stream(
    recognizer: "SignXPipeline", source: str, fps: float | None = None, **call_options: Any
) -> SignXStreamer:
    """Return the streamer for a pipeline.

    Args:
        recognizer: the pipeline, of any task.
        source: `"video"` or `"poses"`.
        fps: frame rate of what is pushed without timestamps; None: that of the processor.
        call_options: of the pipeline, as for a call; glosses of sentences have none.
    """
    if recognizer.task == TRANSLATION:
        from .translation_stream import SignXTranslationStreamer

        return SignXTranslationStreamer(recognizer, source, fps, **call_options)
    if recognizer.task == SPOTTING:
        return SignXSpottingStreamer(recognizer, source, fps, **call_options)
    if recognizer.task == SIGNS:
        from .spelling_stream import SignXSpellingStreamer, is_speller

        if is_speller(recognizer.model):
            return SignXSpellingStreamer(recognizer, source, fps, **call_options)
        return SignXSignStreamer(recognizer, source, fps, **call_options)
    return SignXStreamer(recognizer.model, recognizer.processor, source, fps)
