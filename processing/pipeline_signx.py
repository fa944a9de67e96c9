"""The pipeline `sign-recognition`. It travels with the weights."""

import copy
import difflib
import functools
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import GenerationConfig

from .answers_signx import NEVER, check_threshold, known_score
from .base_pipeline_signx import (
    SignXPipeline,
    each_clip,
    evaluating,
    is_many,
    is_pose,
    unpack_stored_video,
    warn_of_length,
)
from .checks_signx import (
    RANGES,
    check_beams,
    check_ctc,
    check_ctc_options,
    check_entry,
    check_nearest,
    check_range,
    check_task,
    check_vocabulary,
    has_ctc,
)
from .errors_signx import SignXError, SignXWarning
from .inputs_signx import ClipInput
from .join_signx import join_results
from .results_signx import GlossSegment, Hypothesis, Recognition, Signer
from .sampling_signx import check_rate
from .segments_signx import ends_at, fill_times, on_clock, pad_boundaries, refine_boundaries
from .signer_signx import name_of
from .trained_signx import takes_landmarks
from .utterances_signx import signing_of
from .windowing_signx import WindowOptions, window_options

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OPTIONS = (
    "decoder", "n_best", "source_fps", "chunk_length_s", "stride_length_s", "hand", "person", "landmarks_cache", "threshold",
)  # fmt: skip
# Options that the pipeline passes on to generate().
GENERATION_OPTIONS = (
    "num_beams", "length_penalty", "repetition_penalty", "max_new_tokens", "max_length", "min_new_tokens", "do_sample",
    "temperature", "top_k", "top_p", "early_stopping", "no_repeat_ngram_size", "ctc_weight", "attention_entropy_weight",
    "lm", "lm_weight", "length_bonus", "hot_words", "generation_config",
)  # fmt: skip
# Options of generate() that are no values of a GenerationConfig.
GENERATION_OBJECTS = ("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn")
# Values of a GenerationConfig that the pipeline sets, or that would change what generate() returns.
FIXED = (
    "return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states",
    "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "transformers_version", "is_assistant",
)  # fmt: skip
# Those that CTC-only decoding uses, too.
CTC_OPTIONS = ("num_beams", "lm", "lm_weight", "length_bonus", "hot_words")
NUMBERS = ("length_penalty", "ctc_weight", "attention_entropy_weight", "lm_weight", "length_bonus")
ABSENT = 0.01  # confidence below which an aligned gloss is probably not signed in the clip


class Encoded(Protocol):
    """Output of a model's `encode`, as far as times need it."""

    ctc_logits: torch.Tensor
    aux_logits: torch.Tensor | None


class SignRecognitionPipeline(SignXPipeline):
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
    None if it was neither declared nor detected (or changed during a long recording); `mirrored`.
    """

    NAME = "sign-recognition"
    TASK = "gloss"  # what the decoder must have learned
    DEFAULTS = {"num_beams": 5, "length_penalty": 0.7}
    _chunk: dict[str, float | None] = {}
    _warned: list[list[str]] = []  # options that a warning was given about

    def __init__(self, model: "PreTrainedModel", *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        check_task(self.model, self.TASK)
        check_vocabulary(self.model, self.tokenizer, decodes_text=self._resolve("auto") == "attention")

    def __call__(self, inputs: ClipInput | Iterable[ClipInput], *args, **kwargs) -> Any:
        """Process a clip, or several; see the base class."""
        chunk = kwargs.pop("chunk_length_s", self._chunk.get("chunk_length_s"))
        stride = kwargs.pop("stride_length_s", self._chunk.get("stride_length_s"))
        windows = window_options(chunk, stride)
        check_ctc_options(self.model, {"chunk_length_s": chunk})
        self._warn_of_unread(kwargs)
        if windows is None:
            return super().__call__(inputs, *args, **kwargs)
        kwargs.pop("batch_size", None)  # long clips are read one after another
        with evaluating(self.model):
            if is_many(inputs):
                return [self._call_long(clip, windows, kwargs) for clip in each_clip(inputs)]
            return self._call_long(inputs, windows, kwargs)

    def _warn_of_unread(self, options: dict[str, Any]) -> None:
        """Warn once about generation options that CTC-only decoding ignores."""
        known, options = self._forward_params, self._flat(options)
        if self._resolve(options.get("decoder") or known.get("decoder", "auto")) != "ctc":
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

    def _call_long(self, clip: ClipInput, windows: WindowOptions, options: dict) -> dict:
        """Recognize one clip of any length, utterance by utterance, with the decoding of a short clip."""
        preprocess, forward, postprocess = self._sanitize_parameters(**options)
        preprocess = {**self._preprocess_params, **preprocess}
        forward = {**self._forward_params, **forward}
        postprocess = {**self._postprocess_params, **postprocess}
        clip = unpack_stored_video(clip)
        if is_pose(clip) or not takes_landmarks(self.model.config):
            check_entry(self.model.config, "poses" if is_pose(clip) else "video", name_of(clip))
        else:
            check_nearest(preprocess.pop("person", None), name_of(clip))
        signing = signing_of(self.model, self.processor, clip, is_pose(clip), windows, **preprocess)
        parts = []
        for stretch in signing:
            steps = stretch.steps
            inputs = {"features": steps.features[None], "aux_logits": steps.aux_logits[None]}
            inputs["feature_mask"] = torch.ones(1, len(steps), dtype=torch.bool)
            inputs["metadata"] = {"frames": stretch.frames, "fps": signing.fps, "source": signing.source}
            result = self.build_result(self.forward(inputs, **forward), **postprocess)
            parts.append((signing.start + stretch.frame / signing.fps, result))
        duration, n_best = signing.start + signing.frames / signing.fps, forward.get("n_best", 1)
        signer = Signer.from_dict(signing.signer())
        return self._join(parts, duration, n_best, signing.reason(), signer).to_dict()

    _join = staticmethod(join_results)

    @staticmethod
    def _flat(options: dict[str, Any]) -> dict[str, Any]:
        """Return options with those of `generate_kwargs` among them, and `num_return_sequences` as `n_best`."""
        flat = {name: value for name, value in options.items() if name != "generate_kwargs"}
        inner = options.get("generate_kwargs") or {}
        if not isinstance(inner, Mapping):
            raise ValueError(f"`generate_kwargs` must be a dictionary of options, got {type(inner).__name__}.")
        for name, value in inner.items():
            if flat.get(name) is not None:
                raise ValueError(f"`{name}` must be given once, got it in `generate_kwargs` and outside of it.")
            if name not in (*generation_options(), "num_return_sequences"):
                raise ValueError(_unknown_option(name, "`generate_kwargs`"))
            flat[name] = value
        count = flat.pop("num_return_sequences", None)
        config = flat.get("generation_config")
        if count is None and flat.get("n_best") is None:
            count = getattr(config, "num_return_sequences", None)
        if count is not None:
            check_beams("num_return_sequences", count)
            if flat.get("n_best") not in (None, count):
                raise ValueError(
                    f"`num_return_sequences` and `n_best` must be the same, got {count} and {flat['n_best']}. Pass one."
                )
            flat["n_best"] = count
        return flat

    def _sanitize_parameters(self, **options):
        return self._sorted_options(**self._flat(options))

    def _sorted_options(
        self,
        decoder=None,
        n_best=None,
        source_fps=None,
        chunk_length_s=None,
        stride_length_s=None,
        hand=None,
        person=None,
        landmarks_cache=None,
        threshold=None,
        **kwargs,
    ):
        needing = {"decoder": decoder, "chunk_length_s": chunk_length_s, "threshold": threshold}
        check_ctc_options(self.model, {**needing, "ctc_weight": kwargs.get("ctc_weight")})
        preprocess = self._reading_options(hand, person, landmarks_cache)
        postprocess = {} if threshold is None else {"threshold": check_threshold(threshold, "known")}
        if source_fps is not None:
            if isinstance(source_fps, (int, float)):  # a list, one rate a clip, is checked with the clips
                check_rate(source_fps, "source_fps")
            preprocess["source_fps"] = source_fps
        if chunk_length_s is not None or stride_length_s is not None:  # at construction; a call takes them out before
            window_options(chunk_length_s, stride_length_s)
            self._chunk = {"chunk_length_s": chunk_length_s, "stride_length_s": stride_length_s}
        forward: dict[str, Any] = {} if hand is None else {"hand": hand}
        if decoder is not None:
            if decoder not in ("auto", "attention", "ctc"):
                raise ValueError(f"`decoder` must be 'auto', 'attention' or 'ctc', got {decoder!r}.")
            forward["decoder"] = decoder
        if n_best is not None:
            check_beams("n_best", n_best)
            forward["n_best"] = n_best
        for name in kwargs:
            if name not in generation_options():
                raise ValueError(_unknown_option(name, self.NAME))
        if kwargs.get("num_beams") is not None:
            check_beams("num_beams", kwargs["num_beams"])
        for name in RANGES:
            if kwargs.get(name) is not None:
                check_range(name, kwargs[name])
        for name in NUMBERS:
            value = kwargs.get(name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise ValueError(f"`{name}` must be a finite number, got {value!r}.")
        config = kwargs.get("generation_config")
        if config is not None and not hasattr(config, "to_dict"):
            raise ValueError(
                f"`generation_config` must be a GenerationConfig, got {type(config).__name__}. Pass single options by "
                "name."
            )
        if kwargs:
            forward["generation"] = {**self._kept_options(kwargs), **kwargs}
        return preprocess, forward, postprocess

    def _kept_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options of generate() that were given at construction, without those that a call replaces."""
        if given.get("generation_config") is not None:
            return {}
        replaced = {"max_length": "max_new_tokens", "max_new_tokens": "max_length"}
        gone = [other for name, other in replaced.items() if given.get(name) is not None]
        gone += ["lm_weight"] if "lm" in given and given["lm"] is None else []
        known = getattr(self, "_forward_params", {}).get("generation", {})  # there is none during construction
        return {name: value for name, value in known.items() if name not in gone}

    def check_options(self, **options: Any) -> None:
        """Check the options of a call before there is a clip; the language model is loaded, too.

        Args:
            options: As for a call.

        Raises:
            ValueError: If an option is unknown or out of range.
        """
        _, forward, _ = self._sanitize_parameters(**options)
        self.model.check_decoding(self._generation_config(forward.get("generation") or {}))

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

    def _forward(
        self,
        model_inputs,
        decoder: str = "auto",
        n_best: int = 1,
        generation: dict | None = None,
        hand: str = "as_trained",
    ):
        inputs, metadata = self._split(model_inputs)
        generation = generation or {}
        objects = {name: generation[name] for name in GENERATION_OBJECTS if name in generation}
        config = self._generation_config(generation)
        encoded, metadata = self._with_hands(self.model.encode, inputs, metadata, hand)
        if encoded.aux_logits is None:
            encoded.aux_logits = model_inputs.get("aux_logits")  # features of a long clip bring their own
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
            hypotheses = self._generate(encoded, n_best, config, objects)
        results = []
        for row, items in enumerate(hypotheses):
            if "pixel_values_videos" in inputs or "pose_values" in inputs:  # not a piece of a long recording
                warn_of_length(metadata[row], self.model.config.fps, in_pieces=has_ctc(self.model))
            if has_ctc(self.model):
                steps = int(encoded.feature_mask[row].sum())
                timed = timed_logits(encoded)
                segments = self._segments(timed[row, :steps], items[0]["glosses"], metadata[row])
            else:
                segments = [GlossSegment(gloss).to_dict() for gloss in items[0]["glosses"]]
            results.append({"n_best": items, "segments": segments, "metadata": metadata[row]})
        return {"results": results}

    def _generation_config(self, options: dict):
        """Return the generation config: the caller's options, then the config (the caller's or the model's), then the
        paper's defaults.
        """
        options = {name: value for name, value in options.items() if name not in GENERATION_OBJECTS}
        config = copy.deepcopy(
            options.pop("generation_config", None) or getattr(self.model, "generation_config", None)
        )
        config = GenerationConfig() if config is None else config  # a stage-3 model generates nothing and has none
        if options.get("max_length") is not None and options.get("max_new_tokens") is None:
            options["max_new_tokens"] = None
        if "lm" in options and options["lm"] is None:
            options.setdefault("lm_weight", None)  # without a language model its weight is meaningless
        if isinstance(options.get("lm"), (str, Path)) and Path(options["lm"]).is_file():
            options["lm"] = str(
                Path(options["lm"]).absolute()
            )  # a relative path would be looked up beside the model first
        for name, value in options.items():
            setattr(config, name, value)
        for name, value in self.DEFAULTS.items():
            if getattr(config, name, None) is None:
                setattr(config, name, value)
        self._check_generation_config(config)
        config.ctc_glosses = list(self.tokenizer.ctc_glosses)
        return config

    @staticmethod
    def _check_generation_config(config: GenerationConfig) -> None:
        """Hold the limits of a call for what the model's own generation_config.json says."""
        try:
            for name in ("num_beams", "num_return_sequences"):
                if getattr(config, name, None) is not None:
                    check_beams(name, getattr(config, name))
            for name in RANGES:
                if getattr(config, name, None) is not None:
                    check_range(name, getattr(config, name))
        except ValueError as error:
            raise SignXError(f"generation config of the model or the call: {error}") from error

    def _generate(self, encoded, n_best: int, config, objects: dict[str, Any]) -> list[list[dict]]:
        config.num_beams, config.num_return_sequences = max(config.num_beams, n_best), n_best
        if config.num_beams == 1:
            config.length_penalty = None  # a beam-search option; transformers warns about it in greedy search
        config.return_dict_in_generate = config.output_scores = True
        output = self.model.generate(encoder_outputs=encoded, generation_config=config, **objects)
        scores = getattr(output, "sequences_scores", None)
        if scores is None:  # greedy or sampled: the log-probability of the path
            steps = self.model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
            scores = steps.masked_fill(steps == float("-inf"), 0).sum(1)
        if scores.isnan().any():
            raise ValueError(
                "the decoder's scores are NaN because the model diverged or overflowed. Load it in float32, or use "
                "an earlier checkpoint."
            )
        items = self._items(encoded, output, scores)
        return [items[start : start + n_best] for start in range(0, len(items), n_best)]

    def _items(self, encoded: Any, output: Any, scores: torch.Tensor) -> list[dict[str, Any]]:
        """Return glosses and score of each sequence that was generated."""
        sentences = self.tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
        return [
            {"glosses": self.tokenizer.split_glosses(sentence), "score": float(score)}
            for sentence, score in zip(sentences, scores)
        ]

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

    def postprocess(self, model_outputs: dict, threshold: float | str | None = None) -> dict[str, Any]:
        """Return the result of one clip from the outputs of `forward`, as a dictionary; see `build_result`."""
        return self.build_result(model_outputs, threshold).to_dict()

    def build_result(self, model_outputs: dict, threshold: float | str | None = None) -> Recognition:
        """Build the result of one clip from the outputs of `forward`.

        Args:
            model_outputs: What `forward` returned.
            threshold: As for a call.
        """
        output = model_outputs["results"]
        output = output[0] if isinstance(output, list) else output
        metadata = output["metadata"]
        known = known_score(output["segments"]) if has_ctc(self.model) else None
        result = Recognition(
            glosses=tuple(output["n_best"][0]["glosses"]),
            segments=tuple(
                GlossSegment(s["gloss"], _rounded(s["start"]), _rounded(s["end"]), s["confidence"])
                for s in output["segments"]
            ),
            n_best=tuple(Hypothesis.from_dict(hypothesis) for hypothesis in output["n_best"]),
            duration=round(ends_at(metadata, self.model.config.fps), 4),
            signer=Signer.from_dict(metadata["signer"]) if metadata.get("signer") else None,
            known=known,
        )
        threshold = self.model.config.rejection_threshold if threshold is None else threshold
        if threshold is None or threshold == NEVER or known is None:
            return result
        if known >= threshold:
            return replace(result, sure=True)
        reason = f"not sure: known {known:.4g} is below the threshold of {threshold:.4g}"
        return replace(result, glosses=(), segments=(), sure=False, reason=reason)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


@functools.cache
def generation_options() -> tuple[str, ...]:
    """Return the options that the pipeline passes on to generate(): those it names, and all others of transformers."""
    others = [name for name in vars(GenerationConfig()) if not name.startswith("_") and name not in FIXED]
    others.remove("num_return_sequences")  # `n_best`
    return tuple(dict.fromkeys([*GENERATION_OPTIONS, *others, *GENERATION_OBJECTS]))


def _unknown_option(name: str, owner: str) -> str:
    if name in FIXED:
        return f"{owner} has no option {name!r}: the pipeline sets it. Call model.generate() for other values."
    every = (*OPTIONS, "num_return_sequences", "generate_kwargs", *generation_options())
    near = difflib.get_close_matches(name, every, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    named = ", ".join((*OPTIONS, *GENERATION_OPTIONS))
    return f"{owner} has no option {name!r}. Its options are {named}, and those of a GenerationConfig.{meant}"


def timed_logits(encoded: Encoded) -> torch.Tensor:
    """Return the CTC logits `[B, T', V]` that times are read from: the auxiliary ones, which are local in time, if there
    are any.
    """
    return encoded.ctc_logits if encoded.aux_logits is None else encoded.aux_logits
