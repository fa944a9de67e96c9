"""Videos in, pixels out: content, time, geometry, color and faults, against answers made without the code under test."""

import contextlib
import gc
import io
import os
import socket
import struct
import threading
import warnings
from fractions import Fraction
from functools import reduce
from operator import or_
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from signx_hf.processing.errors_signx import SignXFileNotFoundError, SignXVideoError, SignXWarning
from signx_hf.processing.sampling_signx import FrameSampler, sample_indices, sample_instants
from signx_hf.processing.video_decoding_signx import iter_video
from signx_hf.processing.video_processing_signx import SignXVideoProcessor
from signx_hf.processing.video_sources_signx import ArraySource

DATA = Path(os.environ.get("SIGNX_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LEVEL = 20  # frame i of a numbered clip is gray of level LEVEL + 10 * i


def processor(height=32, width=32, **options):
    return SignXVideoProcessor(**{"size": {"height": height, "width": width}, "fps": None, **options})


def numbered(count, height=32, width=32):
    """Frames whose index is their gray level."""
    return np.stack([np.full((height, width, 3), LEVEL + 10 * i, np.uint8) for i in range(count)])


def numbers(frames):
    """The indices that `numbered` frames carry, read from below the middle of each frame."""
    height, width = frames.shape[1:3]
    return np.rint((frames[:, 3 * height // 4, width // 2].mean(-1) - LEVEL) / 10).astype(int).tolist()


def quadrants(height=32, width=64):
    """Red, green / blue, white: shows every rotation and mirroring."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = 255
    return image


def corners(image):
    """The initials of the colors at the four quadrant centers, row by row."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    height, width = image.shape[:2]
    points = [(y * height // 4, x * width // 4) for y in (1, 3) for x in (1, 3)]
    return "".join(names.get(tuple((image[point] > 127).astype(int)), "?") for point in points)


def write(target, frames, codec="libx264", pix_fmt="yuv420p", rate=30, pts=None, time_base=None, tag=None, **kwargs):
    """Encode frames [T, H, W, C]; `pts` counts in `time_base`, `tag` is (colorspace, color_range); kwargs: options, format."""
    source = {3: "rgb24", 4: "rgba"}[frames.shape[-1]]
    options = {**({"crf": "1"} if codec == "libx264" else {}), **kwargs.get("options", {})}
    # image2: one image to one file name
    with av.open(
        target, "w", format=kwargs.get("format"), options={"update": "1"} if kwargs.get("format") == "image2" else {}
    ) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        if time_base:
            stream.codec_context.time_base = time_base
        if tag:
            stream.codec_context.colorspace, stream.codec_context.color_range = tag
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source)
            if tag:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=tag[0], dst_color_range=tag[1])
            frame.pts = index if pts is None else pts[index]
            frame.time_base = time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def write_image(path, image):
    write(str(path), image[None], "png", "rgba" if image.shape[-1] == 4 else "rgb24", format="image2")
    return path


def write_bytes(frames, format="mp4", **options):
    buffer = io.BytesIO()
    write(buffer, frames, format=format, **options)
    return buffer.getvalue()


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for index in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_matrix(data, a, b, c, d):
    """MP4 bytes whose track header asks for another display matrix (ISO/IEC 14496-12, 8.3.2)."""
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    return data[:at] + struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30) + data[at + 36 :]


def message_of(error, call):
    """The text of the error that `call` raises, checked to be one line."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


# Sampling


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.integers(0, 90), max_size=30),
    st.sampled_from([Fraction(25, 2), Fraction(24), Fraction(25), Fraction(30), Fraction(60), Fraction(30000, 1001)]),
    st.sampled_from([90, 1000, 24, 60]),
)
def test_sample_indices_is_the_exact_nearest_frame(steps, fps, base):
    """Brute force in rational numbers, where a tie is a tie."""
    times = [Fraction(sum(steps[:i]), base) for i in range(len(steps) + 1)]
    end = times[-1] * fps + Fraction(45, 100)
    assume(end.denominator != 1)  # exactly on the tolerance either answer is right
    instants = [k / fps for k in range(int(end) + 1)]
    expected = [min(range(len(times)), key=lambda i: (abs(times[i] - instant), i)) for instant in instants]
    assert sample_indices([float(t) for t in times], float(fps)).tolist() == expected


@pytest.mark.parametrize("decimals", [None, 3])
def test_equal_rates_keep_every_frame_and_half_the_rate_every_other(decimals):
    for count in (1, 2, 3, 4, 7, 100, 5001, 9000):
        for source in (30, 60):
            times = np.arange(count) / source
            times = times if decimals is None else times.round(decimals)
            assert sample_indices(times, 30).tolist() == list(range(0, count, source // 30))


def test_upsampling_repeats_frames():
    second = sample_indices(np.arange(24) / 24, 30).tolist()
    assert second[:10] == [0, 1, 2, 2, 3, 4, 5, 6, 6, 7] and len(second) == 30
    assert sample_indices([0.0, 0.2], 10).tolist() == [0, 0, 1]  # 0.1 s lies between: the earlier


def test_max_frames_keeps_equal_distances_in_time():
    times = np.array([0, 0.1, 0.2, 0.3, 1.0, 2.0, 3.0])
    assert sample_instants(times, None, 4).tolist() == [0, 1, 2, 3]
    assert sample_indices(times, None, 4).tolist() == [0, 4, 5, 6]
    assert sample_indices(np.arange(101) / 30, 30, 5).tolist() == [0, 25, 50, 75, 100]
    assert sample_indices(times, None, 99).tolist() == list(range(7))


@example([0.25, 0.25, 1e-10], 29.97, None)
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 0.3), max_size=30),
    st.sampled_from([None, 10, 24, 29.97, 30, 60]),
    st.sampled_from([None, 1, 2, 5]),
)
def test_sampler_decides_while_decoding_as_afterwards(steps, fps, max_frames):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    instants = sample_instants(times, fps, max_frames)
    is_thinned = len(instants) < len(sample_instants(times, fps))
    sampler = FrameSampler(instants=instants) if is_thinned else FrameSampler(fps)
    pairs = [pair for index, time in enumerate(times) for pair in sampler.push(time, index)] + sampler.finish()
    assert [instant for instant, _ in pairs] == instants.tolist()
    assert [index for _, index in pairs] == sample_indices(times, fps, max_frames).tolist()


def test_sampling_refuses_what_is_no_time():
    assert "`fps` must be" in message_of(SignXVideoError, lambda: sample_indices([0.0], 0))
    assert "non-decreasing" in message_of(SignXVideoError, lambda: sample_indices([0.0, 2.0, 1.0], 30))
    assert "at least one" in message_of(SignXVideoError, lambda: sample_indices([], 30))
    assert "`max_frames` must be" in message_of(SignXVideoError, lambda: sample_indices([0.0], 30, -1))


# Files: content and time


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "options"),
    [
        ("mp4", "libx264", "yuv420p", {}),
        ("mp4", "libx264", "yuv420p10le", {}),
        ("mkv", "libx265", "yuv420p10le", {"x265-params": "log-level=none:lossless=1"}),
        ("mkv", "ffv1", "gray", {}),
        ("mkv", "ffv1", "yuv444p10le", {}),
        ("avi", "mpeg4", "yuv420p", {"qmin": "1", "qmax": "2"}),
        ("webm", "libvpx-vp9", "yuv420p", {"lossless": "1", "cpu-used": "8"}),
        ("gif", "gif", "gray", {}),
        ("mov", "qtrle", "argb", {}),
    ],
)
def test_each_format_gives_its_frames_in_order(tmp_path, suffix, codec, pix_fmt, options):
    path, rate = tmp_path / f"clip.{suffix}", 25 if codec == "gif" else 30  # GIF counts time in 1/100 s
    frames = numbered(12)
    write(str(path), frames, codec, pix_fmt, rate=rate, options=options)
    video = processor().decode(path)
    assert video.frames.shape == frames.shape and video.frames.dtype == np.uint8
    assert np.abs(video.frames.astype(int) - frames).max() <= 4
    np.testing.assert_allclose(video.timestamps, np.arange(12) / rate, atol=2e-3)
    assert video.metadata["frames_decoded"] == 12 and not video.metadata["truncated"]
    assert video.metadata["duration"] == pytest.approx(12 / rate, abs=5e-3)


def test_file_equals_array_of_its_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    path = write(str(tmp_path / "noise.mkv"), frames, "ffv1", "bgr0")
    native = processor(48, 64).decode(path).frames
    assert np.array_equal(native, frames)  # a lossless file gives its array, bit for bit
    for size, options in (
        ((48, 64), {}),
        ((20, 20), {}),
        ((20, 30), {"resize_mode": "crop"}),
        ((40, 40), {"background": 99}),
    ):
        from_file = processor(*size, **options)([path])["pixel_values_videos"]
        assert torch.equal(from_file, processor(*size, **options)([frames])["pixel_values_videos"])
    lossy = write(str(tmp_path / "noise.mp4"), frames)
    native = processor(48, 64).decode(lossy).frames
    with av.open(lossy) as container:
        exact = [getattr(Interpolation, name) for name in ("ACCURATE_RND", "BITEXACT") if hasattr(Interpolation, name)]
        kernel = reduce(or_, exact, Interpolation.BILINEAR)  # PyAV 17 has neither, and its kernels cannot be combined
        kept = [frame.to_ndarray(format="rgb24", interpolation=kernel) for frame in container.decode(video=0)]
    assert np.array_equal(native, np.stack(kept))
    assert np.array_equal(processor(48, 64).decode(native).frames, native)


def test_kinds_of_input_agree(tmp_path):
    frames = numbered(5, 24, 40)
    frames[:, :8, :8] = (200, 30, 90)
    path = Path(write(str(tmp_path / "a.mkv"), frames, "ffv1", "bgr0"))
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        write_image(folder / f"f{index * 5}.png", frames[index])
    (folder / "notes.txt").write_text("no frame")
    (folder / "._f0.png").write_bytes(b"junk of another system")
    expected = processor().decode(frames).frames
    assert expected[0, 9, 3].tolist() == [
        200,
        30,
        90,
    ]  # red stays red; 40 x 24 becomes 32 x 19 below 6 rows of background
    with path.open("rb") as file:
        assert np.array_equal(processor().decode(file).frames, expected)
        assert not file.closed
    kinds = [
        path,
        str(path),
        path.read_bytes(),
        torch.from_numpy(frames),
        list(frames),
        folder,
        np.moveaxis(frames, -1, 1),
    ]
    kinds += [torch.from_numpy(frames) / 255.0, [torch.from_numpy(f).permute(2, 0, 1) for f in frames]]
    for kind in kinds:
        assert np.array_equal(processor().decode(kind).frames, expected), type(kind)
    video = processor().decode(folder)
    assert (
        numbers(video.frames) == [0, 1, 2, 3, 4] and not video.metadata["warnings"]
    )  # f5 before f10, ._f0 passed over


def test_grey_alpha_and_background():
    grey = numbered(3)[..., 0]
    for video in (grey, grey[..., None], list(grey)):
        assert np.array_equal(processor().decode(video).frames, numbered(3))
    rgba = np.zeros((1, 32, 32, 4), np.uint8)
    rgba[..., :3], rgba[:, :, :16, 3], rgba[:, :, 16:, 3] = 200, 255, 64
    image = processor(background=100).decode(rgba).frames[0]
    assert (image[:, :16] == 200).all()
    assert (image[:, 16:] == round((200 * 64 + 100 * 191) / 255)).all()


def test_hidden_colours_do_not_bleed_when_resizing():
    rgba = np.zeros((1, 64, 64, 4), np.uint8)
    rgba[:, :, 31:] = (255, 255, 255, 0)  # transparent white beside opaque black, the edge inside a block of four
    rgba[:, :, :31, 3] = 255
    assert processor(16, 16).decode(rgba).frames.max() == 0


def test_png_file_with_alpha(tmp_path):
    rgba = np.full((32, 32, 4), 250, np.uint8)
    rgba[:16, :, 3] = 0
    image = processor(background=7).decode(write_image(tmp_path / "one.png", rgba)).frames[0]
    assert (image[:16] == 7).all() and (image[16:] == round((250 * 250 + 7 * 5) / 255)).all()


def test_pil_palette_image_is_not_read_as_indices():
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    picture = image_module.fromarray(quadrants())
    for mode in ("RGB", "P", "RGBA"):
        batch = processor(32, 64, do_normalize=False)([picture.convert(mode)] * 2)["pixel_values_videos"]
        assert batch.shape[:2] == (1, 2) and corners(batch[0, 0].permute(1, 2, 0).numpy() * 255) == "RGBW"


@pytest.mark.parametrize(
    ("matrix", "shown", "degrees"),
    [
        ((1, 0, 0, 1), "RGBW", 0),
        ((0, 1, -1, 0), "BRWG", 90),  # x' = -y, y' = x: clockwise
        ((-1, 0, 0, -1), "WBGR", 180),
        ((0, -1, 1, 0), "GWRB", 270),
        ((-1, 0, 0, 1), "GRWB", 0),  # mirrored, as front cameras do
    ],
)
def test_display_matrix_is_applied(matrix, shown, degrees):
    data = set_matrix(write_bytes(np.stack([quadrants()] * 3)), *matrix)
    video = processor(64, 64).decode(data)
    is_turned = degrees in (90, 270)
    assert (video.metadata["width"], video.metadata["height"]) == ((32, 64) if is_turned else (64, 32))
    assert video.metadata["rotation"] == degrees
    inner = video.frames[0][:, 16:48] if is_turned else video.frames[0][16:48]
    assert corners(inner) == shown
    assert (
        np.delete(video.frames[0], np.s_[16:48], axis=1 if is_turned else 0) == 0
    ).all()  # turned before the letterbox


def test_colour_matrix_is_that_of_the_stream(tmp_path):
    target = np.array([180, 60, 40])
    frames = np.broadcast_to(target.astype(np.uint8), (2, 32, 32, 3))
    for tag in ((1, 1), (5, 1), (5, 2)):  # BT.709 limited, BT.601 limited, BT.601 full range
        path = write(str(tmp_path / f"{tag[0]}{tag[1]}.mp4"), frames, pix_fmt="yuv444p", tag=tag)
        assert np.abs(processor().decode(path).frames[0, 16, 16].astype(int) - target).max() <= 5, tag
    # Without a tag: BT.601, worked out by hand for Y = 100, U = 110, V = 170 in limited range.
    y, u, v = 1.164383 * (100 - 16), 110 - 128, 170 - 128
    expected = np.array([y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u])
    with av.open(str(tmp_path / "plain.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv444p"
        planes = np.stack([np.full((32, 32), value, np.uint8) for value in (100, 110, 170)])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv444p")))
        container.mux(stream.encode(None))
    assert np.abs(processor().decode(tmp_path / "plain.mkv").frames[0, 16, 16] - expected).max() <= 2


def test_variable_rate_and_start_offset(tmp_path):
    pts = [500, 510, 520, 600, 700, 900]  # in 1/100 s: starts at 5 s
    path = write(str(tmp_path / "vfr.mkv"), numbered(6), "ffv1", "bgr0", rate=100, pts=pts, time_base=Fraction(1, 100))
    video = processor().decode(path)
    np.testing.assert_allclose(video.timestamps, [0, 0.1, 0.2, 1, 2, 4], atol=1e-9)
    assert not video.metadata["truncated"]  # the empty 5 s in front are not missing
    at_one = processor(fps=1).decode(path)
    assert numbers(at_one.frames) == [0, 3, 4, 4, 5]  # 3 s lies between 2 s and 4 s: the earlier
    assert at_one.metadata["fps"] == 1 and at_one.metadata["frames_decoded"] == 6


def test_streams_without_time_stamps_use_the_declared_rate(tmp_path):
    path = write(str(tmp_path / "raw.h264"), numbered(8), rate=25, format="h264", options={"bf": "0"})
    with av.open(path) as container:
        assert all(frame.pts is None for frame in container.decode(video=0))  # the file does lack them
    with pytest.warns(SignXWarning, match="8 frames have no timestamp"):
        video = processor().decode(path)
    assert numbers(video.frames) == list(range(8))
    np.testing.assert_allclose(video.timestamps, np.arange(8) / 25, atol=1e-6)


def test_time_goes_on_where_stamps_run_backwards():
    data = write_bytes(numbered(6), "mpegts", options={"bf": "0"})
    with pytest.warns(SignXWarning, match="timestamps decrease.* declared 30 fps"):
        video = processor().decode(data + data)  # two recordings in one file, as cameras and `cat` make them
    assert numbers(video.frames) == [*range(6), *range(6)]
    np.testing.assert_allclose(video.timestamps, np.arange(12) / 30, atol=1e-4)


def test_frame_rates_of_files(tmp_path):
    for rate, expected in ((30, list(range(10))), (60, [0, 2, 4, 6, 8]), (15, [i // 2 for i in range(19)])):
        path = write(str(tmp_path / f"{rate}.mp4"), numbered(10), rate=rate)
        video = processor(fps=30).decode(path)
        assert numbers(video.frames) == expected
        assert video.metadata["source_fps"] == pytest.approx(rate)


def test_iter_frames_streams_the_same_frames(tmp_path):
    path = write(str(tmp_path / "a.mp4"), numbered(10), rate=24)
    video = processor(fps=30).decode(path)
    pairs = list(processor(fps=30).iter_frames(path))
    assert [time for time, _ in pairs] == video.timestamps.tolist()
    assert np.array_equal(np.stack([frame for _, frame in pairs]), video.frames)
    pairs[2][1][:] = 0
    assert np.array_equal(pairs[3][1], video.frames[3])  # the repetition of frame 2 is an array of its own


def test_iter_frames_reads_no_further_than_it_must():
    seen = []
    frames = (seen.append(index) or frame for index, frame in enumerate(numbered(20)))
    stream = iter_video(ArraySource(frames, "array", 30.0), None, 30.0)
    for _ in range(3):
        next(stream)
    stream.close()
    assert len(seen) <= 4  # one candidate is held back


def test_decoding_leaves_no_frames_to_the_garbage_collector(tmp_path):
    """A frame in a reference cycle stays, at full size, until a collection: hundreds of megabytes for a long clip."""
    data = set_matrix(write_bytes(numbered(24, 64, 64)), 0, 1, -1, 0)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(item) is av.VideoFrame for item in gc.get_objects())
        for _ in processor().iter_frames(data):
            pass
        after = sum(type(item) is av.VideoFrame for item in gc.get_objects())
    finally:
        gc.enable()
    assert after - before <= 2  # of 24: the one whose side data was read, in PyAV 17 also the last picture rendered


def test_max_frames_thins_with_a_warning(tmp_path):
    path = write(str(tmp_path / "a.mp4"), numbered(13))
    with pytest.warns(SignXWarning, match=r"a\.mp4: 13 frames .* max_frames=4"):
        video = processor(max_frames=4).decode(path)
    assert numbers(video.frames) == [0, 4, 8, 12]
    assert video.metadata["fps"] == pytest.approx(30 / 4) and len(video.metadata["warnings"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert processor(max_frames=13).decode(path).metadata["frames"] == 13
    for call in (processor(max_frames=4), processor(max_frames=4).decode):
        with pytest.warns(SignXWarning) as caught:
            call(path)
        assert [w.filename for w in caught] == [__file__]  # the caller's line, where a user looks


# Geometry


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (64, 64), (34, 57), (57, 34)])
def test_letterbox_by_hand(shape):
    image = processor(48, 48, background=9).decode(np.full((1, *shape, 3), 255, np.uint8)).frames[0]
    height, width = (round(side * 48 / max(shape)) for side in shape)
    top, left = (48 - height) // 2, (48 - width) // 2
    expected = np.full((48, 48, 3), 9, np.uint8)
    expected[top : top + height, left : left + width] = 255
    assert np.array_equal(image, expected)


def test_crop_and_stretch_by_hand():
    frames = np.zeros((1, 32, 96, 3), np.uint8)
    frames[:, :, :32], frames[:, :, 32:64], frames[:, :, 64:] = 50, 150, 250
    cropped = processor(32, 32, resize_mode="crop").decode(frames).frames[0]
    assert (cropped == 150).all()  # the middle third, nothing else
    stretched = processor(32, 48, resize_mode="stretch", interpolation="nearest").decode(frames).frames[0]
    assert np.array_equal(stretched[0, :, 0], np.repeat([50, 150, 250], 16))


def test_pixel_aspect_ratio_shapes_the_letterbox(tmp_path):
    path = str(tmp_path / "wide.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255, np.uint8))))
        container.mux(stream.encode(None))
    image = processor(64, 64).decode(path).frames[0]
    assert (image[16:48] > 250).all() and (image[:16] == 0).all() and (image[48:] == 0).all()


def test_resize_agrees_with_torch_antialias():
    coarse = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, (1, 3, 12, 16))).float()
    smooth = torch.nn.functional.interpolate(coarse, (120, 160), mode="bicubic").clamp(0, 255).round()
    frames = smooth.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    found = processor(45, 60, resize_mode="stretch").decode(frames).frames[0].astype(float)
    expected = (
        torch.nn.functional.interpolate(smooth, (45, 60), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    )
    assert np.abs(found - expected).max() <= 3 and np.abs(found - expected).mean() <= 0.6


def test_downscaling_does_not_alias():
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    image = processor(16, 16).decode(stripes).frames[0].astype(int)
    assert np.abs(image[:, 1:-1] - 127).max() <= 3  # a kernel that skips pixels gives 0 or 255


# Tensors


def test_normalisation_and_padding():
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    rng = np.random.default_rng(2)
    videos = [rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for count in (3, 5)]
    originals = [video.copy() for video in videos]
    model_input = processor(image_mean=mean, image_std=std)
    batch = model_input(videos)
    assert batch["pixel_values_videos"].dtype == torch.float32 and batch["frame_mask"].dtype == torch.bool
    assert batch["frame_mask"].tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    expected = (videos[1].astype(np.float64) / 255 - mean) / std
    np.testing.assert_allclose(batch["pixel_values_videos"][1], expected.transpose(0, 3, 1, 2), atol=2e-6)
    assert (batch["pixel_values_videos"][0, 3:] == 0).all()
    for row, video in enumerate(videos):
        single = model_input(video)["pixel_values_videos"][0]
        assert torch.equal(batch["pixel_values_videos"][row, : len(video)], single)
        assert np.array_equal(video, originals[row])
    arrays = model_input(videos, return_tensors="np")
    assert isinstance(arrays["frame_mask"], np.ndarray)
    assert np.array_equal(arrays["pixel_values_videos"], batch["pixel_values_videos"].numpy())
    plain = processor(do_normalize=False)(videos[0])["pixel_values_videos"]
    np.testing.assert_allclose(plain[0], videos[0].transpose(0, 3, 1, 2) / 255, atol=1e-6)


def test_list_of_frames_is_one_video_and_list_of_videos_a_batch():
    frames = numbered(4)
    assert processor()(list(frames))["pixel_values_videos"].shape[:2] == (1, 4)
    assert processor()([frames, frames[:2]])["pixel_values_videos"].shape[:2] == (2, 4)
    assert processor()([list(frames), frames])["pixel_values_videos"].shape[:2] == (2, 4)
    text = message_of(SignXVideoError, lambda: processor()([frames, frames[0]]))
    assert "videos[1] must be" in text and "3 dimensions" in text


def test_source_fps_places_arrays_in_time():
    frames = numbered(10)
    assert numbers(processor(fps=25).decode(frames).frames) == list(range(10))
    assert numbers(processor(fps=30).decode(frames, source_fps=60).frames) == [0, 2, 4, 6, 8]
    batch = processor(fps=30)([frames, frames], source_fps=[60, 30], return_metadata=True)
    assert batch["frame_mask"].sum(1).tolist() == [5, 10]
    assert [m["source_fps"] for m in batch["video_metadata"]] == [pytest.approx(60), pytest.approx(30)]
    assert [m["duration"] for m in batch["video_metadata"]] == [pytest.approx(10 / 60), pytest.approx(10 / 30)]
    assert "per video (2), got a list of 3" in message_of(
        SignXVideoError, lambda: processor()([frames, frames], source_fps=[1, 2, 3])
    )


def test_saved_processor_gives_the_same_pixels(tmp_path):
    options = {
        "size": {"height": 40, "width": 24},
        "fps": 12.5,
        "max_frames": 5,
        "resize_mode": "crop",
        "background": 3,
        "interpolation": "area",
        "do_normalize": True,
        "rescale_factor": 1 / 200,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    first = SignXVideoProcessor(**options)
    assert first.to_dict() == {**options, "video_processor_type": "SignXVideoProcessor"}
    first.save_pretrained(tmp_path)
    second = SignXVideoProcessor.from_pretrained(tmp_path)
    assert second.to_dict() == first.to_dict()
    frames = np.random.default_rng(3).integers(0, 256, (20, 50, 60, 3), dtype=np.uint8)
    with pytest.warns(SignXWarning):
        outputs = [p(frames, source_fps=25)["pixel_values_videos"] for p in (first, second)]
    assert torch.equal(*outputs)
    changed = SignXVideoProcessor.from_pretrained(tmp_path, max_frames=7, fps=None)
    assert changed.to_dict() == {**first.to_dict(), "max_frames": 7, "fps": None}
    assert "got -2" in message_of(
        SignXVideoError, lambda: SignXVideoProcessor.from_pretrained(tmp_path, max_frames=-2)
    )


# Faults


def test_unusable_files_are_named_with_a_remedy(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("dear reader, this is no film\n" * 20)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    cases = [
        (tmp_path / "folder", ["folder", "no frame image", ".png"]),
        (tmp_path / "empty.mp4", ["empty.mp4", "0 bytes"]),
        (tmp_path / "text.mp4", ["text.mp4", "cannot be opened as a video", "dear reader"]),
        (tmp_path / "pipe.mp4", ["pipe.mp4", "neither a regular file"]),
        (write_audio(tmp_path / "sound.m4a"), ["sound.m4a", "no video stream (it has audio)"]),
        (write_bytes(numbered(12))[:-400], ["index is missing", "Copy it again"]),
        (b"", ["0 bytes"]),
        (io.BytesIO(b""), ["0 bytes"]),
        (io.StringIO("text"), ["mode 'rb'"]),
        ("https://example.org/a.mp4", ["nothing is downloaded"]),
    ]
    for video, parts in cases:
        text = message_of(SignXVideoError, lambda v=video: processor().decode(v))
        assert all(part in text for part in parts), (text, parts)
    text = message_of(SignXFileNotFoundError, lambda: processor()(str(tmp_path / "gone.mp4")))
    assert "gone.mp4: no such file or folder" in text


def test_unusable_arrays_are_named_with_a_remedy():
    frames = numbered(3)
    nan = frames / 255.0
    nan[1, 2, 3] = np.nan
    cases = [
        (frames[0], ["one frame [H, W, 3]", "array[None]"]),
        (frames[0, 0], ["array [32, 3]", "[T, H, W, 3]"]),
        (frames[:0], ["array [0, 32, 32, 3]", "at least 1"]),
        (frames[:, :0], ["array [3, 0, 32, 3]", "at least 1"]),
        (np.zeros((2, 3, 5, 4), np.uint8), ["[T, H, W, C] of height 3 and [T, C, H, W] of width 4", "Permute"]),
        (np.zeros((2, 5, 6, 7), np.uint8), ["C of 1, 3 or 4"]),
        (frames.astype(np.int64), ["int64", "astype(numpy.uint8)"]),
        (frames.astype(np.float32), ["got 20 to 40", "Divide by 255"]),
        (nan, ["nan", "without NaN"]),
        ([], ["empty list"]),
        ([frames[0], frames[0][:16]], ["frame 1 (array [16, 32, 3])", "frame 0, [32, 32, 3]"]),
        ({"a": 1}, ["got dict"]),
        (None, ["got NoneType"]),
    ]
    for video, parts in cases:
        text = message_of(SignXVideoError, lambda v=video: processor().decode(v))
        assert all(part in text for part in parts), (text, parts)


def test_mixed_sizes_and_broken_images_in_a_folder(tmp_path):
    for index, frame in enumerate(numbered(4)):
        write_image(tmp_path / f"{index}.png", frame)
    (tmp_path / "1.png").write_bytes(b"not a picture")
    with pytest.warns(SignXWarning, match=r"1\.png cannot be decoded"):
        video = processor().decode(tmp_path, source_fps=10)
    assert numbers(video.frames) == [0, 2, 3] and video.metadata["truncated"]
    np.testing.assert_allclose(video.timestamps, [0, 0.2, 0.3])  # a gap, not a shift
    write_image(tmp_path / "3.png", numbered(1, 16, 16)[0])
    (tmp_path / "1.png").unlink()
    assert "got 16x16 for 3.png and 32x32 for 0.png" in message_of(
        SignXVideoError, lambda: processor().decode(tmp_path)
    )


@pytest.mark.parametrize(
    ("format", "codec", "options"),
    [
        ("faststart", "libx264", {"bf": "0", "g": "10"}),
        ("webm", "libvpx-vp9", {"cpu-used": "8", "crf": "20", "lag-in-frames": "0"}),
        ("mpegts", "libx264", {"bf": "0", "g": "10"}),
    ],
)
def test_truncated_file_gives_what_decodes(tmp_path, format, codec, options):
    frames = numbered(22).repeat(3, axis=0)
    frames[:, :8] = np.random.default_rng(4).integers(0, 256, frames[:, :8].shape)  # keeps the packets of one size
    if format == "faststart":  # the index in front: FFmpeg moves it when it closes a file on disk
        path = tmp_path / "front.mp4"
        source = io.BytesIO(write_bytes(frames, codec=codec, options=options))
        with av.open(source) as old, av.open(str(path), "w", options={"movflags": "faststart"}) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(old.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
    else:
        data = write_bytes(frames, format, codec=codec, options=options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        video = processor().decode(data[: int(len(data) * 0.6)])
    count = len(video.frames)
    assert 10 < count < len(frames)
    assert numbers(video.frames)[: count - 1] == [i // 3 for i in range(count - 1)]  # the last may be concealed
    if format != "mpegts":  # a transport stream does not say how long it ought to be
        assert video.metadata["truncated"] and video.metadata["warnings"]
        assert [str(w.message) for w in caught if w.category is SignXWarning] == [
            f"video (bytes): {text}" for text in video.metadata["warnings"]
        ]


class FailingFile(io.BytesIO):
    """Reads 60 per cent, then the connection is lost."""

    def read(self, size=-1):
        if self.tell() > 0.6 * len(self.getbuffer()):
            raise OSError("connection lost")
        return super().read(size)


@pytest.mark.parametrize(("codec", "pix_fmt", "tolerance"), [("ffv1", "bgr0", 0), ("libx264", "yuv420p", 4)])
def test_file_object_that_fails_gives_what_was_read(codec, pix_fmt, tolerance):
    frames = numbered(22, 96, 96)
    frames[:, :48] = np.random.default_rng(6).integers(0, 256, frames[:, :48].shape)
    data = write_bytes(frames, "matroska", codec=codec, pix_fmt=pix_fmt)
    readable = 0
    with av.open(FailingFile(data)) as container, contextlib.suppress(OSError):
        for packet in container.demux(video=0):
            readable += packet.dts is not None or packet.pts is not None
    with pytest.warns(SignXWarning, match="reading stopped early: connection lost"):
        video = processor(96, 96).decode(FailingFile(data))
    # The decoder's threads hold frames back: all of them come out, but for what the cut leaves without a reference.
    assert readable - 3 <= len(video.frames) <= readable + 1 and 5 < readable < 22 and video.metadata["truncated"]
    assert len(video.metadata["warnings"]) == 1  # the frames held back keep their timestamps
    kept = video.frames[:-2].astype(int)
    assert np.abs(kept[:, 56:] - frames[: len(kept), 56:]).max() <= tolerance


def test_damaged_middle_keeps_the_rest():
    frames = numbered(20)
    frames[:, :16] = np.random.default_rng(5).integers(0, 256, frames[:, :16].shape)
    data = bytearray(write_bytes(frames, "mov", codec="png", pix_fmt="rgb24"))
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    with pytest.warns(SignXWarning, match="damaged"):
        video = processor().decode(bytes(data))
    found = numbers(video.frames)
    assert found[:8] == list(range(8)) and found[-8:] == list(range(12, 20)) and video.metadata["truncated"]
    np.testing.assert_allclose(video.timestamps[-1], 19 / 30, atol=1e-3)  # what follows keeps its time


def test_playlist_cannot_open_anything_else(tmp_path):
    write(str(tmp_path / "private.ts"), numbered(3), format="mpegts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.3)
        text = playlist.format(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts")
        (tmp_path / "list.m3u8").write_text(text)
        for video in (tmp_path / "list.m3u8", text.encode()):
            messages = []
            thread = threading.Thread(
                target=lambda v=video, m=messages: m.append(message_of(SignXVideoError, lambda: processor().decode(v)))
            )
            thread.start()
            with pytest.raises(TimeoutError):
                server.accept()
            thread.join(20)
            assert len(messages) == 1
    local = playlist.format(f"file:{tmp_path}/private.ts")
    (tmp_path / "local.m3u8").write_text(local)
    for video in (local.encode(), tmp_path / "local.m3u8"):
        message_of(SignXVideoError, lambda v=video: processor().decode(v))


def test_file_handles_are_closed(tmp_path):
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc/self/fd on this system to count open files")
    path = Path(write(str(tmp_path / "a.mp4"), numbered(30 - 7)))
    (tmp_path / "bad.mp4").write_bytes(path.read_bytes()[:-300])

    def still_open():
        return [e for e in Path("/proc/self/fd").iterdir() if e.is_symlink() and str(tmp_path) in os.readlink(e)]

    processor().decode(path)
    stream = processor().iter_frames(path)
    next(stream)
    assert still_open()  # the measure can see an open file
    stream.close()
    message_of(SignXVideoError, lambda: processor().decode(tmp_path / "bad.mp4"))
    assert not still_open()


def test_option_errors():
    def text(**options):
        return message_of(SignXVideoError, lambda: SignXVideoProcessor(**options))

    assert "'max_frame'" in text(max_frame=3) and "'max_frames'?" in text(max_frame=3)
    assert "size, fps" in text(zzz=1)
    for name, values in {
        "fps": (0, float("nan"), "fast"),
        "max_frames": (-1, 2.5),
        "resize_mode": ("zoom",),
        "interpolation": ("magic",),
        "background": (256, 0.5),
        "image_mean": ([1, 2],),
        "image_std": (0,),
    }.items():
        for value in values:
            assert f"`{name}`" in text(**{name: value}) and repr(value) in text(**{name: value})
    assert "pad, crop, stretch" in text(resize_mode="zoom")
    assert "height=0" in text(size={"height": 0, "width": 4}) and "exactly" in text(size={"shortest_edge": 4})
    assert "exactly" in text(size={"height": 4, "width": 4, "depth": 4})
    assert "got 'tf'" in message_of(SignXVideoError, lambda: processor()(numbered(1), return_tensors="tf"))
    assert "`source_fps`" in message_of(SignXVideoError, lambda: processor()(numbered(1), source_fps=-1))
    assert (
        SignXVideoProcessor(processor_class="SignXProcessor", video_processor_type="SignXVideoProcessor").fps == 30.0
    )


# Real clips


@pytest.mark.parametrize(("name", "count", "size"), [("3381121", 136, (720, 720)), ("629983", 74, (256, 256))])
def test_real_clips(name, count, size):
    path = DATA / "asl_clips" / f"{name}.mp4"
    if not path.exists():
        pytest.skip(f"{path.name} is absent: set SIGNX_DATA to the folder of real clips")
    video = processor().decode(path)
    assert video.metadata["frames"] == video.metadata["frames_decoded"] == len(video.frames) == count
    assert (video.metadata["width"], video.metadata["height"]) == size and not video.metadata["warnings"]
    resampled = processor(fps=30).decode(path).frames
    assert np.array_equal(resampled, video.frames[sample_indices(video.timestamps, 30)])
