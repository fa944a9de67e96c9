"""Streaming recognition: frames or poses in, partial and final glosses with times out, in constant memory.

The recognizer reads in both directions, so its output for the newest frames changes as more arrive. It runs again
every `hop_s` seconds over the utterance so far. A gloss becomes final when it ended `right_s` seconds ago and has been
in the output, after the same glosses, for `stable_s` seconds (local agreement, as in speech: Machacek et al. 2023,
section 3.1), or when the hands rest.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..common.messages import one_line
from ..processing.checks_signx import MAX_BEAMS, check_ctc, check_entry, check_parts, check_vocabulary
from ..processing.errors_signx import SignXError, SignXVideoError
from ..processing.frame_rendering_signx import FrameRenderer, SourceFrame, frame_from_array
from ..processing.hand_sources_signx import picture_notes
from ..processing.landmarks_signx import LandmarkReader, LandmarkRenderer, tracks_of
from ..processing.sampling_signx import FrameSampler, check_rate
from ..processing.segments_signx import refine_boundaries
from ..processing.trained_signx import check_trained, takes_landmarks
from ..processing.utterances_signx import UtteranceReader
from ..processing.windowing_signx import (
    PoseFrames,
    Steps,
    VideoFrames,
    WindowOptions,
    check_seconds,
    warn_of_receptive_field,
)

if TYPE_CHECKING:
    from ..modeling.encoders_signx import SignXPreTrainedModel
    from ..modeling.modeling_signx import SignXRecognitionModel
    from ..processing.feature_extraction_signx import SignXPoseFeatureExtractor
    from ..processing.processing_signx import SignXProcessor
    from ..processing.video_processing_signx import SignXVideoProcessor

# After a longer gap, what follows counts as another recording.
GAP_SECONDS = 2.0


@dataclass(frozen=True)
class StreamGloss:
    """A recognized sign.

    Attributes:
        gloss: its name.
        start, end: seconds on the clock of the pushed timestamps.
        confidence: 0 to 1.
    """

    gloss: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class StreamUpdate:
    """Changes made by one push.

    Attributes:
        final: glosses that became final with this push; they never change.
        partial: further glosses of the current utterance, which may still change.
        time: timestamp of the newest frame, in seconds.
        ended: whether an utterance ended, because the hands rest or the recording is over.
    """

    final: list[StreamGloss] = field(default_factory=list)
    partial: list[StreamGloss] = field(default_factory=list)
    time: float = 0.0
    ended: bool = False


@dataclass(frozen=True)
class StreamOptions:
    """When the recognizer runs and when a gloss is final; all in seconds, except `num_beams`.

    Attributes:
        hop_s: interval between runs of the recognizer.
        stable_s: how long a gloss must be in the output to be final.
        right_s: how much must be seen after the end of a gloss for it to be final. Models with `dilations` need more
            than the default, and a warning says so.
        window_s: longest stretch that the model reads at once; a longer utterance continues from the middle of it.
            Models with `dilations` need a longer one, too (`docs/recognition.md`).
        rest_s: rest of the hands that ends an utterance; at least 1.5 for pose tracks without keypoints.
        num_beams: width of the CTC beam search.
    """

    hop_s: float = 0.16
    stable_s: float = 0.64
    right_s: float = 1.3
    window_s: float = 10.0
    rest_s: float = 0.4
    num_beams: int = 5

    def __post_init__(self):
        for name in ("hop_s", "stable_s", "right_s", "window_s", "rest_s"):
            check_seconds(name, getattr(self, name))
        least = 2 * (self.stable_s + self.right_s)
        if self.window_s < least:
            raise SignXError(
                f"`window_s` must be at least twice `stable_s` plus `right_s`, {least:g}, got {self.window_s:g}."
            )
        beams = self.num_beams
        if isinstance(beams, bool) or not isinstance(beams, int) or not 1 <= beams <= MAX_BEAMS:
            raise SignXError(f"`num_beams` must be an integer from 1 to {MAX_BEAMS}, got {beams!r}.")


@dataclass(frozen=True)
class _View:
    """The current output of the recognizer for an utterance, from a frame on."""

    steps: Steps
    frame: int
    is_last: bool


class _LiveReader(UtteranceReader):
    """An `UtteranceReader` that runs every `hop` steps over the full utterance, or over the rest of a long one."""

    def __init__(
        self, model: "SignXRecognitionModel", store: VideoFrames | PoseFrames, fps: float, options: StreamOptions
    ):
        super().__init__(model, store, fps, WindowOptions(options.window_s, options.window_s / 4, options.rest_s))
        self._hop = max(1, round(options.hop_s * fps / self._stride))
        self._seen = 0

    def _look(self) -> Iterator[_View]:
        known = (self.frames - self._start) // self._stride
        if known - self._seen < self._hop:
            return
        self._seen = known
        if known - self._done > self._window:
            self._done = known - self._window // 2
        yield self._view(known)

    def _view(self, stop: int, frames: int | None = None) -> _View:
        return _View(self._run(self._done, stop, frames), self._start + self._done * self._stride, frames is not None)

    def _close(self, end: int) -> Iterator[_View]:
        frames = end - self._start
        yield self._view(-(-frames // self._stride), frames)
        self._start, self._active_since, self._free, self._seen = None, None, end, 0

    def _forget(self) -> None:
        if self._start is None:
            return super()._forget()
        needed = self._start + self._done * self._stride
        if needed > self._first:
            self._store.drop(needed - self._first)
            self._first = needed


class SignXStreamer:
    """Recognize a recording while it goes on.

        streamer = SignXStreamer(model, processor, source="video")
        for frame, seconds in camera:
            update = streamer.push(frame, seconds)
            print(update.final, update.partial)
        update = streamer.flush()

    Each frame is encoded once; for a model of poses its landmarks are extracted (extra `mediapipe`). Memory does not
    grow with the length of the recording.

    Args:
        model: `SignXForGlossRecognition` or `SignXForLatentCTC`; CTC decodes, the text decoder is not used.
        processor: the one that was saved with the model.
        source: `"video"` (frames) or `"poses"` (rows).
        fps: frame rate of what is pushed without timestamps; None: that of the processor.
        options: `StreamOptions`.

    Raises:
        SignXError: If the processor does not belong to the model, the model has no CTC, an option is out of its domain, or the model cannot
            read the source.
        ImportError: If the source is frames, the model reads poses, and MediaPipe is missing.
    """

    def __init__(
        self,
        model: "SignXRecognitionModel",
        processor: "SignXProcessor",
        source: str = "video",
        fps: float | None = None,
        options: StreamOptions | None = None,
    ):
        if type(model).__name__ == "SignXForSignClassification":
            raise SignXError(
                "the model recognizes isolated signs. Use SignXSignStreamer(recognizer) with a pipeline of "
                "isolated-sign-recognition."
            )
        check_ctc(model, "live recognition")
        check_parts(model, processor)
        check_vocabulary(model, processor.tokenizer, decodes_text=False)
        if options is not None and not isinstance(options, StreamOptions):
            raise SignXError(
                f"`options` must be StreamOptions, such as StreamOptions(rest_s=0.5), got {type(options).__name__}."
            )
        self.options = StreamOptions() if options is None else options
        part = self._open(model, processor, source, fps)
        self._store = (VideoFrames if self.reads == "video" else PoseFrames)(model, part, self.fps)
        warn_of_receptive_field(model.config, self.fps, self.options.right_s, "right_s")
        self._reader = _LiveReader(model, self._store, self.fps, self.options)
        self._looks = max(2, round(self.options.stable_s / self.options.hop_s) + 1)
        self._restart(0.0)

    def _open(
        self, model: "SignXPreTrainedModel", processor: "SignXProcessor", source: str, fps: float | None
    ) -> "SignXVideoProcessor | SignXPoseFeatureExtractor":
        """Check the source against the model, and return the part of the processor that reads it."""
        if source not in ("video", "poses"):
            raise SignXError(f"`source` must be 'video' or 'poses', got {source!r}.")
        self.model, self.processor, self.source, self.reads = model.eval(), processor, source, source
        if source == "video" and takes_landmarks(model.config):
            self.reads, self._extracted = "poses", tracks_of(processor.feature_extractor, model.config, "stream")
        else:
            check_entry(model.config, source, "stream")
        part = processor.video_processor if self.reads == "video" else processor.feature_extractor
        self.fps = float(part.fps or fps or model.config.fps)
        self._push_fps = self.fps if fps is None else check_rate(fps)
        self._landmarks: LandmarkReader | None = None
        if self.reads == "video":
            self._renderer = FrameRenderer(part.frame_geometry())
        self._tracks: frozenset[str] = frozenset()
        return part

    @property
    def latency_s(self) -> float:
        """Seconds from the end of a sign until its gloss is final, during signing: `right_s` plus `hop_s`.

        A sign that is recognized late or unstably takes longer; a rest makes everything final sooner.
        """
        return self.options.right_s + self.options.hop_s

    @property
    def frames_encoded(self) -> int:
        """Number of frames that went through the frame encoder."""
        return getattr(self._store, "frames_encoded", 0)

    def _open_recording(self) -> None:
        """Reset the landmark tracking, so that hands are not followed from one recording into the next."""
        if self._landmarks is not None:
            self._landmarks.close()
        if self.reads != self.source:
            self._renderer, self._landmarks = LandmarkRenderer("stream"), LandmarkReader(self._extracted, "stream")

    def _restart(self, origin: float) -> None:
        """Begin another recording, whose first frame is at `origin` seconds."""
        self._open_recording()
        self._sampler = FrameSampler(self.fps)
        self._origin, self._first_frame = origin, self._reader.frames
        self._newest: float | None = None
        self._committed: list[StreamGloss] = []  # final glosses of the current utterance
        self._history: deque[list[StreamGloss]] = deque(maxlen=self._looks)
        self._view_frame: int | None = None
        self._partial: list[StreamGloss] = []

    def push(
        self, data: np.ndarray | torch.Tensor | dict[str, Any], timestamps: float | Sequence[float] | None = None
    ) -> StreamUpdate:
        """Take one frame or several.

        Args:
            data: for video, uint8 frames `[H, W, 3]` or `[n, H, W, 3]` of one size. For poses, a dict of tracks, `[d]`
                or `[n, d]`, with `masks` as in clips, or an array `[n, D]` of all tracks; as measured, not normalized.
            timestamps: of each frame, in seconds, non-decreasing; None: one after the other at `fps`.

        Raises:
            SignXError: If frames or rows cannot be read, or timestamps are not finite, decrease or are too few.
        """
        items = self._frames(data) if self.source == "video" else self._rows(data)
        times = self._times(timestamps, len(items))
        final: list[StreamGloss] = []
        ended = False
        for item, time in zip(items, times):
            if self._newest is None:
                self._restart(time)
            elif time - self._newest > GAP_SECONDS:
                update = self.flush()
                final, ended = final + update.final, ended or update.ended
                self._restart(time)
            self._newest = time
            chosen = [frame for _, frame in self._sampler.push(time - self._origin, item)]
            new, over = self._advance(chosen)
            final, ended = final + new, ended or over
        return StreamUpdate(final, list(self._partial), self._newest or 0.0, ended)

    def flush(self) -> StreamUpdate:
        """End the recording and make all glosses final; pushing again begins another recording."""
        time = self._newest or 0.0
        if self._newest is None:
            return StreamUpdate(time=time)
        final, ended = self._advance([frame for _, frame in self._sampler.finish()])
        for view in self._reader.finish():
            final, ended = final + self._read(view), True
        self._restart(time)
        return StreamUpdate(final, [], time, ended)

    def _advance(self, chosen: list) -> tuple[list[StreamGloss], bool]:
        """Return the glosses that frames at the model's rate make final, and whether an utterance ended."""
        final, ended = [], False
        if chosen:
            for view in self._reader.push(self._prepared(chosen)):
                final += self._read(view)
                ended = ended or view.is_last
        return final, ended

    def _prepared(self, chosen: list) -> list:
        """Return resized frames, their landmarks, or unchanged rows; only sampled frames are resized."""
        if self.source == "poses":
            return chosen
        pictures = [self._renderer(SourceFrame(frame_from_array(frame))) for frame in chosen]
        if self.reads == "video":
            return pictures
        self._store.notes = {"size": "{1}x{0}".format(*pictures[0].shape)}
        return [self._landmarks(picture) for picture in pictures]

    # ------------------------------------------------------------------------------------------------ what was pushed

    def _frames(self, data: np.ndarray | torch.Tensor) -> list[np.ndarray]:
        array = _array(data, "frames")
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
            raise SignXVideoError(
                f"frames must be uint8 of shape [H, W, 3] or [n, H, W, 3], got {list(array.shape)} of {array.dtype}."
            )
        return list(array[None] if array.ndim == 3 else array)

    def _rows(self, data: np.ndarray | torch.Tensor | dict[str, Any]) -> list[tuple[dict, dict]]:
        extractor = self.processor.feature_extractor
        if isinstance(data, dict):
            data = {key: self._as_rows(key, value, extractor) for key, value in data.items()}
            if isinstance(data.get("masks"), dict):
                data["masks"] = {
                    name: np.atleast_1d(_array(mask, f"the mask of track {name!r}"))
                    for name, mask in data["masks"].items()
                }
        elif hasattr(data, "ndim") and data.ndim == 1:
            data = data[None]
        clip = extractor.read(data, "pushed rows")
        if self._newest is not None and self._tracks != clip.tracks.keys():
            raise SignXError(
                f"pushed rows must have the tracks that the recording began with, {', '.join(sorted(self._tracks))}, "
                f"got {', '.join(clip.tracks)}. Mask what is not observed (`masks`), or flush() to begin another "
                "recording."
            )
        self._tracks = frozenset(clip.tracks)
        trained = getattr(self.model.config, "trained_tracks", None)
        check_trained(
            trained, [t for t in extractor.track_dims if extractor.source_of(t) in clip.tracks], "pushed rows"
        )
        self._store.notes = picture_notes(clip) or self._store.notes
        return [
            (
                {name: values[row] for name, values in clip.tracks.items()},
                {name: bool(mask[row]) for name, mask in clip.masks.items()},
            )
            for row in range(clip.num_frames)
        ]

    @staticmethod
    def _as_rows(key: str, value: Any, extractor: "SignXPoseFeatureExtractor") -> Any:
        return value[None] if key in extractor.read_dims and getattr(value, "ndim", 2) == 1 else value

    def _times(self, timestamps: float | Sequence[float] | None, count: int) -> list[float]:
        if timestamps is None:
            start = 0.0 if self._newest is None else self._newest + 1 / self._push_fps
            return [start + index / self._push_fps for index in range(count)]
        times = np.atleast_1d(_array(timestamps, "`timestamps`"))
        if times.dtype.kind not in "fiu":
            raise SignXError(f"`timestamps` must be seconds, one number per frame, got {timestamps!r:.80}.")
        times = times.astype(np.float64)
        if times.shape != (count,):
            raise SignXError(f"`timestamps` must have one value per frame ({count}), got {times.size}.")
        before = times[:1] if self._newest is None else np.array([self._newest])
        if not np.isfinite(times).all() or (np.diff(np.concatenate([before, times])) < 0).any():
            raise SignXError("`timestamps` must be finite and non-decreasing, in seconds.")
        return times.tolist()

    # ------------------------------------------------------------------------------------------------ what is final

    def _read(self, view: _View) -> list[StreamGloss]:
        """Return the glosses that a view of the utterance makes final, and update the partial ones."""
        if self._view_frame is not None and view.frame != self._view_frame:
            self._history.clear()  # the window has moved, and outputs for another stretch do not count as agreement
        self._view_frame = view.frame
        begin = self._seconds(view.frame)
        decoded = self._decode(view)
        inside = [gloss for gloss in self._committed if gloss.end > begin]
        fresh = decoded[_after([g.gloss for g in inside], [g.gloss for g in decoded]) :]
        self._history.append(fresh)
        count = len(fresh) if view.is_last else self._agreed(self._seconds(self._reader.frames))
        # Times move a little between runs; a final gloss begins no earlier than the one before it ends.
        final = []
        for gloss in fresh[:count]:
            last = self._committed[-1].end if self._committed else gloss.start
            start = max(gloss.start, last)
            final.append(StreamGloss(gloss.gloss, start, max(gloss.end, start), gloss.confidence))
            self._committed.append(final[-1])
        for past in self._history:
            del past[:count]
        self._partial = list(fresh[count:] if len(fresh) > count else [])
        if view.is_last:
            self._committed, self._partial, self._view_frame = [], [], None
            self._history.clear()
        else:  # constant memory: forget what is outside the window
            self._committed = [gloss for gloss in self._committed if gloss.end > begin] or self._committed[-1:]
        return final

    def _agreed(self, now: float) -> int:
        """Return how many of the first glosses are stable for `stable_s` seconds and ended `right_s` ago."""
        if len(self._history) < self._looks:
            return 0
        settled = [gloss.end <= now - self.options.right_s for gloss in self._history[-1]]
        count = min([settled.index(False) if False in settled else len(settled), *map(len, self._history)])
        for index in range(count):
            if len({past[index].gloss for past in self._history}) > 1:
                return index
        return count

    def _seconds(self, frame: float) -> float:
        return self._origin + (frame - self._first_frame) / self.fps

    def _decode(self, view: _View) -> list[StreamGloss]:
        """Return the best glosses of a view, with times of the auxiliary CTC, which is local and not early."""
        ids = self.model.decode_ctc(view.steps.logits[None], num_beams=self.options.num_beams)[0][0].ids
        timing = self.model.align_ctc(view.steps.aux_logits, list(ids))
        edges = refine_boundaries(view.steps.aux_logits, list(ids), timing.starts, timing.ends)
        stride = self.model.config.recognizer_config.stride
        known = self._reader.frames  # the last step may extend beyond
        return [
            StreamGloss(
                gloss,
                self._seconds(view.frame + start * stride),
                self._seconds(min(view.frame + end * stride, known)),
                sure,
            )
            for gloss, start, end, sure in zip(self.processor.tokenizer.decode_ctc(ids), *edges, timing.confidences)
        ]


def _array(data: Any, what: str) -> np.ndarray:
    """Convert what was pushed to an array.

    Raises:
        SignXError: If it is no array.
    """
    try:
        if isinstance(data, torch.Tensor):
            data = data.detach().cpu()
            return (data.float() if data.dtype == torch.bfloat16 else data).numpy()  # numpy has no bfloat16
        return np.asarray(data)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise SignXError(
            f"{what} must be an array of numbers, got {type(data).__name__} ({one_line(error, 80)})."
        ) from error


def _after(final: Sequence[str], decoded: Sequence[str]) -> int:
    """Return the length of the prefix of `decoded` that corresponds to `final`, by least edit distance.

    Among several, prefer the one that ends in the same gloss, so that it is not output twice, then the one of the same
    length.
    """
    costs = list(range(len(decoded) + 1))  # of final[:0] against each prefix of decoded
    for row, gloss in enumerate(final, 1):
        above, costs = costs, [row]
        for column, other in enumerate(decoded, 1):
            costs.append(min(above[column - 1] + (gloss != other), above[column] + 1, costs[column - 1] + 1))
    ends = [bool(final) and bool(c) and decoded[c - 1] == final[-1] for c in range(len(costs))]
    return min(range(len(costs)), key=lambda c: (costs[c], not ends[c], abs(c - len(final)), c))
