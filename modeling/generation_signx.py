"""Generate gloss and text pieces: prompts, joint CTC/attention scoring, language model, attention entropy."""

import weakref

import numpy as np
import torch
from transformers import GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.generation import GenerationConfig

from .ctc_prefix_signx import CTCPrefixScorer, CTCPrefixState
from .decoding_options_signx import OPTION_DEFAULTS, DecodingOptions, check_names, check_search_size, read_options
from .gloss_lm_signx import GlossScorer, gloss_scorer
from .labels_signx import IGNORE
from .ngram_signx import State

NEGATIVE_INFINITY = float("-inf")
# Inference of stage I in the settings of SignX-1, which SignX-4 refers to; temperature, k and p need sampling.
PUBLISHED = {
    "num_beams": 5, "length_penalty": 0.7, "repetition_penalty": 2.5, "do_sample": True, "temperature": 0.7,
    "top_k": 50, "top_p": 0.92,
}  # fmt: skip


def check_special_ids(config: GenerationConfig, vocab_size: int) -> None:
    """Reject special pieces that the decoder cannot embed, on which the search would fail with an index error.

    Raises:
        ValueError: If a special piece is outside the vocabulary.
    """
    for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id", "eos_token_id"):
        value = getattr(config, name, None)
        several = isinstance(value, (list, tuple)) and name == "eos_token_id"
        lowest = -1 if name == "eos_token_id" else 0  # -1: generate up to the maximum length
        for index in value if several else () if value is None else (value,):
            if isinstance(index, bool) or not isinstance(index, int) or not lowest <= index < vocab_size:
                raise ValueError(f"`{name}` must be a piece id from 0 to {vocab_size - 1}, got {value!r:.80}.")


class _PieceNode:
    """A node of the tree of gloss spellings: children by piece, glosses below it, the gloss that it completes."""

    __slots__ = ("children", "glosses", "gloss", "_flat")

    def __init__(self):
        self.children: dict[int, _PieceNode] = {}
        self.glosses: list[int] = []
        self.gloss: int | None = None
        self._flat: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the children as arrays: their pieces, the glosses of one after the other, and where those of each begin."""
        if self._flat is None:
            counts = [len(child.glosses) for child in self.children.values()]
            glosses = [gloss for child in self.children.values() for gloss in child.glosses]
            starts = np.cumsum([0, *counts[:-1]])
            self._flat = (np.array(list(self.children), dtype=np.int64), np.array(glosses, dtype=np.int64), starts)
        return self._flat


def build_piece_tree(gloss_pieces: list[list[int]], blank_id: int) -> _PieceNode:
    """Build the tree of all spellings.

    Args:
        gloss_pieces: the piece ids that spell each CTC id.
        blank_id: id of the blank, whose entry is ignored.

    Raises:
        ValueError: If a gloss has no pieces, or its pieces are a prefix of those of another gloss, so that a decoder
            could not tell when it is complete.
    """
    root = _PieceNode()
    for gloss, pieces in enumerate(gloss_pieces):
        if gloss == blank_id:
            continue
        if not pieces:
            raise ValueError(
                f"Gloss {gloss} of the CTC vocabulary has no pieces. Set text_config.gloss_pieces with tokenizer.gloss_piece_ids()."
            )
        node = root
        for piece in pieces:
            node = node.children.setdefault(piece, _PieceNode())
            node.glosses.append(gloss)
            if node.gloss is not None:
                raise ValueError(
                    f"The pieces of gloss {gloss} begin with those of gloss {node.gloss}. Use end-marked pieces."
                )
        if node.children:
            raise ValueError(
                f"The pieces of gloss {gloss} begin those of gloss {node.glosses[0]}. Use end-marked pieces."
            )
        node.gloss = gloss
    return root


class _ModelTree:
    """The tree of a model's spellings, built once; a list that is changed in place gets another one."""

    _kept: "weakref.WeakKeyDictionary[GenerationMixin, _ModelTree]" = weakref.WeakKeyDictionary()

    def __init__(self, gloss_pieces: list[list[int]], blank_id: int):
        self.tree = build_piece_tree(gloss_pieces, blank_id)
        self.source = ([pieces[:] for pieces in gloss_pieces], blank_id)

    @classmethod
    def of(cls, model: GenerationMixin, gloss_pieces: list[list[int]], blank_id: int) -> _PieceNode:
        """Return the tree of `gloss_pieces`, kept beside the model and not in it, where it would be copied and saved."""
        kept = cls._kept.get(model)
        if kept is None or kept.source != (gloss_pieces, blank_id):
            kept = cls._kept[model] = cls(gloss_pieces, blank_id)
        return kept.tree


class CTCPrefixLogitsProcessor(LogitsProcessor):
    """Joint scoring `(1 - w) log p_attention + w log p_CTC` of every hypothesis (Watanabe et al. 2017, equation 13).

    CTC scores glosses, the decoder scores pieces. A hypothesis of complete glosses g and the pieces p of an incomplete
    gloss gets the CTC probability of all sequences that begin with g and then any gloss whose spelling begins with p.
    The scores of the pieces of a gloss therefore add up exactly to that of the gloss, and at `</s>` to log P_CTC(g).
    Glosses outside the CTC vocabulary have CTC probability zero.

    Args:
        ctc_logits: `[B, T', V]`.
        lengths: `[B]` feature steps.
        gloss_pieces: see `SignXTextConfig`.
        weight: w from 0 to 1.
        prompt_length: number of tokens of the prompt at the start of every hypothesis.
        eos_id: id of `</s>`.
        blank_id: id of the CTC blank.
        tree: of `gloss_pieces`, if it is built already.
    """

    def __init__(
        self,
        ctc_logits: torch.Tensor,
        lengths: torch.Tensor,
        gloss_pieces: list[list[int]],
        weight: float,
        prompt_length: int,
        eos_id: int,
        blank_id: int,
        tree: _PieceNode | None = None,
    ):
        log_probs = ctc_logits.detach().cpu().double().log_softmax(-1).numpy()
        self.scorers = [
            CTCPrefixScorer(item[:length], blank_id=blank_id) for item, length in zip(log_probs, lengths.tolist())
        ]
        self.tree = build_piece_tree(gloss_pieces, blank_id) if tree is None else tree
        self.weight = weight
        self.prompt_length = prompt_length
        self.eos_id = eos_id
        self._states: dict[tuple, tuple[CTCPrefixState, np.ndarray]] = {}

    def _state(self, item: int, glosses: tuple[int, ...]) -> tuple[CTCPrefixState, np.ndarray]:
        """Return the scorer's state after `glosses` and the score `[V]` of every next gloss, both cached."""
        key = (item, glosses)
        if key not in self._states:
            scorer = self.scorers[item]
            if glosses:
                state = scorer.select(self._state(item, glosses[:-1])[0], glosses[-1])
            else:
                state = scorer.initial_state()
            self._states[key] = (state, scorer.extend(state))
        return self._states[key]

    def _walk(self, pieces: list[int]) -> tuple[tuple[int, ...], _PieceNode] | None:
        """Return the complete glosses and the node of the incomplete one, or None for pieces that spell no gloss."""
        glosses: list[int] = []
        node = self.tree
        for piece in pieces:
            node = node.children.get(piece)
            if node is None:
                return None
            if node.gloss is not None:
                glosses.append(node.gloss)
                node = self.tree
        return tuple(glosses), node

    def ctc_scores(self, item: int, pieces: list[int], vocab_size: int) -> np.ndarray:
        """Return what each next piece adds to the CTC log-probability of `pieces` of `item`: `[vocab_size]`."""
        scores = np.full(vocab_size, NEGATIVE_INFINITY)
        walked = self._walk(pieces)
        if walked is None:
            return scores
        glosses, node = walked
        state, following = self._state(item, glosses)
        now = state.prefix_score if node is self.tree else np.logaddexp.reduce(following[node.glosses])
        if now == NEGATIVE_INFINITY:
            return scores
        pieces_of, glosses_of, starts = node.flat()
        if len(starts) == len(glosses_of):  # one gloss each: nothing to add up
            scores[pieces_of] = following[glosses_of] - now
        elif len(starts):
            scores[pieces_of] = np.logaddexp.reduceat(following[glosses_of], starts) - now
        if node is self.tree:
            scores[self.eos_id] = self.scorers[item].final_score(state) - now
        return scores

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the scores `[rows, vocab_size]` of the next pieces of `input_ids` `[rows, L]`."""
        beams = len(input_ids) // len(self.scorers)
        ctc = np.stack(
            [
                self.ctc_scores(row // beams, ids[self.prompt_length :], scores.shape[-1])
                for row, ids in enumerate(input_ids.tolist())
            ]
        )
        ctc = torch.from_numpy(ctc).to(scores.device, scores.dtype)
        if self.weight == 1:  # 0 * -inf would be NaN
            return ctc
        return (1 - self.weight) * scores.log_softmax(-1) + self.weight * ctc


class GlossFusionLogitsProcessor(LogitsProcessor):
    """Add the score of a `GlossScorer` to every hypothesis.

    A gloss is scored once, at its last piece, because earlier pieces do not determine it. A spelling that leaves the
    CTC vocabulary is an unknown gloss from that piece on, up to a piece that ends a gloss. `</s>` adds the score of
    the end of the sentence; within a gloss it makes the gloss an unknown one.

    Args:
        scorer: see `GlossScorer`.
        gloss_pieces: see `SignXTextConfig`.
        prompt_length: number of tokens of the prompt at the start of every hypothesis.
        eos_id: id of `</s>`.
        blank_id: id of the CTC blank.
        tree: of `gloss_pieces`, if it is built already.
    """

    def __init__(
        self,
        scorer: GlossScorer,
        gloss_pieces: list[list[int]],
        prompt_length: int,
        eos_id: int,
        blank_id: int,
        tree: _PieceNode | None = None,
    ):
        self.scorer = scorer
        self.tree = build_piece_tree(gloss_pieces, blank_id) if tree is None else tree
        self.ends = {pieces[-1] for gloss, pieces in enumerate(gloss_pieces) if gloss != blank_id}
        self.prompt_length = prompt_length
        self.eos_id = eos_id
        self._moves: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def _walk(self, pieces: list[int]) -> tuple[State, _PieceNode | None]:
        """Return the scorer's state after the complete glosses and the node of the incomplete one (None: unknown)."""
        state, node = self.scorer.start(), self.tree
        for piece in pieces:
            if node is not None:
                node = node.children.get(piece)
                if node is None:
                    state = self.scorer.advance(state, None)
                elif node.gloss is not None:
                    state, node = self.scorer.advance(state, node.gloss), self.tree
            if node is None and piece in self.ends:
                node = self.tree
        return state, node

    def _moves_of(self, node: _PieceNode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pieces that lead to another node, those that complete a gloss, and the completed glosses."""
        if id(node) not in self._moves:
            open_pieces = [piece for piece, child in node.children.items() if child.gloss is None]
            ends = [(piece, child.gloss) for piece, child in node.children.items() if child.gloss is not None]
            pairs = np.array(ends, dtype=np.int64).reshape(-1, 2)
            self._moves[id(node)] = (np.array(open_pieces, dtype=np.int64), pairs[:, 0], pairs[:, 1])
        return self._moves[id(node)]

    def added(self, pieces: list[int], vocab_size: int) -> np.ndarray:
        """Return what each next piece adds to the score of the hypothesis `pieces`: `[vocab_size]`."""
        state, node = self._walk(pieces)
        if node is None:
            scores = np.zeros(vocab_size)
            scores[self.eos_id] = self.scorer.final(state)
            return scores
        unknown = self.scorer.unknown(state)
        scores = np.full(vocab_size, unknown)
        open_pieces, last_pieces, glosses = self._moves_of(node)
        scores[open_pieces] = 0.0
        scores[last_pieces] = self.scorer.extend(state)[glosses]
        if node is self.tree:
            scores[self.eos_id] = self.scorer.final(state)
        else:
            scores[self.eos_id] = unknown + self.scorer.final(self.scorer.advance(state, None))
        return scores

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the scores `[rows, vocab_size]` of the next pieces of `input_ids` `[rows, L]`."""
        added = np.stack([self.added(ids[self.prompt_length :], scores.shape[-1]) for ids in input_ids.tolist()])
        return scores + torch.from_numpy(added).to(scores.device, scores.dtype)


class AttentionEntropyLogitsProcessor(LogitsProcessor):
    """Beam score `log p(w) - alpha AttnEntropy(y, H)` (SignX-4, section 3.2, refinement).

    Every step subtracts alpha times the entropy of its cross-attention (nats, mean over layers and heads, choice) from
    all continuations of the hypothesis; the sum over steps is the paper's term. It reorders beams and does not change
    greedy search.

    Args:
        attentions: the cross-attention layers, which record the entropy of the newest step.
        weight: alpha.
    """

    def __init__(self, attentions: list, weight: float):
        self.attentions = attentions
        self.weight = weight

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the scores `[rows, vocab_size]` of the next pieces of `input_ids` `[rows, L]`."""
        entropy = torch.stack([attention.last_entropy for attention in self.attentions]).mean(0)
        return scores - self.weight * entropy.to(scores.dtype)[:, None]


class SignXGenerationMixin(GenerationMixin):
    """`generate()` for models with `encode(**inputs)` and a text decoder.

    These options of `GenerationConfig` or keywords of `generate` come on top of those of transformers. The score of a
    hypothesis is `(1 - ctc_weight) log P_attention + ctc_weight log P_CTC + lm_weight log P_LM + length_bonus *
    glosses + hot words`, minus the entropy term, divided by the number of its pieces to the power of `length_penalty`:
        ctc_weight: share of CTC in joint scoring, 0 to 1 (default 0).
        attention_entropy_weight: alpha (default 0).
        lm: path of an n-gram model over glosses in ARPA format, optionally gzipped, here or in the folder of the
            model, where `save_pretrained` puts it; or an `NGramModel`.
        lm_weight: weight of the language model, which scores complete glosses (default 0.5 with `lm`, else 0).
        length_bonus: natural logarithm added per gloss (default 0), because a language model prefers short sentences.
        hot_words: `{gloss: boost}`, natural logarithms added at every occurrence.
        ctc_glosses: the gloss of each CTC id except the blank (`tokenizer.ctc_glosses`), which language model, length
            bonus and hot words need; the pipeline sets it.
        task: `"gloss"` or `"text"`, the prompt of the decoder.
    """

    def _default_generation_config(self) -> GenerationConfig:
        text = self.config.text_config
        return GenerationConfig(
            pad_token_id=text.pad_token_id,
            bos_token_id=text.bos_token_id,
            eos_token_id=text.eos_token_id,
            decoder_start_token_id=text.decoder_start_token_id,
            max_new_tokens=text.max_length,
            **{name: value for name, value in OPTION_DEFAULTS.items() if value is not None},
        )

    def published_generation_config(self) -> GenerationConfig:
        """Return the decoding of the papers' settings, which is no default: a beam search that samples.

        The paper gives no value for alpha (`attention_entropy_weight`); it is 0, and can be set on the result.
        """
        default = self._default_generation_config().to_dict()
        special = {name: default[name] for name in default if name.endswith("_token_id")}
        # By the name that the model's own config has, for transformers would read both.
        limit = "max_new_tokens" if self.generation_config.max_length is None else "max_length"
        return GenerationConfig(**special, **PUBLISHED, **{limit: 64})

    def _spellings(self, option: str) -> list[list[int]]:
        if self.config.text_config.gloss_pieces is None:
            raise ValueError(
                f"{option} needs the spelling of each gloss. Set model.config.text_config.gloss_pieces = "
                "tokenizer.gloss_piece_ids()."
            )
        return self.config.text_config.gloss_pieces

    def _fusion_processor(self, options: DecodingOptions, prompt_length: int) -> GlossFusionLogitsProcessor | None:
        scorer, text = gloss_scorer(self, options), self.config.text_config
        if scorer is None:
            return None
        spellings = self._spellings("=".join(map(str, next(iter(options.gloss_scores.items())))))
        blank = self.config.ctc_blank_id
        tree = _ModelTree.of(self, spellings, blank)
        return GlossFusionLogitsProcessor(scorer, spellings, prompt_length, text.eos_token_id, blank, tree)

    def _joint_processor(self, encoder_outputs, weight: float, prompt_length: int) -> CTCPrefixLogitsProcessor:
        if encoder_outputs.ctc_logits is None:
            raise ValueError(f"`ctc_weight` must be 0, as {type(self).__name__} has no CTC logits, got {weight}.")
        spellings, blank = self._spellings(f"ctc_weight={weight}"), self.config.ctc_blank_id
        return CTCPrefixLogitsProcessor(
            encoder_outputs.ctc_logits,
            encoder_outputs.feature_mask.sum(1),
            spellings,
            weight,
            prompt_length,
            self.config.text_config.eos_token_id,
            blank,
            _ModelTree.of(self, spellings, blank),
        )

    def _input_of(self, values: torch.Tensor) -> str:
        """Return the name of a positional input: video has five dimensions, poses have three."""
        if values.ndim == 3 and values.shape[-1] == self.config.pose_config.pose_size:
            return "pose_values"
        return "pixel_values_videos" if values.ndim == 5 else self.main_input_name

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: LogitsProcessorList | None = None,
        encoder_outputs=None,
        decoder_input_ids: torch.Tensor | None = None,
        **kwargs,
    ):
        """Generate piece ids of glosses or text for any input of `forward`.

        Args:
            inputs: video `[B, T, 3, H, W]`, as `pixel_values_videos`, or poses `[B, T, D]`, as `pose_values`.
            generation_config: options, see the class; keywords of the same names take precedence.
            logits_processor: further processors, applied after the joint score.
            encoder_outputs: output of `encode()` or `get_encoder()`, to encode once and search several times.
            decoder_input_ids: `[B, P]`, a prompt that replaces that of the task.
            **kwargs: model inputs and generation options.

        Returns:
            `[B, L]` ids that start with the prompt, or the output object of transformers with
            `return_dict_in_generate`.

        Raises:
            FileNotFoundError: If the language model does not exist.
            ValueError: If an option is invalid, misspelled or `assistant_model`, `ctc_weight` is set without CTC logits or spellings, or
                the language model is not an ARPA file.
        """
        config = self.generation_config if generation_config is None else generation_config
        check_names(kwargs)
        if kwargs.get("assistant_model") is not None:
            raise ValueError(
                "`assistant_model` must be None, because it would need its own encoder of the clip. The decoder takes "
                "a small part of the time."
            )
        check_special_ids(config, self.config.text_config.vocab_size)
        options = read_options(config, {name: kwargs.pop(name) for name in OPTION_DEFAULTS if name in kwargs})
        if inputs is not None:
            kwargs[self._input_of(inputs)] = inputs
        if "max_length" in kwargs and "max_new_tokens" not in kwargs:
            kwargs["max_new_tokens"] = None  # the config sets it, and it would override the max_length of the caller
        model_inputs = {name: kwargs.pop(name) for name in self._input_names if name in kwargs}
        if encoder_outputs is None:
            names = ("output_attentions", "output_hidden_states")
            flags = {name: kwargs.get(name, getattr(config, name, None)) for name in names}
            encoder_outputs = self.encode(**model_inputs, **{k: v for k, v in flags.items() if v})
        mask = model_inputs.get("feature_mask", model_inputs.get("frame_mask"))
        encoder_outputs = self._encoder_output(encoder_outputs, mask)
        # transformers expands this object in place to one row per beam; that of the caller must not change.
        encoder_outputs = type(encoder_outputs)(**encoder_outputs)
        if decoder_input_ids is None:
            text = self.config.text_config
            prompt = [text.decoder_start_token_id, getattr(text, f"{options.task}_token_id")]
            rows = encoder_outputs.last_hidden_state.shape[0]
            # On the device of the states: `self.device` is "meta" while weights are offloaded.
            device = encoder_outputs.last_hidden_state.device
            decoder_input_ids = torch.tensor([prompt], device=device).expand(rows, -1)
        rows, prompt_length = decoder_input_ids.shape
        check_search_size(config, kwargs, rows, prompt_length)
        processors = LogitsProcessorList()
        if options.ctc_weight:
            processors.append(self._joint_processor(encoder_outputs, options.ctc_weight, prompt_length))
        fusion = self._fusion_processor(options, prompt_length)
        if fusion is not None:
            processors.append(fusion)
        crosses = [layer.cross_attn for layer in self.decoder.layers] if options.attention_entropy_weight else []
        if crosses:
            processors.append(AttentionEntropyLogitsProcessor(crosses, options.attention_entropy_weight))
        try:
            for attention in crosses:
                attention.record_entropy = True
            # What transformers itself would take for the inputs, but on the device of the states.
            states = encoder_outputs.last_hidden_state
            placeholder = torch.full(states.shape[:-1], IGNORE, device=states.device)
            return super().generate(
                placeholder,
                generation_config=generation_config,
                logits_processor=LogitsProcessorList([*processors, *(logits_processor or [])]),
                encoder_outputs=encoder_outputs,
                decoder_input_ids=decoder_input_ids.contiguous(),
                **kwargs,
            )
        finally:
            for attention in crosses:
                attention.record_entropy, attention.last_entropy = False, None
