"""The model card, generated from the model's files, the results of its evaluation and the facts of `About`."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from ..common.atomic_io import atomic_write, resolve_file, write_error_reason
from ..common.reading import load_json, read_regular
from ..evaluation.options import ISOLATED, TRANSLATION
from ..processing.errors_signx import SignXError
from .about import SIGN_LANGUAGES, About, corpora, languages
from .checks import model_index, split_card
from .results import Results, check_belongs

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

CARD = "README.md"
# The Hub has no tag for sign language recognition; this is the nearest one: video in, labels out.
PIPELINE_TAG = "video-classification"
TRANSLATION_TAG = "translation"  # of models that have learned text
LIBRARY = "transformers"
TAGS = ["sign-language", "sign-language-recognition", "signx"]
UNSTATED = "not stated by the publisher"
EXAMPLES = 12
GLOSS_LIMITS = (
    "Glosses are labels of signs, written with words of a spoken language. They are no translation and no writing "
    "system: mouthing, facial expression, use of space, classifiers and most grammar are left out of them, and "
    "conventions differ between corpora, so glosses of one are not those of another."
)
TEXT_LIMITS = (
    "A translation is the most probable sentence, in fluent words whether it is right or wrong: it may leave out, add or "
    "change what was signed, and does not say so. Scores compare it with one reference; a good translation in other words "
    "counts as wrong, and a wrong one may share many words."
)
NOT_FOR = (
    "Do not use it where people depend on being understood (health, law, emergencies), nor in place of an "
    "interpreter, nor to identify or judge signers."
)


@dataclass(frozen=True)
class Model:
    """Facts read from the files of a model.

    Args:
        architecture, task: what it is.
        video: whether it reads the pictures of a video.
        landmarks: whether it reads the landmarks of a video.
        tasks: what its decoder has learned, `gloss` and `text`.
        fps: frames per second that it reads.
        tracks: pose tracks that it reads.
        glosses: its vocabulary.
        weights: number of its parameters.
        code: whether its code is stored with it.
        backbones: published backbones that its training started from, as sentences.
        rejection: score and threshold below which a model of isolated signs is not sure, or None.
    """

    architecture: str
    task: str
    video: bool
    fps: float
    tracks: tuple[str, ...]
    glosses: tuple[str, ...]
    weights: int
    code: bool
    rejection: tuple[str, float] | None = None
    landmarks: bool = False
    backbones: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("gloss",)

    @property
    def has_times(self) -> bool:
        """Whether it says when a sign is made, which takes CTC."""
        return self.architecture != "SignXForPose2Gloss"

    @property
    def translates(self) -> bool:
        """Whether it has learned to translate."""
        return "text" in self.tasks

    @property
    def recognizes(self) -> bool:
        """Whether it has learned glosses or signs."""
        return "gloss" in self.tasks

    @property
    def is_isolated(self) -> bool:
        """Whether it recognizes single signs."""
        return self.task == ISOLATED


def read_model(folder: Path) -> Model:
    """Read the facts of a folder from its JSON files and the headers of its weights.

    Raises:
        SignXError: If a file is missing, or is not what `save_pretrained` writes.
    """
    from .._registration import TASKS, recognizers, task_of_architecture
    from ..processing.landmarks_signx import EXTRACTABLE
    from ..recognition.loading import check_model

    try:
        check_model(str(folder))
    except (OSError, ValueError) as error:
        raise SignXError(str(error)) from error
    config = _json(folder / "config.json")
    processor = _json(folder / "processor_config.json")
    try:
        architecture = (config.get("architectures") or ["none"])[0]
        task = task_of_architecture(config.get("architectures"))
        if task is None:
            raise SignXError(
                f"{folder} must hold a checkpoint of one of {', '.join(recognizers())}, got {architecture}."
            )
        rejection = None
        if task == ISOLATED:
            if config.get("rejection_threshold") is not None:
                rejection = str(config.get("rejection_score")), float(config["rejection_threshold"])
            labels = config.get("id2label") or {}
            glosses = [labels[key] for key in sorted(labels, key=int)]
        else:
            glosses = (_json(folder / "tokenizer_config.json")).get("ctc_glosses") or []
        tracks = (processor.get("feature_extractor") or {}).get("track_dims") or []
        names = tracks if isinstance(tracks, dict) else [track[0] for track in tracks]
        has_video = config.get("vision_config") is not None and "video" in (config.get("trained_entries") or ["video"])
        from_landmarks = not has_video and not set(EXTRACTABLE).isdisjoint(names)
        return Model(
            architecture, task, has_video, float(config.get("fps") or 0), tuple(names),
            tuple(str(gloss) for gloss in glosses), _weights(folder), _has_code(folder, config), rejection, from_landmarks,
            _backbones(config),
            tuple((config.get("trained_tasks") if architecture in TASKS[TRANSLATION].architectures else None) or ["gloss"]),
        )  # fmt: skip
    except SignXError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise SignXError(
            f"{folder}: the settings are not what save_pretrained() writes ({type(error).__name__}: {error}). Save "
            "the model and its processor again."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = load_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise SignXError(f"{path} cannot be read ({error}). Save the model and its processor again.") from error
    if not isinstance(content, dict):
        raise SignXError(f"{path} must hold a JSON object. Save the model and its processor again.")
    return content


def _weights(folder: Path) -> int:
    """Return the number of parameters, from the shapes in the headers of the safetensors files."""
    total = 0
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise SignXError(f"{folder} has no weights (*.safetensors). Save the model there with save_pretrained().")
    for path in paths:
        if not path.is_file():  # a folder, a pipe, a broken link
            raise SignXError(f"{path} must be a safetensors file. Save the model again.")
        try:
            with safe_open(path, "np") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError) as error:
            raise SignXError(f"{path} is not a complete safetensors file ({error}). Save the model again.") from error
    return total


def _backbones(config: dict[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each published backbone that the config notes and the model still has."""
    names, lines = {"vision_config": "video encoder", "frame_branch": "RGB branch"}, []
    for part, origin in (config.get("trained_from") or {}).items():
        if config.get(part) is not None:
            commit = f"commit {origin['revision']}, " if origin.get("revision") else ""
            lines.append(
                f"Training of its {names[part]} started from `{origin['name']}` ({commit}SHA-256 of its weights {origin['sha256'][:16]})."
            )
    return tuple(lines)


def _has_code(folder: Path, config: dict[str, Any]) -> bool:
    """Whether the folder holds the code that the config names; only some of it is an error."""
    named = {str(entry).split("--")[-1].split(".")[0] for entry in (config.get("auto_map") or {}).values()}
    missing = sorted(name for name in named if not (folder / f"{name}.py").is_file())
    if missing:
        raise SignXError(
            f"{folder}: config.json names the code {missing[0]}.py, which is missing. Save the model again with "
            "save_pretrained()."
        )
    return bool(named)


def as_evaluated(model: Model, results: Sequence[Results]) -> Model:
    """Return the model as the results show it: a video branch that was not evaluated may never have been trained."""
    return replace(model, video=model.video and any(one.content["config"]["source"] == "video" for one in results))


def snippet(repo: str, model: Model) -> str:
    """Return Python code that recognizes or translates a clip, or both, with the model of the repository."""
    lines = ["from transformers import pipeline", ""]
    if not model.code:
        lines.insert(0, "import signx_hf  # pip install signx_hf: the repository has no code")
    trust = ", trust_remote_code=True" if model.code else ""
    clip = "clip.mp4" if model.video or model.landmarks else "poses.npz"
    if model.translates:
        lines += [
            f'translator = pipeline("{TRANSLATION}", model="{repo}"{trust})',
            f'result = translator("{clip}")',
            'print(result["text"])',
            'for sentence in result["sentences"]:',
            "    print(f\"{sentence['start']:.2f} to {sentence['end']:.2f} s: {sentence['text']}\")",
        ]
    if not model.recognizes:
        return "\n".join(lines)
    if model.translates:
        lines.append("")
    lines.append(f'recognizer = pipeline("{model.task}", model="{repo}"{trust})')
    if model.is_isolated:
        lines += [
            f'candidates = recognizer("{clip}")  # of one sign; vocabulary=["..."] restricts the answer',
            "for candidate in candidates:",
            "    print(f\"{candidate['score']:.2f} {candidate['label']}\")",
        ]
        if model.rejection:
            lines += ['if not candidates[0]["sure"]:', '    print("not sure: probably none of these")']
    else:
        lines += [
            f'result = recognizer("{clip}")',
            'print(result["text"])',
        ]
    if not model.is_isolated and model.has_times:
        lines += [
            'for segment in result["segments"]:',
            "    print(f\"{segment['start']:.2f} to {segment['end']:.2f} s: {segment['gloss']}\")",
        ]
    return "\n".join(lines)


def metadata(repo: str, model: Model, about: About, results: Sequence[Results]) -> "ModelCardData":
    """Return the card's YAML as `ModelCardData`, with every score, its interval and signature in `model-index`."""
    from huggingface_hub import EvalResult, ModelCardData

    entries = []
    for one in results:
        kind, task = PIPELINE_TAG, "Continuous sign language recognition"
        if model.is_isolated:
            task = "Isolated sign recognition"
        elif one.is_text:
            kind, task = TRANSLATION_TAG, "Sign language translation"
        for metric in one.metrics():
            extra: dict[str, Any] = {"signature": metric.signature, "source": one.content["config"]["source"]}
            if metric.interval:
                extra["interval_95"] = list(metric.interval)
            if one.hidden:
                extra["hidden_tracks"] = list(one.hidden)
            entries.append(
                EvalResult(
                    task_type=kind, task_name=task, dataset_type=one.dataset, dataset_name=one.dataset,
                    dataset_split=one.data["split"], dataset_config=one.content["config"]["source"],
                    dataset_revision=one.data["fingerprint"], metric_type=metric.kind, metric_name=metric.name,
                    metric_value=metric.value, metric_config=metric.scorer, metric_args=extra,
                )
            )  # fmt: skip
    signed, spoken = languages(about, (*about.training_data, *(one.dataset for one in results)))
    return ModelCardData(
        language=[*signed, *spoken] or None, license=about.licence, library_name=LIBRARY,
        pipeline_tag=TRANSLATION_TAG if model.translates else PIPELINE_TAG, tags=_tags(model), base_model=about.base_model,
        metrics=list(dict.fromkeys(entry.metric_type for entry in entries)), model_name=about.title or repo.split("/")[-1],
        eval_results=entries,
    )  # fmt: skip


def _tags(model: Model) -> list[str]:
    tags = [tag for tag in TAGS if model.recognizes or tag != "sign-language-recognition"]
    return [*tags, *["sign-language-translation"] * model.translates, *[ISOLATED] * model.is_isolated]


def _named(codes: Sequence[str]) -> str:
    return (
        ", ".join(f"{SIGN_LANGUAGES.get(code, 'sign language')} ({code})" for code in codes)
        or "a sign language that is not stated"
    )


def _input(model: Model, has_video: bool) -> str:
    """Return what the model reads, for a sentence with "from"; has_video: whether it reads video, evaluated or not."""
    tracks = f"pose tracks ({', '.join(model.tracks)})"
    if model.video:
        return f"video, or {tracks}" if model.tracks else "video"
    if has_video:
        return tracks
    return f"{tracks}, which MediaPipe finds in a video" if model.landmarks else f"{tracks}, not video"


def _does(model: Model, signed: Sequence[str], spoken: Sequence[str]) -> str:
    """Return what the model does, as the beginning of a sentence."""
    language, words = _named(signed), ", ".join(spoken)
    into = f" into {words}" if words else ""
    if not model.recognizes:
        return f"Translates sentences of {language}{into}"
    if model.translates:
        return f"Recognizes sentences of {language}, as a sequence of glosses with times, and translates them{into}"
    what = "single signs" if model.is_isolated else "sentences, as a sequence of glosses with times"
    return f"Recognizes {what} of {language}" + (f", written with words of {words}" if words else "")


def _intro(model: Model, about: About, signed: Sequence[str], spoken: Sequence[str], has_video: bool) -> list[str]:
    from_what = _input(model, has_video)
    rate = f", {model.fps:g} frames/s" if model.fps else ""
    shown = ", ".join(f"`{gloss}`" for gloss in model.glosses[:EXAMPLES])
    verb = "recognizes" if model.recognizes else "translates"
    unit = "signs" if model.is_isolated else "glosses"
    count = f"{len(model.glosses)} {unit}" if model.glosses else "glosses of an open vocabulary"
    lines = [
        f"{_does(model, signed, spoken)}, from {from_what}{rate}. `{model.architecture}` of the "
        f"SignX family (arXiv 2504.16315 v4), {model.weights:,} weights.",
        "", f"## What it {verb}", "",
        *[f"- {count}" + (f": {shown}{' and others' if len(model.glosses) > EXAMPLES else ''}" if shown else "") + "."] * model.recognizes,
        f"- Input: {from_what}{rate}; one person signing{', one sign' if model.is_isolated else ''}.",
        *(["- Output: the most probable signs with scores, best first."] * model.is_isolated),
        *(["- Output: a sentence of the spoken language, with the time and a confidence."] * model.translates),
        "", f"## What it does not {verb.removesuffix('s')}", "",
        *_not_recognized(model),
        "- Signers, cameras, lighting and signing styles unlike those of the evaluation below.",
        *(["- Video as well as poses, as far as is known: the model also reads video, but was evaluated on poses alone."] * (has_video and not model.video)),
        *(f"- {limit}" for limit in about.limits),
        f"- {NOT_FOR}",
    ]  # fmt: skip
    return lines


def _not_recognized(model: Model) -> list[str]:
    """Return what it does with signs that it does not know."""
    if not model.recognizes:
        return ["- Topics and signs unlike those of its training: it writes a fluent sentence all the same."]
    if not model.glosses:
        return ["- Signs that are not in the training data."]
    if not model.is_isolated:
        return ["- Signs outside this vocabulary: it outputs signs that it knows."]
    several = "- Sentences, and several signs in one clip: it outputs one sign."
    if model.rejection is None:
        return [
            "- Signs outside this vocabulary: it outputs signs that it knows, as no threshold was fitted.",
            several,
        ]
    score, threshold = model.rejection
    return [
        f"- Signs outside this vocabulary: it is not sure where its {score} is below {threshold:g}, which catches "
        "many of them but not all. Where `vocabulary` restricts the output, treat that threshold as a rough guide.",
        several,
    ]


def _results(results: Sequence[Results], isolated: bool) -> list[str]:
    """Return the tables of glosses and of text, and where all the numbers are."""
    lines: list[str] = []
    kinds = {"Glosses": [one for one in results if not one.is_text], "Text": [one for one in results if one.is_text]}
    for title, some in kinds.items():
        if some:
            lines += ([f"### {title}", ""] if len(some) < len(results) else []) + [*_table(some, isolated), ""]
    by = "accuracy by signer and by sign" if isolated else "errors by signer and by length"
    if not kinds["Glosses"]:
        by = "scores by signer and by length"
    lines += [
        "Intervals are bootstrapped over clips. Signatures of the scorers are in `model-index`; all numbers, with",
        f"{by}, are in `{'`, `'.join(one.path for one in results)}`.",
    ]
    return [*lines, *(line for one in results for line in _sureness(one))]


def _table(results: Sequence[Results], isolated: bool) -> list[str]:
    """Return one table; with BLEU-4 of a text, its BLEU-1 to BLEU-3."""
    units = dict.fromkeys("characters" if one.data.get("unit") == "characters" else "words" for one in results)
    unit = "signs" if isolated else " or ".join(units) if results[0].is_text else "glosses"
    lines = [f"| test set | clips | signers | {unit} | input | metric | value | 95 % interval |", "| --- " * 8 + "|"]
    for one in results:
        data = one.data
        where = (
            f"| {one.dataset} {data['split']} | {data['clips']} | {data['signers']} | "
            f"{data.get('signs', data['words'])} | {one.input} |"
        )
        for metric in (part for whole in one.metrics() for part in (*one.lower_orders(whole.scorer), whole)):
            unit = " %" if metric.kind in ("wer", "accuracy") else ""
            interval = f"{metric.interval[0]:.2f} to {metric.interval[1]:.2f}" if metric.interval else "none"
            lines.append(f"{where} {metric.name} | {metric.value:.2f}{unit} | {interval} |")
            share = one.content["scores"][metric.scorer].get("per_class")
            if share is not None:
                lines.append(f"{where} {metric.name}, averaged over signs | {100 * share:.2f} % | none |")
    return lines


def _sureness(one: Results) -> list[str]:
    """Return what "not sure" did on a test set."""
    part = one.content.get("rejection")
    if not part or part.get("threshold") is None:
        return []
    shares = f"{100 * part['right']:.2f} % correct, {100 * part['wrong']:.2f} % wrong, {100 * part['refused']:.2f} % not sure"
    text = f"{one.dataset} {one.data['split']}, with the threshold {part['threshold']:g} of {part['score']}: {shares}."
    if part["unknown"]:
        text += (
            f" Of {part['unknown']} clips of signs outside the vocabulary {100 * part['unknown_refused']:.2f} % are "
            f"not sure (AUROC {part['auroc']:.3f})."
        )
    return ["", text]


def _data(about: About) -> list[str]:
    known = {corpus.name: corpus for corpus in corpora(about.training_data)}
    lines = []
    for name in about.training_data:
        corpus = known.get(name)
        lines.append(f"- {corpus.title}. License: {corpus.licence}. {corpus.citation}." if corpus else f"- {name}")
    return lines or [f"Training data: {UNSTATED}."]


def _environment(results: Sequence[Results]) -> list[str]:
    lines = []
    for one in results:
        versions = ", ".join(f"{name} {version}" for name, version in one.content["versions"].items() if version)
        hardware = (one.content.get("run") or {}).get("hardware") or {}
        machine = hardware.get("gpu") or hardware.get("cpu")
        commit = one.content.get("commit")
        lines.append(
            f"- {one.dataset} {one.data['split']}: {versions}"
            + (f"; {machine}" if machine else "")
            + (f"; signx_hf commit {commit}" if commit else "")
            + f"; clips {one.data['fingerprint'][:12]}, model {one.content['model']['fingerprint'][:12]}."
        )
    return lines


def render_card(repo: str, model: Model, about: About, results: Sequence[Results]) -> str:
    """Return the complete card, YAML first."""
    has_video, model = model.video, as_evaluated(model, results)

    signed, spoken = languages(about, (*about.training_data, *(one.dataset for one in results)))
    title = about.title or repo.split("/")[-1]
    lines = [
        f"# {title}", "", *_intro(model, about, signed, spoken, has_video),
        "", "## Use", "", "```python", snippet(repo, model), "```", "",
        "To pin these weights, add `revision=` with the commit that `signx-hf pull` prints.",
        "", "## Results", "", *_results(results, model.is_isolated),
        "", "## Reproduce these numbers", "", "```text", *(one.command(repo) for one in results), "```", "",
        "It needs the package signx_hf with its extra `metrics` and your copy of the test set, under the name that "
        "its publisher gave it. The results hold a fingerprint of the clips, which is the same for the same clips.",
        "", "## Training data and license", "", *_data(about), "", *(f"{line}\n" for line in model.backbones),
        f"Weights: {about.licence or f'license {UNSTATED}; ask before use'}. Data have licenses of their own, which "
        "may forbid what the license of the weights allows.",
        "", f"## {'Glosses, consent' if model.recognizes else 'Consent'} and limits", "",
        *[f"Glossing convention: {about.glossing or UNSTATED}.".replace("..", "."), ""] * model.recognizes,
        f"Consent of the people shown in training: {about.consent or UNSTATED}.".replace("..", "."),
        *["", GLOSS_LIMITS] * model.recognizes, *["", TEXT_LIMITS] * model.translates,
        "", "## Environment", "", *_environment(results),
    ]  # fmt: skip
    if about.authors:
        lines += ["", "## Authors", "", ", ".join(about.authors)]
    return f"---\n{metadata(repo, model, about, results).to_yaml()}\n---\n\n" + "\n".join(lines) + "\n"


def complete_card(text: str, repo: str, model: Model, about: About, results: Sequence[Results]) -> str:
    """Return the user's own card, and add the metadata that it lacks, such as `model-index` and tags."""
    from huggingface_hub.utils import yaml_dump

    own, body = split_card(text)
    model_index(own)  # raises if it is malformed
    generated = metadata(repo, model, about, results).to_dict()
    head = {**own, **{key: value for key, value in generated.items() if key not in own}}
    return (
        f"---\n{yaml_dump(head, sort_keys=False).strip()}\n---\n{body if body.startswith(chr(10)) else chr(10) + body}"
    )


def write_card(
    folder: str | Path, repo: str, results: Sequence[Results], path: str | Path, about: About | None = None
) -> str:
    """Write the card that `push_model` would publish for a folder without one, atomically.

    Args:
        folder: of the model and its processor.
        repo: name of the repository, for the code in the card.
        results: of `signx-hf evaluate` with this folder.
        path: of the card.
        about: facts for the card.

    Returns:
        The text.

    Raises:
        SignXError: If there is no model, the results are of another one, or the path cannot be written or holds
            something else.
    """
    folder = Path(folder)
    check_card_path(path, folder)
    model = read_model(folder)
    for one in results:
        check_belongs(one, folder)
    text = render_card(repo, model, about or About(), results)
    with atomic_write(path) as tmp_path:
        tmp_path.parent.mkdir(parents=True, exist_ok=True)
        tmp_path.write_bytes(text.encode("utf-8", "backslashreplace"))
    return text


def check_card_path(path: str | Path, folder: Path) -> Path:
    """Return the file that a card is written to: a new one, or an older card that it replaces.

    Raises:
        SignXError: If it is part of the model, holds something other than a card, or is not a file.
    """
    target, own = resolve_file(path), Path(os.path.realpath(folder)) / CARD
    # Files of the folder may be links to elsewhere; in a cache of the Hub, all of them are.
    parts = {Path(os.path.realpath(part)) for part in own.parent.iterdir()} if own.parent.is_dir() else set()
    if target != own and (target in parts or target.is_relative_to(own.parent)):
        raise SignXError(f"{path} is inside the model in {folder}. Choose its {CARD}, or a file outside of it.")
    if not target.exists():
        return target
    try:
        text = target.read_text(encoding="utf-8")
        is_card = not text.strip() or "model-index" in split_card(text)[0]
    except OSError as error:
        raise SignXError(f"{path} cannot be read ({write_error_reason(error)}). Choose a new name.") from error
    except (UnicodeDecodeError, SignXError):
        is_card = False
    if not is_card:
        raise SignXError(f"{path} exists and is not a card (no model-index in its metadata). Choose a new name.")
    return target


def read_own(folder: Path) -> str | None:
    """Return the card that the publisher wrote; None if there is none.

    Raises:
        SignXError: If it is not text.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SignXError(
            f"{path} must be text in UTF-8 ({write_error_reason(error)}). Save it in UTF-8, or remove it to have it generated."
        ) from error
