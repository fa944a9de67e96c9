"""MediaPipe Hands as a track: rows against landmarks that others extracted, layout, several people, options, the command."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import data_folder

from signx_hf import SignXPoseError
from signx_hf.poses import load_extractor
from signx_hf.poses.base import Clip
from signx_hf.poses.people import choose_in_tracks
from signx_hf.processing.keypoints_signx import HANDS_LAYOUT
from signx_hf.processing.mediapipe_signx import FAR_SHARE, HANDS_OPTIONS, LandmarkGraph, hand_sizes, hands_row
from signx_hf.processing.video_decoding_signx import iter_video, open_video

pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")

SIZE = (1280, 720)


def frames_of(video: str, start: int = 0, stop: int | None = None) -> list[np.ndarray]:
    path = str(data_folder("wlasl_videos") / f"{video}.mp4")
    return [frame for _, frame in iter_video(open_video(path), None, None)][start:stop]


def rows_of(frames, **options) -> np.ndarray:
    """[T, 2, 21, 3], NaN where no hand is in a slot."""
    extractor = load_extractor("hands", **options)
    out = np.full((len(frames), 2, 21, 3), np.nan, np.float32)
    size = (frames[0].shape[1], frames[0].shape[0])
    for row, found in zip(out, extractor.extract(frames, Clip("clip", 30.0, size))):
        if found:
            row[:] = extractor.to_row(found[0]).reshape(2, 21, 3)
            row[~row.any(axis=(1, 2))] = np.nan
    return out


def published(video: str) -> np.ndarray:
    """The landmarks of a WLASL clip as somebody else extracted them, [T, 2, 21, 3]."""
    content = np.load(data_folder("wlasl_hands") / "wlasl2000.npz")
    clip = content["video_id"].astype(str).tolist().index(video)
    start = int(content["length"][:clip].sum())
    present = content["present"][start : start + int(content["length"][clip])]
    first = int(content["present"][:start].sum())
    full = np.full((*present.shape, 21, 3), np.nan, np.float32)
    full[present] = content["hands"][first : first + int(present.sum())]
    return full


def test_rows_are_those_of_the_published_landmarks():
    found, expected = rows_of(frames_of("69547")), published("69547")
    assert found.shape == expected.shape
    seen, known = ~np.isnan(found[..., 0, 0]), ~np.isnan(expected[..., 0, 0])
    assert (seen.any(axis=1) == known.any(axis=1)).mean() >= 0.98
    same = [t for t in range(len(found)) if seen[t].sum() == known[t].sum() > 0]
    assert len(same) >= 0.9 * known.any(axis=1).sum()
    distances = []
    for t in same:  # slots are in the order of the detector, which may differ
        one, other = found[t][seen[t]], expected[t][known[t]]
        orders = [other, other[::-1]]
        distances.append(min((np.abs(one - order) for order in orders), key=np.mean))
    assert np.median(np.concatenate([d.ravel() for d in distances])) < 0.003


def landmarks(hand: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(landmark=[SimpleNamespace(x=x, y=y, z=z) for x, y, z in hand.tolist()])


def hand_at(x: float, y: float, scale: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-scale, scale, (21, 3)) + (x, y, 0.0)


def test_row_follows_the_landmark_names_of_the_library():
    import mediapipe as mp

    points = mp.solutions.hands.HandLandmark
    hands = [np.array([[i, 0.5 * i, 0.25 * i] for i in range(len(points))]) + base for base in (0.0, 0.125)]
    row = hands_row(SimpleNamespace(multi_hand_landmarks=[landmarks(hand) for hand in hands]), SIZE)
    assert row.shape == (126,) and row.dtype == np.float32
    for slot, base in enumerate((0.0, 0.125)):
        for point in points:
            i = point.value
            at = row[(slot * 21 + i) * 3 :][:3]
            np.testing.assert_array_equal(at, [i + base, 0.5 * i + base, 0.25 * i + base])
    one = hands_row(SimpleNamespace(multi_hand_landmarks=[landmarks(hands[1])]), SIZE)
    np.testing.assert_array_equal(one[:63], row[63:])
    assert not one[63:].any()
    assert hands_row(SimpleNamespace(multi_hand_landmarks=None), SIZE) is None


def test_of_several_people_the_nearest_hands_are_taken():
    near, second = hand_at(0.3, 0.6, 0.06), hand_at(0.6, 0.6, 0.05, seed=1)
    far = [hand_at(0.8, 0.2, 0.015, seed=2), hand_at(0.85, 0.2, 0.016, seed=3)]

    def row(*hands):
        return hands_row(SimpleNamespace(multi_hand_landmarks=[landmarks(hand) for hand in hands]), SIZE).reshape(
            2, 21, 3
        )

    np.testing.assert_allclose(row(far[0], near, far[1], second), [near, second], rtol=1e-6)
    np.testing.assert_allclose(row(second, far[0], near), [second, near], rtol=1e-6)
    alone = row(far[0], near)
    np.testing.assert_allclose(alone[0], near, rtol=1e-6)
    assert not alone[1].any()
    sizes = hand_sizes(np.stack([near, second, far[0]]), SIZE)
    assert sizes[1] > FAR_SHARE * sizes[0] > sizes[2]


def test_hands_of_somebody_in_the_background_are_left_out():
    """A real signer of one-handed `you` close by, and at the border somebody whose hands are a third as large."""
    signer, other = frames_of("69547", 20, 32), frames_of("69544", 25, 37)
    frames = [np.repeat(np.repeat(frame[240:600, 250:890], 2, axis=0), 2, axis=1) for frame in signer]
    for frame, small in zip(frames, other):
        frame[:360, :340] = small[::2, 300:980:2]
    graph_sees = hands_seen_by_the_graph(frames)
    assert np.mean([count == 2 for count in graph_sees]) > 0.8
    found = rows_of(frames)
    assert not np.isnan(found[:, 0]).any() and np.isnan(found[:, 1]).all()
    assert (found[:, 0, 0, 0] > 0.3).all()  # the signer's wrist, and not the one at the border


def hands_seen_by_the_graph(frames) -> list[int]:
    with LandmarkGraph("hands", HANDS_OPTIONS) as graph:
        return [len(graph.process(frame).multi_hand_landmarks or ()) for frame in frames]


def test_a_clip_gives_the_same_rows_alone_or_after_another():
    first, second = frames_of("69544", 20, 28), frames_of("69545", 20, 26)
    alone = rows_of(first)
    extractor = load_extractor("hands")
    streams = [iter(extractor.extract(frames, Clip("clip", 30.0, SIZE))) for frames in (second, first)]
    found = [[next(stream) for stream in streams][1] for _ in range(4)]  # in turns, and left unfinished
    for stream in streams:
        stream.close()
    for row, seen in zip(alone, found):
        expected = np.nan_to_num(row).reshape(-1)
        np.testing.assert_array_equal(extractor.to_row(seen[0]) if seen else np.zeros(126), expected)
    np.testing.assert_array_equal(rows_of(first), alone)


def test_the_rule_for_people_passes_hands_through():
    """A box around two hands that come and go follows nobody, so no frame may be lost to the choice."""
    frames = frames_of("69544", 10, 40)
    extractor = load_extractor("hands")
    found = list(extractor.extract(frames, Clip("clip", 30.0, SIZE)))
    for rule in ("largest", "central", "active", 0):
        chosen = choose_in_tracks({"hands": found}, SIZE, rule)["hands"]
        assert [person is None for person in chosen] == [not seen for seen in found]
    for (hands,) in (seen for seen in found if seen):
        left, top, right, bottom = hands.box
        assert 0 <= left < right <= 1280 and 0 <= top < bottom <= 720


def test_layout_and_options():
    extractor = load_extractor("hands")
    notes = extractor.layout.notes()
    assert notes["hands.layout"] == HANDS_LAYOUT and "fractions" in notes["hands.units"]
    others = [{"max_num_hands": 4}, {"min_detection_confidence": 0.4}, {"min_tracking_confidence": 0.4}]
    others.append({"model_complexity": 0})
    assert len({load_extractor("hands", **o).fingerprint for o in others} | {extractor.fingerprint}) == 5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_num_hands": 0}, "max_num_hands must be an integer from 1 to 8, got 0"),
        ({"max_num_hands": True}, "got True"),
        ({"max_num_hands": 2.5}, "got 2.5"),
        ({"model_complexity": 2}, "model_complexity must be 0 or 1, got 2"),
        ({"min_detection_confidence": -0.1}, "hands: min_detection_confidence must be .* got -0.1"),
        ({"hands": 2}, "hands: unknown option 'hands'; did you mean 'max_num_hands'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(SignXPoseError, match=message):
        load_extractor("hands", **options)
