"""Augmentation of training clips of the track `hands`: the moments that are read, pose and motion of the hands, and visibility.

A batch is changed at once. Every clip draws from a generator of its own, so that its change does not depend on the batch.

Legend: B clips, S steps, P = 21 landmarks.
"""

from collections.abc import Sequence

import numpy as np

from ..processing.hands_signx import HandClip, hand_features
from .arguments import AugmentationArguments

# pieces in which a clip is warped in time
PIECES = 6
# uniform numbers that every clip draws, so that one option does not change what another draws
DRAWS = 96


class HandAugmentation:
    """Compute model rows of clips, each with a change of its own; unchanged without generators.

    Args:
        options: strength of each change.
        steps: moments at which every clip is read (`hand_steps` of the feature extractor); None: as many as the clip has at `fps`.
        fps: frames per second of the model, for clips of any length.
        use_depth, shape_only: as in the feature extractor.
    """

    def __init__(
        self,
        options: AugmentationArguments,
        steps: int | None,
        fps: float,
        use_depth: bool = True,
        shape_only: bool = False,
    ):
        self.options, self.steps, self.fps = options, steps, fps
        self.use_depth, self.shape_only = use_depth, shape_only

    def __call__(
        self, clips: Sequence[HandClip], randoms: Sequence[np.random.Generator] | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read and change clips, and compute their features.

        Returns:
            Rows `[B, S, HAND_FEATURES]` float32, `pose_mask` `[B, S, 1]` and `frame_mask` `[B, S]` bool.
        """
        draws = None if randoms is None else np.stack([random.random(DRAWS) for random in randoms])
        moments = [self._moments(clip, None if draws is None else draws[row, :16]) for row, clip in enumerate(clips)]
        hands, seen, frames = _read_at(clips, moments)
        seconds = np.array([clip.seconds for clip in clips], dtype=np.float32)
        if draws is not None:
            seconds = seconds * np.exp(_signed(draws[:, 16]) * self.options.speed)
            hands, seen = self._change(hands, seen, draws[:, 17:], randoms)
        if not self.use_depth:  # rotated hands have depth
            hands[..., 2] = 0.0
        rows = hand_features(hands, seen, seconds if self.steps else None, self.shape_only)
        shown = frames if self.steps is not None else (seen[..., :1] if self.shape_only else seen).any(axis=-1)
        return np.where(shown[..., None], rows, 0.0), shown[..., None], frames

    def _moments(self, clip: HandClip, draws: np.ndarray | None) -> np.ndarray:
        """Return the fractional frame indices of a clip to read: evenly in time, or warped."""
        last = len(clip) - 1
        count = self.steps or max(2, round(clip.seconds * self.fps) + 1)
        places = np.linspace(0, 1, count)
        if draws is not None:
            if self.steps is None:
                places = np.linspace(0, 1, max(2, round(count * np.exp(_signed(draws[0]) * self.options.speed))))
            lengths = np.exp(_signed(draws[1 : 1 + PIECES]) * self.options.time_warp)
            ends = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
            places = np.interp(places, np.linspace(0, 1, PIECES + 1), ends)
            if self.steps is not None:  # only isolated signs: the ends of a sentence hold signs
                first, after = self.options.trim * (1.6 * draws[8:10] - 0.6)
                places = first + (1 - first - after) * places
        times = clip.times[0] + clip.seconds * np.clip(places, 0, 1)
        return np.interp(times, clip.times, np.arange(last + 1))

    def _change(
        self, hands: np.ndarray, seen: np.ndarray, draws: np.ndarray, randoms: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        options, signed = self.options, _signed(draws)
        hands[..., 0] *= np.where(draws[:, 0] < options.mirror, -1.0, 1.0)[:, None, None, None]
        wrists = hands[:, :, :, :1]
        matrix = self._matrices(signed[:, 1:9])
        shapes = _transform(matrix, hands - wrists)
        shapes = shapes * (1 + options.proportions * signed[:, 9:30])[:, None, None, :, None]
        places = wrists.copy()
        flat = matrix.copy()
        flat[:, 2, :2] = flat[:, :2, 2] = 0  # a wrist has no depth: its z is 0
        places = _transform(flat, places)
        places[..., :2] += options.shift * signed[:, None, None, None, 30:32]
        places[..., :2] += options.hand_shift * signed[:, 32:36].reshape(-1, 1, 2, 1, 2)
        amount = options.jitter * draws[:, 36].astype(np.float32)
        noise = np.stack([random.standard_normal(hands.shape[1:], dtype=np.float32) for random in randoms])
        hands = shapes + places + noise * amount[:, None, None, None, None]
        hands[..., 2] *= np.where(draws[:, 37] < options.flatten, 0.0, 1.0)[:, None, None, None]
        seen = self._hide(seen, draws[:, 38:44])
        swapped = draws[:, 44] < options.hand_swap
        hands = np.where(swapped[:, None, None, None, None], hands[:, :, ::-1], hands)
        seen = np.where(swapped[:, None, None], seen[:, :, ::-1], seen)
        return hands.astype(np.float32), seen

    def _matrices(self, signed: np.ndarray) -> np.ndarray:
        """Return the matrices `[B, 3, 3]` that rotate, shear and stretch the hands, from numbers -1 to 1 `[B, 8]`."""
        options = self.options
        tilt, turn, roll = (np.deg2rad(signed[:, :3]) * (options.tilt, options.turn, options.rotation)).T
        matrix = _rotations(roll, 0, 1) @ _rotations(turn, 2, 0) @ _rotations(tilt, 1, 2)
        shear = np.tile(np.eye(3), (len(signed), 1, 1))
        shear[:, 0, 1] = options.shear * signed[:, 3]
        sizes = np.exp(options.stretch * signed[:, 4:7]) * np.exp(options.scale * signed[:, 7:8])
        return (matrix @ shear * sizes[:, None]).astype(np.float32)

    def _hide(self, seen: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Hide the second hand of some clips, and a span of one hand of others; one hand always stays somewhere."""
        options, steps = self.options, seen.shape[1]
        seen = seen.copy()
        both = seen.any(axis=1).all(axis=1)
        seen[both & (draws[:, 0] < options.hand_drop), :, 1] = False
        first = draws[:, 1] * steps
        span = (np.arange(steps) >= first[:, None]) & (np.arange(steps) < (first + draws[:, 2] * steps / 4)[:, None])
        hidden = np.zeros_like(seen)
        hidden[np.arange(len(seen)), :, (draws[:, 3] < 0.5).astype(int)] = span
        hidden &= (draws[:, 4] < options.hand_mask)[:, None, None]
        hidden &= (seen & ~hidden).any(axis=(1, 2))[:, None, None]
        return seen & ~hidden


def _signed(draws: np.ndarray) -> np.ndarray:
    """Map numbers from 0 to 1 to -1 to 1, float32."""
    return (2 * draws - 1).astype(np.float32)


def _rotations(angles: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return rotations `[B, 3, 3]` in the plane of two axes."""
    out = np.tile(np.eye(3), (len(angles), 1, 1))
    out[:, first, first] = out[:, second, second] = np.cos(angles)
    out[:, first, second], out[:, second, first] = -np.sin(angles), np.sin(angles)
    return out


def _transform(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply matrices `[B, 3, 3]` to points `[B, S, 2, P, 3]`."""
    return (points.reshape(len(points), -1, 3) @ matrices.transpose(0, 2, 1)).reshape(points.shape)


def _read_at(clips: Sequence[HandClip], moments: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hands `[B, S, 2, P, 3]` at fractional frames, seen `[B, S, 2]` of the nearer frame, and the mask of real steps `[B, S]`."""
    longest = max(len(places) for places in moments)
    hands = np.zeros((len(clips), longest, *clips[0].hands.shape[1:]), dtype=np.float32)
    seen = np.zeros((len(clips), longest, 2), dtype=bool)
    frames = np.zeros((len(clips), longest), dtype=bool)
    for row, (clip, places) in enumerate(zip(clips, moments)):
        low = np.minimum(places.astype(int), len(clip) - 1)
        high = np.minimum(low + 1, len(clip) - 1)
        share = (places - low).astype(np.float32)[:, None, None, None]
        here, then = clip.hands[low], clip.hands[high]
        hands[row, : len(places)] = here + (then - here) * share
        seen[row, : len(places)] = clip.seen[np.minimum(np.rint(places).astype(int), len(clip) - 1)]
        frames[row, : len(places)] = True
    return hands, seen, frames
