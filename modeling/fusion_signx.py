"""What decoding adds to the score of a hypothesis for its glosses: a language model, a bonus per gloss, hot words.

    lm_weight * log P_LM(glosses, </s>) + length_bonus * number of glosses + the boost of each hot word

It is added to the log-probability of CTC, of the text decoder, or of both (shallow fusion, Gulcehre et al. 2015).
"""

import difflib
import math
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import cached_file

from .ngram_signx import NGramModel, State

# Options of GenerationConfig beside the library's own, and what holds where they are not set.
OPTIONS: dict[str, Any] = {
    "ctc_weight": 0.0,
    "attention_entropy_weight": 0.0,
    "task": "gloss",
    "lm": None,
    "lm_weight": None,
    "length_bonus": 0.0,
    "hot_words": None,
    "ctc_glosses": None,
}
# Where a language model is given without a weight; chosen on held-out training sentences of RWTH-BOSTON-104.
DEFAULT_LM_WEIGHT = 0.5
# Natural logarithms: 100 outweighs anything that evidence can say.
_LIMIT = 100.0
_SAVED_NAMES = {True: "lm.arpa.gz", False: "lm.arpa"}


class GlossScorer:
    """Scores whole glosses by their CTC ids, step by step; a state is all that the scores ahead depend on.

    Args:
        glosses: the gloss of each CTC id but the blank's, which is id 0.
        lm: language model, or None.
        lm_weight: its weight; length_bonus: of every gloss.
        hot_words: boost of single glosses, a natural logarithm.

    Raises:
        ValueError: a hot word outside the glosses.
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
                near = difflib.get_close_matches(word, ids, n=1, cutoff=0.0)
                raise ValueError(
                    f"hot_words holds {word!r}, which is not in the CTC vocabulary of {len(ids)} glosses"
                    + (f": did you mean {near[0]!r}?" if near else "")
                )
            self._added[ids[word]] += boost
        if self.lm is None:
            return
        # The blank's entry is never read; the last one is any gloss outside the CTC vocabulary.
        self._columns = np.array([self.lm.end_id, *(self.lm.word_id(gloss) for gloss in glosses)])
        self._unknown = self.lm.word_id("<unk>")
        unlisted = [gloss for gloss in glosses if not self.lm.knows(gloss)]
        if unlisted and not self.lm.has_unknown:
            warnings.warn(
                f"{len(unlisted)} of {len(glosses)} glosses are not in the language model ({unlisted[0]!r} first), which has no "
                "<unk>: they will hardly ever be recognised; train it on text that holds them",
                stacklevel=2,
            )
        elif 2 * len(unlisted) > len(glosses):
            warnings.warn(
                f"{len(unlisted)} of {len(glosses)} glosses are not in the language model ({unlisted[0]!r} first), which takes "
                "them all for <unk> and cannot tell them apart; train it on text that holds them",
                stacklevel=2,
            )

    def start(self) -> State:
        """The state before the first gloss."""
        return self.lm.start() if self.lm else ()

    def extend(self, state: State) -> np.ndarray:
        """`[V]` what each CTC id adds to the score when it comes next (that of the blank means nothing)."""
        if self.lm is None:
            return self._added
        return self.lm_weight * self.lm.log_probs(state)[self._columns] + self._added

    def advance(self, state: State, token: int | None) -> State:
        """The state after the gloss of a CTC id, or after one that has none (None)."""
        if self.lm is None:
            return ()
        return self.lm.advance(state, self._unknown if token is None else int(self._columns[token]))

    def unknown(self, state: State) -> float:
        """What a gloss outside the CTC vocabulary adds."""
        added = float(self._added[0])
        return added if self.lm is None else added + self.lm_weight * float(self.lm.log_probs(state)[self._unknown])

    def final(self, state: State) -> float:
        """What the end of the sentence adds."""
        return 0.0 if self.lm is None else self.lm_weight * float(self.lm.log_probs(state)[self.lm.end_id])


@dataclass(frozen=True)
class DecodingOptions:
    """The options of `OPTIONS`, checked. lm_weight: 0 without a language model.

    Raises:
        ValueError: an option outside its domain.
    """

    ctc_weight: float = 0.0
    attention_entropy_weight: float = 0.0
    task: str = "gloss"
    lm: str | os.PathLike | NGramModel | None = None
    lm_weight: float | None = None
    length_bonus: float = 0.0
    hot_words: Mapping[str, float] | None = None
    ctc_glosses: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not (_is_number(self.ctc_weight) and 0 <= self.ctc_weight <= 1):
            raise ValueError(
                f"ctc_weight is {self.ctc_weight!r}: wanted a number from 0 (attention alone) to 1 (CTC alone)"
            )
        if not (_is_number(self.attention_entropy_weight) and self.attention_entropy_weight >= 0):
            raise ValueError(f"attention_entropy_weight is {self.attention_entropy_weight!r}: wanted a number >= 0")
        if self.task not in ("gloss", "text"):
            raise ValueError(f"task is {self.task!r}: wanted 'gloss' or 'text'")
        if not (self.lm is None or isinstance(self.lm, (str, os.PathLike)) or hasattr(self.lm, "log_probs")):
            raise ValueError(f"lm is {self.lm!r:.80}: wanted the path of an ARPA file or an NGramModel")
        if self.lm_weight is None:
            object.__setattr__(self, "lm_weight", 0.0 if self.lm is None else DEFAULT_LM_WEIGHT)
        if not (_is_number(self.lm_weight) and 0 <= self.lm_weight <= _LIMIT):
            raise ValueError(f"lm_weight is {self.lm_weight!r}: wanted a number from 0 to {_LIMIT:g}")
        if self.lm_weight and self.lm is None:
            raise ValueError(f"lm_weight={self.lm_weight} without a language model: give lm, the path of an ARPA file")
        if not (_is_number(self.length_bonus) and abs(self.length_bonus) <= _LIMIT):
            raise ValueError(f"length_bonus is {self.length_bonus!r}: wanted a number from {-_LIMIT:g} to {_LIMIT:g}")
        if self.hot_words is not None and not isinstance(self.hot_words, Mapping):
            raise ValueError(f"hot_words is {self.hot_words!r:.80}: wanted a dict of glosses and their boosts")
        for word, boost in (self.hot_words or {}).items():
            if not isinstance(word, str) or not _is_number(boost) or abs(boost) > _LIMIT:
                raise ValueError(
                    f"hot_words holds {word!r}: {boost!r}: wanted a gloss and a number from {-_LIMIT:g} to {_LIMIT:g}"
                )
        if self.task == "text":
            for name, value in (("ctc_weight", self.ctc_weight), *self.fused.items()):
                if value:
                    who = "CTC" if name == "ctc_weight" else name
                    raise ValueError(
                        f"{name}={value} with task='text': {who} knows glosses only, wanted "
                        + (f"{name}=0" if _is_number(value) else f"{name}=None")
                    )

    @property
    def fused(self) -> dict[str, Any]:
        """The options that add something to the score of glosses, where they do."""
        found = {"lm_weight": self.lm_weight, "length_bonus": self.length_bonus, "hot_words": self.hot_words}
        return {name: value for name, value in found.items() if value}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_options(config: Any, overrides: dict[str, Any] | None = None) -> DecodingOptions:
    """The options in a generation config (or None), and those that `overrides` sets instead.

    A path in `overrides` is one of this working directory if there is such a file; one in the config first names a file in the
    folder of the model.

    Raises:
        ValueError: a value outside its domain, an attribute of the config that is a misspelt option.
    """
    check_names(vars(config) if config is not None else {})
    values = {name: getattr(config, name, None) for name in OPTIONS}
    overrides = overrides or {}
    if "lm" in overrides and overrides["lm"] is None:
        values["lm_weight"] = None  # without its model the weight of the config means nothing
    values.update(overrides)
    lm = overrides.get("lm")
    if isinstance(lm, (str, os.PathLike)) and os.path.isfile(lm):
        values["lm"] = os.path.abspath(lm)
    return DecodingOptions(**{name: OPTIONS[name] if value is None else value for name, value in values.items()})


def check_names(names: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuses what is nearly the name of an option; other names are the library's business.

    Raises:
        ValueError: the name and the option that was probably meant.
    """
    for name in names:
        # No option of the library is as near to one of ours.
        near = [] if name in OPTIONS else difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.75)
        if near:
            raise ValueError(f"found the generation option {name!r}: did you mean {near[0]!r}?")


def find_language_model(model: Any, name: str | os.PathLike) -> Path:
    """The file of a language model: an absolute path, a file in the folder or Hub repository of the model, or a path here.

    Raises:
        FileNotFoundError: none of these.
    """
    path, home = Path(name), getattr(model, "name_or_path", "")
    if path.is_absolute():
        if path.is_file():
            return path
        raise FileNotFoundError(f"lm is {str(name)!r}: no such file: wanted a language model in ARPA format")
    if home and ".." not in path.parts:
        try:
            return Path(cached_file(home, path.as_posix(), _commit_hash=getattr(model.config, "_commit_hash", None)))
        except (OSError, ValueError):  # no such file there, or a name that is neither folder nor repository
            pass
    if path.is_file():
        return path.absolute()
    where = f" and not in the folder of the model, {home}" if home else ""
    raise FileNotFoundError(f"lm is {str(name)!r}: no such file here{where}: wanted a language model in ARPA format")


def load_language_model(model: Any, lm: str | os.PathLike | NGramModel) -> NGramModel:
    """The language model itself; one that was read is kept with the model until its file changes.

    Raises:
        ValueError, FileNotFoundError: no such file, or no ARPA file.
    """
    if not isinstance(lm, (str, os.PathLike)):
        return lm
    path = find_language_model(model, lm)
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    kept = getattr(model, "_language_model", None)
    if kept is None or kept[0] != key:
        kept = (key, NGramModel.read(path))
        model._language_model = kept
    return kept[1]


def gloss_scorer(model: Any, options: DecodingOptions) -> GlossScorer | None:
    """What the options add to glosses, or None if they add nothing.

    Raises:
        ValueError, FileNotFoundError: as `GlossScorer` and `load_language_model`; no names for the CTC ids.
    """
    fused = options.fused
    if not fused:
        return None
    named = next(iter(fused))
    size = model.config.ctc_vocab_size
    if options.ctc_glosses is None:
        raise ValueError(
            f"{named} needs the gloss of each CTC id: pass ctc_glosses=tokenizer.ctc_glosses (the pipeline does so)"
        )
    if len(options.ctc_glosses) + 1 != size or model.config.ctc_blank_id != 0:
        raise ValueError(
            f"ctc_glosses has {len(options.ctc_glosses)} glosses: wanted {size - 1}, one for each CTC id of the model but the "
            "blank, id 0; take those of the tokenizer that was saved with it"
        )
    lm = load_language_model(model, options.lm) if options.lm_weight else None
    return GlossScorer(options.ctc_glosses, lm, options.lm_weight, options.length_bonus, options.hot_words)


@contextmanager
def language_model_in(folder: str | os.PathLike, model: Any, write: bool = True):
    """Copies the language model that the generation config names into the folder; within, the config names the copy.

    With `write=False`, as in all but one of several processes, nothing is copied.

    Raises:
        FileNotFoundError: the config names a file that is not there.
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
