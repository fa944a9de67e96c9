"""Trains a toy recogniser in about a minute and recognises a video file with it: `python examples/demo.py`.

The "signs" are coloured discs that move along a path: CIRCLE, NOD, WAVE, JUMP. They are no signing; they show that the
whole chain works here, from the video file through processor, model, CTC and decoder to glosses with times. As in SignX-4
the recogniser learns from poses (here: where the disc is), and the video entry then learns to reach the same latents, so
that the video alone is enough. Signing is learnt by the training recipes.
"""

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
import transformers

import signx_hf
from signx_hf import (
    SignXConfig,
    SignXForGlossRecognition,
    SignXForVideo2Pose,
    SignXPoseFeatureExtractor,
    SignXProcessor,
    SignXTokenizer,
    SignXVideoProcessor,
)

GLOSSES = ("CIRCLE", "JUMP", "NOD", "WAVE")
RECIPE = "demo.json"  # beside the weights: what they were trained with, so that a second run can use them
FPS, SIZE, FRAMES_PER_SIGN, PAUSE = 15, 32, 12, 3


def disc_path(gloss: str, phase: float) -> tuple[float, float]:
    """Centre of the disc at `phase` 0 to 1 of a sign, in units of the frame."""
    angle = 2 * math.pi * phase
    return {
        "CIRCLE": (0.5 + 0.25 * math.sin(angle), 0.5 - 0.25 * math.cos(angle)),
        "JUMP": (0.5, 0.75 - 0.5 * abs(math.sin(angle))),
        "NOD": (0.5, 0.35 + 0.15 * math.sin(2 * angle)),
        "WAVE": (0.5 + 0.3 * math.sin(2 * angle), 0.3),
    }[gloss]


@dataclass(frozen=True)
class Clip:
    """A drawn sentence: frames `[T, 32, 32, 3]`, the disc's track `[T, 3]` (x, y, visible), and when each gloss is true."""

    sentence: list[str]
    frames: np.ndarray
    disc: np.ndarray
    times: list[tuple[float, float]]


def draw_sentence(sentence: list[str], generator: random.Random) -> Clip:
    """Draws one disc, in a colour and at an offset of its own, through the paths of a sentence with pauses between."""
    colour = np.array([generator.randint(140, 255) for _ in range(3)], dtype=np.uint8)
    shift = [generator.uniform(-0.05, 0.05) for _ in range(2)]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    places: list[tuple[float, float] | None] = []
    times = []
    for gloss in sentence:
        places += [None] * PAUSE
        times.append((len(places) / FPS, (len(places) + FRAMES_PER_SIGN) / FPS))
        places += [disc_path(gloss, step / FRAMES_PER_SIGN) for step in range(FRAMES_PER_SIGN)]
    places += [None] * PAUSE
    frames = np.full((len(places), SIZE, SIZE, 3), 30, np.uint8)
    disc = np.zeros((len(places), 3), np.float32)
    for frame, row, place in zip(frames, disc, places):
        if place is not None:
            x, y = place[0] + shift[0], place[1] + shift[1]
            frame[(columns - x) ** 2 + (rows - y) ** 2 < 0.18**2] = colour
            row[:] = (4 * x - 2, 4 * y - 2, 1)
    return Clip(sentence, frames, disc, times)


def write_video(path: Path, frames: np.ndarray) -> None:
    """An H.264 file of frames `[T, H, W, 3]`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def build(sentences: list[list[str]]) -> tuple[SignXForGlossRecognition, SignXProcessor]:
    """An untrained toy model and its processor."""
    tokenizer = SignXTokenizer.train_from_iterator(sentences, vocab_size=600)
    processor = SignXProcessor(
        SignXVideoProcessor(size={"height": SIZE, "width": SIZE}, fps=FPS),
        SignXPoseFeatureExtractor(track_dims={"disc": 3}, fps=FPS),
        tokenizer,
    )
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "encoder_layers": 1,
        "num_hidden_layers": 1,
        "dropout": 0.0,
    }
    config = SignXConfig.tiny(
        image_size=SIZE,
        fps=FPS,
        vision_config={
            "model_type": "vit", "image_size": SIZE, "patch_size": 8, "hidden_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 96, "hidden_dropout_prob": 0.0,
        },
        pose_config={
            "track_dims": {"disc": 3}, "track_hidden_size": 32, "latent_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 4, "intermediate_size": 128, "dropout": 0.0, "fusion_heads": 4,
        },
        temporal_config={"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128,
                         "dropout": 0.0},
        recognizer_config={"hidden_size": 64, "feature_size": 64, "dropout": 0.0, "frame_drop_rate": 0.0},
        text_config={**text, "gloss_pieces": tokenizer.gloss_piece_ids()},
        ctc_vocab_size=tokenizer.ctc_vocab_size,
    )  # fmt: skip
    return SignXForGlossRecognition(config), processor


def train(model: torch.nn.Module, data: dict[str, torch.Tensor], steps: int, what: str) -> None:
    """AdamW on batches of 8 clips; the recipes in this folder do it properly."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    clips = len(data["frame_mask"])
    model.train()
    for step in range(steps):
        rows = torch.randperm(clips, generator=generator)[:8]
        loss = model(**{name: value[rows] for name, value in data.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"   {what}: step {step + 1:3d} of {steps}, loss {loss.item():.3f}", flush=True)
    model.eval()


def save(model: SignXForGlossRecognition, processor: SignXProcessor, folder: Path, recipe: dict) -> None:
    """Writes beside, then renames: the folder holds a whole model or the one before."""
    beside = Path(tempfile.mkdtemp(dir=folder.parent))
    model.save_pretrained(beside)
    processor.save_pretrained(beside)
    (beside / RECIPE).write_text(json.dumps(recipe))
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the model and the clip")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("default", signx_hf.SignXWarning)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)  # tensors this small only lose time when cores have to meet
    generator = random.Random(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)

    print("1. Draw 64 clips of moving discs (a toy, no signing)")
    sentences = [[generator.choice(GLOSSES) for _ in range(generator.randint(1, 3))] for _ in range(64)]
    clips = [draw_sentence(sentence, generator) for sentence in sentences]
    held_out = next(s for s in iter(lambda: generator.sample(GLOSSES, 3), None) if s not in sentences)
    clip = draw_sentence(held_out, generator)
    write_video(options.out / "clip.mp4", clip.frames)

    folder = options.out / "model"
    recipe = {"seed": options.seed, "steps": options.steps, "version": signx_hf.__version__}
    if (folder / RECIPE).is_file() and json.loads((folder / RECIPE).read_text()) == recipe:
        print(f"2. Use the toy model of an earlier run in {folder}")
    else:
        print("2. Train a toy model: the recogniser on poses, then the video entry on the latents of the poses")
        model, processor = build(sentences)
        poses = processor(poses=[{"disc": clip.disc} for clip in clips])
        targets = processor(glosses=[" ".join(sentence) for sentence in sentences])
        train(model, {**poses, **targets}, options.steps, "poses to glosses")
        stage2 = SignXForVideo2Pose(model.config)
        stage2.model = model.model
        stage2.freeze_pose_path()
        train(
            stage2, {**processor(videos=[clip.frames for clip in clips]), **poses}, options.steps, "video to latents"
        )
        save(model, processor, folder, recipe)

    print(f"3. Recognise {options.out / 'clip.mp4'}, a sentence that was not in training\n")
    result = transformers.pipeline("sign-recognition", model=str(folder))(str(options.out / "clip.mp4"))
    print(f"  signed      {' '.join(held_out)}")
    print(f"  recognised  {result['text']}\n")
    print("  gloss      start    end   confidence")
    for segment in result["segments"]:
        confidence = "-" if segment["confidence"] is None else f"{segment['confidence']:.2f}"
        print(f"  {segment['gloss']:8}{segment['start']:7.2f}s{segment['end']:6.2f}s   {confidence}")
    print("  true times " + ", ".join(f"{start:.2f} to {end:.2f}s" for start, end in clip.times))
    print(f"\nAgain: signx-hf recognize {options.out / 'clip.mp4'} --model {folder}")
    return 0 if result["glosses"] == held_out else 1


if __name__ == "__main__":
    sys.exit(main())
