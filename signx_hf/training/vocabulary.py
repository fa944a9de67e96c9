"""Option `extend_vocabulary`: new glosses and new pieces beside those of upstream, whose rows and spellings stay as they are."""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any, cast

import torch
from tokenizers import Tokenizer, models, trainers
from torch import nn

from ..modeling.classification_signx import SignXCosineClassifier, SignXForSignClassification
from ..modeling.configuration_signx import SignXConfig
from ..modeling.seq2seq_signx import SignXSeq2SeqModel
from ..processing.errors_signx import SignXError
from ..processing.processing_signx import SignXProcessor
from ..processing.tokenization_signx import SignXTokenizer, neighbors
from .arguments import Arguments
from .targets import sentences

if TYPE_CHECKING:
    from datasets import Dataset

FIRST_SYMBOL = 0xF0000  # a plane for private use: no trainer joins or splits characters of it by itself
SHOWN = 10  # names in a message; run.json has all


@dataclass
class Extension:
    """What a run adds to the vocabulary of upstream, and what it leaves out.

    Attributes:
        known_glosses, known_pieces: numbers of upstream's, the blank not counted.
        glosses: new ones in the order of their ids, which follow those of upstream.
        pieces: ids of the known pieces that each new one joins, by its id.
        spelled: new pieces as one reads them.
        unseen: known glosses that no training clip has.
        dropped: options of the config that were fitted to the old vocabulary, with their values.
    """

    known_glosses: int
    known_pieces: int
    glosses: list[str]
    pieces: dict[int, list[int]] = field(default_factory=dict)
    spelled: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    dropped: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the content of `vocabulary` in run.json."""
        return {
            "glosses": {"kept": self.known_glosses, "added": self.glosses, "kept_without_clip": self.unseen},
            "pieces": {"kept": self.known_pieces, "added": self.spelled},
            "dropped": self.dropped,
        }

    def lines(self) -> list[str]:
        """Return what the user should know before the first step."""
        kinds = [("glosses", self.known_glosses, self.glosses)]
        if self.known_pieces:
            kinds.append(("pieces", self.known_pieces, self.spelled))
        parts = [
            f"{known} {kind} kept, {len(new) or 'none'} added{f' ({_some(new)})' if new else ''}"
            for kind, known, new in kinds
        ]
        lines = [f"vocabulary: {'; '.join(parts)}"]
        if self.unseen:
            lines.append(
                f"{len(self.unseen)} of {self.known_glosses} known glosses are in no training clip and may be forgotten ({_some(self.unseen)}). "
                "Add clips with them to the training set."
            )
        if self.dropped:
            values = ", ".join(f"{name} {value!r}" for name, value in self.dropped.items())
            lines.append(
                f"left out, because it was fitted to the old vocabulary: {values}. Fit it again with `signx-hf calibrate`."
            )
        return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def check_extension(arguments: Arguments) -> None:
    """Reject options that do not go together with `extend_vocabulary`.

    Raises:
        SignXError: If there is nothing to extend, or glosses are to be added and dropped.
    """
    if not arguments.model.extend_vocabulary:
        return
    if not arguments.model.upstream:
        raise SignXError(
            "`extend_vocabulary` needs `upstream`, the checkpoint whose vocabulary is extended. Pass one, or remove `extend_vocabulary`: "
            "without upstream the vocabulary is that of the training clips."
        )
    if arguments.data.on_unknown != "error":
        raise SignXError(
            f"`on_unknown` has no effect with `extend_vocabulary: true`, which adds every gloss that upstream lacks, got {arguments.data.on_unknown!r}. "
            "Remove one of the two."
        )


def new_glosses(rows: "Dataset", known: Iterable[str]) -> Counter[str]:
    """Return how many training clips have each gloss that upstream lacks, the most frequent first, then by code point.

    Args:
        rows: of the training split.
        known: glosses of upstream.

    Raises:
        SignXError: If a new gloss is empty or has whitespace. The message names all of them with a clip.
    """
    seen, counts = set(known), Counter[str]()
    wrong: dict[str, str] = {}
    for clip, glosses, segments in zip(rows["id"], rows["glosses"], rows["segments"]):
        for gloss in {*glosses, *(segment["gloss"] for segment in segments)} - seen:
            counts[gloss] += 1
            if gloss.split() != [gloss]:
                wrong.setdefault(gloss, clip)
    if wrong:
        named = _some([f"{gloss!r} (clip {clip})" for gloss, clip in sorted(wrong.items())])
        raise SignXError(
            f"a gloss must be one word without whitespace, got {named}. Write one sign with + or -, as in HAPPY-BIRTHDAY, and several as "
            "several glosses."
        )
    return Counter(dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))


def extend_processor(
    processor: SignXProcessor, train: "Dataset", vocab_size: int, text: dict[str, Any] | None, knows_text: bool
) -> Extension:
    """Add the glosses of the training clips to the tokenizer of upstream, and pieces for them and for texts.

    Args:
        processor: of upstream; its tokenizer is replaced.
        train: rows of the training split.
        vocab_size: largest number of pieces, those of upstream included.
        text: options of the tokenizer for text, empty to keep those of upstream; None where no text is decoded.
        knows_text: whether upstream has learned text.
    """
    old = processor.tokenizer
    counts = new_glosses(train, old.ctc_glosses)
    used = {gloss for glosses in train["glosses"] for gloss in glosses}
    unseen = [gloss for gloss in old.ctc_glosses if gloss not in used]
    extension = Extension(len(old.ctc_glosses), len(old), list(counts), unseen=unseen)
    spoken: Counter[str] = Counter()
    if text is not None:
        reads = _copy(old, old.ctc_glosses, **text) if text else old
        spoken.update(word for line in sentences(train, "text") for word in reads.normalize_text(line).split())
    merges: list[tuple[str, str]] = []
    if old.text_pairs is not None or not knows_text:  # else any new piece might split the texts of upstream
        extension.pieces, merges = _learn_pieces(old, counts + spoken, vocab_size - len(old))
    if not (counts or merges or text):
        return extension
    new = _copy(old, [*old.ctc_glosses, *counts], merges, **(text or {}))
    if spoken and (old.text_pairs is not None or not knows_text):
        flat = [*(old.text_pairs or ()), *neighbors(new.backend_tokenizer, spoken)]
        new = _copy(new, new.ctc_glosses, text_pairs=[index for pair in sorted(_pairs(flat)) for index in pair])
    extension.spelled = new.display_pieces(extension.pieces)
    processor.tokenizer = new
    return extension


def _pairs(flat: Iterable[int]) -> set[tuple[int, int]]:
    values = iter(flat)
    return set(zip(values, values))


def _copy(
    tokenizer: SignXTokenizer, glosses: Sequence[str], merges: Sequence[tuple[str, str]] = (), **options: Any
) -> SignXTokenizer:
    """Return a copy of a tokenizer with other glosses and options, and with pieces that `merges` make, after all others."""
    with tempfile.TemporaryDirectory() as folder:  # saving is what knows all of a tokenizer's own options
        tokenizer.save_pretrained(folder)
        copy = SignXTokenizer.from_pretrained(folder, ctc_glosses=list(glosses), **options)
    copy.name_or_path = tokenizer.name_or_path
    if merges:
        content = json.loads(copy.backend_tokenizer.to_str())
        bpe, first = content["model"], len(copy)
        bpe["vocab"] |= {left + right: first + number for number, (left, right) in enumerate(merges)}
        bpe["merges"] = [*bpe["merges"], *map(list, merges)]
        copy._tokenizer = Tokenizer.from_str(json.dumps(content))
    return copy


def _learn_pieces(
    tokenizer: SignXTokenizer, words: Counter[str], room: int
) -> tuple[dict[int, list[int]], list[tuple[str, str]]]:
    """Learn pieces that join those which a tokenizer spells words with, as BPE does, and leave every old word as it is.

    A merge of two old pieces that are neighbors in an old gloss or text is left out, and so is a merge that spells an old piece. An old
    word has then no pair to which a new merge applies; one with a new piece in it can only follow such a pair.

    Args:
        tokenizer: of upstream.
        words: with their frequencies.
        room: largest number of pieces.

    Returns:
        By the id of each new piece the old pieces that it joins, and the merges in order of priority.
    """
    if room <= 0 or not words:
        return {}, []
    backend, texts = tokenizer.backend_tokenizer, sorted(words)
    spelled = [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
    kept = _pairs([*neighbors(backend, tokenizer.ctc_glosses), *(tokenizer.text_pairs or ())])
    # Each old piece is one character to the trainer, listed so that ties between pairs are broken by its id.
    alphabet = sorted({index for ids in spelled for index in ids})
    symbols = {index: chr(FIRST_SYMBOL + number) for number, index in enumerate(alphabet)}
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + 2 * room,  # some of what it learns is left out
        min_frequency=1, special_tokens=list(symbols.values()), show_progress=False,
    )  # fmt: skip
    lines = ("".join(symbols[index] for index in ids) for ids in spelled)
    learner.train_from_iterator(
        (line for word, line in zip(texts, lines) for line in repeat(line, words[word])), trainer
    )
    ids, vocabulary = {symbol: index for index, symbol in symbols.items()}, set(tokenizer.get_vocab())
    pieces = {symbol: str(tokenizer.convert_ids_to_tokens(index)) for symbol, index in ids.items()}  # by symbols
    parts: dict[int, list[int]] = {}
    merges: list[tuple[str, str]] = []
    for left, right in json.loads(learner.to_str())["model"]["merges"]:
        if len(merges) == room:
            break
        if left not in pieces or right not in pieces or pieces[left] + pieces[right] in vocabulary:
            continue
        if left in ids and right in ids and (ids[left], ids[right]) in kept:
            continue
        merges.append((pieces[left], pieces[right]))
        pieces[left + right] = pieces[left] + pieces[right]
        vocabulary.add(pieces[left + right])
        parts[len(tokenizer) + len(parts)] = [ids[symbol] for symbol in left + right]
    return parts, merges


def extend_model(model: Any, processor: SignXProcessor, extension: Extension) -> None:
    """Add rows for new glosses and pieces to a model of upstream, and take back what was fitted to the old vocabulary.

    A new gloss starts as the mean of all old ones, and the new ones together with at most the probability of the old ones. Its logit is
    never above the best old one, so that CTC reads old clips as before until training says otherwise. A new piece starts as the mean of
    those that it joins, which the decoder wrote in its place, and its logit is not above the best of them either.

    Args:
        model: of stage 3 or 4, with the vocabulary of upstream.
        processor: with the new tokenizer.
        extension: of `extend_processor`.
    """
    config, tokenizer = model.config, processor.tokenizer
    known = config.ctc_vocab_size
    if extension.glosses:
        model.resize_ctc_vocabulary(tokenizer.ctc_vocab_size)
        for name in ("recognizer.classifier", "recognizer.aux_classifier", "ctc_head"):
            if hasattr(model, name.split(".")[0]):  # stage 3 has no ctc_head
                _start_as_mean(model.get_submodule(name), known, config.ctc_blank_id)
    if extension.pieces and isinstance(model, SignXSeq2SeqModel):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for layer in {model.get_input_embeddings(), model.get_output_embeddings()}:
            weight = cast(torch.Tensor, layer.weight)
            with torch.no_grad():
                for index, parts in extension.pieces.items():
                    weight[index] = weight[parts].mean(0)
    config.text_config.vocab_size = len(tokenizer)  # a model without decoder tells it to the next stage
    if extension.glosses or extension.pieces:
        config.text_config.gloss_pieces = tokenizer.gloss_piece_ids()
        extension.dropped = drop_fitted(config)


def _start_as_mean(head: nn.Linear, known: int, blank: int) -> None:
    """Start the rows from `known` on as the mean of those before, the blank not counted."""
    rows = [index for index in range(known) if index != blank]
    if not rows:
        return
    with torch.no_grad():
        head.weight[known:] = head.weight[rows].mean(0)
        # the mean of logits is below the log of the mean probability, so that as many new ones as old ones weigh no more
        head.bias[known:] = head.bias[rows].mean() - math.log(max(1.0, (head.out_features - known) / len(rows)))


def drop_fitted(config: Any) -> dict[str, Any]:
    """Set what `signx-hf calibrate` fits to the logits of a vocabulary to its default, and return the old values.

    `segment_margins` stay: they say how far a sign reaches beyond its CTC steps, whatever the vocabulary.
    """
    usual = SignXConfig()
    names = ("confidence_temperature", "rejection_threshold", "spotting")
    dropped = {name: getattr(config, name) for name in names if getattr(config, name) != getattr(usual, name)}
    for name in dropped:
        setattr(config, name, getattr(usual, name))
    return dropped


def signs_of(config: Any) -> list[str]:
    """Return the isolated signs of a model in the order of their ids.

    Raises:
        SignXError: If the model is of another kind, whose labels name nothing.
    """
    kind = (config.architectures or ["SignXForSignClassification"])[0]
    if kind != "SignXForSignClassification":
        raise SignXError(
            f"`extend_vocabulary` for isolated signs needs an `upstream` of isolated signs, got a {kind}. Remove `extend_vocabulary`: the signs are then "
            "those of the training clips."
        )
    return [config.id2label[index] for index in range(len(config.id2label))]


def extend_signs(model: SignXForSignClassification, signs: Sequence[str], vectors: torch.Tensor) -> Extension:
    """Add signs to a classifier of isolated signs, whose rows stay as they are.

    A new sign starts in the direction of the mean vector of its clips, with the mean length and bias of the old rows (imprinting, Qi et
    al. 2018), so that it competes with them from the first step.

    Args:
        model: of upstream.
        signs: new ones.
        vectors: `[signs, F]`, means of `embedding` over the clips of each.
    """
    old, config = model.classifier, model.config
    names = signs_of(config)
    extension = Extension(len(names), 0, list(signs))
    if not signs:
        return extension
    size, total = old.weight.shape[1], len(names) + len(signs)
    directions = nn.functional.normalize(vectors.to(old.weight), dim=-1)
    if config.classifier_scale is None:
        new: Any = nn.Linear(size, total).to(old.weight)
        new.bias.data = torch.cat([old.bias.data, old.bias.data.mean().expand(len(signs))])
        directions = directions * old.weight.data.norm(dim=-1).mean()
    else:
        new = SignXCosineClassifier(size, total, config.classifier_scale).to(old.weight)
    new.weight.data = torch.cat([old.weight.data, directions])
    model.classifier = new
    config.id2label = dict(enumerate([*names, *signs]))
    config.label2id = {name: index for index, name in enumerate([*names, *signs])}
    extension.dropped = drop_fitted(config)
    return extension
