"""The pipeline `sign-recognition`. It travels with the weights."""

import difflib
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

import torch

from .answers_signx import NEVER, check_threshold, known_score
from .checks_signx import check_ctc, check_ctc_options, check_task, has_ctc
from .errors_signx import SignXError, SignXWarning
from .inputs_signx import ClipInput
from .join_signx import join_results
from .results_signx import GlossSegment, Hypothesis, Recognition, Signer
from .segments_signx import ends_at, fill_times, on_clock, pad_boundaries, refine_boundaries
from .sentence_pipeline_signx import (
    READING,
    SignXSentencePipeline,
    generation_objects,
    generation_options,
    grouped,
)
from .text_items_signx import sentences_of

# Options of generate() that CTC-only decoding uses, too.
CTC_OPTIONS = ("num_beams", "lm", "lm_weight", "length_bonus", "hot_words")
ABSENT = 0.01  # confidence below which an aligned gloss is probably not signed in the clip


class Encoded(Protocol):
    """Output of a model's `encode`, as far as times need it."""

    ctc_logits: torch.Tensor
    aux_logits: torch.Tensor | None


class SignRecognitionPipeline(SignXSentencePipeline):
    """Recognize continuous signing: a clip to glosses with times and confidence.

        pipeline("sign-recognition", model="folder-or-hub-name")("clip.mp4")

    Input: A video (path, bytes, file, array `[T, H, W, 3]`, folder of frames), poses (dictionary of tracks, `.npz`,
    `.npy`, `.pose`, array `[T, D]`), or a list of these. For a model of poses, landmarks of a video are extracted on
    the fly with MediaPipe (`landmarks`), which needs the extra `mediapipe`.

    Options (at construction or call):
        decoder: `"attention"` uses the text decoder (with `ctc_weight` jointly with CTC), `"ctc"` prefix beam search.
            `"auto"`: `"ctc"` for a stage-3 checkpoint, which has no trained decoder, else `"attention"`.
        n_best: Number of hypotheses to return.
        num_beams: Width of either search (5, as in the paper).
        source_fps: Frames per second of arrays and frame lists.
        lm: N-gram model over glosses, the path of an ARPA file (`signx-hf lm train` makes one), with `lm_weight`
            (0.5), `length_bonus` per gloss (0) and `hot_words` (`{gloss: boost}`); added to the score of a hypothesis
            by either decoder.
        chunk_length_s: For recordings longer than the training clips: read them piece by piece in bounded memory, cut
            where the hands rest, and through windows of this length in seconds where they do not for that long. None
            reads the clip at once.
        stride_length_s: Overlap of such windows on each side in seconds (a fifth of `chunk_length_s`).
        hand: Leading hand of the signer. `"left"` mirrors the clip, so that a model of right-handed signers sees one:
            for poses the tracks `mediapipe`, `dwpose` and those made of them (others are refused), for videos the
            frames. `"right"` mirrors nothing. `"detect"`: for poses the hand that is seen more, or else moves more; a
            video is encoded as it is and mirrored, and the one with the more certain CTC (mean log-probability of the
            best gloss) is used, which takes twice the time and is refused with `chunk_length_s`. `"as_trained"`, the
            default: as the processor was saved (`right_handed`).
        person: For pose files with several people (`.pose`, OpenPose JSON), an index in the order of the file, or
            `"largest"`, the median area of the box times the share of frames; the default is that of the processor.
            Refused for videos: extract poses with `signx-hf extract --person`, which has further rules, or crop.
        landmarks_cache: Whether landmarks of videos are looked up and kept in the user's cache (True).
        threshold: Number from 0 to 1; where `known` is below it the model is not sure, and there are no glosses.
            `"none"`: always sure. None: as saved with the model (`config.rejection_threshold`, which `signx-hf
            calibrate --unknown` fits).
        translate: Whether the clip is also translated, by a model that has learned both tasks (`target: both`), from the
            same encoding.
        length_penalty (0.7, as in the paper), ctc_weight, attention_entropy_weight, ...: As for `generate()`, alone or
        in a dictionary `generate_kwargs`; `num_return_sequences` is `n_best`. CTC alone uses `num_beams`, `lm`,
        `lm_weight`, `length_bonus` and `hot_words`, and warns about others.

    Values of the model's own generation config (or `generation_config=`) take precedence over these defaults.

    Output: `Recognition` as a dictionary: `glosses` (list), `text` (joined), `segments` (list of `gloss`, `start`,
    `end` in seconds, `confidence` 0 to 1), `n_best` (list of `glosses`, `score`), `duration` in seconds, `signer`, and
    `known`, the mean confidence of the glosses from 0 to 1, which says how similar the clip is to the training data.
    Seconds count from the start of the file, as in players, also where its picture starts later than its sound.
    With a threshold also `sure`, and if that is False `reason`. A gloss outside the CTC vocabulary has `confidence`
    None and the time between its neighbors. A model without CTC (`SignXForPose2Gloss`) says what is signed and not when:
    `start`, `end` and `confidence` are None, `known` is left out, and what needs CTC is refused. With `chunk_length_s` also `utterances` (list of `start`, `end` of what
    was decoded together), and `reason` if nobody signs. `signer` says who was read and how: `person` (rule or index)
    and `people` (number in the file), both None for videos and poses of one person; `hand`, `"right"`, `"left"` or
    None if it was neither declared nor detected (or changed during a long recording); `mirrored`. With `translate`
    also `translation`, a list of `text`, `start`, `end`, `confidence`: one sentence for the clip, or one for each
    utterance; none where the model is not sure.
    """

    NAME = "sign-recognition"
    TASK = "gloss"
    OPTIONS = ("decoder", *READING, "threshold", "translate")
    _join = staticmethod(join_results)
    _warned: list[list[str]] = []  # options that a warning was given about

    def __call__(self, inputs: ClipInput | Iterable[ClipInput], *args, **kwargs) -> Any:
        """Process a clip, or several; see the base class."""
        self._warn_of_unread(kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def _warn_of_unread(self, options: dict[str, Any]) -> None:
        """Warn once about generation options that CTC-only decoding ignores."""
        known, options = self._forward_params, self._flat(options)
        if self._resolve(options.get("decoder") or known.get("decoder", "auto")) != "ctc":
            return
        if options.get("translate", known.get("translate")):  # the text decoder uses them
            return
        given = {name: value for name, value in options.items() if name in generation_options()} or known.get(
            "generation", {}
        )
        unread = [
            name
            for name, value in given.items()
            if name not in (*CTC_OPTIONS, "generation_config", "use_cache")
            and not (value is None or value is False or (type(value) in (int, float) and value == 0))
        ]
        if unread and unread not in self._warned:
            self._warned = [*self._warned, unread]
            warnings.warn(
                f"{', '.join(unread)} had no effect because glosses were decoded by CTC alone. Use "
                "decoder='attention' (--option decoder=attention) with a stage-4 checkpoint, or options that CTC "
                f"uses: {', '.join(CTC_OPTIONS)}.",
                SignXWarning,
                stacklevel=3,
            )

    def _sorted_options(self, decoder=None, threshold=None, translate=None, **kwargs):
        check_ctc_options(self.model, {"decoder": decoder, "threshold": threshold})
        preprocess, forward, postprocess = super()._sorted_options(**kwargs)
        if threshold is not None:
            postprocess["threshold"] = check_threshold(threshold, "known")
        if decoder is not None:
            if decoder not in ("auto", "attention", "ctc"):
                raise ValueError(f"`decoder` must be 'auto', 'attention' or 'ctc', got {decoder!r}.")
            forward["decoder"] = decoder
        if translate is not None:
            if not isinstance(translate, bool):
                raise ValueError(f"`translate` must be True or False, got {translate!r:.80}.")
            if translate:
                check_task(self.model, "text")
            forward["translate"] = translate
        return preprocess, forward, postprocess

    def _resolve(self, decoder: str) -> str:
        if decoder == "attention" and not self.model.can_generate():
            raise ValueError(
                f"`decoder` must be 'ctc' or 'auto' for {type(self.model).__name__}, which has no text decoder, got "
                "'attention'."
            )
        if decoder != "auto":
            return decoder
        stage3 = not self.model.can_generate() or "SignXForLatentCTC" in (self.model.config.architectures or [])
        return "ctc" if stage3 else "attention"

    def _uses_decoder(self) -> bool:
        return self._resolve("auto") == "attention"

    def _decode(
        self,
        encoded: Any,
        metadata: list[dict],
        n_best: int,
        generation: dict[str, Any],
        decoder: str = "auto",
        translate: bool = False,
    ) -> list[dict[str, Any]]:
        """Return hypotheses and segments of each clip, and with `translate` its text, from the same encoding."""
        config = self._generation_config(generation)
        if self._resolve(decoder) == "ctc":
            beams = max(config.num_beams, n_best)
            decoded = self.model.decode_ctc(
                encoded.ctc_logits, encoded.feature_mask, num_beams=beams, n_best=n_best, generation_config=config
            )
            hypotheses = [
                [{"glosses": self.tokenizer.decode_ctc(item.ids), "score": item.score} for item in items]
                for items in decoded
            ]
        else:
            sequences, scores = self._generate(encoded, n_best, config, generation_objects(generation))
            hypotheses = grouped(
                [
                    {"glosses": self.tokenizer.split_glosses(sentence), "score": float(score)}
                    for sentence, score in zip(
                        self.tokenizer.batch_decode(sequences, skip_special_tokens=True), scores
                    )
                ],
                n_best,
            )
        texts = [items[0] for items in self._texts(encoded, 1, generation)] if translate else None
        results = []
        for row, items in enumerate(hypotheses):
            if has_ctc(self.model):
                steps = int(encoded.feature_mask[row].sum())
                segments = self._segments(timed_logits(encoded)[row, :steps], items[0]["glosses"], metadata[row])
            else:
                segments = [GlossSegment(gloss).to_dict() for gloss in items[0]["glosses"]]
            text = None if texts is None else texts[row]
            results.append({"n_best": items, "segments": segments, "text": text})
        return results

    def align(
        self,
        clip: ClipInput,
        glosses: str | list[str],
        source_fps: float | None = None,
        hand: str | None = None,
        person: int | str | None = None,
    ) -> dict:
        """Return the times of glosses that are known to be signed in a clip, by forced alignment; nothing is
        recognized.

        Args:
            clip: One clip, as for a call.
            glosses: A list in order of signing, or one string with spaces.
            source_fps: Frames per second of arrays and frame lists.
            hand: As for a call; None: as at construction.
            person: As for a call; None: as at construction.

        Returns:
            A dictionary as of a call; the score of its one hypothesis is the log-probability of the alignment path.

        Raises:
            SignXError: If there are no glosses, one is unknown, there are more than the clip has room for, or the model has
                no CTC.
        """
        check_ctc(self.model, "align")
        words = self.tokenizer.split_glosses(glosses) if isinstance(glosses, str) else list(glosses)
        known = self.tokenizer.ctc_glosses
        if not words:
            raise SignXError("`glosses` must have at least one gloss, such as 'IX-1p FINISH', got none.")
        for position, gloss in enumerate(words, 1):
            if gloss not in set(known):
                near = [name for name in known if name.split("-")[0] == str(gloss)][:3]  # IX for IX-1p and IX-2p
                near = near or difflib.get_close_matches(str(gloss), known, n=3, cutoff=0.5)
                meant = f"the nearest are {', '.join(near)}" if near else f"it knows {len(known)}, such as {known[0]}"
                raise SignXError(f"gloss {position}, {gloss!r}, is not in the model's vocabulary; {meant}.")
        logits, metadata = self.timing(clip, source_fps, hand, person)
        ids = self.tokenizer.encode_ctc(words)
        needed = len(ids) + sum(left == right for left, right in zip(ids, ids[1:]))
        if needed > len(logits):
            raise SignXError(
                f"{len(words)} glosses need {needed} feature steps, but the clip has {len(logits)}. Use fewer "
                "glosses or a longer clip."
            )
        items = [{"glosses": words, "score": self.model.align_ctc(logits, ids).score}]
        segments = self._segments(logits, words, metadata)
        absent = [part["gloss"] for part in segments if part["confidence"] < ABSENT]
        if absent:
            warnings.warn(
                f"{metadata['source']}: {len(absent)} of {len(words)} glosses are probably not signed in the clip "
                f"({', '.join(absent[:5])}), so their times are meaningless. Pass the glosses that are signed in it, "
                "in that order.",
                SignXWarning,
                stacklevel=2,
            )
        outputs = {"results": {"n_best": items, "segments": segments, "metadata": metadata}}
        return self.postprocess(outputs, threshold=NEVER)  # the glosses are given, so none is rejected

    def timing(
        self,
        clip: ClipInput,
        source_fps: float | None = None,
        hand: str | None = None,
        person: int | str | None = None,
    ) -> tuple[torch.Tensor, dict]:
        """Return the logits `[T', V]` of one clip that times and confidences come from, and the clip's metadata.

        Args:
            clip: One clip, as for a call.
            source_fps: Frames per second of arrays and frame lists.
            hand: As for a call; None: as at construction.
            person: As for a call; None: as at construction.
        """
        options = {**self._preprocess_params, **self._reading_options(hand, person, None)}
        if source_fps is not None:
            options["source_fps"] = source_fps
        prepared = self.preprocess(clip, **options)
        with self.device_placement(), torch.inference_mode():
            inputs, metadata = self._split(self._ensure_tensor_on_device(prepared, device=self.device))
            encoded, metadata = self._with_hands(
                self.model.encode, inputs, metadata, options.get("hand", "as_trained")
            )
        return timed_logits(encoded)[0, : int(encoded.feature_mask[0].sum())].cpu(), metadata[0]

    def _segments(self, logits: torch.Tensor, glosses: list[str], metadata: dict) -> list[dict]:
        """Return the times of glosses by forced alignment, with refined and padded boundaries
        (`config.segment_margins`).

        Args:
            logits: CTC logits `[T', V]`; step t covers `[t, t + 1) * stride / fps` after the start of the clip.
            glosses: Glosses in order.
            metadata: Metadata of the clip.
        """
        known = set(self.tokenizer.ctc_glosses)
        spoken = [gloss for gloss in glosses if gloss in known]
        seconds = self.model.config.recognizer_config.stride / (metadata["fps"] or self.model.config.fps)
        duration = metadata["frames"] * seconds / self.model.config.recognizer_config.stride
        ids = self.tokenizer.encode_ctc(spoken)
        repeats = sum(left == right for left, right in zip(ids, ids[1:]))
        aligned = iter(())
        if len(ids) + repeats <= len(logits):
            path = self.model.align_ctc(logits, ids)
            aligned = zip(*refine_boundaries(logits, ids, path.starts, path.ends), path.confidences)
        else:  # more glosses than the clip has steps: none of them has a known time
            known = set()
        segments = []
        for gloss in glosses:
            segment = {"gloss": gloss, "start": None, "end": None, "confidence": None}
            if gloss in known:
                start, end, confidence = next(aligned)
                segment.update(
                    start=min(start * seconds, duration), end=min(end * seconds, duration), confidence=confidence
                )
            segments.append(segment)
        segments = fill_times(pad_boundaries(segments, *self.model.config.segment_margins, duration), duration)
        return on_clock(segments, metadata)

    def build_result(self, model_outputs: dict, threshold: float | str | None = None) -> Recognition:
        """Build the result of one clip from the outputs of `forward`.

        Args:
            model_outputs: What `forward` returned.
            threshold: As for a call.
        """
        output = self._only(model_outputs)
        metadata, text = output["metadata"], output.get("text")
        known = known_score(output["segments"]) if has_ctc(self.model) else None
        duration = ends_at(metadata, self.model.config.fps)
        result = Recognition(
            glosses=tuple(output["n_best"][0]["glosses"]),
            segments=tuple(
                GlossSegment(s["gloss"], _rounded(s["start"]), _rounded(s["end"]), s["confidence"])
                for s in output["segments"]
            ),
            n_best=tuple(Hypothesis.from_dict(hypothesis) for hypothesis in output["n_best"]),
            duration=round(duration, 4),
            signer=Signer.from_dict(metadata["signer"]) if metadata.get("signer") else None,
            known=known,
            translation=None if text is None else sentences_of(text, metadata.get("start", 0.0), duration),
        )
        threshold = self.model.config.rejection_threshold if threshold is None else threshold
        if threshold is None or threshold == NEVER or known is None:
            return result
        if known >= threshold:
            return replace(result, sure=True)
        reason = f"not sure: known {known:.4g} is below the threshold of {threshold:.4g}"
        unread = None if text is None else ()
        return replace(result, glosses=(), segments=(), sure=False, reason=reason, translation=unread)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def timed_logits(encoded: Encoded) -> torch.Tensor:
    """Return the CTC logits `[B, T', V]` that times are read from: the auxiliary ones, which are local in time, if there
    are any.
    """
    return encoded.ctc_logits if encoded.aux_logits is None else encoded.aux_logits
