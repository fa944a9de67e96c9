"""Render decoded frames: orientation, pixel aspect, resizing and conversion to RGB.

Every input becomes PyAV frames and passes the same `FrameRenderer`, so a file and the array of its frames give the
same pixels.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from .errors_signx import SignXVideoError
from .memory_signx import check_picture

RESIZE_MODES = ("pad", "crop", "stretch")
INTERPOLATIONS = {
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
    "area": Interpolation.AREA,
    "lanczos": Interpolation.LANCZOS,
    "nearest": Interpolation.POINT,
}
# PyAV before 18 (17 is the last for Python 3.10) cannot round exactly: pixels differ slightly, mostly in the chroma
# planes.
EXACT_ROUNDING = getattr(Interpolation, "ACCURATE_RND", 0) | getattr(Interpolation, "BITEXACT", 0)
ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
ROWS_AT_ONCE = 64
UNTAGGED_COLORSPACES = (0, 2)  # AVCOL_SPC_RGB and AVCOL_SPC_UNSPECIFIED


@dataclass(frozen=True)
class FrameGeometry:
    """Geometry that fits a frame into `height` x `width` pixels.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        resize_mode: "pad" shows the full frame on `background`, "crop" fills the size and cuts off what exceeds it on
            both sides, "stretch" ignores the aspect ratio.
        background: Gray level 0..255 around a padded frame and behind transparent pixels.
        interpolation: One of INTERPOLATIONS; all but "nearest" average over the source pixels when scaling down.
    """

    height: int
    width: int
    resize_mode: str = "pad"
    background: int = 0
    interpolation: str = "bilinear"

    def __post_init__(self):
        for name in ("height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise SignXVideoError(f"`size` must have a positive integer number of pixels, got {name}={value!r}.")
        for name, legal in (("resize_mode", RESIZE_MODES), ("interpolation", tuple(INTERPOLATIONS))):
            if getattr(self, name) not in legal:
                raise SignXVideoError(f"`{name}` must be one of {', '.join(legal)}, got {getattr(self, name)!r}.")
        if isinstance(self.background, bool) or not isinstance(self.background, (int, np.integer)):
            raise SignXVideoError(
                f"`background` must be an integer gray level from 0 to 255, got {self.background!r}."
            )
        if not 0 <= self.background <= 255:
            raise SignXVideoError(f"`background` must be an integer gray level from 0 to 255, got {self.background}.")

    def inner_size(self, height: int, width: float) -> tuple[int, int]:
        """Return the height and width in pixels to which a frame of `height` x `width` is resized before padding or
        cropping.
        """
        if self.resize_mode == "stretch":
            return self.height, self.width
        pick = min if self.resize_mode == "pad" else max
        scale = pick(self.height / height, self.width / width)
        inner = max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5))
        return tuple(pick(a, b) for a, b in zip(inner, (self.height, self.width)))

    def place(self, image: np.ndarray) -> np.ndarray:
        """Return a resized uint8 frame [h, w, 3] centered on, or cut to, [height, width, 3]."""
        height, width = image.shape[:2]
        if (height, width) == (self.height, self.width):
            return image
        if self.resize_mode == "crop":
            top, left = (height - self.height) // 2, (width - self.width) // 2
            return np.ascontiguousarray(image[top : top + self.height, left : left + self.width])
        canvas = np.full((self.height, self.width, 3), self.background, np.uint8)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        canvas[top : top + height, left : left + width] = image
        return canvas


@dataclass(frozen=True)
class Orientation:
    """Orientation from a display matrix: transpose, then flip the rows, then the columns. `degrees` is the clockwise
    rotation.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    degrees: int = 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return an image [h, w, 3] as a player shows it."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        return np.ascontiguousarray(image[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])


def read_orientation(frame: av.VideoFrame) -> Orientation:
    """Return the rotation and mirroring of a frame's display matrix (ISO/IEC 14496-12, 6.2.2: x' = a x + c y, y' = b x
    + d y).

    `frame.rotation` is not used: it reads a mirrored frame as an upside-down one. Call this for only one frame of a
    stream: accessing `side_data` ties the frame into a reference cycle, so full-size frames pile up until the next
    garbage collection.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].astype(int)
    transpose = abs(b) + abs(c) > abs(a) + abs(d)
    flip_columns, flip_rows = (c < 0, b < 0) if transpose else (a < 0, d < 0)
    if transpose:
        degrees = 90 if b > 0 else 270
    else:
        degrees = 180 if d < 0 else 0
    return Orientation(bool(transpose), bool(flip_rows), bool(flip_columns), degrees)


class SourceFrame(NamedTuple):
    """Decoded frame and how it is displayed. `pixel_aspect` is the width of a pixel over its height."""

    frame: av.VideoFrame
    orientation: Orientation = Orientation()
    pixel_aspect: float = 1.0


class FrameRenderer:
    """Render PyAV frames to uint8 RGB [H, W, 3] of one geometry (None: the frame's own size).

    Colors use the matrix that the stream names, BT.601 if it names none (as FFmpeg does); RGB is full-range;
    transparent pixels show the background gray. One scaler is kept between frames, single-threaded and with exact
    rounding: twice as fast as `VideoFrame.reformat` here, and independent of the processor's instruction set. Frames
    at their own size, which models of other programs read, are converted as by OpenCV, to the same bytes in an eighth
    of the time (1280 x 720: 0.3 ms).
    """

    def __init__(self, geometry: FrameGeometry | None):
        self._geometry = geometry
        self._background = 0 if geometry is None else geometry.background
        kernel = INTERPOLATIONS["bilinear" if geometry is None else geometry.interpolation]
        self._kernel = kernel | EXACT_ROUNDING if EXACT_ROUNDING else kernel
        self._scaler, self._alpha_scaler = VideoReformatter(), VideoReformatter()
        self._last: tuple[SourceFrame, np.ndarray] | None = None

    def __call__(self, source: SourceFrame) -> np.ndarray:
        """Return the rendered frame; for the same object the same array."""
        if self._last is None or self._last[0] is not source:
            try:
                self._last = (source, self._render(*source))
            except (av.error.FFmpegError, ValueError) as error:
                frame = source.frame
                raise SignXVideoError(
                    f"frames of {frame.width}x{frame.height} in pixel format {frame.format.name} cannot be converted to "
                    f"RGB ({error}). Re-encode the video as yuv420p."
                ) from error
        return self._last[1]

    def _render(self, frame: av.VideoFrame, orientation: Orientation, pixel_aspect: float) -> np.ndarray:
        height, width = frame.height, frame.width
        if self._geometry is not None:
            shown = (height, width * pixel_aspect)
            inner = self._geometry.inner_size(*(shown[::-1] if orientation.transpose else shown))
            height, width = inner[::-1] if orientation.transpose else inner
        if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
            frame = self._flatten(frame)
        if self._geometry is None:
            return orientation.apply(frame.to_ndarray(format="rgb24"))
        scaled = self._reformat(self._scaler, frame, "rgb24", width, height)
        return self._geometry.place(orientation.apply(scaled.to_ndarray()))

    def _reformat(
        self, scaler: VideoReformatter, frame: av.VideoFrame, pixel_format: str, width: int, height: int
    ) -> av.VideoFrame:
        colorspace = Colorspace.ITU601 if frame.colorspace in UNTAGGED_COLORSPACES else None
        return scaler.reformat(
            frame,
            width=width,
            height=height,
            format=pixel_format,
            src_colorspace=colorspace,
            interpolation=self._kernel,
            **ONE_THREAD,
        )

    def _flatten(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Draw the frame over the background, before resizing: otherwise hidden colors would bleed into the visible
        edge.
        """
        rgba = _plane(self._reformat(self._alpha_scaler, frame, "rgba", frame.width, frame.height), 4)
        flat = av.VideoFrame(frame.width, frame.height, "rgb24")
        rows = _plane(flat, 3)
        for top in range(0, frame.height, ROWS_AT_ONCE):  # at once, 16-bit copies take five times the picture
            part = rgba[top : top + ROWS_AT_ONCE].astype(np.uint16)
            alpha = part[..., 3:]
            rows[top : top + ROWS_AT_ONCE] = (part[..., :3] * alpha + self._background * (255 - alpha) + 127) // 255
        return flat


def _plane(frame: av.VideoFrame, channels: int) -> np.ndarray:
    """Return the pixels [H, W, channels] of a packed frame, without a copy."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels)


def frame_from_array(array: np.ndarray) -> av.VideoFrame:
    """Build a PyAV frame from an array [H, W] or [H, W, 1 | 3 | 4], uint8 or float from 0 to 1.

    Raises:
        SignXSizeError: If it has too many pixels.
    """
    check_picture(array.shape[1], array.shape[0], f"array {list(array.shape)}")
    if array.dtype != np.uint8:
        array = np.rint(np.asarray(array, np.float32) * 255).astype(np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgba" if array.shape[2] == 4 else "rgb24")
