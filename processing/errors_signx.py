"""The errors that bad input gets. They travel with the processors, so they know nothing of the rest of the package."""


class SignXError(ValueError):
    """Input that signx_hf cannot use: the message says what was found, what was wanted and the remedy, in one line."""


class SignXVideoError(SignXError):
    """A video that cannot be opened, decoded or understood."""


class SignXPoseError(SignXError):
    """A pose file, array or track that cannot be understood."""


class SignXTokenError(SignXError):
    """A gloss or text that the vocabulary cannot express."""


class SignXFileNotFoundError(SignXError, FileNotFoundError):
    """A path that does not exist. It is both a SignXError and a FileNotFoundError."""


class SignXWarning(UserWarning):
    """Input that could be used only in part: the message says what was left out."""
