"""Result types of the pipelines.

The pipelines build these and return `to_dict()` of them: plain dictionaries that can be written as JSON. `from_dict`
reads such a dictionary back; keys that a type does not have, such as those that a file adds, are ignored.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GlossSegment:
    """A gloss with its time in the clip.

    Attributes:
        gloss: Name of the sign.
        start: Start in seconds; None from a model without CTC.
        end: End in seconds; None from a model without CTC.
        confidence: From 0 to 1; None for a gloss outside the CTC vocabulary, whose time is that between its neighbors,
            and from a model without CTC.
    """

    gloss: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the segment as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, segment: Mapping[str, Any]) -> "GlossSegment":
        """Build the segment from what `to_dict` returned."""
        return cls(segment["gloss"], segment["start"], segment["end"], segment["confidence"])


@dataclass(frozen=True)
class Hypothesis:
    """One of several possible gloss sequences of a clip.

    Attributes:
        glosses: Names of the signs in order.
        score: Log-probability as the decoder computes it, with any language model; higher is better.
    """

    glosses: tuple[str, ...]
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the hypothesis as a plain dictionary."""
        return {"glosses": list(self.glosses), "score": self.score}

    @classmethod
    def from_dict(cls, hypothesis: Mapping[str, Any]) -> "Hypothesis":
        """Build the hypothesis from what `to_dict` returned."""
        return cls(tuple(hypothesis["glosses"]), hypothesis["score"])


@dataclass(frozen=True)
class Utterance:
    """A stretch of a long recording that was decoded at once. `start` and `end` are in seconds."""

    start: float
    end: float

    def to_dict(self) -> dict[str, Any]:
        """Return the utterance as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, utterance: Mapping[str, Any]) -> "Utterance":
        """Build the utterance from what `to_dict` returned."""
        return cls(utterance["start"], utterance["end"])


@dataclass(frozen=True)
class Signer:
    """Whose signing was read, and how.

    Attributes:
        person: Index of the person in a pose file, or the rule that chose them; None where a clip cannot hold several
            people.
        people: How many people the pose file holds; None where it cannot hold several.
        hand: Leading hand, `"right"` or `"left"`; None if it was neither declared nor detected, or changed during a
            long recording.
        mirrored: Whether the clip was mirrored.
    """

    person: int | str | None = None
    people: int | None = None
    hand: str | None = None
    mirrored: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the signer as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, signer: Mapping[str, Any]) -> "Signer":
        """Build the signer from what `to_dict` returned."""
        return cls(signer["person"], signer["people"], signer["hand"], signer["mirrored"])


@dataclass(frozen=True)
class Recognition:
    """Result of `sign-recognition` and `sign-spotting`: the signs of one clip.

    Attributes:
        glosses: Names of the signs in order; empty where the model is not sure.
        segments: Each gloss with its time and confidence.
        n_best: Hypotheses, best first.
        duration: Seconds at which the clip ends; like all times, from the start of the file.
        signer: Whose signing was read, and how; None if unknown.
        known: Mean confidence of the glosses, 0 to 1: how similar the clip is to the training data. None for
            `sign-spotting` and a model without CTC.
        utterances: Stretches of a recording that was read in windows; None for a clip that was read at once.
        sure: Whether `known` reaches the threshold; None without a threshold.
        reason: Why there are no glosses; None otherwise.
        translation: What was signed in a spoken language, one sentence for the clip or each utterance; empty where the
            model is not sure, None if it was not asked for.
    """

    glosses: tuple[str, ...]
    segments: tuple[GlossSegment, ...]
    n_best: tuple[Hypothesis, ...]
    duration: float
    signer: Signer | None = None
    known: float | None = None
    utterances: tuple[Utterance, ...] | None = None
    sure: bool | None = None
    reason: str | None = None
    translation: "tuple[Sentence, ...] | None" = None

    @property
    def text(self) -> str:
        """Return the glosses joined by spaces."""
        return " ".join(self.glosses)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary, without `known`, `utterances`, `sure`, `reason` and `translation`
        where they are None.
        """
        result: dict[str, Any] = {
            "glosses": list(self.glosses),
            "text": self.text,
            "segments": [segment.to_dict() for segment in self.segments],
            "n_best": [hypothesis.to_dict() for hypothesis in self.n_best],
            "duration": self.duration,
            "signer": None if self.signer is None else self.signer.to_dict(),
        }
        if self.known is not None:
            result["known"] = self.known
        if self.utterances is not None:
            result["utterances"] = [utterance.to_dict() for utterance in self.utterances]
        if self.sure is not None:
            result["sure"] = self.sure
        if self.reason is not None:
            result["reason"] = self.reason
        if self.translation is not None:
            result["translation"] = [asdict(sentence) for sentence in self.translation]
        return result

    @classmethod
    def from_dict(cls, result: Mapping[str, Any]) -> "Recognition":
        """Build the result from what `to_dict` or a pipeline returned."""
        signer, utterances = result.get("signer"), result.get("utterances")
        sentences = result.get("translation")
        return cls(
            glosses=tuple(result["glosses"]),
            segments=tuple(GlossSegment.from_dict(segment) for segment in result["segments"]),
            n_best=tuple(Hypothesis.from_dict(hypothesis) for hypothesis in result["n_best"]),
            duration=result["duration"],
            signer=None if signer is None else Signer.from_dict(signer),
            known=result.get("known"),
            utterances=None if utterances is None else tuple(Utterance.from_dict(part) for part in utterances),
            sure=result.get("sure"),
            reason=result.get("reason"),
            translation=None if sentences is None else tuple(Sentence(**sentence) for sentence in sentences),
        )


@dataclass(frozen=True)
class Word:
    """A word of a translation, with the geometric mean of the probabilities of its pieces as `confidence`, 0 to 1."""

    word: str
    confidence: float


@dataclass(frozen=True)
class Sentence:
    """A translated sentence with its time.

    Attributes:
        text: In the spoken language.
        start: Start of the signing that it translates, in seconds.
        end: End of that signing, in seconds.
        confidence: Geometric mean of the probabilities of its pieces, 0 to 1.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class TextHypothesis:
    """One of several possible translations, with its log-probability as the decoder computes it; higher is better."""

    text: str
    score: float


@dataclass(frozen=True)
class Translation:
    """Result of `sign-translation`: what is signed in one clip, in a spoken language.

    Attributes:
        words: Words of the text, in order.
        n_best: Hypotheses, best first.
        sentences: The text with its time: one for a clip, one for each utterance of a long recording.
        duration: Length of the clip in seconds.
        signer: Whose signing was read, and how; None if unknown.
        reason: Why there is no text; None otherwise.
    """

    words: tuple[Word, ...]
    n_best: tuple[TextHypothesis, ...]
    sentences: tuple[Sentence, ...]
    duration: float
    signer: Signer | None = None
    reason: str | None = None

    @property
    def text(self) -> str:
        """Return the sentences joined by spaces."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def confidence(self) -> float:
        """Return the geometric mean of the confidences of the words; 0 without text."""
        logs = [math.log(max(word.confidence, 1e-12)) for word in self.words]
        return math.exp(sum(logs) / len(logs)) if logs else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary; `reason` is left out where it is None."""
        result = {
            "text": self.text,
            "confidence": self.confidence,
            "words": [asdict(word) for word in self.words],
            "n_best": [asdict(hypothesis) for hypothesis in self.n_best],
            "sentences": [asdict(sentence) for sentence in self.sentences],
            "duration": self.duration,
            "signer": None if self.signer is None else self.signer.to_dict(),
        }
        return result if self.reason is None else {**result, "reason": self.reason}

    @classmethod
    def from_dict(cls, result: Mapping[str, Any]) -> "Translation":
        """Build the result from what `to_dict` or the pipeline returned."""
        signer = result.get("signer")
        return cls(
            words=tuple(Word(**word) for word in result["words"]),
            n_best=tuple(TextHypothesis(**hypothesis) for hypothesis in result["n_best"]),
            sentences=tuple(Sentence(**sentence) for sentence in result["sentences"]),
            duration=result["duration"],
            signer=None if signer is None else Signer.from_dict(signer),
            reason=result.get("reason"),
        )


@dataclass(frozen=True)
class Candidate:
    """A sign that a clip of a single sign may show.

    Attributes:
        label: Name of the sign.
        score: Probability within the vocabulary.
    """

    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, candidate: Mapping[str, Any]) -> "Candidate":
        """Build the candidate from what `to_dict` returned."""
        return cls(candidate["label"], candidate["score"])


@dataclass(frozen=True)
class Rejection:
    """Scores that decide whether the model is sure of a sign.

    Attributes:
        score: Name of the rejection score, one of `SignXConfig.rejection_score`.
        value: Value of that score for the clip.
        threshold: Value below which the model is not sure; None: it always is.
    """

    score: str
    value: float
    threshold: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the rejection as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, rejection: Mapping[str, Any]) -> "Rejection":
        """Build the rejection from what `to_dict` returned."""
        return cls(rejection["score"], rejection["value"], rejection["threshold"])


@dataclass(frozen=True)
class SignRecognition:
    """Result of `isolated-sign-recognition` with `details`: the sign of one clip.

    Attributes:
        candidates: Possible signs, best first.
        start: Where the hands begin to sign, in seconds.
        end: Where they stop, in seconds.
        sure: Whether the best candidate is the answer; None without a threshold.
        rejection: What decided that.
        duration: Seconds at which the clip ends; like all times, from the start of the file.
        signer: Whose signing was read, and how; None if unknown.
        reason: Why there is no sign; None otherwise.
    """

    candidates: tuple[Candidate, ...]
    start: float
    end: float
    sure: bool | None
    rejection: Rejection
    duration: float
    signer: Signer | None = None
    reason: str | None = None

    @property
    def glosses(self) -> tuple[str, ...]:
        """Return the best sign, or nothing where the model is not sure."""
        return () if self.sure is False else (self.candidates[0].label,)

    @property
    def segments(self) -> tuple[GlossSegment, ...]:
        """Return the best sign with its time and probability, or nothing where the model is not sure."""
        return tuple(GlossSegment(gloss, self.start, self.end, self.candidates[0].score) for gloss in self.glosses)

    @property
    def text(self) -> str:
        """Return the best sign, or an empty string where the model is not sure."""
        return " ".join(self.glosses)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary; `reason` is left out where it is None."""
        result = {
            "glosses": list(self.glosses),
            "text": self.text,
            "segments": [segment.to_dict() for segment in self.segments],
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "start": self.start,
            "end": self.end,
            "sure": self.sure,
            "rejection": self.rejection.to_dict(),
            "duration": self.duration,
            "signer": None if self.signer is None else self.signer.to_dict(),
        }
        return result if self.reason is None else {**result, "reason": self.reason}

    @classmethod
    def from_dict(cls, result: Mapping[str, Any]) -> "SignRecognition":
        """Build the result from what `to_dict` or a pipeline with `details` returned."""
        signer = result.get("signer")
        return cls(
            candidates=tuple(Candidate.from_dict(candidate) for candidate in result["candidates"]),
            start=result["start"],
            end=result["end"],
            sure=result["sure"],
            rejection=Rejection.from_dict(result["rejection"]),
            duration=result["duration"],
            signer=None if signer is None else Signer.from_dict(signer),
            reason=result.get("reason"),
        )
