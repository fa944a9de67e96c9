"""Score the glosses of a hypothesis beside CTC and decoder: a language model, a bonus per gloss, hot words.

    lm_weight * log P_LM(glosses, </s>) + length_bonus * number of glosses + the boost of each hot word

The score is added to the log-probability of CTC, of the text decoder, or of both (shallow fusion, Gulcehre et al.
2015).
"""

import difflib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers.utils import cached_file

from .decoding_options_signx import DecodingOptions
from .ngram_signx import NGramModel, State

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SAVED_NAMES = {True: "lm.arpa.gz", False: "lm.arpa"}


class GlossScorer:
    """Score glosses by their CTC ids, step by step; a state is all that future scores depend on.

    Args:
        glosses: the gloss of each CTC id except the blank, which is id 0.
        lm: language model, or None.
        lm_weight: weight of the language model.
        length_bonus: natural logarithm added per gloss.
        hot_words: natural logarithm added per occurrence of a gloss.

    Raises:
        ValueError: If a hot word is not among the glosses.
    """

    def __init__(
        self,
        glosses: Sequence[str],
        lm: NGramModel | None = None,
        lm_weight: float = 0.0,
        length_bonus: float = 0.0,
        hot_words: Mapping[str, float] | None = None,
    ):
        self.lm = lm if lm_weight else None
        self.lm_weight = lm_weight
        self._added = np.full(len(glosses) + 1, float(length_bonus))
        ids = {gloss: index for index, gloss in enumerate(glosses, 1)}
        for word, boost in (hot_words or {}).items():
            if word not in ids:
                close = difflib.get_close_matches(word, ids, n=1, cutoff=0.0)
                raise ValueError(
                    f"`hot_words` must be among the {len(ids)} glosses of the CTC vocabulary, got {word!r}."
                    + (f" Did you mean {close[0]!r}?" if close else "")
                )
            self._added[ids[word]] += boost
        if self.lm is None:
            return
        # The blank's entry is never read; the last one is any gloss outside the CTC vocabulary.
        self._columns = np.array([self.lm.end_id, *(self.lm.word_id(gloss) for gloss in glosses)])
        self._unknown = self.lm.word_id("<unk>")
        self._warn_of_unlisted(glosses)

    def _warn_of_unlisted(self, glosses: Sequence[str]) -> None:
        unlisted = [gloss for gloss in glosses if not self.lm.knows(gloss)]
        if unlisted and not self.lm.has_unknown:
            effect = "which has no <unk>, so that they will hardly ever be recognized"
        elif 2 * len(unlisted) > len(glosses):
            effect = "which maps all of them to <unk> and cannot tell them apart"
        else:
            return
        warnings.warn(
            f"{len(unlisted)} of {len(glosses)} glosses are not in the language model ({unlisted[0]!r} first), "
            f"{effect}. "
            "Train it on text that contains them.",
            stacklevel=3,
        )

    def start(self) -> State:
        """Return the state before the first gloss."""
        return self.lm.start() if self.lm else ()

    def extend(self, state: State) -> np.ndarray:
        """Return the score `[V]` of each CTC id as the next one; the entry of the blank is meaningless."""
        if self.lm is None:
            return self._added
        return self.lm_weight * self.lm.log_probs(state)[self._columns] + self._added

    def advance(self, state: State, token: int | None) -> State:
        """Return the state after the gloss of a CTC id, or after a gloss outside the CTC vocabulary (None)."""
        if self.lm is None:
            return ()
        return self.lm.advance(state, self._unknown if token is None else int(self._columns[token]))

    def unknown(self, state: State) -> float:
        """Return the score of a gloss outside the CTC vocabulary."""
        added = float(self._added[0])
        return added if self.lm is None else added + self.lm_weight * float(self.lm.log_probs(state)[self._unknown])

    def final(self, state: State) -> float:
        """Return the score of the end of the sentence."""
        return 0.0 if self.lm is None else self.lm_weight * float(self.lm.log_probs(state)[self.lm.end_id])


def find_language_model(model: "PreTrainedModel", name: str | os.PathLike) -> Path:
    """Find the file of a language model.

    Args:
        model: the model whose folder or Hub repository may hold it.
        name: an absolute path, a file in that folder or repository, or a path relative to the working directory.

    Raises:
        FileNotFoundError: If the file does not exist.
    """
    path, home = Path(name), getattr(model, "name_or_path", "")
    if path.is_absolute():
        if path.is_file():
            return path
        raise FileNotFoundError(
            f"`lm` must be the path of a language model in ARPA format, got {str(name)!r}: no such file."
        )
    if home and ".." not in path.parts:
        try:
            return Path(cached_file(home, path.as_posix(), _commit_hash=getattr(model.config, "_commit_hash", None)))
        except (OSError, ValueError):  # no such file there, or `home` is neither a folder nor a repository
            pass
    if path.is_file():
        return path.absolute()
    where = f", neither here nor in the folder of the model, {home}" if home else ""
    raise FileNotFoundError(
        f"`lm` must be the path of a language model in ARPA format, got {str(name)!r}: no such file{where}."
    )


def load_language_model(model: "PreTrainedModel", lm: str | os.PathLike | NGramModel) -> NGramModel:
    """Load a language model; the model caches the one that it read last until its file changes.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not an ARPA file.
    """
    if not isinstance(lm, (str, os.PathLike)):
        return lm
    path = find_language_model(model, lm)
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    cached = getattr(model, "_language_model", None)
    if cached is None or cached[0] != key:
        cached = (key, NGramModel.read(path))
        model._language_model = cached
    return cached[1]


def gloss_scorer(model: "PreTrainedModel", options: DecodingOptions) -> GlossScorer | None:
    """Build the scorer that the options ask for, or None if they add nothing to the score of glosses.

    Raises:
        FileNotFoundError: If the language model does not exist.
        ValueError: If the file is not an ARPA file, a hot word is not among the glosses, or `ctc_glosses` is missing
            or mismatched.
    """
    if not options.gloss_scores:
        return None
    name = next(iter(options.gloss_scores))
    size = model.config.ctc_vocab_size
    if options.ctc_glosses is None:
        raise ValueError(
            f"`{name}` needs the gloss of each CTC id. Pass ctc_glosses=tokenizer.ctc_glosses, as the pipeline does."
        )
    if len(options.ctc_glosses) + 1 != size or model.config.ctc_blank_id != 0:
        raise ValueError(
            f"`ctc_glosses` must have {size - 1} glosses, one for each CTC id of the model except the blank (id 0), "
            f"got {len(options.ctc_glosses)}. Use those of the tokenizer that was saved with the model."
        )
    lm = load_language_model(model, options.lm) if options.lm_weight else None
    return GlossScorer(options.ctc_glosses, lm, options.lm_weight, options.length_bonus, options.hot_words)


@contextmanager
def language_model_in(folder: str | os.PathLike, model: "PreTrainedModel", write: bool = True) -> Iterator[None]:
    """Copy the language model of the generation config into a folder; inside the context the config names the copy.

    Args:
        folder: where the model is saved.
        model: the model with the generation config.
        write: whether to copy; False in all but one of several processes.

    Raises:
        FileNotFoundError: If the config names a file that does not exist.
    """
    config = getattr(model, "generation_config", None)
    lm = getattr(config, "lm", None)
    if lm is None or not write:
        yield
        return
    folder = Path(folder)
    if isinstance(lm, (str, os.PathLike)):
        source = find_language_model(model, lm)
        target = folder / _SAVED_NAMES[source.suffix == ".gz"]
        folder.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and os.path.samefile(source, target)):
            shutil.copyfile(source, target)
    else:
        target = folder / _SAVED_NAMES[False]
        folder.mkdir(parents=True, exist_ok=True)
        lm.write(target)
    config.lm = target.name
    try:
        yield
    finally:
        config.lm = lm
