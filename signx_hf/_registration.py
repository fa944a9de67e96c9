"""Register the SignX classes with transformers as soon as transformers is used, without importing it before.

`import signx_hf` must stay light (no torch, no transformers), yet after it `pipeline("sign-recognition")` and the Auto
classes must know SignX, whichever of the two packages is imported first. An import hook therefore waits until a
registry of transformers has been imported and fills it then.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO = "transformers.models.auto"
WATCHED = ("transformers.", f"{__package__}.modeling.", f"{__package__}.processing.")
# Options of transformers.pipeline() that decide which config.json is read.
HUB_OPTIONS = (
    "revision", "token", "trust_remote_code", "code_revision", "cache_dir", "local_files_only", "_commit_hash",
)  # fmt: skip

# Architecture -> its Auto class, where that gives another one for a SignXConfig: loaded by its name, and by `auto_map` in
# config.json with trust_remote_code.
OTHERS = {"SignXForPose2Gloss": "AutoModelForSeq2SeqLM"}
# module of the registry -> Auto class -> class of SignX
CLASSES = {
    "configuration_auto": {"AutoConfig": "SignXConfig"},
    "modeling_auto": {
        "AutoModel": "SignXModel",
        "AutoModelForSeq2SeqLM": "SignXForGlossRecognition",
        "AutoModelForCTC": "SignXForLatentCTC",
        "AutoModelForVideoClassification": "SignXForSignClassification",
    },
    "video_processing_auto": {"AutoVideoProcessor": "SignXVideoProcessor"},
    "feature_extraction_auto": {"AutoFeatureExtractor": "SignXPoseFeatureExtractor"},
    "tokenization_auto": {"AutoTokenizer": "SignXTokenizer"},
    "processing_auto": {"AutoProcessor": "SignXProcessor"},
}
# The same for other model types: model type -> its config, and the classes by registry
OTHER_TYPES: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "uniglor": (
        "UniGloRConfig",
        {
            "configuration_auto": {"AutoConfig": "UniGloRConfig"},
            "modeling_auto": {
                "AutoModel": "UniGloRSignMAE",
                "AutoModelForVideoClassification": "UniGloRForSignClassification",
            },
            "feature_extraction_auto": {"AutoFeatureExtractor": "UniGloRFeatureExtractor"},
        },
    ),
}


@dataclass(frozen=True)
class Task:
    """A task of `transformers.pipeline`: its pipeline class, the Auto class of its models, and their architectures."""

    pipeline_class: str
    auto_class: str
    architectures: tuple[str, ...]


TASKS = {
    "sign-recognition": Task(
        "SignRecognitionPipeline",
        "AutoModelForSeq2SeqLM",
        ("SignXForGlossRecognition", "SignXForLatentCTC", "SignXForPose2Gloss"),
    ),
    "isolated-sign-recognition": Task(
        "IsolatedSignRecognitionPipeline", "AutoModelForVideoClassification", ("SignXForSignClassification",)
    ),
    "sign-translation": Task(
        "SignTranslationPipeline", "AutoModelForSeq2SeqLM", ("SignXForGlossRecognition", "SignXForPose2Gloss")
    ),
    "sign-spotting": Task(
        "SignSpottingPipeline", "AutoModelForVideoClassification", ("SignXForSignClassification",)
    ),
}  # fmt: skip


def task_of_architecture(architectures: Sequence[str] | None) -> str | None:
    """Return the task of a checkpoint by `architectures` of its config; None if it is not a recognizer."""
    name = (architectures or [None])[0]
    return next((task for task, entry in TASKS.items() if name in entry.architectures), None)


def recognizers() -> list[str]:
    """Return the architectures that recognize signs."""
    return list(dict.fromkeys(name for task in TASKS.values() for name in task.architectures))


def _register_classes(registry: str) -> None:
    package, auto = import_module(__package__), import_module(f"{AUTO}.{registry}")
    for auto_name, name in CLASSES[registry].items():
        auto_class, own_class = getattr(auto, auto_name), getattr(package, name)
        key = "signx" if auto_name == "AutoConfig" else package.SignXConfig
        if auto_name == "AutoTokenizer":
            auto_class.register(key, fast_tokenizer_class=own_class, exist_ok=True)
        else:
            auto_class.register(key, own_class, exist_ok=True)
        own_class.register_for_auto_class(auto_name)
    if registry == "modeling_auto":
        for name, auto_name in OTHERS.items():
            getattr(package, name).register_for_auto_class(auto_name)
    for model_type, (config, registries) in OTHER_TYPES.items():
        for auto_name, name in registries.get(registry, {}).items():
            own_class = getattr(package, name)
            key = model_type if auto_name == "AutoConfig" else getattr(package, config)
            getattr(auto, auto_name).register(key, own_class, exist_ok=True)
            own_class.register_for_auto_class(auto_name)


def _register_pipelines() -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    package, auto = import_module(__package__), import_module(f"{AUTO}.modeling_auto")
    for name, task in TASKS.items():
        if name not in PIPELINE_REGISTRY.get_supported_tasks():
            loader = _loader(getattr(auto, task.auto_class))
            pipeline_class = getattr(package, task.pipeline_class)
            PIPELINE_REGISTRY.register_pipeline(name, pipeline_class, pt_model=loader, type="multimodal")


class LoadingFailure:
    """Stand in for a model that could not be loaded, until the constructor of the pipeline raises `loading_error`."""

    config = SimpleNamespace(_commit_hash=None)  # transformers reads it from the model

    def __init__(self, error: Exception):
        self.loading_error = error


def _loader(auto_class: type) -> type:
    """Return `auto_class` for transformers.pipeline(), with checks of the checkpoint and with plain errors.

    transformers.pipeline() replaces every ValueError and OSError of `from_pretrained` by a page of tracebacks, so the
    error takes the place of the model until the pipeline raises it. The name is kept because pipelines are saved with
    it.
    """

    def from_pretrained(cls: type, name: str, *args: Any, **kwargs: Any) -> "PreTrainedModel | LoadingFailure":
        try:
            architecture = _check_checkpoint(name, kwargs)
            if architecture == "SignXForLatentCTC":  # the same task, but no decoder to load
                from transformers import AutoModelForCTC

                return AutoModelForCTC.from_pretrained(name, *args, **kwargs)
            if architecture in OTHERS:
                own_class = getattr(import_module(__package__), architecture)
                kwargs.pop("code_revision", None)  # which only Auto classes take
                return own_class.from_pretrained(name, *args, **kwargs)
            return auto_class.from_pretrained(name, *args, **kwargs)
        except Exception as error:
            if Path(name).exists() and not (Path(name) / "processor_config.json").is_file():
                raise  # the library would load the processor next, and fail on that instead
            from .modeling.checkpoint_signx import plain_error

            return LoadingFailure(plain_error(name, error))

    return type(auto_class.__name__, (auto_class,), {"from_pretrained": classmethod(from_pretrained)})


def _check_checkpoint(name: str, options: dict[str, Any]) -> str | None:
    """Reject what would load, but with random weights or none: other model types, and checkpoints of other tasks.

    Returns:
        The architecture that was saved; None if the config does not name one.

    Raises:
        ValueError: If it is a file, of another model type, or of another task.
    """
    if Path(name).is_file():
        raise ValueError(f"`model` must be a folder that holds config.json and the weights, got the file {name}.")
    from .modeling.checkpoint_signx import check_settings

    check_settings(name)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, **{key: options[key] for key in HUB_OPTIONS if key in options})
    if config.model_type != "signx":
        raise ValueError(
            f"{name}: config.json must be of model type 'signx', got {config.model_type!r}. Pass a folder or Hub "
            "name that a SignX model was saved to."
        )
    architecture, task = (config.architectures or [None])[0], options.get("_from_pipeline")
    expected = TASKS[task].architectures if task in TASKS else ()
    if architecture is not None and expected and architecture not in expected:
        other = task_of_architecture([architecture])
        remedy = f'Use pipeline("{other}").' if other else "Train one of these from it first."
        raise ValueError(f"{name}: {task} needs a checkpoint of {' or '.join(expected)}, got {architecture}. {remedy}")
    return architecture


# Module of transformers -> the registration that it must have been imported for
_PENDING: dict[str, Callable[[], None]] = {
    **{f"{AUTO}.{registry}": partial(_register_classes, registry) for registry in CLASSES},
    "transformers.pipelines": _register_pipelines,
}


def _register_imported() -> None:
    """Fill the registries that have been imported."""
    for name in list(_PENDING):
        if name in sys.modules and (register_one := _PENDING.pop(name, None)):
            try:
                register_one()
            except ImportError:  # another library is half imported; the next import of transformers tries again
                _PENDING[name] = register_one


def register() -> None:
    """Import every registry and fill it; only needed where transformers may not be imported in the usual way."""
    for name in list(_PENDING):
        if register_one := _PENDING.pop(name, None):
            register_one()


class _Depth(threading.local):
    """How many watched modules this thread is importing, one inside the other."""

    value = 0


class _AfterImport(MetaPathFinder):
    """Fill the registries whenever the outermost watched import ends, when no module is half imported."""

    def __init__(self) -> None:
        self._depth = _Depth()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a watched module as Python does, and count its execution."""
        spec = PathFinder.find_spec(name, path, target) if name.startswith(WATCHED) else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._depth.value += 1
            try:
                execute(module)
            finally:
                self._depth.value -= 1
            if not self._depth.value:
                _register_imported()

        spec.loader.exec_module = exec_module
        return spec


def install() -> None:
    """Install the hook; `import signx_hf` calls it once."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    _register_imported()
