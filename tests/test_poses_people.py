"""Who of several people is the signer, on scenes whose truth is known; and extractors by name."""

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
from helpers import run_python

from signx_hf import SignXPoseError
from signx_hf.poses import TRACKS, extractor_class, load_extractor
from signx_hf.poses.base import Observation, TrackExtractor
from signx_hf.poses.people import (
    MAX_GAP,
    check_rule,
    choose_in_tracks,
    choose_signer,
    follow_people,
    match_signer,
    overlaps,
)

SIZE = (640, 360)


def person(who: int, x: float, y: float = 200, width: float = 80, height: float = 200, **data) -> Observation:
    """Somebody in the middle of (x, y); `who` is the truth, which nothing under test looks at."""
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Observation(box, 0.9, {"who": np.array([who]), **data})


def scene(frames: int, *people: Callable[[int], Observation | None], seed: int = 0) -> list[list[Observation]]:
    """Each frame's people, in a random order as detectors give them."""
    shuffle = random.Random(seed).shuffle
    result = []
    for t in range(frames):
        seen = [o for o in (make(t) for make in people) if o is not None]
        shuffle(seen)
        result.append(seen)
    return result


def truth(chosen) -> list[int | None]:
    return [None if o is None else int(o.data["who"][0]) for o in chosen]


def test_overlaps_are_those_of_counted_pixels():
    draw = np.random.default_rng(0)
    corners = draw.integers(0, 20, (2, 6, 2, 2))
    first, second = (np.concatenate([c.min(axis=1), c.max(axis=1)], axis=1).astype(float) for c in corners)
    union, cover = overlaps(first[:, None], second[None])
    for i, j in itertools.product(range(6), range(6)):
        pictures = []
        for left, top, right, bottom in (first[i], second[j]):
            picture = np.zeros((20, 20), dtype=bool)
            picture[int(top) : int(bottom), int(left) : int(right)] = True
            pictures.append(picture)
        common, either = (pictures[0] & pictures[1]).sum(), (pictures[0] | pictures[1]).sum()
        smaller = min(p.sum() for p in pictures)
        assert union[i, j] == pytest.approx(common / either if either else 0)
        assert cover[i, j] == pytest.approx(common / smaller if smaller else 0)


@pytest.mark.parametrize("seed", range(3))
def test_two_who_cross_keep_their_identity(seed):
    people = [lambda t: person(0, 100 + 8 * t), lambda t: person(1, 500 - 8 * t, y=205)]
    followed = follow_people(scene(50, *people, seed=seed))
    assert [set(truth(p.seen)) for p in followed] == [{0}, {1}]
    assert [p.frames for p in followed] == [list(range(50))] * 2


def test_crossing_while_both_are_lost():
    """At t = 25 they are in one place; the detector sees nobody from 22 to 28."""
    people = [lambda t: person(0, 100 + 8 * t), lambda t: person(1, 500 - 8 * t)]
    hidden = [lambda t, make=make: None if 22 <= t <= 28 else make(t) for make in people]
    followed = follow_people(scene(50, *hidden))
    assert [set(truth(p.seen)) for p in followed] == [{0}, {1}]


def test_one_hides_the_other_while_they_cross():
    people = [lambda t: person(0, 100 + 8 * t), lambda t: None if 20 <= t <= 30 else person(1, 500 - 8 * t)]
    assert truth(choose_signer(scene(50, *people), SIZE, 0)) == truth(choose_signer(scene(50, people[0]), SIZE, 0))


def test_largest_is_area_times_share_of_frames():
    big_but_leaving = lambda t: person(0, 100, width=120, height=240) if t < 10 else None  # noqa: E731
    small_but_staying = lambda t: person(1, 400)  # noqa: E731
    # 28,800 x 10/40 = 7,200 against 16,000; with 30 of 40 frames 21,600
    assert truth(choose_signer(scene(40, big_but_leaving, small_but_staying), SIZE, "largest")) == [1] * 40
    stays_longer = lambda t: person(0, 100, width=120, height=240) if t < 30 else None  # noqa: E731
    chosen = choose_signer(scene(40, stays_longer, small_but_staying), SIZE, "largest")
    assert truth(chosen) == [0] * 30 + [None] * 10


def test_a_moment_near_the_camera_does_not_make_the_largest():
    leans = lambda t: person(0, 100, width=400 if t == 7 else 80)  # noqa: E731
    assert truth(choose_signer(scene(20, leans, lambda t: person(1, 450, width=90)), SIZE, "largest")) == [1] * 20


def test_central_ignores_size_and_flickers():
    flicker = lambda t: person(2, 320, y=180, width=300) if t == 5 else None  # noqa: E731
    chosen = choose_signer(
        scene(20, lambda t: person(0, 90, width=160), lambda t: person(1, 380, width=40), flicker), SIZE, "central"
    )
    assert truth(chosen) == [1] * 20


def hands(x: float, y: float, seen: bool = True) -> np.ndarray:
    return np.tile(np.float32([x, y, seen]), (42, 1))


def test_active_is_movement_against_the_body_and_relative_to_size():
    def interpreter(t):  # small, in the corner, 12 pixels a frame
        return person(
            0,
            580,
            y=300,
            width=40,
            height=80,
            hands=hands(580, 300 + 12 * (t % 2)),
            anchor=np.float32([[580, 280, 1]]),
        )

    def presenter(t):  # large, breathes: 14 pixels a frame
        return person(
            1, 250, width=200, height=320, hands=hands(250, 200 + 14 * (t % 2)), anchor=np.float32([[250, 90, 1]])
        )

    def passer_by(t):  # walks 10 pixels a frame, arms still
        return person(2, 30 + 10 * t, y=300, width=40, height=80, hands=hands(30 + 10 * t, 310), anchor=np.float32([[30 + 10 * t, 280, 1]]))  # fmt: skip

    assert truth(choose_signer(scene(30, interpreter, presenter, passer_by), SIZE, "active")) == [0] * 30


def test_active_counts_only_points_that_were_seen():
    lost = lambda t: person(0, 100, wrists=np.float32([[100, 100, 1], [0, 0, 0] if t % 2 else [140, 300, 1]]))  # noqa: E731
    moves = lambda t: person(1, 400, wrists=np.float32([[400 + 3 * (t % 2), 100, 1], [430, 300, 1]]))  # noqa: E731
    assert truth(choose_signer(scene(20, lost, moves), SIZE, "active")) == [1] * 20


def test_active_falls_back_on_the_box():
    moves = lambda t: person(1, 400, width=80 + 12 * (t % 2))  # noqa: E731
    assert truth(choose_signer(scene(20, lambda t: person(0, 100, width=160), moves), SIZE, "active")) == [1] * 20


def test_index_counts_from_left_to_right_and_leaves_flickers_out():
    people = [lambda t: person(0, 520), lambda t: person(1, 120 + t), lambda t: person(2, 300)]
    flicker = lambda t: person(9, 30, width=20) if t in (3, 4) else None  # noqa: E731
    observed = scene(20, *people, flicker)
    assert [truth(choose_signer(observed, SIZE, i))[0] for i in range(3)] == [1, 2, 0]
    message = "person must be an index below 3 .*got 3"
    with pytest.raises(SignXPoseError, match=message):
        choose_signer(observed, SIZE, 3)


def test_flicker_of_the_detection_keeps_the_person():
    signer = lambda t: None if t % 5 in (2, 3) else person(0, 200 + 2 * np.sin(t))  # noqa: E731
    chosen = choose_signer(scene(60, signer, lambda t: person(1, 500, width=30)), SIZE, "largest")
    assert truth(chosen) == [None if t % 5 in (2, 3) else 0 for t in range(60)]


def followed_by_definition(observations) -> list[list[tuple[int, int]]]:
    """[(frame, who), ...] of each person, with arrays and without any short cut; for people whom no order decides between."""
    people: list[list] = []
    for frame, found in enumerate(observations):
        pairs = []
        for a, person in enumerate(people):
            frames, boxes = [t for t, _ in person[-5:]], np.array([o.box for _, o in person[-5:]])
            if frame - frames[-1] > MAX_GAP + 1:
                continue
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            velocity = (centres[-1] - centres[0]) / max(frames[-1] - frames[0], 1)
            coming = boxes[-1] + np.tile(velocity * (frame - frames[-1]), 2)
            for b, o in enumerate(found):
                box = np.array(o.box)
                overlap = max(float(overlaps(coming, box)[0]), 0.8 * float(overlaps(boxes[-1], box)[0]))
                if overlap >= 0.2:
                    pairs.append((overlap, a, b))
        used: set[tuple[str, int]] = set()
        for _, a, b in sorted(pairs, key=lambda pair: -pair[0]):
            if not {("a", a), ("b", b)} & used:
                used |= {("a", a), ("b", b)}
                people[a].append((frame, found[b]))
        people += [[(frame, o)] for b, o in sorted(enumerate(found), key=lambda f: f[1].box) if ("b", b) not in used]
    return [[(t, int(o.data["who"][0])) for t, o in person] for person in people]


@pytest.mark.parametrize("count, shown", [(1, 1.0), (1, 0.7), (1, 0.06), (2, 0.8), (4, 0.9)])
def test_people_are_followed_as_the_definition_says(count, shown):
    for seed in range(6):
        draw = np.random.default_rng(seed)
        steps = draw.normal(0, (2, 15, 40)[seed % 3], (60, count, 2))
        places = np.cumsum(steps, axis=0) + draw.uniform(100, 500, (count, 2))
        there = draw.random((60, count)) < shown
        sizes = draw.uniform(30, 120, (count, 2))
        observed = [[person(i, *place[i], *sizes[i]) for i in np.flatnonzero(t)] for place, t in zip(places, there)]
        for found in observed:
            random.Random(seed).shuffle(found)
        followed = [list(zip(p.frames, truth(p.seen))) for p in follow_people(observed)]
        assert followed == followed_by_definition(observed)


@pytest.mark.parametrize("lost, same", [(MAX_GAP, True), (MAX_GAP + 1, False)])
def test_gap_tolerance(lost, same):
    observed = scene(60, lambda t: None if 20 <= t < 20 + lost else person(0, 200))
    assert len(follow_people(observed)) == (1 if same else 2)


def test_who_stops_after_a_movement_is_the_same_after_a_gap():
    stops = lambda t: None if 10 <= t < 22 else person(0, 100 + 15 * min(t, 9))  # noqa: E731
    assert len(follow_people(scene(40, stops))) == 1


@pytest.mark.parametrize("rule", ["largest", "central", "active", 0, 1])
def test_the_order_of_people_in_a_frame_does_not_matter(rule):
    draw = np.random.default_rng(3)
    paths = np.cumsum(draw.normal(0, 6, (4, 40)), axis=1) + np.array([[120], [250], [380], [500]])
    shown = draw.random((4, 40)) < 0.8
    people = [lambda t, i=i: person(i, paths[i, t], width=70 + i) if shown[i, t] else None for i in range(4)]
    results = {tuple(truth(choose_signer(scene(40, *people, seed=seed), SIZE, rule))) for seed in range(6)}
    assert len(results) == 1


@pytest.mark.parametrize("rule", ["largest", "central", "active", 0])
def test_a_tie_goes_to_the_left(rule):
    for seed in range(4):
        observed = scene(10, lambda t: person(0, 220), lambda t: person(1, 420), seed=seed)
        assert truth(choose_signer(observed, SIZE, rule)) == [0] * 10


def test_nobody_and_whole_frames():
    assert choose_signer([[], [], []], SIZE, "active") == [None] * 3
    assert choose_signer([], SIZE) == []
    picture = Observation((0, 0, 640, 360), 1.0, {}, whole_frame=True)
    assert choose_signer([[picture], [], [picture]], SIZE, 5) == [picture, None, picture]
    assert match_signer([[picture], []], [None, None]) == [picture, None]


@pytest.mark.parametrize("rule, expected", [("largest", "largest"), ("2", 2), (3, 3), (np.int64(1), 1)])
def test_rules(rule, expected):
    assert check_rule(rule) == expected and type(check_rule(rule)) is type(expected)


@pytest.mark.parametrize(
    "rule, message",
    [
        ("largets", "'largets'; did you mean 'largest'\\? .*or an index"),
        ("-1", "person '-1'"),
        (-1, "person -1"),
        (True, "person True"),
        (1.0, "person 1.0"),
        (None, "person None"),
        ("", "person ''"),
        ("²", "person '²'"),
    ],
)
def test_bad_rules(rule, message):
    with pytest.raises(SignXPoseError, match=message):
        choose_signer([[]], SIZE, rule)


def test_second_extractor_takes_the_person_in_the_boxes():
    """Its boxes are narrower, it lists both, and at t = 25 the two stand in one place."""
    first = scene(50, lambda t: person(0, 100 + 8 * t, width=90), lambda t: person(1, 500 - 8 * t, y=215))
    second = scene(50, lambda t: person(0, 100 + 8 * t, width=60), lambda t: person(1, 500 - 8 * t, y=215), seed=1)
    boxes = [o.box for o in choose_signer(first, SIZE, 0)]
    assert truth(match_signer(second, boxes)) == [0] * 50


def test_second_extractor_keeps_the_person_while_the_first_lost_the_signer():
    second = scene(30, lambda t: person(0, 200), lambda t: person(1, 400, width=200))
    boxes = [None if 5 <= t < 20 else person(0, 200).box for t in range(30)]
    assert truth(match_signer(second, boxes)) == [0] * 30
    assert match_signer(second, [None] * 30) == [None] * 30


def test_second_extractor_that_follows_somebody_else_is_not_believed():
    second = scene(10, lambda t: person(1, 500))
    assert match_signer(second, [person(0, 200).box] * 10) == [None] * 10


def test_a_detector_that_boxes_the_whole_picture_is_believed():
    second = [[Observation((0, 0, *SIZE), 0.8, {"who": np.array([0])})] for _ in range(5)]
    assert truth(match_signer(second, [person(0, 200).box] * 5)) == [0] * 5


def test_match_refuses_clips_of_different_length():
    with pytest.raises(SignXPoseError, match="match_signer: .*got 1 and 2"):
        match_signer([[]], [None, None])


def test_tracks_agree_whoever_comes_first():
    """The single-person track followed the small one; the rule says the largest."""
    both = scene(20, lambda t: person(0, 150, width=120), lambda t: person(1, 450, width=60))
    single = scene(20, lambda t: person(1, 450, width=60) if t < 12 else person(0, 150, width=120))
    picture = [[Observation((0, 0, *SIZE), 1.0, {"who": np.array([7])}, whole_frame=True)]] * 20
    tracks = {"mediapipe": single, "dwpose": both, "sapiens": picture}
    for names in itertools.permutations(tracks):
        chosen = choose_in_tracks({name: tracks[name] for name in names}, SIZE, "largest")
        assert list(chosen) == list(names)
        assert truth(chosen["dwpose"]) == [0] * 20
        assert truth(chosen["mediapipe"]) == [None] * 12 + [0] * 8
        assert truth(chosen["sapiens"]) == [7] * 20
    assert choose_in_tracks({}, SIZE) == {}


def test_extractors_by_name(monkeypatch, tmp_path):
    (tmp_path / "own_extractor_of_test.py").write_text("from own_extractors import MeanExtractor\nOTHER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = "own_extractor_of_test:MeanExtractor"
    assert load_extractor(own, scale=2.0).scale == 2.0
    for track in ("mediapipe", "dwpose"):
        loaded = extractor_class(track)
        assert issubclass(loaded, TrackExtractor) and loaded.name == track
    for call, message in (
        (lambda: load_extractor("mediapip"), "'mediapip'; did you mean 'mediapipe'\\?"),
        (lambda: load_extractor(None), "None; choose one of mediapipe, hands, dwpose"),
        (lambda: load_extractor(own), "option 'scale' is required"),
        (lambda: load_extractor(own, scale=1.0, shfit=2), "unknown option 'shfit'; did you mean 'shift'\\?"),
        (lambda: load_extractor("no_such_module_x:A"), "the module 'no_such_module_x' cannot be imported"),
        (lambda: load_extractor("own_extractor_of_test:OTHER"), "'OTHER' in own_extractor_of_test must be a subclass .*got 1"),
        (lambda: load_extractor("own_extractor_of_test:Absent"), "'Absent' in own_extractor_of_test must be .*got None"),
        (lambda: load_extractor(":A"), "the module '' cannot be imported"),
    ):  # fmt: skip
        with pytest.raises(SignXPoseError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert list(TRACKS) == ["mediapipe", "hands", "dwpose", "sapiens", "primedepth", "smplerx"]


def test_importing_the_package_is_light(tmp_path):
    code = "import sys, signx_hf.poses\nprint([m for m in ('torch', 'numpy', 'mediapipe', 'cv2', 'av') if m in sys.modules])"
    assert run_python(code, tmp_path).strip() == "[]"
