"""The results of `signx-hf evaluate`, as cards quote them and checks compare them."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..common.reading import load_json, read_regular
from ..evaluation.options import TRANSLATION
from ..processing.errors_signx import SignXError, SignXFileNotFoundError

VERSION = 1  # of the results.json that this reads
FOLDER = "evaluation"  # of a repository; not at the top, whose files make up the model's fingerprint
PERCENT_DIGITS = 2
NAMES = {
    "plain": "WER", "sclite": "WER (sclite alignment)", "phoenix14": "WER (PHOENIX-2014 clean-up)",
    "phoenix14t": "WER (PHOENIX-2014 T clean-up)", "csl_daily": "WER (CSL-Daily clean-up)", "bleu": "BLEU-4 of glosses",
    "bleu_zh": "BLEU-4 of characters", "chrf": "chrF of glosses", "rouge_l": "ROUGE-L of glosses",
    "rouge_l_char": "ROUGE-L of characters", "mean_sentence_bleu": "mean sentence BLEU-4 of glosses",
    "best_clip_bleu_1": "BLEU-1 of the best clip",
}  # fmt: skip
# scorer -> type of the metric on the Hub
TYPES = {
    "bleu": "bleu", "bleu_zh": "bleu", "chrf": "chrf", "rouge_l": "rouge", "rouge_l_char": "rouge",
    "mean_sentence_bleu": "bleu", "best_clip_bleu_1": "bleu",
}  # fmt: skip

# part -> key -> kind of its value, for all that cards and checks read
KINDS = {
    "model": {"fingerprint": "text", "architecture": "text"},
    "data": {
        "dataset": "text", "split": "text", "fingerprint": "text", "clips": "count", "words": "count", "signers": "count",
    },
    "config": {"source": "text", "options": "mapping", "seed": "count", "rounds": "count", "scorers": "texts"},
}  # fmt: skip
WORDS = {"text": "a string", "count": "an integer", "mapping": "a mapping", "texts": "a list of strings"}
AGAIN = "Evaluate again."


@dataclass(frozen=True)
class Metric:
    """One score, from 0 to 100.

    Args:
        scorer: its name in the evaluation.
        name: its name in cards.
        kind: its type on the Hub.
        value: the score.
        interval: the 95 % confidence interval; None if the scorer has none.
        signature: of the scorer.
        lower: whether lower is better.
    """

    scorer: str
    name: str
    kind: str
    value: float
    interval: tuple[float, float] | None
    signature: str
    lower: bool


@dataclass(frozen=True)
class Results:
    """The content of a results file, and its name in messages."""

    content: Mapping[str, Any]
    name: str

    @property
    def data(self) -> Mapping[str, Any]:
        return self.content["data"]

    @property
    def dataset(self) -> str:
        """The name of the corpus; of a path only the last part, as the rest belongs to one machine."""
        return Path(self.data["dataset"]).name or self.data["dataset"]

    @property
    def is_text(self) -> bool:
        """Whether translations were scored."""
        return self.content.get("task") == TRANSLATION

    @property
    def hidden(self) -> list[str]:
        """The tracks that were hidden."""
        return self.content["config"].get("hidden_tracks", [])

    @property
    def input(self) -> str:
        """What the model read: video or poses, and without which tracks."""
        return self.content["config"]["source"] + (f" without {', '.join(self.hidden)}" if self.hidden else "")

    @property
    def test_set(self) -> tuple[str, str, bool]:
        """The test set: fingerprint of the clips, what the model read of them, and whether it translated."""
        return self.data["fingerprint"], self.input, self.is_text

    @property
    def path(self) -> str:
        """The path of the file in a repository."""
        words = [self.dataset, self.data["split"], self.input, *["text"] * self.is_text]
        return f"{FOLDER}/{'-'.join(re.sub(r'[^A-Za-z0-9_.]+', '_', word) for word in words)}.json"

    def metrics(self) -> list[Metric]:
        """Return every score, in the order of the scorers."""
        metrics = [_metric(name, score, self.name) for name, score in self.content["scores"].items()]
        if not self.is_text:
            return metrics
        unit = f" of {self.data['unit']}" if self.data.get("unit") == "characters" else ""
        return [
            replace(one, name=one.name.replace(" of glosses", "" if one.kind == "chrf" else unit)) for one in metrics
        ]

    def lower_orders(self, scorer: str) -> list[Metric]:
        """Return BLEU-1 to BLEU-3 of a text, which papers quote beside BLEU-4."""
        score, found = self.content["scores"][scorer], []
        intervals = score.get("intervals")
        for order in (1, 2, 3) if self.is_text and isinstance(intervals, dict) else ():
            part = {"score": score.get(f"bleu_{order}"), "interval": intervals.get(f"bleu_{order}")}
            found.append(replace(_metric(scorer, part, self.name), name=f"BLEU-{order}"))
        return found

    def command(self, repo: str) -> str:
        """Return the command that reproduces these numbers from the repository, without paths of this machine."""
        config, data = self.content["config"], self.data
        given = shlex.split((self.content.get("run") or {}).get("command") or "")
        words = ["signx-hf", "evaluate", repo, self.dataset, "--split", data["split"], "--source", config["source"]]
        if "--data-dir" in given:
            words += ["--data-dir", "YOUR_COPY"]
        words += ["--task", "text"] * self.is_text
        for track in self.hidden:
            words += ["--hide-track", track]
        for scorer in config["scorers"]:
            words += ["--scorer", scorer]
        for name, value in config["options"].items():
            words += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        for word, value in zip(given, given[1:]):
            if word == "--loader":
                words += ["--loader", value]
        return shlex.join([*words, "--seed", str(config["seed"]), "--rounds", str(config["rounds"])])

    def published(self, repo: str) -> bytes:
        """Return the file as it is published: the same numbers, without folders of this machine."""
        content = json.loads(json.dumps(self.content))
        content["model"]["name"], content["data"]["dataset"] = repo, self.dataset
        if isinstance(content.get("run"), dict):
            content["run"]["command"] = self.command(repo)
            content["run"].pop("warnings", None)  # they name files
        return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _percent(value: object, name: str, scorer: str, is_fraction: bool = True) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SignXError(f"{name}: the score {scorer} must be a number, got {_shown(value)}. {AGAIN}")
    return round(100 * value if is_fraction else value, PERCENT_DIGITS)


def _metric(scorer: str, score: object, name: str) -> Metric:
    if not isinstance(score, dict):
        raise SignXError(f"{name}: the score {scorer} must be a mapping, got {_shown(score)}. {AGAIN}")
    rate = "rate" in score
    fraction = score.get("rate", score.get("per_instance"))
    is_fraction = fraction is not None
    value = _percent(fraction if is_fraction else score.get("score"), name, scorer, is_fraction)
    interval = None
    if "interval" in score:
        if not isinstance(score["interval"], list) or len(score["interval"]) != 2:
            raise SignXError(
                f"{name}: the interval of {scorer} must be two numbers, got {_shown(score['interval'])}. {AGAIN}"
            )
        low, high = (_percent(end, name, scorer, is_fraction) for end in score["interval"])
        interval = (low, high)
    title = NAMES.get(scorer) or f"top-{scorer.removeprefix('top_')} accuracy"
    kind = "wer" if rate else TYPES.get(scorer, "accuracy")
    return Metric(scorer, title, kind, value, interval, str(score.get("signature", "")), rate)


def parse_results(content: object, name: str) -> Results:
    """Check that a content is what `signx-hf evaluate` writes.

    Args:
        content: parsed JSON.
        name: of the file, in messages.

    Raises:
        SignXError: If it is anything else, or has another version.
    """
    remedy = "Pass a results.json that `signx-hf evaluate` wrote."
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), dict) for key in ("model", "data", "config", "scores", "versions")
    ):
        raise SignXError(f"{name} does not hold the results of an evaluation. {remedy}")
    if content.get("version") != VERSION:
        raise SignXError(f"{name}: the version must be {VERSION}, got {content.get('version')!r}. {AGAIN}")
    for part, names in KINDS.items():
        for key, kind in names.items():
            if key not in content[part]:
                raise SignXError(f"{name} has no {part}.{key}. {remedy}")
            if not _is_kind(content[part][key], kind):
                raise SignXError(
                    f"{name}: {part}.{key} must be {WORDS[kind]}, got {_shown(content[part][key])}. {AGAIN}"
                )
    if not content["scores"]:
        raise SignXError(f"{name} holds no score. {remedy}")
    if not _is_kind(content["config"].get("hidden_tracks", []), "texts"):
        raise SignXError(f"{name}: config.hidden_tracks must be {WORDS['texts']}. {AGAIN}")
    _check_run(content.get("run"), name)
    try:
        for _ in numbers(content):
            pass
    except (OverflowError, RecursionError) as error:
        raise SignXError(f"{name}: its numbers are too large or nested too deeply ({error}). {remedy}") from error
    results = Results(content, name)
    for metric in results.metrics():
        results.lower_orders(metric.scorer)
    return results


def _is_kind(value: object, kind: str) -> bool:
    """Whether a JSON value is of a kind of WORDS."""
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is {"text": str, "count": int, "mapping": dict}[kind]  # bool is not a count


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_run(run: object, name: str) -> None:
    """Check the parts of `run` that cards read; all of it is optional."""
    if run is None:
        return
    if not isinstance(run, dict):
        raise SignXError(f"{name}: run must be {WORDS['mapping']}, got {_shown(run)}. {AGAIN}")
    for key, kind in (("command", "text"), ("hardware", "mapping")):
        if run.get(key) is not None and not _is_kind(run[key], kind):
            raise SignXError(f"{name}: run.{key} must be {WORDS[kind]}, got {_shown(run[key])}. {AGAIN}")
    try:
        shlex.split(run.get("command") or "")
    except ValueError as error:
        raise SignXError(
            f"{name}: run.command must be a command line, got {_shown(run['command'])} ({error}). {AGAIN}"
        ) from error


def read_results(path: str | Path) -> Results:
    """Read a results file, or results.json of a folder.

    Raises:
        SignXError: If it cannot be read, or as `parse_results`.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    try:
        content = load_json(read_regular(path))
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(
            f"{path}: no such file. Run `signx-hf evaluate FOLDER DATASET` first, which writes results.json."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SignXError(
            f"{path} cannot be read ({' '.join(str(error).split())}). Run `signx-hf evaluate` again, which writes "
            "results.json."
        ) from error
    return parse_results(content, str(path))


def check_belongs(results: Results, folder: Path) -> None:
    """Reject results of another model, or of one that has changed since.

    Raises:
        SignXError: If the fingerprints differ.
    """
    from ..recognition.batch import model_fingerprint

    now, then = model_fingerprint(str(folder)), results.content["model"]["fingerprint"]
    if now != then:
        raise SignXError(
            f"{results.name} holds results of another model (fingerprint {str(then)[:12]}; {folder} has {now[:12]}). Run "
            f"`signx-hf evaluate {folder} {results.dataset} --split {results.data['split']}` on the files "
            "to publish."
        )


def numbers(value: object) -> Iterator[float]:
    """Yield all numbers of a JSON value, at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield float(value)
