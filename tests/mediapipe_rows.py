"""Make rows of the track `mediapipe`."""

import numpy as np


def body(hands_up: np.ndarray, speed: float = 0.2) -> np.ndarray:
    """MediaPipe rows [T, 258] in pixels: shoulders 100 apart, wrists by the chest and moving, or at rest by the hips."""
    rows = np.zeros((len(hands_up), 33, 4))
    rows[:, :, 3] = 1.0
    rows[:, 11, :2], rows[:, 12, :2] = (250, 200), (150, 200)
    sway = 100 * speed * np.sin(np.arange(len(hands_up)))
    for wrist, x in ((15, 240), (16, 160)):
        rows[:, wrist, 0] = x + np.where(hands_up, sway, 0)
        rows[:, wrist, 1] = np.where(hands_up, 250, 355)
    return np.concatenate([rows.reshape(len(rows), -1), np.zeros((len(rows), 126))], axis=1)


def mediapipe(seed=0, frames=8, left=True, right=True):
    """Rows in pixels: shoulders apart, hands somewhere."""
    draw = np.random.default_rng(seed)
    body = np.concatenate([draw.normal(300, 60, size=(frames, 33, 3)), np.ones((frames, 33, 1))], axis=2)
    body[:, 11, 0] += 300
    hands = draw.normal(300, 40, size=(frames, 2, 21, 3))
    hands[:, 0] *= left
    hands[:, 1] *= right
    return np.concatenate([body.reshape(frames, -1), hands.reshape(frames, -1)], axis=1)


def mirror_image(rows):
    """As a mirror in front of the camera would show it, 640 pixels wide: written out, not by the package's tables."""
    body, hands = rows[:, :132].reshape(-1, 33, 4).copy(), rows[:, 132:].reshape(-1, 2, 21, 3).copy()
    seen = hands != 0
    body[..., 0], hands[..., 0] = 640 - body[..., 0], 640 - hands[..., 0]
    hands[~seen] = 0
    order = list(range(33))
    for left, right in ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((i, i + 1) for i in range(11, 33, 2))):
        order[left], order[right] = right, left
    return np.concatenate([body[:, order].reshape(len(rows), -1), hands[:, ::-1].reshape(len(rows), -1)], axis=1)
