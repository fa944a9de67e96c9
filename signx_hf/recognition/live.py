"""`signx-hf live`: glosses of a camera, or of a file as if it were one, while the person signs."""

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.messages import CONTROLS, one_line, say
from .tasks import ANSWER_FLAGS, SIGNS, add_sign_flags, check_flags, task_of

CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
GROWTH_SECONDS = 2.0  # a file that did not grow for so long is complete


def add_parser(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("live", help="glosses of a camera, while the person signs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--camera", metavar="N", help="number or name of a camera, such as 0 or /dev/video0")
    source.add_argument(
        "--from-file", metavar="FILE", help="a video file, or poses (.pose, .npz, .npy), as if it were a camera"
    )
    parser.add_argument(
        "--model", help="folder or Hub name of a model with its processor; demo: the one of the package"
    )
    add_sign_flags(parser)
    parser.add_argument("--real-time", action="store_true", help="read the file at its own speed")
    parser.add_argument(
        "--format", choices=("txt", "json"), default="txt", help="default: txt; json: one line per change"
    )
    parser.add_argument(
        "--seconds", type=float, help="stop after so many seconds of video; default: at the end, or ctrl-c"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the model code of the repository instead of this package's",
    )


def open_camera(name: str) -> tuple[Any, str]:
    """A PyAV container of a camera, and the camera's name in messages.

    Raises:
        ValueError: no such camera, one that is in use, or a system on which cameras are not known.
    """
    import av

    kind = next((value for key, value in CAMERA_FORMATS.items() if sys.platform.startswith(key)), None)
    if kind is None:
        raise ValueError(f"cameras are not known on {sys.platform}: wanted linux, darwin or win32; use --from-file")
    device = f"/dev/video{name}" if kind == "v4l2" and name.isdecimal() else name
    device = f"video={name}" if kind == "dshow" else device
    if kind == "v4l2" and not os.path.exists(device):
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        known = f"found {', '.join(found)}" if found else "this computer has none"
        raise ValueError(f"camera {name}: no device {device} ({known}): connect one, or use --from-file")
    try:
        return av.open(device, format=kind), f"camera {name}"
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"camera {name}: cannot be opened ({reason}): close other programs that use it, and check its permissions"
        ) from error


def camera_frames(container: Any, name: str) -> Iterator[tuple[float, Any]]:
    """(seconds on the computer's clock, uint8 frame [H, W, 3]) of a camera; ends with a warning where the camera disappears."""
    import av

    from ..processing.errors_signx import SignXWarning

    start = time.monotonic()
    try:
        with container:
            for frame in container.decode(video=0):
                yield time.monotonic() - start, frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        warnings.warn(f"{name}: disappeared ({reason}); what was recognised is kept", SignXWarning, stacklevel=2)


def file_frames(path: str, real_time: bool = False, wait_s: float = GROWTH_SECONDS) -> Iterator[tuple[float, Any]]:
    """(seconds since the first frame, uint8 frame [H, W, 3]) of a video file, read on while it grows.

    Args:
        path: the file. real_time: gives each frame when its time has come. wait_s: how long to wait for a file to grow that has
            grown since it was opened.

    Raises:
        SignXVideoError, SignXFileNotFoundError: as for every video.
    """
    from ..processing.video_decoding_signx import iter_video, open_video

    start, seen = time.monotonic(), -1.0
    while True:
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        with warnings.catch_warnings():
            if seen >= 0:  # the tail of what still grows is damaged by nature, and was said once
                warnings.simplefilter("ignore")
            for seconds, frame in iter_video(open_video(path), None, None):
                if seconds <= seen:
                    continue
                seen = seconds
                if real_time:
                    time.sleep(max(0.0, start + seconds - time.monotonic()))
                yield seconds, frame
        if not _has_grown(path, size, wait_s):
            return


def pose_rows(extractor: Any, path: str, real_time: bool = False) -> Iterator[tuple[float, dict]]:
    """(seconds since the first row, rows of the tracks as `SignXStreamer.push` takes them) of a pose file.

    Args:
        extractor: of the model's processor. path: the file. real_time: gives each row when its time has come.

    Raises:
        SignXPoseError, SignXFileNotFoundError: as for every pose file.
    """
    from ..processing.pose_stream_signx import stream_poses

    stream, start = (
        stream_poses(extractor, path, None),
        time.monotonic(),
    )  # here, where a file that is none stops the command

    def rows() -> Iterator[tuple[float, dict]]:
        for seconds, (tracks, masks) in stream.rows:
            if real_time:
                time.sleep(max(0.0, start + seconds - time.monotonic()))
            yield seconds, {**tracks, "masks": masks}

    return rows()


def _has_grown(path: str, size: int, wait_s: float) -> bool:
    """Whether a file became longer than `size` while it was read, or, if it did not long ago, becomes so within `wait_s`."""
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
    """Prints glosses as they become final.

    Returns:
        0 if the source was read to its end, 1 if it failed on the way, 2 if there was no model or no source.
    """
    from ..assets import model_place
    from .loading import open_recognizer
    from .options import all_options

    if options.model is None:
        say(
            "no model given: wanted --model with a folder or a Hub name (`--model demo` is the small one of the package)"
        )
        return 2
    if options.seconds is not None and not 0 < options.seconds < math.inf:
        say(f"--seconds is {options.seconds:g}; wanted a number above 0; leave it out to go on to the end")
        return 2
    model = model_place(options.model)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {one_line(message)}")
        try:  # the source first: it fails at once, a model takes seconds to load
            given = {flag: getattr(options, flag) for flag in ANSWER_FLAGS if getattr(options, flag) is not None}
            check_flags(options.model, task_of(model), given)
            if "threshold" in given and task_of(model) != SIGNS:
                raise ValueError(
                    f"--threshold is for models of isolated signs while somebody signs, and {options.model} recognizes sentences, whose "
                    "glosses come before their end. Leave it out."
                )
            given = all_options((), given)
            if options.camera is not None:
                source, frames = "video", camera_frames(*open_camera(options.camera))
            else:
                source, frames = _open_file(options.from_file, options.real_time)
            recognizer = open_recognizer(model, options.device, options.trust_remote_code, given)
            if frames is None:
                frames = pose_rows(recognizer.processor.feature_extractor, options.from_file, options.real_time)
            from .sign_stream import open_stream

            streamer = open_stream(recognizer, source, **given)
        except Exception as error:
            say(one_line(error))
            return 2
        return _stream(streamer, frames, options.format, options.seconds)


def _open_file(path: str, real_time: bool) -> tuple[str, Iterator[tuple[float, Any]] | None]:
    """`video` or `poses`, and the frames of a video; rows of poses are read by the model's processor."""
    from ..processing.base_pipeline_signx import is_pose
    from ..processing.errors_signx import SignXFileNotFoundError
    from ..processing.video_decoding_signx import open_video

    if not is_pose(path):
        open_video(path)
        return "video", file_frames(path, real_time)
    if not os.path.exists(path):
        raise SignXFileNotFoundError(f"{path}: no such file. Give a video or a pose file.")
    return "poses", None


def _stream(streamer: Any, frames: Iterator[tuple[float, Any]], output_format: str, seconds: float | None) -> int:
    printer, code, seen = Printer(output_format), 0, False
    try:
        for at, frame in frames:
            if seconds is not None and at > seconds:
                break
            printer(streamer.push(frame, at))
            seen = True
    except KeyboardInterrupt:
        say("stopped")
    except (BrokenPipeError, MemoryError):
        raise
    except Exception as error:
        say(f"{one_line(error)}; what was recognised is kept" if seen else one_line(error))
        code = 1 if seen else 2
    printer(streamer.flush())
    printer.close()
    return code


class Printer:
    """Writes updates: `txt` the final glosses of an utterance on one line, partial ones behind them on a terminal; of isolated signs a
    line each, `?` where the model is not sure, with the candidates behind it on a terminal; `json` a line for each update that says
    something new."""

    def __init__(self, output_format: str):
        self._format, self._line, self._last = output_format, [], None
        self._is_terminal = sys.stdout.isatty()

    def __call__(self, update: Any) -> None:
        if self._format == "json":
            partial = [vars(gloss) for gloss in update.partial]
            names = [gloss["gloss"] for gloss in partial]
            if update.final or names != (self._last or []):
                final = [vars(gloss) for gloss in update.final]
                print(
                    json.dumps({"time": round(update.time, 4), "final": final, "partial": partial}, ensure_ascii=False)
                )
                sys.stdout.flush()
            self._last = names
            return
        from ..writers.txt_file import UNSURE

        signs = [gloss for gloss in update.final if hasattr(gloss, "candidates")]
        for sign in signs:
            shown = ", ".join(f"{item['label']} {item['score']:.2f}" for item in sign.candidates).translate(CONTROLS)
            name = UNSURE if sign.gloss is None else sign.gloss.translate(CONTROLS)
            print(f"{name}  \033[2m{shown}\033[0m" if self._is_terminal else name, flush=True)
        if signs:
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
        if self._line:
            print(flush=True)
            self._line = []
