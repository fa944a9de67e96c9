"""Corpora as `datasets` datasets of one schema, with checks that find faults before training.

`load_dataset` (in `load.py`) reads a corpus from the user's copy, `schema.py` defines a row, `cleanup.py` holds the
named cleanups of glosses, `check.py` looks for what breaks training. Importing this package imports nothing heavy.
"""

import importlib

EXPORTS = {
    "FEATURES": "schema",
    "SignXDataError": "errors",
    "StoredPoses": "schema",
    "check_dataset": "check",
    "clean_glosses": "cleanup",
    "collect_track_notes": "notes",
    "decode_poses": "schema",
    "encode_poses": "schema",
    "list_corpora": "load",
    "load_dataset": "load",
    "unpack": "archives",
}


def __getattr__(name: str):
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{EXPORTS[name]}"), name)
