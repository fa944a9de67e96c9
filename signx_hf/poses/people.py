"""Choose the signer among several people, by one rule for the whole clip.

People are tracked through the clip by the overlap of their boxes; the rule then picks one of them. Memory holds the
observations of one clip (key points, some kB per person and frame), never its frames.

For the rule "active", extractors of key points put arrays [points, 3] into `Observation.data`: x, y in pixels and
confidence, 0 where not seen. They are `wrists` (left, right), `hands` (left, then right) and `anchor` (one point
between the shoulders; movement is measured against it, so that a passer-by does not count as signing).
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
# A person may be lost for this many frames (half a second at 30 fps) and still be the same.
MAX_GAP = 15
# Minimum intersection over union of two boxes of one person in neighboring frames.
MIN_OVERLAP = 0.2
# The predicted position counts more than the last one, which is for people who stop.
LAST_WEIGHT = 0.8
VELOCITY_FRAMES = 5
# A person in fewer than this share of the frames of the longest seen person is a false detection.
MIN_SHARE = 0.25
# Two extractors draw different boxes around one person (key points, outline): minimum share of the smaller one that is
# covered.
MIN_COVER = 0.5


@dataclass
class Person:
    """One person tracked through a clip: frames in ascending order, and the observation in each of them."""

    frames: list[int] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def boxes(self) -> np.ndarray:
        """Return the boxes [n, 4]: left, top, right, bottom."""
        return np.array([o.box for o in self.seen], dtype=np.float64).reshape(-1, 4)

    def predicted_box(self, frame: int) -> Box:
        """Predict the box in a later frame from the motion over the last frames, so that two people who cross are told
        apart."""
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
    """Return the rule as `choose_signer` takes it; a string of digits (from a command line) becomes an index.

    Raises:
        SignXPoseError: If it is neither a name of `RULES` nor an index from 0.
    """
    if isinstance(rule, str) and rule.isascii() and rule.isdigit():
        return int(rule)
    if rule in RULES and isinstance(rule, str):
        return rule
    if isinstance(rule, (int, np.integer)) and not isinstance(rule, bool) and rule >= 0:
        return int(rule)
    raise SignXPoseError(f"unknown person {rule!r}; {nearest(rule, RULES)}, or an index from 0, left to right")


def overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much boxes overlap, as intersection over union and over the smaller area.

    The boxes [..., 4] are broadcast against each other; both results are [...].
    """
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
    """Return intersection over union; for the few boxes of a frame, plain numbers are ten times as fast as arrays."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    # the intersection is not empty, so neither are the boxes
    union = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - common
    return common / union if union > 0 else 0.0


def _in_order(people: Sequence[Observation]) -> list[Observation]:
    """Sort people by what is seen, independently of the order of the detector."""
    if len(people) < 2:
        return list(people)

    def contents(o: Observation) -> bytes:
        return b"".join(np.ascontiguousarray(o.data[name]).tobytes() for name in sorted(o.data))

    keys = [(_box(o), -o.score) for o in people]
    if len(set(keys)) < len(keys):
        keys = [(*key, contents(o)) for key, o in zip(keys, people)]
    return [people[i] for i in sorted(range(len(people)), key=keys.__getitem__)]


def follow_people(observations: Sequence[Sequence[Observation]], max_gap: int = MAX_GAP) -> list[Person]:
    """Track everybody of a clip from frame to frame; return them in the order of their first frame.

    Greedy: of all pairs of a known person and a box of the new frame, the one with the largest overlap is matched
    first. A person who is lost for more than `max_gap` frames and comes back is a new person.
    """
    people: list[Person] = []
    active: list[Person] = []
    for frame, observed in enumerate(observations):
        if not observed:
            continue
        observed = _in_order(observed)
        active = [person for person in active if frame - person.frames[-1] <= max_gap + 1]
        pairs = _pairs(active, [_box(o) for o in observed], frame)
        free = set(range(len(observed)))
        taken: set[int] = set()
        for _, a, b in sorted(pairs) if len(pairs) > 1 else pairs:
            if a not in taken and b in free:
                taken.add(a)
                free.remove(b)
                active[a].frames.append(frame)
                active[a].seen.append(observed[b])
        new = [Person([frame], [observed[b]]) for b in sorted(free)]
        people += new
        active += new
    return people


def _pairs(active: Sequence[Person], boxes: Sequence[Box], frame: int) -> list[tuple[float, int, int]]:
    """Return (negative overlap, person, box) of all pairs that overlap enough to be the same person."""
    pairs = []
    for a, person in enumerate(active):
        predicted, last = person.predicted_box(frame), _box(person.seen[-1])
        for b, box in enumerate(boxes):
            overlap = max(_union_overlap(predicted, box), LAST_WEIGHT * _union_overlap(last, box))
            if overlap >= MIN_OVERLAP:
                pairs.append((-overlap, a, b))
    return pairs


def _movement(person: Person) -> float:
    """Return the mean movement of wrists and hands per frame against the body, in square roots of the person's box
    area.

    It is relative to the size, so that a small interpreter in a corner beats a large person who only breathes. Without
    wrists and hands it is that of the edges of the box.
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
    """Return the movement in pixels of each point seen in both frames; None where the extractor provides no such
    points."""
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


def _centers(person: Person) -> np.ndarray:
    boxes = person.boxes
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def pick_person(people: Sequence[Person], size: tuple[int, int], rule: Rule) -> Person:
    """Return the person whom the rule picks; see `choose_signer` for the rules.

    Raises:
        SignXPoseError: If the index is not below the number of people.
    """
    rule = check_rule(rule)
    longest = max(len(person) for person in people)
    people = [person for person in people if len(person) >= MIN_SHARE * longest]
    # ties: the longer seen, then further left, then higher up, then first
    position = {id(person): tuple(_centers(person).mean(axis=0)) for person in people}
    if isinstance(rule, int):
        ordered = sorted(people, key=lambda p: (*position[id(p)], p.frames[0]))
        if rule >= len(ordered):
            raise SignXPoseError(
                f"person must be an index below {len(ordered)} (left to right from 0), or one of {', '.join(RULES)}, "
                f"got {rule}. The clip shows {len(ordered)}."
            )
        return ordered[rule]
    if len(people) == 1:
        return people[0]
    frames = max(person.frames[-1] for person in people) + 1
    if rule == "largest":
        score = {id(p): float(np.median(_areas(p.boxes))) * len(p) / frames for p in people}
    elif rule == "central":
        center = np.array(size, dtype=np.float64) / 2
        score = {id(p): -float(np.linalg.norm(_centers(p) - center, axis=1).mean()) for p in people}
    else:
        score = {id(p): _movement(p) for p in people}
    return min(people, key=lambda p: (-score[id(p)], -len(p), *position[id(p)], p.frames[0]))


def _whole_frames(observations: Sequence[Sequence[Observation]]) -> list[Observation | None]:
    return [next((o for o in observed if o.whole_frame), None) for observed in observations]


def choose_signer(
    observations: Sequence[Sequence[Observation]], size: tuple[int, int], rule: Rule = "largest"
) -> list[Observation | None]:
    """Choose one person for the whole clip; None in frames that do not show this person.

    Args:
        observations: For each frame everybody who is seen, in any order, on which the result does not depend.
        size: (width, height) of the frames, pixels.
        rule: "largest": median area of the box x share of the frames that show the person. "central": smallest mean
            distance between the centers of box and frame. "active": most movement of wrists and hands against the
            body, relative to the person's size. An index: people from left to right by the mean center of their boxes,
            from 0.

    People who are seen in less than a quarter of the frames of the one seen longest are false detections and never
    chosen or counted. Maps of the whole frame show everybody and pass through.

    Raises:
        SignXPoseError: If the rule is unknown, or the index is not below the number of people.
    """
    rule = check_rule(rule)
    chosen = _whole_frames(observations)
    people = follow_people([[o for o in observed if not o.whole_frame] for observed in observations])
    if people and not any(chosen):
        person = pick_person(people, size, rule)
        for frame, observation in zip(person.frames, person.seen):
            chosen[frame] = observation
    return chosen


def _overlap_with(people: Sequence[Person], boxes: Sequence[Box | None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the two measures of `overlaps` of each person with the box of each frame, [people, frames]; 0 where one
    is missing."""
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
    """Choose the person of a second extractor who is inside the boxes of the signer of a first one.

    Args:
        observations: Observations of the second extractor, one list per frame.
        boxes: Box of the signer in each frame, None where the first extractor lost the signer; then the second one keeps
            the person whom it matched in the nearest frame. Without any box nobody is chosen.

    Raises:
        SignXPoseError: If the two have different numbers of frames.
    """
    if len(observations) != len(boxes):
        raise SignXPoseError(
            f"match_signer: observations and boxes must have the same number of frames, got {len(observations)} and "
            f"{len(boxes)}."
        )
    chosen = _whole_frames(observations)
    if any(chosen):
        return chosen
    people = follow_people(observations)
    who = {id(o): n for n, person in enumerate(people) for o in person.seen}
    union, cover = _overlap_with(people, boxes)
    # Add the evidence of neighboring frames, because one frame alone can mislead where two people overlap.
    near = np.ones(2 * MAX_GAP + 1)
    evidence = np.array([np.convolve(row, near)[MAX_GAP : MAX_GAP + len(boxes)] for row in union])
    matched: dict[int, int] = {}
    for frame, observed in enumerate(observations):
        inside = {who[id(o)]: o for o in observed if cover[who[id(o)], frame] >= MIN_COVER}
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
    """Choose the same person in all tracks of a clip: `choose_signer` on one track, `match_signer` on the others.

    The track that sees the most people leads (the first one on a tie), because an extractor that tracks a single
    person, such as MediaPipe, has nobody to choose between. Where it tracked somebody else, its frames are None.
    """
    rule = check_rule(rule)
    counts = {
        name: sum(not o.whole_frame for observed in observations for o in observed)
        for name, observations in tracks.items()
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
