"""Whether the frame encoders of the presets leave Python: torch.export, and ONNX with onnxruntime, next to PyTorch.

    pip install "signx_hf[export]" onnxscript
    python benchmarks/export_frame_encoder.py

Prints a table and writes results/export_frame_encoder.json: the largest difference of the features of frames that the
export never saw, in another number than it saw, and CPU time a frame in one thread. Weights are random.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries below load, so before their imports

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import RESULTS, commit, hardware, load_average, versions, write_json

from signx_hf import SignXConfig
from signx_hf.modeling.recognizer_signx import SignXFrameEncoder

try:
    import onnx  # noqa: F401  torch.onnx writes with it
    import onnxruntime
    import onnxscript  # noqa: F401  and translates with this
except ImportError as error:
    raise SystemExit(
        f"{error.name} is not installed. Install the extra 'export': pip install 'signx_hf[export]' onnxscript"
    ) from None

SEED = 0
TRACED_FRAMES, FRAMES = 3, 8
ENCODERS = (("tiny", "vision_config"), ("small", "vision_config"), ("base", "vision_config"), ("base", "frame_branch"))


def alternate(functions: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median CPU milliseconds a frame of each, called in turns so that a busy machine is unfair to none."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: 1e3 * statistics.median(values) / FRAMES for name, values in times.items()}


def measure(preset: str, part: str, folder: Path, repeats: int) -> dict:
    """Exports one encoder and compares it."""
    torch.manual_seed(SEED)
    config = getattr(SignXConfig, preset)()
    backbone, size = getattr(config, part), config.image_size
    encoder = SignXFrameEncoder(backbone, size).eval()
    traced, frames = torch.randn(TRACED_FRAMES, 3, size, size), torch.randn(FRAMES, 3, size, size)
    file = folder / "encoder.onnx"
    with torch.no_grad():
        program = torch.export.export(encoder, (traced,), dynamic_shapes=({0: torch.export.Dim("frames")},))
        torch.onnx.export(program, f=str(file), verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: frames.numpy()}
        exported = program.module()
        expected = encoder(frames)
        found = torch.from_numpy(session.run(None, feed)[0])
        milliseconds = alternate(
            {"pytorch": lambda: encoder(frames), "onnxruntime": lambda: session.run(None, feed)}, repeats
        )
        return {
            "preset": preset,
            "part": part,
            "backbone": backbone.model_type,
            "image_size": size,
            "largest_feature": expected.abs().max().item(),
            "export_difference": (exported(frames) - expected).abs().max().item(),
            "onnx_difference": (found - expected).abs().max().item(),
            "cpu_ms_per_frame": milliseconds,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of 8 frames (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "export_frame_encoder.json", help="default: results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    rows, before = [], load_average()
    print(
        f"{'encoder':22}{'largest':>9}{'export diff':>13}{'ONNX diff':>12}{'PyTorch':>12}{'ONNX ms':>10}{'ratio':>7}"
    )
    for preset, part in ENCODERS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(preset, part, Path(folder), options.repeats))
        row, times = rows[-1], rows[-1]["cpu_ms_per_frame"]
        print(
            f"{preset + ' ' + part:22}{row['largest_feature']:9.3g}{row['export_difference']:13.2g}"
            f"{row['onnx_difference']:12.2g}{times['pytorch']:12.2f}{times['onnxruntime']:10.2f}"
            f"{times['pytorch'] / times['onnxruntime']:7.2f}",
            flush=True,
        )
    content = {
        "note": "random weights; differences on frames, and a number of frames, that the export did not see",
        "hardware": hardware(threads=1),
        "load_average": {"before": before, "after": load_average()},
        "versions": versions("torch", "transformers", "onnx", "onnxscript", "onnxruntime"),
        "command": f"python benchmarks/export_frame_encoder.py --repeats {options.repeats}",
        "seed": SEED,
        "commit": commit(),
        "rows": rows,
    }
    write_json(options.out, content)


if __name__ == "__main__":
    main()
