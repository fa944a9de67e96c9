"""Options of a training run: dataclasses with help and limits, read from a YAML file and the command line.

Names are those of `transformers.TrainingArguments` where it has the option.
"""

import argparse
import difflib
import functools
import json
import math
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..common.reading import load_yaml, read_regular
from ..processing.errors_signx import SignXError


def option(
    default: Any,
    help: str,  # noqa: A002  the name that argparse has
    *,
    ge: float | None = None,
    le: float | None = None,
    pair: bool = False,
) -> Any:
    """Define a dataclass field with its help and limits; a list or dict default is copied for each instance.

    Args:
        default: of the option.
        help: for `--help`.
        ge, le: smallest and largest legal number; of a list or dict, of the numbers in it.
        pair: whether a list, or each list in a dict, is [first, last].
    """
    metadata = {"help": help, "ge": ge, "le": le, "pair": pair}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class DataArguments:
    """Data to train and evaluate on."""

    dataset: str = option("", "a corpus of `signx-hf data list`, a saved dataset, a table or a folder")
    data_dir: str | None = option(None, "folder of your own copy of the corpus")
    loader_options: dict[str, Any] = option({}, "options of the loader, e.g. {cleanup: phoenix14t}")
    train_split: str = option("train", "split to train on, or several: train+dev")
    dev_split: str | None = option(
        None, "split to evaluate on and to choose checkpoints by; none: held out of the training split"
    )
    dev_share: float = option(0.1, "share of the training split to hold out where there is no dev split", ge=0, le=0.9)
    dev_by: Literal["clip", "sentence", "signer", "language", "gloss"] = option(
        "sentence",
        "what is held out together: clip, sentence (same glosses), signer or language; gloss: a share of the clips of each gloss",
    )
    on_unknown: Literal["error", "drop"] = option(
        "error",
        "stages 3 and 4 with upstream: what is done about glosses that its vocabulary lacks; error names all of them, drop leaves "
        "them out of the training labels; see extend_vocabulary",
    )
    more_data: list[dict[str, Any]] = option(
        [],
        "signmae: further corpora of the same run, each with options of this group, e.g. [{dataset: how2sign, data_dir: ...}]",
    )
    max_clips: int | None = option(None, "use only the first clips of each split, to try something out")
    extract_jobs: int | None = option(
        None, "processes that extract landmarks of clips without poses; none: one per core, at most 4", ge=1
    )


@dataclass
class ModelArguments:
    """Model to train."""

    preset: Literal["tiny", "small", "base"] = option(
        "tiny", "tiny, small or base; only where no upstream checkpoint gives the config"
    )
    model_config: dict[str, Any] = option(
        {}, "changes to the config of the preset or of upstream, e.g. {pose_config: {latent_size: 256}}"
    )
    upstream: str | None = option(None, "folder or Hub name of the checkpoint of the previous stage")
    extend_vocabulary: bool = option(
        False,
        "stages 3 and 4 and isolated signs with upstream: add the glosses and pieces of the training clips that upstream lacks, and "
        "keep the rows of all others",
    )
    video_entry: str | None = option(
        None, "folder of a checkpoint of stage 2 whose video encoder replaces upstream's; none: upstream's"
    )
    body: str | None = option(
        None,
        "folder or name of a model of isolated signs whose trained pose path and hybrid body stage 3 starts from, without its signs",
    )
    vision_weights: str | None = option(
        None,
        "folder or Hub name of a published image backbone (ViT, ResNet, ...) that the video encoder starts from; its image mean and std "
        "are taken over, and its architecture where model_config has no vision_config",
    )
    frame_branch_weights: str | None = option(
        None, "as vision_weights, for the RGB branch of stages 3 and 4 (model_config: frame_branch)"
    )
    target: Literal["glosses", "text", "both"] = option(
        "glosses",
        "glosses, text or both: what stages 1 and 4 learn to decode; CTC reads the glosses of the clips that have any",
    )
    text_share: float = option(
        0.5, "target both: share of the draws of a clip that has glosses and text which are text", ge=0, le=1
    )
    text_lowercase: bool = option(False, "lower-case the text, in training and in what the model decodes")
    text_form: Literal["NFC", "NFKC"] | None = option("NFC", "Unicode form of the text, NFC or NFKC; none: as it is")
    vocab_size: int = option(1024, "BPE pieces of the decoder, where a tokenizer is trained", ge=1)
    fps: float | None = option(None, "frames per second that the model works at; none: the config's")
    point_tracks: dict[str, Any] = option({}, "custom tracks of points, as SignXPoseFeatureExtractor takes them")
    hand_steps: int | None = option(
        None,
        "isolated signs on the track hands: moments at which a clip is read, from its first to its last hand",
        ge=2,
    )
    use_depth: bool = option(True, "read the depth of the track hands")
    shape_only: bool = option(
        False, "on the track hands: read only the shape of the leading hand, not its position, size or motion"
    )
    noise_threshold: float = option(
        2.0,
        "UniGloR: drop frames whose points are on average this many shoulder widths from the frame before",
        ge=0.01,
    )
    hidden_tracks: list[str] = option(
        [], "tracks to hide from every clip, e.g. [dwpose], to see what is left without them (SignX-4, table 9)"
    )
    right_handed: bool = option(
        False, "mirror clips that are signed with the left hand, in training and in every later use"
    )
    source: Literal["poses", "video"] = option("poses", "poses or video: what clips are read from")
    start: Literal["inputs", "latents", "features"] | None = option(
        None,
        "inputs, latents or features: what is trained on; everything before it is frozen, run once and cached; none: "
        "latents in stage 3 and with extend_vocabulary, else features in stage 4",
    )
    cache_dir: str | None = option(None, "folder of cached latents and features; none: ~/.cache/signx_hf/features")
    num_beams: int = option(5, "beams in evaluation on dev", ge=1)
    decode_ctc_weight: float = option(
        0.3, "weight of CTC in the joint decoding of evaluation on dev (stage 4)", ge=0, le=1
    )
    window: int = option(32, "frames of a clip that a step of stage 2 sees", ge=4)
    window_targets: Literal["clip", "window"] = option(
        "clip",
        "clip or window: what the poses of a window give latents of (stage 2); clip: the whole clip, window: the same frames that the "
        "video shows",
    )
    window_margin: int = option(
        0,
        "frames of a window next to each of its cuts that the loss leaves out, because they lack context (stage 2)",
        ge=0,
    )
    window_positions: Literal["zero", "clip", "random"] = option(
        "zero",
        "zero, clip or random: the position that the model gives to the first frame of a window (stage 2); clip: where it is in the "
        "clip, random: anywhere in the longest one",
    )


@dataclass
class RunArguments:
    """Optimization, evaluation and output."""

    output_dir: str = option("", "folder of the run: model, checkpoints, log")
    seed: int = option(0, "of weights, order, dropout and augmentation", ge=0, le=2**32 - 1)  # part of 64-bit seeds
    num_train_epochs: float = option(100, "passes over the training clips", ge=0)
    max_steps: int = option(0, "optimizer steps; above 0 it replaces num_train_epochs", ge=0)
    per_device_train_batch_size: int = option(32, "clips per batch and process", ge=1)
    gradient_accumulation_steps: int = option(1, "batches per optimizer step", ge=1)
    per_device_eval_batch_size: int = option(16, "clips per batch in evaluation", ge=1)
    optim: Literal["adamw", "muon"] = option(
        "adamw",
        "adamw, or muon: Muon for the matrices of hidden layers, AdamW for everything else, at one learning rate",
    )
    learning_rate: float = option(1e-3, "peak learning rate, at the end of the warm-up", ge=0)
    min_lr_ratio: float = option(0.05, "share of learning_rate at which the cosine ends", ge=0, le=1)
    warmup_ratio: float = option(0.05, "share of all steps in which the learning rate rises", ge=0, le=1)
    warmup_steps: int | None = option(
        None, "optimizer steps in which the learning rate rises; none: warmup_ratio of all steps", ge=0
    )
    weight_decay: float = option(0.01, "not applied to biases, norms and embeddings of tracks", ge=0)
    adam_beta1: float = option(0.9, "of AdamW", ge=0, le=0.99999)
    adam_beta2: float = option(0.999, "of AdamW", ge=0, le=0.99999)
    max_grad_norm: float = option(1.0, "norm that gradients are clipped to; 0: no clipping", ge=0)
    ema_decay: float = option(
        0.0, "decay of a moving average of the weights, which is then evaluated and saved; 0: none", ge=0, le=0.99999
    )
    eval_epochs: float = option(1.0, "epochs between two evaluations on dev; 0: never", ge=0)
    save_epochs: float = option(1.0, "epochs between two checkpoints; 0: never", ge=0)
    metric_for_best_model: str | None = option(
        None,
        "metric on dev that chooses checkpoints and counts for `patience`, e.g. chrf; none: the stage's (wer, or bleu where only text is decoded)",
    )
    average_best: int = option(1, "the final model is the mean of this many best checkpoints on dev", ge=1)
    patience: int = option(0, "stop after this many evaluations without improvement; 0: never", ge=0)
    mixed_precision: Literal["no", "bf16", "fp16"] = option("no", "no, bf16 or fp16 (GPU)")
    cpu: bool = option(False, "stay on the CPU, also with several processes (gloo)")
    num_workers: int | None = option(
        None, "processes that read and augment; none: one on Linux if training starts from inputs, else 0", ge=0
    )
    bucket: int = option(16, "batches whose clips are sorted by length together; 0: no bucketing by length", ge=0)
    resume: bool = option(False, "resume from the newest checkpoint in output_dir")
    tensorboard: bool = option(False, "also write TensorBoard event files")
    plot: bool = option(True, "plot loss curves as PNG after every evaluation")
    progress: bool = option(True, "show a progress bar")
    loss_weights: dict[str, float] = option({}, "weights of the parts of the loss, e.g. {ngram: 0.6, kd: 0}", ge=0)
    loss_schedules: dict[str, list[float]] = option(
        {}, "weights that change linearly from first to last step, e.g. {contrast: [1.0, 0.2]}", ge=0, pair=True
    )
    loss_weighting: Literal["fixed", "learned"] = option(
        "fixed",
        "fixed, or learned: each part of the loss is also divided by a variance that is learned with the model (stage 1; SignX-1, equation 12)",
    )
    teacher_forcing: list[float] = option(
        [1.0, 1.0],
        "share of the decoder's input pieces that are labels, from first to last step; the model's own predictions are the rest "
        "(stages 1 and 4; SignX-1: [0.5, 0.0])",
        ge=0,
        le=1,
        pair=True,
    )
    frame_drop: list[float] | None = option(
        None,
        "share of frames hidden from the recognizer, from first to last step, e.g. [0.3, 0.1]; none: the config's frame_drop_rate "
        "(stages 3 and 4)",
        ge=0,
        le=0.99,
        pair=True,
    )
    prune_epochs: float = option(
        0.0,
        "epochs between two prunings of latent dimensions whose variance over the training clips is below "
        "recognizer_config.variance_threshold, or as prune_below says; 0: never (stage 3)",
        ge=0,
    )
    prune_below: float | None = option(
        None,
        "share of the median variance of the latent dimensions below which prune_epochs prunes; none: the absolute "
        "recognizer_config.variance_threshold",
        ge=0,
        le=0.99,
    )


@dataclass
class AugmentationArguments:
    """Augmentation of training clips. Clips are mirrored only on request: a mirror image swaps the hands."""

    speed: float = option(0.0, "play a clip at a rate drawn from 1 - speed to 1 + speed", ge=0, le=0.9)
    scale: float = option(0.0, "scale key points by a factor drawn from 1 - scale to 1 + scale", ge=0, le=0.9)
    rotation: float = option(0.0, "rotate key points in the image plane by up to this many degrees", ge=0)
    turn: float = option(0.0, "turn points with depth about the vertical axis by up to this many degrees", ge=0)
    tilt: float = option(0.0, "tilt points with depth about the horizontal axis by up to this many degrees", ge=0)
    stretch: float = option(
        0.0, "scale each axis by a factor of its own, drawn from 1 - stretch to 1 + stretch", ge=0, le=0.9
    )
    shift: float = option(0.0, "move key points by up to this many units (shoulder widths)", ge=0)
    jitter: float = option(0.0, "standard deviation of noise on every key point and frame, in the same units", ge=0)
    frame_mask: float = option(0.0, "share of frames to hide, in spans of up to ten", ge=0, le=0.9)
    mirror: float = option(
        0.0, "probability of a mirror image with the hands swapped, like a left-handed signer", ge=0, le=1
    )
    track_dropout: float | None = option(
        None,
        "probability of hiding a track from a clip, of which one always stays; none: the config's (where the pose path is trained)",
        ge=0,
        le=0.99,
    )
    time_warp: float = option(
        0.0, "hands: play pieces of a clip exp(-time_warp) to exp(time_warp) times as long", ge=0, le=2
    )
    trim: float = option(
        0.0, "hands, isolated signs: cut up to this share off each end, or add up to 0.6 of it as a hold", ge=0, le=0.4
    )
    shear: float = option(0.0, "hands: move x by up to this share of y", ge=0, le=0.9)
    proportions: float = option(
        0.0, "hands: change the distance of each landmark from the wrist by up to this share", ge=0, le=0.9
    )
    hand_shift: float = option(0.0, "hands: move each hand by up to this share of the image", ge=0, le=1)
    hand_drop: float = option(0.0, "hands: probability of hiding the second hand", ge=0, le=1)
    hand_mask: float = option(0.0, "hands: probability of hiding a hand for up to a quarter of the clip", ge=0, le=1)
    hand_swap: float = option(0.0, "hands: probability of putting the second hand first", ge=0, le=1)
    flatten: float = option(0.0, "hands: probability of dropping depth, like detectors that give none", ge=0, le=1)
    brightness: float = option(0.0, "frames: change brightness and contrast by up to this share", ge=0, le=0.9)
    color: float = option(
        0.0, "frames: rotate hue by up to this share of 180 degrees, with saturation and channel gains", ge=0, le=1
    )
    crop: float = option(0.0, "frames: cut up to this share off each side", ge=0, le=0.4)


@dataclass
class Arguments:
    """All options of a run."""

    data: DataArguments
    model: ModelArguments
    run: RunArguments
    augmentation: AugmentationArguments

    def to_dict(self) -> dict[str, Any]:
        """Return all options, flat, as in a YAML file."""
        return {key: value for group in asdict(self).values() for key, value in group.items()}


GROUPS = {
    "data": DataArguments,
    "model": ModelArguments,
    "run": RunArguments,
    "augmentation": AugmentationArguments,
}


def default_options() -> dict[str, Any]:
    """Return the defaults of all options, flat."""
    return Arguments(**{name: group() for name, group in GROUPS.items()}).to_dict()


# types and limits

LARGEST_INT = 2**31 - 1
KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True)
class _Option:
    """An option as its annotation and its metadata describe it."""

    name: str
    hint: Any  # without None
    optional: bool
    help: str
    ge: float | None
    le: float | None
    pair: bool

    @property
    def choices(self) -> tuple[str, ...]:
        return typing.get_args(self.hint) if typing.get_origin(self.hint) is Literal else ()

    @property
    def kind(self) -> type:
        return _kind_of(self.hint)

    def expected(self, kind: type) -> str:
        """Describe the legal values of a kind, which is the option's or that of its content."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        limits = ""
        if self.ge is not None:
            limits = f" of at least {self.ge:g}" if self.le is None else f" from {self.ge:g} to {self.le}"
        if kind is list and self.pair:
            return f"[first, last], two numbers{limits}"
        return KINDS[kind] + (limits if kind in (int, float) else "")

    def accepts(self, value: Any, kind: type) -> bool:
        """Return True for a legal value of a kind; of a list or mapping only the outside is checked."""
        if isinstance(value, bool) or kind is bool:  # a bool is an int, too
            return isinstance(value, bool) and kind is bool
        if not isinstance(value, (int, float) if kind is float else kind):
            return False
        if kind in (int, float):
            above, below = self.ge is None or value >= self.ge, self.le is None or value <= self.le
            return _is_finite(value) and above and below
        if kind is list and self.pair:
            return len(value) == 2
        return not self.choices or value in self.choices

    def problem(self, value: Any, hint: Any = None, path: str = "") -> str | None:
        """Return the message for the first part of a value that is not legal, or None."""
        hint, path = hint or self.hint, path or self.name
        kind = _kind_of(hint)
        if kind is Any:
            return None
        if not self.accepts(value, kind):
            return f"`{path}` must be {self.expected(kind)}, got {value!r:.80}."
        content: list[tuple[str, Any]] = []
        if kind is list:
            content = [(f"{path}[{index}]", entry) for index, entry in enumerate(value)]
        elif kind is dict:
            wrong = [name for name in value if not isinstance(name, str)]
            if wrong:  # these become keyword arguments
                return f"`{path}` must have names that are text, got {wrong[0]!r}. Put it in quotes."
            content = [(f"{path}.{name}", entry) for name, entry in value.items()]
        problems = (self.problem(entry, typing.get_args(hint)[-1], inner) for inner, entry in content)
        return next(filter(None, problems), None)


def _kind_of(hint: Any) -> Any:
    """Return the type that values of an annotation have."""
    origin = typing.get_origin(hint) or hint
    return str if origin is Literal else origin


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


@functools.cache
def _options() -> dict[str, _Option]:
    """Return all options by name, in the order of the groups."""
    options = {}
    for group in GROUPS.values():
        hints = typing.get_type_hints(group)
        for item in fields(group):
            members = typing.get_args(hints[item.name])
            optional = types.NoneType in members
            limits = dict(item.metadata)
            if hints[item.name] in (int, int | None) and limits["le"] is None:
                limits["le"] = LARGEST_INT
            options[item.name] = _Option(item.name, members[0] if optional else hints[item.name], optional, **limits)
    return options


def _convert(name: str, value: Any, source: str) -> Any:
    """Return a value with the type of its option; YAML and the text of the command line are treated alike.

    Raises:
        SignXError: If there is no such option, or the value has the wrong type or is out of range.
    """
    if name not in _options():
        raise SignXError(f"{source}: {unknown_option(name)}")
    known, note = _options()[name], ""
    if isinstance(value, str) and known.kind is not str:
        try:
            value = _load_yaml(value)
            value = float(value) if isinstance(value, str) else value  # YAML takes 1e-3 for text
        except ValueError as error:
            note = f" {error}." if isinstance(error, _YAMLError) else ""
    if known.optional and value in (None, "none"):
        return None
    if problem := known.problem(value):
        raise SignXError(f"{source}: {problem}{note}")
    return float(value) if known.kind is float else value


class _YAMLError(ValueError):
    """Text that is not YAML, or not YAML of options."""


def _load_yaml(text: str) -> Any:
    """Parse YAML that can be written to run.json.

    Raises:
        _YAMLError: If it is not YAML, is nested too deeply, or has a type that options do not have, such as a date.
    """
    try:
        value = load_yaml(text)
        json.dumps(value)
        return value
    except (ValueError, TypeError, RecursionError) as error:
        raise _YAMLError(f"Not valid YAML: {' '.join(str(error).split())[:150]}") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the options in a YAML file.

    Raises:
        SignXError: If the file does not exist, or is not a mapping of options.
    """
    path = Path(path)
    if not path.is_file():
        raise SignXError(f"{path}: no such file. Pass a YAML file of options; see examples/configs.")
    try:
        content = _load_yaml(read_regular(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        content = error
    if not isinstance(content, dict):
        reason = content if isinstance(content, Exception) else f"it holds a {type(content).__name__}"
        raise SignXError(f"{path} must be a YAML file of lines `name: value` ({reason}). See examples/configs.")
    return content


def collect(given: dict[str, Any], defaults: dict[str, Any] | None = None) -> Arguments:
    """Merge options: those given outrank those of the YAML file, which outrank a stage's defaults.

    Args:
        given: of the command line or of a caller; `config` is the path of a YAML file.
        defaults: of the stage.

    Raises:
        SignXError: If an option is unknown, or a value has the wrong type or is out of range. The message names the
            nearest option.
    """
    given = {key.replace("-", "_"): value for key, value in given.items()}
    config = given.pop("config", None)
    layers = {"defaults": defaults or {}, str(config): read_yaml(config) if config else {}, "command line": given}
    values = {name: _convert(name, value, source) for source, layer in layers.items() for name, value in layer.items()}
    groups = {
        title: group(**{item.name: values[item.name] for item in fields(group) if item.name in values})
        for title, group in GROUPS.items()
    }
    arguments = Arguments(**groups)
    if not arguments.data.dataset:
        raise SignXError(
            "Option `dataset` is missing. Pass a corpus of `signx-hf data list`, a saved dataset or a folder."
        )
    if not arguments.run.output_dir:
        raise SignXError("Option `output_dir` is missing. Pass a folder for the run.")
    for name, remedy in RESERVED.items():
        if name in arguments.data.loader_options:
            raise SignXError(f"`loader_options` must be options of the loader, got {name!r}. {remedy}.")
    return arguments


def more_corpora(entries: Sequence[dict[str, Any]]) -> list[DataArguments]:
    """Return the data of the corpora that option `more_data` names.

    Raises:
        SignXError: If one has an option that data do not have, a value of another type, or no dataset.
    """
    legal = {item.name for item in fields(DataArguments)} - {"more_data"}
    corpora = []
    for index, entry in enumerate(entries):
        place = f"more_data[{index}]"
        if "dataset" not in entry or set(entry) - legal:
            wrong = ", ".join(sorted(set(entry) - legal)) or "none"
            raise SignXError(
                f"`{place}` must have `dataset` and only options of data, got the others {wrong}. Options of data are "
                f"{', '.join(sorted(legal))}."
            )
        corpora.append(DataArguments(**{name: _convert(name, value, place) for name, value in entry.items()}))
    return corpora


# loader options that `load_dataset` takes itself
RESERVED = {
    "name": "Use option dataset", "source": "Use option dataset", "data_dir": "Use option data_dir", "split": "Use option train_split",
    "self": "Leave it out",
}  # fmt: skip

# the command line

METAVARS = {bool: "BOOL", int: "N", float: "X", str: "TEXT", list: "[...]", dict: "{...}"}


def add_options(parser: argparse.ArgumentParser, defaults: dict[str, Any] | None = None) -> None:
    """Add `--config` and every option by its name; help shows the defaults.

    Args:
        parser: of the command.
        defaults: of a stage; they outrank those of the dataclasses.
    """
    parser.usage = "%(prog)s --config FILE [--OPTION VALUE ...]"
    parser.add_argument("--config", metavar="FILE", help="YAML file of options; the command line outranks it")
    for title, group in GROUPS.items():
        section = parser.add_argument_group(title)
        for name, usual in asdict(group()).items():
            known, value = _options()[name], (defaults or {}).get(name, usual)
            shown = "none" if value is None else str(value).lower() if known.kind is bool else value
            text = known.help + ("" if value in ("", {}, []) else f" (default: {shown})")
            bare: dict[str, Any] = {"nargs": "?", "const": "true"} if known.kind is bool else {}
            section.add_argument(
                f"--{name}", default=argparse.SUPPRESS, metavar=METAVARS[known.kind], help=text, **bare
            )


def unknown_option(word: Any) -> str:
    """Return the message for an option, or a `--flag` of the command line, that does not exist; it names the nearest."""
    name = str(word).split("=")[0]
    dashes = "--" if name.startswith("--") else ""
    near = difflib.get_close_matches(name.removeprefix("--"), _options(), n=1, cutoff=0.5)
    return f"Unknown option {name}. " + (f"Did you mean {dashes}{near[0]}? " if near else "") + "See --help."


def parse(
    argv: Sequence[str] | None = None, description: str = "", defaults: dict[str, Any] | None = None
) -> Arguments:
    """Parse the options of a script's command line."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add_options(parser, defaults)
    options, unknown = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    if unknown:
        parser.error(unknown_option(unknown[0]))
    return collect(vars(options), defaults)
