"""Video processor of SignX: videos to `pixel_values_videos` and `frame_mask`.

It defines decoding, color order, frame rate, crop, resize and normalization, so training and inference see the same
pixels. The class is saved with the weights and needs neither torchvision nor torchcodec.
"""

import copy
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import Unpack

from .errors_signx import SignXVideoError
from .frame_rendering_signx import FrameGeometry
from .frames_ahead_signx import VideoAhead
from .inputs_signx import VideoInput
from .sampling_signx import check_max_frames, check_model_rate
from .video_decoding_signx import (
    DecodedVideo,
    decode_video,
    is_picture,
    iter_video,
    iter_video_ahead,
    open_video,
    start_decoding,
)
from .video_sources_signx import VideoSource

try:
    from transformers.video_processing_utils import VideoProcessorMixin as VideoProcessorBase
except ImportError:  # transformers 5.17
    from transformers.video_processing_utils import BaseVideoProcessor as VideoProcessorBase

# Keys that transformers writes beside the options when it saves a processor.
LIBRARY_KEYS = (
    "auto_map",
    "feature_extractor_type",
    "image_processor_type",
    "processor_class",
    "transformers_version",
    "video_processor_type",
)


# Option of a call -> what it means if it is False; True is the usual.
CALL_OPTIONS = {"do_sample_frames": {"fps": None, "max_frames": None}, "do_rescale": {"rescale_factor": 1.0}}
NULLABLE = ("fps", "max_frames")
# Options that video processors of transformers have -> the option that says it here.
OTHER_NAMES = {
    "num_frames": "max_frames", "video_metadata": "source_fps", "resample": "interpolation", "crop_size": "size",
    "do_resize": "size", "do_center_crop": "resize_mode", "do_pad": "resize_mode",
}  # fmt: skip


class SignXVideoProcessorInitKwargs(TypedDict, total=False):
    """Options of SignXVideoProcessor; `from_pretrained` reads here which keywords override a saved option."""

    size: dict[str, int] | int
    fps: float | None
    max_frames: int | None
    resize_mode: str
    background: int
    interpolation: str
    do_normalize: bool
    rescale_factor: float
    image_mean: Sequence[float] | float
    image_std: Sequence[float] | float


class SignXVideoProcessorKwargs(SignXVideoProcessorInitKwargs, total=False):
    """Options of a call: those of the processor, for this call only, and those of transformers that say the same."""

    do_sample_frames: bool | None
    do_rescale: bool | None
    return_tensors: str | None
    return_metadata: bool | None


class SignXVideoProcessor(VideoProcessorBase):
    """Decode, sample, resize and normalize videos of signing.

    Args:
        size: {"height": pixels, "width": pixels} of the result, or one int for a square.
        fps: Frames per second of the result, sampled by timestamp; None keeps every source frame.
        max_frames: A longer video is thinned to this many frames at equal distances, with a SignXWarning; None keeps
            all.
        resize_mode: "pad" (letterbox: the signing space is kept), "crop" (center) or "stretch".
        background: Gray level 0..255 of the letterbox and behind transparent pixels.
        interpolation: "bilinear", "bicubic", "area", "lanczos" or "nearest".
        do_normalize: Subtract `image_mean` and divide by `image_std` after scaling.
        rescale_factor: Factor of the 0..255 pixels, applied first.
        image_mean: One number or one for each of R, G, B; the default 0.5 is that of the ViT-B/16 checkpoints.
        image_std: As `image_mean`.

    Raises:
        SignXVideoError: If an option is unknown (the message gives the nearest one) or out of range.
    """

    model_input_names = ["pixel_values_videos", "frame_mask"]
    valid_kwargs = SignXVideoProcessorInitKwargs

    def __init__(
        self,
        size: dict[str, int] | int | None = None,
        fps: float | None = 30.0,
        max_frames: int | None = None,
        resize_mode: str = "pad",
        background: int = 0,
        interpolation: str = "bilinear",
        do_normalize: bool = True,
        rescale_factor: float = 1 / 255,
        image_mean: Sequence[float] | float = (0.5, 0.5, 0.5),
        image_std: Sequence[float] | float = (0.5, 0.5, 0.5),
        **kwargs: Any,
    ):
        super().__init__()
        _check_keywords(kwargs)
        self.size = _read_size(size)
        self.fps = None if fps is None else check_model_rate(fps)
        self.max_frames = check_max_frames(max_frames)
        self.resize_mode = resize_mode
        self.background = background
        self.interpolation = interpolation
        self.do_normalize = do_normalize
        self.rescale_factor = _read_numbers("rescale_factor", rescale_factor, count=1)[0]
        self.image_mean = _read_numbers("image_mean", image_mean)
        self.image_std = _read_numbers("image_std", image_std)
        if not isinstance(do_normalize, bool):
            raise SignXVideoError(f"`do_normalize` must be True or False, got {do_normalize!r}.")
        if min(self.image_std) <= 0 or self.rescale_factor <= 0:
            raise SignXVideoError(
                f"`image_std` and `rescale_factor` must be above 0, got {image_std!r} and {rescale_factor!r}."
            )
        self.frame_geometry()  # checks the other options
        if kwargs.get("auto_map") is not None:
            self.auto_map = kwargs["auto_map"]

    @classmethod
    def from_dict(cls, video_processor_dict: dict[str, Any], **kwargs: Any) -> "SignXVideoProcessor":
        """Build a processor from its saved options.

        Args:
            video_processor_dict: Saved options.
            kwargs: Options that override them, and keywords of transformers.

        Raises:
            SignXVideoError: If an option is misspelled, which transformers would ignore, or out of range.
        """
        legal = list(SignXVideoProcessorInitKwargs.__annotations__)
        for name in kwargs:
            near = difflib.get_close_matches(name, legal, n=1, cutoff=0.75)
            if near and name not in legal:
                raise SignXVideoError(f"SignXVideoProcessor has no option {name!r}. Did you mean {near[0]!r}?")
        return super().from_dict(video_processor_dict, **kwargs)

    def frame_geometry(self) -> FrameGeometry:
        """Return how frames are resized."""
        return FrameGeometry(
            self.size["height"], self.size["width"], self.resize_mode, self.background, self.interpolation
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all options and the class name, ready for JSON. The base class's own options (crop_size, ...) are not
        used here.
        """
        output = {name: copy.deepcopy(getattr(self, name)) for name in SignXVideoProcessorInitKwargs.__annotations__}
        if getattr(self, "auto_map", None) is not None:
            output["auto_map"] = copy.deepcopy(self.auto_map)
        output["video_processor_type"] = type(self).__name__
        return output

    def __call__(
        self,
        videos: VideoInput | Sequence[VideoInput],
        source_fps: float | Sequence[float] | None = None,
        return_tensors: str = "pt",
        return_metadata: bool = False,
        **options: Unpack[SignXVideoProcessorKwargs],
    ) -> BatchFeature:
        """Process one video or a list of videos.

        Args:
            videos: One video or a list of them. A video is a path (file, or folder of png, jpg, bmp, webp images),
                bytes, a binary file object, an array or tensor (uint8 or float 0..1; [T, H, W, 1 | 3 | 4] or gray [T,
                H, W]; [T, 3, H, W] if the last size is not 1, 3 or 4) or a list of frames. A list whose items have 2
                or 3 dimensions (or are PIL images) is the frames of ONE video; a list of anything else is a batch.
            source_fps: Frames per second of arrays, lists and folders (one number, or one per video); files have their
                own. None: the target `fps`, so that each frame is kept (30 if that is None, too).
            return_tensors: "pt" or "np".
            return_metadata: Add `video_metadata`, one dictionary per video: source, fps (of the returned frames),
                source_fps, frames_decoded, frames, start (seconds, of the first frame), duration (seconds, from
                there), width, height, rotation, truncated, warnings.
            options: Options of the class, for this call only; also `do_sample_frames=False` for `fps=None` and
                `max_frames=None`, and `do_rescale=False` for `rescale_factor=1`.

        Returns:
            BatchFeature with pixel_values_videos float32 [B, T, 3, H, W], padded on the right with exact 0, and
            frame_mask bool [B, T], true for real frames.

        Raises:
            SignXFileNotFoundError: If a path does not exist.
            SignXVideoError: If the input is not a video, or an option is unknown or out of range.
        """
        if options:
            return self._with_options(options)(videos, source_fps, return_tensors, return_metadata)
        if return_tensors not in ("pt", "np"):
            raise SignXVideoError(f"`return_tensors` must be 'pt' or 'np', got {return_tensors!r}.")
        sources = self._open_batch(videos, source_fps)
        decoded = []
        for source in sources:  # not a comprehension: warnings then point at the caller's line on every Python
            decoded.append(decode_video(source, self.frame_geometry(), self.fps, self.max_frames))
        lengths = [len(video.frames) for video in decoded]
        shape = (len(decoded), max(lengths), 3, self.size["height"], self.size["width"])
        pixels, mask = np.zeros(shape, np.float32), np.zeros(shape[:2], bool)
        for row, video in enumerate(decoded):
            self.normalize_frames(video.frames, out=pixels[row, : lengths[row]])
            mask[row, : lengths[row]] = True
        data = {"pixel_values_videos": pixels, "frame_mask": mask}
        if return_tensors == "pt":
            data = {name: torch.from_numpy(value) for name, value in data.items()}
        if return_metadata:
            data["video_metadata"] = [video.metadata for video in decoded]
        return BatchFeature(data)

    def _with_options(self, options: Mapping[str, Any]) -> "SignXVideoProcessor":
        """Return a processor with these options of a call instead of its own."""
        # transformers passes None for what is not given; here None is a value of two options.
        changed = {name: value for name, value in options.items() if value is not None or name in NULLABLE}
        for name, meaning in CALL_OPTIONS.items():
            value = changed.pop(name, True)
            if not isinstance(value, bool):
                raise SignXVideoError(f"`{name}` must be True or False, got {value!r:.80}.")
            if not value:
                changed.update(meaning)
        return type(self)(**{**self.to_dict(), **changed})

    def preprocess(self, videos: VideoInput | Sequence[VideoInput], **kwargs: Any) -> BatchFeature:
        """Call the processor; transformers also uses this name."""
        return self(videos, **kwargs)

    def decode(self, video: VideoInput, source_fps: float | None = None) -> DecodedVideo:
        """Decode one video to uint8 frames [T, H, W, 3], sampled and resized but not normalized, with timestamps and
        metadata.

        Args:
            video: As for a call.
            source_fps: As for a call.
        """
        return decode_video(self._open(video, source_fps, "video"), self.frame_geometry(), self.fps, self.max_frames)

    def read_ahead(self, path: str | os.PathLike) -> VideoAhead | None:
        """Start to read a video file in a thread, and return what stands for it in a call; None if it is not read ahead.

        Args:
            path: Path of the file.
        """
        return start_decoding(path, self.frame_geometry(), self.fps, self.max_frames)

    def iter_frames(
        self, video: VideoInput, source_fps: float | None = None, ahead: bool = False
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (seconds, uint8 frame [H, W, 3]) of one video at `fps`, one at a time; `max_frames` does not apply.

        Args:
            video: As for a call.
            source_fps: As for a call.
            ahead: Whether a thread decodes and resizes ahead of the reader.
        """
        read = iter_video_ahead if ahead else iter_video
        return read(self._open(video, source_fps, "video"), self.frame_geometry(), self.fps)

    def _open(self, video: VideoInput, source_fps: float | None, name: str) -> VideoSource:
        if isinstance(video, VideoAhead):
            return video
        return open_video(video, self.fps if source_fps is None else source_fps, name)

    def _open_batch(
        self, videos: VideoInput | Sequence[VideoInput], source_fps: float | Sequence[float] | None
    ) -> list[VideoSource]:
        is_batch = isinstance(videos, (list, tuple)) and not (len(videos) and _is_frame(videos[0]))
        if not is_batch:
            videos = [videos]
        if not len(videos):
            raise SignXVideoError("`videos` must have at least one video, got an empty list.")
        rates = [source_fps] * len(videos)
        if isinstance(source_fps, (list, tuple, np.ndarray)):
            rates = list(source_fps)
        if len(rates) != len(videos):
            raise SignXVideoError(
                f"`source_fps` must be one number or one per video ({len(videos)}), got a list of {len(rates)}."
            )
        for index, video in enumerate(videos):
            if is_batch and _is_frame(video):
                raise SignXVideoError(
                    f"videos[{index}] must be a video [T, H, W, 3] like videos[0] (a gray one [T, H, W, 1]), got a frame "
                    f"of {len(np.shape(video)) or 2} dimensions."
                )
        return [self._open(video, rate, f"videos[{i}]") for i, (video, rate) in enumerate(zip(videos, rates))]

    def normalize_frames(self, frames: np.ndarray, out: np.ndarray) -> None:
        """Write normalized frames to `out`, with one multiplication and one addition per value.

        Args:
            frames: uint8 [T, H, W, 3].
            out: float32 [T, 3, H, W].
        """
        mean, std = np.array(self.image_mean), np.array(self.image_std)
        if not self.do_normalize:
            mean, std = np.zeros(3), np.ones(3)
        scale = (self.rescale_factor / std).astype(np.float32).reshape(1, 3, 1, 1)
        np.multiply(frames.transpose(0, 3, 1, 2), scale, out=out)
        out -= (mean / std).astype(np.float32).reshape(1, 3, 1, 1)

    def restore_frames(self, pixels: np.ndarray) -> np.ndarray:
        """Undo `normalize_frames`: float32 [T, 3, H, W] to uint8 [T, H, W, 3]."""
        mean, std = np.array(self.image_mean), np.array(self.image_std)
        if not self.do_normalize:
            mean, std = np.zeros(3), np.ones(3)
        shape = (1, 3, 1, 1)
        values = pixels * std.astype(np.float32).reshape(shape) + mean.astype(np.float32).reshape(shape)
        return (values / self.rescale_factor).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _is_frame(item: object) -> bool:
    """Return whether an item of a list is a frame (2 or 3 dimensions, or a PIL image) rather than a video."""
    if isinstance(item, (np.ndarray, torch.Tensor)):
        return item.ndim in (2, 3)
    return is_picture(item)


def _check_keywords(kwargs: Mapping[str, Any]) -> None:
    legal = list(SignXVideoProcessorInitKwargs.__annotations__)
    for name in kwargs:
        if name not in LIBRARY_KEYS:
            near = [OTHER_NAMES[name]] if name in OTHER_NAMES else difflib.get_close_matches(name, legal, cutoff=0.5)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Its options are {', '.join(legal)}."
            raise SignXVideoError(f"SignXVideoProcessor has no option {name!r}. {remedy}")


def _read_size(size: int | Mapping[str, int] | None) -> dict[str, int]:
    """Return `size` as {"height", "width"}; None is 224 x 224. SizeDict of transformers is read by key, too."""
    if size is None:
        return {"height": 224, "width": 224}
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        return {"height": int(size), "width": int(size)}
    try:
        read = {"height": size["height"], "width": size["width"]}
        extra = sorted(k for k, v in dict(size).items() if k not in read and v is not None)
    except (KeyError, TypeError, ValueError):
        read, extra = None, []
    if read is None or extra:
        raise SignXVideoError(
            f"`size` must be one integer or exactly {{'height': pixels, 'width': pixels}}, got {size!r}."
        )
    return read


def _read_numbers(name: str, value: float | Sequence[float], count: int = 3) -> list[float]:
    try:
        numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size == 1:
        numbers = np.repeat(numbers, count)
    if numbers.size != count or not np.isfinite(numbers).all():
        expected = "one finite number" + (f" or {count}" if count > 1 else "")
        raise SignXVideoError(f"`{name}` must be {expected}, got {value!r}.")
    return numbers.tolist()
