"""Meaning of the rows of a pose track."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TrackLayout:
    """Meaning of a row of a track; stored with every row that is written.

    Attributes:
        track: Name of the track.
        width: Numbers per row.
        layout: Name of the layout.
        units: Units of each kind of number.
        order: Order of the joints or cells.
        source: The program or model that measured the numbers.
        version: Version of that source.
    """

    track: str
    width: int
    layout: str
    units: str
    order: str
    source: str
    version: str

    def notes(self) -> dict[str, str]:
        """Return `{"<track>.layout": ..., "<track>.units": ..., ...}`, for `encode_poses` and `.npz` files."""
        fields = asdict(self)
        return {f"{self.track}.{key}": fields[key] for key in ("layout", "units", "order", "source", "version")}
