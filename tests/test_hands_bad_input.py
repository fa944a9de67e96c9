"""What bad input gets from the shipped models of isolated signs, at each command and both pipelines: the right answer, or one clear line.

A case of `CASES` is a command on files that it makes, the exit code, and what is said. Each case is also checked for what holds of all:
no traceback, one line for what stopped it, nothing half written.
"""

import functools
import json
import os
import re
import shutil
import warnings
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import data_folder
from helpers import said
from made_hands import made_sign
from make_model import make_frames, write_video

from signx_hf import SignXError
from signx_hf.assets import letter_clips, model_place
from signx_hf.cli import main
from signx_hf.recognition import loading

A = letter_clips()["A"]
with np.load(A) as arrays:
    SIGN, NOTES = arrays["hands"].astype(np.float32), str(arrays["notes"])
NOBODY = np.zeros((30, 126))
UNCHECKED = NOBODY.reshape(30, 2, 21, 3)  # a form that is read by the model's processor alone
POINTS = SIGN.reshape(-1, 42, 3)
SEEN = POINTS[..., :2].any(axis=-1, keepdims=True)
PIXELS = POINTS * (500, 500, 500)
BIG = made_sign(4, 0)  # two hands


def moved(points: np.ndarray) -> np.ndarray:
    """Rows `[T, 126]` of points `[T, 42, 3]`, those that were not seen at 0."""
    return np.where(SEEN, points, 0).reshape(-1, 126)


def in_meters() -> np.ndarray:
    """As MediaPipe's world landmarks: each hand around its own middle."""
    hands = POINTS.reshape(-1, 2, 21, 3)
    return moved(((hands - hands.mean(axis=2, keepdims=True)) * 0.2).reshape(-1, 42, 3))


def changed(rows: np.ndarray, value: float, *place) -> np.ndarray:
    rows = rows.copy()
    rows[place] = value
    return rows


@dataclass
class Bench:
    """A folder of its own for the files of a case, which is the working folder."""

    base: Path

    def file(self, name: str, content: bytes | str = b"") -> str:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def npz(self, name: str = "clip.npz", **arrays) -> str:
        """A clip; of the shipped letter's frame rate and notes where nothing else is given, without notes for `notes=None`."""
        arrays = {"fps": 25.0, "notes": NOTES, **arrays}
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return str(path)

    def signs(self, **clips: Sequence) -> str:
        """A folder of signs: name -> rows, bytes of a broken file, or nothing."""
        for sign, parts in clips.items():
            (self.base / "signs" / sign).mkdir(parents=True)
            for index, part in enumerate(parts):
                name = f"signs/{sign}/{index}.npz"
                self.file(name, part) if isinstance(part, bytes) else self.npz(name, hands=part)
        return str(self.base / "signs")

    def openpose(self, *people: dict) -> str:
        """A folder of OpenPose's files; people: of each of five frames."""
        for index in range(5):
            self.file(f"op/a_{index:012d}_keypoints.json", json.dumps({"people": list(people)}))
        return str(self.base / "op")

    def video(self, frames: np.ndarray, fps: int = 15, name: str = "clip.mkv") -> str:
        pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
        return str(write_video(self.base / name, frames, fps))

    def picture(self, frame: np.ndarray, name: str) -> str:
        pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
        image = pytest.importorskip("PIL.Image")
        image.fromarray(frame).save(self.base / name)
        return str(self.base / name)

    def model(self, name: str = "asl-letters", without: str | None = None, cut: str | None = None) -> str:
        """A copy of a shipped model, spoiled."""
        folder = Path(shutil.copytree(model_place(name), self.base / "model"))
        if without:
            (folder / without).unlink()
        if cut:
            (folder / cut).write_bytes((folder / cut).read_bytes()[:9000])
        return str(folder)

    def read(self, name: str) -> str:
        return (self.base / name).read_text()


@functools.cache
def signer() -> np.ndarray:
    """Frames of a real signer with the hands up, [16, 240, 427, 3] uint8."""
    from signx_hf.processing.video_decoding_signx import iter_video, open_video

    path = str(data_folder("wlasl_videos") / "69544.mp4")
    return np.stack([frame[::3, ::3] for _, frame in iter_video(open_video(path), None, None)][18:34])


def person(x: float, size: float) -> dict:
    """One of OpenPose's people with two hands, at a place of the picture."""
    random = np.random.default_rng(7)
    body = np.concatenate([random.uniform(0, size, (25, 2)) + (x, 40), np.full((25, 1), 0.9)], axis=1)
    hands = [np.concatenate([random.uniform(0, size / 4, (21, 2)) + (x, 200), np.full((21, 1), 0.9)], 1) for _ in "lr"]
    names = ("pose_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
    return {name: part.ravel().tolist() for name, part in zip(names, (body, *hands))}


BODY = {"pose_keypoints_2d": [100.0, 100.0, 0.9] * 25}
NO_HANDS = {**BODY, "hand_left_keypoints_2d": [0] * 63, "hand_right_keypoints_2d": [0] * 63}


def audio(b: Bench) -> str:
    with wave.open(str(b.base / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return str(b.base / "a.wav")


def pose_file(b: Bench, share: float) -> str:
    """A `.pose` file of the letter, cut off after a share of its bytes."""
    pose_format = pytest.importorskip("pose_format", reason="the extra poses is not installed")
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    from signx_hf.processing.pose_files_signx import MEDIAPIPE_HAND_NAMES

    names = ("LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS")
    parts = [PoseHeaderComponent(name, MEDIAPIPE_HAND_NAMES, [], [], "XYZC") for name in names]
    points = (POINTS * (500, 500, 1))[:, None].astype(np.float32)
    body = NumPyPoseBody(25, points, SEEN[:, None, :, 0].astype(np.float32))
    with (b.base / "clip.pose").open("wb") as file:
        pose_format.Pose(PoseHeader(0.1, PoseHeaderDimensions(500, 500, 0), parts), body).write(file)
    content = (b.base / "clip.pose").read_bytes()
    return b.file("clip.pose", content[: int(share * len(content))])


def extract_broken(b: Bench) -> list:
    b.file("in/a/b.mp4", "x")
    b.video(make_frames(2), name="in/a/c.mkv")
    return ["extract", b.base / "in", "--tracks", "hands", "--out", "out"]


@dataclass(frozen=True)
class Case:
    """A command on bad input.

    words: of the command, from a `Bench`. code: its exit code. out: a part of standard output, None where any will do. same: words of
    another command whose standard output is the same. says: a part of the line that stopped it, or of the warning where nothing did.
    stops: how many lines say what stopped it; None: one where the code is not 0.
    """

    name: str
    words: Callable[[Bench], list]
    code: int = 0
    out: str | None = None
    same: Callable[[Bench], list] | None = None
    says: str | None = None
    stops: int | None = None


def read(clip: Callable[[Bench], str] | str | Path, *more, model: str | Callable = "asl") -> Callable[[Bench], list]:
    """`recognize` on a clip; always an answer, for what is not sure says little."""
    sure = [] if "--threshold" in more or model != "asl" else ["--threshold", "none"]

    def words(b: Bench) -> list:
        place = model(b) if callable(model) else model
        return ["recognize", clip(b) if callable(clip) else clip, "--model", place, *sure, *given(b, more)]

    return words


def given(b: Bench, words: Sequence) -> list:
    return [word(b) if callable(word) else word for word in words]


def rows(hands, **more) -> Callable[[Bench], str]:
    return lambda b: b.npz(hands=hands, **more)


def live(clip: Callable | str | Path, *more) -> Callable:
    return lambda b: ["live", "--from-file", *given(b, [clip]), "--model", "asl", *more]


def spelled(clip: Callable | str | Path, *more) -> Callable:
    return read(clip, *more, model="asl-letters")


def train(signs: Callable | dict, *more, upstream: str = "asl", out: Callable | str = "out") -> Callable:
    """`train isolated` for two steps on a folder of signs."""
    steps = ["--progress", "false", "--plot", "false", "--max_steps", "2", "--upstream", upstream]

    def words(b: Bench) -> list:
        folder = signs(b) if callable(signs) else b.signs(**signs)
        place = out(b) if callable(out) else out
        return ["train", "isolated", "--dataset", "folder", "--data_dir", folder, "--output_dir", place, *steps, *more]

    return words


def with_folder(before: Sequence, after: Sequence, **signs) -> Callable:
    return lambda b: [*before, b.signs(**signs), *given(b, after)]


def teach(model: str = "asl", **signs) -> Callable:
    return with_folder(["teach"], ["--model", model, "--out", "out"], **signs)


def evaluate(*more, **signs) -> Callable:
    after = ["--split", "train", "--source", "poses", "--rounds", "9", "--out", "out", *more]
    return with_folder(["evaluate", "asl", "folder", "--data-dir"], after, **signs)


def calibrate(*more, **signs) -> Callable:
    after = ["--model", lambda b: b.model("asl"), "--split", "train", "--source", "poses", *more]
    return with_folder(["calibrate", "--dataset", "folder", "--data-dir"], after, **signs)


def check(**signs) -> Callable:
    return with_folder(["data", "check", "folder", "--data-dir"], [], **signs)


def vocabulary(content: bytes | str, name: str = "words.txt") -> Callable:
    return read(A, "--vocabulary", lambda b: b.file(name, content))


def made(number: int, clips: int = 3) -> list[np.ndarray]:
    return [made_sign(number, seed) for seed in range(clips)]


GOOD, SKIP = read(A), ("--loader_options", "{skip_bad: true}")
NO_TRACK, UNITS = (
    "at least one track must be observed in the clip",
    "must be fractions of the picture (0 to 1) or pixels, from its top left",
)
BOTH = {"one": made(1), "two": made(2)}

CASES = [
    # Hands that are there in part, or not at all.
    Case("nobody", read(rows(NOBODY)), 1, says=NO_TRACK),
    Case("nobody-nan", read(rows(NOBODY * np.nan)), 1, says=NO_TRACK),
    Case("nobody-spells", spelled(rows(NOBODY)), 1, says="clip.npz: no hand is visible"),
    Case("one-hand", read(rows(changed(BIG, 0, slice(None), slice(63, None))))),
    Case("hand-cut-by-the-border", read(rows(moved(POINTS + (0.5, 0, 0)))), same=GOOD),
    Case("left-handed", read(rows(moved(POINTS * (-1, 1, 1) + (1, 0, 0)))), same=GOOD),
    Case("left-handed-spells", spelled(rows(moved(POINTS * (-1, 1, 1) + (1, 0, 0)))), out="A"),
    Case("five-frames-a-second", read(rows(SIGN[::5], fps=5.0)), same=GOOD),
    Case("three-frames", read(rows(SIGN[:3]))),
    Case("one-frame", read(rows(SIGN[:1]))),
    Case("rows-that-are-nan", read(rows(changed(SIGN, np.nan, slice(4, 6))))),
    Case("one-hour", read(rows(np.tile(made_sign(5, 0), (600, 1)), fps=5.0)), says=" s were read as one sign; clips of one sign each are expected"),
    Case("several-people", read(lambda b: b.openpose(person(20, 100), person(300, 400))), same=read(lambda b: b.openpose(person(300, 400)))),
    # Landmarks of other tools, in other units.
    Case("hands-by-points", read(rows(SIGN.reshape(-1, 2, 21, 3))), same=GOOD),
    Case("pixels", read(rows(moved(PIXELS), notes='{"size": "500x500"}')), same=GOOD),
    Case("pixels-noted-as-fractions", read(rows(moved(PIXELS))), same=GOOD),
    Case("pixels-of-a-picture-unknown", read(rows(moved(PIXELS), notes=None)), says='Add it as a note of the clip: notes={"size"'),
    Case("y-upwards", read(rows(moved(POINTS * (1, -1, 1)), notes=None)), 1, says=UNITS),
    Case("y-upwards-in-pixels", read(rows(moved(PIXELS * (1, -1, 1)), notes=None)), 1, says=UNITS),
    Case("from-the-middle", read(rows(moved(POINTS - (0.5, 0.5, 0)), notes=None)), 1, says=UNITS),
    Case("millimeters", read(rows(moved((POINTS - (0.5, 0.5, 0)) * 900), notes=None)), 1, says=UNITS),
    Case("meters", read(rows(in_meters(), notes=None)), 1, says=UNITS),
    Case("enormous", read(rows(SIGN * 1e30)), 1, says=UNITS),
    # Rows that are none.
    Case("infinite", read(rows(changed(SIGN, np.inf, 3, 5))), 1, says="must be finite, got inf in frame 3 column 5"),
    Case("partly-nan", read(rows(changed(SIGN, np.nan, 9, 70))), 1, says="must be finite, got nan in frame 9 column 70"),
    Case("width-125", read(rows(SIGN[:, :125])), 1, says="[frames, 126], got [21, 125]"),
    Case("text", read(rows(SIGN.astype(str))), 1, says="must hold numbers"),
    Case("objects", read(rows(np.array([None] * 3))), 1, says="got an object array"),
    Case("empty-array", read(rows(SIGN[:0])), 1, says="at least one frame, got 0"),
    Case("without-a-track", read(lambda b: b.npz()), 1, says="at least one of the tracks hands, mediapipe, dwpose"),
    Case("another-track", read(lambda b: b.npz(face=NOBODY)), 1, says="unknown track or key 'face'. ... hands"),
    Case("fps-0", read(rows(SIGN, fps=0.0)), 1, says="the source fps ... got 0.0"),
    Case("fps-0-spells", spelled(rows(SIGN, fps=0.0)), 1, says="the source fps ... got 0.0"),
    Case("fps-negative-spells", spelled(rows(SIGN, fps=-3.0)), 1, says="the source fps ... got -3.0"),
    Case("fps-nan", read(rows(SIGN, fps=np.nan)), 1, says="the source fps ... got nan"),
    Case("fps-text", live(rows(SIGN, fps="fast")), 2, says="the source fps ... got 'fast'"),
    Case("fps-two", live(rows(SIGN, fps=np.array([25.0, 30.0]))), 2, says="the source fps ... got array([25., 30.])"),
    Case("fps-unknown", read(rows(SIGN, fps=None)), says="no frame rate, so 30 fps (the model's)"),
    # Files that are none.
    Case("no-zip", read(lambda b: b.file("a.npz", b"PK no zip" * 30)), 1, says="a.npz: not a .npz file; it starts with b'PK no '"),
    Case("npz-cut-off", read(lambda b: b.file("a.npz", A.read_bytes()[:2000])), 1, says="a.npz: the .npz file is corrupt"),
    Case("pose-cut-off", read(lambda b: pose_file(b, 0.6)), 1, says="clip.pose: "),
    Case("pose-whole", read(lambda b: pose_file(b, 1.0)), same=GOOD),
    Case("openpose-without-hands", read(lambda b: b.openpose(NO_HANDS)), 1, says=NO_TRACK),
    Case("openpose-without-people", read(lambda b: b.openpose()), 1, says="at least one of 5 frames must show a person"),
    Case("missing", read("none.npz"), 1, says="none.npz: no such file"),
    Case("zero-bytes", read(lambda b: b.file("zero.mp4")), 1, says="zero.mp4: an empty file (0 bytes)"),
    Case("sound", read(audio), 1, says="a.wav: cannot be opened as a video"),
    Case("words", read(lambda b: b.file("a.txt", "hello")), 1, says="a.txt: cannot be opened as a video"),
    Case("a-folder", read(lambda b: os.path.dirname(b.file("in/a.txt", "x"))), 1, says="the folder has no frame image"),
    Case(
        "good-ones-among-bad",
        lambda b: ["recognize", os.path.dirname(b.file("in/bad.npz", "x")), b.npz("in/good.npz", hands=SIGN), "none.mp4", "--model", "asl"],
        1, out="good.npz", says="bad.npz: not a .npz file; it starts with b'x'", stops=2,
    ),
    # Options.
    Case("gloss-unknown", vocabulary("book\nbok\n"), 2, says="'bok' is not a sign of the model; the nearest are book"),
    Case("gloss-like-no-other", vocabulary("qqqzzz\n"), 2, says="'qqqzzz' is not a sign of the model; it knows 2000, such as a."),
    Case("vocabulary-empty", vocabulary("\n \n"), 2, says="must have at least one gloss"),
    Case("vocabulary-of-one", vocabulary("book\n"), out="book"),
    Case("vocabulary-twice", vocabulary("\ufeffa\r\nbook\r\na\r\n"), same=vocabulary("a\nbook\n", "other.txt")),
    Case("vocabulary-binary", vocabulary(bytes(range(256))), 2, says="which is not UTF-8"),
    Case("vocabulary-missing", read(A, "--vocabulary", "none.txt"), 2, says="vocabulary 'none.txt': no such file"),
    Case("threshold-above-1", read(A, "--threshold", "1.5"), 2, says="--threshold must be a number from 0 to 1"),
    Case("threshold-nan", read(A, "--threshold", "nan"), 2, says="--threshold must be a number from 0 to 1"),
    Case("threshold-no-number", read(A, "--threshold", "high"), 2, says="--threshold must be a number from 0 to 1"),
    Case("threshold-1", read(A, "--threshold", "1"), out="?\n"),
    Case("top-0", read(A, "--top-k", "0"), 2, says="--top-k"),
    Case("top-of-more-than-there-are", read(A, "--top-k", "99999", "--format", "json"), same=read(A, "--top-k", "2000", "--format", "json")),
    Case("top-no-number", read(A, "--top-k", "x"), 2, says="argument --top-k: invalid int value: 'x'"),
    Case("top-of-letters", spelled(A, "--top-k", "3"), 2, says="`top_k` does not apply to models of letters"),
    # Models.
    Case("model-misspelt", read(A, model="asll"), 2, says="cannot load the model asll: no such model. Did you mean asl?"),
    Case("model-none", lambda b: ["recognize", A], 2, says="--model is required"),
    Case("model-without-weights", read(A, model=lambda b: b.model(without="model.safetensors")), 2, says="no model.safetensors"),
    Case("model-cut-off", read(A, model=lambda b: b.model(cut="model.safetensors")), 2, says="Copy or download it again"),
    Case("model-without-processor", read(A, model=lambda b: b.model(without="processor_config.json")), 2, says="has no processor"),
    # Places to write to.
    Case("out-is-a-file", read(A, "--out", lambda b: b.file("out", "mine")), 2, says="out: cannot be written"),
    Case("out-holds-one-of-that-name", read(A, "--out", lambda b: os.path.dirname(b.file("out/A.txt", "mine"))), 1, says="already exists and was not written by this command"),
    Case("out-of-good-ones-among-bad", lambda b: ["recognize", A, b.npz(hands=NOBODY), "--model", "asl", "--out", "out"], 1, out="2 clips: 1 recognized", says=NO_TRACK),
    # live
    Case("no-camera", lambda b: ["live", "--camera", "99", "--model", "asl"], 2, says="camera 99: "),
    Case("live-missing", live("none.mp4"), 2, says="none.mp4: no such file"),
    Case("live-text", live(lambda b: b.file("a.txt", "hello")), 2, says="a.txt: cannot be opened as a video"),
    Case("live-nobody", live(rows(NOBODY)), out=""),
    Case("live-cut-off", live(lambda b: b.file("a.npz", A.read_bytes()[:2000])), 2, says="a.npz: the .npz file is corrupt"),
    Case("live-infinite-later", live(rows(np.concatenate([SIGN, *[NOBODY] * 9, SIGN + np.inf]))), 1, out="\n", says="must be finite, got inf"),
    Case("live-no-seconds", live(A, "--seconds", "0"), 2, says="--seconds must be a number above 0, got 0"),
    Case("live-letters-nobody", lambda b: ["live", "--from-file", b.npz(hands=NOBODY), "--model", "asl-letters"], out=""),
    # explain
    Case("explain-nobody", lambda b: ["explain", b.npz(hands=NOBODY), "--model", "asl", "--out", "out"], 2, says=NO_TRACK),
    Case("explain-top-0", lambda b: ["explain", A, "--model", "asl", "--top-k", "0", "--out", "out"], 2, says="--top-k"),
    Case("explain-good-and-bad", lambda b: ["explain", A, b.file("a.npz", "x"), "--model", "asl", "--out", "out"], 1, out="A-candidates.png", says="a.npz: not a .npz file; it starts with b'x'"),
    # evaluate, calibrate
    Case("evaluate-broken", evaluate(a=[SIGN], b=[b"broken"]), 1, says="clip b/0: "),
    Case("evaluate-nobody", evaluate(a=[SIGN, NOBODY]), 1, says="clip a/1: clip 0: at least one track must be observed"),
    Case("evaluate-threshold", evaluate("--threshold", "3", a=[SIGN]), 2, says="--threshold must be a number from 0 to 1"),
    Case("evaluate-one-class", evaluate("--threshold", "none", a=[SIGN, SIGN]), out="2 clips, 1 sign"),
    Case("calibrate-broken", calibrate(a=[SIGN], b=[b"broken"]), 2, says="clip b/0: "),
    Case("calibrate-no-sign-of-the-model", calibrate(qqq=[SIGN]), 2, says="at least one clip must show a sign of the vocabulary"),
    Case("calibrate-share", calibrate("--max-wrong", "7", a=[SIGN]), 2, says="`max_wrong` must be a fraction above 0 and at most 1"),
    # train
    Case("train-one-class", train({"one": made(1)}), 2, says="`train` must have clips of at least two signs, got 'one' alone"),
    Case("train-one-clip-a-class", train({"one": made(1, 1), "two": made(2, 1)}), out="2 signs from 2 clips", says="no gloss has enough clips"),
    Case("train-broken", train({"one": [*made(1), b"broken"], "two": made(2)}), 2, says="clip one/3: "),
    Case("train-broken-left-out", train({"one": [*made(1), b"broken"], "two": made(2)}, *SKIP), out="2 signs from 4 clips", says="signs/one/3.npz"),
    Case("train-nobody-left-out", train({"one": [*made(1), UNCHECKED], "two": made(2)}, *SKIP), out="2 signs from", says="clip one/3: at least one track must be observed"),
    Case("train-none-of-a-sign", train({"one": made(1), "two": [UNCHECKED] * 3}, *SKIP), 2, says="got none of two"),
    Case("train-empty-class", train({**BOTH, "three": []}), out="2 signs from 4 clips", says="1 folders hold no video or pose file (three)"),
    Case("train-names", train({"two words": made(1), "天气 ü": made(2)}), out="2 signs from 4 clips"),
    Case("train-empty-folder", train(lambda b: os.path.dirname(b.file("in/.hidden"))), 2, says="no video of folder; looked for"),
    Case("train-no-folder", train(lambda b: "nowhere"), 2, says="nowhere: no such folder"),
    Case("train-out-is-a-file", train(BOTH, out=lambda b: b.file("out", "mine")), 2, says="Cannot write to output_dir"),
    Case("train-out-holds-a-model", train(BOTH, out=lambda b: b.file("out/model/config.json", "mine")[:-18]), 2, says="holds a model"),
    Case("train-upstream-misspelt", train(BOTH, upstream="asll"), 2, says="asll: no such model. Did you mean asl?"),
    Case("train-upstream-of-sentences", train(BOTH, upstream="demo"), 2, says="unknown track or key 'hands'"),
    Case("train-whole-signs-held-out", train(BOTH, "--dev_by", "sentence"), 2, says="Set dev_by: gloss"),
    # teach
    Case("teach-nobody", teach(a=[SIGN], b=[UNCHECKED]), 2, says="sign 'b' must have at least one readable clip"),
    Case("teach-one-class", teach(a=[SIGN]), 2, says="must hold at least two signs to tell apart, got 1"),
    Case("teach-good-and-bad", teach(a=[SIGN, NOBODY, b"broken"], b=[BIG]), out="2 signs taught (2 with 1 clip each)", says="signs/a/1.npz: no track is observed in any frame"),
    Case("teach-names", teach(**{"two words": [SIGN], "天气 ü": [BIG]}), out="2 signs taught (2 with 1 clip each)"),
    Case("teach-empty-class", teach(a=[SIGN], b=[BIG], c=[]), out="2 signs taught (2 with 1 clip each)", says="1 folders hold no video or pose file (c)"),
    Case("teach-by-sentences", teach("demo", a=[SIGN], b=[BIG]), 2, says="--model must be a model of isolated signs, got demo"),
    Case("teach-by-none", teach("asll", a=[SIGN], b=[BIG]), 2, says="no such model. Did you mean asl?"),
    Case("teach-out-is-full", lambda b: ["teach", b.signs(a=[SIGN], b=[BIG]), "--model", "asl", "--out", os.path.dirname(b.file("out/mine.txt", "mine"))], 2, says="must be a new or empty folder"),
    # data check, extract
    Case("check-broken", check(a=[SIGN], b=[b"broken"]), 1, out="not written by numpy.save or numpy.savez", stops=0),
    Case("check-nobody", check(a=[SIGN, NOBODY]), 1, out="no track is observed in any frame", stops=0),
    Case("check-empty-class", check(a=[SIGN], b=[]), says="1 folders hold no video or pose file (b)"),
    Case("extract-no-such-track", lambda b: ["extract", b.signs(a=[SIGN]), "--tracks", "hand", "--out", "out"], 2, says="did you mean 'hands'?"),
    Case("extract-missing", lambda b: ["extract", "nowhere", "--tracks", "hands", "--out", "out"], 2, says="nowhere"),
    # Videos, by MediaPipe.
    Case("video-nobody", read(lambda b: b.video(make_frames(4, height=90, width=120))), 1, says="sees no hand in any of its 4 frames"),
    Case("video-nobody-spells", spelled(lambda b: b.video(make_frames(4, height=90, width=120))), 1, says="no hand is visible in the clip"),
    Case("video-nobody-live", live(lambda b: b.video(make_frames(4, height=90, width=120))), out=""),
    Case("picture-nobody", read(lambda b: b.picture(np.full((90, 120, 3), 99, np.uint8), "a.png")), 1, says="sees no hand in any of its 1 frames"),
    Case("picture", read(lambda b: b.picture(signer()[8], "a.jpg"))),
    Case("video-of-three-frames", read(lambda b: b.video(signer()[6:9]))),
    Case("video-cut-by-the-border", read(lambda b: b.video(signer()[4:10, :150]))),
    Case("video-cut-off", live(lambda b: b.file("a.mkv", Path(b.video(signer())).read_bytes()[:-600_000])), out="\n", says="a.mkv: "),
    Case("extract-broken", extract_broken, 1, says="row 1 ('a/b'): "),
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def loaded_once():
    """Each shipped model is loaded once for this file; where a command changes what it has loaded, as teach does, for it alone."""
    load, patch = loading.load_pipeline, pytest.MonkeyPatch()
    kept = functools.cache(load)

    def load_pipeline(model, device=None, trust_remote_code=False, task=None):
        is_shipped = task is None and model in (model_place("asl"), model_place("asl-letters"))
        return (kept if is_shipped else load)(model, device, trust_remote_code, task)

    patch.setattr(loading, "load_pipeline", load_pipeline)
    yield
    patch.undo()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


def run(capsys, words: Sequence) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error without those of a summary or of a usage."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as error:  # of argparse
        code = error.code
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("signx-hf")]
    assert "Traceback" not in printed.err
    return code, printed.out, [line for line in lines if " files failed" not in line and " clips failed" not in line]


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(bench, capsys, case):
    if "explain" in case.name:
        pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    words = case.words(bench)
    before = listing(bench.base)
    code, out, errors = run(capsys, words)
    stops = [line for line in errors if ": warning: " not in line]
    assert code == case.code, errors
    assert len(stops) == (bool(case.code) if case.stops is None else case.stops), errors
    if case.says is not None:
        assert any(re.search(said(case.says), line) for line in errors), errors
    else:
        assert not errors or case.same is not None, errors
    if case.out is not None:
        assert case.out in out if case.out else out == ""
    elif case.code == 0 and words[0] == "recognize":
        assert out.strip()
    if case.same is not None:
        assert out == run(capsys, case.same(bench))[1]
    new = {name for name in listing(bench.base) - before if not name.startswith("folder_left_out")}
    assert case.code != 2 or not {name for name in new if "/." not in name and ".cache" not in name}, new
    assert not any(".part" in name or ".tmp" in name for name in new)
    assert all(bench.read(name) == "mine" for name in before if name.startswith("out"))


@pytest.fixture(scope="module")
def pipelines():
    from transformers import pipeline

    return {task: pipeline(task, model=model_place("asl")) for task in ("isolated-sign-recognition", "sign-spotting")}


CLIP = {"hands": SIGN, "fps": 25.0, "notes": json.loads(NOTES)}
CALLS = [
    ("nobody", {**CLIP, "hands": NOBODY}, {}, NO_TRACK),
    ("empty", {**CLIP, "hands": SIGN[:0]}, {}, "at least one frame, got 0"),
    ("infinite", {**CLIP, "hands": SIGN + np.inf}, {}, "must be finite, got inf"),
    ("meters", {"hands": in_meters(), "fps": 25.0}, {}, UNITS),
    ("fps-0", {**CLIP, "fps": 0}, {}, "the source fps ... got 0"),
    ("lists", {**CLIP, "hands": SIGN.tolist()}, {}, "track 'hands' ... got list"),
    ("none", None, {}, "expected a path ... got NoneType"),
    ("no-clip", [], {}, "at least one clip, got an empty list"),
    ("vocabulary-empty", CLIP, {"vocabulary": []}, "vocabulary must have at least one gloss, got an empty list"),
    ("vocabulary-5", CLIP, {"vocabulary": 5}, "vocabulary must be a list of glosses or the path"),
    ("vocabulary-unknown", CLIP, {"vocabulary": ["bok"]}, "'bok' is not a sign of the model; the nearest are book"),
    ("hand-unknown", CLIP, {"hand": "both"}, "hand"),
]  # fmt: skip


@pytest.mark.parametrize("task", ["isolated-sign-recognition", "sign-spotting"])
@pytest.mark.parametrize(("clip", "options", "says"), [call[1:] for call in CALLS], ids=[call[0] for call in CALLS])
def test_calls_that_are_refused(pipelines, task, clip, options, says):
    with pytest.raises((SignXError, ValueError)) as error:
        pipelines[task](clip, **options)
    assert re.search(said(says), str(error.value)) and "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["isolated-sign-recognition", "sign-spotting"])
def test_short_clips_get_an_answer(pipelines, task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frames in (1, 2, 3):
            answer = pipelines[task]({**CLIP, "hands": SIGN[:frames]})
            if task == "sign-spotting":
                assert answer["glosses"] == [] and answer["reason"] == "no stretch of the recording looks like a sign"
            else:
                assert len(answer) == 5 and all(0 < entry["score"] < 1 for entry in answer)


def test_a_camera_that_is_lost_keeps_what_was_recognized(monkeypatch, capsys):
    """Frames end in an error, as those of a camera that is unplugged: what was signed before is printed, and one line says what happened."""
    from signx_hf.recognition import live

    def lost(*_):
        for index, row in enumerate([*SIGN, *NOBODY]):
            yield index / 25, {"hands": row.astype(float), "notes": json.loads(NOTES)}
        raise OSError("No such device")

    monkeypatch.setattr(live, "pose_rows", lost)
    code, out, errors = run(capsys, ["live", "--from-file", A, "--model", "asl", "--threshold", "none"])
    assert code == 1 and len(out.splitlines()) == 1
    assert errors == ["signx-hf: No such device; what was recognized so far is kept"]
