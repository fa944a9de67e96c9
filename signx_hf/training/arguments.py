"""Options of a training run: dataclasses with help, read from a YAML file and the command line.

Names are those of `transformers.TrainingArguments` where it has the option.
"""

import argparse
import difflib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..data.errors import nearest
from ..processing.errors_signx import SignXError


def option(default: Any, help: str, **kwargs: Any) -> Any:  # noqa: A002  the name argparse has
    """A dataclass field with its help; a list or dict default is copied for each instance."""
    metadata = {"help": help}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata, **kwargs)
    return field(default=default, metadata=metadata, **kwargs)


@dataclass
class DataArguments:
    """What is trained on."""

    dataset: str = option("", "a corpus of `signx-hf data list`, a saved dataset, a table or a folder")
    data_dir: str | None = option(None, "folder of your own copy of the corpus")
    loader_options: dict = option({}, "options of the loader, e.g. {cleanup: phoenix14t}")
    train_split: str = option("train", "split that is trained on, or several: train+dev")
    dev_split: str | None = option(None, "split that chooses checkpoints; none: held out of the training split")
    dev_share: float = option(0.1, "share of the training split held out where there is no dev split")
    dev_by: str = option(
        "sentence",
        "what is held out together: clip, sentence (same glosses), signer or language; gloss: a share of the clips of each gloss",
    )
    max_clips: int | None = option(None, "only the first clips of each split, to try something out")
    extract_jobs: int | None = option(
        None, "processes that extract landmarks of clips without poses; none: one for each core, at most 4"
    )


@dataclass
class ModelArguments:
    """What is trained."""

    preset: str = option("tiny", "tiny, small or base; only where no upstream checkpoint gives the config")
    model_config: dict = option(
        {}, "changes to the config of the preset or of upstream, e.g. {pose_config: {latent_size: 256}}"
    )
    upstream: str | None = option(None, "folder or Hub name of the checkpoint of the stage before")
    video_entry: str | None = option(
        None,
        "folder of a checkpoint of stage 2 whose video entry is put into the upstream model; none: upstream's own",
    )
    body: str | None = option(
        None,
        "folder or name of a model of isolated signs whose trained pose path and hybrid body stage 3 starts from; its signs are left behind",
    )
    vocab_size: int = option(1024, "BPE pieces of the decoder, where a tokenizer is learnt")
    fps: float | None = option(None, "frames per second that the model works at; none: the config's")
    point_tracks: dict = option({}, "what custom tracks of points are, as SignXPoseFeatureExtractor takes it")
    hand_steps: int | None = option(
        None, "isolated signs on the track hands: moments at which a clip is read, from its first to its last hand"
    )
    use_depth: bool = option(True, "whether the depth of the track hands is read")
    shape_only: bool = option(
        False,
        "on the track hands: only what the leading hand looks like is read, not where it is, how large, how fast",
    )
    hidden_tracks: list = option(
        [], "tracks hidden from every clip, e.g. [dwpose]: what is left without them (SignX-4, table 9)"
    )
    right_handed: bool = option(
        False, "clips that are signed with the left hand are mirrored, before training and ever after"
    )
    source: str = option("poses", "poses or video: what clips are read from")
    start: str | None = option(
        None,
        "inputs, latents or features: what is trained on; all before it stands still, is run once and cached; none: "
        "latents in stage 3 and features in stage 4",
    )
    cache_dir: str | None = option(None, "folder of cached latents and features; none: ~/.cache/signx_hf/features")
    num_beams: int = option(5, "beams when dev is measured")
    decode_ctc_weight: float = option(0.3, "weight of CTC when dev is measured by joint decoding (stage 4)")
    window: int = option(32, "frames of a clip that a step of stage 2 sees")


@dataclass
class RunArguments:
    """How it is trained, and where results go."""

    output_dir: str = option("", "folder of the run: model, checkpoints, log")
    seed: int = option(0, "of weights, order, dropout, augmentation")
    num_train_epochs: float = option(100, "passes over the training clips")
    max_steps: int = option(0, "optimiser steps, above 0 instead of epochs")
    per_device_train_batch_size: int = option(32, "clips a step and process")
    gradient_accumulation_steps: int = option(1, "batches an optimiser step")
    per_device_eval_batch_size: int = option(16, "clips a step when the model is measured")
    optim: str = option(
        "adamw", "adamw, or muon: matrices of hidden layers by Muon, all else by AdamW, at one learning rate"
    )
    learning_rate: float = option(1e-3, "at the end of the warm-up")
    min_lr_ratio: float = option(0.05, "the cosine ends at this share of learning_rate")
    warmup_ratio: float = option(0.05, "share of all steps in which the rate rises")
    weight_decay: float = option(0.01, "not on biases, norms and embeddings of tracks")
    adam_beta1: float = option(0.9, "AdamW")
    adam_beta2: float = option(0.999, "AdamW")
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm")
    ema_decay: float = option(0.0, "moving average of the weights, which is then what is measured and kept; 0: none")
    eval_epochs: float = option(1.0, "epochs between two measurements on dev")
    save_epochs: float = option(1.0, "epochs between two checkpoints")
    average_best: int = option(1, "the final model is the mean of this many best checkpoints on dev")
    patience: int = option(0, "stop after this many measurements without a better one; 0: never")
    mixed_precision: str = option("no", "no, bf16 or fp16 (GPU)")
    cpu: bool = option(False, "stay on the CPU, also for several processes (gloo)")
    num_workers: int | None = option(
        None, "processes that read and augment; none: one on Linux where clips are trained on from inputs, else 0"
    )
    bucket: int = option(16, "batches whose clips are sorted by length together; 0: no length bucketing")
    resume: bool = option(False, "go on from the newest checkpoint in output_dir")
    tensorboard: bool = option(False, "also write TensorBoard event files")
    plot: bool = option(True, "loss curves as PNG after every measurement")
    progress: bool = option(True, "progress bar")
    loss_weights: dict = option({}, "weights of the parts of the loss, e.g. {ngram: 0.6, kd: 0}")
    loss_schedules: dict = option({}, "linear changes of those, e.g. {contrast: [1.0, 0.2]} from first to last step")
    teacher_forcing: list = option(
        [1.0, 1.0],
        "share of the decoder's input pieces that are labels, from first to last step; the rest is what the model itself writes "
        "(stages 1 and 4; SignX-1: [0.5, 0.0])",
    )
    frame_drop: list | None = option(
        None,
        "share of frames hidden from the recogniser, from first to last step, e.g. [0.3, 0.1]; none: the config's frame_drop_rate "
        "(stages 3 and 4)",
    )
    prune_epochs: float = option(
        0.0,
        "epochs between two prunings of latent dimensions whose variance over the training clips is under "
        "recognizer_config.variance_threshold; 0: never (stage 3)",
    )


@dataclass
class AugmentationArguments:
    """Changes to training clips. Never mirrored unless asked: a mirror image swaps the hands."""

    speed: float = option(0.0, "a clip is played at a rate drawn from 1 - speed to 1 + speed")
    scale: float = option(0.0, "key points are scaled by a factor drawn from 1 - scale to 1 + scale")
    rotation: float = option(0.0, "key points are turned in the picture by up to this many degrees")
    turn: float = option(0.0, "points with depth are turned about the vertical axis by up to this many degrees")
    tilt: float = option(0.0, "points with depth are turned about the horizontal axis by up to this many degrees")
    stretch: float = option(0.0, "each axis is scaled by a factor of its own, drawn from 1 - stretch to 1 + stretch")
    shift: float = option(0.0, "key points are moved by up to this many units (shoulder widths)")
    jitter: float = option(0.0, "standard deviation of noise on every key point and frame, same unit")
    frame_mask: float = option(0.0, "share of frames hidden, in spans of up to ten")
    mirror: float = option(
        0.0, "probability of a mirror image with the hands swapped, as a left-handed signer would sign"
    )
    track_dropout: float | None = option(
        None,
        "probability with which a track is hidden from a clip, one always stays; none: the config's (where the pose path learns)",
    )
    time_warp: float = option(
        0.0, "hands: pieces of a clip are played exp(-time_warp) to exp(time_warp) times as long"
    )
    trim: float = option(
        0.0, "hands, isolated signs: up to this share of each end is cut off, or up to 0.6 of it added as a hold"
    )
    shear: float = option(0.0, "hands: x moves by up to this share of y")
    proportions: float = option(0.0, "hands: each landmark's distance from the wrist changes by up to this share")
    hand_shift: float = option(0.0, "hands: each hand is moved by up to this share of the picture")
    hand_drop: float = option(0.0, "hands: probability with which the second hand is hidden")
    hand_mask: float = option(0.0, "hands: probability with which a hand is hidden for up to a quarter of the clip")
    hand_swap: float = option(0.0, "hands: probability with which the second hand is put first")
    flatten: float = option(0.0, "hands: probability with which depth is left out, as detectors without it give hands")
    brightness: float = option(0.0, "frames: brightness and contrast change by up to this share")
    color: float = option(
        0.0, "frames: hue turns by up to this share of 180 degrees, saturation and channels change with it"
    )
    crop: float = option(0.0, "frames: up to this share of each side is cut off")


@dataclass
class Arguments:
    """All options of a run."""

    data: DataArguments
    model: ModelArguments
    run: RunArguments
    augmentation: AugmentationArguments

    def to_dict(self) -> dict[str, Any]:
        """All options, flat, as the YAML file has them."""
        return {key: value for group in asdict(self).values() for key, value in group.items()}


LARGEST_INT = 2**31 - 1
LARGEST = {"seed": 2**32 - 1}  # the loop makes 64-bit seeds of it and of the place in the run

GROUPS = {
    "data": DataArguments,
    "model": ModelArguments,
    "run": RunArguments,
    "augmentation": AugmentationArguments,
}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The options in a YAML file.

    Raises:
        SignXError: no such file, or not a table of options.
    """
    path = Path(path)
    if not path.is_file():
        raise SignXError(f"{path}: no such file; wanted a YAML file of options; see examples/configs")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SignXError(
            f"{path}: cannot be read ({error}); wanted lines `name: value`; see examples/configs"
        ) from error
    content = _parsed(text, f"{path}:", "lines `name: value`")
    if not isinstance(content, dict):
        raise SignXError(f"{path}: holds a {type(content).__name__}; wanted lines `name: value`")
    return content


def _parsed(text: str, where: str, wanted: str) -> Any:
    """What a YAML text says, if it can be written into run.json.

    Raises:
        SignXError: not YAML, nested too deep, or of a kind that options have not, such as a date.
    """
    import yaml

    try:
        value = yaml.safe_load(text)
        json.dumps(value)
        return value
    except (
        Exception
    ) as error:  # of odd tags and numbers PyYAML raises nearly every kind, and of deep ones a RecursionError
        reason = " ".join(str(error).split())[:150]
        raise SignXError(f"{where} not YAML of options ({reason}); wanted {wanted}; correct it") from error


def _defaults(overrides: dict[str, Any]) -> dict[str, Any]:
    """All options with a stage's own defaults; raises for a name that no group has."""
    values = {f.name: f for group in GROUPS.values() for f in fields(group)}
    unknown = [name for name in overrides if name not in values]
    if unknown:
        raise SignXError(f"no option is called {unknown[0]!r}; {nearest(unknown[0], values)}")
    return overrides


def _checked(name: str, value: Any, kind: Any, where: str) -> Any:
    """The value as the option's type wants it: text of the command line and of YAML alike."""
    text = str(kind)
    wish = text.replace("'", "").replace("<class ", "").rstrip(">")
    if isinstance(value, str) and "str" not in text:
        value = _parsed(value, f"{where}: option {name} is {value!r:.60},", wish)
    if isinstance(value, str) and "str" not in text and _is_number(value):  # YAML takes 1e-3 for text
        value = float(value)
    if value in (None, "none") and "None" in text:
        return None
    wanted = {"bool": bool, "int": int, "float": (int, float), "str": str, "dict": dict, "list": list}
    word = next(word for word in wanted if text.replace("<class '", "").startswith(word))
    if isinstance(value, bool) != (word == "bool") or not isinstance(value, wanted[word]):
        raise SignXError(f"{where}: option {name} is {value!r}; wanted {wish}")
    keys = [key for key in value if not isinstance(key, str)] if word == "dict" else []
    if keys:  # these become keyword arguments
        raise SignXError(
            f"{where}: option {name} has the name {keys[0]!r}; wanted names that are text; correct it, or put it in quotes"
        )
    if word in ("int", "float"):
        value = _number(name, value, word, where)
    return value


def _number(name: str, value: float, word: str, where: str) -> float:
    """The number, if what computes with it can hold it."""
    largest = LARGEST.get(name, LARGEST_INT)
    if word == "int" and value > largest:
        raise SignXError(f"{where}: option {name} is {value}; wanted a whole number of at most {largest}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SignXError(f"{where}: option {name} is {value!r:.40}; wanted a finite number")
    return number if word == "float" else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


METAVARS = {"bool": "BOOL", "int": "N", "float": "X", "str": "TEXT", "list": "[...]", "dict": "{...}"}


def add_options(parser: argparse.ArgumentParser, defaults: dict[str, Any] | None = None) -> None:
    """`--config` and every option of the dataclasses, by its own name; help shows what holds if it is not given.

    Args:
        defaults: of a stage, over those of the dataclasses.
    """
    parser.usage = "%(prog)s --config FILE [--OPTION VALUE ...]"
    parser.add_argument("--config", metavar="FILE", help="YAML file of options; the command line outranks it")
    for title, group in GROUPS.items():
        section = parser.add_argument_group(title)
        usual = asdict(group())
        for item in fields(group):
            kind = str(item.type).replace("<class '", "").split("'")[0].split(" ")[0]
            value = (defaults or {}).get(item.name, usual[item.name])
            shown = "none" if value is None else str(value).lower() if kind == "bool" else value
            section.add_argument(
                f"--{item.name}", default=argparse.SUPPRESS, metavar=METAVARS[kind], help=item.metadata["help"] + ("" if value in ("", {}, []) else f" [{shown}]"),
                **({"nargs": "?", "const": "true"} if kind == "bool" else {}),
            )  # fmt: skip


def collect(given: dict[str, Any], defaults: dict[str, Any] | None = None) -> Arguments:
    """Options from the command line (`given`, with `config`), over those of the YAML file, over a stage's defaults.

    Raises:
        SignXError: an unknown option (names the nearest), a value of the wrong type, or out of range.
    """
    given = {key.replace("-", "_"): value for key, value in given.items()}
    config = given.pop("config", None)
    layers = [("defaults", defaults or {})]
    if config:
        layers.append((str(config), read_yaml(config)))
    layers.append(("command line", given))
    values: dict[str, Any] = {}
    kinds = {f.name: f.type for group in GROUPS.values() for f in fields(group)}
    for where, layer in layers:
        for name, value in _defaults(layer).items():
            values[name] = _checked(name, value, kinds[name], where)
    groups = {
        name: group(**{f.name: values[f.name] for f in fields(group) if f.name in values})
        for name, group in GROUPS.items()
    }
    arguments = Arguments(**groups)
    check(arguments)
    return arguments


def no_option(word: str) -> str:
    """What to say of a word of the command line that begins like an option and is none; names the nearest."""
    name = word.split("=")[0]
    names = [f"--{item.name}" for group in GROUPS.values() for item in fields(group)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"no option is called {name}; " + (f"did you mean {near[0]}? " if near else "") + "--help lists them"


def parse(
    argv: Sequence[str] | None = None, description: str = "", defaults: dict[str, Any] | None = None
) -> Arguments:
    """The options of a script's command line."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add_options(parser, defaults)
    options, unknown = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    if unknown:
        parser.error(no_option(unknown[0]))
    return collect(vars(options), defaults)


def check(arguments: Arguments) -> None:
    """Raises SignXError for the first value that makes no sense; says what was wanted."""
    data, run, augmentation = arguments.data, arguments.run, arguments.augmentation
    if not data.dataset:
        raise SignXError(
            "option dataset is missing; wanted a corpus of `signx-hf data list`, a saved dataset or a folder"
        )
    if not run.output_dir:
        raise SignXError("option output_dir is missing; wanted the folder of the run")
    if data.dev_by not in ("clip", "sentence", "signer", "language", "gloss"):
        raise SignXError(
            f"`dev_by` must be clip, sentence, signer, language or gloss, got {data.dev_by!r}. Correct it."
        )
    if run.mixed_precision not in ("no", "bf16", "fp16"):
        raise SignXError(f"option mixed_precision is {run.mixed_precision!r}; wanted no, bf16 or fp16")
    if run.optim not in ("adamw", "muon"):
        raise SignXError(f"`optim` must be adamw or muon, got {run.optim!r}. Correct it.")
    if arguments.model.preset not in ("tiny", "small", "base"):
        raise SignXError(f"option preset is {arguments.model.preset!r}; wanted tiny, small or base")
    for name, legal in (("source", ("poses", "video")), ("start", (None, "inputs", "latents", "features"))):
        if getattr(arguments.model, name) not in legal:
            raise SignXError(
                f"option {name} is {getattr(arguments.model, name)!r}; wanted one of {', '.join(map(str, legal))}"
            )
    ranges = {
        "dev_share": (0, 0.9), "warmup_ratio": (0, 1), "min_lr_ratio": (0, 1), "ema_decay": (0, 0.99999),
        "adam_beta1": (0, 0.99999), "adam_beta2": (0, 0.99999), "speed": (0, 0.9), "scale": (0, 0.9), "frame_mask": (0, 0.9),
        "decode_ctc_weight": (0, 1), "mirror": (0, 1), "brightness": (0, 0.9), "color": (0, 1), "crop": (0, 0.4),
        "track_dropout": (0, 0.99),
        "stretch": (0, 0.9), "time_warp": (0, 2), "trim": (0, 0.4), "shear": (0, 0.9), "proportions": (0, 0.9), "hand_shift": (0, 1),
        "hand_drop": (0, 1), "hand_mask": (0, 1), "hand_swap": (0, 1), "flatten": (0, 1),
    }  # fmt: skip
    least = {
        "num_train_epochs": 0, "max_steps": 0, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1,
        "per_device_eval_batch_size": 1, "learning_rate": 0, "weight_decay": 0, "max_grad_norm": 0, "average_best": 1,
        "patience": 0, "num_workers": 0, "bucket": 0, "seed": 0, "eval_epochs": 0, "save_epochs": 0, "vocab_size": 1,
        "num_beams": 1, "extract_jobs": 1, "window": 4, "rotation": 0, "shift": 0, "jitter": 0,
        "prune_epochs": 0,
        "turn": 0, "tilt": 0, "hand_steps": 2,
    }  # fmt: skip
    for group in (data, arguments.model, run, augmentation):
        for item in fields(group):
            value = getattr(group, item.name)
            low, high = ranges.get(item.name, (least.get(item.name), float("inf")))
            if low is not None and value is not None and not low <= value <= high:
                raise SignXError(f"option {item.name} is {value!r}; wanted a number from {low} to {high}")
    for name, weight in run.loss_weights.items():
        if not _is_weight(weight, math.inf):
            raise SignXError(f"option loss_weights: {name} is {weight!r}; wanted a number from 0")
    for name in arguments.model.hidden_tracks:
        if not isinstance(name, str):
            raise SignXError(f"option hidden_tracks has {name!r}; wanted names of tracks, e.g. [dwpose]")
    _check_loader_options(data.loader_options)
    for name, pair in run.loss_schedules.items():
        _check_pair(f"loss_schedules: {name}", pair, float("inf"))
    _check_pair("teacher_forcing", run.teacher_forcing, 1.0)
    if run.frame_drop is not None:
        _check_pair("frame_drop", run.frame_drop, 0.99)


def _check_loader_options(options: dict) -> None:
    """Raises SignXError for a name that is not the loader's but `load_dataset`'s own."""
    for name, instead in (
        ("name", "dataset"),
        ("source", "dataset"),
        ("data_dir", "data_dir"),
        ("split", "train_split"),
        ("self", None),
    ):
        if name in options:
            remedy = f"use option {instead}" if instead else "leave it out"
            raise SignXError(
                f"option loader_options has {name!r}; wanted options of the loader of the corpus; {remedy}"
            )


def _is_weight(value: Any, highest: float) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= highest and value < math.inf
    )


def _check_pair(name: str, pair: Any, highest: float) -> None:
    if not isinstance(pair, list) or len(pair) != 2 or not all(_is_weight(value, highest) for value in pair):
        limit = "" if highest == float("inf") else f" to {highest:g}"
        raise SignXError(f"option {name} is {pair!r}; wanted [first, last], numbers from 0{limit}")
