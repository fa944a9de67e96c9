"""Published image backbones that frame encoders start from (options `vision_weights` and `frame_branch_weights`).

A backbone is read once, when the model of a new run is made. What the model needs of it later (configuration, mean and standard
deviation of pixels) is saved with the model, and in `run.json` for a resumed run.
"""

import contextlib
import copy
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import constants, snapshot_download
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from ..assets import is_hub_name
from ..common.logging_utils import quiet_transformers
from ..common.reading import load_json, read_regular
from ..modeling.checkpoint_signx import check_settings, check_weights
from ..modeling.configuration_signx import SignXConfig
from ..modeling.encoders_signx import SignXPreTrainedModel, SignXVideoEncoder
from ..modeling.recognizer_signx import SignXRecognizer, build_backbone
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.video_processing_signx import SignXVideoProcessor
from .arguments import Arguments, ModelArguments
from .checkpoints import resumes

if TYPE_CHECKING:
    from ..processing.processing_signx import SignXProcessor

OPTIONS = {"vision_weights": "vision_config", "frame_branch_weights": "frame_branch"}  # option -> part of the config
FILES = ("config.json", "p*processor_config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")  # fmt: skip
# what a configuration has beside the architecture: options of transformers, of heads, and of training
BESIDE = {*PreTrainedConfig().to_dict(), "stage_names", "out_features", "out_indices", "encoder_stride", "norm_pix_loss"} - {"model_type"}  # fmt: skip
OF_TRAINING = ("dropout", "drop_path", "drop_rate", "layerdrop", "initializer", "pooler", "mask_", "decoder_")


@dataclass(frozen=True)
class Backbone:
    """A published backbone.

    Attributes:
        option: that names it.
        name: value of the option.
        folder: of its files; None in a resumed run, which does not need them.
        revision: commit on the Hub; None for a local folder.
        sha256: of the weights.
        config: its architecture, with `model_type`.
        pixels: options of `SignXVideoProcessor` that its image processor sets.
    """

    option: str
    name: str
    folder: Path | None
    revision: str | None
    sha256: str
    config: dict[str, Any]
    pixels: dict[str, Any]

    @property
    def part(self) -> str:
        """The part of the model's config that it is for."""
        return OPTIONS[self.option]

    def note(self) -> dict[str, Any]:
        """Return what `run.json` says about it."""
        return {
            "name": self.name, "revision": self.revision, "sha256": self.sha256, "config": self.config, "pixels": self.pixels,
        }  # fmt: skip

    def origin(self) -> dict[str, Any]:
        """Return what the saved model says about it; of a local folder only the last name."""
        name = self.name if self.revision else Path(self.name).expanduser().resolve().name
        return {"name": name, "revision": self.revision, "sha256": self.sha256}

    def differences(self, config: PreTrainedConfig) -> list[str]:
        """Return what of the architecture differs from that of a config."""
        ours, theirs = architecture(config), self.config
        if ours["model_type"] != theirs["model_type"]:
            return [f"model_type {theirs['model_type']!r} instead of {ours['model_type']!r}"]
        names = [name for name in ours if not any(word in name for word in OF_TRAINING)]
        plain = json.loads(json.dumps(ours)), json.loads(json.dumps(theirs))
        return [
            f"{name} {plain[1].get(name)} instead of {plain[0][name]}"
            for name in names
            if plain[0][name] != plain[1].get(name)
        ]

    def own_size(self, size: int) -> int | None:
        """Return the only frame size that it reads; None if it reads frames of `size`, too."""
        config = AutoConfig.for_model(**self.config)
        if getattr(config, "image_size", None) is None or _square(config) == size:
            return None
        with torch.device("meta"), quiet_transformers():  # finds out without computing
            try:
                build_backbone(config).eval()(pixel_values=torch.empty(1, 3, size, size))
                return None
            except (ValueError, RuntimeError):
                pass
        own = _square(config)
        if own is None:
            raise SignXError(
                f"`{self.option}` must read square frames, got {self.name} with {config.image_size}. Pass another."
            )
        return own

    def read_weights(self) -> dict[str, torch.Tensor]:
        """Read the weights of the trunk, without those of heads.

        Raises:
            SignXError: If some are missing, or there are others.
        """
        config = AutoConfig.for_model(**self.config)
        options: dict[str, Any] = {
            "config": config,
            "output_loading_info": True,
            "use_safetensors": True,
            "dtype": torch.float32,
        }
        try:
            try:
                model, report = AutoModel.from_pretrained(str(self.folder), add_pooling_layer=False, **options)
            except TypeError:  # as in build_backbone
                model, report = AutoModel.from_pretrained(str(self.folder), **options)
        except Exception as error:  # damaged files make errors of many kinds
            raise self._unusable(error) from error
        trunk, prefix = {name.split(".")[0] for name in model.state_dict()}, f"{model.base_model_prefix}."
        extra = [name.removeprefix(prefix) for name in report["unexpected_keys"]]
        extra = [name for name in extra if name.split(".")[0] in trunk and not name.endswith("mask_token")]
        for word, names in (("has no", report["missing_keys"]), ("has also", extra)):
            if names:
                more = f" and {len(names) - 3} others" if len(names) > 3 else ""
                raise SignXError(
                    f"`{self.option}` must have the weights of its config.json, but {self.name} {word} "
                    f"{', '.join(sorted(names)[:3])}{more}. Copy or download it again."
                )
        return model.state_dict()

    def _unusable(self, error: Exception) -> SignXError:
        return SignXError(
            f"`{self.option}`: {self.name} cannot be loaded ({' '.join(str(error).split())[:300]}). Copy or download it again."
        )


def architecture(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the options of a backbone's config that make its architecture.

    A masked autoencoder is the ViT that it trains: without its decoder, and reading all patches.
    """
    options = config.to_dict()
    if options["model_type"] == "vit_mae":
        known = AutoConfig.for_model("vit").to_dict()
        options = {**{name: value for name, value in options.items() if name in known}, "model_type": "vit"}
    return {name: value for name, value in options.items() if name not in BESIDE}


def find_backbone(option: str, name: str) -> Backbone:
    """Find a published backbone, and read all but its weights.

    Args:
        option: that names it.
        name: local folder or name on the Hub.

    Raises:
        SignXError: If there is none, or it is not one of transformers that reads images, with weights in safetensors.
    """
    folder, revision = Path(name).expanduser(), None
    try:
        if not folder.is_dir():
            folder = _download(name)
            revision = folder.name
        check_settings(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder}: no config.json in this folder")
        check_weights(folder)
        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            SignXConfig(vision_config=config, image_size=_square(config) or 224)  # refuses depths that nobody has
    except Exception as error:  # damaged files make errors of many kinds
        raise SignXError(
            f"`{option}` must be the folder, or the name on the Hub, of an image backbone of transformers, got {name} "
            f"({' '.join(str(error).split())[:300].rstrip('.')}). Pass another."
        ) from error
    kind = AutoModel._model_mapping.get(type(config), None)
    reads_images = getattr(kind, "main_input_name", "") == "pixel_values" and not hasattr(config, "num_frames")
    if not reads_images or getattr(config, "num_channels", 3) != 3:
        raise SignXError(
            f"`{option}` must be a backbone that reads RGB images, got {name} of the type {config.model_type!r}. Pass another."
        )
    return Backbone(
        option, name, folder, revision, _hash(folder), architecture(config), read_pixels(option, name, folder)
    )


def _square(config: PreTrainedConfig) -> int | None:
    """Return the height of the frames that a config is for, if it is their width, too."""
    size = getattr(config, "image_size", None)
    sizes = {size} if size is None or isinstance(size, int) else set(size)
    return sizes.pop() if len(sizes) == 1 else None


def _download(name: str) -> Path:
    """Return the folder of a model of the Hub, of which only what is needed is downloaded."""
    if not is_hub_name(name):
        raise FileNotFoundError("no such folder")
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # of the client, of the network, and of the disk
        reason = "offline, and not in the cache" if constants.HF_HUB_OFFLINE else str(error).split("\n")[0]
        raise FileNotFoundError(f"no such folder, and not from the Hub: {reason}") from error


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_pixels(option: str, name: str, folder: Path) -> dict[str, Any]:
    """Return the options of `SignXVideoProcessor` by which the image processor of a backbone normalizes pixels.

    Raises:
        SignXError: If its file is damaged, or it swaps channels, which the video processor cannot do.
    """
    for file, keys in (("preprocessor_config.json", ()), ("processor_config.json", ("image_processor",))):
        path = folder / file
        if not path.is_file():
            continue
        try:
            content = load_json(read_regular(path))
            for key in keys:
                content = content[key]
            if content.get("do_flip_channel_order"):
                raise ValueError("its channels are in the order BGR")
            normalizes, rescales = content.get("do_normalize", True), content.get("do_rescale", True)
            pixels: dict[str, Any] = {
                "image_mean": content["image_mean"] if normalizes else 0.0,
                "image_std": content["image_std"] if normalizes else 1.0,
                "rescale_factor": content.get("rescale_factor", 1 / 255) if rescales else 1.0,
            }
            read = SignXVideoProcessor(**pixels)
        except Exception as error:
            raise SignXError(
                f"`{option}`: the image processor of {name} cannot be used ({path.name}: {' '.join(str(error).split())[:200]}). Correct it, "
                "or pass another backbone."
            ) from error
        return {key: getattr(read, key) for key in pixels}
    warnings.warn(
        f"`{option}`: {name} has no preprocessor_config.json, so pixels are normalized as without it. Copy it there, if there is one.",
        SignXWarning,
        stacklevel=2,
    )
    return {}


class Backbones:
    """The published backbones of a run: none, one or both.

    Args:
        arguments: of the run.
        upstream: folder or Hub name of the upstream model; None if the stage starts from scratch.

    Attributes:
        found: the backbones.
        trained: parts of the upstream model that have learned from frames, each with its name for messages.

    Raises:
        SignXError: If one cannot be used, or would replace what upstream has learned.
    """

    def __init__(self, arguments: Arguments, upstream: str | None = None):
        self.options: ModelArguments = arguments.model
        self.upstream = upstream
        self.trained: dict[str, str] = {}
        self.found: list[Backbone] = []
        names = {option: getattr(self.options, option) for option in OPTIONS if getattr(self.options, option)}
        if names and upstream:
            with _plain_errors("upstream"):
                self.trained = trained_parts(SignXConfig.from_pretrained(upstream))
        notes = _read_notes(Path(arguments.run.output_dir)) if names and resumes(arguments.run) else {}
        for option, name in names.items():
            part = OPTIONS[option]
            if part in self.trained:
                raise SignXError(
                    f"`{option}` must be left out with an upstream whose {self.trained[part]} is trained, got {name}. Remove it, or pass an "
                    "upstream of an earlier stage."
                )
            note = notes.get(option)
            self.found.append(Backbone(option, folder=None, **note) if note else find_backbone(option, name))
        if self.options.vision_weights and self.options.video_entry:
            raise SignXError("`vision_weights` must be left out with `video_entry`, which replaces the video encoder.")

    def notes(self) -> dict[str, Any]:
        """Return what `run.json` says: a dict for each option given."""
        return {backbone.option: backbone.note() for backbone in self.found}

    def configured(self, options: dict[str, Any], preset: str) -> dict[str, Any]:
        """Return options of a new model's config, with the architectures that they leave open.

        Args:
            options: `model_config`.
            preset: to which they are changes.
        """
        if not self.found:
            return options
        missing = {backbone.part: backbone.config for backbone in self.found if backbone.part not in options}
        size = options.get("image_size", getattr(SignXConfig, preset)().image_size)
        chosen = self._frame_size(size, "`model_config.image_size`" if "image_size" in options else "")
        return {**options, **missing, "image_size": chosen}

    def load(self, model: SignXPreTrainedModel, processor: "SignXProcessor") -> None:
        """Load the weights into a model, and what pixels they expect into its processor; a resumed run has them.

        Raises:
            SignXError: If an architecture is not that of the model.
        """
        if not self.found:
            return
        config = model.config
        if self.upstream:
            fixed = "upstream, trained on frames," if self.trained else ""
            size = self._frame_size(config.image_size, fixed)
            if size != config.image_size:
                config.image_size = size
                processor.video_processor.size = {"height": size, "width": size}
        for backbone in self.found:
            self._fit(backbone, model)
        with _plain_errors("model_config"):
            SignXConfig(**copy.deepcopy(config.to_dict()))  # what changed may not go with the rest
        self._take_pixels(model, processor)
        for backbone in self.found:
            if backbone.folder is not None:
                encoder = _owner(model, backbone.part).frame_encoder
                encoder.backbone.load_state_dict(backbone.read_weights())
        origins = {backbone.part: backbone.origin() for backbone in self.found}
        config.trained_from = {**(config.trained_from or {}), **origins}

    def _frame_size(self, size: int, fixed: str) -> int:
        """Return the frame size of the model: `size`, or that of a backbone that reads no other.

        Args:
            size: usual one.
            fixed: what fixes it, for the message; empty if nothing does.
        """
        for backbone in self.found:
            own = backbone.own_size(size)
            if own is None:
                continue
            if fixed:
                raise SignXError(
                    f"`{backbone.option}` must read frames of {size} x {size} pixels, as {fixed} has them, got {backbone.name}, which reads "
                    f"{own} x {own} only. Pass another."
                )
            size, fixed = own, f"`{backbone.option}`"
        return size

    def _fit(self, backbone: Backbone, model: SignXPreTrainedModel) -> None:
        """Check the architecture, or give an upstream model that of the backbone where `model_config` leaves it open."""
        part, given = backbone.part, backbone.part in self.options.model_config
        current = getattr(model.config, part)
        if current is None and given:
            raise SignXError(f"`{backbone.option}` needs `model_config.{part}`, got none. Remove one of them.")
        different = backbone.differences(current) if current is not None else [""]
        if different and given:
            raise SignXError(
                f"`{backbone.option}` must have the architecture of model_config.{part}, got {backbone.name} with {', '.join(different)}. Remove "
                f"{part} from model_config to take that of the backbone."
            )
        if different:
            setattr(model.config, part, AutoConfig.for_model(**backbone.config))
            _rebuild(model, part)

    def _take_pixels(self, model: SignXPreTrainedModel, processor: "SignXProcessor") -> None:
        """Let the video processor normalize pixels as a backbone expects them, and the RGB branch convert where it expects others."""
        free = not self.upstream
        for backbone in self.found:
            before = processor.video_processor
            after = SignXVideoProcessor.from_dict({**before.to_dict(), "do_normalize": True, **backbone.pixels})
            if not backbone.pixels or _linear(before) == _linear(after):
                continue
            if backbone.part == "vision_config" and "frame_branch" in self.trained:
                raise SignXError(
                    f"`{backbone.option}` must have the image mean and std of upstream, whose RGB branch is trained, got {backbone.name} with "
                    f"{after.image_mean} and {after.image_std}. Pass an upstream of an earlier stage."
                )
            if backbone.part == "vision_config" or free:
                processor.video_processor = after
                free = False
                continue
            (scale, shift), (own_scale, own_shift) = _linear(before), _linear(after)
            norm = {
                "mean": [c * a / b - d for a, b, c, d in zip(scale, own_scale, own_shift, shift)],
                "std": [a / b for a, b in zip(scale, own_scale)],
            }
            model.config.frame_branch_norm = _owner(model, backbone.part).frame_encoder.norm = norm


def trained_parts(upstream: SignXConfig) -> dict[str, str]:
    """Return the parts of an upstream model that have learned from frames, each with its name for messages."""
    kind = (upstream.architectures or [""])[0]
    trained = {"vision_config": "video encoder"} if "video" in (upstream.trained_entries or ()) else {}
    if upstream.frame_branch is not None and kind in ("SignXForLatentCTC", "SignXForGlossRecognition"):
        trained["frame_branch"] = "RGB branch"
    return trained


def _read_notes(output_dir: Path) -> dict[str, Any]:
    """Return what `run.json` of a run that is resumed says about its backbones; nothing if it cannot be read."""
    try:
        return dict(load_json(read_regular(output_dir / "run.json")).get("backbones", {}))
    except (OSError, ValueError, AttributeError):
        return {}


@contextlib.contextmanager
def _plain_errors(option: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise SignXError(f"`{option}`: {' '.join(str(error).split())}") from error


def _owner(model: Any, part: str) -> Any:
    return model.model.video_encoder if part == "vision_config" else model.recognizer


def _rebuild(model: Any, part: str) -> None:
    """Build the part of a model with the frame encoder of the config, and keep all other weights that fit."""
    old = _owner(model, part)
    new: torch.nn.Module = (
        SignXVideoEncoder(model.config) if part == "vision_config" else SignXRecognizer(model.config)
    )
    new.apply(model._init_weights)
    sizes = {name: value.shape for name, value in new.state_dict().items()}
    kept = {} if old is None else old.state_dict()
    own = ("frame_encoder.", "frame_projection.", "feature_projection.")
    kept = {name: value for name, value in kept.items() if not name.startswith(own) and sizes.get(name) == value.shape}
    new.load_state_dict(kept, strict=False)
    if part == "vision_config":
        model.model.video_encoder = new
    else:
        model.recognizer = new


def _linear(processor: SignXVideoProcessor) -> tuple[list[float], list[float]]:
    """Return scale and shift of each channel, by which normalized pixels are `scale * pixel - shift`."""
    factor, mean, std = processor.rescale_factor, processor.image_mean, processor.image_std
    if not processor.do_normalize:
        return [factor] * 3, [0.0] * 3
    return [factor / s for s in std], [m / s for m, s in zip(mean, std)]
