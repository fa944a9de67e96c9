"""What the stages of UniGloR share: key points instead of tracks, one or several corpora, and representations of clips."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch

from ...data.media import of_clip, pose_clip
from ...modeling.configuration_uniglor import UniGloRConfig
from ...modeling.modeling_uniglor import UniGloRPreTrainedModel
from ...processing.errors_signx import SignXError, SignXWarning
from ...processing.feature_extraction_uniglor import UniGloRFeatureExtractor, pad_clips
from ...processing.keypoint_sets_uniglor import missing_parts
from ..arguments import AugmentationArguments, DataArguments, more_corpora
from ..backbones import Backbones
from ..examples import Example, open_splits
from ..feature_cache import FeatureCache, default_folder, weights_fingerprint
from .base import ModelT, Stage

if TYPE_CHECKING:
    from datasets import Dataset


def points_of(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return the key points of an example `[T, V, C]` and their mask `[T, V]`."""
    values, mask = cast(np.ndarray, example.pose_values), cast(np.ndarray, example.pose_mask)
    return values.reshape(*mask.shape, -1), mask


class UniGloRStage(Stage[ModelT]):
    """A stage on key points. `processor` is a `UniGloRFeatureExtractor`, chosen by `model_config.keypoints` or upstream's.

    An example holds its key points [T, V * C] as `pose_values` and their mask [T, V] as `pose_mask`.
    """

    config_class = UniGloRConfig
    model_class: ClassVar[type[UniGloRPreTrainedModel]]
    processor: UniGloRFeatureExtractor

    def check_options(self) -> None:
        """Reject options that would change nothing."""
        super().check_options()
        options = self.arguments.model
        if options.source != "poses":
            raise SignXError(f"`source` must be poses in {self.title}, got {options.source!r}. Remove it.")
        if not options.upstream and not hasattr(UniGloRConfig, options.preset):
            raise SignXError(f"`preset` must be tiny or base in {self.title}, got {options.preset!r}. Choose one.")
        for name, usual in asdict(AugmentationArguments()).items():
            if getattr(self.arguments.augmentation, name) != usual:
                raise SignXError(
                    f"`{name}` is not used by {self.title}. Remove it; UniGloR trains on clips as they are."
                )

    def used_options(self) -> set[str]:
        return {"noise_threshold", "more_data", *super().used_options()}

    def setup(self) -> None:
        """Read the data, and build processor and model."""
        self.check_options()
        upstream = self.upstream_folder() if self.arguments.model.upstream else None
        self.backbones = Backbones(self.arguments, upstream)
        corpora = [self.arguments.data, *more_corpora(self.arguments.data.more_data)]
        splits = [open_splits(data) for data in corpora]
        prints = [print_ for _, _, print_ in splits]
        self.data_fingerprint = prints[0] if len(prints) == 1 else hashlib.sha256("".join(prints).encode()).hexdigest()
        self.check_corpora([train for train, _, _ in splits], [dev for _, dev, _ in splits])
        self._build_model(splits[0][0])
        self.train_examples, self.dev_examples = [], []
        for data, (train, dev, _) in zip(corpora, splits):
            skip_bad = bool(data.loader_options.get("skip_bad"))
            self.train_examples += self.read_rows(train, data, skip_bad)
            self.dev_examples += self.read_rows(dev, data, skip_bad)

    def check_corpora(self, trains: "list[Dataset]", devs: "list[Dataset]") -> None:
        """Check that the stage can use the data; here, it needs no labels."""

    def note_tracks(self) -> None:
        """Note nothing: the config names its points."""

    def _take_video_entry(self) -> None:
        """Take nothing: UniGloR reads no video."""

    def _note_entries(self) -> None:
        """Note nothing: key points are the only input."""

    def make_processor(self, train: "Dataset") -> Any:
        """Return upstream's extractor, or a new one for `model_config.keypoints`."""
        options = self.arguments.model
        if options.upstream:
            return UniGloRFeatureExtractor.from_pretrained(self.upstream_folder())
        chosen = {
            name: options.model_config[name] for name in ("keypoints", "coordinates") if name in options.model_config
        }
        return UniGloRFeatureExtractor(fps=options.fps, noise_threshold=options.noise_threshold, **chosen)

    def make_config(self, **changes: Any) -> UniGloRConfig:
        """Return the config of the preset or of upstream, with `model_config` and `changes`.

        Raises:
            SignXError: If they do not fit.
        """
        options = self.arguments.model
        wanted = {**options.model_config, **changes}
        try:
            if options.upstream:
                known = UniGloRConfig.from_pretrained(self.upstream_folder()).to_dict()
                return UniGloRConfig(**{**known, **wanted})
            return getattr(UniGloRConfig, options.preset)(**{"nodes": self.processor.nodes, **wanted})
        except (ValueError, TypeError) as error:
            raise SignXError(f"`model_config`: {' '.join(str(error).split())}") from error

    def build(self, **changes: Any) -> Any:
        """Return a new model, or upstream's weights in a model of this stage.

        Raises:
            SignXError: If the weights do not fit the config.
        """
        config, folder = self.make_config(**changes), self.arguments.model.upstream
        if not folder:
            return self.model_class(config)
        try:
            return self.model_class.from_pretrained(self.upstream_folder(), config=config)
        except ValueError as error:
            raise SignXError(f"`model_config` does not fit the checkpoint {folder}: {error}") from error

    def read_rows(self, rows: "Iterable[dict]", data: DataArguments, skip_bad: bool) -> list[Example]:
        """Read rows into examples with key points.

        Raises:
            SignXError: If a clip cannot be used, or with `skip_bad` none can. The message names it.
        """
        reader, examples, failures = self.processor.reader, [], []
        absent: Counter[str] = Counter()
        for row in rows:
            try:
                example = self._read_row(row, reader)
            except SignXError as error:
                if not skip_bad:
                    raise
                failures.append(str(error))
                continue
            absent.update(missing_parts(points_of(example)[1], self.processor.nodes))
            examples.append(example)
        if failures and not examples:
            raise SignXError(f"{data.dataset}: none of {len(failures)} clips can be used; the first: {failures[0]}")
        notes = [f"{count} of {len(examples)} clips never show the {part}" for part, count in absent.items()]
        notes += [f"skipping {len(failures)} clips that cannot be used, the first: {failures[0]}"] if failures else []
        for note in notes:
            warnings.warn(f"{data.dataset}: {note}", SignXWarning, stacklevel=2)
        return examples

    def _read_row(self, row: dict, reader: Any) -> Example:
        try:
            clip = pose_clip(row, reader)
            if clip is None:
                raise SignXError(
                    f"clip {row['id']} has no poses of the tracks {', '.join(reader.read_dims)}, which the points of "
                    f"{self.processor.keypoints} are taken from. Extract them with `signx-hf extract`, or set keypoints in "
                    "model_config."
                )
            found = self.processor.extract(reader.read(clip, f"clip {row['id']}"), None, reader)
        except (SignXError, OSError) as error:
            raise of_clip(row, error) from error
        return Example(
            row["id"], len(found.keypoints), list(row["glosses"]), " ".join((row["text"] or "").split()) or None,
            row["signer"], [dict(segment) for segment in row["segments"]], found.fps or row["fps"] or 0.0,
            pose_values=found.keypoints.reshape(len(found.keypoints), -1), pose_mask=found.mask, start=found.start,
        )  # fmt: skip

    def clip_inputs(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """Return padded `keypoints`, `keypoint_mask` and `frame_mask` of whole clips."""
        keypoints, masks = zip(*map(points_of, examples))
        return pad_clips(keypoints, masks)

    def cache_representations(self, examples: Sequence[Example]) -> None:
        """Put z of every window of each clip `[N, 512]` into `example.arrays["representations"]`, from the cache if there.

        The key holds the weights of the encoder, the processor and the stride, so that the cache is never stale.
        """
        config = self.model.config
        settings = "uniglor", config.to_dict(), self.processor.to_dict()
        folder = self.arguments.model.cache_dir
        cache = FeatureCache(
            Path(folder) if folder else default_folder(), weights_fingerprint([self.model.encoder], *settings), "poses"
        )
        cache.fill(examples, self._represent, "caching representations" if self.arguments.run.progress else "")

    @torch.inference_mode()
    def _represent(self, example: Example) -> dict[str, np.ndarray]:
        self.model.eval()
        inputs = {name: torch.from_numpy(value) for name, value in self.clip_inputs([example]).items()}
        return {"representations": self.model.represent(**inputs)[0][0].numpy()}
