"""The pipelines: every kind of input, every way to batch, and the same answer in all of them."""

import io
import itertools
import logging
import math
import re

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value, Video
from helpers import said
from make_model import FPS, GLOSSES, make_frames, make_model, make_poses, make_processor, save_folder, write_video
from recognition_results import close
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

import signx_hf  # noqa: F401  registers the tasks
from signx_hf import SignXWarning

LENGTHS = (21, 9, 30, 4, 17, 26, 12, 23)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def recognizer(folder):
    return pipeline("sign-recognition", model=str(folder), device="cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Eight lossless files of different lengths."""
    base = tmp_path_factory.mktemp("clips")
    return [write_video(base / f"{n}.mkv", make_frames(frames, seed=n)) for n, frames in enumerate(LENGTHS)]


def check(result: dict, frames: int) -> None:
    """What holds of every result."""
    assert result["duration"] == pytest.approx(frames / FPS, abs=1e-3)
    assert [segment["gloss"] for segment in result["segments"]] == result["glosses"]
    assert result["text"].split() == result["glosses"] == result["n_best"][0]["glosses"]
    last = 0.0
    for segment in result["segments"]:
        assert last - 1e-9 <= segment["start"] <= segment["end"] <= result["duration"] + 1e-4
        assert segment["confidence"] is None or 0 <= segment["confidence"] <= 1
        last = segment["end"]
    scores = [hypothesis["score"] for hypothesis in result["n_best"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("decoder", ["ctc", "attention"])
def test_one_clip_every_way(recognizer, clips, decoder):
    """Alone, in batches of 2, 3 and 8, through a generator and through a dataset: the same result."""
    options = {"decoder": decoder, "n_best": 2, "max_new_tokens": 8}
    paths = [str(clip) for clip in clips]
    alone = [recognizer(path, **options) for path in paths]
    for result, frames in zip(alone, LENGTHS):
        check(result, frames)
        assert len(result["n_best"]) == 2
    assert len({tuple(result["glosses"]) for result in alone}) > 1, "clips that differ must not all say the same"
    for size in (2, 3, 8):
        for one, batched in zip(alone, recognizer(paths, batch_size=size, **options)):
            assert close(one, batched)
    for one, lazy in zip(alone, recognizer((path for path in paths), **options)):
        assert close(one, lazy)
    features = Features({"video": Video(decode=False), "id": Value("int64")})
    dataset = Dataset.from_dict({"video": paths, "id": list(range(8))}, features=features)
    stored = Dataset.from_dict({"path": [row["path"] for row in dataset["video"]]})
    for one, row in zip(alone, recognizer(KeyDataset(stored, "path"), batch_size=4, **options)):
        assert close(one, row)


def test_logits_alone_and_in_a_batch_of_eight(recognizer, clips):
    model, processor = recognizer.model, recognizer.processor
    batch = processor(videos=[str(clip) for clip in clips])
    with torch.no_grad():
        together = model(**batch)
        for row, clip in enumerate(clips):
            alone = model(**processor(videos=str(clip)))
            steps = alone.ctc_logits.shape[1]
            assert int(together.feature_mask[row].sum()) == steps
            assert (together.ctc_logits[row, :steps] - alone.ctc_logits[0]).abs().max() <= 1e-5
            assert (together.logits[row] - alone.logits[0]).abs().max() <= 1e-5


def test_every_kind_of_video_is_the_same_clip(recognizer, clips):
    path, frames = clips[0], make_frames(LENGTHS[0], seed=0)
    expected = recognizer(str(path))
    assert close(recognizer(path), expected)
    assert close(recognizer(path.read_bytes()), expected)
    assert close(recognizer(io.BytesIO(path.read_bytes())), expected)
    assert close(recognizer(frames, source_fps=FPS), expected)
    assert close(recognizer(torch.from_numpy(frames)), expected)


def test_every_kind_of_pose_is_the_same_clip(recognizer, tmp_path):
    poses = make_poses()
    expected = recognizer(poses)
    check(expected, 20)
    np.savez(tmp_path / "clip.npz", **poses)
    flat = np.concatenate(list(poses.values()), axis=1)
    np.save(tmp_path / "clip.npy", flat)
    for clip in (tmp_path / "clip.npz", str(tmp_path / "clip.npy"), flat, torch.from_numpy(flat)):
        assert close(recognizer(clip), expected)
    assert close(recognizer([poses, poses], batch_size=2)[1], expected)


def test_a_missing_track_is_a_false_mask(recognizer):
    poses = make_poses()
    without = {name: track for name, track in poses.items() if name != "body"}
    masked = {**poses, "body_mask": np.zeros(20, dtype=bool)}
    assert close(recognizer(masked), recognizer(without))


def test_times_are_steps_of_the_ctc_path(recognizer):
    """Step t covers [t, t + 1) * 4 frames; checked on logits that leave no doubt."""
    ids = recognizer.tokenizer.encode_ctc(["WETTER", "IX-1p"])
    logits = torch.full((6, recognizer.model.config.ctc_vocab_size), -20.0)
    for step, token in enumerate([0, ids[0], ids[0], 0, ids[1], 0]):
        logits[step, token] = 20.0
    segments = recognizer._segments(logits, ["WETTER", "IX-1p"], {"fps": FPS, "frames": 22})
    assert [(s["start"], s["end"]) for s in segments] == [
        (pytest.approx(4 / FPS), pytest.approx(12 / FPS)),
        (pytest.approx(16 / FPS), pytest.approx(20 / FPS)),
    ]
    assert all(segment["confidence"] > 0.999 for segment in segments)
    # a gloss outside the CTC vocabulary gets the gap between its neighbors and no confidence
    segments = recognizer._segments(logits, ["WETTER", "UNKNOWN", "IX-1p"], {"fps": FPS, "frames": 22})
    assert segments[1]["confidence"] is None
    assert (segments[1]["start"], segments[1]["end"]) == (segments[0]["end"], segments[2]["start"])
    # more glosses than steps: no time is claimed, they share the clip
    many = recognizer._segments(logits, ["WETTER"] * 9, {"fps": FPS, "frames": 24})
    assert many[-1]["end"] == pytest.approx(24 / FPS) and {segment["confidence"] for segment in many} == {None}


def best_path(log_probs, ids, blank=0):
    """Spans of each id on the best CTC path, by trying every way to place runs (small cases)."""
    best, spans = -math.inf, None
    for cuts in itertools.combinations_with_replacement(range(len(log_probs) + 1), 2 * len(ids)):
        runs = list(zip(cuts[::2], cuts[1::2]))
        empty = any(a == b for a, b in runs)
        touching = any(x[1] == y[0] and i == j for x, y, i, j in zip(runs, runs[1:], ids, ids[1:]))
        if empty or touching:
            continue
        labels = np.full(len(log_probs), blank)
        for (start, end), index in zip(runs, ids):
            labels[start:end] = index
        score = log_probs[np.arange(len(labels)), labels].sum()
        if score > best:
            best, spans = score, runs
    return spans


def test_times_come_from_logits_that_are_local_in_time(recognizer, clips):
    """The auxiliary CTC decides on times; what the BiLSTM says of the same glosses is elsewhere."""
    result = recognizer(str(clips[2]), decoder="ctc")
    inputs = recognizer.preprocess(str(clips[2]))
    tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    with torch.no_grad():
        encoded = recognizer.model.encode(**tensors)
    ids = recognizer.tokenizer.encode_ctc(result["glosses"])
    step = recognizer.model.config.recognizer_config.stride / FPS
    spans = [best_path(logits[0].log_softmax(-1).numpy(), ids) for logits in (encoded.aux_logits, encoded.ctc_logits)]
    found = [(segment["start"], segment["end"]) for segment in result["segments"]]
    assert found == [
        (pytest.approx(a * step, abs=1e-3), pytest.approx(min(b * step, result["duration"]), abs=1e-3))
        for a, b in spans[0]
    ]
    assert spans[0] != spans[1]


def test_joint_decoding_and_generation_config(recognizer):
    from transformers import GenerationConfig

    poses = make_poses(24, seed=5)
    # Random weights give flat distributions, and beams over pieces prune where beams over glosses do not: wide beams.
    ctc = recognizer(poses, decoder="ctc", num_beams=300)
    joint = recognizer(poses, ctc_weight=1.0, num_beams=300, length_penalty=0.0)
    assert joint["glosses"] == ctc["glosses"]
    assert joint["n_best"][0]["score"] == pytest.approx(ctc["n_best"][0]["score"], abs=1e-3)
    config = GenerationConfig(**{**recognizer.model.generation_config.to_dict(), "ctc_weight": 1.0})
    assert recognizer(poses, generation_config=config, num_beams=300, length_penalty=0.0)["glosses"] == ctc["glosses"]


def test_options_that_ctc_does_not_read_are_named(recognizer, recwarn):
    poses, read = make_poses(24, seed=5), {"num_beams": 3, "length_bonus": 0.1, "hot_words": None, "do_sample": False}
    plain = recognizer(poses, decoder="ctc", **read)
    assert recognizer(poses, ctc_weight=0.4, **read)
    assert not [entry for entry in recwarn if "had no effect" in str(entry.message)]
    with pytest.warns(SignXWarning) as caught:
        assert recognizer(poses, decoder="ctc", ctc_weight=0.4, length_penalty=0.7, **read) == plain
    message = "ctc_weight, length_penalty had no effect ... num_beams, lm, lm_weight, length_bonus, hot_words"
    assert re.match(said(message), str(caught[0].message))
    assert caught[0].filename == __file__
    recwarn.clear()
    recognizer([poses, poses], decoder="ctc", ctc_weight=0.4, length_penalty=0.7, chunk_length_s=20, **read)
    assert not [entry for entry in recwarn if "had no effect" in str(entry.message)]  # said once


def test_the_generation_config_outranks_the_defaults_and_a_keyword_outranks_both(recognizer, monkeypatch):
    from transformers import GenerationConfig

    used = []
    generate = recognizer.model.generate

    def spy(*args, generation_config=None, **kwargs):
        used.append((generation_config.num_beams, generation_config.length_penalty, generation_config.max_new_tokens))
        return generate(*args, generation_config=generation_config, **kwargs)

    monkeypatch.setattr(recognizer.model, "generate", spy)
    recognizer(make_poses())
    monkeypatch.setattr(recognizer.model.generation_config, "num_beams", 3)
    recognizer(make_poses())
    recognizer(make_poses(), generation_config=GenerationConfig(num_beams=2, length_penalty=0.1, max_new_tokens=4))
    recognizer(make_poses(), generation_config=GenerationConfig(num_beams=2, max_new_tokens=4), num_beams=4)
    recognizer(make_poses(), max_length=6)
    assert [beams for beams, _, _ in used] == [5, 3, 2, 4, 3]
    assert [penalty for _, penalty, _ in used] == [0.7, 0.7, 0.1, 0.7, 0.7]
    assert used[-1][2] is None


def test_rows_of_datasets_and_iterators_are_clips(recognizer, clips):
    paths = [str(clip) for clip in clips[:2]]
    expected = [recognizer(path) for path in paths]
    features = Features({"video": Video(decode=False)})
    dataset = Dataset.from_dict({"video": paths}, features=features)
    for row, one in zip(recognizer(KeyDataset(dataset, "video")), expected):
        assert close(row, one)
    assert close(recognizer({"bytes": clips[0].read_bytes(), "path": None}), expected[0])
    for row, one in zip(recognizer(iter(paths)), expected):
        assert close(row, one)


def test_options_at_construction_and_at_call(folder):
    recognizer = pipeline("sign-recognition", model=str(folder), device="cpu", decoder="ctc", n_best=3, num_beams=1)
    result = recognizer(make_poses())
    assert len(result["n_best"]) == 3
    assert len(recognizer(make_poses(), n_best=1)["n_best"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "magic"}, "`decoder` ... got 'magic'"),
        ({"n_best": 0}, "`n_best` ... got 0"),
        ({"num_beams": 0}, "`num_beams` ... got 0"),
        ({"nbest": 3}, "sign-recognition has no option 'nbest' ... 'n_best'?"),
    ],
)
def test_refused_options(recognizer, options, message):
    with pytest.raises(ValueError) as error:
        recognizer(make_poses(), **options)
    assert re.search(said(message), str(error.value))


def test_a_stage_three_checkpoint_is_decoded_by_ctc(tmp_path, caplog):
    folder = save_folder(tmp_path, "SignXForLatentCTC")
    poses = make_poses(24)
    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        recognizer = pipeline("sign-recognition", model=str(folder), device="cpu")
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert type(recognizer.model).__name__ == "SignXForLatentCTC" and not caplog.messages  # no decoder is missed
    assert type(signx_hf.SignXForGlossRecognition.from_pretrained(folder)).__name__ == "SignXForGlossRecognition"
    result = recognizer(poses)
    model = make_model("SignXForLatentCTC")
    with torch.no_grad():
        output = model(**make_processor()(poses=poses))
    best = model.decode_ctc(output.logits, output.feature_mask, num_beams=5)[0][0]
    assert result["glosses"] == make_processor().tokenizer.decode_ctc(best.ids)
    assert result["n_best"][0]["score"] == pytest.approx(best.score, abs=1e-4)


def test_save_and_load_through_the_pipeline(recognizer, tmp_path):
    recognizer.save_pretrained(tmp_path)
    again = pipeline("sign-recognition", model=str(tmp_path), device="cpu")
    assert close(again(make_poses()), recognizer(make_poses()))
    for name in ("pipeline_signx.py", "processor_config.json", "modeling_signx.py", "model.safetensors"):
        assert (tmp_path / name).is_file()


def test_half_precision_and_model_objects(folder):
    recognizer = pipeline("sign-recognition", model=str(folder), device="cpu", dtype=torch.bfloat16)
    assert recognizer.model.dtype == torch.bfloat16
    check(recognizer(make_poses()), 20)
    direct = pipeline(
        "sign-recognition", model=make_model("SignXForGlossRecognition"), processor=make_processor(), device="cpu"
    )
    check(direct(make_poses()), 20)


def test_a_model_without_a_text_decoder_says_so():
    stage3 = pipeline(
        "sign-recognition", model=make_model("SignXForLatentCTC"), processor=make_processor(), device="cpu"
    )
    assert stage3(make_poses())["glosses"] == stage3(make_poses(), decoder="ctc")["glosses"]
    with pytest.raises(ValueError) as error:
        stage3(make_poses(), decoder="attention")
    assert re.search(said("`decoder` ... SignXForLatentCTC ... got 'attention'"), str(error.value))


def test_isolated_signs(tmp_path):
    labels = dict(enumerate(GLOSSES))
    folder = save_folder(tmp_path, "SignXForSignClassification", id2label=labels)
    classifier = pipeline("isolated-sign-recognition", model=str(folder), device="cpu")
    result = classifier(make_poses())
    assert len(result) == 5 and {entry["label"] for entry in result} <= set(GLOSSES)
    everything = classifier(make_poses(), top_k=100)
    assert len(everything) == len(GLOSSES)
    assert sum(entry["score"] for entry in everything) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        logits = classifier.model(**classifier.processor(poses=make_poses())).logits[0]
    assert everything[0]["label"] == labels[int(logits.argmax())]
    clips = [make_poses(n, seed=n) for n in (5, 20, 9)]
    for one, batched in zip([classifier(clip) for clip in clips], classifier(clips, batch_size=3)):
        assert [entry["label"] for entry in one] == [entry["label"] for entry in batched]
        assert one[0]["score"] == pytest.approx(batched[0]["score"], abs=1e-5)
    video = classifier(make_frames(6))
    assert len(video) == 5
    with pytest.raises(
        ValueError,
        match="isolated-sign-recognition has no option 'topk'.*'top_k'",
    ):
        classifier(make_poses(), topk=3)
    with pytest.raises(ValueError, match="`top_k` .* got 0"):
        classifier(make_poses(), top_k=0)
