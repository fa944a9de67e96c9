"""Extract landmarks of videos with MediaPipe on the fly, frame by frame, for models that read poses.

They are kept as a `.npz` pose clip in the user's cache, under a hash of the video and of everything else that affects
the rows, so a video is extracted only once. Rows are rounded as datasets store them (float16), so a video gives the
same result as its poses from `signx-hf extract`.
"""

import contextlib
import math
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from transformers.utils import logging

from .errors_signx import SignXError, SignXPoseError, SignXVideoError, SignXWarning
from .frame_rendering_signx import FrameGeometry, FrameRenderer, SourceFrame
from .hand_sources_signx import noted_size
from .inputs_signx import VideoInput
from .keypoints_signx import (
    HANDS_LAYOUT,
    HANDS_ORDER,
    HANDS_UNITS,
    HANDS_WIDTH,
    MEDIAPIPE_LAYOUT,
    MEDIAPIPE_ORDER,
    MEDIAPIPE_UNITS,
    MEDIAPIPE_WIDTH,
)
from .landmark_cache_signx import ClipWriter, cached_clip, clip_key
from .mediapipe_signx import (
    HANDS_OPTIONS,
    HOLISTIC_OPTIONS,
    LandmarkGraph,
    hands_row,
    holistic_parts,
    holistic_row,
    mediapipe_version,
)
from .pose_files_signx import PoseClip, clip_from_file, clip_from_mapping
from .video_decoding_signx import iter_video, open_video
from .video_sources_signx import FileSource, VideoSource
from .video_timing_signx import FALLBACK_RATE, STAMP_SECONDS, ReadingReport, ascending, is_even

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from .feature_extraction_signx import SignXPoseFeatureExtractor

EXTRACTION_VERSION = 2  # increase it when the same video gives other rows
# Larger frames are scaled down before MediaPipe, which scales them to 192 or 256 pixels anyway.
LONGEST_SIDE = 1280
# Faster videos are thinned to about this many frames per second, for which MediaPipe's tracking is made; others keep
# every frame.
USUAL_RATE, FAST_RATE = 30.0, 45.0
SHOWN_SECONDS = 30.0  # shorter videos show no progress bar
WARNINGS = "warnings"  # note that holds the warnings about the video


@dataclass(frozen=True)
class _Track:
    """Track that can be extracted.

    Attributes:
        width: Width of a row.
        solution: MediaPipe solution.
        options: Options of the solution.
        layout, units, order, source: Notes about the rows.
    """

    width: int
    solution: str
    options: Mapping[str, Any]
    layout: str
    units: str
    order: str
    source: str

    def notes(self, name: str, version: str) -> dict[str, str]:
        """Return the meaning of its rows as notes of a clip."""
        about = {"layout": self.layout, "units": self.units, "order": self.order, "source": self.source}
        return {f"{name}.{key}": text for key, text in {**about, "version": version}.items()}


EXTRACTABLE = {
    "hands": _Track(HANDS_WIDTH, "hands", HANDS_OPTIONS, HANDS_LAYOUT, HANDS_UNITS, HANDS_ORDER, "MediaPipe Hands"),
    "mediapipe": _Track(
        MEDIAPIPE_WIDTH, "holistic", HOLISTIC_OPTIONS, MEDIAPIPE_LAYOUT, MEDIAPIPE_UNITS, MEDIAPIPE_ORDER,
        "MediaPipe Holistic, one person",
    ),
}  # fmt: skip


def notes_of(tracks: Sequence[str]) -> dict[str, str]:
    """Return the meaning of rows of these tracks, as notes of a clip.

    Raises:
        ImportError: If MediaPipe is not installed.
    """
    version = mediapipe_version()
    return {key: text for track in tracks for key, text in EXTRACTABLE[track].notes(track, version).items()}


def tracks_of(
    extractor: "SignXPoseFeatureExtractor", config: "PreTrainedConfig | None", name: str = "video"
) -> tuple[str, ...]:
    """Return the tracks of a model that are extracted from videos: those that MediaPipe gives and the model was
    trained on.

    Args:
        extractor: `SignXPoseFeatureExtractor` of the model.
        config: `SignXConfig` of the model.
        name: Name of the video, for the message.

    Raises:
        SignXError: If none of the model's tracks can be extracted.
    """
    trained = getattr(config, "trained_tracks", None)
    used = {extractor.source_of(track) for track in extractor.track_dims if trained is None or track in trained}
    read = {track: width for track, width in extractor.read_dims.items() if track in used}
    tracks = tuple(
        track for track, width in read.items() if track in EXTRACTABLE and EXTRACTABLE[track].width == width
    )
    if not tracks:
        known = " and ".join(f"{track} ({about.width} numbers)" for track, about in EXTRACTABLE.items())
        raise SignXError(
            f"{name}: the model reads poses of {', '.join(read) or 'no track'}, which cannot be extracted from "
            f"video on the fly ({known} can). Pass poses, for example from `signx-hf extract`."
        )
    return tracks


# ------------------------------------------------------------------------------------------------------ frame by frame


class LandmarkReader:
    """Extract rows of tracks from the frames of one recording. Hands are tracked across frames, so each recording
    needs its own reader.

        with LandmarkReader(("hands",)) as reader:
            rows, observed = reader(frame)

    Args:
        tracks: Names in `EXTRACTABLE`.
        name: Name of the recording, for messages.

    Raises:
        ImportError: If MediaPipe is not installed, or is another version. The message says what to install.
    """

    def __init__(self, tracks: tuple[str, ...], name: str = "video"):
        self._graphs = {
            track: LandmarkGraph(EXTRACTABLE[track].solution, EXTRACTABLE[track].options, name) for track in tracks
        }

    def __enter__(self) -> "LandmarkReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, frame: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, bool]]:
        """Extract the rows of one frame.

        Args:
            frame: uint8 RGB [H, W, 3].

        Returns:
            Name -> row [d] float32 of each track, 0 where nothing is seen, and name -> whether anything is.
        """
        frame = np.ascontiguousarray(frame)
        size = (frame.shape[1], frame.shape[0])
        rows, observed = {}, {}
        for track, graph in self._graphs.items():
            row = _row(track, graph.process(frame), size)
            observed[track] = row is not None
            rows[track] = np.zeros(EXTRACTABLE[track].width, np.float32) if row is None else _as_stored(row)
        return rows, observed

    def close(self) -> None:
        """Free the graphs; closing twice is allowed."""
        for graph in self._graphs.values():
            graph.close()


def _row(track: str, result: Any, size: tuple[int, int]) -> np.ndarray | None:
    if track == "hands":
        return hands_row(result, size)
    parts = holistic_parts(result, size)
    return holistic_row(parts) if parts else None


def _as_stored(row: np.ndarray) -> np.ndarray:
    """Return numbers rounded to float16, as float32; those beyond its range are clipped."""
    limit = np.finfo(np.float16).max
    return np.clip(row, -limit, limit).astype(np.float16).astype(np.float32)


class LandmarkRenderer:
    """Render frames as MediaPipe sees them: full, upright, with square pixels, at their own size unless that is too
    large.

    Args:
        name: Name of the video, for messages.
    """

    def __init__(self, name: str = "video"):
        self._renderer: FrameRenderer | None = None
        self._name, self._size = name, None

    def __call__(self, source: SourceFrame) -> np.ndarray:
        """Render a frame to uint8 RGB [H, W, 3].

        Raises:
            SignXVideoError: If its size differs from that of the previous frames.
        """
        if self._renderer is None:
            self._renderer = FrameRenderer(self._geometry(source))
        image = self._renderer(source)
        self._size = self._size or image.shape
        if image.shape != self._size:
            (height, width, _), (later_height, later_width, _) = self._size, image.shape
            raise SignXVideoError(
                f"{self._name}: frames must have one size, got {width}x{height} and {later_width}x{later_height}. "
                "Re-encode the video."
            )
        return image

    @staticmethod
    def _geometry(source: SourceFrame) -> FrameGeometry | None:
        height, width = source.frame.height, source.frame.width * source.pixel_aspect
        if source.orientation.transpose:
            height, width = width, height
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        if scale == 1.0 and source.pixel_aspect == 1.0:
            return None
        return FrameGeometry(max(1, round(height * scale)), max(1, round(width * scale)), "stretch")


# ---------------------------------------------------------------------------------------------------------- full videos

Rows = tuple[float, dict[str, np.ndarray], dict[str, bool]]


@dataclass
class LandmarkStream:
    """Landmarks of one video, from the cache or as they are extracted.

    Attributes:
        rows: Iterates (seconds, row of each track, whether each was observed), and caches them once all were read.
        cached: Cached `.npz` clip; there are no rows to iterate then.
        tracks: Names of the tracks.
        fps: Frames per second according to the header of the video, or those it is thinned to.
        source: Name of the video, for messages.
        notes: Notes about the rows, complete once the last was read.
    """

    rows: Iterator[Rows]
    cached: Path | None
    tracks: tuple[str, ...]
    fps: float
    source: str
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LandmarkOptions:
    """Options for reading a video.

    Attributes:
        source_fps: Frames per second of arrays, frame lists and folders of images.
        least_fps: Minimum frames per second that are kept of fast videos.
        start: Start of the part to read in seconds; rows count from it.
        end: End of the part to read in seconds.
        name: Name of a video without a path, for messages.
        cache: Whether to look rows up in the user's cache, and keep them there.
    """

    source_fps: float | None = None
    least_fps: float | None = None
    start: float | None = None
    end: float | None = None
    name: str = "video"
    cache: bool = True


def extract_landmarks(video: VideoInput, tracks: tuple[str, ...], options: LandmarkOptions | None = None) -> PoseClip:
    """Return the tracks of a video as a clip, from the cache if possible.

    Args:
        video: As for the video processor: a path, bytes, a binary file, an array or list of frames, or a folder of
            images.
        tracks: Names in `EXTRACTABLE`.
        options: How the video is read.

    Raises:
        SignXVideoError: If the video cannot be read.
        SignXFileNotFoundError: If the path does not exist.
        SignXPoseError: If nobody is seen in the video.
        ImportError: As `LandmarkReader`.
    """
    stream = open_landmarks(video, tracks, options)
    dims = {track: EXTRACTABLE[track].width for track in tracks}
    clip = None if stream.cached is None else _remembered(stream, dims)
    if clip is None:
        if stream.cached is not None:
            stream = open_landmarks(video, tracks, replace(options or LandmarkOptions(), cache=False))
        clip = clip_from_mapping(_collected(stream), dims, stream.source)
    if not any(mask.any() for mask in clip.masks.values()):
        raise SignXPoseError(
            f"{stream.source}: MediaPipe sees no {'hand' if 'hands' in tracks else 'person'} in any of its "
            f"{clip.num_frames} frames. Check that the signer's hands are in the picture, the light, and the "
            "orientation of the video."
        )
    return replace(clip, size=noted_size(clip.notes))


def _remembered(stream: LandmarkStream, dims: Mapping[str, int]) -> PoseClip | None:
    """Return the cached clip, repeating the warnings about its video; None if another process has just removed it."""
    try:
        clip = replace(clip_from_file(stream.cached, dims), source=stream.source)
    except SignXError:
        return None
    for message in filter(None, clip.notes.get(WARNINGS, "").split("\n")):
        warnings.warn(message, SignXWarning, stacklevel=3)
    return clip


def _collected(stream: LandmarkStream) -> dict[str, Any]:
    """Return all rows as a clip."""
    frames = list(stream.rows)
    clip: dict[str, Any] = {track: np.stack([rows[track] for _, rows, _ in frames]) for track in stream.tracks}
    clip["masks"] = {track: np.array([observed[track] for _, _, observed in frames]) for track in stream.tracks}
    return clip | timing([seconds for seconds, _, _ in frames], stream.fps) | {"notes": stream.notes}


def open_landmarks(
    video: VideoInput, tracks: tuple[str, ...], options: LandmarkOptions | None = None
) -> LandmarkStream:
    """Open a video whose landmarks are extracted as `rows` of the result are requested, in bounded memory.

    Args:
        video: As for `extract_landmarks`.
        tracks: Names in `EXTRACTABLE`.
        options: How the video is read.

    Raises:
        SignXVideoError: If the video cannot be opened.
        SignXFileNotFoundError: If the path does not exist.
        ImportError: As `LandmarkReader`.
    """
    options = options or LandmarkOptions()
    source = open_video(video, options.source_fps, options.name)
    declared, _ = source.header()
    declared = declared or options.source_fps or FALLBACK_RATE
    rate = _thinned(declared, options.least_fps)
    version = mediapipe_version()
    notes = notes_of(tracks)
    made = [{"solution": EXTRACTABLE[track].solution, **EXTRACTABLE[track].options} for track in tracks]
    span = [options.start, options.end, rate, None if isinstance(source, FileSource) else declared]
    decides = [EXTRACTION_VERSION, list(tracks), made, version, av.__version__.split(".")[0], LONGEST_SIDE, *span]
    key = clip_key(video, decides) if options.cache else None
    cached = None if key is None else cached_clip(key)
    stream = LandmarkStream(iter(()), cached, tracks, rate or declared, source.name, notes)
    if cached is None:
        stream.rows = _extracted(stream, source, rate, options)
        if key is not None:
            stream.rows = _kept(stream.rows, stream, key)
    return stream


def _extracted(
    stream: LandmarkStream, source: VideoSource, rate: float | None, options: LandmarkOptions
) -> Iterator[Rows]:
    """Yield the rows of the frames from start to end, at `rate` or all."""
    start = options.start or 0.0
    end = math.inf if options.end is None else options.end
    report, renderer, last = ReadingReport(), LandmarkRenderer(source.name), 0.0
    count = 0
    with (
        contextlib.closing(iter_video(source, None, rate, renderer, report)) as frames,
        LandmarkReader(stream.tracks, source.name) as reader,
        _progress(source) as bar,
    ):
        for seconds, frame in frames:
            last = seconds
            if seconds >= end - STAMP_SECONDS:
                break
            if seconds < start - STAMP_SECONDS:
                continue
            count += 1
            stream.notes["size"] = f"{frame.shape[1]}x{frame.shape[0]}"
            yield (max(0.0, seconds - start), *reader(frame))
            bar.update()
    if not count:
        raise SignXVideoError(
            f"{source.name}: there is no frame from {start:g} to {end:g} s; the last is at {last:.2f} s. Correct "
            "start and end."
        )
    if report.warnings:
        stream.notes[WARNINGS] = "\n".join(f"{source.name}: {message}" for message in report.warnings)


def _kept(rows: Iterator[Rows], stream: LandmarkStream, key: str) -> Iterator[Rows]:
    """Yield the rows and cache them once the last was read."""
    with ClipWriter(key, {track: EXTRACTABLE[track].width for track in stream.tracks}) as writer:
        times = array("d")
        for frame in rows:
            times.append(frame[0])
            writer.add(*frame[1:])
            yield frame
        writer.finish(timing(times, stream.fps), stream.notes)


def timing(times: Sequence[float], declared: float) -> dict[str, Any]:
    """Return `fps` of evenly spaced frames, and `start` unless it is 0, else `timestamps` [T].

    Args:
        times: Seconds of the frames.
        declared: Frames per second that the video declares.
    """
    instants = np.asarray(times, np.float64)
    span = instants[-1] - instants[0]
    rates = [declared, (len(instants) - 1) / span] if span > 0 else [declared]
    for rate in rates:
        if is_even(instants, rate):
            start = float(instants[0])
            return {"fps": round(rate, 6)} | ({"start": start} if start > STAMP_SECONDS else {})
    return {"timestamps": ascending(instants)}


def _thinned(declared: float, least: float | None) -> float | None:
    """Return the rate to which a fast video is thinned; None if every frame is kept."""
    if declared < FAST_RATE:
        return None
    parts = round(declared / USUAL_RATE)
    while parts > 1 and declared / parts < 0.99 * (least or 0.0):
        parts -= 1
    return declared / parts if parts > 1 else None


@contextlib.contextmanager
def _progress(source: VideoSource) -> Iterator[Any]:
    """Show a progress bar for a long video on a terminal, unless those of transformers are disabled."""
    rate, seconds = source.header()
    if seconds < SHOWN_SECONDS:
        yield _NoBar
        return
    total = round(seconds * rate) if rate else None
    with logging.tqdm(total=total, unit="frame", desc="landmarks", leave=False, disable=None) as bar:
        yield bar


class _NoBar:
    @staticmethod
    def update() -> None:
        """Do nothing."""
