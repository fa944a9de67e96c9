"""Hostile inputs, small as files and huge in memory, each read in this process with its own peak of memory measured.

`python bomb_inputs.py FOLDER [CASE ...]` prints one JSON object a line: case, peak (MiB of the process), error, message.
An address space of `LIMIT` backs the measurement up: a bomb gets a MemoryError and not the machine.
"""

import json
import resource
import struct
import sys
import warnings
import zlib
from pathlib import Path

import av
import numpy as np

LIMIT = 3 << 30  # bytes of address space; torch alone maps more than one
SIDE = 16_000  # pixels


def peak() -> float:
    """Return the peak of resident memory in MiB since the last `forget`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def write_png(path: Path, kind: str, side: int) -> Path:
    """Write a picture of zeros, row by row."""
    color, width = {"palette": (3, 1), "rgba": (6, 4)}[kind]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj()
    data = b"".join([*(packer.compress(bytes(1 + width * side)) for _ in range(side)), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, 0))
    palette = chunk(b"PLTE", bytes(range(48))) if kind == "palette" else b""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + palette + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def person(x: float) -> dict:
    return {"pose_keypoints_2d": [value for i in range(18) for value in (x + i, 100.0 + 3 * i, 1)]}


def read_openpose(path: Path) -> None:
    from signx_hf import SignXPoseFeatureExtractor

    SignXPoseFeatureExtractor(track_dims={"dwpose": 384}, fps=None, normalize=False)(path)


def empty_people(folder: Path) -> None:
    path = folder / "empty.json"
    path.write_text(json.dumps([{"people": [{}] * 800}, {"people": [{}] * 799 + [person(50)]}]))
    read_openpose(path)


def new_person_each_frame(folder: Path) -> None:
    path = folder / "new.json"
    path.write_text(json.dumps([{"people": [person(1000.0 * t + 50)]} for t in range(3000)]))
    read_openpose(path)


def empty_frames(folder: Path) -> None:
    path = folder / "frames.json"
    path.write_text("[" + '{"people":[]},' * 200_000 + json.dumps({"people": [person(50)]}) + "]")
    read_openpose(path)


def gaps_between_poses(folder: Path) -> None:
    from signx_hf import SignXPoseFeatureExtractor

    path = folder / "poses.npz"
    rows = np.random.default_rng(0).standard_normal((3000, 258)).astype(np.float32)
    np.savez(path, mediapipe=rows, timestamps=np.arange(3000) * 9.9)
    SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, normalize=False)(path)


def write_slow_video(path: Path, frames: int = 600, gap: int = 59) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 64
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index % 200, np.uint8), format="rgb24")
            frame.pts = index
            for packet in stream.encode(frame):
                packet.pts = packet.dts = packet.pts * gap * 30
                container.mux(packet)
        for packet in stream.encode():
            packet.pts = packet.dts = packet.pts * gap * 30
            container.mux(packet)
    return path


def gaps_between_frames(folder: Path) -> None:
    from signx_hf import SignXVideoProcessor

    SignXVideoProcessor(size={"height": 224, "width": 224}, fps=30.0)(write_slow_video(folder / "slow.mkv"))


def gaps_between_streamed_frames(folder: Path) -> None:
    from signx_hf import SignXVideoProcessor

    processor = SignXVideoProcessor(size={"height": 224, "width": 224}, fps=30.0)
    for _ in processor.iter_frames(write_slow_video(folder / "slow.mkv")):
        pass


def _picture(folder: Path, kind: str, side: int = SIDE) -> None:
    from signx_hf import SignXVideoProcessor

    frames = folder / f"{kind}-{side}"
    frames.mkdir(exist_ok=True)
    write_png(frames / "1.png", kind, side)
    SignXVideoProcessor(size={"height": 224, "width": 224}, fps=None)(frames)


def palette_picture(folder: Path) -> None:
    _picture(folder, "palette")


def rgba_picture(folder: Path) -> None:
    _picture(folder, "rgba")


def largest_rgba_picture(folder: Path) -> None:
    _picture(folder, "rgba", 8000)


def rgba_file(folder: Path) -> None:
    from signx_hf import SignXVideoProcessor

    path = write_png(folder / "one.png", "rgba", SIDE)
    SignXVideoProcessor(size={"height": 224, "width": 224}, fps=None)(path)


def pil_picture(folder: Path) -> None:
    from PIL import Image

    from signx_hf import SignXVideoProcessor

    SignXVideoProcessor(size={"height": 224, "width": 224}, fps=None)([Image.new("P", (SIDE, SIDE))])


def _own_generation_config(folder: Path, **values) -> None:
    import torch
    from make_model import make_model

    model = make_model("SignXForGlossRecognition")
    config = model.generation_config
    for name, value in values.items():
        setattr(config, name, value)
    model.generate(pose_values=torch.zeros(1, 8, 16), pose_mask=torch.ones(1, 8, 3, dtype=torch.bool))


def own_beams(folder: Path) -> None:
    _own_generation_config(folder, num_beams=1024, max_new_tokens=1_000_000)


def own_sequences(folder: Path) -> None:
    _own_generation_config(folder, do_sample=True, num_return_sequences=1_000_000, max_new_tokens=1000)


def own_config_of_a_pipeline(folder: Path) -> None:
    from make_model import make_poses, save_folder
    from transformers import pipeline

    save_folder(folder / "model")
    path = folder / "model" / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_beams": 2_000_000}))
    pipeline("sign-recognition", model=str(folder / "model"))(make_poses(8))


def _config(folder: Path, text: str) -> None:
    from signx_hf.training.arguments import read_yaml

    path = folder / "config.yaml"
    path.write_text(text)
    read_yaml(path)


def yaml_aliases(folder: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    _config(folder, "\n".join(lines))


def yaml_merges(folder: Path) -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(9)) + "}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 9)]
    _config(folder, "\n".join(lines))


def card_aliases(folder: Path) -> None:
    from signx_hf.hub.about import read_about

    path = folder / "about.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    path.write_text("\n".join([*lines, "limits: *a8"]))
    read_about(path)


def packed_zeros(folder: Path) -> None:
    import zipfile

    from signx_hf import SignXPoseFeatureExtractor

    path = folder / "zeros.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("mediapipe.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1_500_000, 258)})
        for _ in range(1500):
            file.write(bytes(1000 * 258 * 4))
    SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, normalize=False)(path)


# Name -> what reads the input, and a part of its answer; None where it can be read.
CASES = {
    "empty people": (empty_people, None),
    "a new person in each frame": (new_person_each_frame, None),
    "frames without people": (empty_frames, "200,001 frames would need"),
    "gaps between poses": (gaps_between_poses, "would make 890,704 frames"),
    "gaps between frames": (gaps_between_frames, "mostly copies"),
    "gaps between streamed frames": (gaps_between_streamed_frames, "mostly copies"),
    "palette picture": (palette_picture, "16000x16000 = 256,000,000"),
    "RGBA picture": (rgba_picture, "16000x16000 = 256,000,000"),
    "largest RGBA picture": (largest_rgba_picture, None),
    "RGBA file": (rgba_file, "16000x16000 = 256,000,000"),
    "PIL picture": (pil_picture, "16000x16000 = 256,000,000"),
    "beams x length of the model's own config": (own_beams, "1 x 1,024 x 1,000,002"),
    "sequences of the model's own config": (own_sequences, "1 x 1,000,000 x 1,002"),
    "beams of the model's own config in a pipeline": (own_config_of_a_pipeline, "`num_beams` must be an integer from 1 to 1024, got 2000000"),
    "YAML aliases": (yaml_aliases, "more than 100,000 values"),
    "YAML merges": (yaml_merges, "more than 100,000 values"),
    "YAML aliases of a card": (card_aliases, "more than 100,000 values"),
    "packed zeros": (packed_zeros, "at most 1.0 GiB"),
}  # fmt: skip


def main() -> None:
    import signx_hf  # noqa: F401

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        error = None
        forget()
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        try:
            CASES[name][0](folder)
        except Exception as raised:
            error = raised
        seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
        answer = {"case": name, "peak": round(peak()), "error": type(error).__name__, "message": str(error)}
        print(json.dumps({**answer, "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
