"""Real videos and real pose files through processor, model and pipeline of a few thousand random weights."""

import math
import os
import warnings
from pathlib import Path

import pytest
import torch
from conftest import data_folder
from make_model import TRACKS, make_model, make_tokenizer
from transformers import pipeline

from signx_hf import SignXPoseFeatureExtractor, SignXProcessor, SignXVideoProcessor

# Frames of the file (for the news clips the file name says first and last), frames per second.
VIDEOS = {
    "asl_clips/3381121.mp4": (136, 30.0),
    "asl_clips/629983.mp4": (74, 24.0),
    "hksl_clips/2020-01-18_011156-011250_h264.mp4": (11250 - 11156 + 1, 25.0),
    "hksl_clips/2020-06-07_018080-018254_h264.mp4": (18254 - 18080 + 1, 25.0),
    "hksl_clips/2020-07-13_024218-024346_h264.mp4": (24346 - 24218 + 1, 25.0),
    "msl150/ambulancia_001.mp4": (66, 30.0),
    "msl150/doctor_001.mp4": (62, 30.0),
    "msl150/dolor_001.mp4": (61, 30.0),
    "msl150/hoy_001.mp4": (64, 30.0),
    "msl150/yo_001.mp4": (55, 30.0),
}
POSE_FILES = 20


def make_recognizer(pose_tracks: dict[str, int], fps: float | None):
    """Model, processor and pipeline that keep every frame where `fps` is None."""
    model = make_model("SignXForGlossRecognition", pose_config={"track_dims": pose_tracks})
    processor = SignXProcessor(
        SignXVideoProcessor(size=32, fps=fps),
        SignXPoseFeatureExtractor(track_dims=pose_tracks, fps=fps),
        make_tokenizer(),
    )
    return pipeline("sign-recognition", model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def recognizer():
    return make_recognizer(TRACKS, fps=None)


def check_recognition(recognizer, inputs, frames: int, fps: float, result: dict) -> None:
    """Shapes, finite logits, and the pipeline's result against one put together by hand from tensors of a data set."""
    steps = math.ceil(math.ceil(frames / 2) / 2)
    assert inputs["frame_mask"].tolist() == [[True] * frames]
    with torch.no_grad():
        output = recognizer.model(**inputs)
    assert output.ctc_logits.shape[1] == steps and output.feature_mask.tolist() == [[True] * steps]
    assert output.ctc_logits.isfinite().all() and output.logits.isfinite().all()
    assert output.ctc_logits.std() > 0.01, "logits that do not vary would pass for anything"
    best = recognizer.model.decode_ctc(output.ctc_logits, output.feature_mask, num_beams=5)[0][0]
    assert result["glosses"] == recognizer.tokenizer.decode_ctc(best.ids)
    assert result["n_best"][0]["score"] == pytest.approx(best.score, abs=1e-5)
    assert result["duration"] == pytest.approx(frames / fps, abs=1e-3)
    ends = [0.0, *(time for segment in result["segments"] for time in (segment["start"], segment["end"]))]
    assert ends == sorted(ends) and ends[-1] <= result["duration"] + 1e-4


@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_of_a_real_video_reaches_the_logits(recognizer, name):
    frames, fps = VIDEOS[name]
    path = data_folder(*name.split("/"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a sound file gives no warning about damage
        inputs = recognizer.processor(videos=[path], return_metadata=True)
        result = recognizer(str(path), decoder="ctc")
    metadata = inputs.pop("video_metadata")[0]
    assert metadata["frames_decoded"] == metadata["frames"] == frames and not metadata["truncated"]
    assert metadata["fps"] == metadata["source_fps"] == pytest.approx(fps, rel=1e-2)
    check_recognition(recognizer, inputs, frames, metadata["fps"], result)


def test_a_batch_of_real_videos_equals_each_alone(recognizer):
    """Clips of different corpora, sizes and lengths, padded to the longest."""
    paths = [data_folder(*name.split("/")) for name in list(VIDEOS)[1::4]]
    batch = recognizer.processor(videos=paths)
    with torch.no_grad():
        together = recognizer.model(**batch)
        for row, path in enumerate(paths):
            alone = recognizer.model(**recognizer.processor(videos=[path]))
            steps = alone.ctc_logits.shape[1]
            assert int(together.feature_mask[row].sum()) == steps
            assert (together.ctc_logits[row, :steps] - alone.ctc_logits[0]).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "frames"), [("asl_clips/629983.mp4", 92), ("hksl_clips/2020-01-18_011156-011250_h264.mp4", 114)]
)
def test_another_frame_rate_keeps_the_duration(name, frames):
    """At 30 per second 0 to 73/24 s are 92 frames, and 0 to 94/25 s are 114 (tolerance: just under half a frame)."""
    path = data_folder(*name.split("/"))
    recognizer = make_recognizer(TRACKS, fps=30.0)
    inputs = recognizer.processor(videos=[path])
    result = recognizer(str(path), decoder="ctc")
    check_recognition(recognizer, inputs, frames, 30.0, result)
    source_frames, source_fps = VIDEOS[name]
    assert abs(result["duration"] - source_frames / source_fps) <= 1 / 30


def test_real_pose_files_reach_the_logits():
    if not os.environ.get("SIGNX_S2S"):
        pytest.skip(
            "SIGNX_S2S does not name the unpacked package spoken-to-signed==0.4.0, whose pose files this test reads"
        )
    read = pytest.importorskip(
        "pose_format", reason="pose-format, the independent reader of .pose files, is not installed"
    ).Pose.read
    paths = sorted(Path(os.environ["SIGNX_S2S"]).rglob("*.pose"))
    assert len(paths) >= POSE_FILES, f"SIGNX_S2S holds {len(paths)} .pose files, expected {POSE_FILES} or more"
    recognizer = make_recognizer({"mediapipe": 258, "hands": 7}, fps=None)
    for path in (paths[n * len(paths) // POSE_FILES] for n in range(POSE_FILES)):
        body = read(path.read_bytes()).body
        inputs = recognizer.processor(poses=[path], return_metadata=True)
        metadata = inputs.pop("pose_metadata")[0]
        assert metadata["frames"] == len(body.data) and metadata["fps"] == pytest.approx(body.fps)
        assert inputs["pose_mask"][..., 0].any() and not inputs["pose_mask"][..., 1].any()
        result = recognizer(str(path), decoder="ctc")
        check_recognition(recognizer, inputs, metadata["frames"], metadata["fps"], result)
