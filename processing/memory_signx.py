"""Limit what reading an input allocates, computed before it is allocated.

Limits of single items (the gap between two frames, the pixels of a side) do not bound their product, so the product is
checked here, for all readers. Clips of signing are far below these limits.
"""

from .errors_signx import SignXError, SignXPoseError, SignXVideoError

MAX_PIXELS = 2**26  # of a picture: 8192 x 8192; 8K video has half of it
MAX_UNPACKED = 2**30  # bytes of an unpacked .npz; 140,000 frames of the five tracks in float32
# Frames made by repeating others, beyond which a recording has fewer than 3 frames per second for minutes.
MAX_REPEATS = 10
FREE_FRAMES = 3600
FREE_BYTES = 2**28
MAX_PEOPLE = 200  # in one picture: each is compared with each of the next picture


class SignXSizeError(SignXVideoError):
    """Raised for a frame or picture with too many pixels."""


def readable_size(size: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def check_picture(width: int, height: int, source: str) -> None:
    """Check the size of a picture or frame.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        source: Name of the video or picture, for the message.

    Raises:
        SignXSizeError: If it has more than `MAX_PIXELS` pixels.
    """
    if width * height > MAX_PIXELS:
        side = round(MAX_PIXELS**0.5)
        raise SignXSizeError(
            f"{source}: a frame must have at most {MAX_PIXELS:,} pixels (such as {side}x{side}), got {width}x{height} "
            f"= {width * height:,}, {readable_size(4 * width * height)} in memory. Scale it down first."
        )


def check_filled(frames: int, read: int, frame_bytes: int, source: str, remedy: str, is_pose: bool = False) -> None:
    """Check how many frames sampling at a rate makes of the frames that were read.

    Args:
        frames: Number of sampled frames or rows.
        read: Number of frames or rows they were sampled from.
        frame_bytes: Size of one in memory; 0 where they are not kept.
        source: Name of the clip, for the message.
        remedy: What to do, a sentence.
        is_pose: Whether it is a clip of poses.

    Raises:
        SignXVideoError: If nearly all of them are copies and they are very many; SignXPoseError for poses.
    """
    size = frames * frame_bytes
    if frames > MAX_REPEATS * read and (frames > FREE_FRAMES or size > FREE_BYTES):
        kind: type[SignXError] = SignXPoseError if is_pose else SignXVideoError
        raise kind(
            f"{source}: filling the gaps between {read:,} frames would make {frames:,} frames or more"
            f"{f' ({readable_size(size)})' if size else ''}, mostly copies. {remedy}"
        )


def check_empty(rows: int, seen: int, row_bytes: int, source: str) -> None:
    """Check how many rows are made for frames of a pose file that show nobody.

    Args:
        rows: Number of rows.
        seen: Number of frames that show a person.
        row_bytes: Size of a row in memory.
        source: Name of the file, for the message.

    Raises:
        SignXPoseError: If nearly all of them are empty and they are very many.
    """
    size = rows * row_bytes
    if rows > MAX_REPEATS * seen and size > FREE_BYTES:
        raise SignXPoseError(
            f"{source}: {rows:,} frames would need {readable_size(size)}, but only {seen:,} show a person. Number the "
            "files consecutively, or cut the clip."
        )


def check_unpacked(size: int, source: str) -> None:
    """Check the unpacked size of a file in bytes: a megabyte of packed zeros would fill the memory of most computers.

    Raises:
        SignXPoseError: If it is above `MAX_UNPACKED`.
    """
    if size > MAX_UNPACKED:
        raise SignXPoseError(
            f"{source}: the file must unpack to at most {readable_size(MAX_UNPACKED)} (more than an hour of all "
            f"tracks), got {readable_size(size)}. Cut the clip."
        )


def check_people(count: int, source: str) -> None:
    """Check the number of people in one picture.

    Raises:
        SignXPoseError: If it is above `MAX_PEOPLE`.
    """
    if count > MAX_PEOPLE:
        raise SignXPoseError(
            f"{source}: a frame must show at most {MAX_PEOPLE} people, got {count}. Run OpenPose with "
            "--number_people_max."
        )
