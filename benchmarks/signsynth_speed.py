"""How many frames a second does one core make, from the plan of a clip to its video and five tracks on disk?

    python benchmarks/signsynth_speed.py [--clips 4]

Signing, drawing, depth and part grids, noisy tracks, H.264 and the truth beside it are all in; processor time of one process,
with one thread for everything, Mesa's software renderer included. Prints a table and writes results/signsynth_speed.json beside
this file.
"""

import os

# read when numpy and Mesa are loaded, so before the imports below
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["LP_NUM_THREADS"] = "1"

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import common
import numpy as np

from signx_hf.data.signsynth import tracks
from signx_hf.data.signsynth.appearance import clip_shot, signer_look
from signx_hf.data.signsynth.build import Job, clip_generator, make_clip
from signx_hf.data.signsynth.clip import framing
from signx_hf.data.signsynth.configs import CONFIGS
from signx_hf.data.signsynth.keypoints import anchors
from signx_hf.data.signsynth.mesh import mesh
from signx_hf.data.signsynth.plan import perform_clip, plan_corpus
from signx_hf.data.signsynth.render import ClipPainter, Renderer

SIZES = (224, 128, 112)


def whole(size: int, count: int) -> dict[str, float]:
    """Frames a second of processor and of wall time, everything included."""
    config = replace(CONFIGS["small"], size=size)
    plans = [plan for plan in plan_corpus(config, 0) if plan.task == "continuous"][: count + 1]
    with tempfile.TemporaryDirectory() as folder:
        job = Job(config, 0, folder)
        make_clip(job, plans[0])  # opens the window and builds the mesh
        began, frames, seconds = time.perf_counter(), 0, 0.0
        for plan in plans[1:]:
            made = make_clip(job, plan)
            frames, seconds = frames + made[0], seconds + made[1]
        wall = time.perf_counter() - began
        size_mp4 = sum(path.stat().st_size for path in Path(folder).rglob("*.mp4"))
    return {
        "frames": frames,
        "frames_per_second_of_a_core": round(frames / seconds, 1),
        "frames_per_second_wall": round(frames / wall, 1),
        "video_bytes_per_frame": round(size_mp4 / frames),
    }


def steps(size: int, frames: int = 48) -> dict[str, float]:
    """Milliseconds of processor time for a frame, step by step."""
    plan = plan_corpus(CONFIGS["small"], 0)[0]
    generator = clip_generator(0, plan.id)
    took: dict[str, float] = {}

    def clock(step: str, began: float) -> None:
        took[step] = round((time.process_time() - began) / frames * 1000, 2)

    began = time.process_time()
    motion = perform_clip(plan, generator, 25.0)
    took["motion"] = round((time.process_time() - began) / len(motion.rows) * 1000, 2)
    rows, body = motion.rows[:frames], mesh(tuple(plan.signer.shape))
    renderer = Renderer(size)
    began = time.process_time()
    transforms = body.transforms(rows)
    vertices, normals = body.pose(rows, transforms)
    clock("pose", began)
    shot = clip_shot(generator, framing(body, anchors(body, transforms)))
    shot = replace(shot, blur=0.5, shutter=0.4)
    painter = ClipPainter(renderer, body, signer_look(plan.signer), shot, generator)
    renderer.visible(body, vertices[0], shot)
    began = time.process_time()
    for frame in range(frames):
        renderer.visible(body, vertices[frame], shot)
    clock("visible", began)
    began = time.process_time()
    velocity = np.gradient(shot.camera.project(vertices, size)[..., :2], axis=0).astype(np.float32)
    pictures = [painter.draw(vertices[frame], normals[frame], velocity[frame]) for frame in range(frames)]
    clock("visible_and_shade", began)
    began = time.process_time()
    for picture in pictures:
        tracks.grid_rows(picture.depth, picture.parts)
    clock("grids", began)
    renderer.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=3)
    count = parser.parse_args().clips
    results = {}
    for size in SIZES:
        results[str(size)] = whole(size, count) | {"milliseconds_per_frame": steps(size)}
        print(size, results[str(size)])
    content = {"hardware": common.hardware(1), "load_average": common.load_average(), "commit": common.commit()}
    content |= {"versions": common.versions("numpy", "mannequin-x", "vtk", "av"), "results": results}
    common.write_json(common.RESULTS / "signsynth_speed.json", content)


if __name__ == "__main__":
    main()
