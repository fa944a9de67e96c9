"""Make clips to evaluate on, and options of evaluations."""

from pathlib import Path

from make_model import FPS, GLOSSES, make_poses

from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.evaluation import EvaluationOptions

FRAMES = (20, 33, 12, 26, 41, 17, 24)


def make_rows(isolated: bool = False) -> list[dict]:
    """Clips of three signers, of different lengths, with sentences that an untrained model will hardly guess."""
    rows = []
    for place, frames in enumerate(FRAMES):
        glosses = [GLOSSES[place % 3]] if isolated else [GLOSSES[(place + k) % 7] for k in range(1 + place % 4)]
        share = frames / FPS / len(glosses)
        rows.append(
            make_row(
                id=f"clip/{place}", fps=FPS, num_frames=frames, signer=f"s{place % 3}", split="test", glosses=glosses,
                segments=[{"gloss": g, "start": k * share, "end": (k + 1) * share} for k, g in enumerate(glosses)],
                poses=encode_poses(make_poses(frames, seed=place), fps=FPS),
            )
        )  # fmt: skip
    return rows


def save(rows: list[dict], path: Path) -> str:
    to_dataset(rows, "test").save_to_disk(str(path))
    return str(path)


def options(base: Path, dataset: str = "clips", out: str = "out", **others) -> EvaluationOptions:
    given = {"model": str(base / "model"), "source": "poses", "rounds": 200, **others}
    return EvaluationOptions(dataset=str(base / dataset), out=str(base / out), **given)
