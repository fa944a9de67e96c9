"""Clips of any length in bounded memory: frames in, features of stretches of signing out.

Frames arrive one by one, from a file or a camera. Activity cuts them into utterances between rests; an utterance longer than the
model may see at once is read through overlapping windows, of which the middle is kept. What depends on a single frame alone (the
frame encoder) runs once for each frame; the layers that look around run once for each window.

Legend: T frames, T' feature steps, F feature size, V glosses.
"""

import itertools
import math
import tokenize
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .activity_signx import PictureActivity, PoseActivity
from .errors_signx import SignXError, SignXPoseError, SignXWarning
from .feature_extraction_signx import MAX_GAP_SECONDS, checked_fps
from .hand_sources_signx import PICTURE_NOTES, picture_notes
from .landmarks_signx import LandmarkOptions, open_landmarks, tracks_of
from .sampling_signx import FrameSampler
from .signer_signx import name_of, refuse_person, video_signer
from .trained_signx import check_trained, hide_untrained, takes_landmarks

# Frames that are read, and encoded, together. Their number varies with where hands rest, and blocks of 64 cost memory to fragmentation.
BLOCK_FRAMES = 32
LENGTH_STEP = 32  # windows are padded to multiples: oneDNN keeps memory for each length that it has met
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-9, 1e9
SHORTEST_ACTIVITY = 0.2  # seconds; less is a twitch
DAMAGE = (zipfile.BadZipFile, zlib.error, tokenize.TokenError)  # what a .npz that is none raises
MOST_ROWS_AT_ONCE = 256


def check_seconds(name: str, value: Any, otherwise: str = "") -> float:
    """A length of time that options may have; raises SignXError, which ends with `otherwise`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and SHORTEST_SECONDS <= value <= LONGEST_SECONDS):
        raise SignXError(
            f"{name} is {value!r:.40}: wanted seconds above 0 ({SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}){otherwise}"
        )
    return float(value)


@dataclass(frozen=True)
class WindowOptions:
    """How much the model sees at once. Seconds.

    Attributes:
        window: the longest stretch that the model sees at once.
        right: what a step needs to see after it to be settled; where two windows overlap, both lose this at the seam.
        rest: how much rest is kept before and after an utterance, and how long a rest has to be to end one; of pose tracks without
            key points at least 1.5, for what is still there may be a hold.
    """

    window: float = 20.0
    right: float = 4.0
    rest: float = 0.4

    def __post_init__(self):
        for name in ("window", "right", "rest"):
            check_seconds(name, getattr(self, name))
        if self.window < 3 * self.right:
            raise SignXError(
                f"a window of {self.window:g} s with {self.right:g} s on each side leaves too little between: wanted at least "
                f"{3 * self.right:g} s; make the window (chunk_length_s) longer or the stride shorter"
            )


@dataclass(frozen=True)
class Steps:
    """What the model says of a stretch: features `[n, F]`, CTC logits `[n, V]`, and those of the auxiliary CTC, which say when."""

    features: torch.Tensor
    logits: torch.Tensor
    aux_logits: torch.Tensor

    def __len__(self) -> int:
        return len(self.logits)

    def cut(self, start: int, stop: int | None = None) -> "Steps":
        return Steps(*(part[start:stop] for part in (self.features, self.logits, self.aux_logits)))

    @staticmethod
    def join(parts: list["Steps"]) -> "Steps":
        names = ("features", "logits", "aux_logits")
        return Steps(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _padded(rows: tuple[torch.Tensor, ...], count: int) -> torch.Tensor:
    """Rows `[C]` to `[1, count, C]`, zero behind the last."""
    padded = rows[0].new_zeros(1, count, rows[0].shape[-1])
    padded[0, : len(rows)] = torch.stack(rows)
    return padded


def _steps_of(output: Any) -> Steps:
    """The one clip of an output of `get_features`."""
    return Steps(output.features[0], output.logits[0], output.aux_logits[0])


@dataclass(frozen=True)
class Settled:
    """Steps that do not change any more.

    Attributes:
        steps: the steps.
        frame: the frame, counted from the start of the recording, at which the first step begins.
        frames: how many frames the steps cover, the last step possibly in part.
        is_last: no step of this utterance follows.
    """

    steps: Steps
    frame: int
    frames: int
    is_last: bool


class PoseFrames:
    """Poses as they are measured; a window is normalised, and mirrored if `hand` says so, by itself, as a clip is in training.

    Attributes:
        notes: what is known of the picture (`PICTURE_NOTES`), for all windows.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        fps: float,
        hand: str = "as_trained",
    ):
        self.notes: Mapping[str, str] = {}
        self._model, self._extractor, self._fps, self._hand = model, extractor, fps, hand
        self._hands: set[str | None] = set()  # that led in the windows
        self._rows: deque[tuple[dict, dict]] = deque()
        self.activity = PoseActivity(fps)

    def append(self, frames: list[tuple[dict, dict]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows `({track: [d]}, {track: observed})`, one for each frame; returns what `PoseActivity.push` does."""
        self._rows.extend(frames)
        names = list(frames[0][0])
        tracks = {name: np.stack([row[name] for row, _ in frames]) for name in names}
        masks = {name: np.array([mask[name] for _, mask in frames], bool) for name in names}
        return self.activity.push(tracks, masks)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._rows.popleft()

    def window(self, start: int, stop: int) -> Steps | None:
        """What the model says of held frames; None where nobody was observed in them."""
        rows = [self._rows[index] for index in range(start, stop)]
        clip: dict[str, Any] = {name: np.stack([row[name] for row, _ in rows]) for name in rows[0][0]}
        clip["masks"] = {name: np.array([mask[name] for _, mask in rows], bool) for name in rows[0][1]}
        clip["notes"] = {name: self.notes[name] for name in PICTURE_NOTES if name in self.notes}
        try:
            inputs = self._extractor(clip, source_fps=self._fps, return_metadata=True, hand=self._hand)
        except SignXPoseError:  # no body, or no shoulders to measure it by: nobody signs here
            return None
        self._hands.add(inputs["pose_metadata"][0]["signer"]["hand"])
        hide_untrained(inputs, self._extractor.track_dims, getattr(self._model.config, "trained_tracks", None))
        output = self._model.get_features(
            **{name: inputs[name].to(self._model.device) for name in ("pose_values", "pose_mask", "frame_mask")}
        )
        return _steps_of(output)

    def signer(self) -> dict[str, Any]:
        """The hand that led in all windows so far, None where they differ, and whether any was mirrored."""
        hand = next(iter(self._hands)) if len(self._hands) == 1 else None
        return {"hand": hand, "mirrored": "left" in self._hands}


class VideoFrames:
    """Pictures, encoded as they come, mirrored where `hand` is "left"; only what the frame encoder makes of them is held."""

    def __init__(self, model: Any, video_processor: Any, fps: float, hand: str = "as_trained"):
        self._model, self._processor, self._hand = model, video_processor, hand
        self._encoded: deque[tuple[torch.Tensor, torch.Tensor | None]] = deque()
        self.activity = PictureActivity(fps)
        self.frames_encoded = 0

    def append(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """uint8 frames [H, W, 3] of the processor's size; returns what `PictureActivity.push` does."""
        stacked = np.stack(frames)
        pixels = np.empty((len(frames), 3, *stacked.shape[1:3]), np.float32)
        self._processor.normalize_frames(stacked[:, :, ::-1] if self._hand == "left" else stacked, out=pixels)
        features, branch = self._model.encode_frames(torch.from_numpy(pixels)[None].to(self._model.device))
        for index in range(len(frames)):  # copies: a view would hold the whole block
            self._encoded.append((features[0, index].clone(), None if branch is None else branch[0, index].clone()))
        self.frames_encoded += len(frames)
        return self.activity.push(stacked)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._encoded.popleft()

    def window(self, start: int, stop: int) -> Steps:
        """What the model says of held frames."""
        held = [self._encoded[index] for index in range(start, stop)]
        count = len(held) + -len(held) % LENGTH_STEP
        parts = [None if part[0] is None else _padded(part, count) for part in zip(*held)]
        mask = torch.arange(count, device=parts[0].device)[None] < len(held)
        output = self._model.get_window_features(*parts, frame_mask=mask)
        return _steps_of(output).cut(0, int(output.feature_mask[0].sum()))

    def signer(self) -> dict[str, Any]:
        """The hand that was declared, and whether frames are mirrored."""
        return video_signer(self._hand)


class UtteranceReader:
    """Frames in, settled steps of utterances out; holds no more than one window of frames.

        reader = UtteranceReader(model, PoseFrames(model, extractor, fps), fps, WindowOptions())
        for frames in blocks:
            for settled in reader.push(frames):
                ...
        for settled in reader.finish():
            ...

    Attributes:
        frames: how many were pushed. has_signed: whether any were signing.
    """

    def __init__(self, model: Any, store: PoseFrames | VideoFrames, fps: float, options: WindowOptions):
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
        self._first = 0  # number of the first frame that is held
        self._start: int | None = None  # of the utterance that goes on
        self._free = 0  # end of the utterance before
        self._active_since: int | None = None
        self._resting = 0  # frames of rest in a row
        self._done = 0  # steps of this utterance that were handed out
        self._held: tuple[torch.Tensor, torch.Tensor, int] | None = (
            None  # of the last window: features, logits, first step
        )

    @property
    def _rest(self) -> int:
        """Frames; known when the first have come."""
        return max(1, round(max(self._rest_seconds, self._store.activity.shortest_rest) * self._fps))

    @property
    def has_moved(self) -> bool:
        return self._store.activity.has_moved

    def signer(self) -> dict[str, Any]:
        """`hand` and `mirrored` of the frames so far."""
        return self._store.signer()

    def push(self, frames: list) -> Iterator[Settled]:
        """Takes frames, yields what they settle."""
        for start in range(0, len(frames), BLOCK_FRAMES):
            block = frames[start : start + BLOCK_FRAMES]
            rests, cuts = self._store.append(block)
            for is_resting, is_cut in zip(rests.tolist(), cuts.tolist()):
                yield from self._advance(is_resting, is_cut)
            self._forget()

    def finish(self) -> Iterator[Settled]:
        """Yields what is left when no frame will follow; frames may be pushed again after it, as another recording."""
        if self._start is not None:
            yield from self._close(self.frames)
        self._active_since = None
        self._free = self.frames
        self._forget()

    def _advance(self, is_resting: bool, is_cut: bool) -> Iterator[Settled]:
        """One frame more. Utterances begin and end here; the model looks when a window is full."""
        if is_cut:
            if self._start is not None:
                yield from self._close(self.frames)
            self._free, self._active_since = self.frames, None  # no utterance begins before it, in another's picture
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
        """Lets go of frames that no window will need."""
        if self._start is None:
            since = self.frames if self._active_since is None else self._active_since
            needed = max(self._free, since - self._rest)
        else:
            needed = self._start + max(0, self._done - self._window) * self._stride
        if needed > self._first:
            self._store.drop(needed - self._first)
            self._first = needed

    def _look(self) -> Iterator[Settled]:
        """Runs the model where enough frames are there, and yields the steps that this settles."""
        while True:
            known = (self.frames - self._start) // self._stride
            seen = 0 if self._held is None else self._held[1] + len(self._held[0])
            stop = self._window if self._held is None else seen + self._window - 2 * self._right
            if known < stop:
                return
            yield from self._join(max(0, stop - self._window), stop)

    def _join(self, first: int, stop: int) -> Iterator[Settled]:
        """A full window `[first, stop)` of steps: yields the one before it up to a seam in their overlap, and holds this one."""
        window = self._run(first, stop)
        yield from self._settle_held(window, first)
        self._held = (window, first)

    def _close(self, end: int) -> Iterator[Settled]:
        """The utterance ends at a frame: the last window, and what is left of the one before."""
        frames = end - self._start
        stop = -(-frames // self._stride)
        first = max(0, stop - self._window, 0 if self._held is None else self._held[1])
        window = self._run(first, stop, frames)
        yield from self._settle_held(window, first)
        yield self._hand_out(window, first, stop, frames)
        self._start, self._held, self._active_since, self._free = None, None, None, end

    def _settle_held(self, after: Steps, first: int) -> Iterator[Settled]:
        """Hands the held window out up to where the next one, which begins at step `first`, takes over.

        That is the step in the middle half of their overlap that both hold most surely for a blank: no sign is cut there.
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
        """The model over steps `[first, stop)` of the utterance; `frames`: its length where the last step is not full."""
        start = self._start + first * self._stride - self._first
        end = self._start + (stop * self._stride if frames is None else frames) - self._first
        with torch.inference_mode():
            steps = self._store.window(start, end)
        return self._nothing(stop - first) if steps is None else steps

    def _nothing(self, count: int) -> Steps:
        """What stands for steps in which nobody was observed: blanks."""
        features = torch.zeros(count, self._config.recognizer_config.feature_size, device=self._device)
        logits = torch.full((count, self._config.ctc_vocab_size), -20.0, device=self._device)
        logits[:, self._blank] = 20.0
        return Steps(features, logits, logits)

    def _hand_out(self, window: Steps, first: int, cut: int, frames: int | None = None) -> Settled:
        """The steps up to `cut` of a window that begins at step `first`; `frames`: of the utterance, where it ends here."""
        done, self._done = self._done, cut
        covered = cut * self._stride if frames is None else frames
        start = self._start + done * self._stride
        return Settled(window.cut(done - first, cut - first), start, covered - done * self._stride, frames is not None)


def stretches(settled: Iterator[Settled], longest: int, stride: int, blank_id: int) -> Iterator[Settled]:
    """Utterances whole, and those of more than `longest` steps cut where a blank is most sure in their second half."""
    parts: list[Settled] = []
    for part in settled:
        parts.append(part)
        while sum(len(p.steps) for p in parts) > longest:
            whole = _joined(parts)
            blank = whole.steps.logits[longest // 2 : longest].float().softmax(-1)[:, blank_id]
            cut = longest // 2 + int(blank.argmax()) + 1
            yield Settled(whole.steps.cut(0, cut), whole.frame, cut * stride, False)
            frame, frames = whole.frame + cut * stride, whole.frames - cut * stride
            parts = [Settled(whole.steps.cut(cut), frame, frames, whole.is_last)]
        if part.is_last:
            yield _joined(parts)
            parts = []


def _joined(parts: list[Settled]) -> Settled:
    frames = sum(part.frames for part in parts)
    return Settled(Steps.join([part.steps for part in parts]), parts[0].frame, frames, parts[-1].is_last)


class Signing:
    """The stretches of signing of one recording, read once, in order.

    Attributes:
        frames: how many at `fps` were read so far. source: its name in messages. people: `person` and `people` of the signer.
    """

    def __init__(self, reader: UtteranceReader, parts: Iterator[Settled], fps: float, source: str, people: dict):
        self._reader, self._parts, self.fps, self.source, self._people = reader, parts, fps, source, people

    def __iter__(self) -> Iterator[Settled]:
        return self._parts

    @property
    def frames(self) -> int:
        return self._reader.frames

    def signer(self) -> dict[str, Any]:
        """What a result says about the signer, as far as the recording was read."""
        return {**self._people, **self._reader.signer()}

    def reason(self) -> str | None:
        """Why there is nothing to recognise, or None where somebody signed."""
        if self._reader.has_signed:
            return None
        if not self._reader.has_moved:
            return "nobody moves"
        return "nobody signs: the hands rest, or are not in the picture"


def warn_of_reach(config: Any, fps: float, right: float, option: str) -> None:
    """Says where a step is taken for settled before all frames that TemporalConv reads for it have been seen."""
    reach = config.recognizer_config.reach / fps
    if right < reach:
        warnings.warn(
            f"{option} is {right:g} s, but a step of this model reads {reach:.1f} s after it ({config.recognizer_config.reach} frames at "
            f"{fps:g} fps): its glosses may differ from those of the whole recording; wanted at least {math.ceil(10 * reach) / 10:g}",
            SignXWarning, stacklevel=3,
        )  # fmt: skip


def signing_of(
    model: Any,
    processor: Any,
    clip: Any,
    is_pose: bool,
    options: WindowOptions,
    source_fps: float | None = None,
    hand: str = "as_trained",
    person: int | str | None = None,
    landmarks_cache: bool = True,
) -> Signing:
    """Opens a recording of any length; video is decoded, landmarks extracted of it, or poses read, as the stretches are asked for.

    Raises:
        SignXError: as the processor for such a clip; `hand="detect"` or a person for a video.
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
        frames = sampled(stream.rows, extractor.fps)
        source = stream.source
        if stream.people is not None:
            people = {"person": extractor.person if person is None else person, "people": stream.people}
    else:
        source, video = name_of(clip), processor.video_processor
        refuse_person(person, source)
        if hand == "detect":
            raise SignXError(
                f"{source}: hand is 'detect' for a video that is read in pieces (chunk_length_s), each of which would be encoded "
                "twice: wanted 'left' or 'right'; declare the hand, or find it out from a piece of the video without chunk_length_s"
            )
        fps, timed = _paced(video.iter_frames(clip, source_fps), video.fps, source_fps or model.config.fps)
        store = VideoFrames(model, video, fps, hand)
        frames = (frame for _, frame in timed)
    warn_of_reach(model.config, fps, options.right, "stride_length_s")
    reader = UtteranceReader(model, store, fps, options)

    def settled() -> Iterator[Settled]:
        for block in blocks(frames):
            yield from reader.push(block)
        yield from reader.finish()

    stride = model.config.recognizer_config.stride
    longest = max(2, round(options.window * fps / stride))
    return Signing(reader, stretches(settled(), longest, stride, model.config.ctc_blank_id), fps, source, people)


def _paced(timed: Iterator[tuple[float, Any]], fps: float | None, fallback: float) -> tuple[float, Iterator]:
    """The rate of (seconds, frame) pairs, from the first block where the processor takes every frame as it comes, and the pairs."""
    if fps is not None:
        return fps, timed
    first = list(itertools.islice(timed, BLOCK_FRAMES))
    span = first[-1][0] - first[0][0] if first else 0.0
    return (len(first) - 1) / span if span > 0 else fallback, itertools.chain(first, timed)


def join_results(
    parts: list[tuple[float, dict]], duration: float, n_best: int, reason: str | None, signer: dict | None = None
) -> dict[str, Any]:
    """What the pipeline answers to a recording, from its answers to the stretches that begin at given seconds.

    The n-th hypothesis of the whole changes one stretch: the one where another of its hypotheses costs least. Stretches that the model is
    not sure of give no glosses.
    """
    segments, utterances, last = [], [], 0.0
    for start, found in parts:
        begin = round(max(start, utterances[-1]["end"] if utterances else 0.0), 4)
        utterances.append({"start": begin, "end": round(max(begin, min(start + found["duration"], duration)), 4)})
        for segment in found["segments"]:
            # max: of two rounded times that are one, the second may be a tenth of a millisecond less
            begin = round(max(last, min(segment["start"] + start, duration)), 4)
            last = round(max(begin, min(segment["end"] + start, duration)), 4)
            segments.append({**segment, "start": begin, "end": last})
    score = sum(found["n_best"][0]["score"] for _, found in parts)
    changes = [
        (item["score"] - found["n_best"][0]["score"], index, item["glosses"])
        for index, (_, found) in enumerate(parts)
        for item in found["n_best"][1:]
    ]
    hypotheses = [{"glosses": [s["gloss"] for s in segments], "score": score}]
    for loss, index, glosses in sorted(changes, key=lambda change: (-change[0], change[1]))[: n_best - 1]:
        words = [glosses if at == index else found["glosses"] for at, (_, found) in enumerate(parts)]
        hypotheses.append({"glosses": [word for part in words for word in part], "score": score + loss})
    result = {
        "glosses": hypotheses[0]["glosses"],
        "text": " ".join(hypotheses[0]["glosses"]),
        "segments": segments,
        "n_best": hypotheses,
        "duration": round(duration, 4),
        "signer": signer,
        "known": _known(parts),
        "utterances": utterances,
    }
    sure = [found["sure"] for _, found in parts if "sure" in found]
    if sure:
        result["sure"] = any(sure)
    if not segments:
        unsure = [found["reason"] for _, found in parts if found.get("sure") is False]
        result["reason"] = reason or next(iter(unsure), "no sign was recognised in what moves")
    return result


def _known(parts: list[tuple[float, dict]]) -> float:
    """`known` of a recording: the mean of its stretches, each as often as it has glosses."""
    counts = [len(found["n_best"][0]["glosses"]) for _, found in parts]
    return sum(n * found["known"] for n, (_, found) in zip(counts, parts)) / max(1, sum(counts))


# ----------------------------------------------------------------------------------------------------------- reading


def sampled(frames: Iterator[tuple[float, Any]], fps: float | None) -> Iterator[Any]:
    """Of (seconds, frame) pairs the frames at `fps`, each instant's nearest; all of them where `fps` is None."""
    sampler = FrameSampler(fps)
    for timestamp, frame in frames:
        for _, chosen in sampler.push(timestamp, frame):
            yield chosen
    for _, chosen in sampler.finish():
        yield chosen


def blocks(frames: Iterator[Any], size: int = BLOCK_FRAMES) -> Iterator[list[Any]]:
    """Lists of `size` frames, the last one shorter."""
    block: list[Any] = []
    for frame in frames:
        block.append(frame)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


@dataclass(frozen=True)
class PoseStream:
    """Rows of a pose clip as they are read: (seconds, (row of each track, whether each was observed)); fps of the rows; how many
    people the file holds, None where it cannot hold several; notes on the picture, known when the first row is."""

    rows: Iterator[tuple[float, tuple[dict, dict]]]
    fps: float
    tracks: tuple[str, ...]
    source: str
    people: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def stream_video(extractor: Any, config: Any, video: Any, source_fps: float | None, cache: bool = True) -> PoseStream:
    """Opens a video whose landmarks are extracted as rows are asked for, or were before.

    Raises:
        SignXError: it cannot be opened, or no track of the model can be extracted. ImportError: MediaPipe is not installed.
    """
    name = name_of(video)
    rate = extractor.fps if source_fps is None else source_fps
    options = LandmarkOptions(rate, extractor.fps, name=name, cache=cache)
    landmarks = open_landmarks(video, tracks_of(extractor, config, name), options)
    if landmarks.cached is not None:
        return replace(stream_poses(extractor, landmarks.cached, None), source=landmarks.source)
    rows = ((seconds, (found, observed)) for seconds, found, observed in landmarks.rows)
    return PoseStream(rows, landmarks.fps, landmarks.tracks, landmarks.source, notes=landmarks.notes)


def stream_poses(extractor: Any, clip: Any, source_fps: float | None, person: int | str | None = None) -> PoseStream:
    """Reads what `SignXPoseFeatureExtractor` reads; `.npz` files, `.npy` files and what is in memory block by block.

    Raises:
        SignXPoseError, SignXFileNotFoundError: as the extractor.
    """
    parts = _pose_blocks(extractor, clip, person)
    first = next(parts)
    extractor._compare_notes(first)
    known = (rate for rate in (source_fps, first.fps, extractor.fps) if rate is not None)
    fps = checked_fps(next(known, None), f"{first.source}: source fps", "; give source_fps=")

    def rows() -> Iterator[tuple[float, tuple[dict, dict]]]:
        part, number, start, last = first, 0, None, 0.0
        while part is not None:
            for index in range(part.num_frames):
                if part.timestamps is None:
                    seconds = number / fps
                else:
                    start = float(part.timestamps[0]) if start is None else start
                    seconds = float(part.timestamps[index]) - start
                _check_step(last, seconds, first.source, is_sampled=extractor.fps is not None)
                last = seconds
                tracks = {name: values[index] for name, values in part.tracks.items()}
                yield seconds, (tracks, {name: bool(mask[index]) for name, mask in part.masks.items()})
                number += 1
            part = next(parts, None)

    return PoseStream(rows(), float(fps), tuple(first.tracks), first.source, first.people, picture_notes(first))


def _check_step(last: float, seconds: float, source: str, is_sampled: bool) -> None:
    """Blocks are read one by one, so what lies between them is checked here, as the extractor does for a whole clip.

    is_sampled: frames are picked at a rate, so a gap would be filled with one frame over and over.
    """
    if seconds < last:
        raise SignXPoseError(
            f"{source}: time stamps run backwards, from {last:g} to {seconds:g} s: wanted ascending seconds; sort the frames by time"
        )
    if is_sampled and seconds - last > MAX_GAP_SECONDS:
        raise SignXPoseError(
            f"{source}: frames lie up to {seconds - last:g} s apart; wanted at most {MAX_GAP_SECONDS:g} s; give time stamps in seconds and "
            "not in milliseconds, or correct the fps of the clip"
        )


def _pose_blocks(extractor: Any, clip: Any, person: int | str | None) -> Iterator[Any]:
    """`PoseClip`s of at most MOST_ROWS_AT_ONCE rows where the clip allows, else one of all rows."""
    name = str(clip) if isinstance(clip, (str, Path)) else "clip"
    members = (
        _npz_members(clip, extractor) if isinstance(clip, (str, Path)) and name.lower().endswith(".npz") else None
    )
    if members is not None:
        for part in members:
            yield extractor.read(part, name, person)
        return
    if isinstance(clip, Mapping) and any(hasattr(clip.get(track), "__len__") for track in extractor.read_dims):
        frames = max(len(clip[track]) for track in extractor.read_dims if hasattr(clip.get(track), "__len__"))
        if frames > MOST_ROWS_AT_ONCE and _is_even(clip, frames):
            for start in range(0, frames, MOST_ROWS_AT_ONCE):
                yield extractor.read(_rows_of(clip, frames, start, start + MOST_ROWS_AT_ONCE), name, person)
            return
    yield extractor.read(clip, name, person)


def _is_even(clip: Mapping, frames: int) -> bool:
    """Whether every array of a clip has a row for each frame, so that it may be read in blocks."""
    arrays = [value for value in clip.values() if hasattr(value, "shape")]
    arrays += list((clip.get("masks") or {}).values())
    return all(hasattr(value, "shape") and len(value.shape) and value.shape[0] == frames for value in arrays)


def _rows_of(clip: Mapping, frames: int, start: int, stop: int) -> dict[str, Any]:
    part = {key: value[start:stop] if hasattr(value, "shape") else value for key, value in clip.items()}
    if clip.get("masks"):
        part["masks"] = {key: mask[start:stop] for key, mask in clip["masks"].items()}
    return part


def _npz_members(path: str | Path, extractor: Any) -> Iterator[dict[str, Any]] | None:
    """The rows of a `.npz` file block by block; None for one that only the extractor itself can read or refuse."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name[:-4] for name in archive.namelist() if name.endswith(".npy")}
            heads = {name: _npy_header(archive, name) for name in names}
            if (
                archive.testzip() is not None
            ):  # checked before: sums are known at the end, after the model has seen the rows
                return None
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, MemoryError, SyntaxError, *DAMAGE):
        return None
    rows = {name: shape for name, (shape, fortran, dtype) in heads.items() if shape and not fortran}
    tracks = [name for name in extractor.read_dims if len(rows.get(name, ())) == 2]
    lengths = {rows[name][0] for name in rows}
    known = {*extractor.read_dims, *(f"{name}_mask" for name in extractor.read_dims), "timestamps"}
    if not tracks or len(lengths) != 1 or not set(rows) <= known or any(h[2].hasobject for h in heads.values()):
        return None
    scalars = set(heads) - set(rows)
    if not scalars <= {"fps", "notes"} or min(lengths) <= MOST_ROWS_AT_ONCE:
        return None
    return _read_npz(path, rows, heads, scalars, lengths.pop())


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    with archive.open(f"{name}.npy") as file:
        return _read_header(file)


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _read_npz(path: str | Path, rows: dict, heads: dict, scalars: set[str], frames: int) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        single = {}
        for name in scalars:
            with archive.open(f"{name}.npy") as file:
                single[name] = np.lib.format.read_array(file, allow_pickle=False).item()
        files = {name: archive.open(f"{name}.npy") for name in rows}
        try:
            for file in files.values():
                _read_header(file)
            for start in range(0, frames, MOST_ROWS_AT_ONCE):
                count = min(MOST_ROWS_AT_ONCE, frames - start)
                part: dict[str, Any] = dict(single)
                for name, file in files.items():
                    shape, dtype = (count, *rows[name][1:]), heads[name][2]
                    size = int(np.prod(shape)) * dtype.itemsize
                    content = file.read(size)
                    if len(content) < size:
                        raise SignXPoseError(f"{path}: '{name}' ends after fewer rows than it declares; copy it again")
                    part[name] = np.frombuffer(content, dtype).reshape(shape)
                yield part
        except (OSError, EOFError, *DAMAGE) as error:
            raise SignXPoseError(f"{path}: damaged ({error}); extract or copy it again") from error
        finally:
            for file in files.values():
                file.close()
