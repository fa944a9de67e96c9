"""`data check` finds each planted fault and nothing else, and nothing at all on a clean set."""

import json
import math
import shutil
import warnings

import av
import numpy as np
import pytest
from conftest import data_folder
from helpers import run_python

import signx_hf
from signx_hf.cli import main
from signx_hf.data.check import FAULTS, CheckOptions, check_dataset
from signx_hf.data.errors import SignXDataError
from signx_hf.data.load import CORPORA
from signx_hf.data.schema import encode_poses, make_row, to_dataset

FRAMES = 12


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """One real video of 12 frames at 25 frames/s, under 30 names."""
    folder = tmp_path_factory.mktemp("videos")
    with av.open(str(folder / "0.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for n in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * n, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for n in range(1, 30):
        shutil.copy(folder / "0.mp4", folder / f"{n}.mp4")
    np.savez(folder / "hands.npz", hands=np.ones((FRAMES, 4)))
    np.savez(folder / "nan.npz", hands=np.where(np.eye(FRAMES, 4) > 0, np.nan, 1))
    np.savez(folder / "masked.npz", hands=np.ones((FRAMES, 4)), hands_mask=np.zeros(FRAMES, bool))
    np.savez(folder / "wide.npz", hands=np.ones((FRAMES, 5)))
    np.savez(folder / "zero.npz", dwpose=np.zeros((FRAMES, 384)))
    (folder / "broken.mp4").write_bytes((folder / "0.mp4").read_bytes()[:300])
    (folder / "pickled.npz").write_bytes(b"\x80\x04K\x01.")
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return folder


def clean(folder):
    """24 clips to train on and 6 to test on, by different signers."""
    rows = {"train": [], "test": []}
    for n in range(30):
        split = "train" if n < 24 else "test"
        segments = [{"gloss": "IX", "start": 0.0, "end": 0.2}, {"gloss": f"SIGN{n % 3}", "start": 0.2, "end": 0.48}]
        row = make_row(
            id=f"clip{n}",
            video=folder / f"{n}.mp4",
            fps=25.0,
            num_frames=FRAMES,
            signer=f"{split}{n % 2}",
            split=split,
            glosses=[segment["gloss"] for segment in segments],
            segments=segments,
            tracks=[{"name": "hands", "path": str(folder / "hands.npz")}],
            poses=encode_poses({"body": np.full((FRAMES, 2), n)}, {"body": np.arange(FRAMES) > 0}),
        )
        rows[split].append(row)
    return rows


def damaged_poses():
    data = bytearray(encode_poses({"body": np.ones((FRAMES, 2))}))
    data[-2:] = np.float16(np.nan).tobytes()
    return bytes(data)


def change(split, index, **fields):
    def plant(rows, folder):
        row = rows[split][index]
        for name, value in fields.items():
            row[name] = value(row, folder) if callable(value) else value

    return plant


def same_clip(rows, folder):
    rows["test"][0]["video"] = rows["train"][7]["video"]


def same_poses(rows, folder):
    for row in (rows["test"][0], rows["train"][7]):
        row.update(video=None, tracks=[], poses=encode_poses({"body": np.full((FRAMES, 2), 99)}))


def file(name):
    return lambda row, folder: {"bytes": None, "path": str(folder / name)}


def track(name):
    return lambda row, folder: [{"name": "hands", "path": str(folder / name)}]


DAMAGED = {
    "missing video": (change("train", 3, video=file("gone.mp4")), "missing-file", "gone.mp4 does not exist"),
    "missing track": (change("test", 3, tracks=track("gone.npz")), "missing-file", "gone.npz does not exist"),
    "truncated video": (
        change("train", 3, video=file("broken.mp4")),
        "unreadable-file",
        "broken.mp4: cannot be opened as a video",
    ),
    "sound only": (
        change("train", 3, video=file("sound.mp4")),
        "unreadable-file",
        "sound.mp4: the file has no video stream",
    ),
    "pickled track": (
        change("train", 3, tracks=track("pickled.npz")),
        "unreadable-file",
        "pickled.npz cannot be read",
    ),
    "same id twice": (change("train", 3, id="clip5"), "duplicate-id", "the id is also in train"),
    "same id in test": (change("test", 3, id="clip5"), "duplicate-id", "the id is also in train"),
    "clip in two splits": (same_clip, "leaked-clip", "the same clip is in train as clip7"),
    "signer in two splits": (
        change("test", 3, signer="train1"),
        "leaked-signer",
        "signer train1 has 1 clips, and 12 in train",
    ),
    "too many glosses": (
        change("train", 3, glosses=["IX", "IX", "SIGN1"], segments=[]),
        "ctc-infeasible",
        "12 frames give 3 steps, but CTC needs 4 for 3 glosses and 1 repeats",
    ),
    "no gloss": (change("train", 3, glosses=[], segments=[]), "no-glosses", "no gloss and no text"),
    "text and no gloss": (
        change("train", 3, glosses=[], segments=[], text="Ich gehe"),
        "partial-glosses",
        "1 of 24 clips have text and no glosses (clip3); train with target: text or both",
    ),
    "a text among glosses": (
        lambda rows, folder: [row.update(text="Ich") for row in rows["train"] if row["id"] != "clip3"],
        "partial-text",
        "1 of 24 clips have glosses and no text (clip3); train with target: glosses or both",
    ),
    "long text": (
        lambda rows, folder: (
            [row.update(text="Ich") for row in rows["train"]] and rows["train"][3].update(text="Wort " * 10_000)
        ),
        "long-target",
        "the text has at least 10002 pieces, and a model of the default size writes 64 at most",
    ),
    "space in a gloss": (
        change("train", 3, glosses=["GO HOME"], segments=[]),
        "bad-gloss",
        "gloss 'GO HOME' must",
    ),
    "end before start": (change("train", 3, start=3.0, end=2.0, segments=[]), "bad-times", "got 3 to 2.0 s"),
    "segment outside": (
        change("train", 3, segments=[{"gloss": "IX", "start": 0.3, "end": 0.9}]),
        "bad-times",
        "segments must be in order within 0.48 s, but IX is from 0.3 to 0.9 s",
    ),
    "segments out of order": (
        change("train", 3, segments=[{"gloss": "A", "start": t, "end": t + 0.1} for t in (0.2, 0.1)]),
        "bad-times",
        "segments must be in order, but A is from 0.1 to 0.2 s",
    ),
    "nan in stored poses": (
        change("train", 3, poses=lambda row, folder: damaged_poses()),
        "bad-poses",
        "track 'body' frame 11 is observed but not finite",
    ),
    "cut poses": (change("train", 3, poses=lambda row, folder: row["poses"][:-4]), "bad-poses", "stored poses of"),
    "nan in a track file": (change("train", 3, tracks=track("nan.npz")), "bad-poses", "non-finite numbers"),
    "all masked": (
        change("train", 3, poses=encode_poses({"body": np.full((FRAMES, 2), np.nan)})),
        "masked-poses",
        "no track is observed in any of 12 frames",
    ),
    "all masked in a file": (change("train", 3, tracks=track("masked.npz")), "masked-poses", "no track is observed"),
    "all zero": (
        change("train", 3, num_frames=None, poses=encode_poses({"mediapipe": np.zeros((FRAMES, 258))})),
        "masked-poses",
        "no track is observed in any of 12 frames (all rows masked, NaN or without a body)",
    ),
    "all zero in a file": (
        change("train", 3, tracks=track("zero.npz")),
        "masked-poses",
        "zero.npz: no track is observed in any frame (all rows",
    ),
    "layout of poses": (
        change("train", 3, poses=encode_poses({"dwpose": np.ones((FRAMES, 130))})),
        "bad-poses",
        "track 'dwpose' must have width 384, as its layout says, got 130",
    ),
    "width of poses": (
        change("train", 3, poses=encode_poses({"body": np.ones((FRAMES, 3))})),
        "bad-poses",
        "track 'body' has width 3, but 2 in 29 clips",
    ),
    "width of a file": (
        change("train", 3, tracks=track("wide.npz")),
        "bad-poses",
        "track 'hands' has width 5, but 4 in 29 clips",
    ),
    "frames of poses": (
        change("train", 3, poses=encode_poses({"body": np.ones((9, 2))})),
        "frame-count",
        "9 frames of poses, but 12 are annotated",
    ),
    "never trained": (
        change("test", 3, glosses=["IX", "MUST"], segments=[]),
        "never-trained",
        "gloss 'MUST' (1 times) is not in train",
    ),
    "other spelling": (
        change("test", 3, glosses=["ix", "SIGN1"], segments=[]),
        "spelling-drift",
        "gloss 'ix' (1 times) is not in train; train writes it 'IX'",
    ),
    "no track": (change("train", 3, tracks=[]), "missing-track", "no track 'hands', which most clips have"),
    "frame rate": (change("train", 3, fps=30.0, segments=[]), "frame-rate", "30 frames/s; nearly all clips have 25"),
    "length": (
        change("train", 3, start=100.0, end=130.0, video=file("29.mp4")),
        "length",
        "30.00 s; half of all clips are longer than 0.48 s",
    ),
}
OPTIONS = CheckOptions(same_signer=True)


def checked(rows, options=OPTIONS):
    return check_dataset({split: to_dataset(found, split) for split, found in rows.items()}, options)


def test_clean_set_has_no_finding(videos):
    report = checked(clean(videos))
    assert report.findings == []
    assert report.splits["train"] == {
        "clips": 24,
        "signs": 48,
        "glosses": 4,
        "texts": 0,
        "signers": 2,
        "hours": 0.0032,
    }
    assert report.to_text().endswith("0 errors, 0 warnings")


@pytest.mark.parametrize("name", DAMAGED)
def test_planted_fault_is_found_and_nothing_else(name, videos):
    plant, fault, message = DAMAGED[name]
    rows = clean(videos)
    plant(rows, videos)
    report = checked(rows)
    assert {finding.fault for finding in report.findings} == {fault}
    assert len(report.findings) == 1 and message in report.findings[0].message
    assert report.errors == (FAULTS[fault] == "error")
    assert f"{FAULTS[fault]}: {fault} (1)" in report.to_text()
    assert json.loads(report.to_json())["findings"][0]["fault"] == fault


def test_vocabulary_drift_is_a_share(videos):
    rows = clean(videos)
    for row in rows["test"][:2]:
        row.update(glosses=["NEW"], segments=[])
    assert {finding.fault for finding in checked(rows).findings} == {"never-trained", "vocabulary-drift"}


def test_every_fault_is_planted():
    found = {fault for _, fault, _ in DAMAGED.values()} | {"vocabulary-drift", "few-clips", "shared-signer", "no-text"}
    assert found == set(FAULTS)


def test_isolated_signs_without_splits_need_two_clips_of_two_signs():
    def found(*glosses, **splits):
        clips = {"train": glosses, **splits}
        rows = {
            split: [make_row(id=f"{split}{n}", glosses=gloss.split()) for n, gloss in enumerate(named)]
            for split, named in clips.items()
        }
        return [(f.fault, f.message) for f in checked(rows, CheckOptions(media="none")).findings]

    assert found("A", "A", "B", "B") == []
    assert found("A", "B", "B", "C") == [
        ("few-clips", "2 of 3 glosses have one clip (A, C); training and evaluation need two")
    ]
    assert found("A", "A") == [("few-clips", "all clips show 'A'; training needs at least two glosses")]
    assert found("A", "B", test=["A", "B"]) == [], "splits say what is measured on"
    assert found("A B", "C") == [] and found("A") == [], "sentences, and one clip"


def test_same_poses_without_files_are_the_same_clip(videos):
    rows = clean(videos)
    same_poses(rows, videos)
    assert [f.fault for f in checked(rows).findings if f.severity == "error"] == ["leaked-clip"]


def test_clips_that_leak_under_another_gloss_say_so():
    poses = encode_poses({"body": np.ones((FRAMES, 2))})
    rows = {
        split: [make_row(id=gloss, glosses=[gloss], poses=poses), make_row(id=f"{split}2", glosses=["IX"])]
        for split, gloss in (("train", "GO"), ("test", "LEAVE"))
    }
    (finding,) = [f for f in checked(rows).findings if f.fault == "leaked-clip"]
    assert finding.message == "the same clip is in train as GO with other glosses (GO, here LEAVE)"


def test_faults_that_were_not_asked_for_stay_out(videos):
    rows = clean(videos)
    change("train", 3, video=file("gone.mp4"))(rows, videos)
    change("train", 4, video=file("broken.mp4"))(rows, videos)
    assert [f.fault for f in checked(rows, CheckOptions(media="stat")).findings] == ["missing-file"]
    assert checked(rows, CheckOptions(media="none")).findings == []


def test_ctc_counts_frames_of_the_video_where_nothing_else_does(videos):
    rows = clean(videos)
    rows["train"][3].update(num_frames=None, fps=None, poses=None, tracks=[], glosses=["IX", "IX", "IX"], segments=[])
    found = checked(rows, CheckOptions()).findings
    assert [f.fault for f in found if f.severity == "error"] == ["ctc-infeasible"]


@pytest.mark.parametrize("frames, glosses", [(n, u) for n in (1, 4, 5, 8, 9, 23) for u in (1, 2, 3, 5, 6)])
def test_ctc_feasibility_agrees_with_the_loss(frames, glosses):
    """torch's CTC loss is infinite exactly where the check says so."""
    import torch

    labels = [1 + (n // 2) % 2 for n in range(glosses)]  # 1 1 2 2 1 1
    steps = math.ceil(math.ceil(frames / 2) / 2)  # two poolings by 2, as in the model
    loss = torch.nn.functional.ctc_loss(
        torch.zeros(steps, 1, 3).log_softmax(-1),
        torch.tensor([labels]),
        torch.tensor([steps]),
        torch.tensor([glosses]),
    )
    row = make_row(id="a", glosses=[str(label) for label in labels], num_frames=frames, fps=25.0)
    found = checked({"train": [row]}, CheckOptions(media="none")).findings
    assert [f.fault for f in found] == ([] if torch.isfinite(loss) else ["ctc-infeasible"])


def test_views_are_checked_in_their_own_order(videos):
    rows = clean(videos)
    change("train", 3, glosses=["A"] * 9, segments=[])(rows, videos)
    dataset = to_dataset(rows["train"], "train").select([5, 3, 1])
    found = check_dataset(dataset, OPTIONS).findings
    assert [(f.fault, f.id) for f in found] == [("ctc-infeasible", "clip3")]


def test_options_and_columns_are_checked(videos):
    with pytest.raises(SignXDataError, match="`media` must be 'open', 'stat' or 'none', got 'all'"):
        CheckOptions(media="all")
    with pytest.raises(SignXDataError, match="`stride` must be .*, got 0"):
        CheckOptions(stride=0)
    dataset = to_dataset(clean(videos)["train"], "train").remove_columns("fps")
    with pytest.raises(SignXDataError, match="split 'train' has no column 'fps'"):
        check_dataset(dataset)


def test_real_corpora():
    """One training clip of PHOENIX-2014T is too short for its glosses; one test gloss of boston104 is never trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phoenix = signx_hf.load_dataset("phoenix14t", data_folder("gloss_text"))
        boston = signx_hf.load_dataset("boston104", data_folder("boston104"))
    found = [f for f in check_dataset(phoenix).findings if f.severity == "error"]
    assert [(f.fault, f.id) for f in found] == [("ctc-infeasible", "25August_2009_Tuesday_heute-3301")]
    signers, finding = check_dataset(boston).findings
    assert "gloss 'MUST' (1 times)" in finding.message and "3 signers are also in train" in signers.message
    shared = check_dataset(boston, OPTIONS).findings
    assert sum(f.fault == "leaked-signer" for f in shared) == 3, "its split shares all three signers"


def write_table(folder, rows):
    for split, found in rows.items():
        lines = ["id\tvideo\tglosses\tsigner\tfps\tnum_frames"]
        for row in found:
            values = (row["id"], row["video"]["path"], " ".join(row["glosses"]), row["signer"], 25, FRAMES)
            lines.append("\t".join(map(str, values)))
        (folder / f"{split}.tsv").write_text("\n".join(lines))


@pytest.fixture
def tables(tmp_path, videos):
    rows = clean(videos)
    for n, row in enumerate(rows["train"] + rows["test"]):
        row["video"]["path"] = str(videos / f"{n}.mp4")
    write_table(tmp_path, rows)
    return tmp_path


def test_command_exit_codes(tables, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets its own
    assert main(["data", "check", str(tables), "--same-signer"]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    path = tables / "test.tsv"
    path.write_text(path.read_text().replace("SIGN0", "MUST", 1))
    assert main(["data", "check", "table", "--data-dir", str(tables), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == 1
    assert main(["data", "check", str(tables), "--strict"]) == 1
    path.write_text(path.read_text().replace("clip25", "clip26", 1))
    assert main(["data", "check", str(tables)]) == 1
    assert "error: duplicate-id (1)\n  test clip26: the id is also in test" in capsys.readouterr().out
    assert main(["data", "check", "phoenix14t", "--data-dir", str(tables)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "looked for annotations/manual/PHOENIX-2014-T.train.corpus.csv" in captured.err
    assert main(["data", "check", str(tables), "--option", "columns"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
    assert main(["data", "check", "nowhere"]) == 2
    assert "nowhere: no such file, folder or corpus" in capsys.readouterr().err


def test_command_takes_options_saved_datasets_and_skips(tables, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    path = tables / "train.tsv"
    path.write_text(path.read_text().replace("glosses", "Gloss").replace("\t12", "\tmany", 1))
    command = ["data", "check", str(tables), "--option", 'columns={"Gloss": "glosses"}', "--media", "none"]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert f"{path}, row 2, column 'num_frames': expected an integer of at least 1, got 'many'" in captured.err
    assert main([*command, "--skip-bad", str(tables / "list")]) == 0
    assert "1 rows were left out" in capsys.readouterr().err and len((tables / "list").read_text().splitlines()) == 2
    options = {"columns": {"Gloss": "glosses"}, "skip_bad": tables / "list"}
    with pytest.warns(signx_hf.SignXWarning):
        signx_hf.load_dataset("table", tables, **options).save_to_disk(tables / "saved")
    assert main(["data", "check", str(tables / "saved")]) == 0
    assert "train         23" in capsys.readouterr().out


def test_list_names_every_corpus(capsys):
    assert main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert "boston104          RWTH-BOSTON-104" in printed and "splits train, test" in printed
    assert main(["data", "list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(CORPORA)


def test_list_is_light(tmp_path):
    heavy = "print([m for m in ('torch', 'transformers', 'datasets', 'av') if m in sys.modules])"
    code = f"import sys, signx_hf.cli\nsigns = signx_hf.cli.main(['data', 'list'])\n{heavy}"
    assert run_python(code, tmp_path).strip().splitlines()[-1] == "[]"
