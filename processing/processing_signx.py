"""Processor of SignX: turns video, pose tracks and glosses into tensors, and piece ids into glosses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin, Unpack

from .errors_signx import SignXError
from .feature_extraction_signx import SignXPoseFeatureExtractor
from .inputs_signx import PoseInput, VideoInput
from .pose_readers_signx import one_line
from .processor_options_signx import (
    SignXProcessorKwargs,
    options_of_call,
    options_of_parts,
    piece_limit,
    target_length,
)
from .tokenization_signx import SignXTokenizer
from .video_processing_signx import SignXVideoProcessor

# Copied along by save_pretrained, so that a folder of weights and processor also carries its pipelines.
from .isolated_pipeline_signx import IsolatedSignRecognitionPipeline  # noqa: F401  isort: skip
from .pipeline_signx import SignRecognitionPipeline  # noqa: F401  isort: skip
from .spotting_pipeline_signx import SignSpottingPipeline  # noqa: F401  isort: skip
from .translation_pipeline_signx import SignTranslationPipeline  # noqa: F401  isort: skip

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

IGNORE = -100


def pad_ids(rows: Sequence[Sequence[int]], length: int | None = None) -> torch.Tensor:
    """Stack rows of ids to `[B, L]`, padded with -100 to `length`, or to the longest."""
    longest = max((len(row) for row in rows), default=0) if length is None else length
    return torch.tensor([[*row, *[IGNORE] * (longest - len(row))] for row in rows], dtype=torch.long)


class SignXProcessor(ProcessorMixin):
    """Turn clips into tensors; saved with the weights, so that training and inference cannot differ.

    Args:
        video_processor: `SignXVideoProcessor`.
        feature_extractor: `SignXPoseFeatureExtractor`.
        tokenizer: `SignXTokenizer`.

    A part that is not given has default options (the tokenizer: pieces of single bytes, no CTC vocabulary), because
    transformers saves and loads a processor with all of its parts or not at all.
    """

    valid_processor_kwargs = SignXProcessorKwargs  # type: ignore[assignment]

    def __init__(
        self,
        video_processor: SignXVideoProcessor | None = None,
        feature_extractor: SignXPoseFeatureExtractor | None = None,
        tokenizer: SignXTokenizer | None = None,
        **kwargs,
    ):
        super().__init__(
            SignXVideoProcessor() if video_processor is None else video_processor,
            SignXPoseFeatureExtractor() if feature_extractor is None else feature_extractor,
            SignXTokenizer.byte_level() if tokenizer is None else tokenizer,
            **kwargs,
        )

    @classmethod
    def from_config(cls, config: "PreTrainedConfig", tokenizer: SignXTokenizer | None = None) -> "SignXProcessor":
        """Build the processor that fits a model: its frame size, frame rate and tracks.

        Args:
            config: `SignXConfig` of the model.
            tokenizer: Tokenizer whose vocabularies the config has.
        """
        return cls(
            SignXVideoProcessor(size={"height": config.image_size, "width": config.image_size}, fps=config.fps),
            SignXPoseFeatureExtractor(track_dims=config.pose_config.track_dims, fps=config.fps),
            tokenizer,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Load a processor; errors about a damaged processor_config.json name the file, unlike those of transformers.

        Args:
            pretrained_model_name_or_path: Folder or Hub name.
            args: As in transformers.
            kwargs: As in transformers. Options of the parts, such as `do_normalize`, `fps` or `ctc_glosses`, replace
                the saved ones, each in the parts that have it.

        Raises:
            SignXError: If the processor is damaged, or an option is misspelled or out of range.
            OSError: If there is no such folder or name.
        """
        parts, loading = options_of_parts(kwargs)
        try:
            processor = super().from_pretrained(pretrained_model_name_or_path, *args, **loading)
            for name in ("video_processor", "feature_extractor"):
                if parts[name]:
                    part = getattr(processor, name)
                    setattr(processor, name, type(part).from_dict(part.to_dict(), **parts[name]))
            if parts["tokenizer"]:
                loaded = type(processor.tokenizer).from_pretrained(
                    pretrained_model_name_or_path, *args, **loading, **parts["tokenizer"]
                )
                processor.tokenizer = loaded
            return processor
        except Exception as error:
            is_plain = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
            if isinstance(error, ImportError) or (is_plain and len(str(error).splitlines()) == 1):
                raise
            raise SignXError(
                f"{pretrained_model_name_or_path}: the processor cannot be loaded ({type(error).__name__}: "
                f"{one_line(error):.300}). Save it again with save_pretrained(), or copy it again."
            ) from error

    def save_pretrained(self, save_directory, *args, **kwargs):
        """Save the processor to a folder, as in transformers; the processor stays as it is.

        Args:
            save_directory: Path of the folder.
            args: As in transformers.
            kwargs: As in transformers.
        """
        own = self.__dict__.get("auto_map")
        files = super().save_pretrained(save_directory, *args, **kwargs)
        self.__dict__.pop("auto_map", None)  # which transformers sets, but does not read again
        if own is not None:
            self.auto_map = own
        return files

    @staticmethod
    def get_possibly_dynamic_module(module_name: str) -> type:
        # Without torchvision, the table in which transformers looks up its video base class is a dummy, and it fails.
        """Return a class of transformers by its name."""
        if module_name in ("VideoProcessorMixin", "BaseVideoProcessor"):
            return SignXVideoProcessor.__mro__[1]
        return ProcessorMixin.get_possibly_dynamic_module(module_name)

    def __call__(
        self,
        videos: VideoInput | Sequence[VideoInput] | None = None,
        poses: PoseInput | Sequence[PoseInput] | None = None,
        glosses: str | Sequence[str] | None = None,
        text: str | Sequence[str] | None = None,
        source_fps: float | None = None,
        **options: Unpack[SignXProcessorKwargs],
    ) -> BatchFeature:
        """Turn a clip or a batch of clips into tensors.

        Args:
            videos: What `SignXVideoProcessor` reads: path, bytes, file, array, frames, folder, or a list of these.
            poses: What `SignXPoseFeatureExtractor` reads: dictionary of tracks, `.npz`, `.pose`, array, or a list of
                these.
            glosses: Gloss sentence(s): `labels` with the gloss prompt, and `ctc_labels`.
            text: Spoken-language sentence(s): `labels` with the text prompt. Pass glosses or text, not both.
            source_fps: Frames per second of arrays and frame lists.
            options: `return_tensors`, `"pt"` or `"np"`; `return_metadata`, which adds `video_metadata` and
                `pose_metadata`, a list of dictionaries; and options of a call of the parts, alone or in `videos_kwargs`,
                `poses_kwargs` and `text_kwargs`. Those of text are `padding`, `max_length`, `truncation` and
                `pad_to_multiple_of`, in pieces of `labels`. What a name alone means for text and for poses, it means
                for text.

        Returns:
            `pixel_values_videos` `[B, T, 3, H, W]`, `pose_values` `[B, T, D]`, `pose_mask` `[B, T, N]`, `frame_mask`
            `[B, T]`, `labels` `[B, L]`, `ctc_labels` `[B, U]`, those that belong to the input.

        Raises:
            SignXError: If a clip cannot be read, video and poses have different lengths, both glosses and text are
                given, the numbers of sentences and clips differ, or an option is unknown, given twice or out of range.
        """
        if videos is None and poses is None and glosses is None and text is None:
            raise SignXError("No input: pass at least one of `videos`, `poses`, `glosses` and `text`.")
        if glosses is not None and text is not None:
            raise SignXError("Pass either `glosses` or `text`, not both. Call the processor twice for two tasks.")
        of_part = options_of_call(options, self.tokenizer.init_kwargs)
        data: dict[str, Any] = {}
        if videos is not None:
            data.update(self.video_processor(videos, source_fps, **of_part["common"], **of_part["videos_kwargs"]))
        if poses is not None:
            features = self.feature_extractor(poses, source_fps, **of_part["common"], **of_part["poses_kwargs"])
            if videos is not None:
                self._check_same_frames(data["frame_mask"], features["frame_mask"])
            data.update(features)
        for sentences, task in ((glosses, "gloss"), (text, "text")):
            if sentences is not None:
                targets = self._targets(sentences, task, of_part["text_kwargs"])
                as_arrays = of_part["common"]["return_tensors"] == "np"
                data.update({name: ids.numpy() if as_arrays else ids for name, ids in targets.items()})
        if "labels" in data and "frame_mask" in data and len(data["labels"]) != len(data["frame_mask"]):
            raise SignXError(
                f"each clip must have one sentence, got {len(data['frame_mask'])} clips and {len(data['labels'])} "
                "sentences."
            )
        return BatchFeature(data)

    @staticmethod
    def _check_same_frames(video: torch.Tensor | np.ndarray, pose: torch.Tensor | np.ndarray) -> None:
        if video.shape[0] != pose.shape[0]:
            raise SignXError(
                f"each video must have one pose clip, got {video.shape[0]} videos and {pose.shape[0]} poses."
            )
        for row, (frames, rows) in enumerate(zip(video.sum(1).tolist(), pose.sum(1).tolist())):
            if frames != rows:
                raise SignXError(
                    f"clip {row} must have as many pose frames as video frames, got {rows} and {frames}. Poses of a video "
                    "have one row per frame at the same frame rate; set fps in the pose file."
                )
        if video.shape != pose.shape:
            raise SignXError(
                f"`poses_kwargs` must not pad poses beyond their video, got {pose.shape[1]} frames of poses and "
                f"{video.shape[1]} of video."
            )

    def _targets(self, sentences: str | Sequence[str], task: str, options: dict[str, Any]) -> dict[str, torch.Tensor]:
        tokenizer = self.tokenizer
        sentences = [sentences] if isinstance(sentences, str) else sentences
        name = "glosses" if task == "gloss" else "text"
        if not isinstance(sentences, (list, tuple)) or not sentences:
            actual = "an empty list" if isinstance(sentences, (list, tuple)) else type(sentences).__name__
            raise SignXError(f"`{name}` must be a sentence or a list of sentences, one per clip, got {actual}.")
        for row, sentence in enumerate(sentences):
            if not isinstance(sentence, (str, list, tuple)):
                raise SignXError(
                    f"`{name}[{row}]` must be a sentence or a list of its words, got {type(sentence).__name__}."
                )
        most = piece_limit(options, tokenizer.model_max_length)
        rows = [tokenizer.build_targets(sentence, task=task, max_length=most) for sentence in sentences]
        data = {"labels": pad_ids(rows, target_length([len(row) for row in rows], options))}
        if task == "gloss":
            data["ctc_labels"] = pad_ids([tokenizer.encode_ctc(sentence) for sentence in sentences])
        return data

    @property
    def model_input_names(self) -> list[str]:
        """Return the names of the model inputs, first the one of every clip: Trainer groups clips by its length."""
        names = [*self.video_processor.model_input_names, *self.feature_extractor.model_input_names]
        return list(dict.fromkeys(["frame_mask", *names]))

    def batch_decode(self, *args, **kwargs) -> list[str]:
        """Decode piece ids `[B, L]` to gloss sentences; see the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args, **kwargs) -> str:
        """Decode piece ids to a gloss sentence; see the tokenizer."""
        return self.tokenizer.decode(*args, **kwargs)
