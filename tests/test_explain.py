"""`signx-hf explain`: the numbers behind the figures against independent ones, the figures, and the errors."""

import re

import numpy as np
import pytest
import torch
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video

pytest.importorskip("matplotlib")

from signx_hf.cli import main  # noqa: E402
from signx_hf.interpretability.drawing import _fit  # noqa: E402
from signx_hf.interpretability.explanation import explain  # noqa: E402
from signx_hf.plots.contact_sheet import frames_of  # noqa: E402
from signx_hf.plots.keypoints import parts_of  # noqa: E402
from signx_hf.processing.errors_signx import SignXError  # noqa: E402
from signx_hf.recognition.loading import load_pipeline  # noqa: E402

FIGURES = {"time_lines", "attention", "importance", "contact_sheet"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def recognizer(folder):
    return load_pipeline(str(folder), "cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", make_frames(30))


@pytest.fixture(scope="module")
def of_poses(recognizer):
    return explain(recognizer, make_poses(24), source_fps=FPS, decoder="ctc")


def test_numbers_are_those_of_the_model(recognizer, of_poses):
    assert of_poses.result["glosses"] and set(of_poses.result["glosses"]) <= set(GLOSSES)
    np.testing.assert_allclose(of_poses.probabilities.sum(1), 1, atol=1e-5)
    assert of_poses.lines["frames"] == 24 and of_poses.lines["feature steps"] == len(of_poses.probabilities)
    # every row of a softmax over the feature steps, the last of which is no padding
    np.testing.assert_allclose(of_poses.attention.sum(1), 1, atol=1e-5)
    assert len(of_poses.pieces) == len(of_poses.attention) and of_poses.pieces[-1] == "</s>"
    said = "".join(piece.removesuffix("@@") if piece.endswith("@@") else piece + " " for piece in of_poses.pieces[:-1])
    assert said.split() == of_poses.result["glosses"]
    assert of_poses.vectors.shape == (
        len(of_poses.result["glosses"]),
        recognizer.model.config.recognizer_config.feature_size,
    )
    assert recognizer.model.config._attn_implementation != "eager", "the kernel was not put back"


def test_a_hand_that_is_found_out_is_explained_as_it_was_read(recognizer, video):
    found = explain(recognizer, str(video), hand="detect", decoder="ctc")
    hand = "left" if found.result["signer"]["mirrored"] else "right"
    declared = explain(recognizer, str(video), hand=hand, decoder="ctc")
    assert found.result["glosses"] == declared.result["glosses"]
    np.testing.assert_allclose(found.probabilities, declared.probabilities, atol=1e-5)


def test_importance_is_what_a_small_change_of_the_input_does(recognizer, of_poses):
    model, ids = recognizer.model, recognizer.tokenizer.encode_ctc(of_poses.result["glosses"])
    inputs = recognizer.preprocess(make_poses(24), FPS)
    poses = inputs["pose_values"].double()
    double = model.double()

    def probability(values):
        with torch.no_grad():
            output = double.get_features(
                pose_values=values, pose_mask=inputs["pose_mask"], frame_mask=inputs["frame_mask"]
            )
        logits = output.logits if output.aux_logits is None else output.aux_logits
        steps = len(of_poses.probabilities)
        return -torch.nn.functional.ctc_loss(
            logits[0, :steps].log_softmax(-1)[:, None], torch.tensor([ids]), [steps], [len(ids)], reduction="sum"
        )

    try:
        largest = np.argsort(of_poses.importance.ravel())[::-1][:4]
        for frame, column in zip(*np.unravel_index(largest, of_poses.importance.shape)):
            step = torch.zeros_like(poses)
            step[0, frame, column] = 1e-6 * poses[0, frame, column]
            slope = (probability(poses + step) - probability(poses - step)) / 2e-6
            assert abs(float(slope)) == pytest.approx(of_poses.importance[frame, column], rel=2e-2)
    finally:
        model.float()
    slices = recognizer.feature_extractor.track_slices()
    assert of_poses.tracks == slices and of_poses.importance.shape[1] == list(slices.values())[-1].stop


def test_of_a_video_the_latents_are_weighed(recognizer, video):
    found = explain(recognizer, str(video), decoder="ctc")
    assert list(found.tracks) == ["latents"]
    assert found.importance.shape == (found.lines["frames"], recognizer.model.config.latent_size)
    assert (found.importance >= 0).all() and found.importance.max() > 0


@pytest.mark.parametrize("names", ["png", "png,svg"])
def test_command_draws_every_figure(folder, video, tmp_path, capsys, names):
    from PIL import Image

    arguments = ["explain", str(video), "--model", str(folder), "--out", str(tmp_path / "new"), "--format", names]
    assert main([*arguments, "--option", "decoder=ctc"]) == 0
    printed = capsys.readouterr().out
    files = [path for path in (tmp_path / "new").iterdir() if not path.name.startswith("gloss_map")]
    assert {path.name for path in files} == {f"clip-{name}.{s}" for name in FIGURES for s in names.split(",")}
    for path in files:
        assert str(path) in printed
        if path.suffix == ".png":
            assert len(Image.open(path).convert("RGB").getcolors(1 << 24)) > 50
    if "svg" in names:
        text = (tmp_path / "new" / "clip-time_lines.svg").read_text()
        assert "feature steps" in text and "CTC probability" in text


def test_poses_are_drawn_over_the_video(folder, video, tmp_path):
    rows = np.zeros((30, 384))
    rows.reshape(30, 128, 3)[:] = (20, 15, 1)
    np.savez(tmp_path / "poses.npz", dwpose=rows, fps=15.0)
    arguments = [
        "explain",
        str(video),
        "--model",
        str(folder),
        "--out",
        str(tmp_path),
        "--poses",
        str(tmp_path / "poses.npz"),
    ]
    assert main(arguments) == 0
    assert (tmp_path / "clip-keypoints.png").stat().st_size > 5000


@pytest.mark.parametrize("unit", ["pixels", "fractions"])
def test_key_points_fall_on_what_they_mark(unit):
    """A white dot in a wide picture, and where the processor's padding has put it."""
    from signx_hf import SignXVideoProcessor

    frames = np.zeros((4, 90, 160, 3), np.uint8)
    frames[:, 58:62, 118:122] = 255
    decoded = SignXVideoProcessor(size={"height": 256, "width": 256}, fps=None).decode(frames, source_fps=10)
    rows = np.zeros((4, 384))
    rows.reshape(4, 128, 3)[:, 4] = (120, 60, 1) if unit == "pixels" else (120 / 160, 60 / 90, 1)
    parts = parts_of("dwpose", rows)
    scale, offset = _fit(decoded.metadata, decoded.frames.shape[1:3], parts)
    x, y = parts["body"][0][0, 4] * scale + offset
    white = np.argwhere(decoded.frames[0].mean(-1) > 200).mean(axis=0) + 0.5
    assert np.abs(white - (y, x)).max() < 1
    assert parts["body"][1][0].sum() == 1 and not parts["left hand"][1].any()


def test_frames_of_a_gloss_lie_within_it():
    times = np.arange(0, 4, 0.04)
    assert [times[i] for i in frames_of({"start": 1.0, "end": 1.5}, times)] == pytest.approx(
        [1.0, 1.12, 1.24, 1.36, 1.48]
    )
    assert frames_of({"start": 1.01, "end": 1.02}, times) == [25], "between two frames the nearer one"


def test_gloss_map_keeps_tokens_of_a_gloss_together(tmp_path):
    pytest.importorskip("sklearn")
    from signx_hf.plots.gloss_map import plot_gloss_map

    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 16)) * 20
    vectors = np.concatenate([centre + generator.normal(size=(8, 16)) for centre in centres])
    path = plot_gloss_map(vectors, ["A"] * 8 + ["B"] * 8 + ["C"] * 8, tmp_path / "map.svg", "t")
    text = path.read_text()
    assert text.count("<!-- A -->") == 8 and "24 tokens of 3 glosses" in text
    with pytest.raises(ValueError, match="a map needs at least 6 glosses, got 3"):
        plot_gloss_map(vectors[:3], ["A", "B", "C"], tmp_path / "other.svg")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a.mp4", "--format", "pdf"], "--format must be png, svg or png,svg, got 'pdf'"),
        (["a.mp4", "b.mp4", "--poses", "p.npz"], "--poses needs exactly one video, got 2 files"),
        (["x/a.mp4", "y/a.mp4"], "two are called 'a'"),
        (["a.mp4"], "a.mp4.*(no such file|cannot be|not found|does not exist)"),
    ],
)
def test_bad_input_gets_one_line(folder, tmp_path, capsys, arguments, message):
    assert main(["explain", *arguments, "--model", str(folder), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1


def test_no_model(tmp_path, capsys):
    assert main(["explain", "a.mp4", "--model", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_stage_3_model_has_no_attention_figure(tmp_path, video):
    folder = save_folder(tmp_path / "model", "SignXForLatentCTC")
    assert main(["explain", str(video), "--model", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert not list((tmp_path / "out").glob("*attention*")) and list((tmp_path / "out").glob("*importance*"))


def test_pieces_of_a_long_clip_are_refused(recognizer, video):
    with pytest.raises(SignXError, match="`chunk_length_s` must not be set"):
        explain(recognizer, str(video), chunk_length_s=20)


def test_poses_without_a_rate_have_that_of_their_video(folder, tmp_path, capsys):
    """24 rows for a video of two seconds: the last panel is near its end, and the frames are those of the times."""
    frames = make_frames(30)
    write_video(tmp_path / "clip.mp4", frames)
    np.savez(tmp_path / "clip.npz", mediapipe=np.random.default_rng(0).uniform(0.2, 0.8, (24, 258)))
    words = ["explain", str(tmp_path / "clip.mp4"), "--model", str(folder), "--out", str(tmp_path / "out")]
    assert main([*words, "--poses", str(tmp_path / "clip.npz"), "--hand", "left"]) == 0
    printed = capsys.readouterr()
    assert "clip.npz has no frame rate (`fps`); 12 fps was derived" in printed.err
    assert (tmp_path / "out" / "clip-keypoints.png").is_file() and "(mirrored: left-handed)" in printed.out
    assert main([*words, "--poses", str(tmp_path / "none.npz")]) == 2
    assert "none.npz: no such file" in capsys.readouterr().err


def test_names_of_glosses_do_not_cover_one_another():
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from signx_hf.plots.figure import colors_of, draw_spans, new_figure

    words = ["IX-1p", "ns-fs-FREDERICK", "NOT-YET", "ARRIVE", "SHOULD", "CONTACT", "FINISH"]
    segments = [
        {"gloss": word, "start": 0.6 * n, "end": 0.6 * n + 0.5, "confidence": 0.9} for n, word in enumerate(words)
    ]
    figure = new_figure(8, 3)
    axes = figure.subplots()
    axes.set(xlim=(0, 4.5), ylim=(0.9, -0.9))
    draw_spans(axes, segments, 0, colors_of(words), places=(-0.36, 0.36, -0.64, 0.64))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [f"{word} 0.90" for word in words]
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert axes.texts[0].get_position()[1] == -0.36
