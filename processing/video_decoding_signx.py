"""From a file, bytes, arrays or a folder of images to resized RGB frames with time stamps.

Every kind of input becomes PyAV frames and passes the same `FrameRenderer`, so a file and the array of its frames give the same
pixels. A frame is resized as soon as it is decoded and only if it is wanted: full-size frames are never kept.
"""

import contextlib
import io
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from .errors_signx import SignXFileNotFoundError, SignXVideoError, SignXWarning
from .sampling_signx import FrameSampler, check_max_frames, check_rate, thin_instants

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
RESIZE_MODES = ("pad", "crop", "stretch")
INTERPOLATIONS = {
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
    "area": Interpolation.AREA,
    "lanczos": Interpolation.LANCZOS,
    "nearest": Interpolation.POINT,
}
# PyAV before 18 (17 is the last for Python 3.10) cannot round exactly: pixels differ a little, mostly in the colour planes.
EXACT_ROUNDING = getattr(Interpolation, "ACCURATE_RND", 0) | getattr(Interpolation, "BITEXACT", 0)
ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
FALLBACK_RATE = 30.0  # frames per second where neither the input nor the caller names a rate
UNTAGGED_COLORSPACES = (0, 2)  # AVCOL_SPC_RGB and AVCOL_SPC_UNSPECIFIED
# A stream that ends this much (seconds) before the length its header gives was cut.
MISSING_TAIL_SECONDS = 0.5
# A frame that stands for longer than this (seconds) is a fault in the time stamps; at a wanted rate it would be repeated without end.
MAX_GAP_SECONDS = 60.0
# Files cannot make FFmpeg open a network address: a playlist renamed .mp4 fails to open.
FILE_OPTIONS = {"protocol_whitelist": "file"}
STREAM_OPTIONS = {"protocol_whitelist": "none"}


@dataclass(frozen=True)
class DecodedVideo:
    """Frames of one video, sampled and resized.

    Attributes:
        frames: uint8 RGB [T, H, W, 3].
        timestamps: float64 [T], seconds since the first frame for which each frame stands.
        metadata: source, fps (of `frames`), source_fps, frames_decoded, frames, duration (seconds), width, height (of the source as
            shown, pixels), rotation (degrees clockwise that were applied), truncated, warnings.
    """

    frames: np.ndarray
    timestamps: np.ndarray
    metadata: dict[str, Any]


@dataclass(frozen=True)
class FrameGeometry:
    """How a frame is fitted into `height` x `width` pixels.

    Attributes:
        resize_mode: "pad" shows the whole frame on `background`, "crop" fills the size and cuts what juts out on both sides,
            "stretch" ignores the proportions.
        background: grey level 0..255 around a padded frame and behind transparent pixels.
        interpolation: one of INTERPOLATIONS; each but "nearest" averages over the source pixels when it makes a frame smaller.
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
                raise SignXVideoError(f"size has {name}={value!r}: wanted a positive whole number of pixels")
        for name, legal in (("resize_mode", RESIZE_MODES), ("interpolation", tuple(INTERPOLATIONS))):
            if getattr(self, name) not in legal:
                raise SignXVideoError(f"{name}={getattr(self, name)!r}: wanted one of {', '.join(legal)}")
        if isinstance(self.background, bool) or not isinstance(self.background, (int, np.integer)):
            raise SignXVideoError(f"background={self.background!r}: wanted a whole grey level from 0 to 255")
        if not 0 <= self.background <= 255:
            raise SignXVideoError(f"background={self.background}: wanted a whole grey level from 0 to 255")

    def inner_size(self, height: int, width: float) -> tuple[int, int]:
        """Height and width in pixels to which a frame of `height` x `width` is resized before padding or cropping."""
        if self.resize_mode == "stretch":
            return self.height, self.width
        pick = min if self.resize_mode == "pad" else max
        scale = pick(self.height / height, self.width / width)
        inner = max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5))
        return tuple(pick(a, b) for a, b in zip(inner, (self.height, self.width)))

    def place(self, image: np.ndarray) -> np.ndarray:
        """A resized uint8 frame [h, w, 3] centred on, or cut to, [height, width, 3]."""
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
    """What a display matrix asks for: transpose, then flip the rows, then the columns. `degrees` is the clockwise rotation."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    degrees: int = 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """`image` [h, w, 3] as a player shows it."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        return np.ascontiguousarray(image[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])


def read_orientation(frame: av.VideoFrame) -> Orientation:
    """Quarter turns and mirroring of a frame's display matrix (ISO/IEC 14496-12, 6.2.2: x' = a x + c y, y' = b x + d y).

    `frame.rotation` is not used: it reads a mirrored picture as one that stands on its head. To be called for one frame of a stream
    and no more: touching `side_data` ties the frame into a reference cycle, so full-size frames pile up until the next collection.
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
    """A decoded frame and how it is meant to be shown. `pixel_aspect`: width of a pixel over its height."""

    frame: av.VideoFrame
    orientation: Orientation = Orientation()
    pixel_aspect: float = 1.0


class FrameRenderer:
    """PyAV frames to uint8 RGB [H, W, 3] of one geometry (None: the frame's own size).

    Colours: the matrix that the stream names, BT.601 where it names none (what FFmpeg does); full-range RGB; transparent pixels over
    the background grey. One scaler is kept between frames, in one thread and with exact rounding: twice as fast as
    `VideoFrame.reformat` here, and independent of the processor's instruction set. Frames at their own size, which models of other
    programs read, are converted as OpenCV does it, to the same bytes and in an eighth of the time (1280 x 720: 0.3 ms).
    """

    def __init__(self, geometry: FrameGeometry | None):
        self._geometry = geometry
        self._background = 0 if geometry is None else geometry.background
        kernel = INTERPOLATIONS["bilinear" if geometry is None else geometry.interpolation]
        self._kernel = kernel | EXACT_ROUNDING if EXACT_ROUNDING else kernel
        self._scaler, self._alpha_scaler = VideoReformatter(), VideoReformatter()
        self._last: tuple[SourceFrame, np.ndarray] | None = None

    def __call__(self, source: SourceFrame) -> np.ndarray:
        """The rendered frame; the same array again for the same object."""
        if self._last is None or self._last[0] is not source:
            try:
                self._last = (source, self._render(*source))
            except (av.error.FFmpegError, ValueError) as error:
                frame = source.frame
                raise SignXVideoError(
                    f"frames of {frame.width}x{frame.height} in pixel format {frame.format.name} cannot be converted to RGB"
                    f" ({error}); re-encode the video as yuv420p"
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
        """The frame over the background. Before resizing, or hidden colours would bleed into the visible edge."""
        rgba = (
            self._reformat(self._alpha_scaler, frame, "rgba", frame.width, frame.height).to_ndarray().astype(np.uint16)
        )
        alpha = rgba[..., 3:]
        flat = (rgba[..., :3] * alpha + self._background * (255 - alpha) + 127) // 255
        return av.VideoFrame.from_ndarray(flat.astype(np.uint8), format="rgb24")


@dataclass
class ReadingReport:
    """What was learned while a source was read once. Times in seconds since the first frame."""

    frames_decoded: int = 0
    last: float = 0.0
    period: float = 1 / FALLBACK_RATE
    width: int = 0
    height: int = 0
    rotation: int = 0
    truncated: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def duration(self) -> float:
        return self.last + self.period

    @property
    def fps(self) -> float:
        """Measured mean rate; of a single frame the rate that its stream declares."""
        return (self.frames_decoded - 1) / self.last if self.last > 0 else 1 / self.period

    def saw(self, source: SourceFrame, timestamp: float) -> None:
        """Count a decoded frame."""
        if self.frames_decoded == 0:
            size = (source.frame.width, source.frame.height)
            self.width, self.height = size[::-1] if source.orientation.transpose else size
            self.rotation = source.orientation.degrees
        self.frames_decoded += 1
        self.last = timestamp


class FileSource:
    """A video file, its bytes or a seekable binary file object."""

    def __init__(self, origin: Path | Any, name: str, is_image: bool = False):
        self._origin = origin
        self._is_image = is_image
        self.name = name

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first frame, frame) and fill `report`; closes the container whatever happens."""
        with self._open() as container:
            videos = [stream for stream in container.streams.video if not _is_cover_picture(stream)]
            if not videos:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream"
                raise SignXVideoError(f"{self.name}: no video stream (found {kinds}); give a file that holds pictures")
            stream = videos[0]
            stream.thread_type = "AUTO"
            clock = _StreamClock(stream, report)
            aspect, orientation = _pixel_aspect(stream), None
            for frame in self._decode(container, stream, report):
                if orientation is None:
                    # Of thousands of images each is a first frame: there the matrix is read only where one shows in the angle.
                    is_plain = self._is_image and not frame.rotation
                    orientation = Orientation() if is_plain else read_orientation(frame)
                timestamp = clock.read(frame)
                source = SourceFrame(frame, orientation, aspect)
                report.saw(source, timestamp)
                yield timestamp, source
            if report.frames_decoded == 0:
                reason = report.warnings[-1] if report.warnings else "the video stream is empty"
                raise SignXVideoError(
                    f"{self.name}: no frame could be decoded ({reason}); re-encode the video or copy it again"
                )
            clock.finish()
            missing = 0.0 if report.truncated else _declared_seconds(container, stream) - report.duration
            if missing > MISSING_TAIL_SECONDS:
                _note_damage(report, f"the file declares {missing:.2f} s more than it holds")

    def header(self) -> tuple[float | None, float]:
        """Return the frames per second and the seconds that the file declares, None and 0 where it does not, or cannot be opened."""
        with contextlib.suppress(SignXVideoError), self._open() as container:
            videos = [stream for stream in container.streams.video if not _is_cover_picture(stream)]
            if videos and not self._is_image:
                rate = videos[0].average_rate or videos[0].guessed_rate
                return (float(rate) if rate else None), _declared_seconds(container, videos[0])
        return None, 0.0

    def _open(self) -> av.container.InputContainer:
        is_path = isinstance(self._origin, Path)
        if not is_path:
            self._origin.seek(0)
        try:
            # "file:" keeps a name such as "concat:a.mp4" from being read as a protocol.
            target = f"file:{self._origin}" if is_path else self._origin
            return av.open(target, options=dict(FILE_OPTIONS if is_path else STREAM_OPTIONS))
        except (av.error.FFmpegError, OSError) as error:
            raise SignXVideoError(
                f"{self.name}: cannot be opened as a video ({_reason(error)}); {self._hint()}"
            ) from error

    def _hint(self) -> str:
        head = self._head()
        if head[4:8] == b"ftyp":
            return "it begins like an MP4 file but its index is missing or damaged, as after an interrupted copy: copy it again"
        return f"it begins with {head[:12]!r}: wanted MP4, WebM, MKV, AVI, GIF or another format that FFmpeg reads"

    def _head(self) -> bytes:
        try:
            if isinstance(self._origin, Path):
                with self._origin.open("rb") as file:
                    return file.read(16)
            self._origin.seek(0)
            return self._origin.read(16)
        except OSError:
            return b""

    def _decode(self, container: Any, stream: Any, report: ReadingReport) -> Iterator[av.VideoFrame]:
        """Frames in order of presentation. A damaged packet is skipped; where reading fails, what was read so far is kept."""
        packets = container.demux(stream)
        damaged, reason = 0, ""
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                _note_damage(report, f"reading stopped early: {_reason(error)}")
                packet = None
            is_end = packet is None
            try:
                # None flushes the decoder, which holds frames back; after a regular end it is already empty.
                frames = (stream.codec_context.decode(None) if report.truncated else []) if is_end else packet.decode()
            except av.error.EOFError:
                frames = []
            except av.error.FFmpegError as error:
                damaged += 1
                frames, reason = [], _reason(error)
            for frame in frames:
                damaged += bool(frame.is_corrupt)
                yield frame
            if is_end:
                break
        if damaged:
            _note_damage(report, f"{damaged} damaged packets or frames" + (f" ({reason})" if reason else ""))


class _StreamClock:
    """Seconds since the first frame, from presentation time stamps; from the declared rate where a stamp is absent or runs backwards."""

    def __init__(self, stream: Any, report: ReadingReport):
        rate = stream.average_rate or stream.guessed_rate
        self._period = float(1 / rate) if rate else 1 / FALLBACK_RATE
        self._time_base = stream.time_base
        self._report = report
        self._first: float | None = None
        self._last: float | None = None
        self._last_shown: float | None = None
        self._absent = self._backwards = 0

    def read(self, frame: av.VideoFrame) -> float:
        base = frame.time_base or self._time_base  # frames flushed from the decoder bring none
        stamp = None if frame.pts is None or base is None else float(frame.pts * base)
        shown = float(frame.duration * base) if frame.duration and base else None
        self._last_shown = shown
        if self._last is None:
            self._first = 0.0 if stamp is None else stamp
            self._absent += stamp is None
            self._last = 0.0
            return 0.0
        if stamp is None:
            self._absent += 1
        elif stamp - self._first < self._last:
            self._backwards += 1
        else:
            self._last = stamp - self._first
            return self._last
        self._last += self._period
        return self._last

    def finish(self) -> None:
        """Write the length of the last frame and the faults that were met into the report."""
        self._report.period = self._last_shown or self._period
        rate = f"{1 / self._period:g} fps"
        if self._absent:
            self._report.warnings.append(f"{self._absent} frames carry no time stamp: placed at the declared {rate}")
        if self._backwards:
            self._report.warnings.append(f"{self._backwards} time stamps run backwards: placed at the declared {rate}")


def _is_cover_picture(stream: Any) -> bool:
    # A Flag in PyAV 17, which int() refuses, and an IntFlag since.
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _pixel_aspect(stream: Any) -> float:
    """Width of a pixel over its height. Encoders round it (2559/2560 is common), so less than one per cent means square."""
    ratio = stream.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    return 1.0 if abs(aspect - 1.0) < 0.01 or aspect <= 0 else aspect


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        # Matroska counts from 0 and not from the first frame.
        return (container.duration - max(0, container.start_time or 0)) / av.time_base
    return 0.0


def _note_damage(report: ReadingReport, message: str) -> None:
    report.truncated = True
    report.warnings.append(message)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class ArraySource:
    """Frames in memory: uint8 or float [0, 1] arrays [H, W] grey or [H, W, 1 | 3 | 4], one size."""

    def __init__(self, frames: Sequence[np.ndarray], name: str, fps: float):
        self._frames = frames
        self.name = name
        self._fps = fps

    def header(self) -> tuple[float, float]:
        """Return frames per second, and seconds."""
        return self._fps, len(self._frames) / self._fps

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first frame, frame) and fill `report`."""
        report.period = 1 / self._fps
        for index, array in enumerate(self._frames):
            source = SourceFrame(frame_from_array(array))
            report.saw(source, index / self._fps)
            yield index / self._fps, source


def frame_from_array(array: np.ndarray) -> av.VideoFrame:
    if array.dtype != np.uint8:
        array = np.rint(np.asarray(array, np.float32) * 255).astype(np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgba" if array.shape[2] == 4 else "rgb24")


class FolderSource:
    """A folder of frame images in natural order (frame2 before frame10); hidden files and other types are passed over."""

    def __init__(self, folder: Path, fps: float):
        self.name = str(folder)
        self._fps = fps
        images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
        self._images = sorted((p for p in images if p.is_file()), key=_natural_key)
        if not self._images:
            raise SignXVideoError(
                f"{folder}: a folder without a frame image; wanted files that end in {', '.join(IMAGE_SUFFIXES)}"
            )

    def header(self) -> tuple[float, float]:
        """Return frames per second, and seconds."""
        return self._fps, len(self._images) / self._fps

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first image, frame) and fill `report`. A broken image leaves a gap, not a shift in time."""
        report.period = 1 / self._fps
        first = None
        for index, path in enumerate(self._images):
            try:
                with contextlib.closing(FileSource(path, str(path), is_image=True).read(ReadingReport())) as frames:
                    _, source = next(frames)
            except SignXVideoError:
                _note_damage(report, f"image {path.name} cannot be decoded: left out")
                continue
            size = (source.frame.width, source.frame.height)
            first = first or (path.name, size)
            if size != first[1]:
                raise SignXVideoError(
                    f"{self.name}: {path.name} is {size[0]}x{size[1]} but {first[0]} is {first[1][0]}x{first[1][1]};"
                    " wanted frames of one size: resize them or use one folder for each video"
                )
            report.saw(source, index / self._fps)
            yield index / self._fps, source
        if report.frames_decoded == 0:
            raise SignXVideoError(
                f"{self.name}: none of {len(self._images)} images can be decoded; write them again as PNG or JPEG"
            )


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], path.name


VideoSource = FileSource | ArraySource | FolderSource


def open_video(video: Any, source_fps: float | None = None, name: str = "video") -> VideoSource:
    """What `video` is, checked, ready to be read one or several times.

    Args:
        video: path (file or folder of images), bytes, binary file object, array or tensor ([T, H, W, 1 | 3 | 4] or grey [T, H, W];
            [T, 3, H, W] where the last size is none of 1, 3, 4), or a list of frames of one size ([H, W], [H, W, C] or PIL images).
        source_fps: frames per second of arrays, lists and folders; files carry their own. None: 30.
        name: what errors call a video that has no path.

    Raises:
        SignXFileNotFoundError: the path does not exist.
        SignXVideoError: the input is no video; the message names the remedy.
    """
    fps = FALLBACK_RATE if source_fps is None else check_rate(source_fps, "source_fps")
    if isinstance(video, (str, os.PathLike)):
        return _open_path(video, fps)
    if isinstance(video, (bytes, bytearray, memoryview)):
        if not len(video):
            raise SignXVideoError(f"{name}: 0 bytes; wanted the content of a video file")
        return FileSource(io.BytesIO(bytes(video)), f"{name} (bytes)")
    if hasattr(video, "read"):
        return _open_stream(video, name)
    if isinstance(video, (list, tuple)):
        return _open_frames(video, fps, name)
    if isinstance(video, (np.ndarray, torch.Tensor)):
        return _open_array(video, fps, name)
    if is_picture(video):
        raise SignXVideoError(f"{name}: one PIL image; give the frames of a video as a list: [image]")
    raise SignXVideoError(
        f"{name}: found {type(video).__name__}; wanted a path, bytes, a binary file, an array [T, H, W, 3] or a list of frames"
    )


def _open_path(path: Any, fps: float) -> VideoSource:
    text = os.fspath(path)
    text = os.fsdecode(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise SignXVideoError(
            f"{text}: a web address; nothing is downloaded unasked: download it and give the path of the file"
        )
    if not text.strip():
        raise SignXVideoError(f"{text!r}: an empty path; wanted a video file or a folder of frame images")
    path = Path(text)
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise SignXFileNotFoundError(
            f"{text}: no such file or folder; wanted a video file or a folder of frame images"
        )
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise SignXVideoError(
            f"{text}: no permission to read it; wanted a readable file; change its mode or its owner"
        )
    if path.is_dir():
        return FolderSource(path, fps)
    if not path.is_file():
        raise SignXVideoError(
            f"{text}: neither a regular file nor a folder (a pipe or device); copy its content to a file first"
        )
    if path.stat().st_size == 0:
        raise SignXVideoError(f"{text}: an empty file (0 bytes); copy or download it again")
    return FileSource(path, text)


def _open_stream(stream: Any, name: str) -> FileSource:
    label = getattr(stream, "name", None)
    label = label if isinstance(label, str) else f"{name} (file object)"
    if isinstance(stream, io.TextIOBase):
        raise SignXVideoError(f"{label}: a file opened as text; open it with mode 'rb'")
    if getattr(stream, "closed", False):
        raise SignXVideoError(f"{label}: a closed file; wanted one that is open with mode 'rb'")
    if not (hasattr(stream, "seekable") and stream.seekable()):
        stream = io.BytesIO(stream.read())
    if stream.seek(0, io.SEEK_END) == 0:
        raise SignXVideoError(f"{label}: 0 bytes; wanted the content of a video file")
    return FileSource(stream, label)


def _open_array(video: Any, fps: float, name: str) -> ArraySource:
    array = _to_numpy(video)
    shape, label = tuple(array.shape), f"{name} (array {list(array.shape)})"
    if array.ndim not in (3, 4):
        raise SignXVideoError(f"{label}: wanted [T, H, W, 3] or grey [T, H, W]")
    if 0 in shape:
        raise SignXVideoError(f"{label}: no frame or frames without a pixel; wanted every size to be at least 1")
    if array.ndim == 3 and shape[2] in (1, 3, 4):
        raise SignXVideoError(
            f"{label}: one frame [H, W, {shape[2]}] or {shape[0]} grey frames of width {shape[2]}? Give one frame as array[None],"
            " grey frames as array[..., None]"
        )
    if array.ndim == 4:
        array = _channels_last(array, label)
    _check_values(array, label)
    return ArraySource(array, label, fps)


def _channels_last(array: np.ndarray, label: str) -> np.ndarray:
    channels_first, channels_last = array.shape[-3] == 3, array.shape[-1] in (1, 3, 4)
    if channels_first and channels_last:
        raise SignXVideoError(
            f"{label}: [T, H, W, C] of height 3 or [T, C, H, W] of width {array.shape[-1]}? Both fit; permute it to [T, H, W, C]"
            " and pad the height to 4 or more"
        )
    if channels_last:
        return array
    if channels_first:
        return np.moveaxis(array, -3, -1)
    raise SignXVideoError(f"{label}: no axis of channels; wanted [T, H, W, C] with C of 1, 3 or 4, or [T, 3, H, W]")


def is_picture(value: Any) -> bool:
    """Whether `value` is a PIL image, told by its interface so that Pillow need not be installed."""
    return all(hasattr(value, name) for name in ("mode", "info", "convert", "__array_interface__"))


def _to_numpy(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if is_picture(value) and value.mode not in ("L", "RGB", "RGBA"):
        # A palette image gives its indices as an array: they would pass for grey levels.
        has_alpha = "A" in value.mode or "a" in value.mode or "transparency" in value.info
        value = value.convert("RGBA" if has_alpha else "RGB")
    return np.asarray(value)


def _check_values(array: np.ndarray, label: str) -> None:
    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.floating):
        raise SignXVideoError(
            f"{label}: {array.dtype} values; wanted uint8, or float from 0 to 1: convert with astype(numpy.uint8)"
        )
    low, high = float(array.min()), float(array.max())  # NaN passes through both
    if not (low >= 0.0 and high <= 1.0):
        raise SignXVideoError(
            f"{label}: float values from {low:g} to {high:g}; wanted 0 to 1 without NaN: divide by 255 or undo the normalisation"
        )


def _open_frames(frames: Sequence[Any], fps: float, name: str) -> ArraySource:
    if not frames:
        raise SignXVideoError(f"{name}: an empty list; wanted at least one frame")
    arrays = []
    for index, item in enumerate(frames):
        array = _to_numpy(item)
        label = f"{name}, frame {index} (array {list(array.shape)})"
        if array.ndim not in (2, 3):
            raise SignXVideoError(
                f"{label}: wanted frames [H, W] or [H, W, 3] in a list; a video of its own is [T, H, W, 3]"
            )
        if 0 in array.shape:
            raise SignXVideoError(f"{label}: a frame without a pixel; wanted every size to be at least 1")
        array = array if array.ndim == 2 else _channels_last(array, label)
        _check_values(array, label)
        if array.shape != (arrays or [array])[0].shape:
            raise SignXVideoError(
                f"{label}: frame 0 is {list(arrays[0].shape)}; wanted frames of one size and one number of channels: resize them"
            )
        arrays.append(array)
    return ArraySource(arrays, f"{name} (list of {len(arrays)} frames)", fps)


def iter_video(
    source: VideoSource,
    geometry: FrameGeometry | None,
    fps: float | None,
    renderer: Callable[[SourceFrame], np.ndarray] | None = None,
    report: ReadingReport | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds since the first frame, uint8 RGB [H, W, 3]) at `fps` (None: every frame) with bounded memory.

    A damaged source ends early with a SignXWarning. Each frame is the caller's own. `geometry` None keeps the source's size.
    renderer: in place of a FrameRenderer of that geometry. report: filled while reading.
    """
    report, renderer = report or ReadingReport(), renderer or FrameRenderer(geometry)
    sampler = FrameSampler(fps)
    previous = None
    with contextlib.closing(_read_paced(source, report, fps)) as frames:
        for timestamp, frame in frames:
            for instant, chosen in sampler.push(timestamp, frame):
                image = renderer(chosen)
                yield instant, image.copy() if image is previous else image
                previous = image
    for instant, chosen in sampler.finish():
        yield instant, renderer(chosen).copy()
    _warn(source.name, report.warnings)


def _read_paced(source: VideoSource, report: ReadingReport, fps: float | None) -> Iterator[tuple[float, SourceFrame]]:
    """`source.read`, refusing a jump in time that sampling at `fps` would fill with copies of one frame."""
    last = 0.0
    with contextlib.closing(source.read(report)) as frames:
        for timestamp, frame in frames:
            if fps is not None and timestamp - last > MAX_GAP_SECONDS:
                raise SignXVideoError(
                    f"{source.name}: frame {report.frames_decoded - 1} comes {timestamp - last:g} s after the one before it; wanted"
                    f" at most {MAX_GAP_SECONDS:g} s; correct source_fps, or re-encode the video"
                )
            last = timestamp
            yield timestamp, frame


def decode_video(
    source: VideoSource, geometry: FrameGeometry | None, fps: float | None, max_frames: int | None
) -> DecodedVideo:
    """Decode, sample and resize one video; see `DecodedVideo` for what comes back.

    A damaged source gives the frames that decode, metadata["truncated"] = True and a SignXWarning. More than `max_frames` sampled
    frames are thinned to that number at equal distances in time, with a SignXWarning; the source is then read a second time, so that
    no more than `max_frames` are ever held.
    """
    max_frames = check_max_frames(max_frames)
    instants, frames, report = _collect(source, geometry, FrameSampler(fps), max_frames, fps)
    out_fps = fps or report.fps
    if max_frames is not None and len(instants) > max_frames:
        wanted = thin_instants(instants, max_frames)
        count = len(instants)
        instants, frames, report = _collect(source, geometry, FrameSampler(instants=wanted), max_frames)
        out_fps = (max_frames - 1) / (instants[-1] - instants[0]) if max_frames > 1 else 1 / report.duration
        report.warnings.append(
            f"{count} frames exceed max_frames={max_frames}: kept {max_frames} at equal distances ({out_fps:g} fps);"
            " raise max_frames or cut the video to keep its rate"
        )
    _warn(source.name, report.warnings)
    metadata = {
        "source": source.name,
        "fps": float(out_fps),
        "source_fps": float(report.fps),
        "frames_decoded": report.frames_decoded,
        "frames": len(frames),
        "duration": float(report.duration),
        "width": report.width,
        "height": report.height,
        "rotation": report.rotation,
        "truncated": report.truncated,
        "warnings": list(report.warnings),
    }
    return DecodedVideo(np.stack(frames), np.asarray(instants, np.float64), metadata)


def _collect(
    source: VideoSource,
    geometry: FrameGeometry | None,
    sampler: FrameSampler,
    max_frames: int | None,
    fps: float | None = None,
) -> tuple[list[float], list[np.ndarray], ReadingReport]:
    """Instants and rendered frames; once there are more than `max_frames`, instants alone."""
    report, renderer = ReadingReport(), FrameRenderer(geometry)
    instants, frames = [], []

    def take(pairs: list[tuple[float, SourceFrame]]) -> None:
        for instant, frame in pairs:
            instants.append(instant)
            if max_frames is None or len(instants) <= max_frames:
                frames.append(renderer(frame))
            else:
                frames.clear()

    with contextlib.closing(_read_paced(source, report, fps)) as stream:
        for timestamp, frame in stream:
            take(sampler.push(timestamp, frame))
    take(sampler.finish())
    sizes = {image.shape for image in frames}
    if len(sizes) > 1:
        raise SignXVideoError(f"{source.name}: the frame size changes within the video; give a size to resize to")
    return instants, frames, report


def _warn(name: str, messages: list[str]) -> None:
    for message in messages:
        warnings.warn(f"{name}: {message}", SignXWarning, stacklevel=4)
