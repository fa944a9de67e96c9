"""Fingerspelling: letters that a hand holds, recognized frame by frame and joined into words.

A letter is spelled when the same one is best, and probable enough, for `hold_s` while the hand is nearly still; the
same letter again only after the hand has moved. A word ends when the hand leaves the picture or rests. Letters that
move, such as J and Z of American Sign Language, are not recognized.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.hands_signx import KNUCKLES, SMALLEST_PALM, WRIST
from ..processing.windowing_signx import check_seconds

PALM_SECONDS = 2.0  # over which the size of a palm is averaged, because it looks small from the side


@dataclass(frozen=True)
class SpellingOptions:
    """Thresholds that tell held letters from transitions.

    Attributes:
        hold_s: seconds that a letter must be held, after averages have settled, which takes `smooth_s` more.
        rest_s: seconds without a hand, or with a resting one, that end a word.
        smooth_s: seconds over which probabilities and positions are averaged.
        sure: probability that the best letter must have.
        still: palms per second; a hand whose landmarks move faster, on average, holds no letter.
        moved: palms per second; after a faster movement the same letter counts again.
    """

    hold_s: float = 0.2
    rest_s: float = 0.5
    smooth_s: float = 0.06
    sure: float = 0.5
    still: float = 2.5
    moved: float = 3.5

    def __post_init__(self):
        for name in ("hold_s", "rest_s", "smooth_s"):
            check_seconds(name, getattr(self, name))
        for name in ("sure", "still", "moved"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value < 0 or name == "sure" and value > 1:
                domain = "from 0 to 1" if name == "sure" else "of at least 0"
                raise SignXError(f"`{name}` must be a number {domain}, got {value!r}.")


@dataclass(frozen=True)
class SpelledWord:
    """Letters that were held one after the other.

    Attributes:
        gloss: the letters, joined.
        start, end: seconds, from the first frame of the first letter to the last frame of the last one.
        confidence: mean probability of the letters.
        letters: `letter`, `start`, `end` and `confidence` of each.
    """

    gloss: str
    start: float
    end: float
    confidence: float
    letters: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)


@dataclass
class _Run:
    """A letter that has been best and probable enough since `start`."""

    letter: int
    start: float
    end: float
    total: float = 0.0
    frames: int = 0
    is_spelled: bool = False


class LetterSpeller:
    """Join letters into words, from their probabilities frame by frame.

        speller = LetterSpeller("ABCD")
        for seconds, probabilities, landmarks in frames:
            word = speller.push(seconds, probabilities, landmarks)
        word = speller.flush()

    Args:
        letters: names of the letters, in the order of their probabilities.
        options: `SpellingOptions`.
    """

    def __init__(self, letters: Sequence[str], options: SpellingOptions | None = None):
        self.letters, self.options = list(letters), SpellingOptions() if options is None else options
        self._word: list[_Run] = []
        self._forget_hand()

    def _forget_hand(self) -> None:
        """Forget the hand and its averages."""
        self._mean: np.ndarray | None = None  # of probabilities
        self._place: np.ndarray | None = None  # of landmarks
        self._palm = 0.0
        self._run: _Run | None = None
        self._has_moved = True
        self._last: float | None = None

    def push(
        self, seconds: float, probabilities: np.ndarray | None, landmarks: np.ndarray | None
    ) -> SpelledWord | None:
        """Take the next frame.

        Args:
            seconds: timestamp, ascending.
            probabilities: `[letters]`; None if there is no hand, or it rests.
            landmarks: `[21, 2]` of the hand, in picture heights.

        Returns:
            The word that ends now, or None.
        """
        if probabilities is None or landmarks is None:
            return self._end() if self._last is not None and seconds - self._last >= self.options.rest_s else None
        speed = self._follow(seconds, probabilities, landmarks)
        self._has_moved = self._has_moved or speed > self.options.moved
        best = int(self._mean.argmax())
        holds = speed <= self.options.still and self._mean[best] >= self.options.sure
        if not holds:
            self._close_run(seconds)
        elif self._run is None or self._run.letter != best:
            self._run = _Run(best, seconds, seconds)
        if self._run is not None and self._run.letter == best and holds:
            self._hold(seconds, float(self._mean[best]))
        return None

    def _follow(self, seconds: float, probabilities: np.ndarray, landmarks: np.ndarray) -> float:
        """Update the averages, and return how fast the hand moves, in palms per second."""
        palm = float(np.linalg.norm(landmarks[list(KNUCKLES)] - landmarks[WRIST], axis=-1).mean())
        if self._mean is None:
            self._mean, self._place, self._palm = np.asarray(probabilities, float), landmarks.astype(float), palm
            self._last = seconds
            return 0.0
        step = max(seconds - self._last, 1e-3)
        self._last = seconds
        self._palm = max(palm, self._palm * math.exp(-step / PALM_SECONDS))
        share = 1 - math.exp(-step / self.options.smooth_s)
        distance = np.linalg.norm(landmarks - self._place, axis=-1).mean()
        self._mean += share * (probabilities - self._mean)
        self._place += share * (landmarks - self._place)
        # The mean lags behind a hand of constant speed by the distance it covers in step / share.
        return float(distance / max(self._palm, SMALLEST_PALM) * share / step)

    def _hold(self, seconds: float, probability: float) -> None:
        run = self._run
        run.end, run.total, run.frames = seconds, run.total + probability, run.frames + 1
        if run.is_spelled:
            self._has_moved = False  # trembling does not count
        if run.is_spelled or seconds - run.start < self.options.hold_s - 1e-6:
            return
        is_new = not self._word or self._word[-1].letter != run.letter or self._has_moved
        if is_new:
            self._word.append(run)
        else:  # the hand did not move: it is still the same letter
            known = self._word[-1]
            known.end, known.total, known.frames = run.end, known.total + run.total, known.frames + run.frames
            self._run = known
        self._run.is_spelled = True
        self._has_moved = False

    def _close_run(self, seconds: float) -> None:
        """End the held letter, unless it may come back at once."""
        if self._run is not None and seconds - self._run.end > self.options.smooth_s:
            self._run = None

    def partial(self) -> SpelledWord | None:
        """Return the current word as spelled so far; None if there is none."""
        if not self._word:
            return None
        letters = tuple(
            {
                "letter": self.letters[run.letter],
                "start": round(run.start, 4),
                "end": round(run.end, 4),
                "confidence": round(run.total / run.frames, 4),
            }
            for run in self._word
        )
        text = "".join(item["letter"] for item in letters)
        confidence = sum(item["confidence"] for item in letters) / len(letters)
        return SpelledWord(text, letters[0]["start"], letters[-1]["end"], round(confidence, 4), letters)

    def _end(self) -> SpelledWord | None:
        word = self.partial()
        self._word = []
        self._forget_hand()
        return word

    def flush(self) -> SpelledWord | None:
        """End the recording and return the current word; None if there is none."""
        return self._end()
