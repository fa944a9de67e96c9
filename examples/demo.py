"""Trains a toy recogniser in about a minute and recognises a video file with it: `python examples/demo.py`.

The "signs" are coloured discs that move along a path: CIRCLE, NOD, WAVE, JUMP. They are no signing; they show that the
whole chain works here, from the video file through processor, model, CTC and decoder to glosses with times. Signing is
learnt by the training recipes.
"""

import argparse
import math
import random
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import av
import numpy as np
import torch
import transformers

import signx_hf
from signx_hf import SignXConfig, SignXForGlossRecognition, SignXProcessor, SignXTokenizer, SignXVideoProcessor

GLOSSES = ("CIRCLE", "JUMP", "NOD", "WAVE")
FPS, SIZE, FRAMES_PER_SIGN, PAUSE = 15, 48, 12, 3


def disc_path(gloss: str, phase: float) -> tuple[float, float]:
    """Centre of the disc at `phase` 0 to 1 of a sign, in units of the frame."""
    angle = 2 * math.pi * phase
    return {
        "CIRCLE": (0.5 + 0.25 * math.sin(angle), 0.5 - 0.25 * math.cos(angle)),
        "JUMP": (0.5, 0.75 - 0.5 * abs(math.sin(angle))),
        "NOD": (0.5, 0.35 + 0.15 * math.sin(2 * angle)),
        "WAVE": (0.5 + 0.3 * math.sin(2 * angle), 0.3),
    }[gloss]


def draw_sentence(sentence: list[str], generator: random.Random) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Frames `[T, 48, 48, 3]` of a gloss sentence and the true start and end of each gloss in seconds."""
    colour = np.array([generator.randint(120, 255) for _ in range(3)], dtype=np.uint8)
    shift = [generator.uniform(-0.05, 0.05) for _ in range(2)]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    frames, times = [], []
    for gloss in sentence:
        frames += [np.full((SIZE, SIZE, 3), 30, np.uint8)] * PAUSE
        times.append((len(frames) / FPS, (len(frames) + FRAMES_PER_SIGN) / FPS))
        for step in range(FRAMES_PER_SIGN):
            x, y = disc_path(gloss, step / FRAMES_PER_SIGN)
            frame = np.full((SIZE, SIZE, 3), 30, np.uint8)
            frame[(columns - x - shift[0]) ** 2 + (rows - y - shift[1]) ** 2 < 0.15**2] = colour
            frames.append(frame)
    return np.stack(frames + [np.full((SIZE, SIZE, 3), 30, np.uint8)] * PAUSE), times


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
    processor = SignXProcessor(SignXVideoProcessor(size={"height": SIZE, "width": SIZE}, fps=FPS), None, tokenizer)
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
            "model_type": "resnet", "layer_type": "basic", "embedding_size": 16, "hidden_sizes": [16, 32, 64],
            "depths": [1, 1, 1],
        },
        pose_config={
            "track_dims": {"mediapipe": 258}, "track_hidden_size": 32, "latent_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 4, "intermediate_size": 128, "dropout": 0.0, "fusion_heads": 4,
        },
        temporal_config={"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128,
                         "dropout": 0.0},
        recognizer_config={"hidden_size": 64, "feature_size": 64, "dropout": 0.0, "frame_drop_rate": 0.0},
        text_config={**text, "gloss_pieces": tokenizer.gloss_piece_ids()},
        ctc_vocab_size=tokenizer.ctc_vocab_size,
    )  # fmt: skip
    return SignXForGlossRecognition(config), processor


def train(model: SignXForGlossRecognition, processor: SignXProcessor, clips, steps: int, batch_size: int) -> None:
    """A few hundred steps of AdamW on whole batches; the recipes in this folder do it properly."""
    videos = processor(videos=[frames for frames, _ in clips])
    targets = processor(glosses=[" ".join(sentence) for _, sentence in clips])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for step in range(steps):
        rows = torch.randperm(len(clips), generator=generator)[:batch_size]
        loss = model(**{name: value[rows] for name, value in {**videos, **targets}.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            print(f"  step {step + 1:3d} of {steps}  loss {loss.item():.2f}", flush=True)
    model.eval()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the model and the clip")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("default", signx_hf.SignXWarning)
    torch.manual_seed(options.seed)
    generator = random.Random(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)

    print("1. Draw 48 clips of moving discs (a toy, no signing)")
    sentences = [[generator.choice(GLOSSES) for _ in range(generator.randint(1, 3))] for _ in range(48)]
    clips = [(draw_sentence(sentence, generator)[0], sentence) for sentence in sentences]
    held_out = next(s for s in iter(lambda: generator.sample(GLOSSES, 3), None) if s not in sentences)
    frames, times = draw_sentence(held_out, generator)
    write_video(options.out / "clip.mp4", frames)

    print("2. Train a toy model on them")
    model, processor = build(sentences)
    train(model, processor, clips, options.steps, batch_size=8)
    folder = options.out / "model"
    with tempfile.TemporaryDirectory(dir=options.out) as beside:  # written beside, then renamed: never half a model
        model.save_pretrained(beside)
        processor.save_pretrained(beside)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(beside, folder)

    print(f"3. Recognise {options.out / 'clip.mp4'}, a sentence that was not in training\n")
    result = transformers.pipeline("sign-recognition", model=str(folder))(str(options.out / "clip.mp4"))
    print(f"  signed      {' '.join(held_out)}")
    print(f"  recognised  {result['text']}\n")
    print("  gloss      start    end   confidence")
    for segment in result["segments"]:
        confidence = "-" if segment["confidence"] is None else f"{segment['confidence']:.2f}"
        print(f"  {segment['gloss']:8}{segment['start']:7.2f}s{segment['end']:6.2f}s   {confidence}")
    print(f"\nAgain: signx-hf recognize {options.out / 'clip.mp4'} --model {folder}")
    return 0 if result["glosses"] == held_out else 1


if __name__ == "__main__":
    sys.exit(main())
