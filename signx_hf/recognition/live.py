"""`signx-hf live`: glosses or text from a camera, or from a file as if it were one, while the person signs."""

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.messages import CONTROLS, one_line, say, to_json, warnings_to_stderr
from ..common.options import Subparsers
from .flags import add_flags
from .tasks import ANSWER_FLAGS, SIGNS, TRANSLATION, check_flags, check_learned, task_of

if TYPE_CHECKING:
    from av.container import InputContainer

    from ..processing.feature_extraction_signx import SignXPoseFeatureExtractor
    from .streaming import SignXStreamer, StreamUpdate

CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
IN_PLACE = "text in place of glosses: one sentence for each utterance, when the hands rest"
GROWTH_SECONDS = 2.0  # a file that has not grown for this long is complete


def add_parser(commands: Subparsers) -> None:
    """Add `live` to the parser of signx-hf, without heavy imports."""
    text = "glosses or text from a camera, while the person signs"
    parser = commands.add_parser("live", help=text, description=text)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--camera", metavar="N", help="number or name of a camera, such as 0 or /dev/video0")
    source.add_argument(
        "--from-file", metavar="FILE", help="a video or pose file (.pose, .npz, .npy), read as if it were a camera"
    )
    add_flags(parser, "model", "translate", "vocabulary", "top_k", "threshold", translate={"help": IN_PLACE})
    parser.add_argument("--real-time", action="store_true", help="read the file at its own speed")
    parser.add_argument(
        "--format", choices=("txt", "json"), default="txt", help="json: one line per change; default: txt"
    )
    parser.add_argument(
        "--seconds", type=float, help="stop after this many seconds of video; default: at the end, or on Ctrl-C"
    )
    add_flags(parser, "device", "trust_remote_code")


def open_camera(name: str) -> "tuple[InputContainer, str]":
    """Open a camera and return its PyAV container and its name in messages.

    Args:
        name: number, device or name of the camera.

    Raises:
        ValueError: If there is no such camera, it cannot be opened, or the system is not supported.
    """
    import av

    kind = next((value for key, value in CAMERA_FORMATS.items() if sys.platform.startswith(key)), None)
    if kind is None:
        raise ValueError(f"cameras are supported on linux, darwin and win32, got {sys.platform}. Use --from-file.")
    device = f"/dev/video{name}" if kind == "v4l2" and name.isdecimal() else name
    device = f"video={name}" if kind == "dshow" else device
    if kind == "v4l2" and not os.path.exists(device):
        devices = sorted(str(path) for path in Path("/dev").glob("video*"))
        available = f"found {', '.join(devices)}" if devices else "no camera found"
        raise ValueError(f"camera {name}: no device {device} ({available}). Connect a camera, or use --from-file.")
    try:
        return av.open(device, format=kind), f"camera {name}"
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"camera {name} cannot be opened ({reason}). Close other programs that use it, and check its permissions."
        ) from error


def camera_frames(container: "InputContainer", name: str) -> Iterator[tuple[float, Any]]:
    """Yield (seconds on the computer's clock, uint8 frame [H, W, 3]) of a camera; warn and end if it disappears.

    Args:
        container: PyAV container, closed at the end.
        name: of the camera, in messages.
    """
    import av

    from ..processing.errors_signx import SignXWarning

    start = time.monotonic()
    try:
        with container:
            for frame in container.decode(video=0):
                yield time.monotonic() - start, frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        warnings.warn(f"{name} disappeared ({reason}); what was recognized so far is kept", SignXWarning, stacklevel=2)


def file_frames(path: str, real_time: bool = False, wait_s: float = GROWTH_SECONDS) -> Iterator[tuple[float, Any]]:
    """Yield (seconds since the start of the file, uint8 frame [H, W, 3]) of a video file, also of one that is still
    growing.

    Args:
        path: the file.
        real_time: whether to yield each frame at its own time.
        wait_s: how long to wait for more of a file that has grown since it was opened.

    Raises:
        SignXVideoError, SignXFileNotFoundError: as for every video.
    """
    from ..processing.video_decoding_signx import iter_video, open_video

    seen, pace = -1.0, _Pace(real_time)
    while True:
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        with warnings.catch_warnings():
            if seen >= 0:  # the end of a growing file is always damaged; one warning is enough
                warnings.simplefilter("ignore")
            for seconds, frame in iter_video(open_video(path), None, None):
                if seconds <= seen:
                    continue
                seen = seconds
                pace.wait(seconds)
                yield seconds, frame
        if not _has_grown(path, size, wait_s):
            return


def pose_rows(
    extractor: "SignXPoseFeatureExtractor", path: str, real_time: bool = False
) -> Iterator[tuple[float, dict]]:
    """Return an iterator of (seconds on the clock of the file, rows of the tracks) of a pose file.

    The rows are what `SignXStreamer.push` takes.

    Args:
        extractor: feature extractor of the model's processor.
        path: the file.
        real_time: whether to yield each row at its own time.

    Raises:
        SignXPoseError, SignXFileNotFoundError: as for every pose file.
    """
    from ..processing.pose_stream_signx import stream_poses

    stream = stream_poses(
        extractor, path, None
    )  # here and not in `rows`, so that a bad file stops the command at once
    pace = _Pace(real_time)

    def rows() -> Iterator[tuple[float, dict]]:
        for seconds, (tracks, masks) in stream.rows:
            pace.wait(seconds)
            yield seconds, {**tracks, "masks": masks}

    return rows()


class _Pace:
    """Lets frames of a file come at their own time, counted from the first."""

    def __init__(self, real_time: bool):
        self._real_time, self._start, self._opened = real_time, None, time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait until it is time for the frame at these seconds."""
        if self._start is None:
            self._start = seconds
        if self._real_time:
            time.sleep(max(0.0, self._opened + seconds - self._start - time.monotonic()))


def _has_grown(path: str, size: int, wait_s: float) -> bool:
    """Whether a file has become longer than `size`, or does so within `wait_s` seconds of its last change."""
    if not os.path.isfile(path):
        return False
    if os.path.getsize(path) > size:
        return True
    until = os.path.getmtime(path) + wait_s
    while time.time() < until:
        time.sleep(min(0.1, wait_s))
        if os.path.getsize(path) > size:
            return True
    return False


def run(options: argparse.Namespace) -> int:
    """Run `live`: print glosses as they become final, or each sentence when its utterance ends.

    Returns:
        The exit code: 0 if the source was read to its end, 1 if it failed on the way, 2 if there was no model or no
            source.
    """
    from ..assets import model_place
    from .loading import open_recognizer
    from .options import all_options, given_flags

    if options.model is None:
        say("--model is required: a folder or a Hub name. `--model demo` is the small one of the package.")
        return 2
    if options.seconds is not None and not 0 < options.seconds < math.inf:
        say(f"--seconds must be a number above 0, got {options.seconds:g}. Leave it out to read to the end.")
        return 2
    model = model_place(options.model)
    with warnings_to_stderr():
        try:  # the source first, because it fails at once and a model takes seconds to load
            given = given_flags(options, ANSWER_FLAGS)
            check_flags(options.model, task_of(model), given)
            check_learned(options.model, model, "text" if options.translate else "gloss")
            if "threshold" in given and task_of(model) != SIGNS:
                raise ValueError(
                    f"--threshold applies to isolated signs in live recognition, and {options.model} recognizes "
                    "sentences, whose glosses are printed before the sentence ends. Leave it out."
                )
            given = all_options((), given)
            if options.camera is not None:
                source, frames = "video", camera_frames(*open_camera(options.camera))
            else:
                source, frames = _open_file(options.from_file, options.real_time)
            task = TRANSLATION if options.translate else None
            recognizer = open_recognizer(model, options.device, options.trust_remote_code, given, task)
            if frames is None:
                frames = pose_rows(recognizer.processor.feature_extractor, options.from_file, options.real_time)
            from .sign_stream import open_stream

            streamer = open_stream(recognizer, source, **given)
        except Exception as error:
            say(one_line(error))
            return 2
        return _stream(streamer, frames, options.format, options.seconds)


def _open_file(path: str, real_time: bool) -> tuple[str, Iterator[tuple[float, Any]] | None]:
    """Return `video` with its frames, or `poses` with None, as the model's processor reads their rows."""
    from ..processing.base_pipeline_signx import is_pose
    from ..processing.errors_signx import SignXFileNotFoundError
    from ..processing.video_decoding_signx import open_video

    if not is_pose(path):
        open_video(path)
        return "video", file_frames(path, real_time)
    if not os.path.exists(path):
        raise SignXFileNotFoundError(f"{path}: no such file. Pass a video or a pose file.")
    return "poses", None


def _stream(
    streamer: "SignXStreamer", frames: Iterator[tuple[float, Any]], output_format: str, seconds: float | None
) -> int:
    printer, code, seen, first = Printer(output_format), 0, False, None
    try:
        for at, frame in frames:
            first = at if first is None else first
            if seconds is not None and at - first > seconds:
                break
            printer(streamer.push(frame, at))
            seen = True
    except KeyboardInterrupt:
        say("stopped")
    except (BrokenPipeError, MemoryError):
        raise
    except Exception as error:
        say(f"{one_line(error)}; what was recognized so far is kept" if seen else one_line(error))
        code = 1 if seen else 2
    printer(streamer.flush())
    printer.close()
    return code


class Printer:
    """Print updates.

    `txt` prints the final glosses of an utterance on one line, on a terminal followed by the partial ones. A sentence
    of text has a line of its own. Isolated signs get a line each, with `?` where the model is not sure, on a terminal followed by the candidates. `json`
    prints a line for each update that changes something.
    """

    def __init__(self, output_format: str):
        self._format, self._line, self._last = output_format, [], None
        self._is_terminal = sys.stdout.isatty()

    def __call__(self, update: "StreamUpdate") -> None:
        if self._format == "json":
            partial = [vars(gloss) for gloss in update.partial]
            names = [gloss["gloss"] for gloss in partial]
            if update.final or names != (self._last or []):
                final = [vars(gloss) for gloss in update.final]
                print(to_json({"time": round(update.time, 4), "final": final, "partial": partial}))
                sys.stdout.flush()
            self._last = names
            return
        from ..writers.txt_file import UNSURE

        signs = [gloss for gloss in update.final if hasattr(gloss, "candidates")]
        for sign in signs:
            shown = ", ".join(f"{item['label']} {item['score']:.2f}" for item in sign.candidates).translate(CONTROLS)
            name = UNSURE if sign.gloss is None else sign.gloss.translate(CONTROLS)
            print(f"{name}  \033[2m{shown}\033[0m" if self._is_terminal else name, flush=True)
        sentences = [item for item in update.final if hasattr(item, "text")]
        for sentence in sentences:
            print(sentence.text.translate(CONTROLS), flush=True)
        if signs or sentences:
            return
        new = [gloss.gloss.translate(CONTROLS) for gloss in update.final]
        if self._is_terminal:
            self._line += new
            partial = " ".join(gloss.gloss.translate(CONTROLS) for gloss in update.partial)
            print(f"\r\033[K{' '.join(self._line)}" + (f" \033[2m{partial}\033[0m" if partial else ""), end="")
        elif new:
            print((" " if self._line else "") + " ".join(new), end="")
            self._line += new
        if update.ended and self._line:
            print()
            self._line = []
        sys.stdout.flush()

    def close(self) -> None:
        """End the current line."""
        if self._line:
            print(flush=True)
            self._line = []
