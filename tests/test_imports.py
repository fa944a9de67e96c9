"""Importing the package is light, and transformers knows SignX whichever of the two is imported first."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT
from helpers import run_python

LIST_HEAVY = "print([m for m in ('torch', 'transformers', 'numpy', 'av', 'datasets') if m in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import signx_hf",
        "import signx_hf.modeling, signx_hf.processing",
        "from signx_hf import SignXError",
        "import signx_hf.cli; signx_hf.cli.build_parser()",
    ],
)
def test_import_is_light(code, tmp_path):
    assert run_python(f"import sys\n{code}\n{LIST_HEAVY}", tmp_path).strip() == "[]"


def test_help_imports_nothing_heavy(tmp_path):
    code = f"import sys, signx_hf.cli\ntry:\n    signx_hf.cli.main(['--help'])\nexcept SystemExit:\n    {LIST_HEAVY}"
    assert run_python(code, tmp_path).strip().endswith("[]")


CHECK = """
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoModelForCTC, AutoProcessor, AutoTokenizer
from transformers import AutoFeatureExtractor, AutoModelForVideoClassification
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.pipelines import PIPELINE_REGISTRY
config = AutoConfig.for_model("signx")
names = [auto._model_mapping[type(config)].__name__ for auto in
         (AutoModel, AutoModelForSeq2SeqLM, AutoModelForCTC, AutoModelForVideoClassification)]
video = VIDEO_PROCESSOR_MAPPING[type(config)]  # a dict of back ends in newer versions of transformers
names += ["SignXVideoProcessor" if "SignXVideoProcessor" in str(video) else str(video)]
names += [PROCESSOR_MAPPING[type(config)].__name__]
tasks = PIPELINE_REGISTRY.get_supported_tasks()
print(names, "sign-recognition" in tasks, "isolated-sign-recognition" in tasks)
"""


@pytest.mark.parametrize(
    "first",
    [
        "import signx_hf",
        "from transformers import pipeline\nimport signx_hf",
        "from signx_hf import SignXConfig; SignXConfig.tiny()",
        "from signx_hf.processing.processing_signx import SignXProcessor",
        "import signx_hf\nfrom transformers import PreTrainedModel, pipeline",
    ],
)
def test_registered_whatever_comes_first(first, tmp_path):
    expected = (
        "['SignXModel', 'SignXForGlossRecognition', 'SignXForLatentCTC', 'SignXForSignClassification', "
        "'SignXVideoProcessor', 'SignXProcessor'] True True"
    )
    assert run_python(first + "\n" + CHECK, tmp_path).strip().splitlines()[-1] == expected


def test_public_names_exist():
    import signx_hf

    for name in signx_hf.__all__:
        assert getattr(signx_hf, name) is not None
    assert set(signx_hf.__all__) <= set(dir(signx_hf))
    with pytest.raises(AttributeError, match="module 'signx_hf' has no attribute 'SignXConfg'"):
        _ = signx_hf.SignXConfg


def test_folders_refuse_the_wrong_name(tmp_path):
    for folder in ("modeling", "processing"):
        done = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
        assert f"import signx_hf.{folder}, not {folder}" in done.stderr


def test_missing_extra_is_named(monkeypatch):
    from signx_hf.common import extras

    monkeypatch.setitem(
        sys.modules, "rouge_score", None
    )  # what Python itself does for a module that cannot be imported
    with pytest.raises(ImportError) as error:
        extras.require("rouge_score")
    assert "it belongs to the extra 'metrics', pip install \"signx_hf[metrics]\"" in str(error.value)


def test_extras_agree_with_setup():
    from signx_hf.common.extras import EXTRAS

    declared = (ROOT / "setup.py").read_text()
    namespace = {}
    start, end = declared.index("EXTRAS = {"), declared.index('EXTRAS["all"]')
    exec(declared[start:end], namespace)  # the literal of our own setup.py
    names = {
        extra: {re.split("[>=;]", requirement)[0] for requirement in requirements}
        for extra, requirements in namespace["EXTRAS"].items()
    }
    assert names == {extra: set(modules.values()) for extra, modules in EXTRAS.items()}
