"""Read corpora of hand landmarks: checked `.npz` arrays in, rows of the `hands` track out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...processing.keypoints_signx import HAND_POINTS, HANDS_LAYOUT, HANDS_ORDER, HANDS_SLOTS, HANDS_UNITS, HANDS_WIDTH
from ..corpus import BadRow
from ..errors import SignXDataError, nearest

KINDS = {"b": "bool", "iu": "integer", "f": "float", "U": "text"}


def hand_notes(source: str, aspect: float) -> dict[str, str]:
    """Return the notes of the track `hands`.

    Args:
        source: What measured the landmarks; "MediaPipe Hands" if it is what the extractor uses.
        aspect: Width of the image divided by its height.
    """
    return {
        "hands.layout": HANDS_LAYOUT,
        "hands.units": HANDS_UNITS,
        "hands.order": HANDS_ORDER,
        "hands.source": source,
        "hands.aspect": f"{aspect:.4f}",
    }


def hand_rows(hands: np.ndarray) -> np.ndarray:
    """Convert landmarks to rows of the track `hands`.

    Args:
        hands: [T, 2, 21, 2 or 3] floats; a hand of NaN or zeros was not seen; without z, it is set to 0.

    Returns:
        [T, 126] of the dtype of `hands`; a hand that was not seen is 0, a frame without any hand is NaN.

    Raises:
        BadRow: If some points of a hand are not finite.
    """
    seen = ~np.isnan(hands).all(axis=(2, 3)) & (hands != 0).any(axis=(2, 3))
    rows = np.zeros((len(hands), HANDS_SLOTS, HAND_POINTS, 3), dtype=hands.dtype)
    rows[seen, :, : hands.shape[-1]] = hands[seen]
    return _without_hands(rows, seen)


def rows_from_detections(detections: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Put detected hands [detections, 21, 3] into the slots marked in `present` [T, 2]: rows of `hand_rows`."""
    rows = np.zeros((*present.shape, HAND_POINTS, 3), dtype=detections.dtype)
    rows[present] = detections
    return _without_hands(rows, present)


def _without_hands(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(rows).all(axis=(1, 2, 3))
    if bad.any():
        raise BadRow("hands", f"a non-finite number in frame {int(np.argmax(bad))}", "finite numbers")
    if not len(rows):
        raise BadRow("length", 0, "at least one frame")
    rows[~seen.any(axis=1)] = np.nan
    return rows.reshape(len(rows), HANDS_WIDTH)


def read_arrays(path: Path, expected: Mapping[str, tuple[str, Sequence[int | str]]]) -> dict[str, np.ndarray]:
    """Read arrays from a `.npz` file and check their types and shapes.

    Args:
        path: The file.
        expected: Name -> (numpy kinds, a key of `KINDS`; shape). A size given as a word is the same in all arrays that
            use it.

    Raises:
        SignXDataError: If the file cannot be read, or an array is missing or has another type or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in expected if name not in file.files]
            arrays = {} if missing else {name: file[name] for name in expected}
            there = ", ".join(file.files) or "nothing"
    except Exception as error:  # zip, header, pickle and memory errors of numpy's reader
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise SignXDataError(
            f"{path}: must be a .npz file with {', '.join(expected)}; it cannot be read ({reason}). Copy it again."
        ) from error
    if missing:
        raise SignXDataError(f"{path}: `{missing[0]}` must be in the file, got {there}. Copy it again.")
    sizes: dict[str, tuple[int, str]] = {}
    for name, array in arrays.items():
        kinds, shape = expected[name]
        for axis, size in enumerate(shape if array.ndim == len(shape) else ()):
            if isinstance(size, str):
                sizes.setdefault(size, (array.shape[axis], name))
        fits = [sizes.get(size, (size, ""))[0] for size in shape]
        if array.dtype.kind not in kinds or list(array.shape) != fits:
            named = {size: sizes[size] for size in shape if size in sizes and sizes[size][1] != name}
            origin = "; ".join(f"{size} = {number} as in `{first}`" for size, (number, first) in named.items())
            raise SignXDataError(
                f"{path}: `{name}` must be {KINDS[kinds]} [{', '.join(map(str, shape))}]{f' ({origin})' if origin else ''}, "
                f"got {array.dtype} {list(array.shape)}. Copy the file again."
            )
    return arrays


def clip_starts(path: Path, length: np.ndarray, frames: int) -> np.ndarray:
    """Return where each clip starts and the last one ends [clips + 1]; raise SignXDataError for wrong lengths."""
    if len(length) == 0 or length.min() < 1 or length.sum() != frames:
        raise SignXDataError(
            f"{path}: `length` must be at least 1 for each clip and add up to {frames} frames, got {len(length)} clips and a sum of "
            f"{length.sum()}. Copy the file again."
        )
    return np.concatenate([[0], np.cumsum(length, dtype=np.int64)])


def check_index(path: Path, name: str, index: np.ndarray, count: int, lowest: int = 0) -> None:
    """Raise SignXDataError if `index` points outside a list of `count` names."""
    if index.size and not (index.min() >= lowest and index.max() < count):
        raise SignXDataError(
            f"{path}: `{name}` must be from {lowest} to {count - 1}, got {index.min()} to {index.max()}. Copy the file again."
        )


def names_option(corpus: str, option: str, value: object, known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Check an option that lists names; numbers are converted to text.

    Args:
        corpus: Name of the corpus, for messages.
        option: Name of the option.
        value: Its value.
        known: The existing names; None leaves that check to a later call.

    Raises:
        SignXDataError: If the value is not a list, or a name is unknown.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple, set, frozenset)):
        raise SignXDataError(f"{corpus}: `{option}` must be a list, got {value!r}. Write [{value}].")
    names = tuple(str(name) for name in value)
    strangers = sorted(set(names) - set(known)) if known is not None else ()
    if strangers:
        close = nearest(strangers[0], known)
        raise SignXDataError(
            f"{corpus}: `{option}` must name what the corpus has, got {strangers[0]!r}; {close[:300]}{'...' * (len(close) > 300)}"
        )
    return names


def whole_option(corpus: str, option: str, value: object, lowest: int = 0, highest: int | None = None) -> int:
    """Check that an option is an integer from `lowest` to `highest`; raise SignXDataError if it is not."""
    limits = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < lowest
        or (highest is not None and value > highest)
    ):
        raise SignXDataError(f"{corpus}: `{option}` must be an integer {limits}, got {value!r}.")
    return value
