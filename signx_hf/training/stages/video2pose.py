"""Stage 2, Video2Pose: the video encoder learns the latents of the frozen pose encoder (SignX-4, section 3.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...modeling.modeling_signx import SignXForVideo2Pose
from ...processing.errors_signx import SignXError
from ..examples import Example, pad
from ..feature_cache import FeatureCache, default_folder, weights_fingerprint
from ..frames import FrameStore, check_lengths, check_videos, core, video_inputs, window
from .base import Stage

if TYPE_CHECKING:
    from datasets import Dataset


class Video2Pose(Stage[SignXForVideo2Pose]):
    """Minimize the mean squared error to the latents of the poses. A step sees a window of each clip, and dev entire clips.

    The latents are those of the full clip, cached, or with `window_targets: window` those that the frozen pose path gives to the
    poses of the window. A latent of the full clip depends on frames that the window does not show, most of all near its cuts.
    """

    name = "video2pose"
    title = "Stage 2, Video2Pose"
    upstream_stage = "pose2gloss"
    metric_for_best_model = "latent"
    trains_entries = ("video",)
    loss_parts = ("latent", "pose")
    defaults = {
        "learning_rate": 1e-3, "min_lr_ratio": 0.01, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "num_train_epochs": 300, "eval_epochs": 5, "save_epochs": 5, "window_targets": "window",
        "window_positions": "clip",
    }  # fmt: skip

    @property
    def trains_poses(self) -> bool:
        return False

    def used_options(self) -> set[str]:
        return {"window_targets", "window_margin", "window_positions", "vision_weights", *super().used_options()}

    def check_options(self) -> None:
        super().check_options()
        options = self.arguments.model
        if 2 * options.window_margin >= options.window:
            raise SignXError(
                f"`window_margin` must be less than half of `window` ({options.window}), got {options.window_margin}: the loss would "
                "count no frame. Lower it, or make the windows longer."
            )

    def check_rows(self, train: "Dataset", dev: "Dataset") -> None:
        """Accept all rows: neither glosses nor text are needed."""

    def make_model(self) -> SignXForVideo2Pose:
        model = self.from_upstream(SignXForVideo2Pose)
        model.freeze_pose_path()
        return model

    def setup(self) -> None:
        self.upstream_folder()
        super().setup()
        examples = [*self.train_examples, *self.dev_examples]
        check_videos(examples)
        options = self.arguments.model
        folder = Path(options.cache_dir) if options.cache_dir else default_folder()
        shown = self.arguments.run.progress
        FrameStore(folder / "frames", self.processor.video_processor).fill(examples, "decoding" if shown else "")
        parts = [self.model.model.pose_encoder, self.model.model.latent_encoder]
        settings = (self.model.config.pose_config.to_dict(), self.processor.feature_extractor.to_dict())
        cache = FeatureCache(folder, weights_fingerprint(parts, *settings, "pose latents"), "poses")
        stored = self.dev_examples if options.window_targets == "window" else examples
        cache.fill(stored, self._latents, "caching latents" if shown else "")
        check_lengths(examples, "pose rows")
        for example in examples:
            example.length = min(len(example.arrays["frames"]), self._pose_rows(example))
        self._longest = max(example.length for example in self.train_examples)

    def _pose_rows(self, example: Example) -> int:
        stored = example.arrays.get("latents")
        return len(self.pose_inputs([example], None)["pose_values"][0] if stored is None else stored)

    @torch.inference_mode()
    def _latents(self, example: Example) -> dict[str, np.ndarray]:
        self.model.eval()
        batch = {name: torch.from_numpy(value) for name, value in self.pose_inputs([example], None).items()}
        output = self.model.model.get_pose_latents(batch["pose_values"], batch["pose_mask"], batch["frame_mask"])
        return {"latents": output.last_hidden_state[0].float().numpy()}

    def inputs(
        self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None
    ) -> dict[str, np.ndarray]:
        options = self.arguments.model
        if randoms is None:
            windows = [slice(0, example.length) for example in examples]
        else:
            windows = [
                window(example.length, options.window, random, options.window_margin)
                for example, random in zip(examples, randoms)
            ]
        batch = video_inputs(examples, self.processor.video_processor, self.arguments.augmentation, randoms, windows)
        if randoms is None or options.window_targets == "clip":
            latents = [example.arrays["latents"][where] for example, where in zip(examples, windows)]
            batch["target_latents"] = pad(latents)
        if randoms is not None:
            batch.update(self._window_inputs(examples, windows, randoms))
        return batch

    def _window_inputs(
        self, examples: Sequence[Example], windows: Sequence[slice], randoms: Sequence[np.random.Generator]
    ) -> dict[str, np.ndarray]:
        """Return what the losses of windows need beside the video, as the options ask for it."""
        options = self.arguments.model
        batch: dict[str, np.ndarray] = {}
        if options.window_targets == "window" or self.model.config.pose_weight:
            poses = [self.pose_inputs([example], None) for example in examples]
            batch["pose_values"] = pad([one["pose_values"][0, where] for one, where in zip(poses, windows)])
            batch["pose_mask"] = pad([one["pose_mask"][0, where] for one, where in zip(poses, windows)], False)
        if options.window_margin:
            cores = [core(where, example.length, options.window_margin) for example, where in zip(examples, windows)]
            batch["loss_mask"] = pad(cores, False)
        if options.window_positions == "clip":
            batch["first_position"] = np.array([where.start for where in windows])
        elif options.window_positions == "random":
            free = [self._longest - (where.stop - where.start) for where in windows]
            batch["first_position"] = np.array([random.integers(0, room + 1) for room, random in zip(free, randoms)])
        return batch

    def predict(self, model: SignXForVideo2Pose, batch: dict[str, torch.Tensor]) -> list[tuple[float, float, int]]:
        """Return squared error, squared norm of the target latents and number of frames of each clip."""
        target, mask = batch.pop("target_latents"), batch["frame_mask"]
        error = (model(**batch).latents - target).square().mean(-1) * mask
        size = target.square().mean(-1) * mask
        return list(zip(error.sum(1).tolist(), size.sum(1).tolist(), mask.sum(1).tolist()))

    def metric_names(self) -> list[str]:
        return ["latent", "unexplained"]

    def compute_metrics(self, predictions: list[tuple[float, float, int]]) -> dict[str, float]:
        """Return `latent`, the mean squared error, and `unexplained`, its ratio to the mean square of the target latents."""
        error, size, frames = (sum(column) for column in zip(*predictions))
        return {"latent": error / frames, "unexplained": error / max(size, 1e-12)}
