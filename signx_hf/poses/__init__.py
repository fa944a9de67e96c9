"""Pose tracks: extractors, the choice of the signer among several people, and `signx-hf extract`.

`load_extractor` returns an extractor by the name of its track. Importing this package imports nothing heavy.
"""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from ..common.messages import reason_of
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
    """Return the extractor class of a track, or of "module:Class", an importable subclass of `base.TrackExtractor`.

    Raises:
        SignXPoseError: If there is no such track or class. The message lists the tracks.
    """
    from .base import TrackExtractor

    if not isinstance(name, str) or (name not in TRACKS and ":" not in name):
        raise SignXPoseError(
            f"unknown pose track {name!r}; {nearest(name, TRACKS)}, or 'module:Class' for an extractor of your own"
        )
    if name in TRACKS:
        module, _, attribute = TRACKS[name].partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), attribute)
    module, _, attribute = name.partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise SignXPoseError(f"{name}: the module {module!r} cannot be imported ({reason_of(error)}).") from error
    if not (inspect.isclass(cls) and issubclass(cls, TrackExtractor)):
        raise SignXPoseError(
            f"{name}: {attribute!r} in {module} must be a subclass of signx_hf.poses.base.TrackExtractor, got {cls!r}."
        )
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise SignXPoseError(f"{name}: {attribute} does not define {', '.join(missing)} of base.TrackExtractor.")
    track, width = getattr(cls, "name", None), getattr(cls, "width", None)
    if not (isinstance(track, str) and track.isidentifier() and type(width) is int and width > 0):
        raise SignXPoseError(
            f"{name}: `{attribute}.name` must be an identifier and `{attribute}.width` a positive integer, got "
            f"{track!r} and {width!r}."
        )
    return cls


def load_extractor(name: str, **options: Any) -> "TrackExtractor":
    """Return the extractor of a track with its options checked. Its model is not read before `load()`.

    Args:
        name: One of `TRACKS`, or "module:Class".
        options: Options of the extractor; see the docstring of its class.

    Raises:
        SignXPoseError: If the track or an option is unknown, an option is missing, or the extractor rejects a value.
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
            f"{name}: option '{missing[0]}' is required. Pass {missing[0]}=... (--option {name}.{missing[0]}=...)."
        )
    try:
        return extractor(**options)
    except (SignXError, ImportError):
        raise
    except Exception as error:  # of a user's extractor
        raise SignXPoseError(
            f"{name}: {extractor.__name__} did not accept these options ({reason_of(error)})."
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
