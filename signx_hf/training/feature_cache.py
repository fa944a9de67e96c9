"""Cached latents and features of clips, addressed by what they were computed from.

The key of a clip is a hash of the weights that compute it, their configuration, the processor, and the clip's poses or video
bytes. A cache can therefore be shared by any number of runs and is never stale: other weights, another key.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..common.progress import progress
from .checkpoints import replacing
from .examples import Example

VERSION = 1  # of the stored format


def weights_fingerprint(modules: Iterable[torch.nn.Module], *settings: object) -> str:
    """Return a hash of all weights and buffers of the modules, and of settings that can be written as JSON."""
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
    """Return a hash of the clip's poses as the model sees them, or of its video file and span."""
    digest = hashlib.sha256()
    if source == "poses":
        digest.update(np.ascontiguousarray(example.pose_values).tobytes())
        digest.update(np.ascontiguousarray(example.pose_mask).tobytes())
    else:
        digest.update(repr(example.span).encode())
        if example.span != (None, None):
            digest.update(b"of the container")  # spans once counted from the first frame
        if example.video.get("bytes"):
            digest.update(example.video["bytes"])
        else:
            with open(example.video["path"], "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


class FeatureCache:
    """One safetensors file per clip under `folder`, written atomically; a damaged one is computed again.

    Args:
        folder: of the cache.
        fingerprint: of `weights_fingerprint`.
        source: poses or video.
    """

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
        """Load the stored arrays into `example.arrays`, compute those that are missing, and return how many were computed.

        Each clip is computed by itself: in a batch its last bits would depend on which other clips were missing.

        Args:
            examples: clips to load.
            compute: returns the arrays of a clip by name.
            show: title of the progress bar; empty for none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = []
        for example in examples:
            path = self._path(example)
            try:
                example.arrays.update(load_file(path))
            except (FileNotFoundError, SafetensorError):
                missing.append((example, path))
        for example, path in progress(missing, desc=show, show=bool(show and missing)):
            arrays = {name: np.ascontiguousarray(value) for name, value in compute(example).items()}
            with replacing(path) as tmp_path:
                save_file(arrays, tmp_path)
            example.arrays.update(arrays)
        return len(missing)


def default_folder() -> Path:
    """Return `$SIGNX_CACHE/features`, else `~/.cache/signx_hf/features`."""
    root = (
        os.environ.get("SIGNX_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signx_hf"
    )
    return Path(root).expanduser() / "features"
