"""PHOENIX-2014T skeletons, as text files of Progressive Transformers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..corpus import BadRow, Corpus, Record, read_lines, text_of
from ..errors import SignXDataError

JOINTS = 50
WIDTH = 3 * JOINTS
FPS = 25.0
NOTES = {
    "skeleton": "50 joints x y z (8 upper body, 21 left hand, 21 right hand), lifted to 3-D from OpenPose; shoulder width 1/3"
}


class PhoenixSkeletons(Corpus):
    """PHOENIX-2014T as 3-D skeletons, 50 joints, 25 frames/s, with glosses and German text. No video.

    Layout; data_dir is the folder that holds these, each with one sentence per line (`.skels` may be gzipped,
    `.skels.gz`)::

        {train,dev,test}.skels     all frames of a sentence one after the other: 150 coordinates and a counter
        {train,dev,test}.gloss
        {train,dev,test}.text
        {train,dev,test}.files     names of the clips

    Poses: one track `skeleton`, 150 numbers per frame, without the counter.
    """

    name = "phoenix_skeletons"
    title = "PHOENIX-2014T 3-D skeletons of Progressive Transformers"
    licence = "research only, CC BY-NC-SA 4.0"
    citation = "Saunders, Camgoz, Bowden: Progressive transformers for end-to-end sign language production, ECCV 2020"
    homepage = "https://github.com/BenSaunders27/ProgressiveTransformersSLP"
    sign_language = "gsg"
    spoken_language = "de"
    roots = ("", "Data/tmp", "tmp")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        what = f"annotation of split '{split}'"
        skeletons = self.need(what, f"{split}.skels", f"{split}.skels.gz")
        paths = {kind: self.need(what, f"{split}.{kind}") for kind in ("gloss", "text", "files")}
        lines = {"skels": read_lines(skeletons), **{kind: read_lines(path) for kind, path in paths.items()}}
        lengths = {kind: len(rows) for kind, rows in lines.items()}
        if len(set(lengths.values())) != 1:
            raise SignXDataError(
                f"{skeletons.parent}: the files of {split} must have the same number of lines, got {lengths}. Copy them again."
            )
        for number, values in enumerate(zip(*lines.values()), 1):
            yield Record(skeletons, number, dict(zip(lines, values)))

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        try:
            values = np.array(record.values["skels"].split(), dtype=np.float32)
        except ValueError as error:
            raise BadRow("skels", str(error).split(":")[-1].strip(), "numbers") from None
        if values.size == 0 or values.size % (WIDTH + 1):
            raise BadRow(
                "skels", f"{values.size} numbers", f"a multiple of {WIDTH + 1}: 150 coordinates and a counter a frame"
            )
        frames = values.reshape(-1, WIDTH + 1)
        if not np.isfinite(frames).all():
            raise BadRow("skels", "a non-finite number", "finite numbers")
        if (np.diff(frames[:, -1]) < 0).any():
            raise BadRow(
                "skels", "a counter that falls", "a counter that rises from frame to frame: 150 coordinates, then it"
            )
        return {
            "id": text_of(record, "files").removeprefix(f"{split}/"),  # as in phoenix14t
            "fps": FPS,
            "num_frames": len(frames),
            "glosses": text_of(record, "gloss").split(),
            "text": text_of(record, "text"),
            "poses": encode_poses({"skeleton": frames[:, :WIDTH]}, fps=FPS, notes=NOTES),
        }
