"""The options of recognition: one object from the command line to the worker that writes the files."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..common.options import pipeline_options
from ..writers import WRITERS
from ..writers.eaf_file import GLOSS, EafLayout
from .tasks import ANSWER_FLAGS, SENTENCE_FLAGS

# Flag of the command line -> option of the pipeline.
FLAGS = {**SENTENCE_FLAGS, "hand": "hand", "person": "person", "fps": "source_fps", **ANSWER_FLAGS}


@dataclass(frozen=True)
class RecognizeOptions:
    """Options of one run of `signx-hf recognize` or `translate`.

    Args:
        files: clips, or folders of clips.
        model: a shipped model, a folder or a Hub name.
        formats: names of writers.
        device, trust_remote_code: as `load_pipeline` takes them.
        options: keyword arguments of the pipeline's call.
        flags: names of those `options` that were given by a flag of their own.
        batch_size: clips that the model sees together; results do not depend on it.
        out: folder for the files; None: standard output.
        recursive: whether subfolders of the folders in `files` are searched, too.
        resume: whether finished clips are skipped.
        jobs: number of processes; 1 is this one.
        engine: `local` or `ray`.
        task: of the pipeline; None: that of the model.
        tier, merge: ELAN's tier of glosses, and the file or folder that it is added to (`EafLayout`).
    """

    files: Sequence[str]
    model: str | None
    formats: tuple[str, ...] = ("txt",)
    device: str | None = None
    trust_remote_code: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    batch_size: int = 1
    out: str | None = None
    recursive: bool = False
    resume: bool = False
    jobs: int = 1
    engine: str = "local"
    task: str | None = None
    tier: str = GLOSS
    merge: str | None = None

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> "RecognizeOptions":
        """Build the options from the parsed command line.

        Raises:
            ValueError, OSError, ImportError: as `check` and `all_options`.
        """
        values = {name: value for name, value in vars(arguments).items() if name in cls.__dataclass_fields__}
        options = cls(**values, formats=arguments.format)
        options.check()
        flags = given_flags(arguments, FLAGS)
        options = replace(options, options=all_options(arguments.option, flags), flags=tuple(flags))
        if options.options.get("translate") and not any(WRITERS[name].holds_text for name in options.formats):
            names = ", ".join(name for name, writer in WRITERS.items() if writer.holds_text)
            raise ValueError(
                f"--translate needs a --format that holds a sentence ({names}), got {','.join(options.formats)}, with rows "
                "of glosses. Add one."
            )
        return options

    def check(self) -> None:
        """Reject options that do not go together, before anything is loaded.

        Raises:
            ValueError: If an option is invalid. The message names it.
            ImportError: If the extra of a format is missing. The message names it.
        """
        from ..writers import check_installed

        if self.model is None:
            raise ValueError(
                "--model is required: a folder or a Hub name. `--model demo` is the small one of the package, for "
                "SignSynth's invented signs."
            )
        if self.jobs < 1:
            raise ValueError(f"--jobs must be a positive integer, got {self.jobs}.")
        if self.batch_size < 1:
            raise ValueError(f"--batch-size must be a positive integer, got {self.batch_size}.")
        if self.out is not None and not self.out.strip():
            raise ValueError("--out must be a folder, got an empty name.")
        if self.out is None:
            for name, given in (
                ("--resume", self.resume),
                ("--jobs", self.jobs > 1),
                ("--engine ray", self.engine == "ray"),
                (f"--format {','.join(self.formats)}", len(self.formats) > 1 or "eaf" in self.formats),
            ):
                if given:
                    raise ValueError(f"{name} needs --out, the folder for the results.")
        check_layout(EafLayout(self.tier, self.merge), self.formats)
        check_installed(self.formats)


def check_layout(layout: EafLayout, formats: Sequence[str]) -> None:
    """Check options of ELAN.

    Raises:
        ValueError: If one is impossible, or no ELAN file is to be written.
        FileNotFoundError: If there is nothing to merge with.
    """
    layout.check()
    for flag, given in (("--tier", layout.tier != GLOSS), ("--merge", layout.merge is not None)):
        if given and "eaf" not in formats:
            raise ValueError(f"{flag} needs --format eaf, got {','.join(formats)}.")


def given_flags(arguments: argparse.Namespace, flags: Mapping[str, str]) -> dict[str, Any]:
    """Return the pipeline options whose flags were given: option -> value.

    Args:
        flags: flag, with `_` for `-`, -> option of the pipeline.
    """
    values = {
        option: getattr(arguments, flag, None) for flag, option in flags.items()
    }  # each command has some of them
    return {option: value for option, value in values.items() if value is not None}


def all_options(given: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the options of the pipeline from `--option` and from flags of their own.

    Args:
        given: texts `name=value`.
        flags: option -> value.

    Raises:
        ValueError: as `pipeline_options`, or an option is given by both.
        FileNotFoundError: If the language model is not a file.
    """
    options = pipeline_options(given)
    for flag, name in FLAGS.items():
        if name in flags and name in options:
            raise ValueError(
                f"--{flag.replace('_', '-')} and --option {name}={options[name]} set the same option. Use one of them."
            )
    if isinstance(flags.get("vocabulary"), str):
        from ..processing.vocabulary_signx import vocabulary_glosses

        flags = {**flags, "vocabulary": vocabulary_glosses(flags["vocabulary"])}  # before anything is loaded
    if "lm" in flags and not os.path.isfile(flags["lm"]):
        raise FileNotFoundError(f"--lm {flags['lm']}: no such file. `signx-hf lm train` writes an ARPA file.")
    return {**options, **flags}
