"""Base class of the pipelines that decode sentences: glosses or text, at once or utterance by utterance."""

import copy
import difflib
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig

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
    check_ctc_options,
    check_entry,
    check_nearest,
    check_range,
    check_task,
    check_vocabulary,
    has_ctc,
)
from .errors_signx import SignXError
from .inputs_signx import ClipInput
from .results_signx import Recognition, Signer, Translation
from .sampling_signx import check_rate
from .signer_signx import name_of
from .text_items_signx import for_text, text_items
from .trained_signx import takes_landmarks
from .utterances_signx import Settled, signing_of
from .windowing_signx import WindowOptions, window_options

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Options that every such pipeline has.
READING = ("n_best", "source_fps", "chunk_length_s", "stride_length_s", "hand", "person", "landmarks_cache")
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
NUMBERS = ("length_penalty", "ctc_weight", "attention_entropy_weight", "lm_weight", "length_bonus")


class SignXSentencePipeline(SignXPipeline):
    """Base class of `sign-recognition` and `sign-translation`: reads a clip, encodes it once, and decodes it.

    A subclass decodes what is encoded (`_decode`), builds the result of a clip (`build_result`), and joins those of
    the utterances of a long recording (`_join`).
    """

    NAME: str
    TASK: str  # what the decoder must have learned
    OPTIONS: tuple[str, ...]
    REFUSED: tuple[str, ...] = ()  # options that do not apply
    DEFAULTS = {"num_beams": 5, "length_penalty": 0.7}
    _join: Callable[..., Recognition | Translation]
    _chunk: dict[str, float | None] = {}

    def __init__(self, model: "PreTrainedModel", *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        check_task(self.model, self.TASK)
        check_vocabulary(self.model, self.tokenizer, decodes_text=self._uses_decoder())

    def _uses_decoder(self) -> bool:
        """Return whether the text decoder is used unless a call says otherwise."""
        return True

    def _decode(
        self, encoded: Any, metadata: list[dict], n_best: int, generation: dict[str, Any], **options: Any
    ) -> list[dict[str, Any]]:
        """Return what `build_result` needs of each clip, from the output of `model.encode`."""
        raise NotImplementedError

    def build_result(self, model_outputs: dict, **options: Any) -> Recognition | Translation:
        """Build the result of one clip from the outputs of `forward`; the options are those of a call."""
        raise NotImplementedError

    def __call__(self, inputs: ClipInput | Iterable[ClipInput], *args, **kwargs) -> Any:
        """Process a clip, or several; see the base class."""
        chunk = kwargs.pop("chunk_length_s", self._chunk.get("chunk_length_s"))
        stride = kwargs.pop("stride_length_s", self._chunk.get("stride_length_s"))
        windows = window_options(chunk, stride)
        check_ctc_options(self.model, {"chunk_length_s": chunk})
        if windows is None:
            return super().__call__(inputs, *args, **kwargs)
        kwargs.pop("batch_size", None)  # long clips are read one after another
        with evaluating(self.model):
            if is_many(inputs):
                return [self._call_long(clip, windows, kwargs) for clip in each_clip(inputs)]
            return self._call_long(inputs, windows, kwargs)

    def _call_long(self, clip: ClipInput, windows: WindowOptions, options: dict) -> dict:
        """Read one clip of any length, utterance by utterance, with the decoding of a short clip."""
        preprocess, forward, _ = self._sanitize_parameters(**options)
        preprocess = {**self._preprocess_params, **preprocess}
        clip = unpack_stored_video(clip)
        if is_pose(clip) or not takes_landmarks(self.model.config):
            check_entry(self.model.config, "poses" if is_pose(clip) else "video", name_of(clip))
        else:
            check_nearest(preprocess.pop("person", None), name_of(clip))
        signing = signing_of(self.model, self.processor, clip, is_pose(clip), windows, **preprocess)
        parts = []
        for stretch in signing:
            result = self.decode_stretch(stretch, signing.fps, signing.source, **options)
            parts.append((signing.start + stretch.frame / signing.fps, result))
        duration = signing.start + signing.frames / signing.fps
        n_best = {**self._forward_params, **forward}.get("n_best", 1)
        signer = Signer.from_dict(signing.signer())
        return self._join(parts, duration, n_best, signing.reason(), signer).to_dict()

    def decode_stretch(self, stretch: Settled, fps: float, source: str, **options: Any) -> Recognition | Translation:
        """Return the result of an utterance of a recording, with times that count from its start.

        Args:
            stretch: What the model computed of its frames.
            fps: Frames per second.
            source: Name of the recording, for messages.
            options: As for a call.
        """
        _, forward, postprocess = self._sanitize_parameters(**options)
        steps = stretch.steps
        inputs: dict[str, Any] = {"features": steps.features[None], "aux_logits": steps.aux_logits[None]}
        inputs["feature_mask"] = torch.ones(1, len(steps), dtype=torch.bool)
        inputs["metadata"] = {"frames": stretch.frames, "fps": fps, "source": source}
        outputs = self.forward(inputs, **{**self._forward_params, **forward})
        return self.build_result(outputs, **{**self._postprocess_params, **postprocess})

    def _flat(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options with those of `generate_kwargs` among them, and `num_return_sequences` as `n_best`."""
        flat = {name: value for name, value in options.items() if name != "generate_kwargs"}
        inner = options.get("generate_kwargs") or {}
        if not isinstance(inner, Mapping):
            raise ValueError(f"`generate_kwargs` must be a dictionary of options, got {type(inner).__name__}.")
        for name, value in inner.items():
            if flat.get(name) is not None:
                raise ValueError(f"`{name}` must be given once, got it in `generate_kwargs` and outside of it.")
            if name not in (*generation_options(), "num_return_sequences"):
                raise ValueError(self._unknown_option(name, "`generate_kwargs`"))
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
        n_best=None,
        source_fps=None,
        chunk_length_s=None,
        stride_length_s=None,
        hand=None,
        person=None,
        landmarks_cache=None,
        **kwargs,
    ):
        check_ctc_options(self.model, {"chunk_length_s": chunk_length_s, "ctc_weight": kwargs.get("ctc_weight")})
        preprocess = self._reading_options(hand, person, landmarks_cache)
        if source_fps is not None:
            if isinstance(source_fps, (int, float)):  # a list, one rate a clip, is checked with the clips
                check_rate(source_fps, "source_fps")
            preprocess["source_fps"] = source_fps
        if chunk_length_s is not None or stride_length_s is not None:  # at construction; a call takes them out before
            window_options(chunk_length_s, stride_length_s)
            self._chunk = {"chunk_length_s": chunk_length_s, "stride_length_s": stride_length_s}
        forward: dict[str, Any] = {} if hand is None else {"hand": hand}
        if n_best is not None:
            check_beams("n_best", n_best)
            forward["n_best"] = n_best
        self._check_generation(kwargs)
        if kwargs:
            forward["generation"] = {**self._kept_options(kwargs), **kwargs}
        return preprocess, forward, {}

    def _check_generation(self, options: dict[str, Any]) -> None:
        """Check options of generate() that were given by name."""
        for name in options:
            if name not in generation_options():
                raise ValueError(self._unknown_option(name, self.NAME))
        if options.get("num_beams") is not None:
            check_beams("num_beams", options["num_beams"])
        for name in RANGES:
            if options.get(name) is not None:
                check_range(name, options[name])
        for name in NUMBERS:
            value = options.get(name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise ValueError(f"`{name}` must be a finite number, got {value!r}.")
        config = options.get("generation_config")
        if config is not None and not hasattr(config, "to_dict"):
            raise ValueError(
                f"`generation_config` must be a GenerationConfig, got {type(config).__name__}. Pass single options by "
                "name."
            )

    def _unknown_option(self, name: str, owner: str) -> str:
        if name in FIXED:
            return f"{owner} has no option {name!r}: the pipeline sets it. Call model.generate() for other values."
        every = [
            option
            for option in (*self.OPTIONS, "num_return_sequences", "generate_kwargs", *generation_options())
            if option not in self.REFUSED
        ]
        near = difflib.get_close_matches(name, every, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        named = ", ".join(name for name in (*self.OPTIONS, *GENERATION_OPTIONS) if name not in self.REFUSED)
        return f"{owner} has no option {name!r}. Its options are {named}, and those of a GenerationConfig.{meant}"

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

    def _forward(
        self, model_inputs, n_best: int = 1, generation: dict | None = None, hand: str = "as_trained", **options: Any
    ):
        inputs, metadata = self._split(model_inputs)
        encoded, metadata = self._with_hands(self.model.encode, inputs, metadata, hand)
        if encoded.aux_logits is None:
            encoded.aux_logits = model_inputs.get("aux_logits")  # features of a long clip bring their own
        results = self._decode(encoded, metadata, n_best, generation or {}, **options)
        if "pixel_values_videos" in inputs or "pose_values" in inputs:  # not a piece of a long recording
            for of_clip in metadata:
                warn_of_length(of_clip, self.model.config.fps, in_pieces=has_ctc(self.model))
        return {"results": [{**result, "metadata": of_clip} for result, of_clip in zip(results, metadata)]}

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

    def _generate(
        self, encoded: Any, n_best: int, config: GenerationConfig, objects: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pieces `[n_best * B, L]` and scores `[n_best * B]` of the sequences that the decoder writes."""
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
        return output.sequences, scores

    def _texts(self, encoded: Any, n_best: int, generation: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Return the texts of each clip, best first, as `text_items` describes them."""
        config = for_text(self._generation_config(generation))
        sequences, scores = self._generate(encoded, n_best, config, generation_objects(generation))
        return grouped(text_items(self.model, self.tokenizer, encoded, sequences, scores), n_best)

    def postprocess(self, model_outputs: dict, **options: Any) -> dict[str, Any]:
        """Return the result of one clip from the outputs of `forward`, as a dictionary; see `build_result`."""
        return self.build_result(model_outputs, **options).to_dict()

    @staticmethod
    def _only(model_outputs: dict) -> dict[str, Any]:
        """Return the outputs of one clip; transformers keeps those of a batch in lists."""
        output = model_outputs["results"]
        return output[0] if isinstance(output, list) else output


def generation_objects(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of generate() that are no values of a GenerationConfig."""
    return {name: options[name] for name in GENERATION_OBJECTS if name in options}


def grouped(items: list[dict[str, Any]], n_best: int) -> list[list[dict[str, Any]]]:
    """Return the items of each clip."""
    return [items[start : start + n_best] for start in range(0, len(items), n_best)]


@functools.cache
def generation_options() -> tuple[str, ...]:
    """Return the options that the pipeline passes on to generate(): those it names, and all others of transformers."""
    others = [name for name in vars(GenerationConfig()) if not name.startswith("_") and name not in FIXED]
    others.remove("num_return_sequences")  # `n_best`
    return tuple(dict.fromkeys([*GENERATION_OPTIONS, *others, *GENERATION_OBJECTS]))
