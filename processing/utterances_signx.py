"""Segment recordings of any length into utterances and read them in bounded memory.

Frames arrive one by one, from a file or a camera. Activity cuts them into utterances at rests. An utterance longer
than the model's window is read through overlapping windows, of which the middle is used.

Legend: T frames, T' feature steps, F feature size, V glosses.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .errors_signx import SignXError
from .inputs_signx import ClipInput
from .pose_stream_signx import stream_poses, stream_video
from .sampling_signx import FrameSampler
from .signer_signx import name_of, refuse_person
from .trained_signx import check_trained, takes_landmarks
from .windowing_signx import (
    BLOCK_FRAMES,
    PoseFrames,
    SignXModel,
    Steps,
    VideoFrames,
    WindowOptions,
    warn_of_receptive_field,
)

if TYPE_CHECKING:
    from .processing_signx import SignXProcessor

SHORTEST_ACTIVITY = 0.2  # seconds; less is a twitch


@dataclass(frozen=True)
class Settled:
    """Steps that are final.

    Attributes:
        steps: The steps.
        frame: Frame at which the first step begins, counted from the start of the recording.
        frames: Number of frames that the steps cover; the last step may be partial.
        is_last: Whether no step of this utterance follows.
    """

    steps: Steps
    frame: int
    frames: int
    is_last: bool


class UtteranceReader:
    """Read utterances: frames in, final steps out, holding no more than one window of frames.

        reader = UtteranceReader(model, PoseFrames(model, extractor, fps), fps, WindowOptions())
        for frames in blocks:
            for settled in reader.push(frames):
                ...
        for settled in reader.finish():
            ...

    A subclass that reads differently overrides `_look`, `_close` and `_forget`.

    Args:
        model: SignX model.
        store: Store of the frames.
        fps: Frames per second.
        options: Windows and rests.

    Attributes:
        frames: Number of frames pushed so far.
        has_signed: Whether any of them showed signing.
    """

    def __init__(self, model: SignXModel, store: PoseFrames | VideoFrames, fps: float, options: WindowOptions):
        self._store, self._config, self._device = store, model.config, model.device
        self._blank = model.config.ctc_blank_id
        self._stride = stride = model.config.recognizer_config.stride

        def steps(seconds: float, least: int = 1) -> int:
            return max(least, round(seconds * fps / stride))

        self._window, self._right = steps(options.window, 3), steps(options.right)
        self._window = max(self._window, 2 * self._right + 1)
        self._fps, self._rest_seconds = fps, options.rest
        self._least = max(1, round(SHORTEST_ACTIVITY * fps))
        self.frames, self.has_signed = 0, False
        self._first = 0  # index of the first held frame
        self._start: int | None = None  # start of the current utterance
        self._free = 0  # end of the previous utterance
        self._active_since: int | None = None
        self._resting = 0  # consecutive frames of rest
        self._done = 0  # steps of this utterance that were returned
        self._held: tuple[torch.Tensor, torch.Tensor, int] | None = (
            None  # of the last window: features, logits, first step
        )

    @property
    def _rest(self) -> int:
        """Return the frames of rest that end an utterance; known once the first frames have arrived."""
        return max(1, round(max(self._rest_seconds, self._store.activity.shortest_rest) * self._fps))

    @property
    def has_moved(self) -> bool:
        """Return whether anything has moved so far."""
        return self._store.activity.has_moved

    def signer(self) -> dict[str, Any]:
        """Return `hand` and `mirrored` of the frames so far."""
        return self._store.signer()

    def push(self, frames: list) -> Iterator[Settled]:
        """Add frames and yield the steps that became final."""
        for start in range(0, len(frames), BLOCK_FRAMES):
            block = frames[start : start + BLOCK_FRAMES]
            rests, cuts = self._store.append(block)
            for is_resting, is_cut in zip(rests.tolist(), cuts.tolist()):
                yield from self._advance(is_resting, is_cut)
            self._forget()

    def finish(self) -> Iterator[Settled]:
        """Yield the remaining steps after the last frame; frames pushed later belong to another recording."""
        if self._start is not None:
            yield from self._close(self.frames)
        self._active_since = None
        self._free = self.frames
        self._forget()

    def _advance(self, is_resting: bool, is_cut: bool) -> Iterator[Settled]:
        """Process one more frame: start and end utterances, and run the model when a window is full."""
        if is_cut:
            if self._start is not None:
                yield from self._close(self.frames)
            self._free, self._active_since = self.frames, None  # no utterance starts before the cut
        self.frames += 1
        if is_resting:
            self._resting += 1
            if self._start is None:
                self._active_since = None
            elif self._resting >= self._rest:
                yield from self._close(self.frames)
            else:
                yield from self._look()
            return
        self._resting = 0
        if self._active_since is None:
            self._active_since = self.frames - 1
        if self._start is None and self.frames - self._active_since >= self._least:
            self._start = max(self._free, self._first, self._active_since - self._rest)
            self._done, self._held, self.has_signed = 0, None, True
        if self._start is not None:
            yield from self._look()

    def _forget(self) -> None:
        """Drop frames that no window will need."""
        if self._start is None:
            since = self.frames if self._active_since is None else self._active_since
            needed = max(self._free, since - self._rest)
        else:
            needed = self._start + max(0, self._done - self._window) * self._stride
        if needed > self._first:
            self._store.drop(needed - self._first)
            self._first = needed

    def _look(self) -> Iterator[Settled]:
        """Run the model on full windows, and yield the steps that become final."""
        while True:
            known = (self.frames - self._start) // self._stride
            seen = 0 if self._held is None else self._held[1] + len(self._held[0])
            stop = self._window if self._held is None else seen + self._window - 2 * self._right
            if known < stop:
                return
            yield from self._join(max(0, stop - self._window), stop)

    def _join(self, first: int, stop: int) -> Iterator[Settled]:
        """Run a full window `[first, stop)` of steps, yield the previous one up to a seam in their overlap, and hold
        this one.
        """
        window = self._run(first, stop)
        yield from self._settle_held(window, first)
        self._held = (window, first)

    def _close(self, end: int) -> Iterator[Settled]:
        """End the utterance at a frame: run the last window, and yield what is left of the previous one."""
        frames = end - self._start
        stop = -(-frames // self._stride)
        first = max(0, stop - self._window, 0 if self._held is None else self._held[1])
        window = self._run(first, stop, frames)
        yield from self._settle_held(window, first)
        yield self._hand_out(window, first, stop, frames)
        self._start, self._held, self._active_since, self._free = None, None, None, end

    def _settle_held(self, after: Steps, first: int) -> Iterator[Settled]:
        """Yield the held window up to the step where the next one, which begins at step `first`, takes over.

        That is the step in the middle half of their overlap at which both are most confident of a blank, so that no
        sign is cut.
        """
        if self._held is None:
            return
        before, at = self._held
        size = min(len(before) - (first - at), len(after))
        margin = size // 4
        blank = torch.minimum(
            before.logits[first - at :][:size].float().softmax(-1)[:, self._blank],
            after.logits[:size].float().softmax(-1)[:, self._blank],
        )
        middle = blank[margin : size - margin]
        seam = first + margin + int(middle.argmax())
        if seam > self._done:
            yield self._hand_out(before, at, seam)

    def _run(self, first: int, stop: int, frames: int | None = None) -> Steps:
        """Run the model over steps `[first, stop)` of the utterance.

        Args:
            first: First step.
            stop: Step after the last.
            frames: Length of the utterance in frames, if its last step is partial.
        """
        start = self._start + first * self._stride - self._first
        end = self._start + (stop * self._stride if frames is None else frames) - self._first
        with torch.inference_mode():
            steps = self._store.window(start, end)
        return self._nothing(stop - first) if steps is None else steps

    def _nothing(self, count: int) -> Steps:
        """Return blank steps, for a stretch in which nobody was observed."""
        features = torch.zeros(count, self._config.recognizer_config.feature_size, device=self._device)
        logits = torch.full((count, self._config.ctc_vocab_size), -20.0, device=self._device)
        logits[:, self._blank] = 20.0
        return Steps(features, logits, logits)

    def _hand_out(self, window: Steps, first: int, cut: int, frames: int | None = None) -> Settled:
        """Return the steps up to `cut` of a window.

        Args:
            window: Outputs of the window.
            first: Step at which it begins.
            cut: Step after the last to return.
            frames: Length of the utterance in frames, if it ends here.
        """
        done, self._done = self._done, cut
        covered = cut * self._stride if frames is None else frames
        start = self._start + done * self._stride
        return Settled(window.cut(done - first, cut - first), start, covered - done * self._stride, frames is not None)


class StretchJoiner:
    """Join final steps to complete utterances, and cut those of more than `longest` steps at the most certain blank in
    their second half.

    Args:
        longest: Maximum number of steps.
        stride: Frames per step.
        blank_id: CTC id of the blank.
    """

    def __init__(self, longest: int, stride: int, blank_id: int):
        self._longest, self._stride, self._blank = longest, stride, blank_id
        self._parts: list[Settled] = []

    def push(self, part: Settled) -> Iterator[Settled]:
        """Add steps, and yield what is complete with them."""
        longest, self._parts = self._longest, [*self._parts, part]
        while sum(len(p.steps) for p in self._parts) > longest:
            joined = _joined(self._parts)
            blank = joined.steps.logits[longest // 2 : longest].float().softmax(-1)[:, self._blank]
            cut = longest // 2 + int(blank.argmax()) + 1
            yield Settled(joined.steps.cut(0, cut), joined.frame, cut * self._stride, False)
            frame, frames = joined.frame + cut * self._stride, joined.frames - cut * self._stride
            self._parts = [Settled(joined.steps.cut(cut), frame, frames, joined.is_last)]
        if part.is_last:
            yield _joined(self._parts)
            self._parts = []


def stretches(settled: Iterator[Settled], longest: int, stride: int, blank_id: int) -> Iterator[Settled]:
    """Yield complete utterances of final steps in order; the other arguments are those of `StretchJoiner`."""
    joiner = StretchJoiner(longest, stride, blank_id)
    for part in settled:
        yield from joiner.push(part)


def _joined(parts: list[Settled]) -> Settled:
    frames = sum(part.frames for part in parts)
    return Settled(Steps.join([part.steps for part in parts]), parts[0].frame, frames, parts[-1].is_last)


class Signing:
    """Stretches of signing in one recording, read once, in order.

    Args:
        reader: Reader of the frames.
        parts: Final steps, as `stretches` yields them.
        clock: Clock of the frames that are read.
        fps: Frames per second.
        source: Name of the recording, for messages.
        people: `person` and `people` of the signer.

    Attributes:
        frames: Number of frames read so far.
    """

    def __init__(
        self,
        reader: UtteranceReader,
        parts: Iterator[Settled],
        clock: "StartClock",
        fps: float,
        source: str,
        people: dict,
    ):
        self._reader, self._parts, self._clock = reader, parts, clock
        self.fps, self.source, self._people = fps, source, people

    def __iter__(self) -> Iterator[Settled]:
        return self._parts

    @property
    def frames(self) -> int:
        """Return the number of frames read so far."""
        return self._reader.frames

    @property
    def start(self) -> float:
        """Return the seconds of the first frame, once it has been read."""
        return self._clock.start or 0.0

    def signer(self) -> dict[str, Any]:
        """Return `person`, `people`, `hand` and `mirrored` of the signer, as far as the recording has been read."""
        return {**self._people, **self._reader.signer()}

    def reason(self) -> str | None:
        """Return why there is nothing to recognize, or None if somebody signed."""
        if self._reader.has_signed:
            return None
        if not self._reader.has_moved:
            return "nobody moves"
        return "nobody signs: the hands rest, or are not in the picture"


def signing_of(
    model: SignXModel,
    processor: "SignXProcessor",
    clip: ClipInput,
    is_pose: bool,
    options: WindowOptions,
    source_fps: float | None = None,
    hand: str = "as_trained",
    person: int | str | None = None,
    landmarks_cache: bool = True,
) -> Signing:
    """Open a recording of any length.

    Video is decoded, its landmarks extracted, or poses read, only as stretches are requested.

    Args:
        model: SignX model.
        processor: `SignXProcessor` of the model.
        clip: Video or poses, as for the pipeline.
        is_pose: Whether the clip is poses.
        options: Windows and rests.
        source_fps: Frames per second of arrays and frame lists.
        hand: As for the pipeline.
        person: As for the pipeline.
        landmarks_cache: Whether landmarks of videos are cached.

    Raises:
        SignXError: As the processor for such a clip, or for `hand="detect"` or a person with a video.
    """
    people: dict[str, Any] = {"person": None, "people": None}
    if is_pose or takes_landmarks(model.config):
        extractor = processor.feature_extractor
        if is_pose:
            stream = stream_poses(extractor, clip, source_fps, person)
        else:
            stream = stream_video(extractor, model.config, clip, source_fps, landmarks_cache)
        trained = getattr(model.config, "trained_tracks", None)
        shown = [track for track in extractor.track_dims if extractor.source_of(track) in stream.tracks]
        check_trained(trained, shown, stream.source)
        extractor.check_mirror(hand, stream.tracks, stream.source)
        fps = extractor.fps or stream.fps
        store = PoseFrames(model, extractor, fps, hand)
        store.notes = stream.notes
        clock = StartClock()
        frames = sampled(clock.since_first(stream.rows), extractor.fps)
        source = stream.source
        if stream.people is not None:
            people = {"person": extractor.person if person is None else person, "people": stream.people}
    else:
        source, video = name_of(clip), processor.video_processor
        refuse_person(person, source)
        if hand == "detect":
            raise SignXError(
                f"{source}: `hand` must be 'left' or 'right' for a video that is read in windows (`chunk_length_s`), "
                "got 'detect', which would encode each window twice. Declare the hand, or detect it on a shorter "
                "clip without `chunk_length_s`."
            )
        fps, timed = _paced(video.iter_frames(clip, source_fps, ahead=True), video.fps, source_fps or model.config.fps)
        store = VideoFrames(model, video, fps, hand)
        clock = StartClock()
        frames = (frame for _, frame in clock.since_first(timed))
    warn_of_receptive_field(model.config, fps, options.right, "stride_length_s")
    reader = UtteranceReader(model, store, fps, options)

    def settled() -> Iterator[Settled]:
        for block in blocks(frames):
            yield from reader.push(block)
        yield from reader.finish()

    stride = model.config.recognizer_config.stride
    longest = max(2, round(options.window * fps / stride))
    parts = stretches(settled(), longest, stride, model.config.ctc_blank_id)
    return Signing(reader, parts, clock, fps, source, people)


def _paced(timed: Iterator[tuple[float, Any]], fps: float | None, fallback: float) -> tuple[float, Iterator]:
    """Return the rate of (seconds, frame) pairs, and the pairs.

    The rate is that of the first block where the processor keeps every frame.
    """
    if fps is not None:
        return fps, timed
    first = list(itertools.islice(timed, BLOCK_FRAMES))
    span = first[-1][0] - first[0][0] if first else 0.0
    return (len(first) - 1) / span if span > 0 else fallback, itertools.chain(first, timed)


# ----------------------------------------------------------------------------------------------------------- reading


class StartClock:
    """Remembers when the first frame of a recording begins.

    Attributes:
        start: Seconds of the first frame; None before it was read.
    """

    def __init__(self) -> None:
        self.start: float | None = None

    def since_first(self, timed: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        """Yield (seconds since the first frame, frame) of (seconds, frame) pairs."""
        for seconds, frame in timed:
            self.start = seconds if self.start is None else self.start
            yield seconds - self.start, frame


def sampled(frames: Iterator[tuple[float, Any]], fps: float | None) -> Iterator[Any]:
    """Yield the frames nearest to the instants of `fps`, of (seconds, frame) pairs; all of them if `fps` is None."""
    sampler = FrameSampler(fps)
    for timestamp, frame in frames:
        for _, chosen in sampler.push(timestamp, frame):
            yield chosen
    for _, chosen in sampler.finish():
        yield chosen


def blocks(frames: Iterator[Any], size: int = BLOCK_FRAMES) -> Iterator[list[Any]]:
    """Yield lists of `size` frames; the last one may be shorter."""
    block: list[Any] = []
    for frame in frames:
        block.append(frame)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
