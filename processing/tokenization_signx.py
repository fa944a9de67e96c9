"""Tokenizer for glosses and spoken-language text: byte-level BPE pieces for the decoder, full glosses for CTC.

A gloss is a maximal run without whitespace; nothing inside it is a separator (ASLLRP conventions: `ns-fs-JOHN`,
`DURING/WHILE`, `#IF`, `HEADBAND_2`, `part:indef`). Whitespace is what `str.split()` splits at, including no-break and
ideographic spaces, so the tokenizer, the metrics and the data loaders agree on where a gloss ends. Nothing is
normalized (NFC and NFD stay as they are); runs of whitespace become one space. Hence, for every `s`:
`decode(encode(s), skip_special_tokens=True) == " ".join(s.split())`.

Pieces carry an END-of-word mark, not a word-start mark: when the decoder emits a piece it knows whether a gloss is
complete, which joint CTC scoring needs. All 256 bytes exist with and without the mark, so no text is unknown.
"""

import difflib
import json
import operator
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BatchEncoding, PreTrainedTokenizerFast

from .errors_signx import SignXTokenError

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "<gloss>", "<text>")  # position = id
TASK_TOKENS = {"gloss": "<gloss>", "text": "<text>"}
LABEL_PADDING = -100
UNICODE_FORMS = ("NFC", "NFKC", "NFD", "NFKD")

# Stands for the space after a gloss. It must be outside the byte-level alphabet: with "</w>" the start of `A</w>B` and
# a final `A` could be the same piece.
GLOSS_END = "\u2423"

# The whitespace of `str.split()`, spelled out because the backend's own `\s` lacks U+001C to U+001F.
WHITE_SPACE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"

# GPT-2's printable symbol for each byte, in the order of the bytes, as written by the backend's ByteLevel.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _PRINTABLE]
BYTE_SYMBOLS = [chr(byte if byte in _PRINTABLE else 256 + _HIDDEN.index(byte)) for byte in range(256)]
_BYTE_OF = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}
_BASE_VOCABULARY = [*SPECIAL_TOKENS, *BYTE_SYMBOLS, *(symbol + GLOSS_END for symbol in BYTE_SYMBOLS)]


class SignXTokenizer(PreTrainedTokenizerFast):
    """Tokenizer with two vocabularies: BPE pieces (`labels`) and full glosses (`ctc_labels`).

    `tokenizer(text)` gives `<gloss> pieces </s>`, `tokenizer(text, task="text")` gives `<text> pieces </s>`. The
    prompt and the other special tokens exist only as ids: a gloss spelled `<s>` is text like any other gloss.

    Args:
        tokenizer_file: File of the BPE backend; `train_from_iterator` and `from_pretrained` provide it.
        tokenizer_object: The BPE backend itself.
        ctc_glosses: CTC vocabulary in the order of ids without the blank, which is id 0: the first gloss is id 1.
            Stored in tokenizer_config.json. `from_pretrained(..., ctc_glosses=[...])` keeps the pieces and uses
            another list of glosses.
        text_lowercase: Whether spoken-language text is lower-cased. Glosses never are.
        text_form: Unicode form of spoken-language text, NFC, NFKC, NFD or NFKD; None leaves it as it is.
        text_pairs: Ids of pieces that are neighbors within the words of the texts that the pieces were learned from,
            two for each pair; merging one later would split these words otherwise. None: no texts, or unknown.

    Raises:
        SignXTokenError: If there is no backend, it was not made by `train_from_iterator`, or glosses are empty,
            repeated or contain whitespace, or text_form is unknown.
    """

    model_input_names = ["input_ids", "attention_mask"]
    ctc_blank_id = 0

    def __init__(
        self,
        tokenizer_file: str | None = None,
        tokenizer_object: Tokenizer | None = None,
        ctc_glosses: Sequence[str] = (),
        text_lowercase: bool = False,
        text_form: str | None = None,
        text_pairs: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if tokenizer_file is None and tokenizer_object is None:
            raise SignXTokenError(
                "SignXTokenizer needs tokenizer_file or tokenizer_object, got neither. Use "
                "SignXTokenizer.from_pretrained(folder) or SignXTokenizer.train_from_iterator(sentences)."
            )
        if text_form is not None and text_form not in UNICODE_FORMS:
            raise SignXTokenError(f"`text_form` must be None or one of {', '.join(UNICODE_FORMS)}, got {text_form!r}.")
        glosses = _checked_glosses(ctc_glosses)
        for name, token in zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL_TOKENS):
            kwargs.setdefault(name, token)
        kwargs.setdefault("extra_special_tokens", list(TASK_TOKENS.values()))
        kwargs.setdefault("split_special_tokens", True)  # never parsed out of gloss text
        kwargs.setdefault("clean_up_tokenization_spaces", False)
        if text_lowercase:  # only what is not the default is saved
            kwargs["text_lowercase"] = True
        if text_form is not None:
            kwargs["text_form"] = text_form
        if text_pairs is not None:
            kwargs["text_pairs"] = list(text_pairs)
        super().__init__(
            tokenizer_file=tokenizer_file, tokenizer_object=tokenizer_object, ctc_glosses=list(glosses), **kwargs
        )
        self.text_lowercase, self.text_form = bool(text_lowercase), text_form
        self.text_pairs = None if text_pairs is None else list(text_pairs)
        self.ctc_glosses = glosses
        self._ctc_ids = {gloss: index for index, gloss in enumerate(glosses, start=1)}
        ids = [self.pad_token_id, self.bos_token_id, self.eos_token_id, self.unk_token_id]
        ids += [self.convert_tokens_to_ids(token) for token in TASK_TOKENS.values()]
        if ids != list(range(len(SPECIAL_TOKENS))):
            raise SignXTokenError(
                f"the special tokens {' '.join(SPECIAL_TOKENS)} must have the ids 0 to {len(SPECIAL_TOKENS) - 1}, got "
                f"{ids}. Use a tokenizer.json made by SignXTokenizer.train_from_iterator, with its special tokens "
                "unchanged."
            )

    @classmethod
    def convert_to_native_format(cls, trust_remote_code: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Pass tokenizer.json to `__init__`: transformers would rebuild the BPE of a class that has an `__init__`."""
        return kwargs

    @classmethod
    def byte_level(cls, ctc_glosses: Sequence[str] = ()) -> "SignXTokenizer":
        """Build a tokenizer whose pieces are single bytes, for models without text: 518 pieces, identity on every
        string.

        Args:
            ctc_glosses: CTC vocabulary.
        """
        return cls(tokenizer_object=_backend([]), ctc_glosses=ctc_glosses)

    @classmethod
    def train_from_iterator(
        cls,
        sentences: Iterable[str | list[str]],
        *,
        vocab_size: int = 2000,
        min_frequency: int = 1,
        texts: Iterable[str] | None = None,
        ctc_min_count: int = 1,
        **kwargs: Any,
    ) -> "SignXTokenizer":
        """Train the pieces and the CTC vocabulary from word counts alone: order, hash seed and threads have no effect.

        Args:
            sentences: Gloss sentences, each a string or a list of glosses.
            vocab_size: Maximum number of pieces, special tokens (6) and byte symbols (2 x 256) included; a small
                corpus gives fewer.
            min_frequency: How often two pieces must occur together to be merged.
            texts: Spoken-language sentences that join the training of the pieces but not the CTC vocabulary. With
                texts there may be no glosses at all.
            ctc_min_count: Glosses rarer than this are left out of the CTC vocabulary, which lists the most frequent
                gloss first and glosses of equal frequency by code point.
            kwargs: For `SignXTokenizer`, such as `model_max_length`, `text_lowercase` and `text_form`.

        Raises:
            SignXTokenError: If there is neither gloss nor text, no gloss is frequent enough, or vocab_size is below 518.
            TypeError: If a sentence is neither a string nor a list of strings.
        """
        if vocab_size < len(_BASE_VOCABULARY):
            raise SignXTokenError(
                f"`vocab_size` must be at least {len(_BASE_VOCABULARY)} ({len(SPECIAL_TOKENS)} special tokens and 2 x "
                f"256 byte symbols) so that no gloss is unknown, got {vocab_size}."
            )
        counts = Counter(gloss for glosses in _sentences(sentences, "sentences") for gloss in glosses)
        form = (bool(kwargs.get("text_lowercase")), kwargs.get("text_form"))
        spoken = (_normalized(" ".join(sentence), *form) for sentence in _sentences(texts or (), "texts"))
        words = Counter(word for text in spoken for word in text.split())
        if not counts and not words:
            raise SignXTokenError("`sentences` must have at least one gloss, got none.")
        frequent = sorted((gloss for gloss in counts if counts[gloss] >= ctc_min_count), key=lambda g: (-counts[g], g))
        if counts and not frequent:
            raise SignXTokenError(
                f"no gloss occurs {ctc_min_count} times; the most frequent occurs {max(counts.values())} times. Lower "
                "ctc_min_count."
            )
        counts.update(words)
        backend = _backend(_learn_merges(counts, vocab_size, min_frequency))
        if words:
            kwargs["text_pairs"] = neighbors(backend, words)
        return cls(tokenizer_object=backend, ctc_glosses=frequent, **kwargs)

    def train_new_from_iterator(self, *args: Any, **kwargs: Any) -> "SignXTokenizer":
        """Raise an error: the inherited trainer would lose the byte symbols and the CTC vocabulary."""
        raise SignXTokenError(
            "train_new_from_iterator cannot train a SignXTokenizer. Use SignXTokenizer.train_from_iterator(sentences)."
        )

    def normalize_text(self, text: str) -> str:
        """Return a spoken-language sentence as it is encoded: single spaces, with `text_form` and `text_lowercase`."""
        return _normalized(text, self.text_lowercase, self.text_form)

    # Pieces: the ids of `labels`.

    @staticmethod
    def split_glosses(sentence: str) -> list[str]:
        """Return the glosses of a sentence, in order."""
        _check_text(sentence, "a sentence")
        return sentence.split()

    def build_targets(
        self, text: str | Sequence[str], task: str = "gloss", max_length: int | None = None
    ) -> list[int]:
        """Return the labels of one sentence: `[<task>, pieces..., </s>]`. The model is fed the prompt but not scored
        on it.

        Args:
            text: A sentence, or the list of its glosses.
            task: "gloss" or "text".
            max_length: Maximum number of labels, prompt and end included; None for all.

        Raises:
            SignXTokenError: If the task is unknown, the text is not Unicode, or a listed gloss is empty or contains
                whitespace.
        """
        if not isinstance(text, str):
            text = " ".join(_checked_words(text, "text"))
        return self(text, task=task, truncation=max_length is not None, max_length=max_length)["input_ids"]

    def display_pieces(self, text: str | Iterable[int]) -> list[str]:
        r"""Return the pieces of a sentence or of ids in readable form, as SignX-4 prints them: `@@` means that the
        gloss continues.

        A byte of a character that is cut by a piece boundary is shown as an escape, such as `\xc3`.
        """
        ids = self(text, add_special_tokens=False)["input_ids"] if isinstance(text, str) else _ids(text)
        return [self._display(self._piece(index)) for index in ids]

    def _display(self, piece: str) -> str:
        if piece in self.all_special_tokens:
            return piece
        core = piece.removesuffix(GLOSS_END)
        readable = bytes(_BYTE_OF[symbol] for symbol in core).decode("utf-8", errors="backslashreplace")
        return readable if piece.endswith(GLOSS_END) else readable + "@@"

    def is_gloss_end(self, piece_id: int) -> bool:
        """Return whether a piece completes a gloss (or a word). Special tokens do not."""
        return self._piece(piece_id).endswith(GLOSS_END)

    @property
    def gloss_end_ids(self) -> list[int]:
        """Return all pieces that complete a gloss, ascending."""
        return sorted(index for piece, index in self.get_vocab().items() if piece.endswith(GLOSS_END))

    def gloss_piece_ids(self) -> list[list[int]]:
        """Return for each CTC id the pieces that spell its gloss, none for the blank; for
        `SignXTextConfig.gloss_pieces`.
        """
        if not self.ctc_glosses:
            return [[]]
        return [[], *self(list(self.ctc_glosses), add_special_tokens=False)["input_ids"]]

    # Whole glosses: the ids of `ctc_labels`.

    @property
    def ctc_vocab_size(self) -> int:
        """Return the number of CTC classes, blank included."""
        return len(self.ctc_glosses) + 1

    def encode_ctc(self, glosses: str | Sequence[str], on_unknown: str = "error") -> list[int]:
        """Return the CTC ids of a sentence or a list of glosses, without blanks.

        Args:
            glosses: A sentence, or the list of its glosses.
            on_unknown: "error", or "drop" to leave out glosses that the vocabulary lacks.

        Raises:
            SignXTokenError: If glosses are unknown (the message gives at most five, each with its nearest known
                gloss), or on_unknown is invalid.
        """
        if on_unknown not in ("error", "drop"):
            raise SignXTokenError(f"`on_unknown` must be 'error' or 'drop', got {on_unknown!r}.")
        words = self.split_glosses(glosses) if isinstance(glosses, str) else _checked_words(glosses, "glosses")
        unknown = [gloss for gloss in dict.fromkeys(words) if gloss not in self._ctc_ids]
        if unknown and on_unknown == "error":
            raise SignXTokenError(self._unknown_message(unknown))
        return [self._ctc_ids[gloss] for gloss in words if gloss in self._ctc_ids]

    def _unknown_message(self, unknown: list[str]) -> str:
        if not self.ctc_glosses:
            return "the tokenizer has no CTC vocabulary. Pass ctc_glosses, or train it with SignXTokenizer.train_from_iterator."
        by_folded = {gloss.casefold(): gloss for gloss in reversed(self.ctc_glosses)}  # the first of equals is used
        named = []
        for gloss in unknown[:5]:
            near = difflib.get_close_matches(gloss.casefold(), by_folded, n=1)
            named.append(f"{gloss!r} (nearest: {by_folded[near[0]]!r})" if near else f"{gloss!r} (none near)")
        rest = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        return (
            f"not in the CTC vocabulary of {len(self.ctc_glosses)} glosses: {', '.join(named)}{rest}. Correct the spelling, "
            'pass on_unknown="drop", or load the tokenizer with ctc_glosses that contain them.'
        )

    def decode_ctc(self, ids: Iterable[int]) -> list[str]:
        """Return the glosses of one row of CTC labels. Blanks and -100 are skipped; repeats are kept, since this is
        not a CTC collapse.

        Raises:
            SignXTokenError: If an id is outside the vocabulary.
        """
        row = [index for index in _ids(ids) if index not in (self.ctc_blank_id, LABEL_PADDING)]
        if row and not 0 < min(row) <= max(row) < self.ctc_vocab_size:
            raise SignXTokenError(
                f"vocabulary mismatch: CTC ids must be from 0 (blank) to {self.ctc_vocab_size - 1}, got {min(row)} to "
                f"{max(row)}. Load the tokenizer that was saved with the model."
            )
        return [self.ctc_glosses[index - 1] for index in row]

    # Methods that transformers calls.

    def _encode_plus(self, text: str | list, *args: Any, task: str = "gloss", **kwargs: Any) -> BatchEncoding:
        if task not in TASK_TOKENS:
            raise SignXTokenError(f"`task` must be 'gloss' or 'text', got {task!r}.")
        if task != "gloss":
            self._tokenizer.post_processor = _prompt(task)
            if self.text_lowercase or self.text_form:
                text = [self._normalize(item) for item in text] if isinstance(text, list) else self._normalize(text)
        try:
            return super()._encode_plus(text, *args, **kwargs)
        except TypeError:
            _check_unicode(text)  # the backend reports a lone surrogate as not being a str
            raise
        finally:
            if task != "gloss":
                self._tokenizer.post_processor = _prompt("gloss")

    def _normalize(self, item: Any) -> Any:
        """Normalize a sentence, or each word of one that is split into words."""
        if isinstance(item, str):
            return self.normalize_text(item)
        return [self._normalize(word) for word in item] if isinstance(item, (list, tuple)) else item

    def _decode(self, token_ids: int | Iterable[int] | Mapping[str, Iterable[int]], *args: Any, **kwargs: Any) -> str:
        if isinstance(token_ids, Mapping):
            token_ids = token_ids["input_ids"]
        ids = [
            index for index in _ids([token_ids] if isinstance(token_ids, int) else token_ids) if index != LABEL_PADDING
        ]
        for index in ids:
            self._check_piece_id(index)  # the backend skips unknown ids silently
        return super()._decode(ids, *args, **kwargs)

    def update_post_processor(self) -> None:
        """Keep `<gloss> ... </s>` where transformers would write its own bos and eos template."""
        self._tokenizer.post_processor = _prompt("gloss")

    def _add_tokens(self, new_tokens: list[str | AddedToken], special_tokens: bool = False) -> int:
        for token in new_tokens:
            if not (special_tokens or getattr(token, "special", False)):
                raise SignXTokenError(
                    f"cannot add {str(token)!r} to the pieces, since it would be cut out of every gloss that contains it. "
                    "Every gloss is already spelled by pieces: leave it out, add it as a special token, or train a new "
                    "tokenizer."
                )
        return super()._add_tokens(new_tokens, special_tokens=special_tokens)

    def _check_piece_id(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise SignXTokenError(
                f"vocabulary mismatch: piece ids must be from 0 to {len(self) - 1}, got {index}. Load the tokenizer "
                "that was saved with the model."
            )

    def _piece(self, index: int) -> str:
        self._check_piece_id(index)
        return self._tokenizer.id_to_token(index)


def neighbors(backend: Tokenizer, words: Iterable[str]) -> list[int]:
    """Return the ids of all pieces that are neighbors within one of the words, two for each pair, sorted by pair."""
    pairs: set[tuple[int, int]] = set()
    for spelled in backend.encode_batch_fast(list(words), add_special_tokens=False):
        pairs.update(zip(spelled.ids, spelled.ids[1:]))
    return [index for pair in sorted(pairs) for index in pair]


def _normalized(text: str, lowercase: bool, form: str | None) -> str:
    """Return text with single spaces, in a Unicode form and lower-cased where asked for."""
    text = unicodedata.normalize(form, text) if form else text
    return " ".join((text.lower() if lowercase else text).split())


def _learn_merges(counts: Counter[str], vocab_size: int, min_frequency: int) -> list[tuple[str, str]]:
    """Return BPE merges in order of priority, at most as many as fit into vocab_size."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        # The marked symbols are listed because the trainer would otherwise number them in the order of a randomly
        # seeded hash map, and ties between pairs are broken by number: two runs would learn two vocabularies.
        special_tokens=_BASE_VOCABULARY,
        end_of_word_suffix=GLOSS_END,
        show_progress=False,
    )
    learner.train_from_iterator((word for word in sorted(counts) for word in repeat(word, counts[word])), trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    known, merges = set(_BASE_VOCABULARY), []
    for left, right in learned:
        # A merge that spells `<s>` (from glosses such as `<s>X`) would make text share the id of the special token.
        if left in known and right in known and left + right not in SPECIAL_TOKENS:
            known.add(left + right)
            merges.append((left, right))
    return merges


def _backend(merges: list[tuple[str, str]]) -> Tokenizer:
    pieces = dict.fromkeys([*_BASE_VOCABULARY, *(left + right for left, right in merges)])
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=GLOSS_END))
    backend.pre_tokenizer = _pre_tokenizer()
    backend.post_processor = _prompt("gloss")
    # The mark becomes the symbol of the space byte, the bytes become text, and the space after the last gloss is
    # removed. Not decoders.Strip: it panics on the empty string, which an empty prediction decodes to.
    space = BYTE_SYMBOLS[ord(" ")]
    backend.decoder = decoders.Sequence(
        [decoders.Replace(GLOSS_END, space), decoders.ByteLevel(), decoders.Replace(Regex(r" \z"), "")]
    )
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return backend


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    words = pre_tokenizers.Split(Regex(f"[{WHITE_SPACE}]+"), behavior="removed")
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _prompt(task: str) -> processors.PostProcessor:
    """Return the template `<task> sentence </s>`; a pair is glosses and their translation."""
    return processors.TemplateProcessing(
        single=f"{TASK_TOKENS[task]} $A </s>",
        pair="<gloss> $A </s> <text> $B:1 </s>:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("</s>", *TASK_TOKENS.values())],
    )


def _ids(ids: Iterable[int]) -> list[int]:
    """Return one row of ids (list, array or tensor) as plain integers."""
    row = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    try:
        return [operator.index(index) for index in row]
    except TypeError:
        raise TypeError(
            f"ids must be one row of integers, got a row that starts with {row[:1]!r}. Call the method once per row."
        ) from None


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__} {text!r}.")
    _check_unicode(text)


def _check_unicode(text: object) -> None:
    """Reject lone surrogates, which come from files read with `errors="surrogateescape"`; lists are searched."""
    if isinstance(text, str):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SignXTokenError(
                f"{text!r} is not Unicode text (lone surrogate at character {error.start}). Read the file with its "
                "own encoding."
            ) from None
    elif isinstance(text, (list, tuple)):
        for item in text:
            _check_unicode(item)


def _checked_words(words: Sequence[str], name: str) -> list[str]:
    """Return a list of glosses, each of them one full gloss."""
    if not isinstance(words, (list, tuple)):
        raise TypeError(f"{name} must be a string or a list of glosses, got {type(words).__name__}.")
    for word in words:
        _check_text(word, f"a gloss of {name}")
        if word.split() != [word]:
            raise SignXTokenError(
                f"{name} must have glosses without whitespace, got {word!r}. Split the sentence with split_glosses."
            )
    return list(words)


def _checked_glosses(glosses: Sequence[str]) -> tuple[str, ...]:
    checked = tuple(_checked_words(glosses, "ctc_glosses"))
    if len(set(checked)) < len(checked):
        twice, count = Counter(checked).most_common(1)[0]
        raise SignXTokenError(
            f"ctc_glosses must have each gloss once, since its CTC id is its position, got {twice!r} {count} times."
        )
    return checked


def _sentences(sentences: Iterable[str | Sequence[str]], name: str) -> Iterator[list[str]]:
    """Yield the glosses of each sentence of an iterable of strings or lists."""
    if isinstance(sentences, str) or not isinstance(sentences, Iterable):
        raise TypeError(
            f"{name} must be an iterable of sentences, got {type(sentences).__name__}. Put one sentence into a list."
        )
    for index, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            _check_unicode(sentence)
            yield sentence.split()
        else:
            yield _checked_words(sentence, f"{name}[{index}]")
