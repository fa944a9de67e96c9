"""A saved folder works through `trust_remote_code` where this package is not installed, and says the same as with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from helpers import run_python
from make_model import make_frames, make_poses, save_folder, write_video
from remote_probe import SENTENCE, probe

# What is saved -> the Auto class that loads it.
SAVED = {
    "SignXForGlossRecognition": "AutoModelForSeq2SeqLM",
    "SignXForLatentCTC": "AutoModelForCTC",
    "SignXForSignClassification": "AutoModelForVideoClassification",
}
MODULES = {"SignXForSignClassification": "classification_signx"}  # where a class is that has left modeling_signx
CHILD = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tests")!r})
import numpy as np, torch
from remote_probe import probe
poses = dict(np.load("poses.npz"))
for job in json.loads(Path("jobs.json").read_text()):
    found = probe(Path(job["folder"]), job["auto_class"], poses, Path("clip.mkv"), True, Path(job["resave"]))
    torch.save(found, job["found"])
"""


class Place:
    """A folder with the models, a clip and its poses, where other processes run."""

    def __init__(self, base: Path):
        self.base = base
        self.video = write_video(base / "clip.mkv", make_frames(22))
        self.poses = make_poses(22)
        np.savez(base / "poses.npz", **self.poses)
        for name in SAVED:
            save_folder(base / name, name)

    def visit(self, suffix: str, package: bool, **saved: str) -> dict[str, dict]:
        """What a fresh process finds in `<name><suffix>`, with or without the package; it saves again with one more `+`."""
        jobs = [
            {
                "folder": f"{name}{suffix}", "auto_class": auto_class, "resave": f"{name}{suffix}+",
                "found": f"{name}{suffix}{package}.pt",
            }
            for name, auto_class in saved.items()
        ]  # fmt: skip
        (self.base / "jobs.json").write_text(json.dumps(jobs))
        run_python(CHILD, self.base, package=package)
        return {name: torch.load(self.base / job["found"], weights_only=True) for name, job in zip(saved, jobs)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("remote"))


@pytest.fixture(scope="module")
def with_package(place):
    """The answers of the package, found in this process, for folders that also hold code: nobody is asked to trust it."""
    return {
        name: probe(place.base / name, auto_class, place.poses, place.video, None, None)
        for name, auto_class in SAVED.items()
    }


@pytest.fixture(scope="module")
def without_package(place):
    return place.visit("", package=False, **SAVED)


def assert_same(found, expected) -> None:
    """Equal words, numbers within 1e-5, at any depth; what only remote code says was compared elsewhere."""
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for left, right in zip(found, expected):
            assert_same(left, right)
    elif isinstance(expected, torch.Tensor):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("name", SAVED)
def test_a_folder_says_the_same_with_and_without_the_package(with_package, without_package, name):
    expected, found = with_package[name], without_package[name]
    assert set(expected["homes"].values()) == {"signx_hf"}
    assert set(found["homes"].values()) == {"transformers_modules"}
    for part in ("tensors", "said", "ids"):
        assert_same(found[part], expected[part])
    # The clip matters to what is compared, and the sentence comes back.
    assert (expected["tensors"]["poses"] - expected["tensors"]["videos"]).abs().max() > 1e-3
    assert found["ids"][2] == SENTENCE
    assert_same(found["said"]["inferred"], found["said"]["named"])


def test_remote_models_recognise(without_package):
    """The pipelines of the folder give glosses with times and labels with scores, from poses and from a file."""
    for kind in ("poses", "videos"):
        by_ctc, by_attention = without_package["SignXForGlossRecognition"]["said"][kind]
        assert by_ctc["glosses"] and by_attention["glosses"]
        assert [segment["gloss"] for segment in by_ctc["segments"]] == by_ctc["glosses"]
        assert by_ctc["duration"] == pytest.approx(22 / 15, abs=1e-3)
        labels = without_package["SignXForSignClassification"]["said"][kind][0]
        assert sum(label["score"] for label in labels) == pytest.approx(1, abs=1e-4)


def test_trusting_the_folder_beside_the_package(place, with_package):
    """Who passes trust_remote_code everywhere gets an answer too, and the same one."""
    found = place.visit("", package=True, SignXForGlossRecognition="AutoModelForSeq2SeqLM")
    for part in ("tensors", "said", "ids"):
        assert_same(found["SignXForGlossRecognition"][part], with_package["SignXForGlossRecognition"][part])


def code_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.py")}


def test_saving_a_remote_model_keeps_its_code(place, without_package):
    """Loaded without the package, saved, loaded, saved: the same code, the same maps, the same answers."""
    again = place.visit("+", package=False, **SAVED)
    for name in SAVED:
        original = place.base / name
        code = code_of(original)
        own = {path.name for folder in ("modeling", "processing") for path in (ROOT / folder).glob("*_signx.py")}
        assert {"encoders_signx.py", "pipeline_signx.py", "processing_signx.py"} <= code.keys() <= own
        for copy in (place.base / f"{name}+", place.base / f"{name}++"):
            assert code_of(copy) == code
            for key in ("auto_map", "custom_pipelines", "architectures"):
                first, second = (json.loads((f / "config.json").read_text())[key] for f in (original, copy))
                assert first == second
        assert set(again[name]["homes"].values()) == {"transformers_modules"}
        for part in ("tensors", "said", "ids"):
            assert_same(again[name][part], without_package[name][part])


def test_what_a_config_says_of_its_code(place, tmp_path):
    """The saved class and the base model, once each; an entry that points at the Hub is written anew, a stranger's stays."""
    import signx_hf

    for name, auto_class in SAVED.items():
        written = json.loads((place.base / name / "config.json").read_text())
        assert written["auto_map"] == {
            "AutoConfig": "configuration_signx.SignXConfig",
            "AutoModel": "encoders_signx.SignXModel",
            auto_class: f"{MODULES.get(name, 'modeling_signx')}.{name}",
        }
        (info,) = written["custom_pipelines"].values()
        assert info["pt"] == [auto_class]
    model = signx_hf.SignXForLatentCTC.from_pretrained(place.base / "SignXForLatentCTC")
    other = {"impl": "other.Pipeline", "pt": [], "type": "text", "default": None}
    hub = {**info, "impl": "someone/model--pipeline_signx.SignRecognitionPipeline"}
    model.config.custom_pipelines = {"sign-recognition": hub, "other-task": other}
    model.config.auto_map["AutoModel"] = "someone/model--encoders_signx.SignXModel"
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["auto_map"]["AutoModel"] == "encoders_signx.SignXModel"
    assert written["custom_pipelines"]["other-task"] == other
    assert written["custom_pipelines"]["sign-recognition"]["impl"] == "pipeline_signx.SignRecognitionPipeline"
    assert model.config.custom_pipelines["sign-recognition"] == hub  # saving changes nothing in memory
