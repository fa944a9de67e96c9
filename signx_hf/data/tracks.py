"""What the rows of a pose track mean."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TrackLayout:
    """What a row of a track means; stored with every row that is written.

    layout: name of the layout. units: of each kind of number. order: of the joints or cells. source: the program or model
    that gave the numbers. version: of that source.
    """

    track: str
    width: int
    layout: str
    units: str
    order: str
    source: str
    version: str

    def notes(self) -> dict[str, str]:
        """`{"<track>.layout": ..., "<track>.units": ..., ...}`, for `encode_poses` and `.npz` files."""
        fields = asdict(self)
        return {f"{self.track}.{key}": fields[key] for key in ("layout", "units", "order", "source", "version")}
