"""`signx-hf evaluate`: numbers that nothing but model, clips and options decide, whole files, one line for what is wrong."""

import html.parser
import json
import re
from pathlib import Path

import pytest
from evaluation_clips import FRAMES, make_rows, options, save
from make_model import FPS, GLOSSES, make_poses, save_folder

from signx_hf.cli import main
from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.evaluation import clips as evaluation_clips
from signx_hf.evaluation import evaluate
from signx_hf.metrics import wer
from signx_hf.processing.errors_signx import SignXError

pytest.importorskip("jiwer")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, its clips, and what an evaluation of them found."""
    base = tmp_path_factory.mktemp("evaluate")
    save_folder(base / "model", "SignXForLatentCTC")
    save(make_rows(), base / "clips")
    evaluate(options(base), progress=False)
    return base


def content(folder: Path) -> tuple:
    """All that an evaluation says, without what is of the run and the name of the dataset."""
    results = json.loads((folder / "results.json").read_text())
    results.pop("run")
    results["data"].pop("dataset")
    records = {}
    for path in (folder / ".signx_evaluate" / "clips").iterdir():
        record = json.loads(path.read_text())
        records[record["id"]] = json.dumps(record["result"])
    return json.dumps(results), (folder / "clips.tsv").read_text(), (folder / "confusion.tsv").read_text(), records


def test_same_numbers_however_the_work_is_shared(place):
    rows = make_rows()
    save([rows[index] for index in (4, 0, 6, 2, 5, 1, 3)], place / "shuffled")
    evaluate(options(place, "shuffled", "one", batch_size=1), progress=False)
    evaluate(options(place, "clips", "three", batch_size=3), progress=False)
    evaluate(options(place, "shuffled", "two_jobs", batch_size=2, jobs=2), progress=False)
    expected = content(place / "out")
    assert len(expected[3]) == len(FRAMES)
    for name in ("one", "three", "two_jobs"):
        assert content(place / name) == expected, name


def test_numbers_are_those_of_the_table_and_of_the_pipeline(place):
    from signx_hf.evaluation.clips import clip_of
    from signx_hf.recognition.loading import load_pipeline

    results = json.loads((place / "out" / "results.json").read_text())
    head, *lines = (place / "out" / "clips.tsv").read_text().splitlines()
    rows = [dict(zip(head.split("\t"), line.split("\t"))) for line in lines]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in make_rows())
    pipe = load_pipeline(str(place / "model"))
    for made, row in zip(make_rows(), rows):
        assert row["reference"].split() == made["glosses"]
        assert row["hypothesis"].split() == pipe(clip_of(made, "poses", pipe.processor)[0])["glosses"]
    found = wer([row["hypothesis"] for row in rows], [row["reference"] for row in rows])
    score = results["scores"]["plain"]
    assert (score["substitutions"], score["insertions"], score["deletions"]) == (
        found.substitutions, found.insertions, found.deletions,
    ) and score["rate"] == found.rate  # fmt: skip
    low, high = score["interval"]
    assert low <= score["rate"] <= high and "variant:plain" in score["signature"]
    for groups in (results["by_signer"], results["by_length"]):
        assert sum(g["references"] for g in groups) == found.references == results["data"]["words"]
        assert sum(g["substitutions"] + g["insertions"] + g["deletions"] for g in groups) == found.errors
    pairs = [line.split("\t") for line in (place / "out" / "confusion.tsv").read_text().splitlines()[1:]]
    sclite = results["scores"]["sclite"]
    assert sum(int(count) for *_, count in pairs) == sum(
        sclite[n] for n in ("substitutions", "insertions", "deletions")
    )
    assert results["times"]["segments"] == found.references
    assert 0 <= results["calibration"]["expected_calibration_error"] <= 1
    assert results["versions"]["torch"] and results["run"]["real_time_factor"] > 0


def test_second_run_takes_what_is_finished(place, monkeypatch):
    before, worked = content(place / "out"), []
    work = evaluation_clips.EvaluationWorker._work
    monkeypatch.setattr(
        evaluation_clips.EvaluationWorker, "_work", lambda self, task: worked.append(task.name) or work(self, task)
    )
    records = sorted((place / "out" / ".signx_evaluate" / "clips").iterdir())
    lost = [json.loads(path.read_text())["id"] for path in records[:2]]
    records[0].unlink()
    records[1].write_text('{"key": "cut sho')
    (place / "out" / "results.json").unlink()
    results = evaluate(options(place), progress=False)
    assert sorted(worked) == sorted(lost) and results["run"]["finished_before"] == len(FRAMES) - 2
    assert content(place / "out") == before


class Page(html.parser.HTMLParser):
    """What a page would fetch, and its text."""

    def __init__(self):
        super().__init__()
        self.fetched, self.text, self.scripts = [], "", 0

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data):
        self.text += data


def test_report_needs_no_network(place):
    text = (place / "out" / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not page.scripts and all(link.startswith(("data:", "#")) for link in page.fetched)
    assert not re.search(r"@import|url\((?!#)", text)
    score = json.loads((place / "out" / "results.json").read_text())["scores"]["plain"]
    assert f"WER plain: {100 * score['rate']:.2f} %" in page.text and "clip/3" in page.text
    pytest.importorskip("matplotlib")
    assert text.count("<svg") == 3


def test_isolated_signs(tmp_path):
    save_folder(tmp_path / "model", "SignXForSignClassification", id2label=dict(enumerate(GLOSSES)))
    save(make_rows(isolated=True), tmp_path / "clips")
    results = evaluate(options(tmp_path), progress=False)
    rows = [line.split("\t") for line in (tmp_path / "out" / "clips.tsv").read_text().splitlines()[1:]]
    first = [row[-1].split(" | ")[0] == row[2] for row in rows]
    assert results["scores"]["top_1"]["per_instance"] == sum(first) / len(first)
    assert results["scores"]["top_5"]["hits"] == sum(row[2] in row[-1].split(" | ") for row in rows)
    with pytest.raises(SignXError, match="top_10 for isolated-sign-recognition, got 'plain'"):
        evaluate(options(tmp_path, scorers=("plain",)))
    rows = make_rows()
    save(rows, tmp_path / "sentences")
    with pytest.raises(SignXError, match="clip clip/1 must have one gloss for a model of isolated signs, got 2"):
        evaluate(options(tmp_path, "sentences", "other"))


def run(capsys, *words: object) -> tuple[int, str]:
    capsys.readouterr()  # what saving a dataset has said
    code = main(["evaluate", *map(str, words)])
    return code, capsys.readouterr().err.strip()


def test_one_line_for_each_error(place, tmp_path, capsys):
    table = tmp_path / "table"
    table.mkdir()
    model, clips, out = place / "model", place / "clips", tmp_path / "out"
    code, said = run(capsys, model, clips, "--scorer", "plain,wre", "--out", out)
    assert code == 2 and said.startswith("signx-hf evaluate: --scorer must be") and "got 'wre'" in said
    code, said = run(capsys, model, clips, "--split", "dev", "--out", out)
    assert code == 2 and "--split must be one of test" in said and "got 'dev'" in said
    save([{**row, "glosses": [], "segments": []} for row in make_rows()], tmp_path / "mute")
    code, said = run(capsys, model, tmp_path / "mute", "--out", out)
    assert code == 2 and "no clip of split 'test' has glosses" in said
    code, said = run(capsys, model, clips, "--jobs", "0", "--out", out)
    assert code == 2 and "--jobs must be a positive integer, got 0" in said
    code, said = run(capsys, tmp_path / "no", clips, "--out", out)
    assert code == 2 and "no such folder" in said
    save([*make_rows(), make_rows()[0]], tmp_path / "twice")
    code, said = run(capsys, model, tmp_path / "twice", "--out", out)
    assert code == 2 and "several have 'clip/0'" in said
    code, said = run(capsys, model, clips, "--source", "video", "--out", out)
    assert code == 2 and "clip clip/0 has no video. Use --source poses" in said
    assert not out.exists() and len(said.splitlines()) == 1
    code, said = run(capsys, model, clips, "--source", "poses", "--option", "beams=3", "--out", out)
    assert (
        code == 2
        and "--option: sign-recognition has no option 'beams'" in said
        and not (out / "results.json").exists()
    )


def test_results_of_another_model_are_left_alone(place, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in (place / "out").iterdir() if path.is_file()}
    save_folder(tmp_path / "other", "SignXForLatentCTC", seed=1)
    clips, out = place / "clips", place / "out"
    code, said = run(capsys, tmp_path / "other", clips, "--source", "poses", "--out", out)
    assert code == 2 and "holds the results of another model (there: " in said and len(said.splitlines()) == 1
    code, said = run(capsys, place / "model", clips, "--source", "poses", "--option", "num_beams=2", "--out", out)
    assert code == 2 and 'holds the results of other options (there: {}; now: {"num_beams": 2})' in said
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "results.json").write_text("{}")
    code, said = run(capsys, place / "model", clips, "--source", "poses", "--out", tmp_path / "mine")
    assert code == 2 and "results.json: already exists" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["results.json"]


def test_failed_clips_give_no_results(place, tmp_path, capsys):
    rows = make_rows()
    bad = {name: values[:, :2] for name, values in make_poses(9).items()}  # tracks of another width
    rows[2] = {**rows[2], "poses": encode_poses(bad, fps=FPS)}
    save(rows, tmp_path / "clips")
    words = (place / "model", tmp_path / "clips", "--source", "poses", "--out", tmp_path / "out")
    code, said = run(capsys, *words)
    first, last = said.splitlines()
    assert code == 1 and first.startswith("signx-hf evaluate: clip clip/2: ")
    assert "1 of 7 clips failed" in last
    assert not any((tmp_path / "out" / name).exists() for name in ("results.json", "clips.tsv", "report.html"))
    assert len(list((tmp_path / "out" / ".signx_evaluate" / "clips").iterdir())) == 6


def test_clips_of_a_longer_video(place, tmp_path):
    """Two clips of one file are what the two halves of its frames are."""
    import numpy as np
    from make_model import make_frames, make_processor, write_video

    from signx_hf.data.media import clip_of

    frames = make_frames(30)
    path = write_video(tmp_path / "long.mkv", frames)
    halves = [make_row(id=n, video=path, fps=FPS, start=a, end=b) for n, a, b in (("a", 0.0, 1.0), ("b", 1.0, 2.0))]
    processor = make_processor()
    whole = np.asarray(processor.video_processor.decode(str(path)).frames)
    for row, part in zip(halves, (whole[:15], whole[15:])):
        clip, fps = clip_of(row, "video", processor)
        assert fps is None and clip.metadata["fps"] == FPS and np.array_equal(clip.frames, part)
        assert np.allclose(clip.timestamps, np.arange(15) / FPS)  # from the row's start
    with pytest.raises(SignXError, match="the video of 2.00 s has no frame from 9 to 10 s"):
        clip_of(make_row(id="c", video=path, start=9.0, end=10.0), "video", processor)


def test_frames_of_a_longer_clip(tmp_path):
    """A folder of images at 30 a second and a video of the same: the second second is the same frames of both."""
    import numpy as np
    from make_model import make_frames, make_processor, write_video
    from PIL import Image

    from signx_hf.data.media import clip_of

    frames, folder = make_frames(60), tmp_path / "images"
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    path = write_video(tmp_path / "clip.mkv", frames, 30)
    processor = make_processor()
    images, _ = clip_of(make_row(id="a", frames=folder, fps=30.0, start=1.0, end=2.0), "video", processor)
    video, _ = clip_of(make_row(id="b", video=path, fps=30.0, start=1.0, end=2.0), "video", processor)
    assert images.metadata["fps"] == FPS and len(images.frames) == len(video.frames) == FPS
    assert np.abs(images.frames.astype(float) - video.frames.astype(float)).mean() < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"glosses": ["A", None]}, r"clip clip/1 must have non-empty glosses, got \['A', None\]"),
        ({"segments": [{"gloss": "A", "start": 0.9, "end": 0.1}]}, "clip clip/1: A must be a segment .*, got 0.9 to 0.1"),
        ({"segments": [{"gloss": "A", "start": 0.1, "end": float("inf")}]}, "clip clip/1: A must be a segment .*, got 0.1 to inf"),
        ({"id": None}, r"\bid\b"),
    ],
)  # fmt: skip
def test_a_truth_that_is_none_is_refused_before_anything_is_recognized(place, tmp_path, change, message):
    from signx_hf.recognition.calibration import fit

    rows = make_rows()
    rows[1] = {**rows[1], **change}
    save(rows, tmp_path / "clips")
    with pytest.raises(SignXError, match=message):
        evaluate(options(place, tmp_path / "clips", tmp_path / "out"), progress=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SignXError, match=message):
        fit(type("Recognizer", (), {})(), rows, "poses")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["id", "glosses"], "no column 'video'"),
        (["id", "video", "frames", "fps", "start", "end", "segments", "poses", "tracks", "signer"], "no column 'glosses'"),
    ],
)  # fmt: skip
def test_a_dataset_of_other_columns(place, tmp_path, columns, message):
    to_dataset(make_rows(), "test").select_columns(columns).save_to_disk(str(tmp_path / "clips"))
    with pytest.raises(SignXError, match=message):
        evaluate(options(place, tmp_path / "clips", tmp_path / "out"), progress=False)
    words = ["calibrate", "--model", str(place / "model"), "--dataset", str(tmp_path / "clips"), "--split", "test"]
    assert main(words) == 2


def test_a_column_of_another_kind(place, tmp_path):
    from datasets import Value

    to_dataset(make_rows(), "test").remove_columns("video").add_column("video", ["a.mp4"] * len(FRAMES)).cast_column(
        "video", Value("string")
    ).save_to_disk(str(tmp_path / "clips"))
    with pytest.raises(SignXError, match="column 'video' must be Video"):
        evaluate(options(place, tmp_path / "clips", tmp_path / "out"), progress=False)
