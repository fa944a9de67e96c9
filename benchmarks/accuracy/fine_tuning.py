"""Fine-tuning of the demo to ten signs that it never saw (SignSynth, made-up signing), and what it forgets.

signx-hf data synth small --out synth_small --jobs 2
python benchmarks/accuracy/fine_tuning.py --data synth_small --new synth_new --jobs 2
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

OLD, NEW = 100, 10  # glosses of SignSynth small, and the next ones of the lexicon
OTHERS = 265  # people of small, crowd and crowd2, whom the demo may have seen
PEOPLE = {"train": 10, "dev": 2, "test": 3}
CLIPS = {"train": 20, "dev": 3, "test": 5}  # of each new gloss, each another sentence


def plan(seed: int = 0) -> list:
    """Clips with one new gloss each, by people and in sentences that are in no other split."""
    from signx_hf.data.signsynth.grammar import sentences
    from signx_hf.data.signsynth.lexicon import lexicon
    from signx_hf.data.signsynth.plan import LANGUAGE_SEED, ClipPlan
    from signx_hf.data.signsynth.signers import signers

    words, generator = lexicon(OLD + NEW, LANGUAGE_SEED), np.random.default_rng([seed, 19])
    new, pool = list(words)[OLD:], sorted(sentences(words, 12000, generator), key=lambda s: len(s.glosses))
    people, plans, first, left = signers(OTHERS + sum(PEOPLE.values()), seed)[OTHERS:], [], 0, {}
    for gloss in new:  # the shortest sentences, in a random order
        shortest = [s for s in pool if [g for g in s.glosses if g in new] == [gloss]][: sum(CLIPS.values())]
        left[gloss] = [shortest[index] for index in generator.permutation(len(shortest))]
    for split, count in CLIPS.items():
        here, first = people[first : first + PEOPLE[split]], first + PEOPLE[split]
        for number, gloss in enumerate(new):
            for take in range(count):
                sentence, signer = left[gloss].pop(), here[(number + take) % len(here)]
                name = f"{split}-n{number}{take:02d}-{signer.id}"
                signs = tuple(words.signs_of(sentence.glosses))
                plans.append(ClipPlan(name, "continuous", split, signer, signs, sentence.text, sentence.head))
    return plans


def build(out: Path, jobs: int) -> None:
    """The corpus of `plan` in a folder, as `signx-hf data synth` writes one; finished clips are kept."""
    from signx_hf.data.signsynth.build import Job, _alone, _complete
    from signx_hf.data.signsynth.configs import named

    config = named("small")
    with _alone(out):
        runs.write_json(out / "config.json", {"signsynth": "1", "format": 1, "seed": 0, "plan": Path(__file__).name})
        _complete(Job(config, 0, str(out)), plan(), jobs, progress=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    plans = plan()
    print(len(plans), Counter((p.split, len(p.signs)) for p in plans))
    build(options.new, options.jobs)
