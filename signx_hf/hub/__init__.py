"""`signx-hf push` and `signx-hf pull`: models with a card made of measured results, datasets and metrics, to and from the Hub.

from signx_hf.hub import About, pull, push_dataset, push_model, write_card
"""

from typing import Any

# name -> module; all but the parser of the command line comes in when it is asked for
HOMES = {
    "About": "about",
    "PullReport": "download",
    "PushOptions": "upload",
    "PushReport": "upload",
    "SignXHubError": "hub",
    "pull": "download",
    "push_dataset": "upload",
    "push_metric": "upload",
    "push_model": "upload",
    "read_about": "about",
    "write_card": "card",
}
__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name in HOMES:
        import importlib

        return getattr(importlib.import_module(f".{HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
