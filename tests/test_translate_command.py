"""`signx-hf translate`, `recognize --translate` and `live --translate`: text in every format, from one encoding, or a line that says why not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_model import FPS, make_frames, make_poses, save_folder, write_video
from text_models import clips_of, make_text_corpus, train_text_model
from transformers import pipeline

import signx_hf
from signx_hf.cli import main
from signx_hf.processing import Recognition
from signx_hf.recognition.translation_stream import SignXTranslationStreamer
from signx_hf.writers import WRITERS, read_eaf

pympi = pytest.importorskip("pympi")
webvtt = pytest.importorskip("webvtt")
srt = pytest.importorskip("srt")

TEXT_FORMATS = ("json", "txt", "srt", "vtt", "eaf")


def with_config(source: Path, target: Path, **values) -> Path:
    """A copy of a model whose config.json has other values."""
    shutil.copytree(source, target)
    path = target / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return target


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """`both`, `text`, `glosses`, `stage3`, `signs`: models; `clips`: three clips; `long.npz`: two of them with rests."""
    base = tmp_path_factory.mktemp("translate")
    corpus = make_text_corpus(base / "corpus")
    train_text_model(corpus, base / "run", "both")
    with_config(base / "run" / "model", base / "both")
    with_config(base / "both", base / "text", trained_tasks=["text"])
    with_config(base / "both", base / "glosses", trained_tasks=None)
    save_folder(base / "stage3", "SignXForLatentCTC")
    save_folder(base / "signs", "SignXForSignClassification", id2label={0: "A", 1: "B"})
    (base / "clips").mkdir()
    clips = clips_of(corpus)
    for index, clip in enumerate(clips[:3]):
        np.savez(base / "clips" / f"clip{index}.npz", fps=30.0, **clip)
    rest = np.zeros((90, 6))
    hands = np.concatenate([clips[0]["hands"], rest, clips[1]["hands"], rest])
    np.savez(base / "long.npz", hands=hands, fps=30.0)
    return base


@pytest.fixture(scope="module")
def translate(place):
    return pipeline("sign-translation", model=str(place / "both"), device="cpu")


@pytest.fixture(scope="module")
def recognize(place):
    return pipeline("sign-recognition", model=str(place / "both"), device="cpu")


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


# ------------------------------------------------------------------------------------------------------------ translate


def test_every_format_holds_the_text_of_the_pipeline(place, translate, tmp_path, capsys):
    out = tmp_path / "out"
    code, said, errors = run(
        capsys, "translate", place / "clips", "--model", place / "both", "--format", "all", "--out", out
    )
    assert (code, errors) == (0, []) and said.startswith("3 clips: 3 translated")
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == sorted(
        f"clip{index}.{name}" for index in range(3) for name in TEXT_FORMATS
    )
    for index in range(3):
        path = place / "clips" / f"clip{index}.npz"
        result = translate(str(path))
        assert result["text"]
        assert json.loads((out / f"clip{index}.json").read_text()) == {"version": 1, "file": str(path), **result}
        assert (out / f"clip{index}.txt").read_text() == result["text"] + "\n"
        (cue,) = srt.parse((out / f"clip{index}.srt").read_text())
        assert cue.content == result["text"] and cue.end.total_seconds() == round(result["duration"], 3)
        (caption,) = webvtt.read(str(out / f"clip{index}.vtt")).captions
        assert caption.raw_text == result["text"]
        eaf = pympi.Elan.Eaf(str(out / f"clip{index}.eaf"))
        assert list(eaf.get_tier_names()) == ["translation"]
        assert eaf.get_annotation_data_for_tier("translation") == [
            (0, round(1000 * result["duration"]), result["text"])
        ]


def test_options_and_standard_output(place, translate, capsys):
    path = place / "clips" / "clip0.npz"
    options = ("--n-best", 3, "--num-beams", 4, "--format", "json", "--option", "length_penalty=1.5")
    code, said, _ = run(capsys, "translate", path, place / "clips" / "clip1.npz", "--model", place / "both", *options)
    first, second = map(json.loads, said.splitlines())
    expected = translate(str(path), n_best=3, num_beams=4, length_penalty=1.5)
    assert code == 0 and first == {"version": 1, "file": str(path), **expected} and len(second["n_best"]) == 3
    code, said, _ = run(capsys, "translate", path, place / "clips" / "clip1.npz", "--model", place / "text")
    assert [line.split("\t") for line in said.splitlines()] == [
        [str(path), translate(str(path))["text"]],
        [str(place / "clips" / "clip1.npz"), translate(str(place / "clips" / "clip1.npz"))["text"]],
    ]


def test_a_long_recording_has_one_subtitle_for_each_utterance(place, translate, tmp_path, capsys):
    result = translate(str(place / "long.npz"), chunk_length_s=8.0)
    assert len(result["sentences"]) == 2
    arguments = ("translate", place / "long.npz", "--model", place / "both", "--chunk-length", "8")
    code, said, errors = run(capsys, *arguments, "--format", "srt")
    cues = list(srt.parse(said))
    assert (code, errors) == (0, []) and [cue.content for cue in cues] == [s["text"] for s in result["sentences"]]
    assert [cue.start.total_seconds() for cue in cues] == [round(s["start"], 3) for s in result["sentences"]]
    assert run(capsys, *arguments, "--format", "eaf", "--tier", "English", "--out", tmp_path)[0] == 0
    assert len(pympi.Elan.Eaf(str(tmp_path / "long.eaf")).get_annotation_data_for_tier("English")) == 2


def test_resume_and_the_files_of_recognize(place, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (place / "clips", "--model", place / "both", "--format", "txt", "--out", out)
    assert run(capsys, "translate", *arguments)[0] == 0
    before = (out / "clip0.txt").read_text()
    code, said, _ = run(capsys, "translate", *arguments, "--resume")
    assert code == 0 and "0 translated (0 frames), 3 already finished" in said
    code, said, errors = run(capsys, "recognize", *arguments)
    assert code == 1 and "already exists and was not written by this command" in errors[0]
    assert (out / "clip0.txt").read_text() == before, "glosses have not replaced the text"
    (out / "clip1.txt").unlink()
    code, said, _ = run(capsys, "translate", *arguments, "--resume")
    assert code == 0 and "3 already finished" in said and (out / "clip1.txt").is_file(), "written from its record"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--format", "csv"], "format must be one or more of json, txt, srt, vtt, eaf for a translation, got 'csv'"),
        (["--format", "txt,ctm"], "got 'ctm', which has a row for each gloss"),
        (["--format", "tsv"], "`signx-hf recognize` writes glosses"),
        (["--format", "docx"], "json, txt, srt, vtt, eaf, separated by commas, or all, got 'docx'"),
        (["--lm", "glosses.arpa"], "unknown option --lm"),
        (["--threshold", "0.5"], "unknown option --threshold"),
    ],
)
def test_what_is_for_glosses_is_no_option(place, arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["translate", "clip.npz", "--model", str(place / "both"), *arguments])
    assert caught.value.code == 2 and words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--option", "lm=glosses.arpa"], "no option 'lm', which is for glosses"),
        (["--option", "decoder=ctc"], "no option 'decoder', which is for glosses"),
        (["--option", "num_beans=2"], "Did you mean 'num_beams'"),
        (["--num-beams", "0"], "--num-beams must be an integer from 1"),
        (["--n-best", "2", "--option", "n_best=3"], "--n-best and --option n_best=3 set the same option"),
        (["--fps", "0"], "--fps must be"),
        (["--format", "eaf"], "--format eaf needs --out"),
    ],
)
def test_values_that_are_refused(place, arguments, words, capsys):
    path = place / "clips" / "clip0.npz"
    code, said, errors = run(capsys, "translate", path, "--model", place / "both", *arguments)
    assert (code, said, len(errors)) == (2, "", 1) and words in errors[0]


# ------------------------------------------------------------------------------------------- models that cannot do it


@pytest.mark.parametrize("command", [("translate",), ("recognize", "--translate"), ("live", "--translate")])
@pytest.mark.parametrize(
    "model, words",
    [
        ("glosses", "has learned glosses, not text. `signx-hf recognize` writes its glosses"),
        ("stage3", "has learned glosses by CTC alone (stage 3), without a decoder that could write text."),
        ("signs", "recognizes single signs"),
    ],
)
def test_a_model_that_never_learned_text_says_what_it_learned(place, command, model, words, capsys):
    path, (name, *flags) = place / "clips" / "clip0.npz", command
    source = ("--from-file", path) if name == "live" else (path,)
    code, said, errors = run(capsys, name, *source, *flags, "--model", place / model)
    assert (code, said, len(errors)) == (2, "", 1) and words in errors[0]


@pytest.mark.parametrize("command", ["recognize", "live"])
def test_a_model_of_text_alone_is_not_asked_for_glosses(place, command, capsys):
    path = place / "clips" / "clip0.npz"
    source = ("--from-file", path) if command == "live" else (path,)
    code, said, errors = run(capsys, command, *source, "--model", place / "text")
    assert (code, said, len(errors)) == (2, "", 1)
    assert "has learned text, not glosses. Use `signx-hf translate` or `live --translate`" in errors[0]


def test_a_tokenizer_without_the_prompt_for_text(place, tmp_path, capsys):
    broken = Path(shutil.copytree(place / "both", tmp_path / "broken"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_text((broken / name).read_text().replace("<text>", "<texts>"))
    code, said, errors = run(capsys, "translate", place / "clips" / "clip0.npz", "--model", broken)
    assert (code, said, len(errors)) == (2, "", 1) and "<text> must have the ids 0 to 5" in errors[0]


# --------------------------------------------------------------------------------------------------- recognize --translate


@pytest.mark.parametrize("more", [{}, {"decoder": "ctc"}, {"chunk_length_s": 8.0}, {"n_best": 2, "num_beams": 3}])
def test_glosses_and_text_are_those_of_each_task_alone(place, recognize, translate, more):
    paths = [str(place / "clips" / "clip0.npz"), str(place / "long.npz")]
    for path in paths:
        found = recognize(path, translate=True, **more)
        text = translate(path, **{name: value for name, value in more.items() if name != "decoder"})
        assert found.pop("translation") == text["sentences"] and text["sentences"]
        assert found == recognize(path, **more)


def test_a_batch_is_translated_as_its_clips(place, recognize):
    paths = [str(path) for path in sorted((place / "clips").iterdir())]
    alone = [recognize(path, translate=True) for path in paths]
    for one, batched in zip(alone, recognize(paths, translate=True, batch_size=3)):
        assert [s["text"] for s in one["translation"]] == [s["text"] for s in batched["translation"]]
        assert one["glosses"] == batched["glosses"]
    assert Recognition.from_dict(alone[0]).to_dict() == alone[0]


def calls_of(model, work) -> dict[str, int]:
    """How often each encoder of a model runs during `work`."""
    counts: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if name.split(".")[-1] in ("encoder", "recognizer", "pose_encoder", "frame_encoder", "vision_model", "vision"):
            handles.append(
                module.register_forward_hook(lambda *_, name=name: counts.update({name: counts.get(name, 0) + 1}))
            )
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return counts


def test_both_tasks_cost_one_encoding(place, recognize):
    path = str(place / "clips" / "clip0.npz")
    once = calls_of(recognize.model, lambda: recognize(path))
    both = calls_of(recognize.model, lambda: recognize(path, translate=True))
    assert once and set(once.values()) == {1} and both == once
    long = str(place / "long.npz")
    once = calls_of(recognize.model, lambda: recognize(long, chunk_length_s=8.0))
    assert calls_of(recognize.model, lambda: recognize(long, chunk_length_s=8.0, translate=True)) == once


def test_a_video_is_encoded_once_for_both_tasks(tmp_path, capsys):
    """Random weights that claim to have learned both; with frames."""
    save_folder(tmp_path / "model", trained_tasks=["gloss", "text"])
    clip = write_video(tmp_path / "clip.mkv", make_frames(24))
    recognizer = pipeline("sign-recognition", model=str(tmp_path / "model"), device="cpu", max_new_tokens=6)
    encode, calls = recognizer.model.encode, []
    recognizer.model.encode = lambda **inputs: calls.append(1) or encode(**inputs)
    found = recognizer(str(clip), translate=True)
    assert len(calls) == 1 and found["translation"][0]["end"] == found["duration"]
    recognizer(str(clip), translate=True, hand="detect")
    assert len(calls) == 3, "the clip and its mirror image"
    options = ("--model", tmp_path / "model", "--option", "max_new_tokens=6")
    code, said, _ = run(capsys, "recognize", clip, "--translate", "--format", "json", *options)
    assert code == 0 and json.loads(said)["translation"] == found["translation"]


def test_every_format_holds_both(place, recognize, tmp_path, capsys):
    out, path = tmp_path / "out", place / "long.npz"
    arguments = ("recognize", path, "--translate", "--model", place / "both", "--chunk-length", "8")
    assert run(capsys, *arguments, "--format", "all", "--out", out)[0] == 0
    result = recognize(str(path), chunk_length_s=8.0, translate=True)
    assert result["glosses"] and len(result["translation"]) == 2
    assert json.loads((out / "long.json").read_text()) == {"version": 1, "file": str(path), **result}
    assert sorted(file.suffix[1:] for file in out.iterdir() if file.is_file()) == sorted(WRITERS)
    text = " ".join(sentence["text"] for sentence in result["translation"])
    assert (out / "long.txt").read_text() == f"{result['text']}\t{text}\n"
    found = read_eaf(out / "long.eaf")
    assert found["glosses"] == result["glosses"]
    assert [s["text"] for s in found["translation"]] == [s["text"] for s in result["translation"]]
    cues = list(srt.parse((out / "long.srt").read_text()))
    captions = webvtt.read(str(out / "long.vtt")).captions
    assert [(srt.timedelta_to_srt_timestamp(c.start), c.content) for c in cues] == [
        (c.start.replace(".", ","), c.raw_text) for c in captions
    ]
    spans = [(cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in cues]
    assert all(left[1] <= right[0] for left, right in zip(spans, spans[1:]))
    parts = (*result["segments"], *result["translation"])
    for instant in np.arange(0.013, result["duration"], 0.05):  # what is shown then, found without cues
        if min(abs(part[edge] - instant) for part in parts for edge in ("start", "end")) < 0.002:
            continue  # subtitles have milliseconds
        shown = [part.get("gloss", part.get("text")) for part in parts if part["start"] <= instant < part["end"]]
        assert [text for start, end, text in spans if start <= instant < end] == (["\n".join(shown)] if shown else [])


def test_recognize_translate_needs_a_format_that_holds_a_sentence(place, capsys):
    path = place / "clips" / "clip0.npz"
    code, said, errors = run(capsys, "recognize", path, "--translate", "--model", place / "both", "--format", "ctm")
    assert (code, said, len(errors)) == (2, "", 1)
    assert "--translate needs a --format that holds a sentence (json, txt, srt, vtt, eaf), got ctm" in errors[0]


def test_what_the_model_is_not_sure_of_is_not_translated(recognize, place):
    found = recognize(str(place / "clips" / "clip0.npz"), translate=True, threshold=1.0)
    assert found["sure"] is False and found["translation"] == [] == found["glosses"]
    assert WRITERS["txt"].rows("clip", found, False) == "?\t"


@pytest.mark.parametrize("value", [1, "yes"])
def test_translate_is_true_or_false(recognize, value):
    with pytest.raises(ValueError, match="`translate` must be True or False"):
        recognize(make_poses(9), translate=value)


# -------------------------------------------------------------------------------------------------------------- bad input


def test_bad_clips_are_named_and_stop_nothing(place, tmp_path, capsys):
    good = place / "clips" / "clip0.npz"
    np.savez(tmp_path / "empty.npz", hands=np.zeros((0, 6)), fps=30.0)
    np.savez(tmp_path / "nobody.npz", hands=np.full((40, 6), np.nan), fps=30.0)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "empty.mp4").write_bytes(b"")
    paths = [tmp_path / name for name in ("empty.npz", "nobody.npz", "broken.npz", "empty.mp4", "missing.mp4")]
    code, said, errors = run(capsys, "translate", *paths, good, "--model", place / "both")
    assert code == 1 and said.startswith(f"{good}\t") and len(said.splitlines()) == 1
    assert len(errors) == 6 and errors[-1].endswith("5 of 6 files failed")
    for path, line in zip(paths, errors):
        assert line.startswith(f"signx-hf: {path}: ") and "Traceback" not in line


def test_a_recording_in_which_nobody_moves(tmp_path, capsys):
    save_folder(tmp_path / "model", trained_tasks=["text"])
    clip = write_video(tmp_path / "still.mkv", np.full((40, 40, 56, 3), 90, np.uint8))
    options = ("--model", tmp_path / "model", "--chunk-length", "4", "--option", "max_new_tokens=6")
    code, said, _ = run(capsys, "translate", clip, *options, "--format", "json")
    found = json.loads(said)
    assert code == 0 and found["text"] == "" and found["sentences"] == [] and found["reason"] == "nobody moves"
    assert run(capsys, "translate", clip, *options, "--format", "srt")[:2] == (0, "")


# --------------------------------------------------------------------------------------------------------------------- live


def test_live_prints_one_sentence_for_each_utterance(place, translate, capsys):
    result = translate(str(place / "long.npz"), chunk_length_s=20.0)
    arguments = ("live", "--from-file", place / "long.npz", "--model", place / "both", "--translate")
    code, said, errors = run(capsys, *arguments)
    assert (code, errors) == (0, []) and said.splitlines() == [s["text"] for s in result["sentences"]]
    code, said, _ = run(capsys, *arguments[:4], place / "text", "--translate", "--format", "json")
    updates = [json.loads(line) for line in said.splitlines()]
    found = [sentence for update in updates for sentence in update["final"]]
    for sentence, expected in zip(found, result["sentences"], strict=True):
        assert sentence == {
            name: pytest.approx(value, abs=1e-3) if name != "text" else value for name, value in expected.items()
        }
    assert updates[0]["time"] < found[1]["start"], "the first sentence came before the second was signed"


def test_a_stream_of_frames_says_what_the_file_says_and_encodes_each_frame_once(tmp_path):
    save_folder(tmp_path / "model", trained_tasks=["text"])
    translate = pipeline("sign-translation", model=str(tmp_path / "model"), device="cpu", max_new_tokens=6)
    still = np.full((30, 40, 56, 3), 40, np.uint8)
    frames = np.concatenate([still, make_frames(30), still, make_frames(24, seed=4), still])
    expected = translate(frames, source_fps=FPS, chunk_length_s=20.0)["sentences"]
    streamer = SignXTranslationStreamer(translate, "video", max_new_tokens=6)
    found = [sentence for frame in frames for sentence in streamer.push(frame).final] + streamer.flush().final
    assert len(expected) == 2 and [vars(sentence) for sentence in found] == [
        {name: pytest.approx(value, abs=1e-3) if name != "text" else value for name, value in sentence.items()}
        for sentence in expected
    ]
    assert streamer.frames_encoded == len(frames)


def test_a_stream_without_a_rest_is_cut(place, translate):
    from signx_hf.processing.windowing_signx import WindowOptions

    clip = np.load(place / "clips" / "clip0.npz")["hands"]
    endless = np.concatenate([clip[3:-3]] * 12)
    windows = WindowOptions(3.0, 0.6)
    streamer = SignXTranslationStreamer(translate, "poses", windows=windows)
    sizes, found = [], []
    for row in endless:
        found += streamer.push({"hands": row}).final
        sizes.append(len(streamer._store._rows))
    found += streamer.flush().final
    expected = translate({"hands": endless}, chunk_length_s=3.0)["sentences"]
    assert [s.text for s in found] == [s["text"] for s in expected] and max(sizes) < 8 * 30 < len(endless)


def test_a_streamer_of_another_task(recognize):
    with pytest.raises(signx_hf.SignXError, match="must be a pipeline of sign-translation, got sign-recognition"):
        SignXTranslationStreamer(recognize)
