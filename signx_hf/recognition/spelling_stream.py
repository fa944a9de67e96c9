"""Fingerspelling with a model of letters: frames or poses in, words out.

`SignXSpellingStreamer` reads a camera and `SpellingRecognizer` clips, with the same result for the same frames. The
higher of two hands spells. Each frame is classified by itself; `LetterSpeller` joins the letters into words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..processing.answers_signx import NEVER, check_threshold
from ..processing.base_pipeline_signx import each_clip, is_many, is_pose, unpack_stored_video
from ..processing.checks_signx import check_entry, check_nearest
from ..processing.errors_signx import SignXError, SignXPoseError
from ..processing.hand_sources_signx import picture_aspect
from ..processing.hands_signx import HANDS, MIRROR_SIGNS, WRIST, hand_features, in_picture_heights, rows_to_hands
from ..processing.pose_stream_signx import PoseStream, stream_poses, stream_video
from ..processing.sampling_signx import FrameSampler
from ..processing.signer_signx import name_of
from ..processing.trained_signx import takes_landmarks
from ..processing.utterances_signx import StartClock, sampled
from ..processing.vocabulary_signx import vocabulary_ids
from .spelling import LetterSpeller, SpelledWord, SpellingOptions
from .streaming import SignXStreamer, StreamUpdate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..processing.base_pipeline_signx import SignXPipeline
    from ..processing.isolated_pipeline_signx import IsolatedSignRecognitionPipeline

BLOCK = 256  # frames in one batch
# A hand rests if all of it is below this height; hands that sign in WLASL are rarely so low.
RESTING_TOP = 0.78
# The other hand takes over if it is higher by this fraction of the picture's height.
HIGHER = 0.08
# Options of the pipeline of isolated signs that apply to spelling, and why others do not.
OPTIONS = ("vocabulary", "threshold", "source_fps", "hand", "person", "landmarks_cache", "details")
WHY_NOT = {"top_k": "words that are spelled have no candidates"}


def is_speller(model: "PreTrainedModel") -> bool:
    """Return whether the signs of a model are letters, to be joined into words."""
    return bool(getattr(model.config, "spells", False))


class FrameSpeller:
    """Turn rows of the track `hands` into words.

    Args:
        recognizer: a pipeline of isolated-sign-recognition whose model spells.
        options: `SpellingOptions`.
        vocabulary: possible letters, or a file of them; None: all.
        mirrored: whether the hand is a left one.
    """

    def __init__(
        self,
        recognizer: "IsolatedSignRecognitionPipeline",
        options: SpellingOptions | None = None,
        vocabulary: str | Path | Sequence[str] | None = None,
        mirrored: bool = False,
    ):
        config = recognizer.model.config
        if not is_speller(recognizer.model):
            raise SignXError(
                "`recognizer` must be a pipeline of a model of letters (`spells` in its config), got one of other "
                "signs. Use SignXSignStreamer."
            )
        self._recognizer, self._mirrored = recognizer, mirrored
        self._ids = (
            list(range(config.num_labels)) if vocabulary is None else list(vocabulary_ids(vocabulary, config.id2label))
        )
        self.speller = LetterSpeller([config.id2label[index] for index in self._ids], options)
        self._hand: np.ndarray | None = None  # last position of the spelling wrist

    def push(self, rows: np.ndarray, observed: np.ndarray, times: Sequence[float], aspect: float) -> list[SpelledWord]:
        """Take frames and return the words that end in them.

        Args:
            rows: of the track `hands`, `[n, 126]`.
            observed: bool `[n]`.
            times: of the frames, in seconds.
            aspect: width of the picture divided by its height.
        """
        hands, seen = rows_to_hands(rows, observed)
        chosen = [self._choose(*frame) for frame in zip(hands, seen)]
        shown = [index for index, hand in enumerate(chosen) if hand is not None]
        words: list[SpelledWord] = []
        if shown:
            picked = in_picture_heights(
                hands[shown, [chosen[index] for index in shown]], aspect, self._recognizer.feature_extractor.use_depth
            )
            letters = dict(zip(shown, zip(self._probabilities(picked), picked[..., :2])))
        else:
            letters = {}
        for index, seconds in enumerate(times):
            word = self.speller.push(float(seconds), *letters.get(index, (None, None)))
            words += [] if word is None else [word]
        return words

    def flush(self) -> list[SpelledWord]:
        """End the recording and return the current word, in a list; an empty one if there is none."""
        self._hand = None
        word = self.speller.flush()
        return [] if word is None else [word]

    def _choose(self, hands: np.ndarray, seen: np.ndarray) -> int | None:
        """Return which of the detections `[2, 21, 3]` of a frame spells; None if each hand rests or is absent."""
        active = [slot for slot in range(HANDS) if seen[slot] and hands[slot, :, 1].min() < RESTING_TOP]
        if not active:
            self._hand = None
            return None
        wrists = hands[:, WRIST, :2]
        best = min(active, key=lambda slot: wrists[slot, 1])
        if self._hand is not None and len(active) == HANDS:
            nearest = min(active, key=lambda slot: float(np.linalg.norm(wrists[slot] - self._hand)))
            best = nearest if wrists[nearest, 1] - wrists[best, 1] < HIGHER else best
        self._hand = wrists[best]
        return best

    def _probabilities(self, hands: np.ndarray) -> np.ndarray:
        """Return the probabilities `[n, letters]` of single hands, `[n, 21, 3]` in picture heights."""
        model, extractor = self._recognizer.model, self._recognizer.feature_extractor
        if self._mirrored:
            hands = hands * np.array([-1.0, 1.0, 1.0], dtype=np.float32)
        both = np.stack([hands, np.zeros_like(hands)], axis=1)[:, None]
        seen = np.tile(np.array([True, False]), (len(hands), 1, 1))
        rows = torch.from_numpy(hand_features(both, seen, None, extractor.shape_only)).to(model.device)
        views = [rows, rows * rows.new_tensor(MIRROR_SIGNS)] if model.config.average_mirror else [rows]
        temperature, batches = model.config.confidence_temperature, []
        with torch.inference_mode():
            for start in range(0, len(rows), BLOCK):
                parts = [model(pose_values=view[start : start + BLOCK]).frame_logits[:, 0] for view in views]
                scaled = [part[:, self._ids].float() / temperature for part in parts]
                batches.append(torch.stack([part.softmax(-1) for part in scaled]).mean(0))
        return torch.cat(batches).cpu().numpy()


class SignXSpellingStreamer(SignXStreamer):
    """Recognize fingerspelling in a recording while it goes on; `push` and `flush` work as in `SignXStreamer`.

        streamer = SignXSpellingStreamer(recognizer, source="video")
        for frame, seconds in camera:
            update = streamer.push(frame, seconds)
            print(update.final, update.partial)  # finished words, the current word

    Args:
        recognizer: an `isolated-sign-recognition` pipeline of a model that spells.
        source: `"video"` (frames) or `"poses"` (rows of the tracks that the model knows).
        fps: frame rate of what is pushed without timestamps; None: that of the processor.
        options: `SpellingOptions`.
        call_options: `vocabulary`, `threshold` (minimum probability of a letter) and `hand`.

    Raises:
        SignXError: If the model does not spell, or an option is out of its domain.
    """

    def __init__(
        self,
        recognizer: "IsolatedSignRecognitionPipeline",
        source: str = "video",
        fps: float | None = None,
        options: SpellingOptions | None = None,
        **call_options: Any,
    ):
        self.options, vocabulary, mirrored = read_options(recognizer, options, call_options)
        self._frames = FrameSpeller(recognizer, self.options, vocabulary, mirrored)
        self._store = SimpleNamespace(notes={})
        self._open(recognizer.model, recognizer.processor, source, fps)
        self._restart(0.0)

    @property
    def latency_s(self) -> float:
        """Seconds that a letter is held until it counts."""
        return self.options.hold_s

    @property
    def frames_encoded(self) -> int:
        """Number of frames that went through a frame encoder: none, as letters are read from landmarks."""
        return 0

    def _restart(self, origin: float) -> None:
        self._open_recording()
        self._sampler = FrameSampler(self.fps)
        self._origin, self._newest, self._count = origin, None, 0
        self._partial: list[SpelledWord] = []

    def flush(self) -> StreamUpdate:
        """End the recording and the current word; pushing again begins another recording."""
        time = self._newest or 0.0
        if self._newest is None:
            return StreamUpdate(time=time)
        final, _ = self._advance([frame for _, frame in self._sampler.finish()])
        final += self._frames.flush()
        self._restart(time)
        return StreamUpdate(final, [], time, bool(final))

    def _advance(self, chosen: list) -> tuple[list[SpelledWord], bool]:
        if not chosen:
            return [], False
        rows = self._prepared(chosen)
        times = [self._origin + (self._count + index) / self.fps for index in range(len(rows))]
        self._count += len(rows)
        aspect = picture_aspect(SimpleNamespace(size=None, notes=self._store.notes))
        hands = np.stack([tracks["hands"] for tracks, _ in rows])
        observed = np.array([masks["hands"] for _, masks in rows], bool)
        words = self._frames.push(hands, observed, times, aspect)
        partial = self._frames.speller.partial()
        self._partial = [] if partial is None else [partial]
        return words, bool(words)


def read_options(
    recognizer: "IsolatedSignRecognitionPipeline", options: SpellingOptions | None, given: Mapping[str, Any]
) -> tuple[SpellingOptions, str | Path | Sequence[str] | None, bool]:
    """Read the options of a call.

    Returns:
        `SpellingOptions`, the vocabulary, and whether the hand is mirrored.

    Raises:
        SignXError, ValueError: If an option does not apply to spelling, or is out of its domain.
    """
    for name in given:
        if name in WHY_NOT:
            raise SignXError(f"`{name}` does not apply to models of letters: {WHY_NOT[name]}. Leave it out.")
    recognizer.check_options(**given)
    if options is not None and not isinstance(options, SpellingOptions):
        raise SignXError(f"`options` must be SpellingOptions, got {type(options).__name__}.")
    options = SpellingOptions() if options is None else options
    threshold, config = given.get("threshold"), recognizer.model.config
    if threshold is None and config.rejection_score == "probability":
        threshold = config.rejection_threshold
    if threshold is not None:
        checked = check_threshold(threshold, "probability")
        options = replace(options, sure=0.0 if checked == NEVER else float(checked))
    hand = given.get("hand") or "as_trained"
    if hand == "detect":
        raise SignXError("`hand` must be 'right', 'left' or 'as_trained' for models of letters, got 'detect'.")
    return options, given.get("vocabulary"), hand == "left"


class SpellingRecognizer:
    """Read the words that are spelled in full clips.

    Call it like the pipeline, with a clip or a list of clips. It returns a dict for each, as `sign-recognition` does:
    `glosses` and `segments` are words, `letters` has their letters with times and confidence; `duration`, `signer`,
    and `reason` if nothing is spelled.

    Args:
        recognizer: an `isolated-sign-recognition` pipeline of a model that spells.
        options: `SpellingOptions`.
    """

    def __init__(self, recognizer: "IsolatedSignRecognitionPipeline", options: SpellingOptions | None = None):
        self.recognizer, self._options = recognizer, options
        self.model, self.processor = recognizer.model, recognizer.processor
        read_options(recognizer, options, {})

    def check_options(self, **options: Any) -> None:
        """Reject options that no clip could be read with."""
        read_options(self.recognizer, self._options, options)

    def __call__(self, inputs: Any, batch_size: int = 1, **options: Any) -> dict[str, Any] | list[dict[str, Any]]:
        if is_many(inputs):
            return [self._spell(clip, options) for clip in each_clip(inputs)]
        return self._spell(inputs, options)

    def _spell(self, clip: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        options, vocabulary, mirrored = read_options(self.recognizer, self._options, given)
        person = given.get("person")
        stream = self._open(clip, given)
        speller = FrameSpeller(self.recognizer, options, vocabulary, mirrored)
        fps = self.processor.feature_extractor.fps or stream.fps
        words, count, is_seen, clock = [], 0, False, StartClock()
        for block in _blocks(sampled(clock.since_first(stream.rows), self.processor.feature_extractor.fps)):
            rows = np.stack([tracks["hands"] for tracks, _ in block])
            observed = np.array([masks["hands"] for _, masks in block], bool)
            is_seen = is_seen or bool(observed.any())
            aspect = picture_aspect(SimpleNamespace(size=None, notes=stream.notes))
            times = [clock.start + (count + index) / fps for index in range(len(block))]
            words += speller.push(rows, observed, times, aspect)
            count += len(block)
        words += speller.flush()
        if not is_seen:
            raise SignXPoseError(
                f"{stream.source}: no hand is visible in the clip. Pass one that shows the hands, or leave it out."
            )
        signer = {
            "person": None if stream.people is None else (person or self.processor.feature_extractor.person),
            "people": stream.people,
            "hand": given.get("hand") if given.get("hand") != "as_trained" else None,
            "mirrored": mirrored,
        }
        result = {
            "glosses": [word.gloss for word in words],
            "text": " ".join(word.gloss for word in words),
            "segments": [
                {"gloss": word.gloss, "start": word.start, "end": word.end, "confidence": word.confidence}
                for word in words
            ],
            "letters": [dict(letter) for word in words for letter in word.letters],
            "duration": round((clock.start or 0.0) + count / fps, 4),
            "signer": signer,
        }
        return result if words else {**result, "reason": "no letter is held"}

    def _open(self, clip: Any, given: Mapping[str, Any]) -> PoseStream:
        """Return the rows of a clip, as `stream_poses` does."""
        clip = unpack_stored_video(clip)
        name, source_fps, person = name_of(clip), given.get("source_fps"), given.get("person")
        if not is_pose(clip) and takes_landmarks(self.model.config):
            check_nearest(person, name)
            cache = given.get("landmarks_cache") is not False
            return stream_video(self.processor.feature_extractor, self.model.config, clip, source_fps, cache)
        check_entry(self.model.config, "poses" if is_pose(clip) else "video", name)
        return stream_poses(self.processor.feature_extractor, clip, source_fps, person)


def _blocks(items: Iterator[Any]) -> Iterator[list[Any]]:
    block: list[Any] = []
    for item in items:
        block.append(item)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def with_spelling(recognizer: "SignXPipeline", options: Mapping[str, Any]) -> "SignXPipeline | SpellingRecognizer":
    """Return the reader of clips for `recognize`: the pipeline, or a `SpellingRecognizer` for letters.

    Raises:
        SignXError: If an option of the call does not apply to letters.
    """
    model = getattr(recognizer, "model", None)  # any callable will do, with a model or without
    if model is None or not is_speller(model):
        return recognizer
    reader = SpellingRecognizer(recognizer)
    reader.check_options(**options)
    return reader
