"""Builds a corpus: plans its clips, performs and draws them in parallel, and stores them so that the same seed gives the same
bytes, however many processes work and however often they are interrupted.

While it is built, a clip is done when its file in `work/` is there; that file is written last, and under another name first.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
from tqdm import tqdm

from ..errors import SignXDataError
from ..schema import FEATURES, encode_poses, make_row
from . import tracks
from .clip import RenderedClip, render_clip
from .configs import SPLITS, TASKS, SynthConfig, named
from .plan import ClipPlan, perform_clip, plan_corpus
from .render import Renderer

FORMAT = 1  # of the folder
LICENCE = "CC0-1.0 (made by SignSynth; nobody is shown)"
# ISO 639-3 leaves qaa to qtz to private use: no language of people is signed here
SIGN_LANGUAGE = "qss"
BATCH = 64  # rows of a record batch
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Job:
    """What a worker needs to know about the corpus. out: folder, as text."""

    config: SynthConfig
    seed: int
    out: str


@dataclass(frozen=True)
class BuildReport:
    """clips: of the corpus; made: those drawn now, the rest having been there. frames: of those made. seconds: of their drawing,
    added up over processes."""

    out: Path
    clips: int
    made: int
    frames: int
    seconds: float


def clip_generator(seed: int, clip_id: str) -> np.random.Generator:
    """A clip's own source of chance, whatever was drawn before it and wherever."""
    digest = hashlib.sha256(clip_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def write_video(path: Path, images: list[np.ndarray], fps: float, crf: int) -> None:
    """H.264 in MP4, always the same bytes for the same images.

    One thread, for more of them give other bytes; and no macroblock tree, whose AVX code in x264 165 reads memory that nobody
    wrote (seen with MALLOC_PERTURB_: other bytes for every value, and the same ones without it).
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@contextlib.contextmanager
def _into_place(path: Path) -> Iterator[Path]:
    """A name to write to; the file gets its own name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    os.replace(partial, path)


def _write_truth(path: Path, clip: RenderedClip, plan: ClipPlan, spans: list[dict[str, Any]]) -> None:
    """What is really so: the clean tracks, all anchors in the picture, what hides them, camera and spans."""
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
    with _into_place(path) as partial, open(partial, "wb") as file:
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
    """Performs, draws and stores one clip. Returns its frames and the seconds of processor time it took."""
    from time import process_time

    began, out = process_time(), Path(job.out)
    generator = clip_generator(job.seed, plan.id)
    motion = perform_clip(plan, generator, job.config.fps)
    clip = render_clip(motion, plan.signer, _renderer_of(job.config.size), generator, job.config.faults)
    end = len(clip.images) / motion.fps
    spans = [{"gloss": s.gloss, "start": s.start, "end": min(s.end, end)} for s in motion.spans]
    video = f"videos/{plan.id}.mp4"
    with _into_place(out / video) as partial:
        write_video(partial, clip.images, motion.fps, clip.shot.crf)
    _write_truth(out / f"truth/{plan.id}.npz", clip, plan, spans)
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
    with _into_place(_done(out, plan)) as partial, pyarrow.OSFile(str(partial), "wb") as sink:
        table = pyarrow.Table.from_pylist([row], schema=FEATURES.arrow_schema)
        with pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return len(clip.images), process_time() - began


def _done(out: Path, plan: ClipPlan) -> Path:
    return out / "work" / f"{plan.id}.arrow"


def description(config: SynthConfig, seed: int, limit: int | None) -> dict[str, Any]:
    """What `config.json` holds: everything the bytes of the corpus depend on, apart from the versions of other packages."""
    return {
        "signsynth": tracks.VERSION,
        "format": FORMAT,
        "seed": seed,
        "limit": limit,
        "config": config.describe(),
    }


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Writes config.json, or checks that the one there says the same."""
    path = out / "config.json"
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SignXDataError(
                f"{path}: not JSON ({error}); wanted what SignSynth writes; take an empty folder"
            ) from error
        if found != wanted:
            key = next(
                (key for key in wanted if not isinstance(found, dict) or found.get(key) != wanted[key]), "config"
            )
            there = found.get(key) if isinstance(found, dict) else found
            raise SignXDataError(
                f"{path}: {key} is {json.dumps(there)}; wanted {json.dumps(wanted[key])}; take another folder, or delete this one"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise SignXDataError(f"{out}: not empty, and no config.json of SignSynth in it; take an empty folder")
    with _into_place(path) as partial:
        partial.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _assemble(out: Path, task: str, split: str, plans: list[ClipPlan]) -> None:
    """The rows of one split as an Arrow file, in the order of the plan."""
    with (
        _into_place(out / f"{task}_{split}.arrow") as partial,
        pyarrow.OSFile(str(partial), "wb") as sink,
        pyarrow.ipc.new_file(sink, FEATURES.arrow_schema) as writer,
    ):
        for start in range(0, len(plans), BATCH):
            parts = []
            for plan in plans[start : start + BATCH]:
                with pyarrow.OSFile(str(_done(out, plan))) as file:
                    parts.append(pyarrow.ipc.open_file(file).read_all())
            writer.write_table(pyarrow.concat_tables(parts).combine_chunks())


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables for processes that start meanwhile; those that the user has set stay."""
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _make_all(job: Job, plans: list[ClipPlan], jobs: int, step: Callable[[], Any]) -> tuple[int, float]:
    frames, seconds = 0, 0.0
    if jobs == 1:
        for plan in plans:
            made = make_clip(job, plan)
            frames, seconds = frames + made[0], seconds + made[1]
            step()
        return frames, seconds
    # spawned, not forked: an OpenGL context and threads do not survive a fork
    with _environment(SINGLE_THREAD), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(make_clip, job, plan) for plan in plans]
        try:
            for future in as_completed(waiting):
                made = future.result()
                frames, seconds = frames + made[0], seconds + made[1]
                step()
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
    """Builds a corpus in `out`, or goes on where it was interrupted; a finished one is left as it is.

    Args:
        config: a `SynthConfig`, or the name of one.
        jobs: processes. The bytes do not depend on it.
        limit: at most so many clips, taken in turn from tasks and splits; for a look.
        progress: a bar on standard error.

    Raises:
        SignXDataError: unknown configuration, a folder with something else in it, or with a corpus of another configuration, seed
            or limit.
        ImportError: names the extra `synth`.
    """
    config = named(config) if isinstance(config, str) else config
    if jobs < 1 or (limit is not None and limit < 1) or seed < 0:
        raise SignXDataError(
            f"jobs {jobs}, limit {limit}, seed {seed}; wanted at least 1 job, a limit of at least 1 or none, and a seed from 0"
        )
    out = Path(out).expanduser()
    plans = plan_corpus(config, seed)[:limit]
    _claim(out, description(config, seed, limit))
    groups = {
        (task, split): [p for p in plans if (p.task, p.split) == (task, split)] for task in TASKS for split in SPLITS
    }
    groups = {key: sorted(group, key=lambda plan: plan.id) for key, group in groups.items() if group}
    open_groups = [key for key in groups if not (out / f"{key[0]}_{key[1]}.arrow").is_file()]
    left = [p for p in plans if (p.task, p.split) in open_groups and not _done(out, p).is_file()]
    with tqdm(
        total=len(plans), initial=len(plans) - len(left), unit="clip", disable=not progress, file=sys.stderr
    ) as bar:
        frames, seconds = _make_all(Job(config, seed, str(out)), left, min(jobs, max(len(left), 1)), bar.update)
    for task, split in open_groups:
        _assemble(out, task, split, groups[task, split])
    shutil.rmtree(out / "work", ignore_errors=True)
    return BuildReport(out, len(plans), len(left), frames, seconds)


def digest(out: str | os.PathLike) -> str:
    """SHA-256 over the names and bytes of all files of a corpus."""
    total, out = hashlib.sha256(), Path(out)
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(out).as_posix()}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
