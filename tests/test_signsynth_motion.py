"""SignSynth in motion: the arm reaches what it shall, signs are where and when they say, signers differ and repeat."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mannequin", reason="needs the extra synth: pip install 'signx_hf[synth]'")

import signsynth_separability as separability  # noqa: E402

from signx_hf import SignXError  # noqa: E402
from signx_hf.data.signsynth import kinematics, skeleton  # noqa: E402
from signx_hf.data.signsynth.handshapes import hand_pose  # noqa: E402
from signx_hf.data.signsynth.lexicon import lexicon  # noqa: E402
from signx_hf.data.signsynth.motion import HeadSpan, mirror_rows, perform, sign_key_times  # noqa: E402
from signx_hf.data.signsynth.phonology import BODY_LOCATIONS, Sign, body, minimal_pairs, spell  # noqa: E402
from signx_hf.data.signsynth.signers import STYLE, signers  # noqa: E402

AT = skeleton.INDEX
SHAPES = [(0.0,) * 10, (2.0, -1.0, 0.5, *[0.0] * 7), (-1.8, 1.5, 0.0, 0.3, *[0.0] * 6)]
CROWD = signers(30, 0)
RIGHT = next(s for s in CROWD if not s.left_handed)
LEFT = next(s for s in CROWD if s.left_handed)


def _places(motion, signer):
    return skeleton.joint_transforms(motion.rows, signer.shape)[:, :, :3, 3].astype(np.float64)


def _token(sign, signer, seed=0, fps=25.0):
    return perform([sign], signer, np.random.default_rng(seed), fps)


def _frame(motion, seconds):
    return int(round(seconds * motion.fps))


# -- rotations ------------------------------------------------------------------------------------------------------------


def test_rotations_agree_with_scipy():
    spatial = pytest.importorskip("scipy.spatial.transform")
    draw = np.random.default_rng(0)
    vectors = np.concatenate(
        [draw.normal(size=(200, 3)), np.zeros((1, 3)), [[np.pi, 0, 0], [0, 3.14, 0], [1e-7, 0, 0]]]
    )
    known = spatial.Rotation.from_rotvec(vectors)
    np.testing.assert_allclose(kinematics.to_matrix(vectors), known.as_matrix(), atol=1e-12)
    quaternions = kinematics.to_quaternion(known.as_matrix())
    np.testing.assert_allclose(np.abs((quaternions[:, [1, 2, 3, 0]] * known.as_quat()).sum(1)), 1, atol=1e-9)
    again = spatial.Rotation.from_rotvec(kinematics.to_vector(known.as_matrix()))
    assert (again * known.inv()).magnitude().max() < 1e-6
    for one, two, share in zip(range(0, 100), range(100, 200), draw.random(100)):
        line = spatial.Slerp([0, 1], known[[one, two]])
        mine = kinematics.slerp(quaternions[one], quaternions[two], share)
        assert (spatial.Rotation.from_matrix(mine) * line(share).inv()).magnitude() < 1e-6


def test_minimum_jerk_and_ease_go_from_0_to_1_and_stand_still_at_both_ends():
    share = np.linspace(-0.2, 1.2, 1401)
    for curve in (kinematics.minimum_jerk(share), kinematics.ease(share)):
        assert curve[0] == 0 and curve[-1] == 1 and (np.diff(curve) >= -1e-12).all()
        speed = np.diff(curve) / np.diff(share)
        assert speed[:201].max() < 0.02 and speed[-201:].max() < 0.02 and speed.max() < 1.9


# -- the arm --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", ["R", "L"])
def test_the_arm_reaches_every_reachable_place_within_a_millimetre(shape, side):
    """Solved for the arm alone, then posed by the mannequin: its wrist is where it was asked to be, the hand as turned."""
    draw = np.random.default_rng(1)
    limb = kinematics.arm(shape, side)
    flip = kinematics.MIRROR if side == "L" else np.ones(3)
    shoulder = kinematics.rest_joints(shape)[AT[f"{side}_Shoulder"]] * flip
    away = kinematics.unit(draw.normal(size=(60, 3)) + [0, -0.3, 0.8])
    wrist = shoulder + away * draw.uniform(0.35, 0.99, (60, 1)) * limb.length
    fingers = kinematics.unit(draw.normal(size=(60, 3)) + 1.5 * away)
    hand = kinematics.hand_rotation(fingers, draw.normal(size=(60, 3)))
    parent = np.broadcast_to(np.eye(3), (60, 3, 3))
    local, reached = kinematics.solve_arm(limb, parent, shoulder, wrist, hand, np.array([-0.4, -1.0, -0.3]))
    np.testing.assert_allclose(reached, wrist, atol=1e-9)
    rows = np.zeros((60, 55, 3), np.float32)
    names = [AT[f"{side}_{name}"] for name in ("Shoulder", "Elbow", "Wrist")]
    rows[:, names] = kinematics.to_vector(local) * (-flip if side == "L" else 1)
    found = skeleton.joint_transforms(rows.reshape(60, -1), shape)
    assert np.abs(found[:, AT[f"{side}_Wrist"], :3, 3] - wrist * flip).max() < 1e-3
    bend = np.linalg.norm(kinematics.to_vector(local[:, 2]), axis=-1)
    free = bend < 0.99 * kinematics.WRIST_FREE
    assert 0.2 < free.mean() < 1 and bend.max() <= kinematics.WRIST_END + 1e-9
    wanted = kinematics.mirror_rotation(hand) if side == "L" else hand
    np.testing.assert_allclose(found[free][:, AT[f"{side}_Wrist"], :3, :3], wanted[free], atol=1e-4)


def test_beyond_its_reach_the_arm_points_at_the_target():
    limb = kinematics.arm(SHAPES[0], "R")
    shoulder, eye = np.zeros(3), np.eye(3)
    target = np.array([-1.0, 1.0, 2.0])
    _, reached = kinematics.solve_arm(limb, eye, shoulder, target, eye, np.array([0.0, -1.0, 0.0]))
    np.testing.assert_allclose(np.cross(reached, target), 0, atol=1e-9)
    assert 0.98 * limb.length < np.linalg.norm(reached) < limb.length


def test_hand_points_are_where_the_mannequin_has_them():
    rows = np.zeros((1, 55, 3), np.float32)
    rows[:, skeleton.RIGHT_HAND] = hand_pose("W")
    joints = skeleton.joint_transforms(rows.reshape(1, -1))[0, :, :3, 3]
    mine = kinematics.hand_points(hand_pose("W"), kinematics.arm(SHAPES[0], "R").fingers) + joints[AT["R_Wrist"]]
    np.testing.assert_allclose(mine[[1, 2, 3, 5, 6, 7, 9, 10, 11]], joints[skeleton.RIGHT_HAND][:9], atol=1e-5)
    skin = skeleton.figure().vertices(skeleton.to_mannequin(rows.reshape(1, -1)))[0]
    tips = np.linalg.norm(skin[:, None] - mine[[4, 8, 12, 16, 20]], axis=-1).min(0)
    assert tips.max() < 0.012, "the tips end at the skin"


# -- signs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", [CROWD[0], CROWD[1], LEFT], ids=["one", "other", "left-handed"])
@pytest.mark.parametrize("location", BODY_LOCATIONS)
def test_the_hand_touches_the_place_of_the_sign_and_does_not_enter_the_body(location, signer):
    palm, fingers = ("back", "in") if location in ("neck", "chest", "belly", "shoulder", "upper-arm") else ("in", "up")
    still = replace(signer, style={**signer.style, "lowering": 0.0, "reduction": 0.0, "jitter": 0.0, "sway": 0.0})
    motion = _token(Sign("X", "flat", location, "hold", palm, fingers), still)
    frame = _frame(motion, np.mean([motion.spans[0].start, motion.spans[0].end]))
    joints = _places(motion, still)[frame]
    flip = kinematics.MIRROR if still.left_handed else np.ones(3)
    side = "L" if still.left_handed else "R"
    hand = np.concatenate(
        [joints[skeleton.LEFT_HAND if side == "L" else skeleton.RIGHT_HAND], [joints[AT[f"{side}_Wrist"]]]]
    )
    anchor = body(still.shape).anchors[location].point * flip
    assert np.linalg.norm(hand - anchor, axis=-1).min() < 0.05
    # the hand is before the skin of trunk and head, wherever both are seen from the front
    rest = np.zeros(skeleton.WIDTH, np.float32)
    skin = skeleton.figure(still.shape).vertices(skeleton.to_mannequin(rest))
    trunk = skin[np.abs(skin[:, 0]) < 0.12]
    for point in hand:
        near = trunk[np.linalg.norm(trunk[:, :2] - point[:2], axis=-1) < 0.015]
        if len(near):
            assert point[2] > near[:, 2].max() - 0.012, f"{location}: {point} is behind the skin"


@pytest.mark.parametrize("signer", [RIGHT, LEFT], ids=["right", "left"])
def test_the_dominant_hand_signs_and_the_other_one_rests(signer):
    motion = _token(Sign("X", "5", "neutral-high", "circle", "forward", "up"), signer)
    travel = np.linalg.norm(np.diff(_places(motion, signer), axis=0), axis=-1).sum(0)
    mine, other = ("L", "R") if signer.left_handed else ("R", "L")
    assert travel[AT[f"{mine}_Wrist"]] > 8 * travel[AT[f"{other}_Wrist"]]


def test_a_left_handed_signer_is_the_mirror_image():
    sign = Sign("X", "V", "cheek", "forward", "in", "up", head="nod")
    lefty = replace(RIGHT, left_handed=True)
    right, left = _token(sign, RIGHT), _token(sign, lefty)
    assert left.spans == right.spans
    mirrored = _places(right, RIGHT) * kinematics.MIRROR
    wrist = _places(left, lefty)[:, AT["L_Wrist"]]
    # not exact: the two halves of an SMPL-X body differ by millimetres
    assert np.linalg.norm(wrist - mirrored[:, AT["R_Wrist"]], axis=-1).max() < 0.03
    np.testing.assert_allclose(mirror_rows(mirror_rows(right.rows)), right.rows)


def test_symmetric_signs_are_symmetric_and_alternating_ones_take_turns():
    signer = replace(RIGHT, style={**RIGHT.style, "asymmetry": 0.0, "jitter": 0.0, "sway": 0.0})
    wrists = {}
    for hands in ("symmetric", "alternating"):
        motion = _token(Sign("X", "5", "neutral-out", "up", "down", "forward", hands=hands), signer)
        span = slice(_frame(motion, motion.spans[0].start), _frame(motion, motion.spans[0].end))
        wrists[hands] = _places(motion, signer)[span][:, [AT["L_Wrist"], AT["R_Wrist"]], 1]
    left, right = wrists["symmetric"].T
    assert np.abs(left - right).max() < 0.03 and np.ptp(left) > 0.08
    left, right = wrists["alternating"].T
    assert np.corrcoef(left, right)[0, 1] < -0.95 and np.ptp(left) > 0.08


def test_the_base_hand_holds_still_and_the_other_one_comes_to_it():
    sign = Sign("X", "S", "base-hand", "tap", "down", "forward", hands="base", base_handshape="flat")
    motion = _token(sign, RIGHT)
    span = slice(_frame(motion, motion.spans[0].start) + 1, _frame(motion, motion.spans[0].end))
    joints = _places(motion, RIGHT)[span]
    palm, fist = joints[:, AT["L_Middle1"]], joints[:, AT["R_Middle1"]]
    assert np.ptp(palm, axis=0).max() < 0.015
    distance = np.linalg.norm(palm - fist, axis=-1)
    assert distance.min() < 0.11 and np.ptp(fist[:, 1]) > 0.04
    assert (fist[:, 1] > palm[:, 1] - 0.01).all(), "from above: the base palm looks up"


def test_local_movements_and_changes_of_handshape_show():
    plain = {"handshape": "5", "location": "neutral", "path": "hold", "palm": "forward", "fingers": "up"}
    rows = {}
    for name, more in {
        "none": {}, "wiggle": {"local": "wiggle"}, "twist": {"local": "twist"}, "nod": {"local": "nod"},
        "close": {"final_handshape": "S"},
    }.items():  # fmt: skip
        motion = _token(Sign("X", **plain, **more), RIGHT)
        span = slice(_frame(motion, motion.spans[0].start) + 1, _frame(motion, motion.spans[0].end))
        rows[name] = motion.rows[span].reshape(-1, 55, 3)
    fingers = {name: np.ptp(found[:, skeleton.RIGHT_HAND], axis=0).max() for name, found in rows.items()}
    arm = {name: np.ptp(found[:, [AT["R_Elbow"], AT["R_Wrist"]]], axis=0).max() for name, found in rows.items()}
    assert (
        fingers["wiggle"] > 0.2
        and fingers["close"] > 1.0
        and max(fingers["none"], fingers["twist"], fingers["nod"]) < 0.02
    )
    assert min(arm["twist"], arm["nod"]) > 0.5 and max(arm["none"], arm["wiggle"]) < 0.15
    lax = RIGHT.style["laxness"]
    closed = (1 - lax) * hand_pose("S") + lax * hand_pose("relaxed")
    np.testing.assert_allclose(rows["close"][-1][skeleton.RIGHT_HAND], closed, atol=0.02)


def test_the_head_moves_when_asked():
    signs = [Sign(x, "5", "neutral", "up", "forward", "up") for x in "ABC"]
    still = replace(RIGHT, style={**RIGHT.style, "sway": 0.0})
    for kind, axis in (("nod", 0), ("shake", 1), ("tilt", 2)):
        motion = perform(signs, still, np.random.default_rng(0), head=[HeadSpan(kind, 1, 1)])
        turn = np.abs(motion.rows.reshape(-1, 55, 3)[:, AT["Head"]])
        assert turn[:, axis].max() > 0.08 and np.delete(turn, axis, axis=1).max() < 1e-6
        moving = np.flatnonzero(turn[:, axis] > 1e-3) / motion.fps
        assert motion.spans[1].start - 0.15 < moving.min() and moving.max() < motion.spans[1].end + 0.15


def test_fingerspelling_shows_every_letter():
    motion = _token(spell("fs-LIV", "LIV"), RIGHT, fps=100.0)
    span = motion.spans[0]
    found = motion.rows[_frame(motion, span.start) : _frame(motion, span.end)].reshape(-1, 55, 3)[
        :, skeleton.RIGHT_HAND
    ]
    lax = RIGHT.style["laxness"]
    seen = []
    for letter in "LIV":
        wanted = (1 - lax) * hand_pose(letter) + lax * hand_pose("relaxed")
        miss = np.abs(found - wanted).max((1, 2))
        assert miss.min() < 0.01, letter
        seen.append(int(miss.argmin()))
    assert seen == sorted(seen) and [span.gloss] == ["fs-LIV"]


# -- sentences ------------------------------------------------------------------------------------------------------------


def _sentence(count=6, seed=0):
    signs = lexicon("small").signs
    return [signs[i] for i in np.random.default_rng(seed).choice(len(signs), count, replace=False)]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    signs = _sentence()
    first, second, other = (perform(signs, RIGHT, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.rows.tobytes() == second.rows.tobytes() and first.spans == second.spans
    assert first.spans != other.spans
    assert perform(signs, CROWD[2], np.random.default_rng(5)).spans != first.spans


def test_spans_are_in_order_apart_and_do_not_depend_on_the_rate_of_frames():
    signs = _sentence()
    slow, fast = (perform(signs, LEFT, np.random.default_rng(2), fps) for fps in (25.0, 50.0))
    assert slow.spans == fast.spans and list(slow.glosses) == [sign.gloss for sign in signs]
    edges = [time for span in slow.spans for time in (span.start, span.end)]
    assert edges == sorted(edges) and edges[0] > 0.3 and edges[-1] < (len(slow.rows) - 1) / slow.fps - 0.3
    assert min(b.start - a.end for a, b in zip(slow.spans, slow.spans[1:])) > 0.1
    joints = [_places(motion, LEFT) for motion in (slow, fast)]
    count = len(slow.rows) - 1
    np.testing.assert_allclose(joints[1][: 2 * count : 2], joints[0][:count], atol=1e-4)
    assert slow.rows.dtype == np.float32 and slow.rows.shape[1] == 165 and np.isfinite(slow.rows).all()


def test_a_span_begins_when_the_hand_has_arrived_and_ends_when_it_leaves():
    """Before and after, the hand is on its way; for a moment at both edges it stands still."""
    still = replace(RIGHT, style={**RIGHT.style, "sway": 0.0})
    signs = [
        Sign(str(n), "5", place, "up", "forward", "up")
        for n, place in enumerate(["neutral", "neutral-high", "neutral-out"])
    ]
    motion = perform(signs, still, np.random.default_rng(0), fps=200.0)
    wrist = _places(motion, still)[:, AT["R_Wrist"]]
    speed = np.linalg.norm(np.diff(wrist, axis=0), axis=-1) * motion.fps
    for span in motion.spans:
        start, end = _frame(motion, span.start), _frame(motion, span.end)
        assert speed[start : start + 5].max() < 0.02 and speed[end - 6 : end - 1].max() < 0.02
        assert speed[start - 20 : start].max() > 0.1 and speed[end : end + 20].max() > 0.1


def test_movement_is_smooth():
    for seed, signer in enumerate(CROWD[:3]):
        motion = perform(_sentence(6, seed), signer, np.random.default_rng(seed))
        wrists = _places(motion, signer)[:, [AT["L_Wrist"], AT["R_Wrist"]]]
        assert np.linalg.norm(np.diff(wrists, axis=0), axis=-1).max() < 0.2  # 5 m/s
        turns = kinematics.to_matrix(motion.rows.reshape(-1, 55, 3))
        step = kinematics.to_vector(np.swapaxes(turns[:-1], -1, -2) @ turns[1:])
        assert np.degrees(np.linalg.norm(step, axis=-1)).max() < 75
        assert np.linalg.norm(np.diff(motion.rows.reshape(-1, 55, 3), axis=0), axis=-1).max() < 3.2, (
            "no flip at half a turn"
        )
        assert (motion.rows.reshape(-1, 55, 3)[:, [AT["L_Hip"], AT["R_Knee"], AT["Jaw"]]] == 0).all()


def test_key_times_lie_within_the_sign():
    span = _token(lexicon("tiny").signs[0], RIGHT).spans[0]
    times = sign_key_times(span, 3)
    assert times[0] == span.start and times[-1] == span.end and len(times) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signs": []}, "`signs` must hold at least one sign"),
        ({"fps": 0.0}, "`fps` must be above 0.*got 0.0"),
        ({"head": [HeadSpan("nod", 0, 3)]}, "within the 1 signs of the sentence"),
        ({"head": [HeadSpan("bow", 0, 0)]}, "must be nod, shake or tilt"),
    ],
)
def test_what_cannot_be_performed_is_refused(options, message):
    plain = {"signs": [lexicon("tiny").signs[0]], "signer": RIGHT, "generator": np.random.default_rng(0)}
    with pytest.raises(SignXError, match=message):
        perform(**{**plain, **options})


# -- signers --------------------------------------------------------------------------------------------------------------


def test_signers_repeat_differ_and_one_in_ten_is_left_handed():
    crowd = signers(40, 7)
    assert crowd == signers(60, 7)[:40] and crowd != signers(40, 8)
    assert [sum(s.left_handed for s in crowd[n : n + 10]) for n in range(0, 40, 10)] == [1, 1, 1, 1]
    assert len({s.id for s in crowd}) == len({s.shape for s in crowd}) == 40
    for signer in crowd:
        assert signer.style.keys() == STYLE.keys() and len(signer.shape) == 10
        assert all(low <= signer.style[name] <= high for name, (low, high) in STYLE.items())
    with pytest.raises(SignXError, match="`count` must be an integer of at least 1, got 0"):
        signers(0, 0)


def test_signs_can_be_told_apart_by_signers_never_seen():
    """The classical baseline of benchmarks/signsynth_separability.py, in small: a third of the lexicon, every pair in it."""
    small = lexicon("small").signs
    paired = {sign.gloss for first, second, _ in minimal_pairs(small) for sign in (first, second)}
    signs = [sign for sign in small if sign.gloss in paired][:20] + [s for s in small if s.gloss not in paired][:15]
    learned, unseen = CROWD[:4], [CROWD[4], LEFT]
    sets = [separability.tokens(signs, people, 1, seed) for seed, people in ((1, learned), (2, unseen))]
    labels, truth = (np.array([index for index, _ in part]) for part in sets)
    train = np.stack([separability.describe_rows(m.rows, m.fps) for _, m in sets[0]])
    test = np.array([[separability.describe_rows(m.rows, m.fps, view) for _, m in sets[1]] for view in (False, True)])
    assert (separability.nearest_neighbor(train, labels, test) == truth).mean() >= 0.9
    shuffled = np.random.default_rng(0).permutation(labels)
    assert (separability.nearest_neighbor(train, shuffled, test) == truth).mean() < 0.2
