"""Processor of SignX: turns video, pose tracks and glosses into tensors, and piece ids into glosses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .errors_signx import SignXError
from .feature_extraction_signx import SignXPoseFeatureExtractor
from .inputs_signx import PoseInput, VideoInput
from .pose_readers_signx import one_line
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


def pad_ids(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Stack rows of ids to `[B, L]`, padded with -100."""
    longest = max((len(row) for row in rows), default=0)
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
            kwargs: As in transformers.

        Raises:
            SignXError: If the processor is damaged, or an option is out of range.
            OSError: If there is no such folder or name.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except Exception as error:
            is_plain = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
            if isinstance(error, ImportError) or (is_plain and len(str(error).splitlines()) == 1):
                raise
            raise SignXError(
                f"{pretrained_model_name_or_path}: the processor cannot be loaded ({type(error).__name__}: "
                f"{one_line(error):.300}). Save it again with save_pretrained(), or copy it again."
            ) from error

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
        return_tensors: str = "pt",
        return_metadata: bool = False,
    ) -> BatchFeature:
        """Turn a clip or a batch of clips into tensors.

        Args:
            videos: What `SignXVideoProcessor` reads: path, bytes, file, array, frames, folder, or a list of these.
            poses: What `SignXPoseFeatureExtractor` reads: dictionary of tracks, `.npz`, `.pose`, array, or a list of
                these.
            glosses: Gloss sentence(s): `labels` with the gloss prompt, and `ctc_labels`.
            text: Spoken-language sentence(s): `labels` with the text prompt. Pass glosses or text, not both.
            source_fps: Frames per second of arrays and frame lists.
            return_tensors: `"pt"`.
            return_metadata: Add `video_metadata` / `pose_metadata`, a list of dictionaries.

        Returns:
            `pixel_values_videos` `[B, T, 3, H, W]`, `pose_values` `[B, T, D]`, `pose_mask` `[B, T, N]`, `frame_mask`
            `[B, T]`, `labels` `[B, L]`, `ctc_labels` `[B, U]`, those that belong to the input.

        Raises:
            SignXError: If a clip cannot be read, video and poses have different lengths, both glosses and text are
                given, or the numbers of sentences and clips differ.
        """
        if videos is None and poses is None and glosses is None and text is None:
            raise SignXError("No input: pass at least one of `videos`, `poses`, `glosses` and `text`.")
        if glosses is not None and text is not None:
            raise SignXError("Pass either `glosses` or `text`, not both. Call the processor twice for two tasks.")
        if return_tensors != "pt":
            raise SignXError(f"`return_tensors` must be 'pt', got {return_tensors!r}.")
        data: dict[str, Any] = {}
        options = {"source_fps": source_fps, "return_tensors": "pt", "return_metadata": return_metadata}
        if videos is not None:
            data.update(self.video_processor(videos, **options))
        if poses is not None:
            features = self.feature_extractor(poses, **options)
            if videos is not None:
                self._check_same_frames(data["frame_mask"], features["frame_mask"])
            data.update(features)
        if glosses is not None:
            data.update(self._targets(glosses, "gloss"))
        if text is not None:
            data.update(self._targets(text, "text"))
        if "labels" in data and "frame_mask" in data and len(data["labels"]) != len(data["frame_mask"]):
            raise SignXError(
                f"each clip must have one sentence, got {len(data['frame_mask'])} clips and {len(data['labels'])} "
                "sentences."
            )
        return BatchFeature(data)

    @staticmethod
    def _check_same_frames(video: torch.Tensor, pose: torch.Tensor) -> None:
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

    def _targets(self, sentences: str | Sequence[str], task: str) -> dict[str, torch.Tensor]:
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
        data = {"labels": pad_ids([tokenizer.build_targets(sentence, task=task) for sentence in sentences])}
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
