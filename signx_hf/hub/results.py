"""The results of `signx-hf evaluate`, as a card quotes them and as a gate compares them."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..processing.errors_signx import SignXError, SignXFileNotFoundError

VERSION = 1  # of results.json that this reads
FOLDER = (
    "evaluation"  # of a repository, for the results; below the top, where it is no part of the model's fingerprint
)
PERCENT_DIGITS = 2
NAMES = {
    "plain": "WER", "sclite": "WER (sclite alignment)", "phoenix14": "WER (PHOENIX-2014 clean-up)",
    "phoenix14t": "WER (PHOENIX-2014 T clean-up)", "csl_daily": "WER (CSL-Daily clean-up)", "bleu": "BLEU-4 of glosses",
    "bleu_zh": "BLEU-4 of characters", "chrf": "chrF of glosses", "rouge_l": "ROUGE-L of glosses",
    "rouge_l_char": "ROUGE-L of characters",
}  # fmt: skip
# what the Hub calls it
TYPES = {"bleu": "bleu", "bleu_zh": "bleu", "chrf": "chrf", "rouge_l": "rouge", "rouge_l_char": "rouge"}


# part -> key -> what it must be, for a card and a gate read them
KINDS = {
    "model": {"fingerprint": "text", "architecture": "text"},
    "data": {
        "dataset": "text", "split": "text", "fingerprint": "text", "clips": "count", "words": "count", "signers": "count",
    },
    "config": {"source": "text", "options": "mapping", "seed": "count", "rounds": "count", "scorers": "texts"},
}  # fmt: skip
WORDS = {"text": "a text", "count": "a whole number", "mapping": "a mapping", "texts": "a list of texts"}
AGAIN = "evaluate again"


@dataclass(frozen=True)
class Metric:
    """One number, 0 to 100. kind: of the Hub. interval: of 95 %, or None where the scorer has none. lower: less is better."""

    scorer: str
    name: str
    kind: str
    value: float
    interval: tuple[float, float] | None
    signature: str
    lower: bool


@dataclass(frozen=True)
class Results:
    """A results file: its content, and the name that messages call it."""

    content: Mapping[str, Any]
    name: str

    @property
    def data(self) -> Mapping[str, Any]:
        return self.content["data"]

    @property
    def dataset(self) -> str:
        """The corpus by name; of a path the last part, for the rest is of one machine."""
        return Path(self.data["dataset"]).name or self.data["dataset"]

    @property
    def test_set(self) -> tuple[str, str]:
        """What was measured on: fingerprint of the clips, and whether the model was shown video or poses."""
        return self.data["fingerprint"], self.content["config"]["source"]

    @property
    def place(self) -> str:
        """Where it lies in a repository."""
        words = [self.dataset, self.data["split"], self.content["config"]["source"]]
        return f"{FOLDER}/{'-'.join(re.sub(r'[^A-Za-z0-9_.]+', '_', word) for word in words)}.json"

    def metrics(self) -> list[Metric]:
        """Every score, in the order of the scorers."""
        return [_metric(name, score, self.name) for name, score in self.content["scores"].items()]

    def command(self, repo: str) -> str:
        """The command that gives these numbers again, with the repository for the folder, and no path of this machine."""
        config, data = self.content["config"], self.data
        given = shlex.split((self.content.get("run") or {}).get("command") or "")
        words = ["signx-hf", "evaluate", repo, self.dataset, "--split", data["split"], "--source", config["source"]]
        if "--data-dir" in given:
            words += ["--data-dir", "YOUR_COPY"]
        for scorer in config["scorers"]:
            words += ["--scorer", scorer]
        for name, value in config["options"].items():
            words += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        for place, word in enumerate(given[:-1]):
            if word == "--loader":
                words += ["--loader", given[place + 1]]
        return shlex.join([*words, "--seed", str(config["seed"]), "--rounds", str(config["rounds"])])

    def published(self, repo: str) -> bytes:
        """The file as it is published: numbers untouched, folders of this machine left out."""
        content = json.loads(json.dumps(self.content))
        content["model"]["name"], content["data"]["dataset"] = repo, self.dataset
        if isinstance(content.get("run"), dict):
            content["run"]["command"] = self.command(repo)
            content["run"].pop("warnings", None)  # they name files
        return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _percent(value: Any, name: str, scorer: str, share: bool = True) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SignXError(f"{name}: the score {scorer} is {_shown(value)}; wanted a number; {AGAIN}")
    return round(100 * value if share else value, PERCENT_DIGITS)


def _metric(scorer: str, score: Any, name: str) -> Metric:
    if not isinstance(score, dict):
        raise SignXError(f"{name}: the score {scorer} is {_shown(score)}; wanted a mapping; {AGAIN}")
    rate = "rate" in score
    found = score.get("rate", score.get("per_instance"))
    share = found is not None
    value = _percent(found if share else score.get("score"), name, scorer, share)
    interval = None
    if "interval" in score:
        if not isinstance(score["interval"], list) or len(score["interval"]) != 2:
            raise SignXError(
                f"{name}: the interval of {scorer} is {_shown(score['interval'])}; wanted two numbers; {AGAIN}"
            )
        low, high = (_percent(end, name, scorer) for end in score["interval"])
        interval = (low, high)
    title = NAMES.get(scorer) or f"top-{scorer.removeprefix('top_')} accuracy"
    kind = "wer" if rate else TYPES.get(scorer, "accuracy")
    return Metric(scorer, title, kind, value, interval, str(score.get("signature", "")), rate)


def parse_results(found: Any, name: str) -> Results:
    """Checks that it is what `signx-hf evaluate` writes.

    Raises:
        SignXError: it is something else, or of another version.
    """
    remedy = "wanted results.json as `signx-hf evaluate` writes it"
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), dict) for key in ("model", "data", "config", "scores", "versions")
    ):
        raise SignXError(f"{name}: no results of an evaluation; {remedy}")
    if found.get("version") != VERSION:
        raise SignXError(f"{name}: results of version {found.get('version')!r}; wanted {VERSION}; {AGAIN}")
    for part, names in KINDS.items():
        for key, kind in names.items():
            if key not in found[part]:
                raise SignXError(f"{name}: no {part}.{key}; {remedy}")
            if not _is_kind(found[part][key], kind):
                raise SignXError(f"{name}: {part}.{key} is {_shown(found[part][key])}; wanted {WORDS[kind]}; {AGAIN}")
    if not found["scores"]:
        raise SignXError(f"{name}: no score in it; {remedy}")
    _check_run(found.get("run"), name)
    try:
        for _ in numbers(found):
            pass
    except (OverflowError, RecursionError) as error:
        raise SignXError(f"{name}: its numbers are too large or too deep ({error}); {remedy}; {AGAIN}") from error
    results = Results(found, name)
    results.metrics()
    return results


def _is_kind(value: Any, kind: str) -> bool:
    """Whether a value of JSON is of a kind of WORDS."""
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is {"text": str, "count": int, "mapping": dict}[kind]  # True is no count


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_run(run: Any, name: str) -> None:
    """`run` may be left out, and each part of it; what is there is read for the card."""
    if run is None:
        return
    if not isinstance(run, dict):
        raise SignXError(f"{name}: run is {_shown(run)}; wanted {WORDS['mapping']}; {AGAIN}")
    for key, kind in (("command", "text"), ("hardware", "mapping")):
        if run.get(key) is not None and not _is_kind(run[key], kind):
            raise SignXError(f"{name}: run.{key} is {_shown(run[key])}; wanted {WORDS[kind]}; {AGAIN}")
    try:
        shlex.split(run.get("command") or "")
    except ValueError as error:
        raise SignXError(
            f"{name}: run.command is {_shown(run['command'])} ({error}); wanted a command line; {AGAIN}"
        ) from error


def read_results(path: str | Path) -> Results:
    """A results file; a SignXError says why it is none."""
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(
            f"{path}: no such file; wanted results.json of `signx-hf evaluate FOLDER DATASET`; run it first"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SignXError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); wanted results.json of `signx-hf evaluate`; run it again"
        ) from error
    return parse_results(found, str(path))


def check_belongs(results: Results, folder: Path) -> None:
    """Refuses results of another model, or of one that was changed since.

    Raises:
        SignXError: the fingerprints differ.
    """
    from ..recognition.batch import model_fingerprint

    now, then = model_fingerprint(str(folder)), results.content["model"]["fingerprint"]
    if now != then:
        raise SignXError(
            f"{results.name}: results of another model (fingerprint {str(then)[:12]}; {folder} has {now[:12]}); wanted those of "
            f"the files that are published; run `signx-hf evaluate {folder} {results.dataset} --split {results.data['split']}`"
        )


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a JSON value, at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield float(value)
