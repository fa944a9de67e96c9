"""The plan of a corpus: who signs which sentence or sign in which split, decided before anything is rendered."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from ...processing.errors_signx import SignXError
from .configs import SPLITS, SynthConfig, named
from .grammar import Sentence, sentences
from .lexicon import Lexicon, lexicon
from .motion import HeadSpan, perform
from .motion_types import Motion, Signer
from .phonology import Sign
from .signers import signers

LANGUAGE_SEED = 0  # seed of the forms of signs; the seed of a corpus does not change its language


@dataclass(frozen=True)
class ClipPlan:
    """One planned clip.

    Attributes:
        signs: Signs for `motion.perform`.
        head: Movements of the head for `motion.perform`.
        text: English text, None for an isolated sign.
    """

    id: str
    task: str
    split: str
    signer: Signer
    signs: tuple[Sign, ...]
    text: str | None = None
    head: tuple[HeadSpan, ...] = ()


def lexicon_of(config: SynthConfig) -> Lexicon:
    """Return the lexicon of a configuration, the same for every seed."""
    return lexicon(config.glosses, LANGUAGE_SEED)


def perform_clip(plan: ClipPlan, generator: np.random.Generator, fps: float) -> Motion:
    """Return the motion of a planned clip."""
    return perform(plan.signs, plan.signer, generator, fps, plan.head)


def _beside(config: SynthConfig) -> Iterator[SynthConfig]:
    """Yield the corpora with which a corpus shares nothing: the one it stands beside, the one beside that, ..."""
    while config.beside:
        config = named(config.beside)
        yield config


def split_signers(config: SynthConfig, seed: int) -> dict[str, list[Signer]]:
    """Return the signers of each split; nobody is in two of them."""
    others = sum(sum(other.signers) for other in _beside(config))
    everybody = signers(others + sum(config.signers), seed)[others:]
    ends = np.cumsum(config.signers)
    return {split: everybody[end - count : end] for split, count, end in zip(SPLITS, config.signers, ends)}


def split_sentences(
    pool: Sequence[Sentence], config: SynthConfig, generator: np.random.Generator
) -> dict[str, list[Sentence]]:
    """Distribute distinct sentences to splits.

    No held-out sentence shares its glosses or its English with another split, and every gloss of it is in a sentence
    of train.

    Raises:
        SignXError: If there are too few sentences to hold out that many.
    """
    counts = dict(zip(SPLITS, config.sentences))
    left = Counter(gloss for sentence in pool for gloss in sentence.glosses)
    texts = Counter(sentence.text for sentence in pool)
    chosen: dict[str, list[Sentence]] = {split: [] for split in SPLITS}
    for index in generator.permutation(len(pool)):
        sentence, uses = pool[index], Counter(pool[index].glosses)
        spare = texts[sentence.text] == 1 and all(left[gloss] > count for gloss, count in uses.items())
        split = next((split for split in ("test", "dev") if spare and len(chosen[split]) < counts[split]), "train")
        if split != "train":
            left -= uses
        chosen[split].append(sentence)
    short = [split for split in SPLITS if len(chosen[split]) < counts[split]]
    if short:
        raise SignXError(
            f"{len(pool)} sentences leave {len(chosen[short[0]])} for {short[0]}, which needs {counts[short[0]]}. Ask for fewer "
            "held-out sentences."
        )
    return chosen


def corpus_sentences(config: SynthConfig, words: Lexicon, generator: np.random.Generator, seed: int) -> list[Sentence]:
    """Return the distinct sentences of a corpus, none of which is in a corpus that it stands beside."""
    taken = {
        sentence.glosses
        for other in _beside(config)
        for sentence in corpus_sentences(other, lexicon_of(other), _chance_of_sentences(seed), seed)
    }
    pool = sentences(words, sum(config.sentences) + len(taken), generator)
    return [sentence for sentence in pool if sentence.glosses not in taken][: sum(config.sentences)]


def _chance_of_sentences(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 0x5E27])


def _continuous(config: SynthConfig, words: Lexicon, people: dict[str, list[Signer]], seed: int) -> Iterator[ClipPlan]:
    generator = _chance_of_sentences(seed)
    pool = corpus_sentences(config, words, generator, seed)
    number = 0
    for (split, chosen), takes in zip(split_sentences(pool, config, generator).items(), config.takes):
        signers_here = people[split]
        for sentence in chosen:
            order = generator.permutation(len(signers_here))
            for who in order[: min(takes, len(order))]:
                signer = signers_here[who]
                signs = tuple(words[gloss].sign for gloss in sentence.glosses)
                clip = f"{split}-s{number:05d}-{signer.id}"
                yield ClipPlan(clip, "continuous", split, signer, signs, sentence.text, sentence.head)
            number += 1


def _isolated(config: SynthConfig, words: Lexicon, people: dict[str, list[Signer]]) -> Iterator[ClipPlan]:
    for split, takes in zip(SPLITS, config.isolated):
        for number, sign in enumerate(words.signs):
            for take in range(takes):
                signer = people[split][(number + take) % len(people[split])]
                yield ClipPlan(f"{split}-g{number:04d}-{take}-{signer.id}", "isolated", split, signer, (sign,))


def plan_corpus(config: SynthConfig, seed: int) -> list[ClipPlan]:
    """Return all clips, with tasks and splits taking turns, so that the first few are a fair sample.

    Raises:
        SignXError: If the lexicon does not yield that many sentences.
    """
    words, people = lexicon_of(config), split_signers(config, seed)
    groups: dict[tuple[str, str], list[ClipPlan]] = {}
    for plan in (*_continuous(config, words, people, seed), *_isolated(config, words, people)):
        groups.setdefault((plan.task, plan.split), []).append(plan)
    return [plan for turn in zip_longest(*groups.values()) for plan in turn if plan is not None]
