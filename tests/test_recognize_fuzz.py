"""A sample of tests/stress/recognize_fuzz.py: damaged input ends in a result or one typed line; and what watches it sees a crash."""

import json
import shutil
import zipfile
from collections import Counter

import pytest
from recognize_fuzz import KINDS, Users, Watched, judged, make_base, make_input, try_input
from recognize_probe import Odd
from transformers import AutoProcessor

from signx_hf import SignXError, SignXForGlossRecognition
from signx_hf.recognition.loading import load_pipeline
from signx_hf.writers import read_eaf

for module in ("pympi", "pose_format"):
    pytest.importorskip(module)


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    base = tmp_path_factory.mktemp("good")
    make_base(base)
    return Users(base)


@pytest.mark.parametrize(("kind", "inputs"), [(kind, 8 if kind == "config" else 15) for kind in KINDS])
def test_damaged_input_is_read_or_refused_in_one_typed_line(users, kind, inputs):
    found = [try_input(users, kind, 1000 + number) for number in range(inputs)]
    assert [item for item in found if item["outcome"] not in ("result", "typed")] == []
    assert Counter(item["outcome"] for item in found)["typed"] >= 3, "damage that harms nothing tests nothing"


def test_the_same_damage_every_time(users, tmp_path):
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        contents.append(
            [make_input(kind, 3, users.base, tmp_path / name).read_bytes() for kind in ("video", "eaf", "arpa")]
        )
    assert contents[0] == contents[1]


def test_good_input_is_read(users, tmp_path):
    """`use` raises where a result is not what one should be; a file of every kind passes it."""
    read = Counter()
    for kind in ("video", "pose", "eaf", "arpa"):
        folder = shutil.copytree(users.base / kind, tmp_path / kind)  # texts to score are put beside language models
        for number, path in enumerate(sorted(folder.iterdir())):
            if path.name != "audio.mp4":
                users.use(kind, number, path)
                read[kind] += 1
    assert set(read) == {"video", "pose", "eaf", "arpa"}


class Library(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (SignXError("clip.mp4: a reason"), "typed"),
        (ValueError("a reason"), "typed"),
        (FileNotFoundError(2, "No such file"), "typed"),
        (ValueError(""), "untyped"),
        (ValueError("two\nlines"), "untyped"),
        (SignXError("x" * 2000), "untyped"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "untyped"),
        (KeyError("x"), "untyped"),
        (Library("x"), "untyped"),
    ],
)
def test_what_counts_as_typed(error, wanted):
    assert judged(error) == wanted


def test_a_crash_and_a_hang_are_seen_and_the_next_input_is_read():
    watched = Watched(Odd(), limit=0.5, patience=2.0)
    try:
        assert watched.ask("die") == {"outcome": "crash", "exit_code": 7}
        assert watched.ask("hang") == watched.ask("spin") == {"outcome": "hang"}
        assert watched.ask("well") == {"outcome": "well"}
    finally:
        watched.close()


# ------------------------------------------------------------------------------------- what the fuzz has found, by name


def changed(users, tmp_path, name, change):
    """A copy of the model with one JSON file changed."""
    folder = tmp_path / "model"
    shutil.copytree(users.base / "model", folder)
    content = json.loads((folder / name).read_text())
    content = change(content) or content
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


CASES = [
    ("config.json", lambda c: c["vision_config"].update(num_hidden_layers=2**31), "SignXConfig.vision_config.num_hidden_layers` must be at most 1000, got 2147483648"),
    ("config.json", lambda c: c["frame_branch"].update(depths=[1, 10**9]), "SignXConfig.frame_branch.depths` must sum to at most 1000, got [1, 1000000000]"),
    ("config.json", lambda c: c["recognizer_config"].update(dilations=[1, 10**9]), "SignXConfig.recognizer_config.dilations` must sum to at most 1000, got [1, 1000000000]"),
    ("config.json", lambda c: c["text_config"]["gloss_pieces"].__setitem__(1, ["x"]), "cannot be loaded (TypeError: '<=' not supported"),
    ("config.json", lambda c: c["vision_config"].update(layer_norm_eps="x"), "cannot be loaded (StrictDataclassFieldValidationError: Validation error for field 'layer_norm_eps'"),
    ("config.json", lambda c: c.update(auto_map=0.5), "got 0.5"),
    ("generation_config.json", lambda c: "[]", "/generation_config.json: not a JSON object"),
    ("generation_config.json", lambda c: c.update(max_new_tokens=[None]), "cannot be loaded (TypeError: "),
    ("processor_config.json", lambda c: "[]", "/processor_config.json: not a JSON object"),
    ("processor_config.json", lambda c: '{"a":' * 50_000, "/processor_config.json: not a JSON object"),
    ("processor_config.json", lambda c: c["video_processor"]["auto_map"].update(AutoVideoProcessor=-1), "/processor_config.json: `auto_map` must name classes"),
    ("processor_config.json", lambda c: c["video_processor"].update(video_processor_type="Other"), "the processor cannot be loaded (ValueError: "),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "text"), CASES)
def test_damaged_settings_are_refused_in_one_line(users, tmp_path, name, change, text):
    folder = changed(users, tmp_path, name, change)
    with pytest.raises(ValueError) as caught:
        load_pipeline(str(folder), "cpu")
    message = str(caught.value)
    assert text in message and len(message.splitlines()) == 1


def test_special_pieces_outside_the_vocabulary_are_refused(users, tmp_path):
    folder = changed(users, tmp_path, "generation_config.json", lambda c: c.update(decoder_start_token_id=2**31))
    with pytest.raises(ValueError, match="decoder_start_token_id.* from 0 to 539, got 2147483648"):
        load_pipeline(str(folder), "cpu")(users.frames)


def test_annotations_with_times_that_cannot_be(users, tmp_path):
    text = (users.base / "eaf" / "plain.eaf").read_text()
    path = tmp_path / "clip.eaf"
    path.write_text(text.replace('TIME_VALUE="0"', 'TIME_VALUE="2000"'))
    with pytest.raises(ValueError, match="clip.eaf: times of 'IX-1p' must be in order, got 2.0 to 0.4 s"):
        read_eaf(path)
    path.write_text(text.replace(">0.9000<", ">nan<"))
    with pytest.raises(ValueError, match="clip.eaf: the confidence of 'IX-1p' must be from 0 to 1, got nan"):
        read_eaf(path)


def test_archives_damaged_inside_are_refused_by_name(users, tmp_path):
    path = tmp_path / "long.npz"
    with zipfile.ZipFile(users.base / "pose" / "long.npz") as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(
                name, content.replace(b"'shape': (700, ", b"'shape': (700( ") if name == "dwpose.npy" else content
            )
    for options in ({}, {"chunk_length_s": 4}):
        with pytest.raises(SignXError, match="long.npz: the .npz file is corrupt"):
            users.recognizer(str(path), **options)


def test_good_settings_still_load(users):
    folder = users.base / "model"
    assert AutoProcessor.from_pretrained(folder).tokenizer.ctc_glosses
    assert SignXForGlossRecognition.from_pretrained(folder).config.pose_config.track_dims == {
        "mediapipe": 258,
        "dwpose": 384,
    }
    assert load_pipeline(str(folder), "cpu")(users.frames, max_new_tokens=3)["duration"] > 0
