"""Write the same pictures at the same seconds in many kinds of media."""

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 25
LEAD = 1.2  # seconds of the first picture before anything moves; media whose picture starts late leave them out
SLOW = 5  # frames per second of the lead in media of variable rate
HIDDEN = 12  # frames that the edit list hides
SOUND_RATE = 48_000
OPTIONS = {
    "libx264": {"crf": "10", "preset": "ultrafast"},
    "libvpx": {"crf": "4", "b": "2M", "deadline": "realtime", "cpu-used": "8"},
    "mjpeg": {"qmin": "1", "qmax": "1"},
}


@dataclass(frozen=True)
class Medium:
    """How a file is written.

    Attributes:
        suffix: Of the file.
        codec: Of the picture.
        picture: Seconds at which it starts.
        sound: Seconds at which the sound starts; None: there is none.
        slow: Whether the lead has `SLOW` frames per second, and all that follows `RATE`.
        hidden: Frames before the first that players do not show.
    """

    suffix: str
    codec: str = "libx264"
    picture: float = 0.0
    sound: float | None = None
    slow: bool = False
    hidden: int = 0


MEDIA = {
    "MP4": Medium("mp4"),
    "MP4, variable rate": Medium("mp4", slow=True),
    "MP4, picture later": Medium("mp4", picture=LEAD, sound=0.0),
    "MP4, sound later": Medium("mp4", sound=1.5),
    "MP4, hidden by an edit list": Medium("mp4", hidden=HIDDEN),
    "MKV, picture later": Medium("mkv", picture=LEAD, sound=0.0),
    "MKV, variable rate": Medium("mkv", "ffv1", slow=True),
    "WebM, picture later": Medium("webm", "libvpx", picture=LEAD, sound=0.0),
    "TS, picture later": Medium("ts", picture=LEAD, sound=0.0),
    "AVI": Medium("avi", "mjpeg"),
    "GIF": Medium("gif", "gif"),
    "frame folder": Medium("", "png"),
}


def with_lead(pictures) -> list[np.ndarray]:
    """The first picture for `LEAD` seconds, then all of them."""
    return [pictures[0]] * round(LEAD * RATE) + list(pictures)


def write_medium(folder: Path, name: str, pictures) -> Path:
    """Write pictures [T, H, W, 3], which players show from `LEAD` seconds on at `RATE`; return the file or folder."""
    medium = MEDIA[name]
    shown, lead = with_lead(pictures), round(LEAD * RATE)
    stem = name.replace(", ", "-").replace(" ", "-").lower()
    if not medium.suffix:
        return _write_folder(folder / stem, shown)
    times = [index / RATE for index in range(len(shown))]
    if medium.picture:
        shown, times = shown[lead:], times[lead:]
    if medium.slow:
        kept = [*range(0, lead, RATE // SLOW), *range(lead, len(shown))]
        shown, times = [shown[index] for index in kept], [times[index] for index in kept]
    if medium.hidden:
        shown = [np.roll(shown[-1], 40, axis=1)] * medium.hidden + shown
        times = [(index - medium.hidden) / RATE for index in range(medium.hidden)] + times
    path = folder / f"{stem}.{medium.suffix}"
    _write_file(path, medium, shown, times)
    return path


def _write_folder(folder: Path, shown) -> Path:
    folder.mkdir()
    for index, picture in enumerate(shown):
        with av.open(str(folder / f"{index}.png"), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    return folder


def _write_file(path: Path, medium: Medium, shown, times) -> None:
    formats = {"ffv1": "bgr0", "mjpeg": "yuvj420p", "gif": "gray"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(medium.codec, rate=RATE)
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = formats.get(medium.codec, "yuv420p")
        stream.options = OPTIONS.get(medium.codec, {})
        stream.time_base = stream.codec_context.time_base = Fraction(1, RATE)
        sound = None if medium.sound is None else _add_sound(container, medium)
        for picture, seconds in zip(shown, times):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(seconds * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _write_sound(container, sound, medium.sound, times[-1])


def _add_sound(container, medium: Medium):
    sound = container.add_stream("libopus" if medium.suffix == "webm" else "aac", rate=SOUND_RATE)
    sound.layout = "mono"
    return sound


def _write_sound(container, sound, start: float, end: float) -> None:
    size = 960 if sound.codec_context.name == "libopus" else 1024
    for first in range(round(start * SOUND_RATE), round(end * SOUND_RATE), size):
        block = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = SOUND_RATE, first, Fraction(1, SOUND_RATE)
        container.mux(sound.encode(_packed(block) if sound.codec_context.name == "libopus" else block))
    container.mux(sound.encode())


def _packed(block):
    frame = av.AudioFrame.from_ndarray(np.zeros((1, block.samples), np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = block.sample_rate, block.pts, block.time_base
    return frame


def starts_of(path: Path) -> tuple[float, float]:
    """Return the seconds at which the container and its picture start, as the header says."""
    with contextlib.closing(av.open(str(path))) as container:
        stream = container.streams.video[0]
        return container.start_time / av.time_base, float((stream.start_time or 0) * stream.time_base)
