"""Sets of key points as data: the names of the points, and from them parts, edges and weight groups.

A configuration stores all four as lists of indices, so that any other set of points can be described, too.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

HAND_POINTS = 21
FINGERS = tuple(tuple(range(first, first + 4)) for first in (1, 5, 9, 13, 17))
SIDES = ("left", "right")
# Rings of the face by the words that their names contain; each side has its own, unless both are one ring.
RINGS = (("brow",), ("eye", "lid"), ("mouth", "lip"), ("chin", "jaw"))
BOTH_SIDES = ("mouth", "chin")
# Words by which the points of a ring follow each other: of a ring on one side, and of one across both.
AROUND = ("outer", "middle", "upper", "inner", "lower")
ACROSS = ("right", "upper", "chin", "left", "lower")
# Of the default set, in the order of the extractor: 6 of the brows, 8 of the eyes, 5 of the mouth.
FACE_NAMES = (
    "right_brow_outer", "right_brow_middle", "right_brow_inner",
    "left_brow_inner", "left_brow_middle", "left_brow_outer",
    "right_eye_outer", "right_eye_inner", "right_upper_lid", "right_lower_lid",
    "left_eye_inner", "left_eye_outer", "left_upper_lid", "left_lower_lid",
    "right_mouth_corner", "left_mouth_corner", "upper_lip_outer", "lower_lip_outer", "lower_lip_inner",
)  # fmt: skip
BODY_NAMES = ("nose", "neck", "right_shoulder", "left_shoulder", "right_eye", "left_eye", "right_ear", "left_ear")
SKELETON_BODY = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
# Joint of the body -> the one it hangs on; the first of these that the set has.
BODY_PARENTS = {
    "nose": ("neck",),
    **{f"{side}_shoulder": ("neck",) for side in SIDES},
    **{f"{side}_eye": ("nose",) for side in SIDES},
    **{f"{side}_ear": (f"{side}_eye", "nose") for side in SIDES},
    **{f"{side}_elbow": (f"{side}_shoulder",) for side in SIDES},
    **{f"{side}_wrist": (f"{side}_elbow",) for side in SIDES},
    **{f"{side}_hand_0": (f"{side}_wrist",) for side in SIDES},
}


def hand_names(side: str) -> tuple[str, ...]:
    """Return the names of the 21 points of a hand, its wrist first."""
    return tuple(f"{side}_hand_{index}" for index in range(HAND_POINTS))


def _arm_names(side: str) -> tuple[str, ...]:
    return (f"{side}_elbow", f"{side}_wrist", *hand_names(side))


# Name of a set -> the names of its points.
POINT_SETS = {
    "keypoints73": (*FACE_NAMES, *_arm_names("left"), *_arm_names("right"), *BODY_NAMES),
    "hands": (*hand_names("left"), *hand_names("right")),
    "phoenix_skeletons": (*SKELETON_BODY, *hand_names("left"), *hand_names("right")),
}


def is_face(name: str) -> bool:
    """Return whether a point is of the face; the eyes of the body model, `left_eye` and `right_eye`, are not."""
    return name not in BODY_NAMES and any(word in name for words in RINGS for word in words)


def parts_of(nodes: Sequence[str]) -> dict[str, list[int]]:
    """Return the points of each part of the graph that the set has: body, face, left and right arm with its hand."""
    parts: dict[str, list[int]] = {"body": [], "face": [], "left_hand": [], "right_hand": []}
    for index, name in enumerate(nodes):
        side = name.partition("_")[0]
        if is_face(name):
            part = "face"
        elif side in SIDES and any(word in name for word in ("hand", "elbow", "wrist")):
            part = f"{side}_hand"
        else:
            part = "body"
        parts[part].append(index)
    return {part: points for part, points in parts.items() if points}


def _rings(nodes: Sequence[str]) -> list[list[int]]:
    """Return the points of each ring of the face, in the order in which they lie on it."""
    rings: dict[tuple[str, str], list[int]] = {}
    for index, name in enumerate(nodes):
        if not is_face(name):
            continue
        kind = next(words[0] for words in RINGS if any(word in name for word in words))
        side = "" if kind in BOTH_SIDES else name.partition("_")[0]
        rings.setdefault((kind, side), []).append(index)
    return [
        sorted(ring, key=lambda index: _rank(nodes[index], ACROSS if kind in BOTH_SIDES else AROUND))
        for (kind, _), ring in rings.items()
    ]


def _rank(name: str, words: Sequence[str]) -> int:
    return next((rank for rank, word in enumerate(words) if word in name), len(words))


def _links(nodes: Sequence[str]) -> list[tuple[int, int]]:
    """Return the undirected edges of the set."""
    where = {name: index for index, name in enumerate(nodes)}
    links = []
    for name, parents in BODY_PARENTS.items():
        parent = next((p for p in parents if p in where), None)
        if name in where and parent is not None:
            links.append((where[name], where[parent]))
    for side in SIDES:
        for finger in FINGERS:
            chain = [where[name] for index in (0, *finger) if (name := f"{side}_hand_{index}") in where]
            links += [(child, parent) for parent, child in zip(chain, chain[1:])]
    for ring in _rings(nodes):
        links += list(zip(ring, ring[1:])) + ([(ring[-1], ring[0])] if len(ring) > 2 else [])
        if "nose" in where:
            links.append((ring[0], where["nose"]))
    return links


def edges_of(nodes: Sequence[str]) -> list[list[int]]:
    """Return the edges as [child, parent]: the parent is nearer to the neck, or to the wrist in a set of hands alone.

    The chains are the limbs and fingers; brows, eyes, mouth and outline of the face are rings, each hung on the nose.
    """
    where = {name: index for index, name in enumerate(nodes)}
    links = _links(nodes)
    near: dict[int, list[int]] = {index: [] for index in range(len(nodes))}
    for one, other in links:
        near[one].append(other)
        near[other].append(one)
    roots = [where[name] for name in ("neck", "left_hand_0", "right_hand_0") if name in where]
    distance: dict[int, int] = {}
    for root in (*roots, *range(len(nodes))):  # whatever no root reaches starts from its own first point
        if root in distance:
            continue
        distance[root], queue = 0, deque([root])
        while queue:
            here = queue.popleft()
            for other in near[here]:
                if other not in distance:
                    distance[other] = distance[here] + 1
                    queue.append(other)
    return [[one, other] if distance[one] >= distance[other] else [other, one] for one, other in links]


def weight_groups_of(nodes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the groups whose variance sets the weights of the loss: body with arms, face, hands; those that the set has.

    A group is a list of clusters: its `points`, and what they are measured about: None for the origin, "mean" for
    their own mean, or the index of a point.
    """
    where = {name: index for index, name in enumerate(nodes)}
    face = [index for index, name in enumerate(nodes) if is_face(name)]
    hands = [[where[name] for name in hand_names(side) if name in where] for side in SIDES]
    rest = sorted(set(range(len(nodes))) - set(face) - {point for hand in hands for point in hand})
    groups: dict[str, list[dict[str, Any]]] = {
        "body": [{"points": rest, "about": None}] if rest else [],
        "face": [{"points": face, "about": "mean"}] if face else [],
        "hands": [{"points": hand, "about": hand[0]} for hand in hands if hand],
    }
    return {name: clusters for name, clusters in groups.items() if clusters}
