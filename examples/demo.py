"""Recognize and translate ten videos, and recognize a spelled word, with checkpoints that come with the package: `python examples/demo.py`.

The videos are from SignSynth, an invented sign language performed by rendered figures, with signers and sentences that the model has
never seen. The script prints glosses with times and confidence, and draws the alignment of the first clip. The checkpoint was trained
with `examples/configs/signsynth/*.yaml`. The word is spelled with real letters of the American manual alphabet, tracked by MediaPipe;
the model of letters was trained on other people.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import transformers

import signx_hf
from signx_hf.assets import MODEL, DemoClip, demo_clips, model_place, spelled_clip

WORD = "HELLO"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the clips and the figures")
    return parser.parse_args()


def show(result: dict, clip: DemoClip) -> None:
    """Print the first clip in full."""
    print(f"  signed      {' '.join(clip.glosses)}")
    print(f"  recognized  {result['text']}\n")
    print("  gloss             start    end   confidence   truth")
    truth = dict(enumerate(clip.segments))
    same = result["glosses"] == clip.glosses
    for index, part in enumerate(result["segments"]):
        sure = "-" if part["confidence"] is None else f"{part['confidence']:.2f}"
        true = f"{truth[index]['start']:.2f} to {truth[index]['end']:.2f} s" if same else ""
        print(f"  {part['gloss']:16}{part['start']:6.2f}s{part['end']:6.2f}s   {sure:10}   {true}")


def draw(result: dict, clip: DemoClip, path: Path) -> None:
    """Draw the alignment, if matplotlib is installed."""
    from signx_hf.plots.alignment import plot_alignment

    try:
        frames = signx_hf.SignXVideoProcessor(size={"height": 128, "width": 128}).decode(str(clip.video)).frames
        title = f"{clip.video.name}, {clip.signer}: {clip.text}"
        plot_alignment(frames, result["segments"], result["duration"], path, clip.segments, title)
        print(f"\n{path}: frames, recognized glosses, truth")
    except ImportError as error:
        print(f"\nno figure: {error}")


def spell(out: Path) -> None:
    """Recognize a word of real letters, and draw the hand over time if matplotlib is installed."""
    from signx_hf.plots.hands import plot_hands
    from signx_hf.recognition.loading import open_reader

    np.savez(out / "letters.npz", **spelled_clip(WORD))
    reader = open_reader(model_place("asl-letters"), None, False, {})
    result = reader(str(out / "letters.npz"))
    print("\nReal letters of the American manual alphabet, of a person the model was not trained on\n")
    print(f"  spelled     {WORD}\n  recognized  {result['text']}\n")
    print("  letter            start    end   confidence")
    for letter in result["letters"]:
        print(f"  {letter['letter']:16}{letter['start']:6.2f}s{letter['end']:6.2f}s   {letter['confidence']:.2f}")
    try:
        clip = reader.processor.feature_extractor.read(str(out / "letters.npz"))
        hands = clip.tracks["hands"].reshape(-1, 2, 21, 3)
        hand = hands[:, int(hands[:, 1].any())]
        letters = [{**letter, "gloss": letter["letter"]} for letter in result["letters"]]
        path = out / "letters.png"
        plot_hands(hand[..., :2], hand.any(axis=(1, 2)), letters, result["duration"], path, f"{WORD}, finger-spelled")
        print(f"\n{path}: the hand, recognized letters")
    except ImportError as error:
        print(f"\nno figure: {error}")
    print(f"Again: signx-hf recognize {out / 'letters.npz'} --model asl-letters")


def translate(clips: list[DemoClip]) -> None:
    """Print the English sentence of each clip."""
    results = transformers.pipeline("sign-translation", model=model_place("demo-text"))([str(c.video) for c in clips])
    print("\nclip                    confidence   translated (meant, where they differ)")
    for result, clip in zip(results, clips):
        meant = "" if result["text"] == clip.text else f"  ({clip.text})"
        print(f"{clip.video.stem:24}{result['confidence']:10.2f}   {result['text']}{meant}")


def main() -> int:
    from signx_hf.metrics import wer

    options = parse_arguments()
    transformers.logging.disable_progress_bar()
    options.out.mkdir(parents=True, exist_ok=True)
    clips = demo_clips()
    start = time.perf_counter()
    recognizer = transformers.pipeline("sign-recognition", model=str(MODEL))
    results = recognizer([str(clip.video) for clip in clips])
    seconds = time.perf_counter() - start

    print(f"{clips[0].video.name}: an invented language, a signer and a sentence that were not in training\n")
    show(results[0], clips[0])
    draw(results[0], clips[0], options.out / "alignment.png")
    for source in (
        clips[0].video,
        MODEL,
    ):  # to play with: `signx-hf recognize demo_out/clip.mp4 --model demo_out/model`
        target = options.out / ("clip.mp4" if source.is_file() else "model")
        shutil.rmtree(target, ignore_errors=True)
        (shutil.copyfile if source.is_file() else shutil.copytree)(source, target)

    print("\nclip                    signer   WER    recognized (signed, where they differ)")
    rates = [wer([result["glosses"]], [clip.glosses]).rate for result, clip in zip(results, clips)]
    for result, clip, rate in zip(results, clips, rates):
        signed = "" if rate == 0 else f"  ({' '.join(clip.glosses)})"
        print(f"{clip.video.stem:24}{clip.signer:8}{100 * rate:4.0f} %  {result['text']}{signed}")
    good = sum(rate <= 0.2 for rate in rates)
    length = sum(result["duration"] for result in results)
    print(f"\n{good} of {len(clips)} clips have a WER of at most 20 %; {length:.0f} s of video in {seconds:.1f} s")
    print(f"Again: signx-hf recognize {options.out / 'clip.mp4'} --model {options.out / 'model'}")
    translate(clips)
    print(f"Again: signx-hf translate {options.out / 'clip.mp4'} --model demo-text")
    spell(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
