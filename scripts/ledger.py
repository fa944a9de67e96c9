"""Writes benchmarks/ledger.md: what the three papers claim, what open data say of it here, and what nobody can check here.

    python scripts/ledger.py

Published numbers are the papers' own, on other data, so a gap between a published number and ours says how far data and model are
apart and no more. What can be checked on other data is a trend: which of two systems is better. Its verdict comes from a rule, not from
a reader: the two are tested on the same clips (`signx_hf.metrics.paired_test`, two-sided, 5 %); "holds" is a significant difference as
published, "does not hold here" one the other way, "not settled" neither.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from common import RESULTS, write_text  # noqa: E402

PAGE = RESULTS.parent / "ledger.md"
LEVEL = 0.05
HEAD = """# What the papers claim and what was found here

Made by `scripts/ledger.py` from the records in `benchmarks/results`; no number of ours is typed by hand. **Published** numbers are
those of the papers, on corpora that may not be passed on. **Ours** are on open data, named in each line; SignSynth is made-up signing, and
what holds on it need not hold on people. Lower WER is better. Where a claim compares two systems, the difference is the first less
the second. Such a trend is tested clip by clip (two-sided, 5 %; it says nothing of other training runs):
it *holds*, *does not hold here* (a significant difference the other way) or is *not settled*.
"""


@dataclass(frozen=True)
class Finding:
    """What records say of a claim. gap: ours less published; verdict: of the rule above, or what else there is to say."""

    ours: str
    gap: str
    verdict: str
    data: str
    command: str
    seeds: str


@dataclass(frozen=True)
class Claim:
    """A claim of a paper. published: its numbers. read: records by name -> Finding, None while no record speaks of it."""

    paper: str
    place: str
    says: str
    published: str
    read: Callable[[dict[str, Any]], Finding | None]
    command: str = "python benchmarks/accuracy/ablations.py --data synth_small"


@dataclass(frozen=True)
class System:
    """One side of a trend. errors: of each clip, for each seed."""

    name: str
    wer: float
    errors: list[list[int]]


def verdict(better: System, worse: System) -> tuple[str, float]:
    """Whether the one that the paper has in front is in front here, and the p-value; errors are means over the seeds."""
    from signx_hf.metrics import paired_test

    first, second = ([sum(clip) / len(side.errors) for clip in zip(*side.errors)] for side in (better, worse))
    # swapping the results of clips asks for the sum of their words alone
    difference, p = paired_test(first, second, [1] * len(first))
    if p >= LEVEL:
        return "not settled", p
    return ("holds" if difference > 0 else "does not hold here"), p


def _listed(seeds: Any) -> str:
    return ", ".join(map(str, seeds))


def trend(
    better: System, worse: System, published: float | None, data: str, record: dict[str, Any], seeds: Any
) -> Finding:
    """Two systems on the same clips; published: points of WER by which the first is lower, below 0."""
    word, p = verdict(better, worse)
    step = round(better.wer, 1) - round(worse.wer, 1)  # as a reader of the line computes it
    return Finding(
        f"{better.name} {better.wer:.1f}, {worse.name} {worse.wer:.1f} (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})",
        f"{step:+.1f}" if published is None else f"{step:+.1f} where {published:+.1f} is published",
        f"**{word}**", data, record["command"], _listed(seeds),
    )  # fmt: skip


def ablation(
    part: str, better: str, worse: str, published: float | None = None, other: str | None = None, caveat: str = ""
) -> Callable:
    """Two lines of the tables of `ablations.py`. part: of both, or of the better where `other` is that of the worse."""

    def read(records: dict[str, Any]) -> Finding | None:
        study = records.get("ablations", {})
        sides = []
        for name, place in ((better, part), (worse, other or part)):
            if name not in (line := study.get(place, {}).get("result", {})):
                return None
            sides.append(System(name, line[name]["wer"], line[name]["errors_by_clip"]))
        found = trend(*sides, published, SMALL, study[other or part], study[part]["seeds"])
        if other:
            found = replace(
                found,
                seeds=f"{found.seeds}; {worse}: {_listed(study[other]['seeds'])}",
                verdict=f"{found.verdict}{caveat}",
            )
        return found

    return read


def ways(record: str, better: str, worse: str, data: str) -> Callable:
    """Two ways to decode with the same checkpoints."""
    names = {"ctc": "CTC", "joint": "decoder and CTC together", "decoder": "decoder"}

    def read(records: dict[str, Any]) -> Finding | None:
        if (found := records.get(record)) is None:
            return None
        sides = (System(names[way], *_way(found, way)) for way in (better, worse))
        return trend(*sides, None, data, found, found["seeds"])

    return read


def _way(record: dict[str, Any], way: str) -> tuple[float, list[list[int]]]:
    return record[way]["wer"], [seed["wer"][way]["errors_by_clip"] for seed in record["seeds"].values()]


def video_before_poses(records: dict[str, Any]) -> Finding | None:
    """SignX-1 reads video a little better than poses. The video path is the better of two, trained on more people."""
    if not {"signsynth_crowd", "signsynth_pose"} <= records.keys():
        return None
    video, poses = records["signsynth_crowd"], records["signsynth_pose"]
    sides = System("video", *_way(video, "joint")), System("poses", *_way(poses, "joint"))
    return trend(*sides, None, SMALL, video, video["seeds"])


def frames_a_second(records: dict[str, Any]) -> Finding | None:
    """Table 8."""
    if (found := records.get("ablations", {}).get("speed")) is None:
        return None
    latents, pixels = (found["result"][way]["frames_per_cpu_second"] for way in ("latents", "pixels"))
    times = latents / pixels
    return Finding(
        f"latents {latents:.0f}, pixels {pixels:.0f} frames a CPU second: {times:.1f} times", f"{times / (2.42 / 0.57):.1f} times the published ratio",
        f"**{'holds' if times > 1 else 'does not hold here'}** (one run, no test)", SMALL, found["command"], "0",
    )  # fmt: skip


def compression(records: dict[str, Any]) -> Finding:
    """How many frames a feature step stands for; from the configuration of the paper's model alone."""
    from signx_hf import SignXConfig

    shares = {}
    for frames in (136, 74, 106):
        steps = frames
        for pool in SignXConfig().recognizer_config.pool_sizes:
            steps = math.ceil(steps / pool)  # `SignXTemporalConv`
        shares[frames] = frames / steps
    word = "holds" if all(abs(share - 4) < 0.5 for share in shares.values()) else "does not hold here"
    ours = ", ".join(f"{frames} frames {share:.2f}x" for frames, share in shares.items())
    gaps = ", ".join(f"{shares[frames] - share:+.2f}" for frames, share in ((136, 3.89), (74, 3.70), (106, 3.79)))
    return Finding(ours, gaps, f"**{word}**", "the model of the paper's sizes", "python scripts/ledger.py", "none")


def isolated_signs(count: int, published: float) -> Callable[[dict[str, Any]], Finding | None]:
    """WLASL, of which the public part is half. Another model on other test clips, so there is a gap and no verdict."""

    def read(records: dict[str, Any]) -> Finding | None:
        if (found := records.get("wlasl_official")) is None:
            return None
        top1, top5 = (found["mean"][f"wlasl{count}"][key][0] for key in ("top1", "top5"))
        clips = next(iter(found["seeds"].values()))[f"wlasl{count}"]["clips"]
        return Finding(
            f"top-1 {top1:.1f}, top-5 {top5:.1f} ({clips} clips)", f"{top1 - published:+.1f}",
            "not comparable clip by clip: SignX's classifier of isolated signs on hands alone, half of the clips, one model of 2,000 glosses",
            "public part of WLASL (real signing, hands alone), official split, accuracy in %", found["command"], ", ".join(map(str, found["seeds"])),
        )  # fmt: skip

    return read


SMALL = "SignSynth small (made-up signing), WER in %"
BOSTON = "RWTH-BOSTON-104 (real signing, hand tracks), WER in %"
FULL = 26.59  # table 9: all tracks
ZEROED = {"smplerx": 29.65, "dwpose": 32.31, "mediapipe": 29.37, "primedepth": 30.89, "sapiens": 30.53}
RGB = "RGB only"
UNTAUGHT = ", but pixels alone had hardly begun to learn after the frames that stage 2 saw"
CLAIMS = (
    Claim("SignX-1", "tables of results", "glosses from video are no worse than from poses", "BLEU 12.01 and 10.60, ASLLRP", video_before_poses),
    Claim("SignX-1", "WLASL", "top-1 of 100 glosses", "68.02 %", isolated_signs(100, 68.02), "python benchmarks/accuracy/wlasl.py"),
    Claim("SignX-1", "WLASL", "top-1 of 300 glosses", "62.15 %", isolated_signs(300, 62.15), "python benchmarks/accuracy/wlasl.py"),
    Claim("SignX-4", "WLASL-2000", "per-instance top-1", "68.29 %", isolated_signs(2000, 68.29), "python benchmarks/accuracy/wlasl.py"),
    Claim("SignX-4", "section 3.2, examples", "a feature step stands for about four frames (within 0.5)", "136 frames 3.89x, 74 3.70x, 106 3.79x", compression),
    Claim("SignX-4", "figure 4", "latent + SLR is better than latent", "a bar chart", ablation("pipeline", "latent + SLR", "latent")),
    Claim("SignX-4", "figure 4", "refined is better than latent", "a bar chart", ablation("pipeline", "refined", "latent")),
    Claim("SignX-4", "figure 4", "refined is better than latent + SLR", "a bar chart", ablation("pipeline", "refined", "latent + SLR")),
    Claim("SignX-4", "figure 4", "a latent that learned from poses is better than one from pixels alone", "a bar chart", ablation("pipeline", "latent + SLR", RGB, other="rgb", caveat=UNTAUGHT)),
    Claim("SignX-4", "figure 4", "the full pipeline is better than a recognizer without the latent", "a bar chart", ablation("pipeline", "refined", RGB, other="rgb", caveat=UNTAUGHT)),
    Claim("SignX-4", "stage 4", "refinement is better than the CTC of stage 3", "no number", ways("boston104", "joint", "ctc", BOSTON)),
    Claim("SignX-4", "stage 4", "refinement with CTC is better than the decoder alone", "no number", ways("boston104", "joint", "decoder", BOSTON)),
    Claim("SignX-4", "table 8", "inference from latents is faster than from pixels", "2.42 and 0.57 frames/s: 4.2 times", frames_a_second),
    *(
        Claim("SignX-4", "table 9", f"the track {track} is of use", f"WER {FULL}, without it {zeroed}",
              ablation("tracks", "all tracks", f"without {track}", FULL - zeroed))
        for track, zeroed in ZEROED.items()
    ),
)  # fmt: skip
NO_DATA = "no copy of the corpus here; its owners do not let it be passed on"
NOT_BUILT = "the model is not in the package yet"
UNCHECKED = (
    ("SignX-1", "ASLLRP: Pose2Gloss BLEU 10.60, top-5 23.42, best 76.13; Video2Gloss 12.01, 21.86, 84.67", NO_DATA),
    ("SignX-1", "WER 18.6 (1,000 glosses), 24.3 (2,000)", NO_DATA),
    ("SignX-1", "diffusion in the latent space", NOT_BUILT),
    ("SignX-4", "ASLLRP: ROUGE 56.48, BLEU-1..4 51.65 / 42.31 / 35.19 / 29.64", NO_DATA),
    ("SignX-4", "PHOENIX-2014T: ROUGE 55.15, BLEU-4 29.91, WER 18.6", NO_DATA),
    ("SignX-4", "CSL-Daily: ROUGE 57.12, BLEU-4 28.58, WER 24.3", NO_DATA),
    ("SignX-4", "0.05 frames/s of a Transformer with a visual encoder, watts of table 8", "neither that peer nor a meter of watts is here"),
    ("SignX-4", "WER 26.59 from latents, 32.78 in pixel space (table 8)",
     "here both ways are one model, which gives the same glosses; the paper does not say what differs"),
    ("UniGloR", "PHOENIX-2014T and How2Sign, sign to text and text to sign (BLEU, ROUGE, MPJPE)", f"{NO_DATA}; {NOT_BUILT}"),
    ("UniGloR", "KSL-Guide-Word: top-1/5/10 95.03 / 97.82 / 98.00", f"{NO_DATA}; {NOT_BUILT}"),
    ("UniGloR", "ablations: decoder, queries, window, corpora, weights, stride", NOT_BUILT),
)  # fmt: skip


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def page(records: dict[str, Any]) -> str:
    """The ledger, from the records that are there."""
    checked, waiting = [], []
    for claim in CLAIMS:
        found = claim.read(records)
        if found is None:
            waiting.append(
                (claim.paper, f"{claim.says} ({claim.place}; {claim.published})", f"not run yet: `{claim.command}`")
            )
            continue
        checked.append((claim.paper, claim.place, claim.says, claim.published, found.ours, found.gap, found.verdict, found.data,
                        f"`{found.command}`", found.seeds))  # fmt: skip
    head = ("paper", "where", "it says", "published", "ours", "difference", "verdict", "data", "command", "seeds")
    lines = [
        HEAD,
        "## Checked",
        "",
        *_table(head, checked),
        "",
        "## Unchecked",
        "",
        *_table(("paper", "claim", "why"), (*waiting, *UNCHECKED)),
    ]
    return "\n".join(lines) + "\n"


def read_records() -> dict[str, Any]:
    """The records of `benchmarks/accuracy`, by what follows `accuracy_` in their names."""
    paths = sorted(RESULTS.glob("accuracy_*.json"))
    return {path.stem.removeprefix("accuracy_"): json.loads(path.read_text(encoding="utf-8")) for path in paths}


if __name__ == "__main__":
    write_text(PAGE, page(read_records()))
    print(PAGE.name, file=sys.stderr)
