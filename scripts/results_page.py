"""Writes docs/results.md from the files in benchmarks/results. Typed by hand are only what others reach and how settings came about.

python scripts/results_page.py
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
HEAD = """# Results

Made by `scripts/results_page.py` from the records in `benchmarks/results/accuracy_*.json`, which hold command, options,
seeds, commit, a hash of the data, versions and hardware. Settings were chosen on held-out training data, but for what is said at Roy
ISL; test data was read after training alone. Intervals are 95 % bootstraps over clips, and over seeds where there are several.
"""


def _interval(entry: dict[str, Any]) -> str:
    low, high = entry["interval_95"]
    return f"{low:.1f} to {high:.1f}"


def _source(record: dict[str, Any]) -> str:
    return f"`{record['command']}`, commit {record['commit'][:12]}, {record['hardware']['cpu']}, one core."


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


def boston104(record: dict[str, Any]) -> list[str]:
    """Three ways to decode, seen and unseen sentences apart."""
    seeds = record["seeds"]
    lines = ["## RWTH-BOSTON-104: real signing, from hand tracks", "",
             f"Official split, {len(seeds)} seeds. A plain network of convolutions, BiGRU and CTC on the same tracks gives 39.9 %.", "",
             "| decoding | WER, % | interval | sentences seen in training | unseen | seeds |", "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for way, title in (("ctc", "CTC"), ("decoder", "decoder"), ("joint", "CTC and decoder together")):
        entry = record[way]
        each = ", ".join(f"{seed['wer'][way]['wer']:.1f}" for seed in seeds.values())
        lines.append(
            f"| {title} | **{entry['wer']:.1f}** | {_interval(entry)} | {entry['seen']:.1f} | {entry['unseen']:.1f} | {each} |"
        )
    times = ", ".join(_minutes(seed["seconds"]) for seed in seeds.values())
    return [*lines, "", f"Training took {times} (the longest with other work on the machine). {_source(record)}"]


def signsynth(path: str) -> Callable[[dict[str, Any]], list[str]]:
    """SignSynth small by one of its paths."""
    where = {"pose": "from poses", "video": "from video", "crowd": "from video, after training on many other people"}

    def section(record: dict[str, Any]) -> list[str]:
        clips = next(iter(record["seeds"].values()))["wer"]["ctc"]["clips"]
        lines = [f"## SignSynth small, {where[path]}: made-up signing", "",
                 f"{clips} sentences of signers ({', '.join(record['signers'])}) and sentences that are not in training "
                 f"({record['training_clips']} clips of {len(record['training_signers'])} signers); {len(record['seeds'])} seed.", "",
                 "| decoding | WER, % | interval |", "| --- | --- | --- |"]  # fmt: skip
        for way, title in (("ctc", "CTC"), ("decoder", "decoder"), ("joint", "CTC and decoder together")):
            lines.append(f"| {title} | **{record[way]['wer']:.1f}** | {_interval(record[way])} |")
        stages = next(iter(record["seeds"].values()))["stages"]
        times = ", ".join(
            f"{name} {_minutes(run['seconds'])} for {run['steps']} steps" for name, run in stages.items()
        )
        note = f" {record['note']}" if "note" in record else ""
        return [*lines, "", f"Training, with other work on the machine: {times}.{note} {_source(record)}"]

    return section


# How the settings came about: every signer of these folds is tested in one of them, and all folds had been measured before.
HISTORY = {
    "isolated": "Settings were changed twice after all folds had been measured with others, one seed each, judged on pairs of signers "
    "learned from six others; S03 and S04 are tested in the second fold, S06 in the third. From 86.8 to 88.6 %, on S03 and S04: places "
    "from the spine in one metric unit, distances of joints, residual dilated convolutions, one pooling in place of two, no pose layers, "
    "less dropout on poses and 20 epochs in place of 16 changed together. From 88.6 %: 50 epochs, on S03 and S04 (84.8 to 86.3 %) and on "
    "S03 and S06 (83.5 to 85.0 %). Learned from eight signers in place of six, these pairs have 87.6 and 88.3 % with the same settings.",
    "concat": "Settings were changed after all folds had been measured with others (25.8 %): twice the sentences, 9 epochs in place of 7.5 (2.4 "
    "times as many steps) and residual dilated convolutions, judged on S03 and S06 learned from six signers, who are tested in the "
    "second and third fold: 36.7 % before, 18.9 % after.",
}


def roy(task: str) -> Callable[[dict[str, Any]], list[str]]:
    """Roy ISL, signers that training has not seen."""

    def section(record: dict[str, Any]) -> list[str]:
        number, unit = ("accuracy", "accuracy, %") if task == "isolated" else ("wer", "WER, %")
        title = (
            "isolated signs" if task == "isolated" else "semi-synthetic sentences (clips of one signer put in a row)"
        )
        peer = "A plain TCN gives 87.7 %." if task == "isolated" else "A plain TCN with CTC gives 34 % on two signers."
        lines = [f"## Roy ISL: real signs, Kinect skeletons, {title}", "", f"Signers that are not in training. {peer}", "",
                 f"| signers left out | {unit} |", "| --- | --- |"]  # fmt: skip
        lines += [f"| {', '.join(fold['signers'])} | {fold[number]:.1f} |" for fold in record["folds"].values()]
        lines += [f"| **mean** | **{record[number]['mean']:.1f}** |", "", HISTORY[task], ""]
        return [*lines, _source(record)]

    return section


def fingerspelling(record: dict[str, Any]) -> list[str]:
    """Letters of a language that training has not seen."""
    lines = ["## Finger-spelling: real letters, MediaPipe, one language left out", "",
             f"{record['data']}. 5 nearest neighbors on the right hand give 44.6 %.", "",
             f"Accuracy **{record['accuracy']:.1f} %** of all clips, {record['mean_of_languages']:.1f} % as a mean of languages.", "",
             "| language | right | clips |", "| --- | --- | --- |"]  # fmt: skip
    lines += [
        f"| {name} | {found['right']} | {found['clips']} |" for name, found in sorted(record["languages"].items())
    ]
    return [*lines, "", _source(record)]


NAMES = {"pipeline": "What each stage adds, from video (figure 4 of the paper)", "rgb": "From pixels alone, never shown a pose, for as many frames as stage 2 saw: too few to learn from nothing",
         "tracks": "Each pose track hidden and the rest tuned (table 9 of the paper)"}  # fmt: skip


def ablations(record: dict[str, Any]) -> list[str]:
    """The paper's ablations on SignSynth small."""
    lines = ["## Ablations on SignSynth small: made-up signing"]
    for part, title in NAMES.items():
        if part in record:
            lines += ["", f"**{title}**", ""]
            if "base" in record[part]:
                lines += [f"Tuned from `{record[part]['base']}`.", ""]
            lines += ["| | WER, % | interval | seeds |", "| --- | --- | --- | --- |"]
            for name, entry in record[part]["result"].items():
                seeds = ", ".join(f"{value:.1f}" for value in entry["seeds"])
                lines.append(f"| {name} | {entry['wer']:.1f} | {_interval(entry)} | {seeds} |")
            lines += ["", _source(record[part])]
    if "speed" in record:
        lines += [
            "",
            "**Latents against pixels (table 8 of the paper)**",
            "",
            "| from | frames a CPU second | WER, % |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {way} | {entry['frames_per_cpu_second']:.0f} | {entry['wer']:.1f} |"
            for way, entry in record["speed"]["result"].items()
        ]
        lines += ["", _source(record["speed"])]
    return lines


# Published from poses of body and hands, with about twice as many clips, on the official test part (SPOTER, GCN-BERT, SignX-1).
PUBLISHED = {
    "wlasl100": "SPOTER 63.2, GCN-BERT 60.2, SignX-1 68.0",
    "wlasl300": "SPOTER 43.8, GCN-BERT 42.2, SignX-1 62.2",
}
WLASL = {
    "official": (
        "official split", "Trained on its train and val parts, tested on test; settings were chosen with the val part and five training "
        "signers held out. The split shares signers between its parts, and 144 of the test clips are in training, too, all but nine of them "
        "under another gloss, which bounds what 2,000 glosses can reach. Published numbers are from body and hands, with about twice "
        "the clips, and other test clips.",
    ),
    "signer": (
        "signers never seen", "Folds by signer, settings as above: the signers held out to choose them are tested in these folds, too. "
        "Intervals are over signers.",
    ),
}  # fmt: skip


def _folds_done(folds: list[str], signers: int) -> str:
    """Which of the five folds there are; each that is missing is 43 minutes of one core."""
    done = sorted(set(folds))
    if len(done) == 5:
        return f"All {signers} signers are tested, each once."
    return f"**Only {len(done)} of five folds are measured so far** (fold {', '.join(done)}; {signers} signers)."


def wlasl(split: str) -> Callable[[dict[str, Any]], list[str]]:
    """WLASL from hands: one model of all glosses, its answers restricted to the first ones."""

    def section(record: dict[str, Any]) -> list[str]:
        title, words = WLASL[split]
        first = next(iter(record["seeds"].values()))
        last = ", published from poses" if split == "official" else ""
        if split == "signer":
            words += " " + _folds_done([key.partition("-")[0] for key in record["runs"]], len(first["by_signer"]))
        lines = [f"## WLASL: real signs, hands alone, {title}", "",
                 f"One model of 2,000 glosses on the public part of WLASL (MediaPipe hands, no body, no face). {words}", "",
                 f"| glosses | clips | top-1, % | top-5, % | top-1 per class | top-5 per class | interval of top-1 | of top-5 |{' published |' if last else ''}",
                 f"| --- | --- | --- | --- | --- | --- | --- | --- |{' --- |' if last else ''}"]  # fmt: skip
        for name, found in record["mean"].items():
            values = " | ".join(f"{found[key][0]:.1f}" for key in ("top1", "top5", "top1_per_class", "top5_per_class"))
            ends = [
                " to ".join(f"{v:.1f}" for v in first["interval_95_over_signers"][name][top])
                for top in ("top1", "top5")
            ]
            lines.append(
                f"| first {name.removeprefix('wlasl')} | {first[name]['clips']} | {values} | {' | '.join(ends)} |"
                + (f" {PUBLISHED.get(name, '')} |" if last else "")
            )
        for name, found in record.get("without_copies", {}).get("0", {}).items():
            values = " | ".join(f"{found[key]:.1f}" for key in ("top1", "top5", "top1_per_class", "top5_per_class"))
            lines.append(
                f"| first {name.removeprefix('wlasl')}, without clips that are in training | {found['clips']} | {values} | | | |"
            )
        runs = list(record["runs"].values())
        times = ", ".join(_minutes(run["seconds"]) for run in runs)
        seeds = "one seed" if len(record["seeds"]) == 1 else f"{len(record['seeds'])} seeds"
        return [
            *lines,
            "",
            f"{seeds.capitalize()}; training took {times}, other work on the machine. {_source(record)}",
        ]

    return section


def own_signs(record: dict[str, Any]) -> list[str]:
    """Signs that pre-training has never seen."""
    ways = list(next(iter(record["mean"].values())))
    lines = ["## Signs of one's own: glosses that pre-training has never seen", "",
             f"{len(record['left_out'])} glosses of WLASL were left out of pre-training; {len(record['draws'][0]['signs'])} of them are taught by some "
             f"signers and tested on others, {len(record['draws'])} drawings of signs and signers. Top-1, %, with the standard deviation over drawings.", "",
             f"| clips a sign | {' | '.join(ways)} |", f"| --- |{' --- |' * len(ways)}"]  # fmt: skip
    for count, found in record["mean"].items():
        cells = (
            f"{found[way][0]:.1f}" + (f" ({found[way][1]:.1f})" if found[way][1] is not None else "") for way in ways
        )
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return [*lines, "", _source(record)]


def not_sure(record: dict[str, Any]) -> list[str]:
    """Signs outside a vocabulary."""
    clips, known, strict, shipped = (record[name] for name in ("clips", "known", "strict", "shipped"))
    lines = ["## Not sure: signs outside a vocabulary of 100, signers never seen", "",
             f"{clips['known']} clips of the first 100 glosses of WLASL and {clips['unknown']} of the other 1,900, asked of models of 2,000 glosses "
             f"with the vocabulary of 100 (fold {', '.join(map(str, record['folds']))} by signer). Temperature and threshold are fitted on other "
             "signers than those who are tested.", "",
             "| score | AUROC, all known clips | AUROC, those whose answer is right |", "| --- | --- | --- |"]  # fmt: skip
    lines += [
        f"| {name} | {value:.3f} | {record['auroc_of_right_answers'][name]:.3f} |"
        for name, value in sorted(record["auroc"].items(), key=lambda item: -item[1])
    ]
    return [*lines, "", f"With `{shipped['score']}` and a threshold that {100 * record['accept_right']:.0f} % of the right answers reach, of the known clips "
            f"{known['right']:.1f} % are answered rightly, {known['wrong']:.1f} % wrongly, {known['refused']:.1f} % not at all; of the unknown ones "
            f"{record['unknown_refused']:.1f} % are refused. With all 2,000 signs as the vocabulary and a threshold of {strict['threshold']:g}, {strict['right']:.1f} % "
            f"are answered rightly, {strict['wrong']:.1f} % wrongly, {strict['refused']:.1f} % not at all. `asl` ships with temperature {shipped['temperature']:.3g} "
            f"and threshold {shipped['threshold']:.3g}.", "", _source(record)]  # fmt: skip


def dgs30(record: dict[str, Any]) -> list[str]:
    """German Sign Language."""
    return ["## German Sign Language: 30 words from hands, five folds of clips", "",
            "Who signs is not known, so clips of one signer are in training and test alike.", "",
            "| top-1, % | interval over clips | top-5, % | top-1 per sign |", "| --- | --- | --- | --- |",
            f"| {record['top1'][0]:.1f} | {_interval(record)} | {record['top5'][0]:.1f} | {record['top1_per_sign'][0]:.1f} |", "", _source(record)]  # fmt: skip


def asl_letters(record: dict[str, Any]) -> list[str]:
    """Letters that are held still."""
    lines = ["## Letters of the American manual alphabet: a learner left out", "",
             "24 letters that are held still (not J and Z), from one hand. The recipe of each test is chosen among two without the learner who is tested.", "",
             "| learner left out | letters | frames | top-1, % | letter error rate of made-up words, % |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, found in record["learners"].items():
        one = next(iter(found["seeds"].values()))
        rate = one["spelled"]["letter_error_rate"] if one.get("spelled") else None
        lines.append(f"| {name} | {one['letters']} | {one['frames']} | {one['top1']:.1f} | {'' if rate is None else f'{rate:.1f}'} |")  # fmt: skip
    lines += [f"| **mean** | | | **{record['top1'][0]:.1f}** | {record['letter_error_rate']:.1f} |", ""]
    if "lexicon" in record:
        other = record["lexicon"]
        lines += [f"{other['data']}: {other['right']} of {other['letters']} right with a model of all four.", ""]
    return [*lines, _source(record)]


def _said(parts: list[dict[str, Any]]) -> list[str]:
    return [f"- {' '.join(one['signed'])} → {' '.join(one['said']) or '(nothing)'}" for one in parts]


def joined(glosses: int) -> Callable[[dict[str, Any]], list[str]]:
    """Semi-synthetic sentences of signers never seen."""

    def section(record: dict[str, Any]) -> list[str]:
        return [f"## Sentences joined of clips (semi-synthetic), {glosses} glosses, signers never seen", "",
                f"Real clips of WLASL, joined to sentences of two to six; signers of fold {record['fold']}, whom neither body nor recognizer has seen.", "",
                "| way | WER, % |", "| --- | --- |", f"| CTC on the body of a model of isolated signs | {record['ctc']['wer']:.1f} |",
                f"| spotting with that model, {len(record['spotting']['errors_by_clip'])} of the sentences | {record['spotting']['wer']:.1f} |", "", _source(record)]  # fmt: skip

    return section


def webcam(record: dict[str, Any]) -> list[str]:
    """Six real sentences."""
    lines = ["## Sentences of a webcam: real signing of learners", "",
             "Six sentences, nothing of them trained on, no language model. Several settings were tried on them in passing, so this is no blind test.", "",
             "| way | WER, % |", "| --- | --- |", f"| CTC, trained on joined clips | {record['ctc']['wer']:.1f} |",
             f"| spotting with `asl` | {record['spotting']['wer']:.1f} |", ""]  # fmt: skip
    for way in ("ctc", "spotting"):
        lines += [f"{way}, signed → said:", "", *_said(record[way]["sentences"]), ""]
    return [*lines, _source(record)]


def copycat(record: dict[str, Any]) -> list[str]:
    """Real sentences of a game."""
    count = len(record["signers"])
    some = "" if count == 6 else f", **{count} of six measured so far**"
    lines = ["## CopyCat: real sentences, a signer and twelve phrases left out", "",
             f"Folds by signer{some}; twelve of the 58 phrases, drawn by seed, are trained on by none. CTC on the body of `asl`, tuned on the sentences of the "
             "other signers. The corpus states no licence, so no weights of this come with the package.", "",
             "| signer | phrases seen, WER % | phrases not seen, WER % | held-out training clips in the middle and at the end |",
             "| --- | --- | --- | --- |"]  # fmt: skip
    for name, found in record["signers"].items():
        lines.append(
            f"| {name} | {found['seen']['wer']:.1f} | {found['unseen']['wer']:.1f} | {', '.join(f'{rate:.1f}' for rate in found['dev_wer'])} |"
        )
    return [
        *lines, f"| **all** | **{record['seen']['wer']:.1f}** | **{record['unseen']['wer']:.1f}** | |", "",
        "The error on held-out clips was still falling: these runs are too short.", "", _source(record),
    ]  # fmt: skip


def dgs_spotting(record: dict[str, Any]) -> list[str]:
    """Frequent signs in sentences of native signers."""
    lines = ["## DGS Corpus: frequent signs found in sentences of native signers", "",
             f"{record['data']}. The {len(record['glosses'])} most frequent lexical glosses are taught to `{record['body']}`, which has seen American dictionary "
             "signing alone, from tokens of the other two signers, without training. Mean average precision over glosses, of all moments of all sentences, %.", "",
             "| signer | found | chance | annotation moved by half a sentence |", "| --- | --- | --- | --- |"]  # fmt: skip
    for name, found in [*record["signers"].items(), ("**mean**", record)]:
        lines.append(f"| {name} | {found['precision']:.1f} | {found['chance']:.1f} | {found['moved']:.1f} |")
    return [*lines, "", _source(record)]


def sign_stream(record: dict[str, Any]) -> list[str]:
    """Signs one after the other, live."""
    lines = ["## Live: forty signs of signers never seen, with rests between", "",
             "Landmarks of WLASL clips one after the other (semi-synthetic: the clips are real, their order is not), read by `signx-hf live --from-file`; vocabulary of "
             "the first 100 glosses.", "",
             "| recording | found | invented | begin off, s | end off, s | first answer right | among five |", "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, one in record["recordings"].items():
        lines.append(
            f"| {name} | {one['found']} of {one['signs']} | {one['invented']} | {one['start_off_s']:.3f} | {one['end_off_s']:.3f} | {one['top1']} | {one['top5']} |"
        )
    return [*lines, "", _source(record)]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "boston104": boston104, "signsynth_crowd": signsynth("crowd"), "signsynth_video": signsynth("video"), "signsynth_pose": signsynth("pose"), "ablations": ablations,
    "roy_isolated": roy("isolated"), "roy_concat": roy("concat"), "fingerspelling": fingerspelling,
    "wlasl_official": wlasl("official"), "wlasl_signer": wlasl("signer"), "own_signs": own_signs,
    "not_sure": not_sure, "sign_stream": sign_stream, "sentences_joined100": joined(100), "sentences_joined300": joined(300), "sentences_webcam": webcam,
    "sentences_copycat": copycat, "dgs30": dgs30, "dgs_spotting": dgs_spotting, "asl_letters": asl_letters,
}  # fmt: skip


def page() -> str:
    """The page, from the records that are there."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        folder = ROOT / "benchmarks" / "results"
        path = next(
            (path for path in (folder / f"accuracy_{name}.json", folder / f"{name}.json") if path.is_file()), None
        )
        if path is not None:
            parts.append("\n".join(section(json.loads(path.read_text(encoding="utf-8")))) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT), file=sys.stderr)
