"""What bad input gets, at every surface a user touches: one line that says what was given, what was expected and the remedy.

A case is a call on `Bench` (a saved model, its parts and files to break), the type of the error, and its decisive text.
"""

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from helpers import said
from make_model import (
    FPS,
    GLOSSES,
    TRACKS,
    make_frames,
    make_model,
    make_poses,
    make_processor,
    make_tokenizer,
    save_folder,
    write_video,
)
from transformers import AutoModelForCTC, pipeline

from signx_hf import (
    IsolatedSignRecognitionPipeline,
    SignRecognitionPipeline,
    SignXConfig,
    SignXError,
    SignXFileNotFoundError,
    SignXForGlossRecognition,
    SignXForLatentCTC,
    SignXPoseError,
    SignXPoseFeatureExtractor,
    SignXProcessor,
    SignXTokenError,
    SignXTokenizer,
    SignXVideoError,
    SignXVideoProcessor,
    SignXWarning,
)
from signx_hf.cli import main


@dataclass
class Bench:
    """A good model folder with its parts, and a place for broken copies."""

    base: Path
    good: Path
    recognizer: Any

    @property
    def model(self):
        return self.recognizer.model

    @property
    def processor(self):
        return self.recognizer.processor

    def file(self, name: str, content: bytes) -> Path:
        path = self.base / name
        path.write_bytes(content)
        return path

    def copy(self, name: str) -> Path:
        """A model folder to break, as `name`."""
        return Path(shutil.copytree(self.good, self.base / name))

    def without(self, name: str, *missing: str) -> Path:
        folder = self.copy(name)
        for part in missing:
            (folder / part).unlink()
        return folder

    def rewritten(self, name: str, part: str, content: bytes | Callable) -> Path:
        """A copy with one file replaced, or its JSON changed by a function."""
        folder = self.copy(name)
        path = folder / part
        if callable(content):
            values = json.loads(path.read_text())
            content(values)
            content = json.dumps(values).encode()
        path.write_bytes(content)
        return folder

    def weights(self, cut: slice) -> bytes:
        return (self.good / "model.safetensors").read_bytes()[cut]

    def with_processor(self, **parts) -> SignRecognitionPipeline:
        """The pipeline with another video processor, feature extractor or tokenizer."""
        usual = make_processor()
        names = ("video_processor", "feature_extractor", "tokenizer")
        processor = SignXProcessor(*(parts.get(name, getattr(usual, name)) for name in names))
        return SignRecognitionPipeline(model=self.model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    base = tmp_path_factory.mktemp("bad")
    good = save_folder(base / "good")
    return Bench(base, good, pipeline("sign-recognition", model=str(good), device="cpu"))


def load(folder: Path, task: str = "sign-recognition"):
    return pipeline(task, model=str(folder), device="cpu")


# ------------------------------------------------------------------------------------------------ files made to be bad


def audio_only(b: Bench) -> Path:
    path = b.base / "audio.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def video_without_frames(b: Bench) -> Path:
    path = b.base / "none.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def mp4_without_index(b: Bench) -> Path:
    path = b.base / "whole.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 56, 40, "yuv420p"
        for frame in make_frames(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    return b.file("cut.mp4", content[: content.rindex(b"moov")])


def jumping(b: Bench) -> Path:
    """Five frames, and a sixth ten thousand seconds later."""
    path = b.base / "jump.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=15)
        stream.width, stream.height, stream.pix_fmt = 56, 40, "bgr0"
        for index, image in enumerate(make_frames(6)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if index < 5 else 150_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def fifo(b: Bench, name: str) -> Path:
    path = b.base / name
    os.mkfifo(path)
    return path


def made(b: Bench, name: str) -> Path:
    path = b.base / name
    path.mkdir()
    return path


def link(b: Bench, name: str, target: str) -> Path:
    path = b.base / name
    path.symlink_to(target)
    return path


def npz(b: Bench, name: str, cut: int | None = None, **tracks) -> Path:
    path = b.base / name
    np.savez(path, **(tracks or make_poses()))
    if cut is not None:
        path.write_bytes(path.read_bytes()[:cut])
    return path


def huge_npy(b: Bench) -> Path:
    """A header that promises 58 TiB."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 16), }"
    header += b" " * (117 - len(header)) + b"\n"
    return b.file("huge.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def frames_of_two_sizes(b: Bench) -> Path:
    folder = made(b, "sizes")
    for name, size in (("1.png", 40), ("2.png", 48)):
        with av.open(str(folder / name), "w", format="image2") as container:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 56, size, "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(make_frames(1, height=size)[0], format="rgb24")))
            container.mux(stream.encode())
    return folder


def poses(**changes) -> dict:
    return {**make_poses(), **changes}


def with_value(value: float) -> np.ndarray:
    track = make_poses()["hands"].copy()
    track[3, 2] = value
    return track


def unseen() -> dict:
    return {f"{name}_mask": np.zeros(20, dtype=bool) for name in TRACKS}


# --------------------------------------------------------------------------------------------------- the way to a case


def given(make: Callable, **options) -> Callable:
    """The pipeline on what `make(bench)` returns."""
    return lambda b: b.recognizer(make(b), **options)


def value(clip: Any, **options) -> Callable:
    return lambda b: b.recognizer(clip, **options)


def processed(**inputs) -> Callable:
    return lambda b: b.processor(**inputs)


def forward(**inputs) -> Callable:
    return lambda b: b.model(**inputs)


POSE = torch.zeros(1, 8, 16)
REMEDY = "load the tokenizer that was saved with the model"
V, P, F, T, E = SignXVideoError, SignXPoseError, SignXFileNotFoundError, SignXTokenError, SignXError

# id, call, type of the error, decisive text ({base}: the folder of the files)
CASES = [
    # Videos through the pipeline.
    ("video-missing", value("no/such.mp4"), F, "no/such.mp4: no such file or folder"),
    ("video-missing-is-oserror", value("no/such.mp4"), FileNotFoundError, "no/such.mp4: no such file or folder"),
    ("video-name-too-long", value("x" * 300 + ".mp4"), F, ".mp4: no such file or folder"),
    ("video-name-with-nul", value("a\0b.mp4"), F, "b.mp4: no such file or folder"),
    ("video-name-empty", value(""), V, "'': the path is empty"),
    ("video-link-to-itself", given(lambda b: link(b, "loop.mp4", "loop.mp4")), F, "{base}/loop.mp4: no such file or folder"),
    ("video-empty", given(lambda b: b.file("empty.mp4", b"")), V, "{base}/empty.mp4: an empty file (0 bytes)"),
    ("video-is-text", given(lambda b: b.file("text.mp4", b"once upon a time\n" * 9)), V, "got a file that starts with b'once upon a '"),
    ("video-is-noise", given(lambda b: b.file("noise.mp4", np.random.default_rng(0).bytes(4000))), V, "{base}/noise.mp4: cannot be opened as a video (Invalid data found"),
    ("video-is-playlist", given(lambda b: b.file("list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n")), V, "{base}/list.mp4: "),
    ("video-index-cut-off", given(mp4_without_index), V, "starts like an MP4 file but its index is missing or damaged"),
    ("video-audio-only", given(audio_only), V, "{base}/audio.mp4: the file has no video stream (it has audio)"),
    ("video-zero-frames", given(video_without_frames), V, "{base}/none.avi: no frame could be decoded (the video stream is empty)"),
    ("video-is-empty-folder", given(lambda b: made(b, "nothing")), V, "{base}/nothing: the folder has no frame image"),
    ("video-folder-of-two-sizes", given(frames_of_two_sizes), V, "{base}/sizes: all frames ... got 56x48 for 2.png and 56x40 for 1.png"),
    ("video-url", value("https://example.org/a.mp4"), V, "https://example.org/a.mp4: expected a local file, got a web address"),
    ("video-fifo", given(lambda b: fifo(b, "pipe.mp4")), V, "{base}/pipe.mp4: neither a regular file nor a folder (a pipe or device)"),
    ("video-device", value("/dev/zero"), V, "/dev/zero: neither a regular file nor a folder (a pipe or device)"),
    ("video-bytes-empty", value(b""), V, "videos[0]: expected the content of a video file, got 0 bytes"),
    ("video-bytes-text", value(b"once upon a time"), V, "videos[0] (bytes): cannot be opened as a video (Invalid data"),
    ("video-stream-of-text", value(io.StringIO("once")), V, "videos[0] (file object): the file is opened as text"),
    ("video-stream-empty", value(io.BytesIO()), V, "videos[0] (file object): expected the content of a video file, got 0 bytes"),
    ("video-stream-closed", given(lambda b: (stream := io.BytesIO(b"x"), stream.close())[0]), V, "videos[0] (file object): the file is closed"),
    ("video-none", value(None), V, "videos[0]: expected a path ... got NoneType"),
    ("video-integer", value(7), V, "videos[0]: expected a path ... got int"),
    ("video-list-with-none", value([None]), V, "videos[0]: expected a path ... got NoneType"),
    ("video-nested-lists", value([[["a.mp4"]]]), V, "videos[0], frame 0 (array [1]): frames in a list must have shape [H, W] or"),
    ("video-nested-nothing", value([[]]), V, "videos[0]: expected at least one frame, got an empty list"),
    ("list-of-nothing", value([]), E, "`inputs` ... got an empty list"),
    ("tuple-of-nothing", value(()), E, "`inputs` ... got an empty list"),
    ("array-one-frame", value(np.zeros((9, 9, 3), np.uint8)), V, "videos[0] (array [9, 9, 3]): ambiguous ... one frame [H, W, 3] and 9 gray frames"),
    ("array-list-of-frames", value(list(make_frames(3))), V, "videos[0] (array [40, 56, 3]): ambiguous ... one frame [H, W, 3] and 40 gray frames"),
    ("array-zero-frames", value(np.zeros((0, 9, 9, 3), np.uint8)), V, "videos[0] (array [0, 9, 9, 3]): every axis must have a size of at least 1"),
    ("array-five-axes", value(np.zeros((1, 2, 9, 9, 3), np.uint8)), V, "videos[0] (array [1, 2, 9, 9, 3]): the array must have shape [T, H, W, 3]"),
    ("array-five-channels", value(np.zeros((2, 9, 9, 5), np.uint8)), V, "videos[0] (array [2, 9, 9, 5]): the shape must be [T, H, W, C] with C of"),
    ("array-of-integers", value(np.zeros((2, 9, 9, 3), np.int64)), V, "values ... got int64"),
    ("array-of-255", value(np.full((2, 9, 9, 3), 255.0)), V, "float values ... got 255 to 255"),
    ("array-of-nan", value(np.full((2, 9, 9, 3), np.nan)), V, "float values ... got nan to nan"),
    ("rate-zero", value(make_frames(4), source_fps=0), V, "`source_fps` ... got 0"),
    ("rate-nan", value(make_frames(4), source_fps=float("nan")), V, "`source_fps` ... got nan"),
    ("rate-of-hours", value(make_frames(4), source_fps=1e-4), V, "frames ... got 10000 s before frame 1"),
    ("video-time-stamps-jump", given(jumping), V, "{base}/jump.mkv: frames ... got 9999.73 s before frame 5"),
    # Poses through the pipeline.
    ("pose-missing", value("no/such.pose"), F, "no/such.pose: no such file"),
    ("pose-name-too-long", value("x" * 300 + ".npz"), F, ".npz: no such file"),
    ("pose-url", value("ftp://example.org/a.npz"), P, "ftp://example.org/a.npz: expected a local file, got a web address"),
    ("pose-empty", given(lambda b: b.file("empty.pose", b"")), P, "{base}/empty.pose: an empty file (0 bytes)"),
    ("pose-is-text", given(lambda b: b.file("text.npz", b"once upon a time")), P, "{base}/text.npz: not a .npz file; it starts with b'once u'"),
    ("pose-npy-is-text", given(lambda b: b.file("text.npy", b"once upon a time")), P, "{base}/text.npy: not a .npy file; it starts with b'once u'"),
    ("pose-corrupt", given(lambda b: npz(b, "cut.npz", cut=300)), P, "{base}/cut.npz: the .npz file is corrupt (File is not a zip file)"),
    ("pose-huge-header", given(huge_npy), P, "{base}/huge.npy: the .npy file is corrupt (Unable to allocate 58.2 TiB for"),
    ("pose-pickle", given(lambda b: b.file("clip.pkl", b"\x80\x04.")), P, "{base}/clip.pkl: expected a .npz ... got a pickle"),
    ("pose-objects", given(lambda b: npz(b, "object.npz", hands=np.array([{}, None]))), P, "{base}/object.npz: the file ... got an object array, which only pickle can read"),
    ("pose-folder", given(lambda b: made(b, "folder.npz")), P, "{base}/folder.npz: expected a .npz, .npy, .pose or .json file, or a folder"),
    ("pose-fifo", given(lambda b: fifo(b, "pipe.npz")), P, "{base}/pipe.npz: not a regular file (a pipe or device)"),
    ("pose-device", given(lambda b: link(b, "zero.npy", "/dev/zero")), P, "{base}/zero.npy: not a regular file (a pipe or device)"),
    ("pose-file-with-nan", given(lambda b: npz(b, "nan.npz", **poses(hands=with_value(np.nan)))), P, "{base}/nan.npz: track 'hands' ... got nan in frame 3 column 2"),
    ("pose-nan", value(poses(hands=with_value(np.nan))), P, "clip 0: track 'hands' ... got nan in frame 3 column 2"),
    ("pose-infinite", value(poses(hands=with_value(np.inf))), P, "clip 0: track 'hands' ... got inf in frame 3 column 2"),
    ("pose-wrong-width", value(poses(hands=np.zeros((20, 5)))), P, "clip 0: track 'hands' ... got [20, 5]"),
    ("pose-array-of-wrong-width", value(np.zeros((20, 9))), P, "clip 0: the array ... got [20, 9]"),
    ("pose-unknown-track", value(poses(hadns=np.zeros((20, 7)))), P, "clip 0: unknown track or key 'hadns'"),
    ("pose-no-track", value({}), P, "clip 0: the clip ... got none"),
    ("pose-tracks-of-two-lengths", value(poses(hands=np.zeros((5, 7)))), P, "all tracks ... got 20 for 'body' and 5 for 'hands'"),
    ("pose-all-masked", value(poses(**unseen())), P, "clip 0: at least one track ... got none"),
    ("pose-zero-frames", value({name: track[:0] for name, track in make_poses().items()}), P, "clip 0: the clip ... got 0"),
    ("pose-of-text", value(poses(hands=np.full((20, 7), "a"))), P, "clip 0: track 'hands' ... got dtype <U1"),
    ("pose-list", value(poses(hands=[[0.0] * 7] * 20)), P, "clip 0: track 'hands' ... got list"),
    ("pose-masks-list", value(poses(masks=[1])), P, "clip 0: `masks` ... got list"),
    ("pose-rate", value(poses(fps=-1)), P, "clip 0: the source fps ... got -1"),
    ("pose-rate-of-hours", value(make_poses(), source_fps=1e-6), P, "clip 0: frames ... got 1e+06 s"),
    ("pose-milliseconds", value(poses(timestamps=np.arange(20) * 40.0)), P, "clip 0: frames ... got 40 s"),
    # Options of the pipeline.
    ("option-n-best-huge", value(make_poses(), n_best=10**6), ValueError, "`n_best` ... got 1000000"),
    ("option-beams-huge", value(make_poses(), num_beams=10**6), ValueError, "`num_beams` ... got 1000000"),
    ("option-penalty-text", value(make_poses(), length_penalty="a"), ValueError, "`length_penalty` ... got 'a'"),
    ("option-penalty-nan", value(make_poses(), length_penalty=float("nan")), ValueError, "`length_penalty` ... got nan"),
    ("option-generation-config", value(make_poses(), generation_config={"num_beams": 2}), ValueError, "`generation_config` ... got dict"),
    # The processor.
    ("processor-nothing", processed(), E, "pass at least one of `videos`, `poses`, `glosses` and `text`"),
    ("processor-no-video", processed(videos=[]), V, "`videos` ... got an empty list"),
    ("processor-no-pose", processed(poses=[]), P, "`poses` ... got an empty list"),
    ("processor-two-targets", processed(glosses="WETTER", text="rain"), E, "Pass either `glosses` or `text`, not both"),
    ("processor-no-sentence", processed(glosses=[]), E, "`glosses` ... got an empty list"),
    ("processor-sentence-number", processed(text=5), E, "`text` ... got int"),
    ("processor-sentence-none", processed(glosses=["WETTER", None]), E, "`glosses[1]` ... got NoneType"),
    ("processor-unknown-gloss", processed(glosses="WETER"), T, "not in the CTC vocabulary of 7 glosses: 'WETER' (nearest: 'WETTER')"),
    ("processor-lone-surrogate", processed(text="a\udcff"), T, "'a\\udcff' is not Unicode text (lone surrogate at character 1)"),
    ("processor-two-clips-one-sentence", processed(poses=[make_poses(), make_poses()], glosses="WETTER"), E, "each clip ... got 2 clips and 1 sentences"),
    ("processor-lengths-differ", processed(videos=make_frames(7), poses=make_poses()), E, "clip 0 ... got 20 and 7"),
    ("processor-tensors", processed(poses=make_poses(), return_tensors="tf"), E, "`return_tensors` ... got 'tf'"),
    # The tokenizer.
    ("tokenizer-no-pieces", lambda b: SignXTokenizer(), T, "SignXTokenizer needs tokenizer_file or tokenizer_object, got neither"),
    ("tokenizer-no-corpus", lambda b: SignXTokenizer.train_from_iterator([]), T, "`sentences` ... got none"),
    ("tokenizer-id-of-another", lambda b: b.processor.decode([4, 99999]), T, "vocabulary mismatch: piece ids ... from 0 to 539, got 99999"),
    ("tokenizer-ctc-id-of-another", lambda b: b.processor.tokenizer.decode_ctc([8]), T, "vocabulary mismatch: CTC ids ... 7, got 8 to 8"),
    ("tokenizer-no-file", lambda b: load(b.without("no_tokens", "tokenizer.json")), T, "SignXTokenizer needs tokenizer_file or tokenizer_object, got neither"),
    # The model.
    ("model-no-input", forward(), ValueError, "pixel_values_videos, pose_values or latents"),
    ("model-wrong-width", forward(pose_values=torch.zeros(1, 8, 9)), ValueError, "[B, T, 16] (hands 7, body 5, depth 4), got [1, 8, 9]"),
    ("model-empty-batch", forward(pose_values=torch.zeros(0, 8, 16)), ValueError, "got shape [0, 8, 16]"),
    ("model-no-frames", forward(pose_values=torch.zeros(1, 0, 16)), ValueError, "`frame_mask` must have at least one true frame per clip, got none for clip 0"),
    ("model-all-frames-masked", forward(pose_values=POSE, frame_mask=torch.zeros(1, 8)), ValueError, "clip 0 of the batch"),
    ("model-all-tracks-masked", forward(pose_values=POSE, pose_mask=torch.zeros(1, 8, 3)), ValueError, "clip 0 of the batch"),
    ("model-mask-of-two-tracks", forward(pose_values=POSE, pose_mask=torch.ones(1, 8, 2)), ValueError, "`pose_mask` must have shape [1, 8, 3], one value per frame and track, got [1, 8, 2]"),
    ("model-video-axes", forward(pixel_values_videos=torch.zeros(4, 3, 32, 32)), ValueError, "`pixel_values_videos` must have shape [B, T, 3, H, W], got [4, 3, 32, 32]"),
    ("model-labels-only-prompt", forward(pose_values=POSE.expand(2, -1, -1), labels=torch.tensor([[4, 7, 2], [4, -100, -100]])), ValueError, "`labels[1]` must have at least the end token after the task prompt"),
    ("model-labels-no-prompt", forward(pose_values=POSE, labels=torch.tensor([[9, 2]])), ValueError, "`labels[0]` must start with the task prompt 4 (gloss) or 5 (text), got 9"),
    ("model-labels-empty", forward(pose_values=POSE, labels=torch.zeros(1, 0, dtype=torch.long)), ValueError, "shape [1, L], one row per clip, got [1, 0]"),
    ("model-labels-rows", forward(pose_values=POSE, labels=torch.tensor([[4, 7, 2]] * 2)), ValueError, "shape [1, L], one row per clip, got [2, 3]"),
    ("model-labels-float", forward(pose_values=POSE, labels=torch.tensor([[4.0, 7, 2]])), ValueError, "got [1, 3] of torch.float32"),
    ("model-labels-of-another", forward(pose_values=POSE, labels=torch.tensor([[4, 9999, 2]])), ValueError, "`labels[0, 1]` must be a piece id from 0 to 539, or -100 for padding, got 9999"),
    ("model-ctc-too-few-frames", forward(pose_values=POSE, ctc_labels=torch.tensor([[1, 1]])), ValueError, "2 glosses with 1 repeats need 3"),
    ("model-ctc-of-another", forward(pose_values=POSE, ctc_labels=torch.tensor([[100]])), ValueError, "from 0 to 7 other than the blank 0, got 100"),
    ("model-ctc-blank", forward(pose_values=POSE, ctc_labels=torch.tensor([[0]])), ValueError, "from 0 to 7 other than the blank 0, got 0"),
    ("model-ctc-rows", forward(pose_values=POSE, ctc_labels=torch.tensor([[1], [2]])), ValueError, "shape [1, U], one row per clip, got [2, 1]"),
    ("model-class-of-another", lambda b: make_model("SignXForSignClassification")(pose_values=POSE, labels=torch.tensor([9])), ValueError, "from 0 to 1 (config.num_labels is 2), got 9"),
    ("model-class-rows", lambda b: make_model("SignXForSignClassification")(pose_values=POSE, labels=torch.tensor([0, 1])), ValueError, "shape [1], one sign per clip, got [2]"),
    ("model-generate-nothing", lambda b: b.model.generate(), ValueError, "pixel_values_videos, pose_values or latents"),
    # Model folders.
    ("folder-of-bert", lambda b: load(b.rewritten("bert", "config.json", b'{"model_type": "bert"}')), ValueError, "{base}/bert: config.json"),
    ("class-on-bert", lambda b: SignXForGlossRecognition.from_pretrained(b.rewritten("bert2", "config.json", b'{"model_type": "bert"}')), ValueError, "{base}/bert2: `model_type` in config.json must be 'signx', got 'bert'"),
    ("config-of-bert", lambda b: SignXConfig.from_pretrained(b.rewritten("bert3", "config.json", b'{"model_type": "bert"}')), ValueError, "{base}/bert3: `model_type` in config.json must be 'signx', got 'bert'"),
    ("folder-without-weights", lambda b: load(b.without("light", "model.safetensors")), FileNotFoundError, "{base}/light: no model.safetensors"),
    ("class-without-weights", lambda b: AutoModelForCTC.from_pretrained(b.without("light2", "model.safetensors")), FileNotFoundError, "{base}/light2: no model.safetensors"),
    ("weights-cut", lambda b: load(b.rewritten("cut", "model.safetensors", b.weights(slice(0, -1000)))), ValueError, "{base}/cut/model.safetensors: must have "),
    ("weights-empty", lambda b: load(b.rewritten("zero", "model.safetensors", b"")), ValueError, "{base}/zero/model.safetensors: no readable safetensors header in its 0 bytes"),
    ("weights-text", lambda b: SignXForLatentCTC.from_pretrained(b.rewritten("lfs", "model.safetensors", b"version https://git-lfs.github.com/spec/v1\n")), ValueError, "{base}/lfs/model.safetensors: no readable safetensors header in its 43 bytes"),
    ("weights-header-cut", lambda b: load(b.rewritten("head", "model.safetensors", b.weights(slice(0, 100)))), ValueError, "{base}/head/model.safetensors: no readable safetensors header in its 100 bytes"),
    ("weights-pickled", lambda b: load(pickled(b)), FileNotFoundError, "{base}/pickle: weights must be in model.safetensors, got pytorch_model.bin"),
    ("weights-shard-missing", lambda b: load(sharded(b)), FileNotFoundError, "{base}/shards/model-2.safetensors: no such file"),
    ("weights-of-other-shapes", lambda b: load(b.rewritten("shapes", "config.json", lambda c: c["recognizer_config"].update(feature_size=30))), ValueError, "{base}/shapes: the weights have other shapes than the config"),
    ("checkpoint-of-another-task", lambda b: load(b.good, "isolated-sign-recognition"), ValueError, "got SignXForGlossRecognition"),
    ("checkpoint-of-stage-one", lambda b: load(b.rewritten("stage1", "config.json", lambda c: c.update(architectures=["SignXForVideo2Pose"]))), ValueError, "got SignXForVideo2Pose"),
    # Parts that do not belong together, refused when the pipeline is built.
    ("parts-fewer-glosses", lambda b: b.with_processor(tokenizer=other_tokenizer(GLOSSES[:5])), E, "the tokenizer has 6 glosses (blank included) but the model has ctc_vocab_size=8"),
    ("parts-more-glosses", lambda b: b.with_processor(tokenizer=other_tokenizer([*GLOSSES, "MORE"])), E, "vocabulary mismatch: the tokenizer has 9 glosses (blank included) but the model has ctc_vocab_size=8"),
    ("parts-fewer-pieces", lambda b: b.with_processor(tokenizer=make_tokenizer_of(530)), E, "vocabulary mismatch: the tokenizer has 530 pieces but the model has text_config.vocab_size=540"),
    ("parts-other-order-of-glosses", lambda b: b.with_processor(tokenizer=other_tokenizer(GLOSSES[::-1])), E, "vocabulary mismatch: CTC id 1 ('天气') has pieces ["),
    ("parts-no-glosses", lambda b: b.with_processor(tokenizer=SignXTokenizer.byte_level()), E, "vocabulary mismatch: the tokenizer has 1 glosses (blank included) but the model has ctc_vocab_size=8"),
    ("parts-other-tracks", lambda b: b.with_processor(feature_extractor=SignXPoseFeatureExtractor({"hands": 7, "body": 5}, fps=FPS)), E, "the pose extractor ... (hands 7, body 5, depth 4), got hands 7, body 5"),
    ("parts-tracks-in-another-order", lambda b: b.with_processor(feature_extractor=SignXPoseFeatureExtractor({"body": 5, "hands": 7, "depth": 4}, fps=FPS)), E, "the pose extractor ... got body 5, hands 7, depth 4"),
    ("parts-other-frame-size", lambda b: b.with_processor(video_processor=SignXVideoProcessor(size=48, fps=FPS)), E, "the video processor gives frames of 48x48 but the model was configured for 32x32"),
    ("parts-diverged-decoder", lambda b: diverged("lm_head")(make_poses()), ValueError, "the decoder's scores are NaN because the model diverged or overflowed"),
    ("parts-diverged-ctc", lambda b: diverged("recognizer.classifier")(make_poses(), decoder="ctc"), ValueError, "`log_probs[0, 0]` must be finite or -inf, got nan"),
    ("parts-no-processor", lambda b: SignRecognitionPipeline(model=b.model, tokenizer=make_tokenizer()), E, "the model has no processor"),
    ("parts-processor-of-another", lambda b: SignRecognitionPipeline(model=b.model, processor=SimpleNamespace()), E, "the processor ... got SimpleNamespace"),
    ("parts-model-of-another", lambda b: IsolatedSignRecognitionPipeline(model=bert(), processor=b.processor), E, "the model ... got 'bert'"),
]  # fmt: skip


def other_tokenizer(glosses) -> SignXTokenizer:
    """The same pieces, another CTC vocabulary."""
    return SignXTokenizer(tokenizer_object=make_tokenizer().backend_tokenizer, ctc_glosses=list(glosses))


def make_tokenizer_of(size: int) -> SignXTokenizer:
    return SignXTokenizer.train_from_iterator([" ".join(GLOSSES)], vocab_size=size)


def diverged(part: str) -> SignRecognitionPipeline:
    model = make_model("SignXForGlossRecognition")
    with torch.no_grad():
        model.get_submodule(part).weight.fill_(float("nan"))
    return SignRecognitionPipeline(model=model, processor=make_processor(), device="cpu")


def bert() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8))


def pickled(b: Bench) -> Path:
    folder = b.without("pickle", "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    return folder


def sharded(b: Bench) -> Path:
    folder = b.without("shards", "model.safetensors")
    shutil.copy(b.good / "model.safetensors", folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(("call", "error", "text"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_refused_in_one_line(bench, call, error, text):
    with pytest.raises(error) as caught:
        call(bench)
    message = str(caught.value)
    assert re.search(said(text.replace("{base}", str(bench.base))), message)
    assert isinstance(caught.value, (ValueError, FileNotFoundError))
    assert len(message.splitlines()) == 1


# What the command line says before torch is loaded: the model's argument, the decisive text.
MODELS = [
    ("cli-no-folder", lambda b: b.base / "no" / "such", "{base}/no/such: no such folder"),
    ("cli-file", lambda b: b.good / "config.json", "{base}/good/config.json: a file"),
    ("cli-empty-folder", lambda b: made(b, "cli_empty"), "{base}/cli_empty: no config.json"),
    ("cli-bert", lambda b: b.rewritten("cli_bert", "config.json", b'{"model_type": "bert"}'), "{base}/cli_bert/config.json must be of model type 'signx', got 'bert'"),
    ("cli-config-cut", lambda b: b.rewritten("cli_cut", "config.json", b'{"model_type": "si'), "{base}/cli_cut/config.json must hold a JSON object"),
    ("cli-config-list", lambda b: b.rewritten("cli_list", "config.json", b"[1]"), "{base}/cli_list/config.json must hold a JSON object"),
    ("cli-no-processor", lambda b: b.without("cli_bare", "processor_config.json"), "{base}/cli_bare has no processor (processor_config.json)"),
    ("cli-weights-cut", lambda b: b.rewritten("cli_weights", "model.safetensors", b.weights(slice(0, -9))), "{base}/cli_weights/model.safetensors: "),
    ("cli-tokens-cut", lambda b: b.rewritten("cli_tokens", "tokenizer.json", b'{"a"'), "cannot load the model '{base}/cli_tokens': "),
    ("cli-other-tracks", lambda b: b.rewritten("cli_tracks", "processor_config.json", lambda c: c["feature_extractor"].update(track_dims=[["hands", 7]])), "the pose extractor ... got hands 7"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), [pytest.param(*case[1:], id=case[0]) for case in MODELS])
def test_command_refuses_the_model_in_one_line(bench, capsys, make, text):
    assert main(["recognize", "--model", str(make(bench)), "clip.mp4"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("signx-hf: cannot load the model ")
    assert re.search(said(text.replace("{base}", str(bench.base))), lines[0])


def test_ids_are_unique_and_sixty():
    ids = [case[0] for case in (*CASES, *MODELS)]
    assert len(ids) == len(set(ids)) >= 60


def test_a_cut_video_gives_what_decodes_and_a_warning(bench):
    content = write_video(bench.base / "long.mkv", make_frames(20)).read_bytes()
    path = bench.file("half.mkv", content[: len(content) // 2])
    with pytest.warns(SignXWarning) as caught:
        result = bench.recognizer(path)
    assert 0 < result["duration"] < 20 / FPS
    assert [str(warning.message) for warning in caught] == [
        f"{path}: the file declares {20 / FPS - result['duration']:.2f} s more than it contains"
    ]


def test_another_frame_rate_is_a_warning(bench):
    with pytest.warns(SignXWarning) as caught:
        bench.with_processor(video_processor=SignXVideoProcessor(size=32, fps=25.0))
    (warning,) = caught
    assert re.search(said("the video processor gives 25 fps ... 15 fps ... fps to 15"), str(warning.message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bench.with_processor(video_processor=SignXVideoProcessor(size=32, fps=None))


def test_another_frame_size_is_a_warning_where_the_backbone_takes_it():
    backbone = {
        "model_type": "resnet",
        "layer_type": "basic",
        "embedding_size": 6,
        "hidden_sizes": [6, 10],
        "depths": [1, 1],
    }
    model, usual = make_model("SignXForGlossRecognition", vision_config=backbone), make_processor()
    processor = SignXProcessor(SignXVideoProcessor(size=48, fps=FPS), usual.feature_extractor, usual.tokenizer)
    with pytest.warns(SignXWarning, match="frames of 48x48 but the model was configured for 32x32"):
        recognizer = SignRecognitionPipeline(model=model, processor=processor, device="cpu")
    assert recognizer(make_frames(5))["duration"] == pytest.approx(5 / FPS, abs=1e-4)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.npz"])
def test_a_file_without_permission(bench, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user (root) may read every file")
    with pytest.raises(SignXError) as caught:
        bench.recognizer(path)
    assert str(caught.value).startswith(f"{path}: no permission to read ")


def test_pickled_weights_are_read_only_where_that_is_said(bench):
    folder = bench.without("said", "model.safetensors")
    torch.save(bench.model.state_dict(), folder / "pytorch_model.bin")
    model = SignXForGlossRecognition.from_pretrained(folder, use_safetensors=False)
    assert all(torch.equal(value, bench.model.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_good_pipeline_after_all_that(bench):
    """No case above left something behind in the parts that they share."""
    fresh = load(bench.good)
    for clip in (make_poses(), make_frames(9)):
        assert fresh(clip, max_new_tokens=6) == bench.recognizer(clip, max_new_tokens=6)
