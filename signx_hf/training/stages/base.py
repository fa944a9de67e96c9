"""What all stages share: where model and processor come from, batches, and evaluation."""

import functools
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from ...common.extras import require
from ...common.logging_utils import quiet_transformers
from ...data.errors import nearest
from ...data.notes import collect_track_notes
from ...metrics import wer
from ...modeling.configuration_signx import SignXConfig
from ...modeling.encoders_signx import SignXPreTrainedModel
from ...modeling.modeling_signx import SignXForVideo2Pose
from ...modeling.strict_config_signx import StrictConfig, unknown_options
from ...poses.missing import extract_missing, lacks_poses
from ...processing.errors_signx import SignXError, SignXWarning
from ...processing.feature_extraction_signx import SignXPoseFeatureExtractor
from ...processing.landmarks_signx import notes_of, tracks_of
from ...processing.processing_signx import SignXProcessor
from ...processing.tokenization_signx import SignXTokenizer
from ...processing.trained_signx import check_trained, hide_untrained
from ..arguments import Arguments
from ..augmentation import PoseAugmentation
from ..backbones import Backbones
from ..checkpoints import resumes
from ..examples import Example, open_splits, pad, read_examples
from ..hand_augmentation import HandAugmentation
from ..objective import check_loss_options
from ..schedules import scheduled
from ..targets import (
    HIGHER_IS_BETTER,
    TASKS,
    check_lengths,
    check_targets,
    decoder_targets,
    new_pieces,
    sentences,
    with_tasks,
)
from ..teacher_forcing import decoder_inputs
from ..upstream import model_folder
from ..vocabulary import Extension, check_extension

if TYPE_CHECKING:
    from datasets import Dataset

ModelT = TypeVar("ModelT", bound=SignXPreTrainedModel)

IGNORE = -100
WITH_RECOGNIZER = {"SignXForLatentCTC", "SignXForGlossRecognition"}  # stages 3 and 4
# options that only some stages use -> the value that has no effect
STAGE_SPECIFIC = {
    "teacher_forcing": [1.0, 1.0],
    "loss_weighting": "fixed",
    "frame_drop": None,
    "prune_epochs": 0.0,
    "prune_below": None,
    "track_dropout": None,
    "body": None,
    "vision_weights": None,
    "frame_branch_weights": None,
    "target": "glosses",
    "text_share": 0.5,
    "text_lowercase": False,
    "text_form": "NFC",
    "on_unknown": "error",
    "window_targets": "clip",
    "window_margin": 0,
    "window_positions": "zero",
    "extend_vocabulary": False,
    "noise_threshold": 2.0,
    "more_data": [],
}
# augmentation options for the track `hands` only, and for other tracks only
HANDS_ONLY = (
    "time_warp", "trim", "shear", "proportions", "hand_shift", "hand_drop", "hand_mask", "hand_swap", "flatten",
)  # fmt: skip
NOT_FOR_HANDS = ("frame_mask",)


class Stage(Generic[ModelT]):
    """A stage of training. The loop calls `setup`, then `collate` for every batch, and `predict` and `compute_metrics` on dev.

    Args:
        arguments: all options of the run.

    Attributes:
        name: of the stage on the command line.
        title: for messages and figures.
        metric_for_best_model: the metric on dev that chooses checkpoints, unless the option of this name does; small is good but for
            those in `targets.HIGHER_IS_BETTER`.
        config_class: of the model, whose options `model_config` has.
        decodes: whether a decoder is trained, so that option `target` has a choice.
        defaults: options whose defaults are not those of `arguments.py`.
        upstream_stage: the stage whose checkpoint this one starts from; None if it starts from scratch.
        exact_buffers: buffers that hold decisions, which no average may blur.
        trains_entries: inputs whose encoder is trained whatever the source is.
        loss_parts: names in `objective.WEIGHTS` of what the model computes; `loss` for a model with one part.
        model, processor: built by `setup`.
        backbones: published ones that frame encoders start from, found by `setup`.
        train_examples, dev_examples: clips, read by `setup`.
        data_fingerprint: hash of both splits.
        extension: with option `extend_vocabulary`, what is added to the vocabulary of upstream.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metric_for_best_model: ClassVar[str] = "wer"
    decodes: ClassVar[bool] = False
    config_class: ClassVar[type[StrictConfig]] = SignXConfig
    defaults: ClassVar[dict[str, Any]] = {}
    upstream_stage: ClassVar[str | None] = None
    exact_buffers: ClassVar[tuple[str, ...]] = ()
    trains_entries: ClassVar[tuple[str, ...]] = ()
    loss_parts: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, arguments: Arguments):
        self.arguments = arguments
        self.model: Any = None
        self.processor: Any = None
        self.train_examples: list[Example] = []
        self.dev_examples: list[Example] = []
        self.data_fingerprint = ""
        self.extension: Extension | None = None

    # what a stage defines

    def make_model(self) -> ModelT:
        """Return the untrained model, or that of the previous stage with what this stage adds. `self.processor` is set."""
        raise NotImplementedError

    def inputs(self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None) -> dict[str, Any]:
        """Return the padded model inputs of a batch, augmented where `randoms` has a generator for each clip."""
        return self.pose_inputs(examples, randoms)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the labels of a batch."""
        return {}

    def predict(self, model: ModelT, batch: dict[str, torch.Tensor]) -> list[Any]:
        """Return a prediction for each clip of a dev batch; `compute_metrics` gets those of all clips in order."""
        raise NotImplementedError

    def compute_metrics(self, predictions: list[Any]) -> dict[str, float]:
        """Return the metrics on dev, the one of `best_metric` among them."""
        raise NotImplementedError

    def report(self, metrics: dict[str, float]) -> str:
        """Return a summary of the metrics for the user; empty where the log says enough."""
        return ""

    @classmethod
    def defaults_for(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return the defaults of the stage, which may depend on the options given."""
        return cls.defaults

    # what the loop calls

    def setup(self) -> None:
        """Read the data, and build processor and model."""
        self.check_options()
        # report misspelled names before clips are read
        upstream = self.upstream_folder() if self.arguments.model.upstream else None
        self.backbones = Backbones(self.arguments, upstream)
        train, dev, self.data_fingerprint = open_splits(self.arguments.data)
        self.check_rows(train, dev)
        self._build_model(train)
        run, trained = self.arguments.run, self.title + self._from_start()
        if not resumes(run):  # a run that began before this check goes on
            check_loss_options(self.model.config, run, self.computed_parts(), trained)
        self.check_vocabulary(train, dev)
        self._check_hand_options(self.processor.feature_extractor.reads_hands)
        if self.arguments.augmentation.track_dropout is not None:
            self._set_track_dropout(self.arguments.augmentation.track_dropout)
        self.train_examples = self.labeled(self.read(train))
        self.dev_examples = self.read(dev)
        if self.decodes:
            limit = self.model.config.text_config.max_length
            check_lengths([*self.train_examples, *self.dev_examples], self.processor, self.target, limit)
            self._note_tasks()
        extractor, options = self.processor.feature_extractor, self.arguments.augmentation
        if extractor.reads_hands:
            self.read_hands = HandAugmentation(
                options, extractor.hand_steps, extractor.fps, extractor.use_depth, extractor.shape_only
            )
        else:
            self.augment = PoseAugmentation(options, extractor.track_dims, extractor.point_tracks)

    def _build_model(self, train: "Dataset") -> None:
        """Build processor and model.

        Raises:
            SignXError: If `upstream` or `video_entry` is damaged, or no model can be built or saved with `model_config`.
        """
        options = self.arguments.model
        try:
            self.processor = self.make_processor(train)
            with quiet_transformers():  # it warns about the parts that a stage adds
                self.model = self.make_model()
                self.backbones.load(self.model, self.processor)
                self._take_video_entry()
                self._note_entries()
        except SignXError:
            raise
        except Exception as error:  # damaged files make errors of many kinds
            names = [name for name in (options.upstream, options.video_entry) if name]
            if not names:
                raise
            raise SignXError(
                f"Cannot load {' or '.join(names)} ({type(error).__name__}: {' '.join(str(error).split())[:300]}). It must be the complete model "
                "of a finished run. Copy it again, or train it again."
            ) from error
        try:
            with tempfile.TemporaryDirectory() as folder:  # fail now rather than after training
                self.model.config.save_pretrained(folder)
        except OSError:
            raise
        except Exception as error:
            raise SignXError(
                f"`model_config` must be options of {self.config_class.__name__}; a model could not be saved with them ({' '.join(str(error).split())[:300]}). "
                "Remove the others."
            ) from error

    def read(self, rows: "Dataset") -> list[Example]:
        """Read rows into examples with poses, which are extracted from videos where rows have none.

        Raises:
            SignXError: If a clip has no poses. The message names it.
        """
        rows, tracks = self.extract_landmarks(rows)
        skip_bad = bool(self.arguments.data.loader_options.get("skip_bad"))
        examples = read_examples(rows, self.processor, tracks=tracks, skip_bad=skip_bad)
        hidden = self._hidden_columns()
        for example in examples:
            if example.pose_values is not None:
                example.pose_mask[:, hidden] = False
            if example.pose_values is not None and not self.trains_poses:
                self._hide_untrained(example)
            if example.pose_values is None and example.hands is None:
                raise SignXError(
                    f"clip {example.id} has no poses of the tracks {', '.join(self.processor.feature_extractor.track_dims)}. Extract them with "
                    "`signx-hf extract`, or set track_dims in model_config.pose_config."
                )
        return examples

    @property
    def trains_poses(self) -> bool:
        """Whether the encoders of the pose tracks are trained, rather than frozen as upstream has them."""
        return True

    def _hide_untrained(self, example: Example) -> None:
        """Hide tracks that upstream was not trained on, whose frozen encoders are random, as recognition does.

        Raises:
            SignXError: If upstream was trained on no track of the clip.
        """
        trained, dims = self.model.config.trained_tracks, self.processor.feature_extractor.track_dims
        seen = [name for name, there in zip(dims, example.pose_mask.any(axis=0)) if there]
        check_trained(trained, seen, f"clip {example.id}")
        hide_untrained({"pose_values": example.pose_values, "pose_mask": example.pose_mask}, dims, trained)

    def extract_landmarks(self, rows: "Dataset") -> tuple["Dataset", tuple[str, ...]]:
        """Extract the model's tracks from rows that have a video and no poses, into the user's cache.

        Returns:
            The rows, with `skip_bad` of `loader_options` without those that nothing could be extracted from; and the tracks.

        Raises:
            SignXError: If nothing could be extracted from some clips.
            ImportError: If MediaPipe is not installed.
        """
        extractor, data = self.processor.feature_extractor, self.arguments.data
        if not any(lacks_poses(row) for row in rows):
            return rows, ()
        try:
            tracks = tuple(t for t in tracks_of(extractor, None) if t not in self.arguments.model.hidden_tracks)
        except SignXError:  # reading the rows names what lacks poses
            return rows, ()
        if extractor.track_notes is None and not self.arguments.model.upstream:
            extractor.track_notes = notes_of(tracks)
        show = "landmarks" if self.arguments.run.progress else ""
        failures = extract_missing(rows, tracks, extractor, data.extract_jobs, show)
        if not failures:
            return rows, tracks
        first = failures[min(failures)]
        if not data.loader_options.get("skip_bad") or len(failures) == len(rows):
            raise SignXError(
                f"Cannot extract landmarks from {len(failures)} of {len(rows)} clips; the first: {first.rstrip('.')}. Extracted landmarks are kept. Fix "
                "these clips, or skip them with loader_options: {skip_bad: true}."
            )
        warnings.warn(
            f"Skipping {len(failures)} of {len(rows)} clips whose landmarks cannot be extracted: {'; '.join(failures.values())}",
            SignXWarning,
            stacklevel=2,
        )
        return rows.select([index for index in range(len(rows)) if index not in failures]), tracks

    def note_tracks(self) -> None:
        """Note in the config which tracks are trained on, so that others are ignored at inference.

        It stays unknown for an upstream model without such a note.
        """
        config, encoder = self.model.config, self.model.model.pose_encoder
        known = config.trained_tracks
        if self.arguments.model.upstream and known is None:
            return
        names = list(self.processor.feature_extractor.track_dims)
        seen = set(known or ())
        if encoder is not None and any(weight.requires_grad for weight in encoder.parameters()):
            for example in self.train_examples:
                if example.hands is not None:
                    seen.add("hands")
                elif example.pose_mask is not None:
                    seen.update(name for name, there in zip(names, example.pose_mask.any(axis=0)) if there)
        config.trained_tracks = [name for name in names if name in seen]

    def _hidden_columns(self) -> list[int]:
        """Return the columns of the pose mask that `hidden_tracks` names."""
        tracks = list(self.processor.feature_extractor.track_dims)
        for name in self.arguments.model.hidden_tracks:
            if name not in tracks:
                raise SignXError(f"`hidden_tracks` must be tracks of the model, got {name!r}; {nearest(name, tracks)}")
        hidden = [tracks.index(name) for name in self.arguments.model.hidden_tracks]
        if len(set(hidden)) == len(tracks):
            raise SignXError(f"`hidden_tracks` must leave at least one track, got all of {', '.join(tracks)}.")
        return hidden

    def check_rows(self, train: "Dataset", dev: "Dataset") -> None:
        """Check that the stage can use the data; here, that every clip has what is decoded."""
        for name, rows in (("train", train), ("dev", dev)):
            check_targets(rows, name, self.target)

    @property
    def target(self) -> str:
        """What is decoded: glosses, text or both."""
        return self.arguments.model.target if self.decodes else "glosses"

    @property
    def best_metric(self) -> str:
        """The metric on dev that chooses checkpoints."""
        default = "bleu" if self.target == "text" else self.metric_for_best_model
        return self.arguments.run.metric_for_best_model or default

    def metric_names(self) -> list[str]:
        """Return the metrics on dev that `compute_metrics` returns with these arguments."""
        return [self.metric_for_best_model]

    def best_score(self, metrics: dict[str, float]) -> float:
        """Return the metric that chooses checkpoints as a number of which less is better."""
        return self.metric_sign * metrics[self.best_metric]

    @property
    def metric_sign(self) -> int:
        """1 if less of the metric that chooses checkpoints is better, -1 if more is."""
        return -1 if self.best_metric in HIGHER_IS_BETTER else 1

    def check_vocabulary(self, train: "Dataset", dev: "Dataset") -> None:
        """Check that the model can be trained on every gloss of the data; here, it can."""

    def labeled(self, examples: list[Example]) -> list[Example]:
        """Return the training clips with the labels that are trained on; here, all of them."""
        return examples

    def used_options(self) -> set[str]:
        """Return the options in `STAGE_SPECIFIC` that this stage uses with these arguments."""
        if not self.decodes:
            return set()
        used = {"target"} | ({"text_share"} if self.target == "both" else set())
        trains_pieces = self.text_is_new or not self.arguments.model.upstream
        return used | ({"text_lowercase", "text_form"} if self.target != "glosses" and trains_pieces else set())

    def before_step(self, step: int, total: int) -> None:
        """Change the stage with the step; the default does nothing."""

    def before_batch(
        self, model: ModelT, batch: dict[str, torch.Tensor], ids: Sequence[str], step: int, total: int
    ) -> dict[str, torch.Tensor]:
        """Return the batch with inputs that depend on the model, which is in training mode; the default changes nothing."""
        return batch

    def after_update(self, model: ModelT, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Change the model after `step` optimizer steps, and return metrics for the log; the default does nothing."""
        return {}

    def finish(self, model: ModelT) -> None:
        """Make last changes to the trained model before it is saved; the default makes none."""

    def collate(
        self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None
    ) -> dict[str, torch.Tensor]:
        """Return a batch as the model takes it; with `randoms` (training) augmented and with labels."""
        batch = self.inputs(examples, randoms)
        if randoms is not None:
            batch.update(self.targets(self._with_tasks(examples, randoms), batch))
        return {name: value if torch.is_tensor(value) else torch.from_numpy(value) for name, value in batch.items()}

    def _with_tasks(self, examples: Sequence[Example], randoms: Sequence[np.random.Generator]) -> Sequence[Example]:
        if self.target == "glosses":
            return examples
        return with_tasks(examples, self.target, self.arguments.model.text_share, randoms)

    def parameter_counts(self) -> dict[str, int]:
        """Count all weights, and those that are trained."""
        sizes = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        return {"all": sum(n for n, _ in sizes), "trained": sum(n for n, trained in sizes if trained)}

    # what stages share

    def make_processor(self, train: "Dataset") -> SignXProcessor:
        """Return the upstream processor, or a new one with BPE pieces and glosses of the training sentences."""
        model = self.arguments.model
        if model.upstream:
            processor = SignXProcessor.from_pretrained(self.upstream_folder())
            if self.learns_pieces:
                gloss_lines, text_lines = sentences(train, "glosses"), sentences(train, "text")
                processor.tokenizer = new_pieces(
                    processor.tokenizer, gloss_lines, text_lines, model.vocab_size, **self._text_options()
                )
            return processor
        texts = sentences(train, "text") if self.target != "glosses" else None
        tokenizer = SignXTokenizer.train_from_iterator(
            sentences(train, "glosses"), vocab_size=model.vocab_size, texts=texts, **self._text_options()
        )
        options = self.backbones.configured(dict(model.model_config), model.preset)
        text = {
            **options.pop("text_config", {}),
            "vocab_size": len(tokenizer),
            "gloss_pieces": tokenizer.gloss_piece_ids(),
        }
        if model.fps is not None:
            options["fps"] = model.fps
        try:
            self.config = getattr(SignXConfig, model.preset)(
                ctc_vocab_size=tokenizer.ctc_vocab_size, text_config=text, **options
            )
        except (ValueError, TypeError) as error:
            raise SignXError(f"`model_config`: {' '.join(str(error).split())}") from error
        processor = SignXProcessor.from_config(self.config, tokenizer)
        processor.feature_extractor = SignXPoseFeatureExtractor(
            track_dims=self.config.pose_config.track_dims,
            fps=self.config.fps,
            track_notes=collect_track_notes(train) or None,
            point_tracks=model.point_tracks,
            right_handed=model.right_handed,
            hand_steps=model.hand_steps,
            use_depth=model.use_depth,
            shape_only=model.shape_only,
        )
        return processor

    @functools.cached_property
    def upstream_tasks(self) -> list[str]:
        """What the decoder of upstream has learned."""
        return SignXConfig.from_pretrained(self.upstream_folder()).trained_tasks or ["gloss"]

    @property
    def text_is_new(self) -> bool:
        """Whether text is decoded, and upstream learned its pieces from glosses alone."""
        return self.target != "glosses" and bool(self.arguments.model.upstream) and "text" not in self.upstream_tasks

    @property
    def learns_pieces(self) -> bool:
        """Whether other pieces take the place of those of upstream."""
        return self.text_is_new and not self.arguments.model.extend_vocabulary

    def _text_options(self) -> dict[str, Any]:
        """Return how the tokenizer normalizes text; nothing where no text is decoded."""
        model = self.arguments.model
        if self.target == "glosses":
            return {}
        return {"text_lowercase": model.text_lowercase, "text_form": model.text_form}

    def _note_tasks(self) -> None:
        """Note in the config what the decoder learns, so that nothing else is asked of it."""
        self.model.config.trained_tasks = list(TASKS[self.target]) if self.target != "glosses" else None

    def check_options(self) -> None:
        """Reject an option that would change nothing."""
        given = self.arguments.to_dict()
        if "extend_vocabulary" in self.used_options():
            check_extension(self.arguments)
        for name, value in STAGE_SPECIFIC.items():
            if given[name] != value and name not in self.used_options():
                raise SignXError(
                    f"`{name}` is not used by {self.title}{self._from_start()}, got {given[name]!r}. Remove it; see --help."
                )
        config = self.config_class
        for path in unknown_options(self.arguments.model.model_config, config):
            *part, name = path.split(".", 1)
            owner = ".".join(["model_config", *part])
            raise SignXError(
                f"`{owner}` has no option {name!r}. Check its spelling; {config.__name__} lists all options."
            )
        if self.best_metric not in self.metric_names():
            names = ", ".join(self.metric_names())
            raise SignXError(
                f"`metric_for_best_model` must be one of {names} in {self.title}, got {self.best_metric!r}."
            )
        if self.target != "glosses":
            require("sacrebleu")  # fail now rather than after the first epoch

    def computed_parts(self) -> Sequence[str]:
        """Return the parts of the loss, of `loss_parts`, that the model computes from the inputs of this run."""
        return self.loss_parts

    def _from_start(self) -> str:
        start = getattr(self, "start", None)
        return f" from {start}" if start else ""

    def _check_hand_options(self, reads_hands: bool) -> None:
        """Reject augmentation of hands where none are read, and augmentation that hands do not have."""
        for name in NOT_FOR_HANDS if reads_hands else HANDS_ONLY:
            value = getattr(self.arguments.augmentation, name)
            if value:
                tracks = ", ".join(self.processor.feature_extractor.track_dims)
                raise SignXError(f"`{name}` must be 0 for a model that reads {tracks}, got {value!r}. Leave it out.")

    def _set_track_dropout(self, rate: float) -> None:
        fusion = self.model.model.pose_encoder
        fusion.track_dropout = self.model.config.pose_config.track_dropout = rate

    def from_upstream(self, model_class: type[ModelT], **changes: Any) -> ModelT:
        """Load the model of the previous stage as `model_class`, with its config changed by `model_config`.

        Args:
            model_class: of this stage.
            changes: attributes of the config, over `model_config`.

        Raises:
            SignXError: If its weights or its processor do not allow a change.
        """
        folder, options = self.upstream_folder(), dict(self.arguments.model.model_config)
        if self.learns_pieces:
            tokenizer = self.processor.tokenizer
            pieces = {"vocab_size": len(tokenizer), "gloss_pieces": tokenizer.gloss_piece_ids()}
            options["text_config"] = {**options.get("text_config", {}), **pieces}
        if not options:
            return model_class.from_pretrained(folder, **changes)
        fixed = [name for name in ("fps", "image_size") if name in options]
        if fixed:
            raise SignXError(
                f"`model_config.{fixed[0]}` cannot change with upstream, because the processor shares it. Remove it, or train from scratch."
            )
        known = SignXConfig.from_pretrained(folder).to_dict()
        merged = dict(known)
        for name, value in options.items():
            nested = isinstance(value, dict) and isinstance(known.get(name), dict)
            merged[name] = {**known[name], **value} if nested else value
        try:
            config = SignXConfig(**merged)
            for name, value in changes.items():
                setattr(config, name, value)
            # with new pieces their embeddings start anew, and the layers of the decoder go on
            model = model_class.from_pretrained(folder, config=config, ignore_mismatched_sizes=self.learns_pieces)
        except (ValueError, TypeError, RuntimeError) as error:
            raise SignXError(
                f"`model_config` does not fit the checkpoint {folder}: {' '.join(str(error).split())[:300]}"
            ) from error
        self._check_convolutions(folder, known, model)
        return model

    @staticmethod
    def _check_convolutions(folder: Path, known: dict[str, Any], model: SignXPreTrainedModel) -> None:
        """Reject other convolutions for trained weights, which would load in part or read other frames."""
        kind, name = (known.get("architectures") or [""])[0], type(model).__name__
        if not (kind == name or {kind, name} <= WITH_RECOGNIZER):
            return  # the model takes no convolutions from the checkpoint
        if kind == "SignXForSignClassification" and known["pooling"] != "convolution":
            return
        fixed = ("kernel_size", "pool_sizes", "dilations", *(("num_lstm_layers",) if kind in WITH_RECOGNIZER else ()))
        for name in fixed:
            before, after = known["recognizer_config"][name], getattr(model.config.recognizer_config, name)
            if before != after:
                raise SignXError(
                    f"`model_config.recognizer_config.{name}` must be {before}, as the checkpoint {folder} was trained, got {after}. Remove it, "
                    "or train from scratch without upstream."
                )

    def _take_video_entry(self) -> None:
        """Copy the video encoder of another checkpoint into the model, where `video_entry` names one.

        Raises:
            SignXError: If the checkpoint has no video encoder, or one of another size.
        """
        source = self.arguments.model.video_entry
        if not source:
            return
        folder = model_folder("video_entry", source, "Pass the checkpoint of `signx-hf train video2pose`")
        theirs, ours = SignXForVideo2Pose.from_pretrained(folder).model.video_encoder, self.model.model.video_encoder
        if theirs is None or ours is None:
            side = source if theirs is None else "the model"
            raise SignXError(f"`video_entry`: {side} has no video encoder. Both models need the same vision_config.")
        try:
            ours.load_state_dict(theirs.state_dict())
        except RuntimeError as error:
            raise SignXError(
                f"`video_entry`: the video encoder of {source} does not fit ({' '.join(str(error).split())[:150]}). It needs the same "
                "vision_config, temporal_config and tracks."
            ) from error

    def _note_entries(self) -> None:
        """Note in the config which inputs have trained encoders, so that no clip is recognized by random weights.

        It stays unknown for an upstream model without such a note.
        """
        options, config = self.arguments.model, self.model.config
        if options.upstream and config.trained_entries is None:
            return
        entries = {*(config.trained_entries or []), options.source, *self.trains_entries}
        if options.video_entry:
            entries.add("video")
        config.trained_entries = sorted(entries)

    def upstream_folder(self, instead: str = "") -> str:
        """Return the folder or Hub name of the model of the previous stage.

        Args:
            instead: an alternative for the message, for stages that have one.

        Raises:
            SignXError: If there is none. The message names the command that makes one.
        """
        upstream = self.arguments.model.upstream
        command = f"signx-hf train {self.upstream_stage} --config ..." if self.upstream_stage else "an earlier stage"
        if not upstream:
            raise SignXError(
                f"{self.title}: it starts from a trained checkpoint, and option `upstream` is missing. Make one with `{command}`{instead}."
            )
        return model_folder("upstream", upstream, f"Pass the checkpoint of `{command}`")

    def pose_inputs(
        self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None
    ) -> dict[str, np.ndarray]:
        """Return padded `pose_values` `[B, T, D]`, `pose_mask` `[B, T, N]` and `frame_mask` `[B, T]`."""
        if examples[0].hands is not None:
            values, masks, frames = self.read_hands([example.hands for example in examples], randoms)
            return {"pose_values": values, "pose_mask": masks, "frame_mask": frames}
        pairs = [(example.pose_values, example.pose_mask) for example in examples]
        if randoms is not None:
            pairs = [self.augment(*pair, random) for pair, random in zip(pairs, randoms)]
        values, masks = zip(*pairs)
        frames = pad([np.ones(len(value), dtype=bool) for value in values], False)
        return {"pose_values": pad(values), "pose_mask": pad(masks, False), "frame_mask": frames}

    def decoder_targets(self, examples: Sequence[Example], ctc: bool = True) -> dict[str, torch.Tensor]:
        """Return `labels` for the decoder and, with `ctc`, `ctc_labels`."""
        return decoder_targets(examples, self.processor, ctc)

    def with_predicted_pieces(
        self, model: ModelT, batch: dict[str, torch.Tensor], ids: Sequence[str], step: int, total: int
    ) -> dict[str, torch.Tensor]:
        """Return the batch with decoder inputs that are labels only in part, as option teacher_forcing sets for this step."""
        share = scheduled(*self.arguments.run.teacher_forcing, step, total)
        if share >= 1:
            return batch
        make, seed = self.model.prepare_decoder_input_ids_from_labels, self.arguments.run.seed
        return {**batch, "decoder_input_ids": decoder_inputs(model, batch, make, ids, share, seed, step)}

    def alignment_targets(self, examples: Sequence[Example], mask: torch.Tensor | np.ndarray) -> dict[str, np.ndarray]:
        """Return `gloss_alignment` `[B, T']`: the gloss signed in the middle of each feature step, blank where there is none, -100
        past the end and for clips without times. Times stretch with the clip where augmentation changed its length.

        Args:
            examples: of the batch.
            mask: `frame_mask` `[B, T]`.
        """
        recognizer = self.model.recognizer
        mask = np.asarray(mask)
        lengths = mask.sum(1)
        steps = [recognizer.feature_lengths(int(length)) for length in lengths]
        out = np.full((len(examples), recognizer.feature_lengths(mask.shape[1])), IGNORE)
        stride, tokenizer = self.model.config.recognizer_config.stride, self.processor.tokenizer
        for row, example, count, length in zip(out, examples, steps, lengths):
            if not example.segments or not example.fps:
                continue
            row[:count] = self.model.config.ctc_blank_id
            stretch = length / example.length
            middles = (np.arange(count) + 0.5) * stride + example.start * example.fps * stretch
            for segment in example.segments:
                ids = tokenizer.encode_ctc(segment["gloss"])
                inside = (middles >= segment["start"] * example.fps * stretch) & (
                    middles < segment["end"] * example.fps * stretch
                )
                row[:count][inside] = ids[0]
        return {"gloss_alignment": out}

    def error_rate(self, hypotheses: list[list[str]]) -> float:
        """Return the WER on dev, as a share."""
        return wer(hypotheses, [example.glosses for example in self.dev_examples]).rate
