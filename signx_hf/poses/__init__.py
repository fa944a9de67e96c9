"""The pose tracks: extractors, who of several people is the signer, and `signx-hf extract`.

`load_extractor` brings an extractor by the name of its track. Importing this package imports nothing heavy.
"""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from ..data.errors import nearest
from ..processing.errors_signx import SignXError, SignXPoseError

if TYPE_CHECKING:
    from .base import TrackExtractor

# track -> module of this package and class in it; a new track is one file and one line here
TRACKS = {
    "mediapipe": "mediapipe:MediaPipeExtractor",
    "hands": "hands:HandsExtractor",
    "dwpose": "dwpose:DWPoseExtractor",
    "sapiens": "sapiens:SapiensExtractor",
    "primedepth": "primedepth:PrimeDepthExtractor",
    "smplerx": "smplerx:SMPLerXExtractor",
}


def extractor_class(name: str) -> "type[TrackExtractor]":
    """The extractor of a track, or one's own as "module:Class", a subclass of `base.TrackExtractor` that can be imported.

    Raises:
        SignXPoseError: no track of that name (lists the names), or no such class.
    """
    from .base import TrackExtractor

    if not isinstance(name, str) or (name not in TRACKS and ":" not in name):
        raise SignXPoseError(
            f"no pose track is called {name!r}; {nearest(name, TRACKS)}; an extractor of your own is 'module:Class'"
        )
    if name in TRACKS:
        module, _, attribute = TRACKS[name].partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), attribute)
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:  # whatever somebody's own module does
        raise SignXPoseError(
            f"{name}: the module {module!r} cannot be imported ({_said(error)}); wanted 'module:Class'"
        ) from error
    if not (inspect.isclass(found) and issubclass(found, TrackExtractor)):
        raise SignXPoseError(
            f"{name}: {attribute!r} in {module} is {found!r}; wanted a subclass of signx_hf.poses.base.TrackExtractor"
        )
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        raise SignXPoseError(
            f"{name}: {attribute} does not define {', '.join(lacking)}; wanted all of base.TrackExtractor"
        )
    track, width = getattr(found, "name", None), getattr(found, "width", None)
    if not (isinstance(track, str) and track.isidentifier() and type(width) is int and width > 0):
        raise SignXPoseError(
            f"{name}: {attribute} has the name {track!r} and the width {width!r}; wanted a word and a number of at least 1"
        )
    return found


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def load_extractor(name: str, **options: Any) -> "TrackExtractor":
    """The extractor of a track with its options checked. No model is read yet: that is its `load()`.

    Args:
        name: one of `TRACKS`, or "module:Class".
        options: what the extractor takes (the docstring of its class).

    Raises:
        SignXPoseError: unknown track, unknown or missing option, or a value that the extractor refuses.
    """
    extractor = extractor_class(name)
    known = {
        key: parameter
        for key, parameter in inspect.signature(extractor).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for key in options:
        if key not in known:
            raise SignXPoseError(f"{name}: unknown option '{key}'; {nearest(key, known)}")
    missing = [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in options]
    if missing:
        raise SignXPoseError(
            f"{name}: found no option '{missing[0]}', which has no default; give {missing[0]}=... (--option {name}.{missing[0]}=...)"
        )
    try:
        return extractor(**options)
    except (SignXError, ImportError):
        raise
    except Exception as error:  # of an extractor of one's own
        raise SignXPoseError(
            f"{name}: these options were not taken ({_said(error)}); wanted those of {extractor.__name__}"
        ) from error


EXPORTS = {
    "ExtractOptions": "extraction",
    "ExtractFailed": "extraction",
    "extract": "extraction",
    "dataset_hash": "output",
}


def __getattr__(name: str):
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{EXPORTS[name]}", __package__), name)
