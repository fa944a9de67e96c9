"""One rule for every option that names a model: a folder that holds one, a shipped model, or a name on the Hub."""

import json
import shutil
from pathlib import Path

import pytest

from signx_hf.assets import ASSETS, check_place, model_place, shipped_models
from signx_hf.cli import main
from signx_hf.recognition import loading


@pytest.fixture
def no_hub(monkeypatch):
    """Fail where the network is asked, whatever becomes of the error."""
    asked = []

    def refuse(*args, **options):
        asked.append(args)
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    yield
    assert not asked


def test_a_folder_without_a_model_shadows_no_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "clip.mp4").write_bytes(b"")
    assert Path(model_place("demo")) == ASSETS / "demo" / "model"
    (tmp_path / "asl").write_text("notes")
    assert Path(model_place("asl")) == ASSETS / "asl" / "model"


def test_a_folder_with_a_model_goes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, folder in (("demo", "demo"), ("asl", "asl/model"), ("mine", "mine/model")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
        assert Path(model_place(name)) == Path(folder)
        assert Path(model_place(f"./{name}")) == Path(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(model_place("~/mine")) == tmp_path / "mine" / "model"


@pytest.mark.parametrize("name", ["owner/name", "resnet-50", "runs/nowhere"])
def test_other_names_are_left_to_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_place(name) == name
    check_place(name)


@pytest.mark.parametrize(
    "name, says",
    [
        ("als", "als: no such model. Did you mean asl"),
        ("folder", "folder: no config.json in this folder"),
        ("file.pt", "file.pt: a file"),
        ("./nowhere", "./nowhere: no such folder"),
        ("a/b/c", "a/b/c: no such folder"),
        (" ", "must not be empty"),
        ("x" * 5000 + "/y/z", "no such folder"),
    ],
)
def test_what_is_no_model_is_named_once_and_without_the_hub(name, says, tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.pt").write_bytes(b"x")
    with pytest.raises((OSError, ValueError), match=says.replace(".", r"\.")) as caught:
        check_place(model_place(name))
    said = loading.cannot_load(name, caught.value)
    assert says in said and said.count(f"{name}:") <= 1 and f"'{name}'" not in said.replace("' '", "")


def options_of_train(name, tmp_path):
    """Return command lines of training that name a model, each for another option."""
    (tmp_path / "data").mkdir(exist_ok=True)
    common = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out"), "--progress", "false"]
    return {
        "upstream": ["train", "refine", "--upstream", name, *common],
        "isolated": ["train", "isolated", "--upstream", name, *common],
    }


@pytest.mark.parametrize("option", ["upstream", "isolated"])
def test_upstream_next_to_a_folder_of_that_name_is_the_shipped_model(option, tmp_path, monkeypatch, capsys, no_hub):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert main(options_of_train("demo", tmp_path)[option]) == 2
    said = capsys.readouterr().err
    assert "trained model" not in said and "Hub" not in said and str(tmp_path / "data") in said


def test_upstream_that_is_misspelt_is_not_looked_up_on_the_hub(tmp_path, monkeypatch, capsys, no_hub):
    monkeypatch.chdir(tmp_path)
    assert main(options_of_train("als", tmp_path)["isolated"]) == 2
    assert "als: no such model. Did you mean asl?" in capsys.readouterr().err


def test_recognize_next_to_a_folder_of_that_name(tmp_path, monkeypatch, capsys):
    from signx_hf.assets import demo_clips

    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    clip = demo_clips()[0]
    assert main(["recognize", str(clip.video), "--model", "demo", "--device", "cpu"]) == 0
    assert set(capsys.readouterr().out.split()) & set(clip.glosses)


def test_calibrate_does_not_change_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", "--model", "demo", "--dataset", "signsynth"]) == 2
    assert "demo: a model of the package. Pass a saved model of your own" in capsys.readouterr().err


def test_pull_wants_an_owner_before_it_asks(tmp_path, capsys, no_hub):
    assert main(["pull", "noslash", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "must be named OWNER/NAME, got 'noslash'" in said and not list(tmp_path.iterdir())


def code_files(content):
    """Yield the files of code that the content of a JSON file names."""
    for name, value in content.items() if isinstance(content, dict) else ():
        if name == "auto_map":
            for names in value.values():
                yield from (
                    f"{part.split('.')[0]}.py" for part in (names if isinstance(names, list) else [names]) if part
                )
        elif name == "custom_pipelines":
            yield from (f"{pipe['impl'].split('.')[0]}.py" for pipe in value.values())
        else:
            yield from code_files(value)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_json_names_no_code_that_is_not_there(name):
    folder = Path(model_place(name))
    for path in folder.glob("*.json"):
        assert [file for file in code_files(json.loads(path.read_text())) if not (folder / file).is_file()] == []


def test_the_demo_loads_with_trust_remote_code(tmp_path):
    import transformers

    import signx_hf
    from signx_hf.assets import MODEL, demo_clips

    copy = shutil.copytree(MODEL, tmp_path / "copy")
    processor = transformers.AutoProcessor.from_pretrained(copy, trust_remote_code=True)
    assert isinstance(processor, signx_hf.SignXProcessor)
    clip = demo_clips()[0]
    texts = {
        transformers.pipeline("sign-recognition", model=str(copy), trust_remote_code=trust)(str(clip.video))["text"]
        for trust in (True, False)
    }
    assert len(texts) == 1
