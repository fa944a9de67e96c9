"""A whole model folder in a few hundred kilobytes: random weights, real processor; for tests of pipelines and commands."""

import random
from pathlib import Path

import numpy as np
import torch
from conftest import mini_config

GLOSSES = ("IX-1p", "NOT-YET", "ns-fs-JOHN", "DURING/WHILE", "#IF", "WETTER", "天气")
TRACKS = {"hands": 7, "body": 5, "depth": 4}
FPS = 15.0


def make_tokenizer():
    from signx_hf import SignXTokenizer

    return SignXTokenizer.train_from_iterator([" ".join(GLOSSES)], vocab_size=540)


def make_processor(tokenizer=None):
    from signx_hf import SignXPoseFeatureExtractor, SignXProcessor, SignXVideoProcessor

    return SignXProcessor(
        SignXVideoProcessor(size={"height": 32, "width": 32}, fps=FPS),
        SignXPoseFeatureExtractor(track_dims=TRACKS, fps=FPS),
        make_tokenizer() if tokenizer is None else tokenizer,
    )


def make_model(class_name: str, seed: int = 0, **overrides):
    """A model with random weights that say different things about different clips."""
    import signx_hf

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = mini_config(
        fps=FPS,
        text_config={"vocab_size": len(tokenizer), "gloss_pieces": tokenizer.gloss_piece_ids()},
        ctc_vocab_size=tokenizer.ctc_vocab_size,
        **overrides,
    )
    model = getattr(signx_hf, class_name)(config).eval()
    with torch.no_grad():  # sharper logits, so that decoding depends on the clip and not on rounding
        for name in ("classifier",):
            head = getattr(getattr(model, "recognizer", model), name, None)
            if head is not None:
                head.weight.mul_(8)
    return model


def save_folder(folder: Path, class_name: str = "SignXForGlossRecognition", **overrides) -> Path:
    """Model and processor as a user saves them."""
    model = make_model(class_name, **overrides)
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


def make_frames(frames: int = 20, seed: int = 0, height: int = 40, width: int = 56) -> np.ndarray:
    """A moving bright square on a dark ground, uint8 `[T, H, W, 3]`."""
    generator = random.Random(seed)
    video = np.full((frames, height, width, 3), 40, np.uint8)
    x, y = generator.randrange(width - 12), generator.randrange(height - 12)
    for frame in video:
        x = min(max(x + generator.randint(-5, 5), 0), width - 12)
        y = min(max(y + generator.randint(-5, 5), 0), height - 12)
        frame[y : y + 12, x : x + 12] = [generator.randint(150, 255) for _ in range(3)]
    return video


def make_poses(frames: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """A random walk in every track."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=(frames, size)).cumsum(0).astype(np.float32) for name, size in TRACKS.items()}


def write_video(path: Path, frames: np.ndarray, fps: int = int(FPS)) -> Path:
    """A lossless file, so that frames from the file equal the array."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path
