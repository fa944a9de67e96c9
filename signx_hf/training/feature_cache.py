"""Latents and features of clips, computed once and kept, addressed by what they were computed from.

The key of a clip is a hash of the weights that are run, their configuration, the processor, and the clip's own numbers or
video bytes. A cache can therefore be shared by any number of runs and never be stale: other weights, another key.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from .checkpoints import replacing
from .examples import Example

VERSION = 1  # of what is stored


def weights_fingerprint(modules: Iterable[torch.nn.Module], *settings: Any) -> str:
    """Of all weights and buffers of the modules, and of settings that can be written as JSON."""
    digest = hashlib.sha256(json.dumps([VERSION, *settings], sort_keys=True, default=str).encode())
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(
                value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                if value.ndim
                else str(value.item()).encode()
            )
    return digest.hexdigest()


def clip_fingerprint(example: Example, source: str) -> str:
    """Of the clip's poses as the model would see them, or of its video file and span."""
    digest = hashlib.sha256()
    if source == "poses":
        digest.update(np.ascontiguousarray(example.pose_values).tobytes())
        digest.update(np.ascontiguousarray(example.pose_mask).tobytes())
    else:
        digest.update(repr(example.span).encode())
        if example.video.get("bytes"):
            digest.update(example.video["bytes"])
        else:
            with open(example.video["path"], "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


class FeatureCache:
    """One safetensors file a clip under `folder`, written beside and renamed; a damaged one is computed again."""

    def __init__(self, folder: Path, fingerprint: str, source: str):
        self.folder, self.fingerprint, self.source = folder / fingerprint[:32], fingerprint, source

    def _path(self, example: Example) -> Path:
        key = hashlib.sha256((self.fingerprint + clip_fingerprint(example, self.source)).encode()).hexdigest()
        return self.folder / f"{key[:40]}.safetensors"

    def fill(
        self,
        examples: Sequence[Example],
        compute: Callable[[Example], dict[str, np.ndarray]],
        show: str = "",
    ) -> int:
        """Puts the stored arrays into `example.arrays`, computing those that are not there. Returns how many were computed.

        Each clip is computed by itself: in a batch its last bits would depend on which other clips were missing.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = []
        for example in examples:
            path = self._path(example)
            try:
                example.arrays.update(load_file(path))
            except (FileNotFoundError, SafetensorError):
                missing.append((example, path))
        for example, path in tqdm(missing, desc=show, disable=not show or not missing):
            arrays = {name: np.ascontiguousarray(value) for name, value in compute(example).items()}
            with replacing(path) as beside:
                save_file(arrays, beside)
            example.arrays.update(arrays)
        return len(missing)


def default_folder() -> Path:
    """`$SIGNX_CACHE/features`, else `~/.cache/signx_hf/features`."""
    root = (
        os.environ.get("SIGNX_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signx_hf"
    )
    return Path(root).expanduser() / "features"
