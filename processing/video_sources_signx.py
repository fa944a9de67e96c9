"""Read frames with timestamps from video files, arrays and folders of images."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from .errors_signx import SignXVideoError
from .frame_rendering_signx import Orientation, SourceFrame, frame_from_array, read_orientation
from .memory_signx import MAX_PIXELS, SignXSizeError, check_picture
from .video_timing_signx import ReadingReport, StreamClock, container_start, declared_seconds

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
# A stream that ends this much (seconds) before the duration in its header is truncated.
MISSING_TAIL_SECONDS = 0.5
# Formats of media files by the names of FFmpeg's demuxers. Playlists and session descriptions (hls, concat, dash, sdp),
# which name other files or addresses, are not among them, whatever the name of their file.
FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "gif", "ogg", "mxf", "ivf", "nut", "rm", "dv",
    "h264", "hevc", "m4v", "av1", "obu", "mjpeg", "yuv4mpegpipe", "apng", "image2", "png_pipe", "jpeg_pipe", "bmp_pipe",
    "webp", "webp_pipe", "tiff_pipe", "wtv",
)  # fmt: skip
# `max_pixels` also holds while FFmpeg probes a file, which decodes pictures; `pattern_type` reads `a%03d.jpg` as a name.
COMMON_OPTIONS = {"format_whitelist": ",".join(FORMATS), "max_pixels": str(MAX_PIXELS), "pattern_type": "none"}
# Prevents files from making FFmpeg open a network address.
FILE_OPTIONS = {"protocol_whitelist": "file", **COMMON_OPTIONS}
STREAM_OPTIONS = {"protocol_whitelist": "none", **COMMON_OPTIONS}
PNG = b"\x89PNG\r\n\x1a\n"


class FileSource:
    """Video file, its bytes, or a seekable binary file object."""

    def __init__(self, origin: Path | BinaryIO, name: str, is_image: bool = False):
        self._origin = origin
        self._is_image = is_image
        self.name = name

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first frame, frame) and fill `report`; the container is always closed."""
        with self._open() as container:
            videos = [stream for stream in container.streams.video if not _is_cover_picture(stream)]
            if not videos:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream"
                raise SignXVideoError(
                    f"{self.name}: the file has no video stream (it has {kinds}). Pass a video file."
                )
            stream = videos[0]
            self._check_size(stream)
            stream.thread_type = "AUTO"
            clock = StreamClock(stream, report, container_start(container))
            aspect, orientation = _pixel_aspect(stream), None
            for frame in self._decode(container, stream, report):
                if orientation is None:
                    # Every image is a first frame, so the matrix is read only if the rotation shows that there is one.
                    is_plain = self._is_image and not frame.rotation
                    orientation = Orientation() if is_plain else read_orientation(frame)
                timestamp = clock.read(frame)
                source = SourceFrame(frame, orientation, aspect)
                report.saw(source, timestamp)
                yield timestamp, source
            if report.frames_decoded == 0:
                reason = report.warnings[-1] if report.warnings else "the video stream is empty"
                raise SignXVideoError(
                    f"{self.name}: no frame could be decoded ({reason}). Re-encode the video or copy it again."
                )
            clock.finish()
            missing = 0.0 if report.truncated else declared_seconds(container, stream) - report.duration
            if missing > MISSING_TAIL_SECONDS:
                _note_damage(report, f"the file declares {missing:.2f} s more than it contains")

    def header(self) -> tuple[float | None, float]:
        """Return the frames per second and the seconds that the file declares; None and 0 if it does not, or cannot be
        opened.
        """
        with contextlib.suppress(SignXVideoError), self._open() as container:
            videos = [stream for stream in container.streams.video if not _is_cover_picture(stream)]
            if videos and not self._is_image:
                rate = videos[0].average_rate or videos[0].guessed_rate
                return (float(rate) if rate else None), declared_seconds(container, videos[0])
        return None, 0.0

    def count(self) -> tuple[int, float]:
        """Count the frames that are shown, without those that an edit list hides, and their seconds.

        Only packets are read, which is fast. Rarely a packet holds no frame of its own (fields, or VP8 frames that are
        never shown), so the number may be too high; `read` gives the exact one.
        """
        count, first, last = 0, float("inf"), 0.0
        # A truncated file counts up to where it ends.
        with self._open() as container, contextlib.suppress(av.error.FFmpegError, OSError):
            videos = [stream for stream in container.streams.video if not _is_cover_picture(stream)]
            for packet in container.demux(videos[0]) if videos else ():
                if not packet.size or packet.is_discard:
                    continue
                count += 1
                if packet.pts is not None:
                    start = float(packet.pts * packet.time_base)
                    first = min(first, start)
                    last = max(last, start + float((packet.duration or 0) * packet.time_base))
        return count, max(0.0, last - first)

    def _check_size(self, stream: av.video.stream.VideoStream) -> None:
        """Check the size of the frames before one is decoded, and hold the limit if it changes."""
        head = self._head(24)
        size = (stream.codec_context.width, stream.codec_context.height)
        if head.startswith(PNG):  # FFmpeg knows no size where the limit kept it from probing
            size = (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))
        check_picture(*size, self.name)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}

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
                f"{self.name}: cannot be opened as a video ({_reason(error)}). {self._hint()}"
            ) from error

    def _hint(self) -> str:
        head = self._head()
        if head[4:8] == b"ftyp":
            return "It starts like an MP4 file but its index is missing or damaged, as after an interrupted copy. Copy it again."
        return f"Expected MP4, WebM, MKV, AVI, GIF or another format that FFmpeg reads, got a file that starts with {head[:12]!r}."

    def _head(self, count: int = 16) -> bytes:
        try:
            if isinstance(self._origin, Path):
                with self._origin.open("rb") as file:
                    return file.read(count)
            place = self._origin.tell()
            self._origin.seek(0)
            head = self._origin.read(count)
            self._origin.seek(place)
            return head
        except OSError:
            return b""

    def _decode(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, report: ReadingReport
    ) -> Iterator[av.VideoFrame]:
        """Yield frames in order of presentation. Damaged packets are skipped; if reading fails, the frames so far are
        kept.
        """
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
                # None flushes frames that the decoder holds back; after a regular end it is already empty.
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


def _is_cover_picture(stream: av.video.stream.VideoStream) -> bool:
    # A Flag in PyAV 17, for which int() fails, and an IntFlag since.
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _pixel_aspect(stream: av.video.stream.VideoStream) -> float:
    """Return the width of a pixel over its height. Encoders round it (2559/2560 is common), so less than 1 % means
    square.
    """
    ratio = stream.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    return 1.0 if abs(aspect - 1.0) < 0.01 or aspect <= 0 else aspect


def _note_damage(report: ReadingReport, message: str) -> None:
    report.truncated = True
    report.warnings.append(message)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class ArraySource:
    """Frames in memory: arrays [H, W] gray or [H, W, 1 | 3 | 4] of one size, uint8 or float from 0 to 1."""

    def __init__(self, frames: Sequence[np.ndarray], name: str, fps: float):
        self._frames = frames
        self.name = name
        self._fps = fps

    def header(self) -> tuple[float, float]:
        """Return frames per second and duration in seconds."""
        return self._fps, len(self._frames) / self._fps

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first frame, frame) and fill `report`."""
        report.period = 1 / self._fps
        for index, array in enumerate(self._frames):
            source = SourceFrame(frame_from_array(array))
            report.saw(source, index / self._fps)
            yield index / self._fps, source


class FolderSource:
    """Folder of frame images in natural order (frame2 before frame10); hidden files and other types are ignored."""

    def __init__(self, folder: Path, fps: float):
        self.name = str(folder)
        self._fps = fps
        images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
        self._images = sorted((p for p in images if p.is_file()), key=_natural_key)
        if not self._images:
            raise SignXVideoError(
                f"{folder}: the folder has no frame image. Expected files that end in {', '.join(IMAGE_SUFFIXES)}."
            )

    def header(self) -> tuple[float, float]:
        """Return frames per second and duration in seconds."""
        return self._fps, len(self._images) / self._fps

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first image, frame) and fill `report`. A broken image leaves a gap and does not
        shift time.
        """
        report.period = 1 / self._fps
        first = None
        for index, path in enumerate(self._images):
            try:
                with contextlib.closing(FileSource(path, str(path), is_image=True).read(ReadingReport())) as frames:
                    _, source = next(frames)
            except SignXSizeError:
                raise
            except SignXVideoError:
                _note_damage(report, f"image {path.name} cannot be decoded and was skipped")
                continue
            size = (source.frame.width, source.frame.height)
            first = first or (path.name, size)
            if size != first[1]:
                raise SignXVideoError(
                    f"{self.name}: all frames must have one size, got {size[0]}x{size[1]} for {path.name} and "
                    f"{first[1][0]}x{first[1][1]} for {first[0]}. Resize them or use one folder per video."
                )
            report.saw(source, index / self._fps)
            yield index / self._fps, source
        if report.frames_decoded == 0:
            raise SignXVideoError(
                f"{self.name}: none of {len(self._images)} images can be decoded. Write them again as PNG or JPEG."
            )


class TimedSource:
    """Frames of a video that was decoded before: uint8 [T, H, W, 3] at ascending seconds [T] since its start."""

    def __init__(self, frames: Sequence[np.ndarray], timestamps: Sequence[float], name: str, fps: float):
        self._frames, self._fps = frames, fps
        self._times = [float(time) for time in timestamps]
        self.name = name

    def header(self) -> tuple[float, float]:
        """Return frames per second and duration in seconds."""
        return self._fps, self._times[-1] - self._times[0] + 1 / self._fps

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield (seconds since the first frame, frame) and fill `report`."""
        report.period, report.start = 1 / self._fps, self._times[0]
        for time, array in zip(self._times, self._frames):
            source = SourceFrame(frame_from_array(array))
            report.saw(source, time - report.start)
            yield time - report.start, source


def _natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], path.name


VideoSource = FileSource | ArraySource | FolderSource | TimedSource
