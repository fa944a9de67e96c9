"""The error of annotations that cannot be used."""

from ..processing.errors_signx import SignXError


class SignXDataError(SignXError):
    """An annotation file, row or archive that cannot be used: names the file, row and column, what was found and wanted."""
