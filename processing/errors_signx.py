"""Errors and warnings for invalid input. They travel with the processors, so they import nothing else of the package."""


class SignXError(ValueError):
    """Base class for input that signx_hf cannot use. The message states what was expected, what was given, and the
    remedy.
    """


class SignXVideoError(SignXError):
    """Raised for a video that cannot be opened or decoded."""


class SignXPoseError(SignXError):
    """Raised for a pose file, array or track that cannot be read."""


class SignXTokenError(SignXError):
    """Raised for a gloss or text that the vocabulary cannot express."""


class SignXFileNotFoundError(SignXError, FileNotFoundError):
    """Raised for a path that does not exist; both a SignXError and a FileNotFoundError."""


class SignXWarning(UserWarning):
    """Issued for input that could be used only in part, or that is likely to give wrong results."""
