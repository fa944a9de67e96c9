"""The options of `signx-hf evaluate`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..processing.errors_signx import SignXError

# Scorers of error rates, of texts and sequences of glosses, and of isolated signs.
WER_SCORERS = ("plain", "sclite", "phoenix14", "phoenix14t", "csl_daily")
TEXT_SCORERS = ("bleu", "bleu_zh", "chrf", "rouge_l", "rouge_l_char", "mean_sentence_bleu", "best_clip_bleu_1")
RANK_SCORERS = {"top_1": 1, "top_5": 5, "top_10": 10}
SCORERS = (*WER_SCORERS, *TEXT_SCORERS, *RANK_SCORERS)
CONTINUOUS, ISOLATED, TRANSLATION = "sign-recognition", "isolated-sign-recognition", "sign-translation"
DEFAULTS = {CONTINUOUS: ("plain", "sclite"), ISOLATED: ("top_1", "top_5"), TRANSLATION: ("bleu", "chrf", "rouge_l")}
LEGAL = {CONTINUOUS: (*WER_SCORERS, *TEXT_SCORERS), ISOLATED: tuple(RANK_SCORERS), TRANSLATION: TEXT_SCORERS}
TASKS = {"gloss": "glosses", "text": "text"}  # option `task` -> column of the data
SOURCES = ("auto", "video", "poses")
FLAGS = {"vocabulary": "vocabulary", "threshold": "threshold"}  # flag -> option of the pipeline
NEEDED = {"plain": "jiwer", "phoenix14": "jiwer", "phoenix14t": "jiwer", "csl_daily": "jiwer", "bleu": "sacrebleu"}
NEEDED |= {"mean_sentence_bleu": "sacrebleu", "best_clip_bleu_1": "sacrebleu"}
NEEDED |= {"bleu_zh": "sacrebleu", "chrf": "sacrebleu", "rouge_l": "rouge_score", "rouge_l_char": "rouge_score"}


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of one evaluation run.

    Args:
        model: shipped model, folder or Hub name.
        dataset, data_dir, loader: as `signx_hf.data.load.open_source` takes them.
        split: of the dataset.
        out: folder for the results.
        source: `video`, `poses`, or `auto` for video if model and data have it.
        scorers: names in `SCORERS`; empty: the default ones of the task.
        options: keyword arguments of the pipeline's call.
        device, trust_remote_code: as `load_pipeline` takes them.
        seed: of sampling, where the options ask for it, and of the intervals.
        rounds: bootstrap samples of an interval.
        batch_size: clips that a process receives at a time; no number depends on it.
        jobs: number of processes.
        command: the command line that reproduces the numbers, for the record.
        unknown: isolated signs: whether to also recognize clips of signs outside the vocabulary, to see how many are
            rejected.
        task: `gloss` or `text`, what is compared; None: glosses, or text for a model that has learned nothing else.
        hide_tracks: names of pose tracks that are masked, as if no clip had them.
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
    task: str | None = None
    hide_tracks: Sequence[str] = ()

    def __post_init__(self):
        for name in ("rounds", "batch_size", "jobs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SignXError(f"--{name.replace('_', '-')} must be a positive integer, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise SignXError(f"--seed must be an integer from 0 to 4294967295, got {self.seed!r}.")
        if not str(self.out).strip():
            raise SignXError("--out must be a folder, got an empty name.")
        if self.source not in SOURCES:
            raise SignXError(f"--source must be one of {', '.join(SOURCES)}, got {self.source!r}.")
        if self.task not in (None, *TASKS):
            raise SignXError(f"--task must be one of {', '.join(TASKS)}, got {self.task!r}.")
        for name in self.scorers:
            if name not in SCORERS:
                raise SignXError(f"--scorer must be one or more of {', '.join(SCORERS)}, got {name!r}.")

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace, command: str | None = None) -> "EvaluationOptions":
        """Build the options from the parsed command line.

        Args:
            arguments: of `signx-hf evaluate`.
            command: for the record.

        Raises:
            ValueError, OSError: If an option is out of its domain, or as `all_options`.
        """
        from ..common.options import pipeline_options
        from ..recognition.options import all_options, given_flags

        values = {name: value for name, value in vars(arguments).items() if name in cls.__dataclass_fields__}
        values["loader"] = pipeline_options(arguments.loader, "--loader", "task=isolated")
        values["options"] = all_options(arguments.option, given_flags(arguments, FLAGS))
        values["scorers"] = [name.strip() for text in arguments.scorer for name in text.split(",")]
        values["hide_tracks"] = tuple(dict.fromkeys(arguments.hide_track))
        return cls(**{**values, "command": command})


def scorers_of(asked: Sequence[str], task: str) -> tuple[str, ...]:
    """Return the scorers of a task, after checking that their packages are installed.

    Args:
        asked: names; empty: the default ones.
        task: of the model.

    Raises:
        SignXError: If a scorer belongs to another task.
        ImportError: If an extra is missing. The message names it.
    """
    from ..common.extras import require

    names = tuple(dict.fromkeys(asked)) or DEFAULTS[task]
    for name in names:
        if name not in LEGAL[task]:
            raise SignXError(f"--scorer must be one or more of {', '.join(LEGAL[task])} for {task}, got {name!r}.")
    # The calibration needs jiwer, too, to judge which glosses are correct; the table of texts has three scores.
    always = {CONTINUOUS: ["jiwer"], TRANSLATION: ["sacrebleu", "rouge_score"]}.get(task, [])
    for module in dict.fromkeys((*(NEEDED[name] for name in names if name in NEEDED), *always)):
        require(module)
    return names
