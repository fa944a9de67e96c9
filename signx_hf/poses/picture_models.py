"""Tracks that a transformers model computes from the whole frame: from a folder or Hub name to rows of 24 x 24 cells.

Shared by `sapiens.py` and `primedepth.py`: the files of a model, their checks, and how frames become model input.
"""

import hashlib
import itertools
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..common.fingerprints import file_sha256, fingerprint
from ..common.logging_utils import quiet_transformers
from ..common.messages import one_line
from ..data.grids import WIDTH
from ..processing.errors_signx import SignXFileNotFoundError, SignXPoseError
from .base import Clip, Observation, TrackExtractor

if TYPE_CHECKING:
    import torch
    from transformers import BaseImageProcessor, PreTrainedConfig
    from transformers.utils import ModelOutput

MODEL_FILES = ("config.json", "preprocessor_config.json", "model.safetensors.index.json", "*.safetensors")
ERROR_CHARACTERS = 160
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class PictureModelExtractor(TrackExtractor):
    """Runs a transformers model over batches of frames and reduces each output to 576 numbers.

    Args:
        model: Folder of a saved model, or its name on the Hub, which is downloaded when first needed.
        device: Torch device, such as "cpu" or "cuda".
        batch_size: Frames per forward pass.

    The frame is stretched to the input size of the model, without the crop or padding of its image processor, so that
    the 24 x 24 cells always cover the whole frame.
    """

    width = WIDTH
    task: ClassVar[str]
    auto_class: ClassVar[str]
    mapping: ClassVar[str]

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 4):
        self.model, self.device, self.batch_size = str(model), str(device), batch_size
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise SignXPoseError(f"batch_size must be a positive integer, got {batch_size!r}.")
        self._loaded_folder: Path | None = None
        self._loaded_model: Any = None
        self._loaded_processor: Any = None

    @property
    def fingerprint(self) -> str:
        options = {k: v for k, v in self.__dict__.items() if not k.startswith("_") and k != "model"}
        return fingerprint(self.name, f"transformers {_transformers_version()}", options, _model_files(self.folder()))

    @property
    def source(self) -> str:
        """Return class and name of the model, for the notes."""
        name = Path(self.model).name if Path(self.model).exists() else self.model
        return f"{(self.config().architectures or ['unknown'])[0]} {name}"

    @property
    def version(self) -> str:
        """Return a hash of the weights and the version of transformers, for the notes."""
        return f"weights {self._hash()[:12]}, transformers {_transformers_version()}"

    def folder(self) -> Path:
        """Return the folder of the model; fetch it from the Hub if the model is given by its name there.

        Raises:
            SignXFileNotFoundError, SignXPoseError: If there is no such model, or its weights are pickles.
        """
        if getattr(self, "_loaded_folder", None) is None:
            folder = _find_folder(self.model)
            _check_files(folder)
            self._loaded_folder = folder
        return self._loaded_folder

    def config(self) -> "PreTrainedConfig":
        """Return the configuration of the model, checked to be for this track's task.

        Raises:
            SignXPoseError: If it is not a configuration, or is for another task.
            ImportError: If the installed transformers does not have that type of model.
        """
        import transformers

        path = self.folder() / "config.json"
        try:
            kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SignXPoseError(
                f"{path}: must be the configuration of a transformers model with model_type ({_one_line(error)}). "
                "Save the model again."
            ) from error
        if kind not in transformers.CONFIG_MAPPING:
            raise ImportError(
                f"{path}: a model of type {kind!r}, which transformers {_transformers_version()} does not have. Code "
                "from the Hub is not run; try pip install -U transformers."
            )
        try:
            config = transformers.AutoConfig.from_pretrained(path.parent, trust_remote_code=False)
        except Exception as error:  # the checks of a configuration class may raise anything
            raise SignXPoseError(
                f"{path}: the configuration is invalid ({_one_line(error)}). Save the model again."
            ) from error
        if type(config) not in getattr(transformers, self.mapping):
            raise SignXPoseError(f"{path}: must be a model for {self.task} ({self.auto_class}), got type {kind!r}.")
        return config

    def load(self) -> "PictureModelExtractor":
        if self._loaded_model is not None:
            return self
        import torch
        import transformers

        folder, config = self.folder(), self.config()
        processor = _load_processor(folder)
        try:
            with quiet_transformers():  # the checks below report problems in one line
                model, info = getattr(transformers, self.auto_class).from_pretrained(
                    folder,
                    config=config,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
        except Exception as error:  # safetensors, OS, key, size and type errors
            raise SignXPoseError(
                f"{folder}: the weights cannot be loaded ({_one_line(error)}). Copy the model again; its "
                ".safetensors files must be complete and fit config.json."
            ) from error
        mismatched = sorted(str(key[0]) for key in info["mismatched_keys"])
        random = [f"{key} of another size" for key in mismatched] + sorted(str(key) for key in info["missing_keys"])
        if random:
            raise SignXPoseError(
                f"{folder}: {len(random)} weights of {type(model).__name__} are missing or of another size "
                f"({random[0]}) and would be random. Pass a model that was trained for {self.task}."
            )
        try:
            self._loaded_model = model.eval().to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise SignXPoseError(
                f"device {self.device!r} is not available in torch ({_one_line(error)}). Try 'cpu'."
            ) from error
        self._loaded_processor = processor
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        self.load()
        frames, size = iter(frames), self._frames_at_once()
        box, done = (0.0, 0.0, float(clip.size[0]), float(clip.size[1])), 0
        while batch := list(itertools.islice(frames, size)):
            for offset, maps in enumerate(self._run(batch)):
                try:
                    row = self.row(maps)
                except SignXPoseError as error:
                    raise SignXPoseError(f"clip {clip.id}, frame {done + offset}: {error}") from error
                yield [Observation(box, 1.0, {"row": row}, whole_frame=True)]
            done += len(batch)

    def to_row(self, observation: Observation) -> np.ndarray:
        return observation.data["row"]

    def _run(self, frames: list[np.ndarray]) -> np.ndarray:
        """Run the model on frames [H, W, 3] of one size; return its maps [B, ...]."""
        import torch

        pixels = self._loaded_processor(frames).to(self.device)
        with torch.inference_mode():
            return self.maps(self._loaded_model(pixel_values=pixels)).float().cpu().numpy()

    def _frames_at_once(self) -> int:
        return self.batch_size

    def _hash(self) -> str:
        """Return a hash of all files that the model is loaded from."""
        return hashlib.sha256("".join(map(file_sha256, _model_files(self.folder()))).encode()).hexdigest()

    @abstractmethod
    def maps(self, outputs: "ModelOutput") -> "torch.Tensor":
        """Return the tensor [B, ...] of the model's output whose items `row` takes."""

    @abstractmethod
    def row(self, maps: np.ndarray) -> np.ndarray:
        """Convert the map of one frame to a row [576] float32."""


def _transformers_version() -> str:
    from importlib.metadata import version

    return version("transformers")


def _one_line(error: BaseException) -> str:
    return one_line(error, ERROR_CHARACTERS)


def _model_files(folder: Path) -> list[Path]:
    return sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})


def _find_folder(model: str) -> Path:
    """Return the folder, or the local copy of a model on the Hub."""
    if "://" in model:
        raise SignXPoseError(f"{model}: must be a folder or a name on the Hub (owner/name), got a web address.")
    path = Path(model)
    if path.is_dir():
        return path
    if path.exists():
        raise SignXPoseError(f"{model}: must be the folder that a transformers model was saved to, got a file.")
    if not HUB_NAME.fullmatch(model):
        raise SignXFileNotFoundError(f"{model}: no such folder. Pass a saved model or a name on the Hub (owner/name).")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=list(MODEL_FILES)))
    except Exception as error:  # its own errors, those of the network underneath, and a full disk
        raise SignXFileNotFoundError(
            f"{model}: no such folder, and it cannot be fetched from the Hub ({_one_line(error)}). Check the name "
            "and the network."
        ) from error


def _check_files(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        if (folder / "config.json").is_file():
            return
        raise SignXFileNotFoundError(
            f"{folder}: no config.json. Copy the complete folder of a saved transformers model."
        )
    pickles = sorted(p.name for suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl") for p in folder.glob(f"*{suffix}"))
    if pickles:
        raise SignXPoseError(
            f"{folder}: the weights must be .safetensors, got {pickles[0]}, a pickle, which can run any code when it "
            "is read. If you trust it, convert it with model.save_pretrained(folder)."
        )
    raise SignXFileNotFoundError(
        f"{folder}: no .safetensors file. A saved transformers model has config.json, preprocessor_config.json and "
        "model.safetensors; check the folder."
    )


def _load_processor(folder: Path) -> "_PilProcessor | _PlainProcessor":
    """Return a function from frames [H, W, 3] uint8 to pixels [B, 3, h, w], which stretches the whole frame.

    It is always the PIL version of the model's image processor, so that rows do not depend on whether torchvision is
    installed. Some models, such as Sapiens2 and Depth Pro, have none; theirs is a plain resize and normalization, done
    here.
    """
    path = folder / "preprocessor_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        name = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(f"{path}: no such file. Save the image processor with the model.") from error
    except (OSError, ValueError, AttributeError) as error:
        raise SignXPoseError(
            f"{path}: cannot be read as the settings of an image processor ({_one_line(error)})."
        ) from error
    import transformers

    # releases before 5 called the torchvision version of X "XImageProcessorFast"
    pil = name.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor") + "Pil"
    if not hasattr(transformers, pil):
        return _PlainProcessor(path, settings)
    try:
        return _PilProcessor(getattr(transformers, pil).from_pretrained(folder))
    except ImportError:  # in some releases a PIL version requires torchvision as well
        return _PlainProcessor(path, settings)
    except Exception as error:  # the checks of a processor class may raise anything
        raise SignXPoseError(
            f"{path}: the settings of the {pil} are invalid ({_one_line(error)}). Save it again."
        ) from error


class _PilProcessor:
    """Calls a processor of transformers without crop and padding."""

    def __init__(self, processor: "BaseImageProcessor"):
        self.processor, self.options = processor, {}
        if getattr(processor, "do_center_crop", False):
            self.options = {"size": dict(processor.crop_size), "do_center_crop": False}
        if getattr(processor, "do_pad", False):
            self.options["do_pad"] = False

    def __call__(self, frames: list[np.ndarray]) -> "torch.Tensor":
        return self.processor(
            images=list(frames), return_tensors="pt", input_data_format="channels_last", **self.options
        )["pixel_values"]


class _PlainProcessor:
    """Resizes, rescales and normalizes as `preprocessor_config.json` says."""

    def __init__(self, path: Path, settings: dict[str, Any]):
        try:
            self.size = (int(settings["size"]["height"]), int(settings["size"]["width"]))
            self.mean, self.std = ([float(x) for x in settings[key]] for key in ("image_mean", "image_std"))
            self.scale = float(settings.get("rescale_factor", 1 / 255))
            valid = min(self.size) > 0 and len(self.mean) == len(self.std) == 3 and min(self.std) > 0
        except (KeyError, TypeError, ValueError):
            valid = False
        if not valid:
            raise SignXPoseError(
                f"{path}: must have size (height, width), and image_mean and image_std of three numbers. Copy the "
                "file from the model's page."
            )

    def __call__(self, frames: list[np.ndarray]) -> "torch.Tensor":
        import torch

        pixels = torch.stack([torch.from_numpy(np.ascontiguousarray(frame)) for frame in frames]).permute(0, 3, 1, 2)
        pixels = torch.nn.functional.interpolate(pixels.float(), self.size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (self.mean, self.std))
        return (pixels * self.scale - mean) / std
