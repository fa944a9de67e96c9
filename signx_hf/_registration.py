"""Registers the SignX classes with transformers the moment transformers is used, and imports nothing before that.

`import signx_hf` must stay light (no torch, no transformers), yet after it `pipeline("sign-recognition")` and the Auto classes
must know SignX, whichever of the two packages is imported first. So an import hook waits for the modules of transformers
that hold the registries and runs the matching registration right after each of them has been executed.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import SimpleNamespace

AUTO = "transformers.models.auto"
MODELING = "signx_hf.modeling"
PROCESSING = "signx_hf.processing"
# What finds a config, of all that transformers.pipeline() passes on.
HUB_OPTIONS = (
    "revision", "token", "trust_remote_code", "code_revision", "cache_dir", "local_files_only", "_commit_hash",
)  # fmt: skip
# Which checkpoints have trained weights for the whole of a task.
TASKS = {
    "SignXForGlossRecognition": "sign-recognition",
    "SignXForLatentCTC": "sign-recognition",
    "SignXForSignClassification": "isolated-sign-recognition",
}


def _register_config() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from .modeling.configuration_signx import SignXConfig

    AutoConfig.register("signx", SignXConfig, exist_ok=True)
    SignXConfig.register_for_auto_class("AutoConfig")


def _register_models() -> None:
    from transformers.models.auto.modeling_auto import (
        AutoModel,
        AutoModelForCTC,
        AutoModelForSeq2SeqLM,
        AutoModelForVideoClassification,
    )

    from .modeling.classification_signx import SignXForSignClassification
    from .modeling.configuration_signx import SignXConfig
    from .modeling.encoders_signx import SignXModel
    from .modeling.modeling_signx import SignXForGlossRecognition, SignXForLatentCTC

    classes = {
        AutoModel: SignXModel,
        AutoModelForSeq2SeqLM: SignXForGlossRecognition,
        AutoModelForCTC: SignXForLatentCTC,
        AutoModelForVideoClassification: SignXForSignClassification,
    }
    for auto_class, model_class in classes.items():
        auto_class.register(SignXConfig, model_class, exist_ok=True)
        model_class.register_for_auto_class(auto_class.__name__)


def _register_video_processor() -> None:
    # transformers.AutoVideoProcessor is a dummy where torchvision is missing; this is the real one.
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor

    from .modeling.configuration_signx import SignXConfig
    from .processing.video_processing_signx import SignXVideoProcessor

    AutoVideoProcessor.register(SignXConfig, SignXVideoProcessor, exist_ok=True)
    SignXVideoProcessor.register_for_auto_class("AutoVideoProcessor")


def _register_feature_extractor() -> None:
    from transformers.models.auto.feature_extraction_auto import AutoFeatureExtractor

    from .modeling.configuration_signx import SignXConfig
    from .processing.feature_extraction_signx import SignXPoseFeatureExtractor

    AutoFeatureExtractor.register(SignXConfig, SignXPoseFeatureExtractor, exist_ok=True)
    SignXPoseFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")


def _register_tokenizer() -> None:
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    from .modeling.configuration_signx import SignXConfig
    from .processing.tokenization_signx import SignXTokenizer

    AutoTokenizer.register(SignXConfig, fast_tokenizer_class=SignXTokenizer, exist_ok=True)
    SignXTokenizer.register_for_auto_class("AutoTokenizer")


def _register_processor() -> None:
    from transformers.models.auto.processing_auto import AutoProcessor

    from .modeling.configuration_signx import SignXConfig
    from .processing.processing_signx import SignXProcessor

    AutoProcessor.register(SignXConfig, SignXProcessor, exist_ok=True)
    SignXProcessor.register_for_auto_class("AutoProcessor")


class LoadingFailure:
    """Stands for a model that could not be loaded, until the pipeline raises `loading_error`."""

    config = SimpleNamespace(_commit_hash=None)  # transformers 5.17 looks it up on the model

    def __init__(self, error: Exception):
        self.loading_error = error


def _check_checkpoint(name: str, options: dict) -> str | None:
    """Refuses what would load, but with a head of random weights or none: other model types, checkpoints of other tasks.

    Returns:
        The architecture that was saved, if the checkpoint says.
    """
    if Path(name).is_file():
        raise ValueError(f"{name}: a file: wanted the folder that holds config.json and the weights")
    from .modeling.checkpoint_signx import check_settings

    check_settings(name)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, **{key: options[key] for key in HUB_OPTIONS if key in options})
    if config.model_type != "signx":
        raise ValueError(
            f"{name}: config.json is of model type {config.model_type!r}: wanted 'signx'; give a folder or Hub name that a "
            "SignX model was saved to"
        )
    found, task = (config.architectures or [None])[0], options.get("_from_pipeline")
    wanted = [architecture for architecture, runs in TASKS.items() if runs == task]
    if found is not None and wanted and found not in wanted:
        own = TASKS.get(found)
        remedy = f'use pipeline("{own}")' if own else "train and save one of these from it first"
        raise ValueError(f"{name}: a checkpoint of {found}: {task} wanted {' or '.join(wanted)}; {remedy}")
    return found


def _carrying_errors(auto_class: type) -> type:
    """`auto_class` for transformers.pipeline(), which replaces an error in loading by a page of tracebacks.

    So the error is carried past it in the place of the model. The name is kept because pipelines are saved with it.
    """

    def from_pretrained(cls, name, *args, **kwargs):
        try:
            if _check_checkpoint(name, kwargs) == "SignXForLatentCTC":  # of the same task, but with no decoder to miss
                from transformers import AutoModelForCTC

                return AutoModelForCTC.from_pretrained(name, *args, **kwargs)
            return auto_class.from_pretrained(name, *args, **kwargs)
        except Exception as error:
            if Path(name).exists() and not (Path(name) / "processor_config.json").is_file():
                raise  # the library goes on to the processor, and that one's error would hide this one
            from .modeling.checkpoint_signx import plain_error

            return LoadingFailure(plain_error(name, error))

    return type(auto_class.__name__, (auto_class,), {"from_pretrained": classmethod(from_pretrained)})


def _register_pipelines() -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoModelForVideoClassification
    from transformers.pipelines import PIPELINE_REGISTRY

    from .processing.isolated_pipeline_signx import IsolatedSignRecognitionPipeline
    from .processing.pipeline_signx import SignRecognitionPipeline
    from .processing.spotting_pipeline_signx import SignSpottingPipeline

    tasks = {
        "sign-recognition": (SignRecognitionPipeline, AutoModelForSeq2SeqLM),
        "isolated-sign-recognition": (IsolatedSignRecognitionPipeline, AutoModelForVideoClassification),
        "sign-spotting": (SignSpottingPipeline, AutoModelForVideoClassification),
    }
    for task, (pipeline_class, auto_class) in tasks.items():
        if task not in PIPELINE_REGISTRY.get_supported_tasks():
            carrier = _carrying_errors(auto_class)
            PIPELINE_REGISTRY.register_pipeline(task, pipeline_class, pt_model=carrier, type="multimodal")


# Module of transformers that must be there -> (module of ours that must not be half imported, what to do)
_PENDING: dict[str, tuple[str, Callable[[], None]]] = {
    f"{AUTO}.configuration_auto": (f"{MODELING}.configuration_signx", _register_config),
    f"{AUTO}.modeling_auto": (f"{MODELING}.modeling_signx", _register_models),
    f"{AUTO}.video_processing_auto": (f"{PROCESSING}.video_processing_signx", _register_video_processor),
    f"{AUTO}.feature_extraction_auto": (f"{PROCESSING}.feature_extraction_signx", _register_feature_extractor),
    f"{AUTO}.tokenization_auto": (f"{PROCESSING}.tokenization_signx", _register_tokenizer),
    f"{AUTO}.processing_auto": (f"{PROCESSING}.processing_signx", _register_processor),
    "transformers.pipelines": (f"{PROCESSING}.pipeline_signx", _register_pipelines),
}
# An import of ours may have to wait for these to be complete, or may itself have been what started them.
_WATCHED = {
    *_PENDING,
    *(own for own, _ in _PENDING.values()),
    f"{MODELING}.encoders_signx",
    f"{MODELING}.classification_signx",
    f"{PROCESSING}.isolated_pipeline_signx",
    f"{PROCESSING}.spotting_pipeline_signx",
    "transformers.modeling_utils",
    "transformers.processing_utils",
}


def _half_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and getattr(module.__spec__, "_initializing", False)


def _run_pending(finished: str | None = None) -> None:
    """Runs every registration whose modules are there; `finished` is the module whose import is just ending."""
    for name in list(_PENDING):
        if name not in _PENDING:  # done by a nested import just now
            continue
        own, register = _PENDING[name]
        theirs_ready = name in sys.modules and (name == finished or not _half_imported(name))
        if not theirs_ready or (own != finished and _half_imported(own)):
            continue
        del _PENDING[name]
        try:
            register()
        except ImportError:  # something further down is half imported; its own end brings us back here
            _PENDING[name] = (own, register)


def register() -> None:
    """Registers everything now. Needed by nobody who imports transformers in the ordinary way; idempotent."""
    for name in list(_PENDING):
        if name in _PENDING:
            _PENDING.pop(name)[1]()


class _AfterImport(MetaPathFinder):
    """Lets the ordinary finders find a watched module and runs the registrations after it was executed."""

    def __init__(self):
        self._searching: set[str] = set()

    def find_spec(self, name: str, path=None, target=None):
        if name not in _WATCHED or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            _run_pending(finished=name)

        spec.loader.exec_module = exec_module
        return spec


def install() -> None:
    """Called once by `import signx_hf`."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    if "transformers" in sys.modules:
        _run_pending()
