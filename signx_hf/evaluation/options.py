"""What can be asked of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..processing.errors_signx import SignXError

# scorer -> what it says of continuous recognition
WER_SCORERS = ("plain", "sclite", "phoenix14", "phoenix14t", "csl_daily")
TEXT_SCORERS = ("bleu", "bleu_zh", "chrf", "rouge_l", "rouge_l_char")
RANK_SCORERS = {"top_1": 1, "top_5": 5, "top_10": 10}  # of isolated signs
SCORERS = (*WER_SCORERS, *TEXT_SCORERS, *RANK_SCORERS)
CONTINUOUS, ISOLATED = "sign-recognition", "isolated-sign-recognition"
DEFAULTS = {CONTINUOUS: ("plain", "sclite"), ISOLATED: ("top_1", "top_5")}
SOURCES = ("auto", "video", "poses")
NEEDED = {"plain": "jiwer", "phoenix14": "jiwer", "phoenix14t": "jiwer", "csl_daily": "jiwer", "bleu": "sacrebleu"}
NEEDED |= {"bleu_zh": "sacrebleu", "chrf": "sacrebleu", "rouge_l": "rouge_score", "rouge_l_char": "rouge_score"}


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate on what.

    model: folder or Hub name, or `demo`. dataset, data_dir, loader: as `signx_hf.data.load.open_source` takes them. out: folder.
    source: what the model is shown, `auto` for video if model and data have it. scorers: of `SCORERS`; empty: the task's
    own. options: of the pipeline's call. unknown: of isolated signs, whether clips of signs that the answer cannot be are recognized, too, to
    see how many get an answer. seed: of sampling, where the options ask for it, and of the intervals. rounds: draws
    of an interval. batch_size: clips that a process is handed at a time. jobs: processes.
    """

    model: str
    dataset: str
    split: str = "test"
    data_dir: str | None = None
    loader: Mapping[str, Any] = field(default_factory=dict)
    out: str = "evaluation"
    source: str = "auto"
    scorers: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    trust_remote_code: bool = False
    seed: int = 0
    rounds: int = 2000
    batch_size: int = 8
    jobs: int = 1
    command: str | None = None
    unknown: bool = False

    def __post_init__(self):
        for name in ("rounds", "batch_size", "jobs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SignXError(f"{name} is {value!r}; wanted a whole number of at least 1")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise SignXError(f"seed is {self.seed!r}; wanted a whole number from 0 to 4294967295")
        if not str(self.out).strip():
            raise SignXError("--out is empty; wanted a folder")
        if self.source not in SOURCES:
            raise SignXError(f"source is {self.source!r}; wanted one of {', '.join(SOURCES)}")
        for name in self.scorers:
            if name not in SCORERS:
                raise SignXError(f"scorer {name!r} is not known; wanted one or more of {', '.join(SCORERS)}")


def scorers_of(asked: Sequence[str], task: str) -> tuple[str, ...]:
    """The scorers of a task, their packages there.

    Raises:
        SignXError: one that is of the other task. ImportError: names the extra that is missing.
    """
    from ..common.extras import require

    names = tuple(dict.fromkeys(asked)) or DEFAULTS[task]
    for name in names:
        if (name in RANK_SCORERS) != (task == ISOLATED):
            legal = RANK_SCORERS if task == ISOLATED else (*WER_SCORERS, *TEXT_SCORERS)
            raise SignXError(f"scorer {name!r} is not for {task}; wanted one or more of {', '.join(legal)}")
    # judging glosses right or wrong for the calibration is jiwer's as well
    for module in dict.fromkeys(
        (*(NEEDED[name] for name in names if name in NEEDED), *(["jiwer"] * (task == CONTINUOUS)))
    ):
        require(module)
    return names
