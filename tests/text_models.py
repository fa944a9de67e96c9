"""A corpus with glosses and German text, and models that learned some of it; for tests of translation."""

from pathlib import Path

from datasets import load_from_disk
from training_runs import SIGNS, make_corpus, options, run

from signx_hf.data.schema import decode_poses

SAID = dict(zip(SIGNS, ("Ich bin hier", "ärgere mich", "sehr müde", "die Größe")))


def make_text_corpus(folder: Path) -> Path:
    """Eight clips of poses, each with glosses and their words."""
    rows = load_from_disk(str(make_corpus(folder / "glosses", clips=8)))
    rows.map(lambda row: {"text": " ".join(SAID[gloss] for gloss in row["glosses"])}).save_to_disk(
        str(folder / "data")
    )
    return folder / "data"


def train_text_model(corpus: Path, out: Path, target: str) -> Path:
    """Thirty epochs: the model writes words, not all of them right."""
    given = {
        "dev_split": "train", "num_train_epochs": 30, "eval_epochs": 0, "save_epochs": 0, "learning_rate": 1e-2, "vocab_size": 560,
    }  # fmt: skip
    run("refine", options(corpus, out, target=target, **given))
    return out / "model"


def clips_of(corpus: Path) -> list[dict]:
    return [{"hands": decode_poses(row["poses"]).to_clip()["hands"]} for row in load_from_disk(str(corpus))]
