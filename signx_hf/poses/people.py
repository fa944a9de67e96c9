"""Who of several people is the signer: one rule, applied to the whole clip.

People are followed through the clip by the overlap of their boxes; the rule then picks one of them. What is held in memory
are the observations of one clip (key points, some kB a person and frame), never its pictures.

What an extractor of key points puts into `Observation.data` for the rule "active", all [points, 3]: x, y in pixels and
confidence, 0 where not seen: `wrists` (left, right), `hands` (left then right), `anchor` (one point between the shoulders,
against which movement is measured, so that a passer-by does not count as signing).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..data.errors import nearest
from ..processing.errors_signx import SignXPoseError
from .base import Observation

Box = tuple[float, float, float, float]
Rule = str | int

RULES = ("largest", "central", "active")
# A person may be lost for this many frames (half a second at 30 frames per second) and still be the same.
MAX_GAP = 15
# Two boxes of one person in neighbouring frames overlap by more than this (intersection over union).
MIN_OVERLAP = 0.2
# Where a person should be by now tells more than where the person was last; the latter is for those who stop.
LAST_WEIGHT = 0.8
VELOCITY_FRAMES = 5
# Whoever is seen in less than this share of the frames of the longest seen person is a flicker of the detector.
MIN_SHARE = 0.25
# Two extractors draw different boxes around one person (key points, outline): one must cover this much of the smaller.
MIN_COVER = 0.5


@dataclass
class Person:
    """One person followed through a clip: frames, rising, and what was seen of the person in each of them."""

    frames: list[int] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def boxes(self) -> np.ndarray:
        """[n, 4] left, top, right, bottom."""
        return np.array([o.box for o in self.seen], dtype=np.float64).reshape(-1, 4)

    def predicted_box(self, frame: int) -> Box:
        """The box in a coming frame if the person keeps going as over the last frames: so two who cross stay apart."""
        box, earlier = _box(self.seen[-1]), _box(self.seen[-VELOCITY_FRAMES:][0])
        elapsed = self.frames[-1] - self.frames[-VELOCITY_FRAMES:][0]
        ahead = frame - self.frames[-1]
        x = ((box[0] + box[2]) / 2 - (earlier[0] + earlier[2]) / 2) / elapsed * ahead if elapsed else 0.0
        y = ((box[1] + box[3]) / 2 - (earlier[1] + earlier[3]) / 2) / elapsed * ahead if elapsed else 0.0
        return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _box(observation: Observation) -> Box:
    left, top, right, bottom = observation.box
    return float(left), float(top), float(right), float(bottom)


def check_rule(rule: Rule) -> Rule:
    """The rule as `choose_signer` takes it; digits in a text (from a command line) become the index they are.

    Raises:
        SignXPoseError: neither a name of `RULES` nor an index from 0.
    """
    if isinstance(rule, str) and rule.isascii() and rule.isdigit():
        return int(rule)
    if rule in RULES and isinstance(rule, str):
        return rule
    if isinstance(rule, (int, np.integer)) and not isinstance(rule, bool) and rule >= 0:
        return int(rule)
    raise SignXPoseError(f"person is {rule!r}; {nearest(rule, RULES)}, or an index from 0, counted from left to right")


def overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [..., 4] that broadcast -> intersection over union and intersection over the smaller of the two, both [...]."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = _areas(first), _areas(second)
    union, smaller = areas[0] + areas[1] - common, np.minimum(*areas)
    return (
        np.divide(common, union, out=np.zeros_like(common), where=union > 0),
        np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0),
    )


def _union_overlap(first: Box, second: Box) -> float:
    """The first measure of `overlaps`; for the few boxes of a frame plain numbers are ten times as fast as arrays."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    # what they have in common is not empty, so neither are they
    union = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - common
    return common / union if union > 0 else 0.0


def _in_order(people: Sequence[Observation]) -> list[Observation]:
    """An order that depends on what is seen and not on how the detector happened to list it."""
    if len(people) < 2:
        return list(people)

    def contents(o: Observation) -> bytes:
        return b"".join(np.ascontiguousarray(o.data[name]).tobytes() for name in sorted(o.data))

    keys = [(_box(o), -o.score) for o in people]
    if len(set(keys)) < len(keys):
        keys = [(*key, contents(o)) for key, o in zip(keys, people)]
    return [people[i] for i in sorted(range(len(people)), key=keys.__getitem__)]


def follow_people(observations: Sequence[Sequence[Observation]], max_gap: int = MAX_GAP) -> list[Person]:
    """Everybody of a clip, followed from frame to frame, in the order of their first frame.

    Greedy: of all pairs of a person so far and a box of the new frame the one that overlaps most is taken first. Who is
    lost for more than `max_gap` frames and comes back is somebody new.
    """
    people: list[Person] = []
    active: list[Person] = []
    for frame, found in enumerate(observations):
        if not found:
            continue
        found = _in_order(found)
        active = [person for person in active if frame - person.frames[-1] <= max_gap + 1]
        pairs = _pairs(active, [_box(o) for o in found], frame)
        free = set(range(len(found)))
        taken: set[int] = set()
        for _, a, b in sorted(pairs) if len(pairs) > 1 else pairs:
            if a not in taken and b in free:
                taken.add(a)
                free.remove(b)
                active[a].frames.append(frame)
                active[a].seen.append(found[b])
        new = [Person([frame], [found[b]]) for b in sorted(free)]
        people += new
        active += new
    return people


def _pairs(active: Sequence[Person], boxes: Sequence[Box], frame: int) -> list[tuple[float, int, int]]:
    """(minus their overlap, person, box) of all that overlap enough to be one and the same."""
    pairs = []
    for a, person in enumerate(active):
        predicted, last = person.predicted_box(frame), _box(person.seen[-1])
        for b, box in enumerate(boxes):
            overlap = max(_union_overlap(predicted, box), LAST_WEIGHT * _union_overlap(last, box))
            if overlap >= MIN_OVERLAP:
                pairs.append((-overlap, a, b))
    return pairs


def _movement(person: Person) -> float:
    """Mean path of wrists and hands per frame against the body, in square roots of the person's box area.

    Relative to the person's size, so that an interpreter in a corner is not outdone by a large person who breathes.
    Without wrists and hands: of the edges of the box.
    """
    boxes = person.boxes
    size = float(np.median(_areas(boxes))) ** 0.5
    if len(person) < 2 or not size:
        return 0.0
    steps = []
    for i in range(1, len(person)):
        earlier, later = person.seen[i - 1].data, person.seen[i].data
        elapsed = person.frames[i] - person.frames[i - 1]
        paths = _paths(earlier, later)
        if paths is None:
            steps.append(np.abs(boxes[i] - boxes[i - 1]).mean() / elapsed)
        elif len(paths):
            steps.append(paths.mean() / elapsed)
    return float(np.mean(steps)) / size if steps else 0.0


def _paths(earlier: Mapping[str, np.ndarray], later: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Pixels that each point seen in both frames has moved; None where the extractor gives no such points."""
    names = [name for name in ("wrists", "hands") if name in earlier and name in later]
    if not names:
        return None
    first, second = (np.concatenate([data[name] for name in names]).astype(np.float64) for data in (earlier, later))
    shift = np.zeros(2)
    if "anchor" in earlier and "anchor" in later:
        before, after = (np.asarray(data["anchor"], dtype=np.float64).reshape(-1)[:3] for data in (earlier, later))
        if before[2] > 0 and after[2] > 0:
            shift = after[:2] - before[:2]
    both = (first[:, 2] > 0) & (second[:, 2] > 0)
    return np.linalg.norm(second[both, :2] - first[both, :2] - shift, axis=1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)


def _centres(person: Person) -> np.ndarray:
    boxes = person.boxes
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def pick_person(people: Sequence[Person], size: tuple[int, int], rule: Rule) -> Person:
    """The one of several people whom the rule means; `choose_signer` says what the rules are.

    Raises:
        SignXPoseError: the index is beyond the people who are there.
    """
    rule = check_rule(rule)
    longest = max(len(person) for person in people)
    people = [person for person in people if len(person) >= MIN_SHARE * longest]
    # ties: who is seen longer, then further left, then higher up, then first
    place = {id(person): tuple(_centres(person).mean(axis=0)) for person in people}
    if isinstance(rule, int):
        ordered = sorted(people, key=lambda p: (*place[id(p)], p.frames[0]))
        if rule >= len(ordered):
            raise SignXPoseError(
                f"person is {rule}, but the clip shows {len(ordered)} (counted from 0, left to right); give a lower index, or one of: {', '.join(RULES)}"
            )
        return ordered[rule]
    if len(people) == 1:
        return people[0]
    frames = max(person.frames[-1] for person in people) + 1
    if rule == "largest":
        worth = {id(p): float(np.median(_areas(p.boxes))) * len(p) / frames for p in people}
    elif rule == "central":
        centre = np.array(size, dtype=np.float64) / 2
        worth = {id(p): -float(np.linalg.norm(_centres(p) - centre, axis=1).mean()) for p in people}
    else:
        worth = {id(p): _movement(p) for p in people}
    return min(people, key=lambda p: (-worth[id(p)], -len(p), *place[id(p)], p.frames[0]))


def _whole_frames(observations: Sequence[Sequence[Observation]]) -> list[Observation | None]:
    return [next((o for o in found if o.whole_frame), None) for found in observations]


def choose_signer(
    observations: Sequence[Sequence[Observation]], size: tuple[int, int], rule: Rule = "largest"
) -> list[Observation | None]:
    """One person for the whole clip; None in the frames that do not show this person.

    Args:
        observations: for each frame everybody who is seen, in any order (the result does not depend on it).
        size: (width, height) of the frames in pixels.
        rule: "largest": median area of the box x share of the frames that show the person. "central": smallest mean
            distance between the middle of the box and of the frame. "active": most movement of wrists and hands against the
            body, relative to the person's size. An index: people from left to right by the mean middle of their boxes,
            from 0.

    People who are seen in less than a quarter of the frames of the one seen longest are flickers and never chosen or
    counted. Maps of the whole frame hold everybody and pass through.

    Raises:
        SignXPoseError: unknown rule, or an index beyond the people who are there.
    """
    rule = check_rule(rule)
    chosen = _whole_frames(observations)
    people = follow_people([[o for o in found if not o.whole_frame] for found in observations])
    if people and not any(chosen):
        person = pick_person(people, size, rule)
        for frame, observation in zip(person.frames, person.seen):
            chosen[frame] = observation
    return chosen


def _overlap_with(people: Sequence[Person], boxes: Sequence[Box | None]) -> tuple[np.ndarray, np.ndarray]:
    """Of each person with the box of each frame, the two measures of `overlaps`, [people, frames]; 0 where one is lacking."""
    union, cover = np.zeros((2, len(people), len(boxes)))
    given = np.array([box is not None for box in boxes], dtype=bool)
    filled = np.array([(0.0,) * 4 if box is None else box for box in boxes], dtype=np.float64).reshape(-1, 4)
    for n, person in enumerate(people):
        frames = np.array(person.frames)
        both = given[frames]
        union[n, frames[both]], cover[n, frames[both]] = overlaps(person.boxes[both], filled[frames[both]])
    return union, cover


def match_signer(
    observations: Sequence[Sequence[Observation]], boxes: Sequence[Box | None]
) -> list[Observation | None]:
    """The person of a second extractor who is inside the boxes that a first extractor's signer has.

    Args:
        observations: what the second extractor sees, one list a frame.
        boxes: the signer's box in each frame, None where the first extractor lost the signer; then the second keeps the
            person whom it matched in the nearest frame. Without any box nobody is chosen.

    Raises:
        SignXPoseError: the two differ in their number of frames.
    """
    if len(observations) != len(boxes):
        raise SignXPoseError(
            f"match_signer: {len(observations)} frames of observations and {len(boxes)} of boxes; wanted the same clip"
        )
    chosen = _whole_frames(observations)
    if any(chosen):
        return chosen
    people = follow_people(observations)
    who = {id(o): n for n, person in enumerate(people) for o in person.seen}
    union, cover = _overlap_with(people, boxes)
    # The evidence of neighbouring frames too: where two people stand in one place, one frame alone can mislead.
    near = np.ones(2 * MAX_GAP + 1)
    evidence = np.array([np.convolve(row, near)[MAX_GAP : MAX_GAP + len(boxes)] for row in union])
    matched: dict[int, int] = {}
    for frame, found in enumerate(observations):
        inside = {who[id(o)]: o for o in found if cover[who[id(o)], frame] >= MIN_COVER}
        if inside:
            matched[frame] = max(sorted(inside), key=lambda n: evidence[n, frame])
            chosen[frame] = inside[matched[frame]]
    if matched:
        known = np.array(sorted(matched))
        for frame in (f for f, box in enumerate(boxes) if box is None):
            nearest_match = matched[int(known[np.argmin(np.abs(known - frame))])]
            chosen[frame] = next((o for o in observations[frame] if who[id(o)] == nearest_match), None)
    return chosen


def choose_in_tracks(
    tracks: Mapping[str, Sequence[Sequence[Observation]]], size: tuple[int, int], rule: Rule = "largest"
) -> dict[str, list[Observation | None]]:
    """One and the same person in all tracks of a clip: `choose_signer` on one track, `match_signer` on the others.

    The track that sees most people leads (the earlier one where two see as many), for an extractor that follows a single
    person, as MediaPipe does, knows nothing to choose between. Where it followed somebody else, its frames are None.
    """
    rule = check_rule(rule)
    counts = {
        name: sum(not o.whole_frame for found in observations for o in found) for name, observations in tracks.items()
    }
    if not counts:
        return {}
    leader = max(counts, key=counts.get)
    signer = choose_signer(tracks[leader], size, rule)
    boxes = [None if o is None else o.box for o in signer]
    return {
        name: signer
        if name == leader
        else (match_signer(observations, boxes) if counts[name] else _whole_frames(observations))
        for name, observations in tracks.items()
    }
