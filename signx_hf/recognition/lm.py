"""`signx-hf lm train` and `signx-hf lm score`: language models over glosses for `recognize`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..processing.errors_signx import SignXError, SignXFileNotFoundError


def add_parser(commands: Any) -> None:
    """Adds `lm` with its subcommands to the parser of signx-hf; imports nothing heavy."""
    lm = commands.add_parser("lm", help="language models over glosses: train one, score sentences")
    actions = lm.add_subparsers(dest="action", required=True, metavar="ACTION")
    train = actions.add_parser("train", help="from sentences of glosses to an ARPA file")
    _add_source(train)
    train.add_argument("--order", type=int, default=3, help="longest n-gram; default: 3")
    train.add_argument(
        "--smoothing", choices=("kneser_ney", "witten_bell"), default="kneser_ney", help="default: kneser_ney"
    )
    train.add_argument("--out", required=True, metavar="FILE", help="ARPA file to write; compressed if it ends in .gz")
    score = actions.add_parser("score", help="log10 probability of every sentence, and the perplexity of all")
    score.add_argument("model", metavar="LM", help="ARPA file")
    _add_source(score)
    score.add_argument("--json", action="store_true", help="one JSON object per sentence, and one of all at the end")


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text", metavar="FILE", help="one sentence a line, glosses apart by spaces; - is standard input"
    )
    source.add_argument("--dataset", metavar="NAME|PATH", help="the glosses of a corpus, saved dataset or table")
    parser.add_argument("--data-dir", help="folder of your own copy of the corpus")
    parser.add_argument("--split", default="train", help="of the dataset; default: train")


def read_text(path: str) -> list[list[str]]:
    """Sentences of a UTF-8 text file, `-` for standard input; what has no gloss is left out of training and scores.

    Raises:
        SignXFileNotFoundError: no such file; SignXError: no text in UTF-8.
    """
    if path != "-" and not Path(path).is_file():
        raise SignXFileNotFoundError(f"{path}: no such file: wanted a text of glosses, one sentence a line")
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        # Not splitlines(): it breaks at separators that a gloss may hold.
        lines = data.decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SignXError(f"{path}: line {line}: not UTF-8: wanted a text in UTF-8; convert it") from None
    return [line.split() for line in lines]


def read_dataset(source: str, data_dir: str | None = None, split: str = "train") -> list[list[str]]:
    """The glosses of the rows of a corpus.

    Raises:
        SignXError: no such corpus or split, or no glosses.
    """
    from ..data.load import open_source

    data = open_source(source, data_dir)
    if hasattr(data, "keys"):
        if split not in data:
            raise SignXError(f"{source} has no split {split!r}: found {', '.join(data)}; name one with --split")
        data = data[split]
    elif "split" in data.column_names:
        data = data.filter(lambda found: found == split, input_columns=["split"])
    if "glosses" not in data.column_names:
        raise SignXError(f"{source}: found no column glosses among {', '.join(data.column_names)}: wanted one")
    return [list(glosses or ()) for glosses in data["glosses"]]


def _sentences(options: argparse.Namespace) -> list[list[str]]:
    if options.text is not None:
        return read_text(options.text)
    return read_dataset(options.dataset, options.data_dir, options.split)


def _train(options: argparse.Namespace) -> None:
    from ..common.atomic_io import atomic_write, check_output_file
    from ..modeling.ngram_signx import NGramModel

    check_output_file(options.out, [options.text] if options.text not in (None, "-") else [])
    sentences = _sentences(options)
    model = NGramModel.train(sentences, options.order, options.smoothing)
    with atomic_write(options.out) as beside:
        model.write(beside)
    counts = ", ".join(f"{count} {n}-grams" for n, count in enumerate(model.counts, 1))
    print(f"{options.out}: {counts} from {sum(map(bool, sentences))} sentences")


def _score(options: argparse.Namespace) -> None:
    from ..modeling.ngram_signx import LOG_10, NGramModel

    model = NGramModel.read(options.model)
    sums = {"sentences": 0, "glosses": 0, "unknown": 0, "log10": 0.0}
    for glosses in filter(None, _sentences(options)):
        found = {
            "glosses": len(glosses),
            "unknown": sum(not model.knows(gloss) for gloss in glosses),
            "log10": model.score(glosses) / LOG_10,
        }
        sums["sentences"] += 1
        for name, value in found.items():
            sums[name] += value
        if options.json:
            print(json.dumps({"text": " ".join(glosses), **found}, ensure_ascii=False))
        else:
            print(f"{found['log10']:.4f}\t{found['unknown']}\t{' '.join(glosses)}")
    # </s> is predicted, too; a word has at least the probability 1e-100, so this is finite.
    sums["perplexity"] = 10 ** -(sums["log10"] / max(1, sums["glosses"] + sums["sentences"]))
    print(json.dumps(sums) if options.json else _summary(sums))


def _summary(sums: dict[str, float]) -> str:
    return (
        f"{sums['sentences']} sentences, {sums['glosses']} glosses, {sums['unknown']} of them unknown: log10 {sums['log10']:.4f}, "
        f"perplexity {sums['perplexity']:.4g}"
    )


def run(options: argparse.Namespace) -> int:
    """Runs `lm train` or `lm score`; the exit code is 0, or 2 after one line that says what was wrong."""
    try:
        _train(options) if options.action == "train" else _score(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError) as error:
        print(f"signx-hf lm: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0
