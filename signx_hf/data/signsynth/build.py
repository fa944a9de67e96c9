"""Build a corpus: plan its clips, perform and render them in parallel, and store them.

The same seed gives the same bytes, however many processes work and however often they are interrupted. During a build,
a clip is finished when its file in `work/` exists; that file is written last. All files are first written under
another name in `work/`, which is unique to the process.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pyarrow

from ...common.extras import require
from ...common.progress import progress as show_progress
from ..errors import SignXDataError
from ..schema import FEATURES, encode_poses, make_row
from . import tracks
from .arguments import whole
from .clip import RenderedClip, render_clip
from .configs import SPLITS, TASKS, SynthConfig, named
from .plan import ClipPlan, perform_clip, plan_corpus
from .render import Renderer

try:
    import fcntl
except ImportError:  # Windows: two builds cannot exclude each other, but only repeat each other's work
    fcntl = None

FORMAT = 1  # of the folder
WORK = "work"  # folder of unfinished files
CLAIM = ".config.json.partial"
LICENCE = "CC0-1.0 (made by SignSynth; nobody is shown)"
# ISO 639-3 reserves qaa to qtz for private use: nobody uses this language
SIGN_LANGUAGE = "qss"
BATCH = 64  # rows of a record batch
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Job:
    """What a worker needs to know about the corpus. `out` is the folder, as text."""

    config: SynthConfig
    seed: int
    out: str


@dataclass(frozen=True)
class BuildReport:
    """Summary of a build.

    Attributes:
        clips: Number of clips in the corpus.
        made: Number of clips that this build rendered.
        frames: Number of frames in these clips.
        seconds: Time to render them in seconds, summed over processes.
    """

    out: Path
    clips: int
    made: int
    frames: int
    seconds: float


def clip_generator(seed: int, clip_id: str) -> np.random.Generator:
    """Return a clip's own random generator, independent of any other clip."""
    digest = hashlib.sha256(clip_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def write_video(path: Path, images: list[np.ndarray], fps: float, crf: int) -> None:
    """Write H.264 in MP4, with the same bytes for the same images.

    It uses one thread, as more give other bytes, and no macroblock tree, whose AVX code in x264 165 reads
    uninitialized memory (seen with MALLOC_PERTURB_: other bytes for every value, and the same ones without it).
    """
    with av.open(f"file:{path}", "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@contextlib.contextmanager
def _into_place(path: Path, work: Path) -> Iterator[Path]:
    """Yield a name in `work` to write to; the file gets its own name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    partial = work / f".{os.getpid()}.{path.name}.partial"
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_truth(file: BinaryIO, clip: RenderedClip, plan: ClipPlan, spans: list[dict[str, Any]]) -> None:
    """Write the ground truth: the clean tracks, all anchors in the image, what hides them, camera and spans."""
    camera = clip.shot.camera
    arrays = {name: values.astype(np.float16) for name, values in clip.clean.values.items() if name != "smplerx"}
    arrays |= {
        "smplerx": clip.clean.values["smplerx"],
        "joints": clip.seen.pixels.astype(np.float32),
        "hidden": clip.seen.hidden,
        "outside": clip.seen.outside,
        "camera": np.array([*camera.position, *camera.target, camera.focal, camera.roll]),
        "shape": np.array(plan.signer.shape),
        "spans": np.array([[span["start"], span["end"]] for span in spans]).reshape(-1, 2),
        "glosses": np.array([span["gloss"] for span in spans], dtype=str),
    }
    np.savez_compressed(file, **arrays)


_renderer: Renderer | None = None  # one for each process: an OpenGL context costs a quarter of a second


def _renderer_of(size: int) -> Renderer:
    global _renderer
    if _renderer is None or _renderer.size != size:
        if _renderer is not None:
            _renderer.close()
        _renderer = Renderer(size)
    return _renderer


def make_clip(job: Job, plan: ClipPlan) -> tuple[int, float]:
    """Perform, render and store one clip; return its frames and the seconds of processor time."""
    from threadpoolctl import threadpool_limits

    # On some processors two threads round a matrix product differently: the bytes would depend on the process.
    with threadpool_limits(1):
        return _make_clip(job, plan)


def _make_clip(job: Job, plan: ClipPlan) -> tuple[int, float]:
    from time import process_time

    began, out = process_time(), Path(job.out)
    generator = clip_generator(job.seed, plan.id)
    motion = perform_clip(plan, generator, job.config.fps)
    clip = render_clip(motion, plan.signer, _renderer_of(job.config.size), generator, job.config.faults)
    end = len(clip.images) / motion.fps
    spans = [{"gloss": s.gloss, "start": s.start, "end": min(s.end, end)} for s in motion.spans]
    video, truth, done = _files(plan)
    with _into_place(out / video, out / WORK) as partial:
        write_video(partial, clip.images, motion.fps, clip.shot.crf)
    with _into_place(out / truth, out / WORK) as partial, open(partial, "wb") as file:
        _write_truth(file, clip, plan, spans)
    row = make_row(
        id=plan.id,
        video=video,
        fps=motion.fps,
        num_frames=len(clip.images),
        signer=plan.signer.id,
        split=plan.split,
        glosses=list(motion.glosses),
        segments=spans,
        text=plan.text,
        sign_language=SIGN_LANGUAGE,
        spoken_language="en",
        poses=encode_poses(clip.noisy.values, clip.noisy.masks, motion.fps, tracks.notes()),
        licence=LICENCE,
    )
    table = pyarrow.Table.from_pylist([row], schema=FEATURES.arrow_schema)
    with (
        _into_place(out / done, out / WORK) as partial,
        pyarrow.OSFile(str(partial), "wb") as sink,
        pyarrow.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    return len(clip.images), process_time() - began


def _files(plan: ClipPlan) -> tuple[str, str, str]:
    """Return the names of the video, the truth and, during a build, the row of a clip."""
    return f"videos/{plan.id}.mp4", f"truth/{plan.id}.npz", f"{WORK}/{plan.id}.arrow"


def _rows_are_whole(path: Path, plans: list[ClipPlan]) -> bool:
    """Return whether an Arrow file can be read and has the rows of these clips."""
    try:
        with pyarrow.OSFile(str(path)) as file:
            ids = pyarrow.ipc.open_file(file).read_all()["id"].to_pylist()
    except (OSError, KeyError, pyarrow.ArrowException):
        return False
    return ids == [plan.id for plan in plans]


def _clip_is_whole(out: Path, plan: ClipPlan) -> bool:
    """Return whether video and truth of a clip exist and have the same length; a badly copied clip is rebuilt."""
    video, truth, _ = _files(plan)
    try:
        with np.load(out / truth, allow_pickle=False) as arrays:
            frames = {len(arrays[name]) for name in (*tracks.LAYOUTS, "joints", "hidden", "outside")}
        with av.open(f"file:{out / video}") as container:
            frames.add(container.streams.video[0].frames)
    except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile, zlib.error, av.FFmpegError):
        return False
    return len(frames) == 1


def description(config: SynthConfig, seed: int, limit: int | None) -> dict[str, Any]:
    """Return the content of `config.json`: all that the bytes depend on, apart from the versions of other packages."""
    return {
        "signsynth": tracks.VERSION,
        "format": FORMAT,
        "seed": seed,
        "limit": limit,
        "config": config.describe(),
    }


def _difference(actual: object, expected: object, name: str = "") -> tuple[str, Any, Any] | None:
    """Return the dotted name and both values of the first entry in which two JSON values differ, or None."""
    if isinstance(actual, dict) and isinstance(expected, dict) and name.count(".") < 2:
        for key in (*expected, *actual):
            inside = _difference(actual.get(key), expected.get(key), f"{name}.{key}".lstrip("."))
            if inside:
                return inside
    return None if actual == expected else (name or "the file", actual, expected)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Create the folder if needed, and lock it for one build at a time.

    Raises:
        SignXDataError: If another process builds there, or the folder cannot be created.
    """
    if out.exists() and not out.is_dir():
        raise SignXDataError(f"{out}: must be a folder or a new path, got a file. Choose another path.")
    out.mkdir(parents=True, exist_ok=True)
    handle = None if fcntl is None else os.open(out, os.O_RDONLY)
    try:
        if handle is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SignXDataError(
                    f"{out}: another process is building here. Wait for it, or choose another folder."
                ) from None
            except OSError:  # a file system without locks: two builds only repeat each other's work
                pass
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _claim(out: Path, expected: dict[str, Any]) -> None:
    """Write config.json, or check that the existing one is equal."""
    path = out / "config.json"
    if path.is_file():
        try:
            actual = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SignXDataError(f"{path}: not valid JSON ({error}). Choose an empty folder.") from error
        difference = _difference(actual, expected)
        if difference:
            key, there, here = difference
            raise SignXDataError(
                f"{path}: {key} must be {json.dumps(here)}, got {json.dumps(there)}. Choose another folder, or delete this one."
            )
        return
    # left over from a build that was killed before it wrote its config
    if any(entry.name != CLAIM for entry in out.iterdir()):
        raise SignXDataError(f"{out}: the folder is neither empty nor a SignSynth corpus. Choose an empty folder.")
    (out / CLAIM).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    os.replace(out / CLAIM, path)


def _assemble(out: Path, task: str, split: str, plans: list[ClipPlan]) -> None:
    """Write the rows of one split as an Arrow file, in the order of the plan."""
    with (
        _into_place(out / f"{task}_{split}.arrow", out / WORK) as partial,
        pyarrow.OSFile(str(partial), "wb") as sink,
        pyarrow.ipc.new_file(sink, FEATURES.arrow_schema) as writer,
    ):
        for start in range(0, len(plans), BATCH):
            parts = []
            for plan in plans[start : start + BATCH]:
                with pyarrow.OSFile(str(out / _files(plan)[2])) as file:
                    parts.append(pyarrow.ipc.open_file(file).read_all())
            writer.write_table(pyarrow.concat_tables(parts).combine_chunks())


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that start meanwhile, without overriding the user's."""
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _stay_with_parent() -> None:
    """Make a process end with its parent, however that ends: a killed build must not go on in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_all(job: Job, plans: list[ClipPlan], jobs: int, step: Callable[[], Any]) -> tuple[int, float]:
    frames, seconds = 0, 0.0
    if jobs == 1:
        for plan in plans:
            made = make_clip(job, plan)
            frames, seconds = frames + made[0], seconds + made[1]
            step()
        return frames, seconds
    # spawned, not forked: an OpenGL context and threads do not survive a fork
    spawn = multiprocessing.get_context("spawn")
    with _environment(SINGLE_THREAD), ProcessPoolExecutor(jobs, spawn, _stay_with_parent) as pool:
        waiting = [pool.submit(make_clip, job, plan) for plan in plans]
        try:
            for future in as_completed(waiting):
                made = future.result()
                frames, seconds = frames + made[0], seconds + made[1]
                step()
        except BrokenProcessPool as error:
            raise SignXDataError(
                f"a worker process was killed; {jobs} are running, each with about 400 MB of memory. Run again with fewer jobs; "
                "finished clips are kept."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return frames, seconds


def build(
    config: SynthConfig | str,
    out: str | os.PathLike,
    seed: int = 0,
    jobs: int = 1,
    limit: int | None = None,
    progress: bool = False,
) -> BuildReport:
    """Build a corpus in `out`, or resume an interrupted build.

    In a finished corpus, missing and unreadable files are rebuilt, and the rest is left as it is.

    Args:
        config: A `SynthConfig`, or the name of one.
        out: The folder.
        seed: Seed of people, sentences and clips.
        jobs: Number of processes, at most as many as there are cores; does not change the bytes.
        limit: Maximum number of clips, taken in turn from tasks and splits; for a preview.
        progress: Show progress on standard error.

    Raises:
        SignXError: If the configuration is unknown, a number is out of range, or the folder cannot be written, is used
            by another process, or holds something else or a corpus of another configuration, seed or limit.
        ImportError: If a package is missing. The message names the extra `synth`.
    """
    config = named(config) if isinstance(config, str) else config
    jobs, seed = whole("jobs", jobs, 1), whole("seed", seed, 0)
    limit = None if limit is None else whole("limit", limit, 1)
    for module in ("mannequin", "pyvista", "threadpoolctl"):
        require(module)  # before anything is written
    out = Path(out).expanduser()
    plans = plan_corpus(config, seed)[:limit]
    try:
        with _alone(out):
            _claim(out, description(config, seed, limit))
            return _complete(Job(config, seed, str(out)), plans, jobs, progress)
    except (OSError, av.FFmpegError) as error:
        raise SignXDataError(
            f"{getattr(error, 'filename', None) or out}: cannot be written ({getattr(error, 'strerror', None) or error}). "
            "Finished clips are kept for the next run."
        ) from error


def _complete(job: Job, plans: list[ClipPlan], jobs: int, progress: bool) -> BuildReport:
    """Build what is missing of a corpus."""
    out = Path(job.out)
    groups = {
        (task, split): [p for p in plans if (p.task, p.split) == (task, split)] for task in TASKS for split in SPLITS
    }
    groups = {key: sorted(group, key=lambda plan: plan.id) for key, group in groups.items() if group}
    open_groups = [
        key for key, group in groups.items() if not _rows_are_whole(out / "{}_{}.arrow".format(*key), group)
    ]
    missing = {
        plan.id
        for key, group in groups.items()
        for plan in group
        if (key in open_groups and not _rows_are_whole(out / _files(plan)[2], [plan])) or not _clip_is_whole(out, plan)
    }
    left = [plan for plan in plans if plan.id in missing]
    with show_progress(total=len(plans), initial=len(plans) - len(left), desc="signsynth", show=progress) as bar:
        # more processes than cores gain nothing and may not fit into memory
        jobs = max(1, min(jobs, len(left), os.cpu_count() or 1))
        frames, seconds = _make_all(job, left, jobs, bar.update)
    for task, split in open_groups:
        _assemble(out, task, split, groups[task, split])
    shutil.rmtree(out / WORK, ignore_errors=True)
    return BuildReport(out, len(plans), len(left), frames, seconds)


def digest(out: str | os.PathLike) -> str:
    """Compute SHA-256 over the names and bytes of all files of a corpus; raise SignXDataError if there is none."""
    total, out = hashlib.sha256(), Path(out)
    if not (out / "config.json").is_file():
        raise SignXDataError(f"{out}: no config.json. Build a SignSynth corpus with `build` first.")
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(out).as_posix()}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
