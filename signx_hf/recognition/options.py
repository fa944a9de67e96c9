"""The options of recognition: one object from the command line to the worker that writes the files."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.options import pipeline_options
from .tasks import ANSWER_FLAGS, SENTENCE_FLAGS

# Flags of the command line that are options of the pipeline.
FLAGS = {**SENTENCE_FLAGS, "hand": "hand", "person": "person", **ANSWER_FLAGS}


@dataclass(frozen=True)
class RecognizeOptions:
    """Options of one run of `signx-hf recognize`.

    Args:
        files: clips, or folders of clips.
        model: a shipped model, a folder or a Hub name.
        formats: names of writers.
        device, trust_remote_code: as `load_pipeline` takes them.
        options: keyword arguments of the pipeline's call.
        flags: names of those `options` that were given by a flag of their own.
        batch_size: clips that the model sees together; it changes no result.
        out: folder for the files; None: standard output.
        recursive: whether folders below those in `files` are searched, too.
        resume: whether finished clips are kept.
        jobs: processes; 1 works in this one.
        engine: `local` or `ray`.
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

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> "RecognizeOptions":
        """Build the options from the parsed command line.

        Raises:
            ValueError, OSError, ImportError: as `check` and `all_options`.
        """
        values = {name: value for name, value in vars(arguments).items() if name in cls.__dataclass_fields__}
        asked = cls(**values, formats=arguments.format)
        asked.check()
        flags = given_flags(arguments, FLAGS)
        return cls(
            **values, formats=arguments.format, options=all_options(arguments.option, flags), flags=tuple(flags)
        )

    def check(self) -> None:
        """Refuse what cannot go together, before anything is loaded.

        Raises:
            ValueError: names the option. ImportError: names the extra of a format.
        """
        from ..writers import check_installed

        if self.model is None:
            raise ValueError(
                "no model given: wanted --model with a folder or a Hub name (`--model demo` is the small one of the package, for "
                "SignSynth's invented signs)"
            )
        if self.jobs < 1:
            raise ValueError(f"--jobs {self.jobs}: wanted a whole number of at least 1")
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: wanted a whole number of at least 1")
        if self.out is not None and not self.out.strip():
            raise ValueError("--out is empty: wanted a folder")
        if self.out is None:
            for name, given in (
                ("--resume", self.resume),
                ("--jobs", self.jobs > 1),
                ("--engine ray", self.engine == "ray"),
                (f"--format {','.join(self.formats)}", len(self.formats) > 1 or "eaf" in self.formats),
            ):
                if given:
                    raise ValueError(f"{name} without --out: wanted --out with the folder for the results")
        check_installed(self.formats)


def given_flags(arguments: argparse.Namespace, flags: Mapping[str, str]) -> dict[str, Any]:
    """Return the pipeline options whose flags were given: option -> value.

    Args:
        flags: flag, with `_` for `-`, -> option of the pipeline.
    """
    values = {option: getattr(arguments, flag) for flag, option in flags.items()}
    return {option: value for option, value in values.items() if value is not None}


def all_options(given: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the options of the pipeline from `--option` and from flags of their own.

    Args:
        given: texts `name=value`. flags: option -> value.

    Raises:
        ValueError: as `pipeline_options`, or the same option by both.
        FileNotFoundError: a language model that is no file.
    """
    found = pipeline_options(given)
    for flag, name in FLAGS.items():
        if name in flags and name in found:
            raise ValueError(f"--{flag.replace('_', '-')} and --option {name}={found[name]}: wanted one of them")
    if isinstance(flags.get("vocabulary"), str):
        from ..processing.vocabulary_signx import vocabulary_glosses

        flags = {**flags, "vocabulary": vocabulary_glosses(flags["vocabulary"])}  # before anything is loaded
    if "lm" in flags and not os.path.isfile(flags["lm"]):
        raise FileNotFoundError(f"--lm {flags['lm']}: no such file; wanted an ARPA file, as signx-hf lm train writes")
    return {**found, **flags}
