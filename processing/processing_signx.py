"""SignXProcessor: video, pose tracks and glosses in, tensors out; piece ids in, glosses out."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .errors_signx import SignXError
from .feature_extraction_signx import SignXPoseFeatureExtractor
from .pose_readers_signx import one_line
from .tokenization_signx import SignXTokenizer
from .video_processing_signx import SignXVideoProcessor

# Copied along by save_pretrained, so that a folder of weights and processor also carries its pipelines.
from .isolated_pipeline_signx import IsolatedSignRecognitionPipeline  # noqa: F401  isort: skip
from .pipeline_signx import SignRecognitionPipeline  # noqa: F401  isort: skip
from .spotting_pipeline_signx import SignSpottingPipeline  # noqa: F401  isort: skip

IGNORE = -100


def pad_ids(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """`[B, L]` ids, -100 where a row is shorter than the longest."""
    longest = max((len(row) for row in rows), default=0)
    return torch.tensor([[*row, *[IGNORE] * (longest - len(row))] for row in rows], dtype=torch.long)


class SignXProcessor(ProcessorMixin):
    """One object that owns how a clip becomes tensors, saved beside the weights, so training and inference cannot differ.

    Args:
        video_processor: `SignXVideoProcessor`.
        feature_extractor: `SignXPoseFeatureExtractor`.
        tokenizer: `SignXTokenizer`.

    A part that is not given is one with default options (the tokenizer: pieces of single bytes, no CTC vocabulary), because
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
    def from_config(cls, config: Any, tokenizer: SignXTokenizer | None = None) -> "SignXProcessor":
        """The processor that fits a model: its frame size, frame rate and tracks.

        Args:
            config: `SignXConfig` of the model.
            tokenizer: the tokenizer whose vocabularies the config has.
        """
        return cls(
            SignXVideoProcessor(size={"height": config.image_size, "width": config.image_size}, fps=config.fps),
            SignXPoseFeatureExtractor(track_dims=config.pose_config.track_dims, fps=config.fps),
            tokenizer,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in the library, whose own errors on a damaged processor_config.json do not say what they are about.

        Raises:
            SignXError: options that cannot be; OSError: no such folder or name.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except Exception as error:
            is_plain = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
            if isinstance(error, ImportError) or (is_plain and len(str(error).splitlines()) == 1):
                raise
            raise SignXError(
                f"{pretrained_model_name_or_path}: the processor cannot be loaded ({type(error).__name__}: {one_line(error):.300}); "
                "wanted processor_config.json as save_pretrained() writes it; save or copy it again"
            ) from error

    @staticmethod
    def get_possibly_dynamic_module(module_name: str) -> Any:
        # Without torchvision transformers looks its own video base class up in a table that is a dummy then, and fails.
        if module_name in ("VideoProcessorMixin", "BaseVideoProcessor"):
            return SignXVideoProcessor.__mro__[1]
        return ProcessorMixin.get_possibly_dynamic_module(module_name)

    def __call__(
        self,
        videos: Any = None,
        poses: Any = None,
        glosses: str | Sequence[str] | None = None,
        text: str | Sequence[str] | None = None,
        source_fps: float | None = None,
        return_tensors: str = "pt",
        return_metadata: bool = False,
    ) -> BatchFeature:
        """Tensors of a clip or a batch of clips.

        Args:
            videos: what `SignXVideoProcessor` reads: path, bytes, file, array, frames, folder, or a list of these.
            poses: what `SignXPoseFeatureExtractor` reads: dict of tracks, `.npz`, `.pose`, array, or a list of these.
            glosses: gloss sentence(s): `labels` with the gloss prompt, and `ctc_labels`.
            text: spoken-language sentence(s): `labels` with the text prompt. Give glosses or text, not both.
            source_fps: frames per second of arrays and frame lists.
            return_tensors: `"pt"`.
            return_metadata: also `video_metadata` / `pose_metadata`, a list of dicts.

        Returns:
            `pixel_values_videos` `[B, T, 3, H, W]`, `pose_values` `[B, T, D]`, `pose_mask` `[B, T, N]`, `frame_mask`
            `[B, T]`, `labels` `[B, L]`, `ctc_labels` `[B, U]`, whichever belong to the input.

        Raises:
            SignXError: a clip that cannot be read, video and poses of different length, both glosses and text, another
                number of sentences than of clips.
        """
        if videos is None and poses is None and glosses is None and text is None:
            raise SignXError("found no input: wanted videos, poses, glosses or text")
        if glosses is not None and text is not None:
            raise SignXError(
                "found glosses and text: wanted one of them, a clip has one target; call twice for two tasks"
            )
        if return_tensors != "pt":
            raise SignXError(f"return_tensors is {return_tensors!r}: wanted 'pt'")
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
                f"found {len(data['frame_mask'])} clips and {len(data['labels'])} sentences: wanted one sentence per clip"
            )
        return BatchFeature(data)

    @staticmethod
    def _check_same_frames(video: torch.Tensor, pose: torch.Tensor) -> None:
        if video.shape[0] != pose.shape[0]:
            raise SignXError(
                f"found {video.shape[0]} videos and {pose.shape[0]} poses: wanted one pose clip per video"
            )
        for row, (frames, rows) in enumerate(zip(video.sum(1).tolist(), pose.sum(1).tolist())):
            if frames != rows:
                raise SignXError(
                    f"clip {row} has {frames} video frames but {rows} pose frames: wanted the same; poses of a video have one "
                    "row per frame at the same frame rate (give fps in the pose file)"
                )

    def _targets(self, sentences: str | Sequence[str], task: str) -> dict[str, torch.Tensor]:
        tokenizer = self.tokenizer
        sentences = [sentences] if isinstance(sentences, str) else sentences
        name = "glosses" if task == "gloss" else "text"
        if not isinstance(sentences, (list, tuple)) or not sentences:
            found = "an empty list" if isinstance(sentences, (list, tuple)) else type(sentences).__name__
            raise SignXError(f"{name} is {found}: wanted a sentence or a list of sentences, one per clip")
        for row, sentence in enumerate(sentences):
            if not isinstance(sentence, (str, list, tuple)):
                raise SignXError(
                    f"{name}[{row}] is {type(sentence).__name__}: wanted a sentence or a list of its words"
                )
        data = {"labels": pad_ids([tokenizer.build_targets(sentence, task=task) for sentence in sentences])}
        if task == "gloss":
            data["ctc_labels"] = pad_ids([tokenizer.encode_ctc(sentence) for sentence in sentences])
        return data

    @property
    def model_input_names(self) -> list[str]:
        return list(
            dict.fromkeys([*self.video_processor.model_input_names, *self.feature_extractor.model_input_names])
        )

    def batch_decode(self, *args, **kwargs) -> list[str]:
        """Gloss sentences of piece ids `[B, L]`; see the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args, **kwargs) -> str:
        """Gloss sentence of piece ids; see the tokenizer."""
        return self.tokenizer.decode(*args, **kwargs)
