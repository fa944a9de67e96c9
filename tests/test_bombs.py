"""What is computed before it is allocated: small files that would fill the memory, and work that grew with its square."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import bomb_inputs
import numpy as np
import pytest
from bomb_inputs import CASES, person
from conftest import ROOT

from signx_hf import SignXPoseFeatureExtractor, SignXVideoError, SignXVideoProcessor
from signx_hf.processing.errors_signx import SignXPoseError
from signx_hf.processing.frame_rendering_signx import FrameGeometry, FrameRenderer, SourceFrame
from signx_hf.processing.memory_signx import MAX_PEOPLE, check_picture
from signx_hf.processing.pose_readers_signx import openpose_person, openpose_rows
from signx_hf.processing.sampling_signx import sample_count, sample_indices, sample_instants, thin_instants

MOST = 1024  # MiB of a process, torch and transformers included


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Case -> what it was answered and the peak of its memory; all in one process, which imports torch once."""
    paths = os.pathsep.join([str(ROOT), str(Path(bomb_inputs.__file__).parent)])
    run = subprocess.run(
        [sys.executable, bomb_inputs.__file__, str(tmp_path_factory.mktemp("bombs"))],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return {answer["case"]: answer for answer in found} or pytest.fail(run.stderr[-2000:])


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks of memory are read from Linux's /proc")
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_input_is_answered_in_less_than_a_gibibyte(case, answers):
    answer, expected = answers[case], CASES[case][1]
    assert answer["peak"] < MOST
    if expected is None:
        assert answer["error"] == "NoneType", answer["message"]
    else:
        assert expected in answer["message"] and "\n" not in answer["message"]


# ------------------------------------------------------------------------------------------------------- OpenPose JSON


def calls(function, *args) -> int:
    """Count the calls, of Python and C functions, that a call makes: a measure of work that no busy machine changes."""
    count = 0

    def see(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", ["empty people", "new people"])
def test_work_grows_with_the_number_of_people_and_not_its_square(kind, tmp_path):
    counts = []
    for size in (150, 300):
        if kind == "empty people":
            frames = [{"people": [{}] * size}, {"people": [*([{}] * size), person(50)]}]
        else:
            frames = [{"people": [person(1000.0 * t + 50)]} for t in range(size)]
        path = tmp_path / f"{size}.json"
        path.write_text(json.dumps(frames))
        counts.append(calls(openpose_rows, path))
    assert counts[1] < 2.2 * counts[0]


def overlap(a, b):
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
    return common / union if union > 0 else 0.0


def followed_by_hand(frames):
    """Who is who, comparing everybody with everybody ever seen: the rule itself, however long it takes."""
    known, last, out = {}, {}, []
    for people in frames:
        boxes, ids = [], [p.get("person_id", [-1])[0] for p in people]
        for p in people:
            xy = np.array(p["pose_keypoints_2d"]).reshape(-1, 3)[:, :2]
            boxes.append(np.concatenate([xy.min(axis=0), xy.max(axis=0)]))
        columns = [known.get(name, -1) if name >= 0 else -1 for name in ids]
        pairs = [(-overlap(last[c], boxes[i]), c, i) for c in last for i, name in enumerate(ids) if name < 0]
        for value, column, i in sorted(pairs):
            if -value > 0.2 and column not in columns and columns[i] < 0:
                columns[i] = column
        for i, name in enumerate(ids):
            if columns[i] < 0 or columns.index(columns[i]) != i:
                columns[i] = max([-1, *last, *columns]) + 1
            if name >= 0:
                known[name] = columns[i]
            last[columns[i]] = boxes[i]
        out.append(columns)
    return out


def crowd(seed, frames=25):
    """People who walk, cross, vanish, come back and are sometimes numbered."""
    rng = np.random.default_rng(seed)
    places, sizes = rng.uniform(0, 400, (5, 2)), rng.uniform(20, 120, 5)
    out = []
    for _ in range(frames):
        places = places + rng.normal(0, 20, places.shape)
        people = []
        for number in rng.permutation(5)[: rng.integers(0, 6)]:
            xy = places[number] + rng.uniform(0, sizes[number], (18, 2))
            values = np.concatenate([xy, rng.uniform(0.1, 1, (18, 1))], axis=1)
            name = int(number) if rng.random() < 0.2 else -1
            people.append({"person_id": [name], "pose_keypoints_2d": values.ravel().tolist()})
        out.append(people)
    return out


@pytest.mark.parametrize("seed", range(6))
def test_people_are_followed_as_by_comparing_everybody(seed, tmp_path):
    frames = crowd(seed)
    path = tmp_path / "crowd.json"
    path.write_text(json.dumps([{"people": people} for people in frames]))
    columns = followed_by_hand(frames)
    count = 1 + max(column for row in columns for column in row)
    sizes = []
    for index in range(count):
        rows, found = openpose_person(path, index)
        assert found == count
        areas = []
        for row, people, places in zip(rows, frames, columns):
            if index not in places:
                assert np.isnan(row).all()
                continue
            points = np.array(people[places.index(index)]["pose_keypoints_2d"]).reshape(-1, 3)
            np.testing.assert_array_equal(row[: 18 * 3].reshape(-1, 3), points)
            areas.append(np.prod(np.ptp(points[:, :2], axis=0)))
        sizes.append(np.median(areas) * len(areas) / len(frames))
    np.testing.assert_array_equal(openpose_rows(path), openpose_person(path, int(np.argmax(sizes)))[0])


def test_an_empty_person_is_nobody_and_too_many_are_refused(tmp_path):
    path = tmp_path / "people.json"
    path.write_text(json.dumps([{"people": [{}, person(50), {}]}, {"people": [{}, {}, person(52)]}]))
    rows, people = openpose_person(path, 0)
    assert people == 1 and np.isfinite(rows).all()
    path.write_text(json.dumps([{"people": [person(50)] * (MAX_PEOPLE + 1)}]))
    with pytest.raises(SignXPoseError, match="at most 200 people, got 201"):
        openpose_rows(path)


# ------------------------------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize("seed", range(4))
def test_thinning_before_or_after_allocating_takes_the_same_moments(seed):
    rng = np.random.default_rng(seed)
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(0.001, 2.0, 80))])
    for fps in (None, 3.0, 29.97, 120.0):
        every = sample_instants(times, fps)
        assert len(every) == sample_count(times, fps)
        for most in (1, 2, 7, 50, 10**6):
            np.testing.assert_array_equal(sample_instants(times, fps, most), thin_instants(every, most))
            assert len(sample_indices(times, fps, most)) == min(most, len(every))


def test_a_slow_recording_of_a_few_minutes_is_still_filled():
    processor = SignXVideoProcessor(size={"height": 8, "width": 8}, fps=30.0)
    assert processor.decode(np.zeros((300, 8, 8, 3), np.uint8), source_fps=3.0).metadata["frames"] > 2900
    rows = np.ones((200, 258))
    extractor = SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, normalize=False)
    assert extractor({"mediapipe": rows, "timestamps": np.arange(200) / 2})["pose_values"].shape[1] > 2900


def test_a_few_frames_that_fill_hours_are_refused_whatever_reads_them(tmp_path):
    path = bomb_inputs.write_slow_video(tmp_path / "slow.mkv", frames=80)
    processor = SignXVideoProcessor(size={"height": 8, "width": 8}, fps=30.0)
    with pytest.raises(SignXVideoError, match="mostly copies"):
        processor.decode(path)
    with pytest.raises(SignXVideoError, match="mostly copies"):
        list(processor.iter_frames(path))
    thinned = SignXVideoProcessor(size={"height": 8, "width": 8}, fps=30.0, max_frames=20)
    with pytest.warns(UserWarning, match="thinned"):
        assert len(thinned.decode(path).frames) == 20


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("shape", [(1, 1), (63, 5), (200, 33), (65, 130)])
@pytest.mark.parametrize("background", [0, 100])
def test_transparent_pictures_are_flattened_as_in_one_piece(shape, background):
    rgba = np.random.default_rng(0).integers(0, 256, (*shape, 4), dtype=np.uint8)
    wide = rgba.astype(np.uint16)
    flat = (wide[..., :3] * wide[..., 3:] + background * (255 - wide[..., 3:]) + 127) // 255
    geometry = FrameGeometry(*shape, background=background, interpolation="nearest")
    shown = FrameRenderer(geometry)(SourceFrame(av.VideoFrame.from_ndarray(rgba, format="rgba")))
    np.testing.assert_array_equal(shown, flat)


def test_pictures_of_8k_are_read_and_larger_ones_named_with_their_size():
    check_picture(7680, 4320, "clip")
    check_picture(8192, 8192, "clip")
    with pytest.raises(SignXVideoError, match="clip.*8193x8192 = 67,117,056"):
        check_picture(8193, 8192, "clip")
    with pytest.raises(SignXVideoError, match="at most 67,108,864 pixels"):  # an array that takes no memory
        SignXVideoProcessor().decode(np.broadcast_to(np.uint8(0), (2, 9000, 9000, 3)))
