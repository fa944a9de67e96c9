"""`signx-hf lm train` and `signx-hf lm score`: language models over glosses for `recognize`."""

import argparse
import json
import sys
from pathlib import Path

from ..common.messages import ESCAPES, one_line, say, show, to_json
from ..common.options import Subparsers
from ..processing.errors_signx import SignXError, SignXFileNotFoundError
from .flags import add_flags


def add_parser(commands: Subparsers) -> None:
    """Add `lm` with its subcommands to the parser of signx-hf, without heavy imports."""
    text = "language models over glosses: train one, score sentences"
    lm = commands.add_parser("lm", help=text, description=text)
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
        "--text", metavar="FILE", help="one sentence per line, glosses separated by spaces; - is standard input"
    )
    source.add_argument("--dataset", metavar="NAME|PATH", help="the glosses of a corpus, saved dataset or table")
    add_flags(parser, "data_dir")
    parser.add_argument("--split", default="train", help="of the dataset; default: train")


def read_text(path: str) -> list[list[str]]:
    """Read the sentences of a UTF-8 text file; training and scoring skip those without a gloss.

    Args:
        path: of the file; `-` is standard input.

    Raises:
        SignXFileNotFoundError: If there is no such file.
        SignXError: If it is not text in UTF-8.
    """
    if path != "-" and not Path(path).is_file():
        raise SignXFileNotFoundError(f"{path}: no such file. Pass a text file of glosses, one sentence per line.")
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
        if "\n" not in text:  # saved by an old editor for the Mac
            text = text.replace("\r", "\n")
        # Not splitlines(), which splits at separators that a gloss may contain.
        lines = text.removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SignXError(f"{path} must be text in UTF-8, and line {line} is not. Convert it.") from error
    return [line.split() for line in lines]


def read_dataset(source: str, data_dir: str | None = None, split: str = "train") -> list[list[str]]:
    """Return the glosses of each row of a corpus.

    Args:
        source: corpus by name, saved dataset or table.
        data_dir: folder of your own copy of the corpus.
        split: of the dataset.

    Raises:
        SignXError: If there is no such corpus or split, or it has no glosses.
    """
    from ..data.load import open_source

    data = open_source(source, data_dir)
    if hasattr(data, "keys"):
        if split not in data:
            raise SignXError(f"--split must be one of {', '.join(data)} for {source}, got {split!r}.")
        data = data[split]
    elif "split" in data.column_names:
        data = data.filter(lambda name: name == split, input_columns=["split"])
    if "glosses" not in data.column_names:
        raise SignXError(f"{source} must have a column 'glosses', got {', '.join(data.column_names)}.")
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
    with atomic_write(options.out) as tmp_path:
        model.write(tmp_path)
    counts = ", ".join(f"{count} {n}-grams" for n, count in enumerate(model.counts, 1))
    show(f"{options.out}: {counts} from {sum(map(bool, sentences))} sentences")


def _score(options: argparse.Namespace) -> None:
    from ..modeling.ngram_signx import LOG_10, NGramModel

    model = NGramModel.read(options.model)
    sums = {"sentences": 0, "glosses": 0, "unknown": 0, "log10": 0.0}
    for glosses in filter(None, _sentences(options)):
        scores = {
            "glosses": len(glosses),
            "unknown": sum(not model.knows(gloss) for gloss in glosses),
            "log10": model.score(glosses) / LOG_10,
        }
        sums["sentences"] += 1
        for name, value in scores.items():
            sums[name] += value
        if options.json:
            print(to_json({"text": " ".join(glosses), **scores}))
        else:
            print(f"{scores['log10']:.4f}\t{scores['unknown']}\t{' '.join(glosses).translate(ESCAPES)}")
    # </s> is predicted, too. Finite, because every word has at least the probability 1e-100.
    sums["perplexity"] = 10 ** -(sums["log10"] / max(1, sums["glosses"] + sums["sentences"]))
    print(json.dumps(sums) if options.json else _summary(sums))


def _summary(sums: dict[str, float]) -> str:
    return (
        f"{sums['sentences']} sentences, {sums['glosses']} glosses, {sums['unknown']} of them unknown: log10 "
        f"{sums['log10']:.4f}, perplexity {sums['perplexity']:.4g}"
    )


def run(options: argparse.Namespace) -> int:
    """Run `lm train` or `lm score` and return the exit code: 0, or 2 after one line that says what is wrong."""
    try:
        _train(options) if options.action == "train" else _score(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), "lm")
        return 2
    return 0
