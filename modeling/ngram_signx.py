"""N-gram language models over glosses: ARPA files, training, scores.

KenLM is faster, but the files in this folder travel with the weights, and this one needs only numpy.

Probabilities are natural logarithms here and base 10 in ARPA files. W is the number of words including `<s>`, `</s>`
and `<unk>`. An n-gram that is not listed has the backoff of its context plus the score of the shorter n-gram (Katz
1987).
"""

import gzip
import io
import math
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
MAX_ORDER = 9
LOG_10 = math.log(10)
# The lowest log10 probability: that of an unknown word of a model without <unk> in KenLM. It keeps every score finite.
FLOOR = -100.0
# SRILM writes this for <s>, which is never predicted.
NEVER = -99.0
_MAX_LINE, _MAX_PREAMBLE = 1 << 16, 1000
# log_probs() caches at most this many numbers.
_CACHED_NUMBERS = 4_000_000
_DISCOUNT_FALLBACK = (0.5, 1.0, 1.5)

State = tuple[int, ...]


@dataclass(frozen=True)
class _Context:
    """The words after a context: ascending ids, their log-probabilities, and the backoff for all other words."""

    ids: np.ndarray
    log_probs: np.ndarray
    backoff: float


class NGramModel:
    """A language model over glosses.

        model = NGramModel.train([["IX-1p", "FINISH", "WORK"], ...], order=3)
        model.write("lm.arpa")
        NGramModel.read("lm.arpa").score(["IX-1p", "WORK"])

    Step by step: `state = start()`, `log_probs(state)` for every next word, `state = advance(state, word_id)`. A state
    is the longest suffix of the history that the model knows as a context, so that equal states have equal futures.

    Args:
        words: the word of each id.
        tables: for each order, the log-probability of each n-gram of ids.
        backoffs: log-weight of each context of ids.

    Attributes:
        order: length of the longest n-gram.
        words: the word of each id.
        counts: number of listed n-grams of each order.
        has_unknown: whether `<unk>` is listed; without it an unknown gloss has probability 1e-100.
        end_id: id of `</s>`.
    """

    def __init__(self, words: Sequence[str], tables: Sequence[dict[State, float]], backoffs: dict[State, float]):
        self.order, self.words = len(tables), tuple(words)
        self.counts = tuple(len(table) for table in tables)
        self._ids = {word: index for index, word in enumerate(self.words)}
        self.has_unknown = UNKNOWN in self._ids
        self.end_id = self._ids[END]
        grouped: dict[State, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        for table in tables:
            for ngram, log_prob in table.items():
                ids, log_probs = grouped[ngram[:-1]]
                ids.append(ngram[-1])
                log_probs.append(log_prob)
        for context in [*grouped, *backoffs]:  # pruned models may list an n-gram without its prefixes
            for length in range(1, len(context)):
                grouped[context[:length]]  # noqa: B018  creates the entry
            grouped[context]  # noqa: B018
        self._contexts: dict[State, _Context] = {}
        for context, (ids, log_probs) in grouped.items():
            order = np.argsort(ids)
            sorted_ids, values = np.array(ids, dtype=np.int64)[order], np.array(log_probs)[order]
            self._contexts[context] = _Context(sorted_ids, values, backoffs.get(context, 0.0))
        self._cache: dict[State, np.ndarray] = {}

    def __deepcopy__(self, memo: dict) -> "NGramModel":
        return self  # immutable, and generation configs are copied in every call

    def word_id(self, word: str) -> int:
        """Return the id of a word, or that of `<unk>` for an unlisted word, or `len(words)` without `<unk>`."""
        return self._ids.get(word, self._ids.get(UNKNOWN, len(self.words)))

    def knows(self, word: str) -> bool:
        """Return whether the word is listed."""
        return word in self._ids

    def start(self) -> State:
        """Return the state at the beginning of a sentence."""
        return self._state((self._ids[BEGIN],))

    def advance(self, state: State, word_id: int) -> State:
        """Return the state after one more word."""
        return self._state((*state, word_id))

    def _state(self, history: State) -> State:
        for first in range(max(0, len(history) - self.order + 1), len(history)):
            if history[first:] in self._contexts:
                return history[first:]
        return ()

    def log_probs(self, state: State) -> np.ndarray:
        """Return the log-probability `[W + 1]` of every next word, read-only; the last is that of unlisted words."""
        cached = self._cache.get(state)
        if cached is not None:
            return cached
        values = np.full(len(self.words) + 1, FLOOR * LOG_10)
        for first in range(len(state), -1, -1):
            context = self._contexts.get(state[first:])
            if context is not None:
                values += context.backoff
                values[context.ids] = context.log_probs
        values[-1] = values[self.word_id(UNKNOWN)]
        np.maximum(values, FLOOR * LOG_10, out=values)
        values.flags.writeable = False
        if len(self._cache) >= max(64, _CACHED_NUMBERS // len(values)):
            self._cache.clear()
        self._cache[state] = values
        return values

    def word_scores(self, words: Iterable[str], end: bool = True) -> list[float]:
        """Return the log-probability of each word of a sentence given those before, and with `end` of `</s>`."""
        state, scores = self.start(), []
        for index in [*(self.word_id(word) for word in words), *([self.end_id] if end else [])]:
            scores.append(float(self.log_probs(state)[index]))
            state = self.advance(state, index)
        return scores

    def score(self, words: Iterable[str], end: bool = True) -> float:
        """Return the log-probability of a sentence, or without `end` that of all sentences with this beginning."""
        return math.fsum(self.word_scores(words, end))

    def ngrams(self) -> Iterable[tuple[State, float, float | None]]:
        """Yield every n-gram, shorter ones first: ids, log-probability, and backoff, None if it is not a context."""
        for context in sorted(self._contexts, key=lambda ids: (len(ids), ids)):
            entry = self._contexts[context]
            for index, log_prob in zip(entry.ids.tolist(), entry.log_probs.tolist()):
                longer = self._contexts.get((*context, index))
                yield (*context, index), log_prob, None if longer is None else longer.backoff

    def write(self, path: str | os.PathLike) -> None:
        """Write an ARPA file atomically, compressed if its name ends in `.gz`.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If the path is a folder, device or pipe.
        """
        path = Path(os.path.realpath(path))  # write the target of a link, not the link
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: must be a regular file or a new path.")
        tmp_path = path.with_name(f".{path.name}.{os.getpid()}.part")
        text = "\\data\\\n" + "".join(f"ngram {n}={count}\n" for n, count in enumerate(self.counts, 1))
        lines, order = [text], 0
        for ngram, log_prob, backoff in self.ngrams():
            if len(ngram) > order:
                order = len(ngram)
                lines.append(f"\n\\{order}-grams:\n")
            # Ten digits, so that sums of probabilities show no rounding.
            line = f"{log_prob / LOG_10:.10g}\t{' '.join(self.words[index] for index in ngram)}"
            lines.append(f"{line}\n" if backoff is None else f"{line}\t{backoff / LOG_10:.10g}\n")
        data = "".join([*lines, "\n\\end\\\n"]).encode()
        try:
            tmp_path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
            os.replace(tmp_path, path)
        finally:
            tmp_path.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "NGramModel":
        """Read an ARPA file, gzipped or not.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is damaged or not an ARPA file. The message names the line.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file. Pass a language model in ARPA format.")
        if not path.is_file():
            raise ValueError(f"{path}: not a file. Pass a language model in ARPA format.")
        with path.open("rb") as raw:
            head = raw.read(64)
            raw.seek(0)
            if head.startswith(b"mmap lm http://kheafield.com"):
                raise ValueError(
                    f"{path}: must be in ARPA format, got KenLM's binary format. Pass the file from which "
                    "build_binary made it."
                )
            stream = gzip.GzipFile(fileobj=raw) if head[:2] == b"\x1f\x8b" else raw
            return cls(*_parse(_Lines(path, stream)))

    @classmethod
    def train(cls, sentences: Iterable[Sequence[str]], order: int = 3, smoothing: str = "kneser_ney") -> "NGramModel":
        """Train a model: count the n-grams of sentences and smooth them.

        Args:
            sentences: lists of glosses; empty ones are skipped.
            order: length of the longest n-gram, 1 to 9.
            smoothing: `"kneser_ney"`, interpolated and modified (Chen and Goodman 1999, section 4.1.6), with the
                discounts 0.5, 1 and 1.5 for an order whose counts of counts give none; or `"witten_bell"`,
                interpolated (section 2.5 there).

        Returns:
            A model of that order, or of a lower one if no sentence is long enough.

        Raises:
            ValueError: If there is no sentence, a gloss has white space or the name of a marker, or an option is
                invalid.
        """
        if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
            raise ValueError(f"`order` must be an integer from 1 to {MAX_ORDER}, got {order!r}.")
        if smoothing not in SMOOTHINGS:
            raise ValueError(f"`smoothing` must be {' or '.join(map(repr, SMOOTHINGS))}, got {smoothing!r}.")
        rows = _read_sentences(sentences)
        words = [UNKNOWN, BEGIN, END, *sorted({gloss for row in rows for gloss in row})]
        ids = {word: index for index, word in enumerate(words)}
        counts: list[Counter] = [Counter() for _ in range(order)]
        for row in rows:
            sentence = (ids[BEGIN], *(ids[gloss] for gloss in row), ids[END])
            for n, counter in enumerate(counts, 1):
                counter.update(sentence[first : first + n] for first in range(len(sentence) - n + 1))
        if smoothing == "kneser_ney":
            counts = _continuations(counts, ids[BEGIN])
        # A sentence of one gloss has no 4-gram: empty orders are left out.
        return cls(words, *_smooth([c for c in counts if c], len(words), ids[BEGIN], SMOOTHINGS[smoothing]))


# ----------------------------------------------------------------------------------------------------------- training


def _read_sentences(sentences: Iterable[Sequence[str]]) -> list[list[str]]:
    rows = []
    for number, row in enumerate(sentences, 1):
        if isinstance(row, str) or not all(isinstance(gloss, str) for gloss in row):
            raise ValueError(f"Sentence {number} must be a list of glosses, got {row!r:.80}.")
        for gloss in row:
            if len(gloss.split()) != 1 or gloss.split()[0] != gloss:
                raise ValueError(
                    f"Sentence {number}: a gloss must not be empty or have white space, got {gloss!r:.80}."
                )
            if gloss in (BEGIN, END, UNKNOWN):
                raise ValueError(f"Sentence {number}: {gloss!r} is a marker of language models. Rename the gloss.")
        if row:
            rows.append(list(row))
    if not rows:
        raise ValueError("`sentences` must have at least one sentence with a gloss.")
    return rows


def _continuations(counts: list[Counter], begin: int) -> list[Counter]:
    """Count the distinct words before all but the longest n-grams instead of the n-grams; nothing precedes `<s>`."""
    adjusted = []
    for shorter, longer in zip(counts, counts[1:]):
        before = Counter(ngram[1:] for ngram in longer)
        adjusted.append(Counter({ngram: n if ngram[0] == begin else before[ngram] for ngram, n in shorter.items()}))
    return [*adjusted, counts[-1]]


def _kneser_ney(values: Iterable[int]) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Estimate the discounts of an order from all its counts.

    Returns:
        A function from the counts after a context to (their discounted shares, the share that remains for shorter
        n-grams).
    """
    ones, twos, threes, fours = (Counter(values)[n] for n in (1, 2, 3, 4))
    discounts = _DISCOUNT_FALLBACK
    if ones and twos and threes:
        share = ones / (ones + 2 * twos)
        estimates = (1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes)
        if all(0 < discount < n for n, discount in enumerate(estimates, 1)):
            discounts = estimates
    table = np.array([0.0, *discounts])

    def share_out(counts: np.ndarray) -> tuple[np.ndarray, float]:
        taken = table[np.minimum(counts, 3)]
        return (counts - taken) / counts.sum(), float(taken.sum() / counts.sum())

    return share_out


def _witten_bell(values: Iterable[int]) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Return such a function, too; the share of distinct words after the context remains for shorter n-grams."""

    def share_out(counts: np.ndarray) -> tuple[np.ndarray, float]:
        total = counts.sum() + len(counts)
        return counts / total, len(counts) / float(total)

    return share_out


SMOOTHINGS = {"kneser_ney": _kneser_ney, "witten_bell": _witten_bell}


def _smooth(
    counts: list[Counter], size: int, begin: int, smoothing: Callable
) -> tuple[list[dict[State, float]], dict[State, float]]:
    """Interpolate each order with the one below; return log-probabilities per order, and backoffs."""
    tables: list[dict[State, float]] = []
    backoffs: dict[State, float] = {}
    # Below the unigrams all words are equally probable, except <s>, which is never predicted.
    lower: dict[State, float] = {}
    for n, counter in enumerate(counts, 1):
        if n == 1:
            counter = Counter({ngram: count for ngram, count in counter.items() if ngram != (begin,)})
        share_out, groups = smoothing(counter.values()), defaultdict(list)
        for ngram in counter:
            groups[ngram[:-1]].append(ngram)
        table: dict[State, float] = {}
        for context, ngrams in groups.items():
            shares, rest = share_out(np.array([counter[ngram] for ngram in ngrams]))
            if n == 1:
                table = {(index,): rest / (size - 1) for index in range(size)}
            else:
                backoffs[context] = math.log(rest)
            for ngram, share in zip(ngrams, shares.tolist()):
                table[ngram] = share + rest * (lower[ngram[1:]] if n > 1 else 1 / (size - 1))
        tables.append({ngram: math.log(prob) for ngram, prob in table.items()})
        lower = table
    tables[0][(begin,)] = NEVER * LOG_10
    return tables, backoffs


# ---------------------------------------------------------------------------------------------------------------- ARPA


class _Lines:
    """The non-empty lines of an ARPA file, and errors that name the last one."""

    def __init__(self, path: Path, stream: io.BufferedIOBase):
        self.path, self.stream, self.number, self._pushed = path, stream, 0, None

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}: line {self.number}: {message}")

    def push_back(self, line: str) -> None:
        """Let `next` return this line once more."""
        self._pushed = line

    def next(self) -> str | None:
        """Return the next line, stripped, or None at the end of the file."""
        line, self._pushed = self._pushed, None
        while not line:
            self.number += 1
            try:
                raw = self.stream.readline(_MAX_LINE + 1)
                line = raw.decode().strip(" \t\r\n")
            except UnicodeDecodeError as error:
                raise self.error("not UTF-8. Convert the file to UTF-8.") from error
            except (EOFError, OSError, zlib.error) as error:
                raise self.error(f"cannot be read ({error}). Copy the file again.") from error
            if len(raw) > _MAX_LINE:
                raise self.error(f"longer than {_MAX_LINE} bytes. Is it an ARPA file?")
            if not raw:
                return None
        return line


def _parse(lines: _Lines) -> tuple[list[str], list[dict[State, float]], dict[State, float]]:
    counts = _parse_counts(lines)
    words: dict[str, int] = {}
    tables: list[dict[State, float]] = []
    backoffs: dict[State, float] = {}
    for n, count in enumerate(counts, 1):
        line = lines.next()
        if line != f"\\{n}-grams:":
            raise lines.error(f"expected \\{n}-grams: after the previous section, got {_shown(line)}.")
        table: dict[State, float] = {}
        for _ in range(count):
            line = lines.next()
            if line is None or line.startswith("\\"):
                raise lines.error(
                    f"expected {count} {n}-grams as \\data\\ announces, got {_shown(line)} after {len(table)}."
                )
            _parse_ngram(lines, line, n, words, table, backoffs if n < len(counts) else None)
        tables.append(table)
        if n == 1:
            for marker in (BEGIN, END):
                if marker not in words:
                    raise lines.error(f"the 1-grams lack {marker}. Train the model on full sentences.")
    line = lines.next()
    if line != "\\end\\":
        raise lines.error(f"expected \\end\\ after the {counts[-1]} {len(counts)}-grams, got {_shown(line)}.")
    return list(words), tables, backoffs


def _shown(line: str | None) -> str:
    return "the end of the file" if line is None else repr(line if len(line) <= 60 else line[:57] + "...")


def _parse_counts(lines: _Lines) -> list[int]:
    line = lines.next()
    while line != "\\data\\":
        if line is None or lines.number > _MAX_PREAMBLE:
            raise lines.error("no \\data\\ section so far. Is it an ARPA file?")
        line = lines.next()
    counts: list[int] = []
    while (line := lines.next()) is not None and not line.startswith("\\"):
        match = re.fullmatch(r"ngram\s+([0-9]{1,3})\s*=\s*([0-9]{1,15})", line)
        if not match or int(match[1]) != len(counts) + 1:
            raise lines.error(f"expected 'ngram {len(counts) + 1}=COUNT', got {_shown(line)}.")
        if int(match[1]) > MAX_ORDER:
            raise lines.error(f"the order of n-grams must be at most {MAX_ORDER}, got {match[1]}.")
        counts.append(int(match[2]))
    if not counts:
        raise lines.error("no 'ngram 1=COUNT' after \\data\\. Is it an ARPA file?")
    if line is not None:
        lines.push_back(line)
    return counts


def _parse_ngram(
    lines: _Lines,
    line: str,
    n: int,
    words: dict[str, int],
    table: dict[State, float],
    backoffs: dict[State, float] | None,
) -> None:
    """Parse `log10 probability, n words, log10 backoff` into the table; the longest n-grams have no backoff (None)."""
    fields = re.split(r"[ \t]+", line)
    if len(fields) not in (n + 1, n + 2) or (len(fields) == n + 2 and backoffs is None):
        expected = f"a probability and {n} words" + ("" if backoffs is None else ", then optionally a backoff")
        raise lines.error(f"expected {expected}, got {len(fields)} fields in {_shown(line)}.")
    log_prob = _parse_number(lines, fields[0])
    if log_prob > 1e-6:
        raise lines.error(f"the log10 probability must be at most 0, got {fields[0]}.")
    spelled = [UNKNOWN if field == "<UNK>" else field for field in fields[1 : n + 1]]
    if n == 1:
        ngram: State = (words.setdefault(spelled[0], len(words)),)
    else:
        unlisted = [word for word in spelled if word not in words]
        if unlisted:
            raise lines.error(f"the word {_shown(unlisted[0])} is not among the 1-grams.")
        ngram = tuple(words[word] for word in spelled)
    if ngram in table:
        raise lines.error(f"the {n}-gram {_shown(' '.join(spelled))} is listed twice.")
    table[ngram] = min(log_prob, 0.0) * LOG_10
    if len(fields) == n + 2:
        backoffs[ngram] = _parse_number(lines, fields[-1]) * LOG_10


def _parse_number(lines: _Lines, field: str) -> float:
    try:
        value = math.nan if "_" in field else float(field)  # Python reads 1_0 as ten
    except ValueError:
        value = math.nan
    if math.isnan(value) or value == math.inf or value > -FLOOR:
        raise lines.error(f"expected a number, the log10 of a probability or backoff, got {_shown(field)}.")
    return max(value, FLOOR)
