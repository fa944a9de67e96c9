"""500 damaged inputs of recognition: no crash, no hang, every error one typed line.

    python tests/stress/recognize_fuzz.py [--inputs 100] [--kinds video pose eaf arpa config]

Of each kind 100 files, made from good ones with fixed seeds: videos, pose files, annotations of ELAN, language models, configs of a
model and its processor. Each goes through what a user would call, in a process of its own that is watched: one that dies is a
crash, one that needs more than 10 s of processor time, or 120 s of the clock (the machine may be shared), is a hang. Typed is a
SignXError, or a plain ValueError or OSError, with one line of message; anything else that comes from deep inside (a KeyError, an
error of FFmpeg, a UnicodeDecodeError, ...) is untyped. Writes benchmarks/results/recognize_fuzz.json.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")

import argparse
import contextlib
import copy
import gzip
import io
import json
import math
import multiprocessing
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import common

sys.path.append(str(common.ROOT / "tests"))

SEED = 0
LIMIT = 10.0  # seconds of processor time an input
PATIENCE = 120.0  # seconds of the clock an input: what waits for something uses no processor time
START_LIMIT = 900.0  # seconds until a process has imported everything
MEMORY = 8 * 2**30  # bytes of address space a process may take: a header that lies must not fill the machine
MESSAGE_LIMIT = 1000  # characters
KINDS = ("video", "pose", "eaf", "arpa", "config")
PLAIN = (ValueError, OSError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
GLOSSES = ("IX-1p", "NOT-YET", "ns-fs-JOHN", "WETTER", "天气")
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
BOXES = rb"ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|hdlr|minf|stbl|stsd|avc1|avcC|mp4v|esds|stts|stsc|stsz|stco|stss|ctts|elst|mdat"
VALUES = (
    None, True, -1, 0, 1, 3, 2**31, 2**63, 10**400, 0.5, 1e-320, 1e308, math.nan, math.inf, -math.inf, "", "x", "mean", "a\nb",
    "../../x", [], [1, 2], [None], {}, {"x": 1}, [[["x"]]],
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- good files


def make_base(folder: Path) -> None:
    """A model of random weights that reads videos, MediaPipe and DWPose, and good files of every kind."""
    import numpy as np
    import torch
    from make_model import FPS, make_model, make_tokenizer

    from signx_hf import SignXProcessor

    torch.set_num_threads(1)
    tracks = {"mediapipe": 258, "dwpose": 384}
    model = make_model("SignXForGlossRecognition", pose_config={"track_dims": tracks})
    model.save_pretrained(folder / "model")
    SignXProcessor.from_config(model.config, make_tokenizer()).save_pretrained(folder / "model")
    for name in ("video", "pose", "eaf", "arpa"):
        (folder / name).mkdir()
    _videos(folder / "video")
    _poses(folder / "pose", np.random.default_rng(SEED), FPS)
    _annotations(folder / "eaf")
    _language_models(folder / "arpa")


def _videos(folder: Path) -> None:
    import av
    import numpy as np
    from make_model import make_frames

    clips = common.ROOT / "signx_hf" / "assets" / "demo" / "clips"
    for path in sorted(clips.glob("*.mp4"), key=lambda path: path.stat().st_size)[:2]:
        shutil.copy(path, folder / path.name)
    for name, codec, shape, pixels in (
        ("small.mp4", "mpeg4", (24, 40, 56), "yuv420p"), ("odd.mkv", "ffv1", (9, 41, 57), "bgr0"),
        ("one_frame.mp4", "mpeg4", (1, 40, 56), "yuv420p"), ("wide.mkv", "ffv1", (3, 2, 3000), "bgr0"),
        ("pixel.mkv", "ffv1", (4, 1, 1), "bgr0"), ("small.avi", "mjpeg", (8, 40, 56), "yuvj420p"),
    ):  # fmt: skip
        frames = make_frames(shape[0])
        frames = np.resize(frames, (*shape, 3))
        with av.open(str(folder / name), "w") as out:
            stream = out.add_stream(codec, rate=15)
            stream.height, stream.width, stream.pix_fmt = *shape[1:], pixels
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
    with av.open(str(folder / "audio.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


def _poses(folder: Path, draw: Any, fps: float) -> None:
    import numpy as np
    from numpy import ma
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
    from pose_format.utils.holistic import holistic_components

    def rows(frames: int) -> dict[str, Any]:
        points = {"mediapipe": 258, "dwpose": 384}
        return {
            name: draw.uniform(0.1, 1, (frames, size)).cumsum(0).astype(np.float32) for name, size in points.items()
        }

    clip = rows(20)
    extra = {"fps": fps, "mediapipe_mask": np.arange(20) % 7 > 0, "timestamps": np.arange(20) / fps}
    np.savez(folder / "full.npz", **clip, **extra, notes=json.dumps({"mediapipe.units": "pixels"}))
    np.savez_compressed(folder / "packed.npz", **clip, fps=fps)
    np.savez(folder / "long.npz", **rows(700), fps=fps)
    np.savez_compressed(folder / "long_packed.npz", **rows(300), timestamps=np.arange(300) / fps)
    np.save(folder / "all.npy", np.concatenate(list(clip.values()), axis=1))
    np.save(folder / "single.npy", clip["mediapipe"])
    components = holistic_components()
    header = PoseHeader(0.2, PoseHeaderDimensions(width=300, height=200), components)
    points = sum(len(component.points) for component in components)
    data, sure = draw.uniform(0, 200, (6, 1, points, 3)), draw.uniform(0, 1, (6, 1, points))
    with open(folder / "holistic.pose", "wb") as file:
        Pose(header, NumPyPoseBody(fps, ma.masked_array(data, np.zeros(data.shape, bool)), sure)).write(file)
    people = [{"pose_keypoints_2d": draw.uniform(0, 200, 54).round(2).tolist()} for _ in range(2)]
    frames = folder / "frames"
    frames.mkdir()
    for number in range(5):
        (frames / f"c_{number:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))


def _annotations(folder: Path) -> None:
    from signx_hf.writers import WRITERS

    segments = [
        {"gloss": gloss, "start": number * 0.5, "end": number * 0.5 + 0.4, "confidence": 0.9 - number / 10}
        for number, gloss in enumerate(GLOSSES)
    ]
    result = {"glosses": list(GLOSSES), "text": " ".join(GLOSSES), "segments": segments, "duration": 3.0, "n_best": []}
    (folder / "plain.eaf").write_text(
        WRITERS["eaf"].render(result, "clip.mp4", folder / "plain.eaf"), encoding="utf-8"
    )
    result["translation"] = "I have not met John yet."
    (folder / "translated.eaf").write_text(
        WRITERS["eaf"].render(result, "poses.npz", folder / "translated.eaf"), encoding="utf-8"
    )


def _language_models(folder: Path) -> None:
    from signx_hf import NGramModel

    draw = random.Random(SEED)
    sentences = [draw.choices(GLOSSES, k=draw.randint(1, 6)) for _ in range(12)]
    for order in (1, 2, 3):
        NGramModel.train(sentences, order).write(folder / f"order{order}.arpa")
    NGramModel.train(sentences, 2, "witten_bell").write(folder / "packed.arpa.gz")


# -------------------------------------------------------------------------------------------------------------- damage


def damage_bytes(content: bytes, draw: random.Random, head: int | None = None) -> bytes:
    """Bytes changed, cut, lost, doubled or zeroed; head: how many bytes from the start are meant, where not all."""
    data = bytearray(content)
    if not data:
        return bytes(data)
    most = min(len(data), head or len(data))
    place, length = draw.randrange(most), draw.choice((1, 2, 4, 16, 200, 5000))
    way = draw.randrange(8)
    if way == 0:
        for _ in range(draw.choice((1, 3, 30, 300))):
            data[draw.randrange(most)] = draw.randrange(256)
    elif way == 1:
        for _ in range(draw.choice((1, 8))):
            data[draw.randrange(most)] ^= 1 << draw.randrange(8)
    elif way == 2:
        del data[place:]
    elif way == 3:
        del data[place : place + length]
    elif way == 4:
        data[place:place] = data[place : place + length]
    elif way == 5:
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif way == 6:
        data[place : place + 4] = draw.choice(NUMBERS).to_bytes(4, draw.choice(("big", "little")))
    else:
        data[place:place] = draw.randbytes(length)
    return bytes(data)


def damage_boxes(content: bytes, draw: random.Random) -> bytes:
    """A box of an mp4 with another size, another name, or other numbers in it."""
    data = bytearray(content)
    boxes = [found.start() for found in re.finditer(BOXES, content)]
    if not boxes:
        return damage_bytes(content, draw, 200)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, way = draw.choice(boxes), draw.randrange(4)
        number = draw.choice((*NUMBERS, draw.getrandbits(32))).to_bytes(4, "big")
        if way == 0:
            data[place - 4 : place] = number
        elif way == 1:
            data[place : place + 4] = draw.choice((b"free", b"moov", b"trak", b"mdat", draw.randbytes(4)))
        else:
            start = place + 4 + 4 * draw.randrange(24)
            data[start : start + 4] = number[: len(data[start : start + 4])]
    return bytes(data)


def damage_text(content: str, draw: random.Random) -> str:
    """Lines lost, doubled or exchanged, numbers and quoted words replaced, tags lost."""
    way = draw.randrange(7)
    lines = content.splitlines(keepends=True)
    one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
    if way == 0:
        del lines[one : one + draw.choice((1, 1, 5))]
    elif way == 1:
        lines[one:one] = lines[two : two + draw.choice((1, 1, 5))]
    elif way == 2:
        lines[one], lines[two] = lines[two], lines[one]
    else:
        pattern = (r"-?\d+(\.\d+)?", r'"[^"]*"', r"[A-Z_]{4,}", r"<[^<>]*>")[way - 3]
        found = list(re.finditer(pattern, content))
        for match in sorted(draw.sample(found, min(len(found), draw.choice((1, 1, 3)))), key=lambda m: -m.start()):
            new = draw.choice(
                (
                    "",
                    "-1",
                    "0",
                    "nan",
                    "inf",
                    "1e999",
                    "-5e400",
                    "9" * 30,
                    "x",
                    "\u0663",
                    "\ufffe",
                    "</s>",
                    "  ",
                    "ts1",
                    "&#0;",
                    "a1",
                )
            )
            quoted = f'"{new}"' if match.group().startswith('"') else new
            content = content[: match.start()] + quoted + content[match.end() :]
        return content
    return "".join(lines)


def damage_json(tree: Any, draw: random.Random) -> None:
    """One entry anywhere in it with another value, another name, or gone; in place."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)) and node[key]:
                collect(node[key])

    collect(tree)
    node, key = draw.choice(places)
    way = draw.randrange(8)
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[draw.choice((f"{key}s", key[:-1], "", "model_type", "x y"))] = node.pop(key)
    elif way == 2:
        other, name = draw.choice(places)
        with contextlib.suppress(LookupError):  # what was in the part just lost
            node[key] = json.loads(json.dumps(other[name]))
    else:
        node[key] = draw.choice(VALUES)


def _video(base: Path, out: Path, draw: random.Random) -> Path:
    source = draw.choice(sorted((base / "video").iterdir()))
    content, way = source.read_bytes(), draw.randrange(10)
    name = f"clip{source.suffix}"
    if way < 4:
        content = damage_boxes(content, draw) if source.suffix == ".mp4" else damage_bytes(content, draw, 600)
    elif way < 7:
        content = damage_bytes(content, draw)
    elif way == 7:  # another kind of file under the name of a video, or a video under another name
        other = draw.choice(sorted(path for path in base.glob("*/*.*") if path.parent.name != "video"))
        content = other.read_bytes()
    elif way == 8:
        name = "clip" + draw.choice(
            (".npz", ".npy", ".pose", ".json", ".png", ".txt", ".wav", ".gif", "", ".m3u8", ".pkl")
        )
    else:
        content = draw.choice(
            (b"", b"\0", bytes(4096), draw.randbytes(3000), content[:8], b"#EXTM3U\n/etc/hostname\n", content * 2)
        )
    return _write(out / name, content)


def _pose(base: Path, out: Path, draw: random.Random) -> Path:
    source = draw.choice(sorted((base / "pose").iterdir()))
    way = draw.randrange(8)
    if source.is_dir():
        shutil.copytree(source, out / "frames")
        path = draw.choice(sorted((out / "frames").iterdir()))
        if way < 5:
            tree = json.loads(path.read_bytes())
            damage_json(tree, draw)
            path.write_text(json.dumps(tree))
        else:
            path.write_bytes(damage_bytes(path.read_bytes(), draw))
        return out / "frames"
    content = source.read_bytes()
    if way < 5 and source.suffix == ".npz":
        return (_rebuilt if way < 3 else _repacked)(source, out / source.name, draw)
    if way < 5:
        header = {".pose": 400, ".npy": 128}.get(source.suffix, 300)
        if source.suffix == ".npz":  # its members are listed at its end
            content = content[:-400] + damage_bytes(content[-400:], draw)
        else:
            content = damage_bytes(content, draw, header)
    elif way < 7:
        content = damage_bytes(content, draw)
    else:
        other = draw.choice(sorted(path for path in base.glob("*/*.*") if path.suffix != source.suffix))
        content = draw.choice((b"", bytes(500), draw.randbytes(500), other.read_bytes(), content * 2))
    return _write(out / source.name, content)


def _rebuilt(source: Path, path: Path, draw: random.Random) -> Path:
    """A whole `.npz` whose arrays are not what they should be."""
    import numpy as np

    with np.load(source) as content:
        arrays = {name: content[name] for name in content.files}
    name = draw.choice(sorted(arrays))
    array = arrays[name]
    wrong: list[Callable[[], Any]] = [
        lambda: array.astype(draw.choice(("int8", "float16", "complex64", "bool", "U5", "S3", "M8[s]", "f4,i2"))),
        lambda: array[:0] if array.ndim else np.zeros(0),
        lambda: array[:1] if array.ndim else array[None],
        lambda: array[None],
        lambda: (
            array.T
            if array.ndim > 1
            else np.array(draw.choice((0.0, -1.0, np.nan, np.inf, 1e300, "x", 1e-300, 2**60)))
        ),
        lambda: np.asfortranarray(array),
        lambda: array[..., : max(1, array.shape[-1] // 2)] if array.ndim else np.array("text"),
        lambda: np.full(array.shape, draw.choice((np.nan, np.inf, 1e39, -1e300, 0.0, 1e-310))),
        lambda: np.full((2**20, 0), 1.0),
        lambda: np.array(draw.choice(('{"a": 1}', "[" * 5000, "\ud800".encode("utf-8", "surrogatepass").hex(), ""))),
    ]
    arrays[name] = draw.choice(wrong)()
    if draw.random() < 0.2:
        arrays[draw.choice(("other", "masks", "fps", "frame_size", "notes", "timestamps", "face", "../x"))] = (
            arrays.pop(name)
        )
    np.savez(path, **arrays)
    return path


def _repacked(source: Path, path: Path, draw: random.Random) -> Path:
    """A whole archive, one of whose members is damaged: what reads the zip file sees nothing of it."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(sorted(members))
    members[name] = damage_bytes(members[name], draw, 128)
    with zipfile.ZipFile(path, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def damage_tree(content: bytes, draw: random.Random) -> bytes:
    """Well-formed XML with elements lost, doubled or moved, attributes lost or with other values."""
    root = ElementTree.fromstring(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        parents = [node for node in root.iter() if len(node)]
        parent, node, way = draw.choice(parents), draw.choice(list(root.iter())), draw.randrange(7)
        child = draw.choice(list(parent))
        if way == 0:
            parent.remove(child)
        elif way == 1:
            draw.choice(parents).append(copy.deepcopy(child))
        elif way == 2:
            node.text = draw.choice((None, "", "a b", "\u200f", "0.5", "nan", "-3", "9" * 400))
        elif node.attrib:
            name = draw.choice(sorted(node.attrib))
            if way == 3:
                del node.attrib[name]
            else:
                values = sorted({value for other in root.iter() for value in other.attrib.values()})
                odd = (
                    "",
                    "-1",
                    "0",
                    "nan",
                    "1e5",
                    "1.5",
                    "9" * 30,
                    "9" * 5000,
                    "x",
                    "\u0663",
                    "ts1",
                    "a1",
                    "gloss",
                    " 7 ",
                )
                node.attrib[name] = draw.choice((*odd, *draw.choices(values, k=8)))
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _annotation(base: Path, out: Path, draw: random.Random) -> Path:
    source = draw.choice(sorted((base / "eaf").iterdir()))
    content, way = source.read_bytes(), draw.randrange(10)
    if way < 6:
        content = damage_tree(content, draw)
    elif way < 8:
        content = damage_text(content.decode(), draw).encode("utf-8", "surrogatepass")
    elif way < 9:
        content = damage_bytes(content, draw)
    else:
        entity = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
        text = content.decode()
        content = draw.choice((
            b"", b"<a/>", b"<a>" * 20000, text.encode("utf-16"), text.replace("UTF-8", "utf-7").encode(), b"{}",
            text.replace("?>", f"?>{entity}", 1).encode("utf-16"), text.replace("gloss", "&b;").replace("?>", f"?>{entity}", 1).encode(),
            text.replace("UTF-8", "x-none").encode(), bytes(300),
        ))  # fmt: skip
    return _write(out / "clip.eaf", content)


def _language_model(base: Path, out: Path, draw: random.Random) -> Path:
    source = draw.choice(sorted((base / "arpa").iterdir()))
    content, way = source.read_bytes(), draw.randrange(10)
    packed = source.suffix == ".gz"
    if packed and way > 3:
        return _write(out / source.name, damage_bytes(content, draw))
    text = gzip.decompress(content).decode() if packed else content.decode()
    if way < 6:
        content = damage_text(text, draw).encode("utf-8", "surrogatepass")
    elif way < 8:
        content = damage_bytes(text.encode(), draw)
    else:
        content = draw.choice((
            b"", b"\\data\\", text.encode("utf-16"), text.encode("utf-8-sig"), b"mmap lm http://kheafield.com/code format version 5\n",
            b"\\data\\\nngram 1=999999999999999\n\n\\1-grams:\n-1\tA\n", text.replace("\n", "\r\n").encode(), b"\x1f\x8b",
            text.replace("\t", " ").encode(), text.replace("\n", "").encode(), b"\0" * 100_000, text.replace("</s>", "</S>").encode(),
        ))  # fmt: skip
    return _write(out / source.name, gzip.compress(content) if packed else content)


def _config(base: Path, out: Path, draw: random.Random) -> Path:
    folder = out / "model"
    shutil.copytree(base / "model", folder)
    names = ("config.json",) * 3 + ("processor_config.json",) * 2 + ("generation_config.json",)
    path = folder / draw.choice(names)
    content, way = path.read_bytes(), draw.randrange(10)
    if way < 8:
        tree = json.loads(content)
        for _ in range(draw.choice((1, 1, 1, 4))):
            damage_json(tree, draw)
        content = json.dumps(tree).encode("utf-8", "surrogatepass")
    elif way == 8:
        content = damage_bytes(content, draw)
    else:
        content = draw.choice(
            (b"", b"[]", b"null", b"{}", b'{"a":' * 50_000, b"\xff\xfe{\0}\0", b"3", b'"x"', b'{"model_type": "bert"}')
        )
    return _write(path, content)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


MAKERS = {"video": _video, "pose": _pose, "eaf": _annotation, "arpa": _language_model, "config": _config}


def make_input(kind: str, number: int, base: Path, out: Path) -> Path:
    """The damaged input of that number, always the same."""
    return MAKERS[kind](base, out, random.Random(f"{SEED} {kind} {number}"))


# ----------------------------------------------------------------------------------------------------------------- use


class Users:
    """Calls on the damaged files as users make them. base: folder of the good ones."""

    def __init__(self, base: Path):
        import torch
        from make_model import make_frames
        from transformers import logging, pipeline

        import signx_hf  # noqa: F401  registers the tasks

        torch.set_num_threads(1)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.base, self.frames = base, make_frames(8)
        self.recognizer = pipeline("sign-recognition", model=str(base / "model"), device="cpu")

    def use(self, kind: str, number: int, path: Path) -> None:
        """Does with a file what it is for; what is wrong with it comes as an exception."""
        {"eaf": self._annotation, "arpa": self._language_model, "config": self._config}.get(kind, self._clip)(
            path, number
        )

    def _clip(self, path: Path, number: int) -> None:
        options = {"decoder": "ctc"} if number % 4 else {"decoder": "attention", "max_new_tokens": 6, "num_beams": 2}
        if number % 2:
            options["chunk_length_s"] = 4
        check_result(self.recognizer(str(path), **options))

    def _annotation(self, path: Path, number: int) -> None:
        from signx_hf.writers import WRITERS, read_eaf

        found = read_eaf(path)
        check_segments(found["segments"])
        for name in ("tsv", "srt", "vtt", "ctm"):  # what is read can be written
            WRITERS[name].render({**found, "duration": 9.0, "n_best": []}, "clip.mp4", None)

    def _language_model(self, path: Path, number: int) -> None:
        from signx_hf import NGramModel
        from signx_hf.cli import main

        text = path.parent / "text"
        text.write_text("\n".join(" ".join(random.Random(seed).choices([*GLOSSES, "NEW"], k=4)) for seed in range(3)))
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(["lm", "score", str(path), "--text", str(text)])
        if code not in (0, 2) or (code == 2) != (len(said.getvalue().splitlines()) == 1):
            raise AssertionError(f"lm score ended with {code} and said {said.getvalue()!r}")
        if number % 3 == 0:
            check_result(self.recognizer(self.frames, decoder="ctc", lm=str(path)))
        score = NGramModel.read(path).score(GLOSSES)
        if not -math.inf < score <= 1e-3:
            raise AssertionError(f"a sentence of log-probability {score}")

    def _config(self, path: Path, number: int) -> None:
        from signx_hf.recognition.loading import load_pipeline

        recognizer = load_pipeline(str(path.parent), "cpu")
        check_result(recognizer(self.frames, max_new_tokens=6))
        check_result(recognizer(str(self.base / "pose" / "packed.npz"), decoder="ctc"))


def check_result(result: dict) -> None:
    """A result that is none would pass for one.

    Raises:
        AssertionError: times that are no times, confidences outside of 0 to 1.
    """
    assert 0 < result["duration"] < 1e6, f"duration {result['duration']}"
    assert all(math.isfinite(item["score"]) for item in result["n_best"]), "a score that is not finite"
    check_segments(result["segments"])


def check_segments(segments: list[dict]) -> None:
    """As `check_result`, of the segments."""
    for segment in segments:
        assert 0 <= segment["start"] <= segment["end"] < math.inf, f"times {segment['start']} to {segment['end']}"
        assert segment["confidence"] is None or 0 <= segment["confidence"] <= 1, f"confidence {segment['confidence']}"


def judged(error: BaseException) -> str:
    """`typed` or `untyped`."""
    from signx_hf import SignXError

    message = str(error)
    is_ours = isinstance(error, SignXError) or type(error) in PLAIN
    is_line = 0 < len(message) <= MESSAGE_LIMIT and len(message.splitlines()) == 1
    return "typed" if is_ours and is_line else "untyped"


def try_input(users: Any, kind: str, number: int) -> dict[str, Any]:
    """One input from its making to what came of it."""
    with tempfile.TemporaryDirectory() as place:
        path = make_input(kind, number, users.base, Path(place).resolve())
        began, used = time.monotonic(), time.process_time()
        found: dict[str, Any] = {"outcome": "result"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                users.use(kind, number, path)
            except Exception as error:
                found = {
                    "outcome": judged(error),
                    "error": type(error).__name__,
                    "message": str(error)[:600].replace(place, ""),
                }
        return found | {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - used}


# ------------------------------------------------------------------------------------------------------------ watching


def _serve(make: Callable[[], Callable], pipe: Any) -> None:
    """A process that answers one question after the other."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with open(os.devnull, "w") as nowhere:  # FFmpeg writes there, past Python
        os.dup2(nowhere.fileno(), 2)
    answer = make()
    pipe.send("ready")
    while True:
        pipe.send(answer(*pipe.recv()))


class Watched:
    """Questions to a process that may die or hang. make: a picklable that makes what answers, in the process. limit: seconds of
    processor time for an answer; patience: of the clock, where the process may be waiting for its turn."""

    def __init__(self, make: Callable[[], Callable], limit: float = LIMIT, patience: float = PATIENCE):
        self.make, self.limit, self.patience, self.process = make, limit, patience, None
        self.context = multiprocessing.get_context("spawn")

    def ask(self, *question: Any) -> dict[str, Any]:
        """The answer, or `{"outcome": "crash" | "hang"}`."""
        self._start()
        began, used = time.monotonic(), self._used()
        try:
            self.pipe.send(question)
            wait = self.limit
            while not self.pipe.poll(wait):
                spent = None if used is None else self._used() - used
                if spent is None or spent >= self.limit or time.monotonic() - began >= self.patience:
                    self.close()
                    return {"outcome": "hang"}
                wait = max(0.1, min(1.0, self.limit - spent))
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code, self.process = self.process.exitcode, None
            return {"outcome": "crash", "exit_code": code}

    def _used(self) -> float | None:
        """Seconds of processor time of the process so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _start(self) -> None:
        if self.process is not None:
            return
        self.pipe, theirs = self.context.Pipe()
        self.process = self.context.Process(target=_serve, args=(self.make, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(START_LIMIT) or self.pipe.recv() != "ready":
            raise SystemExit("a process of the study did not start")

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.join()
            self.process = None


class Answers:
    """Makes what answers in the process."""

    def __init__(self, base: Path):
        self.base = base

    def __call__(self) -> Callable:
        users = Users(self.base)
        return lambda kind, number: try_input(users, kind, number)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of one kind."""
    outcomes = Counter(item["outcome"] for item in found)
    errors = Counter(item["error"] for item in found if item["outcome"] == "typed")
    return {
        "inputs": len(found),
        **{name: outcomes[name] for name in ("result", "typed", "untyped", "crash", "hang")},
        "types": dict(errors.most_common()),
        "longest_seconds": round(max((item.get("seconds", LIMIT) for item in found), default=0.0), 2),
        "longest_cpu_seconds": round(max((item.get("cpu_seconds", LIMIT) for item in found), default=0.0), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100, help="of each kind; default: 100")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--only", type=int, nargs="+", help="these numbers alone; nothing is recorded")
    parser.add_argument("--show", action="store_true", help="print every outcome")
    options = parser.parse_args()
    began, load = time.monotonic(), common.load_average()
    kinds, bad = {}, []
    with tempfile.TemporaryDirectory() as place:
        base = Path(place).resolve()
        make_base(base)
        watched = Watched(Answers(base))
        for kind in options.kinds:
            found = []
            for number in options.only or range(options.inputs):
                item = {"kind": kind, "number": number, **watched.ask(kind, number)}
                found.append(item)
                if item["outcome"] in ("untyped", "crash", "hang"):
                    bad.append(item)
                if options.show or item["outcome"] in ("untyped", "crash", "hang"):
                    print(json.dumps(item, ensure_ascii=False), flush=True)
            kinds[kind] = summary(found)
            print(kind, kinds[kind], f"{time.monotonic() - began:.0f} s", flush=True)
        watched.close()
    if options.only or options.inputs != 100 or tuple(options.kinds) != KINDS:
        return
    content = {
        "command": " ".join(["python", "tests/stress/recognize_fuzz.py", *sys.argv[1:]]),
        "commit": common.commit(),
        "hardware": common.hardware(1),
        "versions": common.versions("torch", "transformers", "av", "numpy", "pose-format", "pympi-ling"),
        "load_at_start": load,
        "seed": SEED,
        "seconds": round(time.monotonic() - began),
        "limit_seconds": LIMIT,
        "limit_seconds_of_the_clock": PATIENCE,
        "inputs": sum(kind["inputs"] for kind in kinds.values()),
        **{
            name: sum(kind[name] for kind in kinds.values())
            for name in ("result", "typed", "untyped", "crash", "hang")
        },
        "kinds": kinds,
        "bad": [{"kind": item["kind"], "number": item["number"], "outcome": item["outcome"]} for item in bad],
    }
    common.write_json(common.RESULTS / "recognize_fuzz.json", content)


if __name__ == "__main__":
    main()
