"""`signx-hf evaluate`."""

import argparse
import sys
from typing import Any

from ..recognition.tasks import add_sign_flags

HELP = "measures a model on a split of a dataset: error rates with intervals, times, confusion, a report"
EPILOG = (
    "A second run with the same inputs takes the clips that are finished from --out. Exit code: 0 results were written; 1 clips "
    "failed, each is named, and there are no results; 2 nothing could be done."
)


def add_parser(commands: Any) -> None:
    """Adds `evaluate` to the parser of signx-hf; imports nothing heavy."""
    parser = commands.add_parser("evaluate", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder or Hub name of a model with its processor, or demo")
    parser.add_argument(
        "dataset", metavar="DATASET", help="corpus by name, saved dataset, table, ELAN or video folder"
    )
    parser.add_argument("--split", default="test", help="of the dataset; default: test")
    parser.add_argument("--data-dir", help="folder of your own copy of the corpus")
    parser.add_argument(
        "--out", default="evaluation", metavar="DIR", help="folder for the results; default: evaluation"
    )
    parser.add_argument(
        "--source", default="auto", help="video or poses; default: auto, video if model and data have it"
    )
    parser.add_argument(
        "--scorer",
        action="append",
        default=[],
        metavar="NAME",
        help="plain, sclite, phoenix14, phoenix14t, csl_daily, bleu, bleu_zh, chrf, rouge_l, rouge_l_char; of isolated signs top_1, "
        "top_5, top_10; repeatable or with commas; default: plain,sclite or top_1,top_5",
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the pipeline, as decoder=ctc or num_beams=8; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--loader", action="append", default=[], metavar="NAME=VALUE", help="an option of the dataset's loader, as task=isolated"
    )  # fmt: skip
    add_sign_flags(parser, top_k=False)
    parser.add_argument(
        "--unknown", action="store_true",
        help="isolated signs: also recognize the clips of signs that the answer cannot be, to see how many get an answer",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the model code of the repository instead of this package's",
    )
    parser.add_argument("--seed", type=int, default=0, help="of intervals and of sampling; default: 0")
    parser.add_argument("--rounds", type=int, default=2000, help="draws of an interval; default: 2000")
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N",
        help="clips that a process is handed at a time; the model sees each alone, so no number depends on it; default: 8",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with one thread; default: 1")


def run(options: argparse.Namespace) -> int:
    """Runs `evaluate`: 0, 1 if clips failed, 2 after one line that says why nothing could be done."""
    from ..recognize import all_options, pipeline_options
    from . import EvaluationOptions, evaluate
    from .run import ClipsFailed

    names = [name.strip() for text in options.scorer for name in text.split(",")]
    flags = {
        name: getattr(options, name) for name in ("vocabulary", "threshold") if getattr(options, name) is not None
    }
    try:
        asked = EvaluationOptions(
            model=options.model, dataset=options.dataset, split=options.split, data_dir=options.data_dir,
            loader=pipeline_options(options.loader, "--loader", "task=isolated"), out=options.out, source=options.source, scorers=names,
            options=all_options(options.option, flags), unknown=options.unknown, device=options.device,
            trust_remote_code=options.trust_remote_code, seed=options.seed, rounds=options.rounds,
            batch_size=options.batch_size, jobs=options.jobs, command=_command(options),
        )  # fmt: skip
        results = evaluate(asked)
    except ClipsFailed as error:
        for line in error.failed:
            _say(line)
        _say(str(error))
        return 1
    except (ValueError, OSError, ImportError) as error:
        _say(str(error))
        return 2
    for note in results["run"]["warnings"]:
        _say(f"warning: {note}")
    for line in lines(results):
        print(line)
    print(f"results in {options.out}")
    return 0


def _command(options: argparse.Namespace) -> str:
    """The command that gives the same numbers, for the record."""
    words = [
        "signx-hf",
        "evaluate",
        options.model,
        options.dataset,
        "--split",
        options.split,
        "--source",
        options.source,
    ]
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    words += [word for name in ("vocabulary", "threshold") if (value := getattr(options, name)) is not None
              for word in (f"--{name}", str(value))]  # fmt: skip
    words += ["--unknown"] * options.unknown
    for name, values in (("scorer", options.scorer), ("option", options.option), ("loader", options.loader)):
        words += [word for value in values for word in (f"--{name}", value)]
    import shlex

    return shlex.join([*words, "--seed", str(options.seed), "--rounds", str(options.rounds)])


def lines(results: dict[str, Any]) -> list[str]:
    """The results in a few lines."""
    from .options import ISOLATED

    data, isolated = results["data"], results["task"] == ISOLATED
    count = f"{data['signs']} signs" if isolated else f"{data['words']} glosses"
    found = [
        f"{results['model']['name']} on {data['dataset']} {data['split']}: {data['clips']} clips, {count}, "
        f"{data['signers']} signers, from {results['config']['source']}"
    ]
    if data["clips_without_glosses"]:
        found.append(f"{data['clips_without_glosses']} clips without glosses were left out")
    for name, score in results["scores"].items():
        if "rate" in score:
            low, high = (percent(value) for value in score["interval"])
            counts = f"{score['substitutions']} S, {score['insertions']} I, {score['deletions']} D of {score['words']}"
            found.append(f"WER {name}: {percent(score['rate'])} % (95 % interval {low} to {high}; {counts})")
        elif "per_instance" in score:
            low, high = (percent(value) for value in score["interval"])
            found.append(
                f"{name}: {percent(score['per_instance'])} % per instance (95 % interval {low} to {high}), "
                f"{percent(score['per_class'])} % per sign, each counting the same"
            )
        else:
            found.append(f"{name}: {score['score']:.2f} ({score['signature']})")
    times = results.get("times")
    if times and times["matched"]:
        found.append(
            f"boundaries: off by {times['mean_seconds']:.3f} s (median {times['median_seconds']:.3f}) over {times['matched']} of "
            f"{times['segments']} segments; IoU {times['iou']:.3f}"
        )
    if results.get("calibration"):
        found.append(f"expected calibration error: {results['calibration']['expected_calibration_error']:.3f}")
    if isolated:
        from . import single_signs

        found += single_signs.lines(results)
    return found


def percent(value: float | str) -> str:
    """A share in per cent with two digits."""
    return value if isinstance(value, str) else f"{100 * value:.2f}"


def _say(message: str) -> None:
    print(f"signx-hf evaluate: {' '.join(message.split())}", file=sys.stderr)
