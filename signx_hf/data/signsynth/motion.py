"""From signs to movement: a signer performs a sentence.

A hand moves through keys (position, orientation and shape of the hand at a time); between keys it moves with minimum
jerk, and within a sign its movement is added. Everything is computed for a right-handed signer; a left-handed one is
the mirror image, on the mirrored body, so that contacts stay exact.
"""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...processing.errors_signx import SignXError
from . import kinematics as k
from . import phonology as ph
from . import skeleton
from .arguments import of_chance, of_class
from .handshapes import hand_pose
from .motion_types import GlossSpan, Motion, Signer

AMPLITUDE = 0.27  # size of a movement, as a share of the arm's length
SKIN = 0.012  # meters from the bones of a finger to its skin
NEUTRAL_STYLE = {
    "speed": 1.0, "amplitude": 1.0, "hold": 1.0, "lowering": 0.0, "reduction": 0.0, "shoulder": 0.2, "elbow": 0.5,
    "laxness": 0.05, "sway": 1.0, "asymmetry": 0.0, "jitter": 0.0, "bow": 0.05,
}  # fmt: skip
REST_SECONDS = (0.25, 0.5)  # of stillness before and after the signing
DROP_SECONDS = 0.45  # from a sign to rest and back
WAIT_SECONDS = 1.2  # so long the other hand waits in the air for the next two-handed sign
FASTEST = 1000  # frames a second; a motion is held in memory
LETTER_SECONDS, LETTER_TRANSITION = 0.13, 0.1
BASE_TURN = {  # (palm, fingers) of a resting hand, as a right hand
    "flat": ("up", "forward-in"), "5": ("up", "forward-in"), "A": ("in", "forward"), "S": ("down", "forward-in"),
    "1": ("in", "forward"), "C": ("in", "forward"), "O": ("in", "forward"),
}  # fmt: skip
WIGGLE = np.radians(16.0)
TURN = np.radians(32.0)  # of the hand in a twist or nod
HEAD_SWING = {"nod": 0.2, "shake": 0.28, "tilt": 0.2}  # radians


@dataclass(frozen=True)
class HeadSpan:
    """A movement of the head from one gloss to another, both included: nod, shake or tilt."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True)
class _Key:
    """A hand at a moment.

    Attributes:
        place: [3] of the wrist on the resting body.
        head: 1 if it moves with the head, 0 with the chest.
    """

    time: float
    place: np.ndarray
    head: float
    turn: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class _Hands:
    """A hand at all frames.

    Attributes:
        place: [T, 3] of the wrist on the resting body.
        head: [T].
        turn: [T, 3, 3].
        pose: [T, 15, 3].
        lean: [T, 3] where the fingers point, which affects the elbow.
    """

    place: np.ndarray
    head: np.ndarray
    turn: np.ndarray
    pose: np.ndarray
    lean: np.ndarray


@dataclass(frozen=True)
class _Stroke:
    """The movement of one hand in one sign; `amplitude` is in meters, `normal` points away from what it touches."""

    sign: ph.Sign
    start: float
    end: float
    amplitude: float
    normal: np.ndarray
    phase: float
    final_pose: np.ndarray | None


@dataclass(frozen=True)
class _Token:
    """A sign with its times (arrive, begin to move, stop, leave) and its own variation."""

    sign: ph.Sign
    times: tuple[float, float, float, float]
    amplitude: float
    drift: np.ndarray


def movement_seconds(sign: ph.Sign) -> float:
    """Return how long the movement of a sign lasts at tempo 1."""
    strokes = 2 * sign.repeats - 1
    if sign.path in ph.STRAIGHT_PATHS:
        seconds = 0.32 * strokes**0.85
    elif sign.path.startswith("arc"):
        seconds = 0.42 * strokes**0.85
    elif sign.path.startswith("circle"):
        seconds = 0.48 * ph.cycles(sign)
    elif sign.path == "zigzag":
        seconds = 0.3 * (1 + sign.repeats)
    elif sign.path == "hold":
        seconds = 0.16
    else:
        seconds = 0.27 * ph.cycles(sign)
    if sign.letters:
        return seconds
    if sign.final_handshape:
        seconds = max(seconds, 0.34 * strokes**0.85)
    return seconds if sign.local == "none" else max(seconds, 0.3 * (1 + sign.repeats))


class _Performance:
    """One sentence in the making: the signer's body and style, and the keys of both hands."""

    def __init__(self, signer: Signer, generator: np.random.Generator):
        self.style = NEUTRAL_STYLE | signer.style
        self.draw = generator
        self.body = ph.body(signer.shape)
        # the other hand is a right hand too, in a mirrored world
        self.arms = [k.arm(signer.shape, side) for side in ("LR" if signer.left_handed else "RL")]
        self.joints = k.rest_joints(signer.shape) * (k.MIRROR if signer.left_handed else 1.0)
        self.signed: list[list[list[_Key]]] = [[], []]  # of each hand, sign by sign
        self.keys: list[list[_Key]] = [[], []]  # the same with all that lies between
        self.strokes: list[list[_Stroke]] = [[], []]
        self.relaxed = hand_pose("relaxed")

    # -- one hand in one place ------------------------------------------------------------------------------------------

    def shape(self, name: str) -> np.ndarray:
        lax = self.style["laxness"]
        return (1 - lax) * hand_pose(name) + lax * self.relaxed

    def rest(self, hand: int, time: float) -> _Key:
        turn = k.hand_rotation(np.array([0.1, -1.0, 0.15]), np.array([1.0, 0.0, -0.35]))
        place = self.shoulder(hand) + self.arms[hand].length * np.array([-0.16, -0.93, 0.2])
        return _Key(time, place, 0.0, turn, self.relaxed)

    def anchor(self, sign: ph.Sign) -> ph.Anchor:
        anchor = self.body.anchors[sign.location]
        if sign.hands != "base":
            return anchor
        # the base hand is a right hand of the mirrored world: what it holds up comes back through the mirror
        turn = self.base_turn(sign)
        palm, fingers = k.MIRROR * (turn @ k.PALM_AT_REST), k.MIRROR * (turn @ k.FINGERS_AT_REST)
        face = palm if palm[1] > 0.3 else np.array([0.0, 1.0, 0.0])
        return replace(anchor, point=anchor.point + 0.02 * face + 0.03 * fingers, normal=face, skin=True)

    def base_turn(self, sign: ph.Sign) -> np.ndarray:
        palm, fingers = BASE_TURN[sign.base_handshape]
        return k.hand_rotation(ph.direction(fingers), ph.direction(palm))

    def placed(self, hand: int, anchor: ph.Anchor, turn: np.ndarray, pose: np.ndarray, apart: bool) -> np.ndarray:
        """Return where the wrist is when the nearest part of the hand touches the anchor; `apart`: on its own side."""
        limb = self.arms[hand]
        points = k.hand_points(pose, limb.fingers) @ turn.T
        knuckles = points[[1, 5, 9, 13]].mean(0)
        if anchor.skin:
            depth = points @ anchor.normal
            weights = np.exp(-(depth - depth.min()) / 0.01)
            touch = weights @ points / weights.sum()
            place = (
                anchor.point + anchor.normal * (SKIN - depth.min()) - (touch - anchor.normal * (touch @ anchor.normal))
            )
        else:
            place = anchor.point - knuckles
        if apart:
            inner = (place + points)[:, 0].max()
            place = place - np.array([max(inner + 0.02, 0.0), 0.0, 0.0])
        return place

    def loosened(self, anchor: ph.Anchor, drift: np.ndarray) -> ph.Anchor:
        """Return the anchor as this signer aims at it: lowered, drawn to the middle, with the token's own error."""
        middle = self.body.anchors["neutral"].point
        high = np.clip((anchor.point[1] - middle[1]) / 0.4, 0.0, 1.0)
        point = anchor.point - np.array([0.0, self.style["lowering"] * high, 0.0]) + drift
        if not anchor.skin:
            point = point + self.style["reduction"] * (middle - point)
        else:  # reduced contact stays on the skin: only what is along it
            along = self.style["reduction"] * 0.4 * (middle - point)
            drift_out = (drift @ anchor.normal) * anchor.normal
            point = point + along - (along @ anchor.normal) * anchor.normal - drift_out
        return replace(anchor, point=point)

    # -- signs ----------------------------------------------------------------------------------------------------------

    def add_sign(self, token: _Token) -> None:
        sign, times = token.sign, token.times
        turn = k.hand_rotation(ph.direction(sign.fingers), ph.direction(sign.palm)) @ self.wobble()
        anchor = self.loosened(self.anchor(sign), token.drift)
        apart = sign.hands in ("symmetric", "alternating")
        self.add_stroke(0, token, anchor, turn, apart, 0.0)
        if apart:
            phase = 0.5 if sign.hands == "alternating" else 0.0
            drift = self.draw.normal(0.0, 0.5 * self.style["jitter"], 3)
            other = replace(anchor, point=anchor.point + drift - (drift @ anchor.normal) * anchor.normal * anchor.skin)
            self.add_stroke(1, token, other, turn, True, phase)
        elif sign.hands == "base":
            turn, pose = self.base_turn(sign), self.shape(sign.base_handshape)
            points = k.hand_points(pose, self.arms[1].fingers) @ turn.T
            aim = self.loosened(self.body.anchors["base-hand"], token.drift).point * k.MIRROR
            place = aim - 0.8 * points[[1, 5, 9, 13]].mean(0)
            self.signed[1].append([_Key(time, place, 0.0, turn, pose) for time in (times[0], times[3])])

    def add_stroke(
        self, hand: int, token: _Token, anchor: ph.Anchor, turn: np.ndarray, apart: bool, phase: float
    ) -> None:
        sign, (arrive, begin, stop, leave) = token.sign, token.times
        size = AMPLITUDE * self.arms[hand].length * token.amplitude * (0.8 if anchor.head else 1.0)
        size *= 1 - self.style["asymmetry"] * hand
        pose = self.shape(sign.handshape)
        final = None if sign.final_handshape is None else self.shape(sign.final_handshape)
        place = self.placed(hand, anchor, turn, pose, apart)
        way = ph.path_offset(sign, np.linspace(0, 1, 33), anchor.normal, phase) * size
        # A movement toward the body starts so far outside that it ends where the sign is.
        place = place - anchor.normal * min((way @ anchor.normal).min(), 0.0)
        first = _Key(arrive, place + way[0], float(anchor.head), turn, pose)
        last = replace(first, time=stop, place=place + way[-1], pose=pose if final is None else final)
        self.signed[hand].append([first, replace(first, time=begin), last, replace(last, time=leave)])
        self.strokes[hand].append(_Stroke(sign, begin, stop, size, anchor.normal, phase, final))

    def wobble(self) -> np.ndarray:
        return k.to_matrix(self.draw.normal(0.0, 4.0 * self.style["jitter"], 3))

    # -- the whole sentence ---------------------------------------------------------------------------------------------

    def reach_seconds(self, distance: float) -> float:
        """Return the length of a transition, which grows with the distance, but less than proportionally (Fitts)."""
        return float(np.clip(0.16 + 0.42 * distance, 0.16, 0.55) / self.style["speed"])

    def schedule(self, signs: Sequence[ph.Sign]) -> list[_Token]:
        tokens, time, previous = [], 0.0, None
        for sign in signs:
            for part in [ph.letter_sign(x) for x in sign.letters] or [sign]:
                spelled = bool(sign.letters)
                tempo = self.style["speed"] * float(np.exp(self.draw.normal(0.0, 0.07)))
                amplitude = self.style["amplitude"] * float(np.exp(self.draw.normal(0.0, 0.1)))
                hold = (0.07 + 0.03 * self.draw.random(2)) * self.style["hold"] / tempo
                drift = self.draw.normal(0.0, self.style["jitter"], 3) * (0.3 if spelled else 1.0)
                point = self.body.anchors[part.location].point
                if previous is None:
                    time = float(self.draw.uniform(*REST_SECONDS)) + DROP_SECONDS / self.style["speed"]
                elif spelled and tokens[-1].sign.location == ph.SPELLING:
                    turned = part.palm != tokens[-1].sign.palm
                    time += LETTER_TRANSITION * (2.2 if turned else 1.0) / tempo
                else:
                    time += self.reach_seconds(float(np.linalg.norm(point - previous)))
                moving = LETTER_SECONDS * (1.7 if part.local != "none" else 1.0) if spelled else movement_seconds(part)
                hold = hold * 0.2 if spelled else hold
                times = np.cumsum([time, hold[0], moving / tempo, hold[1]])
                tokens.append(_Token(part, tuple(times.tolist()), amplitude, drift))
                time, previous = tokens[-1].times[3], point
        return tokens

    def settle(self, hand: int, end: float) -> None:
        """Join the signs of a hand: rest at both ends, and in long gaps of the other hand."""
        drop, keys = DROP_SECONDS / self.style["speed"], [self.rest(hand, 0.0)]
        for number, sign in enumerate(self.signed[hand]):
            arrive, gap = sign[0].time, sign[0].time - keys[-1].time
            if number == 0:
                keys.append(self.rest(hand, max(arrive - drop, 0.0)))
            elif gap > WAIT_SECONDS:
                keys += [self.rest(hand, keys[-1].time + drop), self.rest(hand, arrive - drop)]
            elif gap > drop and hand == 1:
                keys.append(replace(keys[-1], time=arrive - 0.7 * drop))  # it waits in the air
            keys += sign
        if self.signed[hand]:
            keys.append(self.rest(hand, keys[-1].time + drop))
        self.keys[hand] = [*keys, self.rest(hand, end)]

    def evaluate(self, hand: int, times: np.ndarray) -> "_Hands":
        """Return the hand at all times."""
        keys = self.keys[hand]
        starts = np.array([key.time for key in keys])
        at = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, len(keys) - 2)
        length = starts[at + 1] - starts[at]
        share = np.clip((times - starts[at]) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        done = k.minimum_jerk(share)
        places, heads, turns, poses = (
            np.stack([getattr(key, name) for key in keys]) for name in ("place", "head", "turn", "pose")
        )
        leans = turns @ k.FINGERS_AT_REST
        # Between keys the forearm turns and the wrist bends from value to value: the shortest turn in space may lead
        # through what no wrist can do.
        inner = np.swapaxes(self.forearms(hand, places, leans), -1, -2)
        twists, bends = k.split_turn(self.arms[hand], inner @ turns)
        bends = k.to_quaternion(bends)
        step = places[at + 1] - places[at]
        distance = np.linalg.norm(step, axis=-1)
        # A hand that is raised or lowered far swings forward, about the elbow, and not past the shoulder.
        bow = self.style["bow"] * distance + 0.35 * step[:, 1] ** 2 / np.maximum(distance, 0.1)
        swing = bow * np.sin(np.pi * done) ** 2
        place = places[at] + done[:, None] * (places[at + 1] - places[at]) + np.outer(swing, [0.0, 0.0, 1.0])
        head = heads[at] + done * (heads[at + 1] - heads[at])
        early = k.minimum_jerk(share / 0.85)[:, None, None]  # fingers are ready before the hand has arrived
        pose = poses[at] + early * (poses[at + 1] - poses[at])
        lean = leans[at] + done[:, None] * (leans[at + 1] - leans[at])
        twist = twists[at] + done * (twists[at + 1] - twists[at])
        bend = k.join_turn(self.arms[hand], twist, k.slerp(bends[at], bends[at + 1], done))
        still = np.zeros(len(times), dtype=bool)  # where the turn in space is that of the key
        twirl = np.broadcast_to(np.eye(3), (len(times), 3, 3)).copy()
        for stroke in self.strokes[hand]:
            now = slice(*np.searchsorted(times, [stroke.start, stroke.end]))
            if now.start < now.stop:
                share = (times[now] - stroke.start) / (stroke.end - stroke.start)
                self.apply_stroke(stroke, keys[at[now.start]], share, place[now], twirl[now], pose[now])
                still[now] = True
        palm = place + (turns[at] @ (self.arms[hand].fingers[3] * 0.9))
        place = (
            place
            + _outside(place, self.body.torso)
            + _outside(palm, self.body.torso)
            + _outside(palm, self.body.skull)
        )
        turn = np.where(still[:, None, None], turns[at], self.forearms(hand, place, lean) @ bend) @ twirl
        return _Hands(place, head, turn, pose, lean)

    def shoulder(self, hand: int) -> np.ndarray:
        """Return the position of the shoulder of the resting body."""
        limb = self.arms[hand]
        return self.joints[skeleton.INDEX["Spine3"]] * (k.MIRROR if hand else 1.0) + limb.collar + limb.shoulder

    def pole(self, hand: int, places: np.ndarray, leans: np.ndarray) -> np.ndarray:
        """Return where the elbow points [..., 3]: down and out, away from the fingers; behind a hand that hangs."""
        way = k.unit(places - self.shoulder(hand))
        hanging = np.clip(-way[..., 1:2], 0.0, 1.0) ** 2
        return np.array([-self.style["elbow"], -1.0, -0.25]) - 0.6 * leans + hanging * np.array([-1.2, 0.0, -1.2])

    def forearms(self, hand: int, places: np.ndarray, leans: np.ndarray) -> np.ndarray:
        return k.forearm(self.arms[hand], self.shoulder(hand), places, self.pole(hand, places, leans))

    def apply_stroke(
        self, stroke: _Stroke, key: _Key, share: np.ndarray, place: np.ndarray, twirl: np.ndarray, pose: np.ndarray
    ) -> None:
        """Write the movement of a sign into places, local turns and poses of its frames."""
        sign = stroke.sign
        way = ph.path_offset(sign, np.concatenate([[0.0], share]), stroke.normal, stroke.phase) * stroke.amplitude
        place[:] = key.place + way[1:] - way[0]
        if stroke.final_pose is not None:
            pose[:] = key.pose + ph.there_and_back(sign, share)[:, None, None] * (stroke.final_pose - key.pose)
        wave = 2 * np.pi * k.ease(share) * (1 + sign.repeats)
        if sign.local == "wiggle":
            lag = np.array([0.0, 1.2, 3.6, 2.4])  # index, middle, pinky, ring: one after the other
            envelope = np.minimum(1.0, 6 * np.minimum(share, 1 - share))
            pose[:, 0:12:3, 2] += WIGGLE * envelope[:, None] * (1 + np.sin(1.5 * wave[:, None] - lag))
        elif sign.local in ("twist", "nod"):
            axis = -k.FINGERS_AT_REST if sign.local == "twist" else np.array([0.0, 0.0, 1.0])
            twirl[:] = k.to_matrix(np.outer(TURN * np.sin(wave + stroke.phase * 2 * np.pi) * (share > 0), axis))


def _sway(times: np.ndarray, draw: np.random.Generator, size: float, channels: int) -> np.ndarray:
    """Return slow idle movement [T, channels]: three waves each, of 0.15 to 0.9 Hz."""
    rate = draw.uniform(0.15, 0.9, (3, channels)) * 2 * np.pi
    phase = draw.uniform(0, 2 * np.pi, (3, channels))
    return size * np.sin(times[:, None, None] * rate + phase).mean(1)


def _head_turn(times: np.ndarray, spans: Sequence[tuple[str, float, float]]) -> np.ndarray:
    """Return axis-angles [T, 3] of the head over spans of (kind, start, end) in seconds."""
    turn = np.zeros((len(times), 3))
    for kind, start, end in spans:
        start, end = start - 0.1, end + 0.1
        share = np.clip((times - start) / (end - start), 0.0, 1.0)
        envelope = np.minimum(1.0, 5 * np.minimum(share, 1 - share))
        wave = np.sin(2 * np.pi * share * max(1, round((end - start) / 0.45)))
        axis, shape = {"nod": (0, wave), "shake": (1, wave), "tilt": (2, np.ones_like(share))}[kind]
        turn[:, axis] += HEAD_SWING[kind] * envelope * shape
    return turn


def _outside(points: np.ndarray, ellipsoid: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return steps [..., 3] that move points inside an ellipsoid to its surface."""
    center, radii = ellipsoid
    inner = (points - center) / radii
    distance = np.linalg.norm(inner, axis=-1, keepdims=True)
    return np.where(distance < 1, inner / np.maximum(distance, 0.05) * (1 - distance), 0.0) * radii


def _trunk(show: _Performance, times: np.ndarray, head_turn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let the trunk sway.

    Returns:
        Axis-angles [T, 6, 3] of pelvis, spine 1-3, neck, head; their global rotations [T, 6, 3, 3]; and places [T, 6,
        3].
    """
    size = show.style["sway"] * np.array([0.012, 0.010, 0.010, 0.012, 0.02, 0.025])
    vectors = (_sway(times, show.draw, 1.0, 18).reshape(-1, 6, 3)) * size[:, None]
    vectors[:, 4] += 0.4 * head_turn
    vectors[:, 5] += 0.6 * head_turn
    local = k.to_matrix(vectors)
    at = [skeleton.INDEX[name] for name in ("Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head")]
    rest = show.joints[at]
    turns, places = [local[:, 0]], [np.broadcast_to(rest[0], (len(times), 3))]
    for joint in range(1, 6):
        places.append(places[-1] + turns[-1] @ (rest[joint] - rest[joint - 1]))
        turns.append(turns[-1] @ local[:, joint])
    return vectors, np.stack(turns, 1), np.stack(places, 1)


def _arm_rows(show: _Performance, hand: int, state: _Hands, turns: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return axis-angles [T, 4, 3] of collar, shoulder, elbow, wrist, as of a right arm."""
    limb, flip = show.arms[hand], k.MIRROR if hand else np.ones(3)
    rest = show.joints[[skeleton.INDEX["Spine3"], skeleton.INDEX["Head"]]] * flip
    frames, origins = turns[:, [3, 5]], places[:, [3, 5]] * flip
    if hand:
        frames = k.mirror_rotation(frames)
    moved = np.einsum("tnij,tnj->tni", frames, state.place[:, None] - rest) + origins
    wrist = moved[:, 0] + state.head[:, None] * (moved[:, 1] - moved[:, 0])
    chest, origin = frames[:, 0], origins[:, 0]
    goal = (state.place - show.shoulder(hand)) / limb.length
    lift = show.style["shoulder"] * 0.3 * np.square(np.clip(1 + goal[:, 1], 0.0, 2.0))
    collar = np.stack([np.zeros_like(lift), 0.12 * goal[:, 2], -lift], -1)
    parent = chest @ k.to_matrix(collar)
    shoulder = origin + chest @ limb.collar + parent @ limb.shoulder
    pole = np.einsum("tij,tj->ti", chest, show.pole(hand, state.place, state.lean))
    local, _ = k.solve_arm(limb, parent, shoulder, wrist, chest @ state.turn, pole)
    return np.concatenate([collar[:, None], k.to_vector(local)], 1)


def _continuous(rows: np.ndarray) -> np.ndarray:
    """Replace each axis-angle [T, 55, 3] by the equivalent one nearest to the frame before, so that none flips."""
    jumps = np.linalg.norm(np.diff(rows, axis=0), axis=-1) > 3.0
    for joint in np.flatnonzero(jumps.any(0)):
        track = rows[:, joint]
        for t in range(1, len(track)):
            angle = np.linalg.norm(track[t])
            other = track[t] * (1 - 2 * np.pi / angle) if angle > 1e-6 else track[t]
            if np.linalg.norm(other - track[t - 1]) < np.linalg.norm(track[t] - track[t - 1]):
                track[t] = other
    return rows


def mirror_rows(rows: np.ndarray) -> np.ndarray:
    """Mirror SMPL-X rows [..., 165]: left and right change places."""
    swap = list(range(skeleton.JOINTS))
    for name, index in skeleton.INDEX.items():
        if name[:2] in ("L_", "R_"):
            swap[index] = skeleton.INDEX[("R_" if name[0] == "L" else "L_") + name[2:]]
    joints = np.reshape(rows, (*np.shape(rows)[:-1], skeleton.JOINTS, 3))[..., swap, :]
    return (joints * np.array([1.0, -1.0, -1.0], dtype=joints.dtype)).reshape(np.shape(rows))


def _check_performance(signs: Sequence[ph.Sign], signer: Signer, generator: np.random.Generator, fps: float) -> None:
    if isinstance(signs, ph.Sign) or any(not isinstance(sign, ph.Sign) for sign in signs):
        raise SignXError(
            f"`signs` must be a list of Sign, got {str(signs)[:60]!r}. Use Lexicon.signs_of(glosses) for glosses."
        )
    if not len(signs):
        raise SignXError("`signs` must hold at least one sign, got none.")
    of_class("signer", signer, Signer, "Make some with signers(count, seed).")
    of_chance(generator)
    if not isinstance(fps, numbers.Real) or not 0 < fps <= FASTEST:
        raise SignXError(f"`fps` must be above 0 and at most {FASTEST}, got {fps!r}.")


def perform(
    signs: Sequence[ph.Sign],
    signer: Signer,
    generator: np.random.Generator,
    fps: float = 25.0,
    head: Sequence[HeadSpan] = (),
) -> Motion:
    """Build the motion of a sentence, which starts and ends at rest.

    Args:
        signs: The signs in order; fingerspelled ones letter by letter.
        signer: One of `signers.signers`.
        generator: The random generator; the same state gives the same bytes.
        fps: Frame rate of the rows, at most FASTEST.
        head: Movements of the head over several signs, in addition to those of the signs themselves.

    Returns:
        The motion. A span starts when the hand has arrived where its sign starts, and ends when the hand leaves.

    Raises:
        SignXError: If `signs` is empty or holds glosses, the frame rate is not positive, or a head span is outside the
            sentence.
    """
    _check_performance(signs, signer, generator, fps)
    for span in head:
        if span.kind not in HEAD_SWING or not 0 <= span.first <= span.last < len(signs):
            raise SignXError(
                f"`head` must be nod, shake or tilt within the {len(signs)} signs of the sentence, got {span}."
            )
    show = _Performance(signer, generator)
    tokens = show.schedule(signs)
    for token in tokens:
        show.add_sign(token)
    end = tokens[-1].times[3] + DROP_SECONDS / show.style["speed"] + float(generator.uniform(*REST_SECONDS))
    spans = _spans(signs, tokens)
    times = np.arange(int(np.ceil(end * fps)) + 1) / fps
    for hand in (0, 1):
        show.settle(hand, float(times[-1]) + 1 / fps)
    movements = [(s.head, span.start, span.end) for s, span in zip(signs, spans) if s.head != "none"]
    movements += [(span.kind, spans[span.first].start, spans[span.last].end) for span in head]
    vectors, turns, places = _trunk(show, times, _head_turn(times, movements))
    rows = np.zeros((len(times), skeleton.JOINTS, 3))
    at = skeleton.INDEX
    rows[:, [at[name] for name in ("Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head")]] = vectors
    for hand, side, fingers in ((0, "R", skeleton.RIGHT_HAND), (1, "L", skeleton.LEFT_HAND)):
        flip = -k.MIRROR if hand else np.ones(3)  # axis-angle in the mirror
        state = show.evaluate(hand, times)
        limb = _arm_rows(show, hand, state, turns, places)
        rows[:, [at[f"{side}_{name}"] for name in ("Collar", "Shoulder", "Elbow", "Wrist")]] = limb * flip
        rows[:, fingers] = state.pose * flip
    flat = _continuous(rows).reshape(len(times), skeleton.WIDTH).astype(np.float32)
    return Motion(mirror_rows(flat) if signer.left_handed else flat, float(fps), spans)


def _spans(signs: Sequence[ph.Sign], tokens: Sequence[_Token]) -> tuple[GlossSpan, ...]:
    spans, at = [], 0
    for sign in signs:
        count = max(len(sign.letters), 1)
        spans.append(GlossSpan(sign.gloss, tokens[at].times[0], tokens[at + count - 1].times[3]))
        at += count
    return tuple(spans)


def sign_key_times(span: GlossSpan, count: int = 4) -> list[float]:
    """Return times in seconds at which to look at a sign: its first and last moment and evenly between."""
    return np.linspace(span.start, span.end, count).tolist()
