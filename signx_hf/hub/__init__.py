"""`signx-hf push` and `signx-hf pull`: models with cards, datasets and metrics to and from the Hub.

from signx_hf.hub import About, pull, push_dataset, push_model, write_card
"""

from typing import Any

# Public name -> module, imported on first use.
_HOMES = {
    "About": "about",
    "PullReport": "download",
    "PushOptions": "upload",
    "PushReport": "upload",
    "SignXHubError": "client",
    "pull": "download",
    "push_dataset": "upload",
    "push_metric": "upload",
    "push_model": "upload",
    "read_about": "about",
    "write_card": "card",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
