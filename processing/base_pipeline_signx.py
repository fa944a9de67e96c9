"""Base class of the pipelines, and what kinds of input they take. They travel with the weights."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, KeysView, Sequence, ValuesView
from os import PathLike
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.pipelines.base import Pipeline
from transformers.utils import ModelOutput

from .checks_signx import check_entry, check_nearest, check_parts
from .errors_signx import SignXError, SignXWarning
from .inputs_signx import ClipInput, PoseInput, VideoInput
from .landmarks_signx import LandmarkOptions, extract_landmarks, tracks_of
from .pose_files_signx import PoseClip
from .pose_readers_signx import is_openpose_folder
from .signer_signx import check_hand, check_person, encode_both_hands, name_of, note_hands, refuse_person, video_signer
from .trained_signx import check_trained, hide_untrained, takes_landmarks
from .windowing_signx import WindowOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POSE_SUFFIXES = (".npz", ".npy", ".pose", ".json", ".pkl", ".pickle")
MODEL_INPUTS = (
    "pixel_values_videos", "pose_values", "pose_mask", "frame_mask", "latents", "features", "feature_mask",
)  # fmt: skip
LONGEST_SIGN = 10.0  # seconds; a longer clip holds more than one sign


def is_stored_video(clip: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a clip is a video as `datasets.Video(decode=False)` gives it: `{"bytes": ..., "path": ...}`."""
    return isinstance(clip, dict) and bool(clip) and set(clip) <= {"bytes", "path"}


def unpack_stored_video(clip: ClipInput) -> ClipInput:
    """Return the bytes of a stored video, or its path where it has none; any other clip as it is."""
    if is_stored_video(clip):
        return clip["bytes"] if clip.get("bytes") is not None else clip.get("path")
    return clip


def is_pose(clip: object) -> TypeGuard[PoseInput]:
    """Return whether a clip is poses rather than video.

    Poses are a dictionary of tracks, stored poses, a pose file, a folder of OpenPose files, or an array `[T, D]`.
    """
    if isinstance(clip, dict):
        return not is_stored_video(clip)
    if isinstance(clip, (str, Path)):
        return str(clip).lower().endswith(POSE_SUFFIXES) or is_openpose_folder(clip)
    if hasattr(clip, "tracks") and hasattr(clip, "masks"):  # a PoseClip
        return True
    return hasattr(clip, "to_clip") or (isinstance(clip, (np.ndarray, torch.Tensor)) and clip.ndim == 2)


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout and its like off, so that a clip always has the same result; afterwards all is as before.

    Args:
        model: Model, of which any part may be in training.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class SignXPipeline(Pipeline):
    """Base class of the pipelines: reads a clip with the model's processor, batches and saves."""

    _load_processor = True
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False
    _load_video_processor = False
    _reads_frames = True  # preprocess gives a video to the processor, which can be read ahead
    _pipeline_calls_generate = False  # _forward passes the options itself, the same for every version of transformers

    def __init__(self, model: "PreTrainedModel", *args, **kwargs):
        failure = getattr(model, "loading_error", None)  # see signx_hf/_registration.py
        if failure is not None:
            raise failure
        super().__init__(model, *args, **kwargs)
        check_parts(self.model, self.processor)
        # transformers' collate function needs one of these to know the padding side.
        self.tokenizer = self.processor.tokenizer
        self.feature_extractor = self.processor.feature_extractor

    @contextlib.contextmanager
    def device_placement(self) -> Iterator[None]:
        """Compute on the device of the pipeline, and not in training mode."""
        with super().device_placement(), evaluating(self.model):
            yield

    def check_options(self, **options: Any) -> None:
        """Check the options of a call before there is a clip.

        Args:
            options: As for a call.

        Raises:
            ValueError: If an option is unknown or out of range.
        """
        self._sanitize_parameters(**options)

    def __call__(self, inputs: ClipInput | Iterable[ClipInput], *args, **kwargs) -> Any:
        """Process a clip, or several.

        Args:
            inputs: A clip, as the class describes it, or a list, generator, column of a dataset or table
                (`dataset["video"]`), or torch dataset of clips.
            args: As in transformers.
            kwargs: Options of the class, and those of transformers such as `batch_size`.

        Returns:
            One result per clip, described by the class: a list, or for generators, streamed columns and torch datasets
            an iterator.

        Raises:
            SignXError: If a clip cannot be read, or the list is empty.
            ValueError: If an option is unknown or out of range.
        """
        if not is_many(inputs):
            return super().__call__(inputs, *args, **kwargs)
        clips = clips_of(inputs)
        results = super().__call__(clips, *args, **kwargs)
        return results if clips is inputs or isinstance(clips, (list, GeneratorType)) else list(results)

    def get_iterator(self, inputs, num_workers: int, *args, **kwargs):
        """Iterate over the results of several clips; the file after the one that is computed on is read meanwhile."""
        if isinstance(inputs, list) and len(inputs) > 1 and not num_workers:
            inputs = ClipsAhead(inputs, self.read_ahead)
        return super().get_iterator(inputs, num_workers, *args, **kwargs)

    def read_ahead(self, clip: ClipInput) -> ClipInput:
        """Start to read a clip in a thread, and return what stands for it in a call.

        Args:
            clip: A clip; what is not a video file that this model takes as frames is returned as it is.
        """
        is_file = isinstance(clip, (str, Path)) and not is_pose(clip)
        if not is_file or not self._reads_frames or takes_landmarks(self.model.config):
            return clip
        return self.processor.video_processor.read_ahead(clip) or clip

    def preprocess(
        self,
        clip: ClipInput,
        source_fps: float | None = None,
        hand: str = "as_trained",
        person: int | str | None = None,
        landmarks_cache: bool = True,
    ) -> dict[str, Any]:
        """Read one clip into model input; the options are those of a call."""
        clip = unpack_stored_video(clip)
        # A list within a batch is the frames of one clip. Passed bare it would be a batch, and None would be no input.
        clips = [clip] if clip is None or isinstance(clip, (list, tuple)) else clip
        name, config = name_of(getattr(clip, "read_ahead_of", clip)), self.model.config
        if not is_pose(clip) and takes_landmarks(config):
            check_nearest(person, name)
            poses = self.landmarks(clip, source_fps, landmarks_cache)
            return self._read_poses(poses, poses.source, hand=hand)
        check_entry(config, "poses" if is_pose(clip) else "video", name)
        if is_pose(clip):
            batch = self._read_poses(clips, name, source_fps=source_fps, hand=hand, person=person)
            self._warn_of_rate(clip, batch["metadata"]["source_fps"])
            return batch
        refuse_person(person, name)
        batch = self.processor(videos=clips, source_fps=source_fps, return_metadata=True)
        batch["metadata"] = {**batch.pop("video_metadata")[0], "signer": video_signer(hand)}
        if hand == "left":
            batch["pixel_values_videos"] = batch["pixel_values_videos"].flip(-1)
        return dict(batch)

    def landmarks(
        self,
        video: VideoInput,
        source_fps: float | None = None,
        cache: bool = True,
        start: float | None = None,
        end: float | None = None,
    ) -> PoseClip:
        """Extract the tracks of a video that this model reads and was trained on, with MediaPipe.

        Args:
            video: As for a call.
            source_fps: Frames per second of arrays, frame lists and folders; None for the model's.
            cache: Whether to look them up in the user's cache, and keep them there.
            start: Start of the part to read in seconds; None for the beginning.
            end: End of the part to read in seconds; None for the end.

        Returns:
            A `PoseClip`.

        Raises:
            SignXError: If no track of the model can be extracted, the video cannot be read, or nobody is seen in it.
            ImportError: If MediaPipe is not installed. The message says what to install.
        """
        extractor, name = self.feature_extractor, name_of(video)
        rate = extractor.fps if source_fps is None else source_fps
        options = LandmarkOptions(rate, extractor.fps, start, end, name, cache)
        return extract_landmarks(video, tracks_of(extractor, self.model.config, name), options)

    def _read_poses(self, clip: PoseInput, name: str, **options: Any) -> dict[str, Any]:
        """Return the model input of one clip of poses, with untrained tracks masked, and its `metadata`."""
        extractor, trained = self.feature_extractor, getattr(self.model.config, "trained_tracks", None)
        batch = extractor(clip, return_metadata=True, **options)
        batch["metadata"] = batch.pop("pose_metadata")[0]
        check_trained(trained, batch["metadata"]["tracks"], name)
        hide_untrained(batch, extractor.track_dims, trained)
        return dict(batch)

    def _warn_of_rate(self, clip: PoseInput, rate: float | None) -> None:
        """Warn of a pose file without a frame rate: most come from videos, whose rate is seldom that of the model."""
        if rate is None and isinstance(clip, (str, Path)) and self.feature_extractor.fps is not None:
            warnings.warn(
                f"{clip}: the file has no frame rate, so {self.feature_extractor.fps:g} fps (the model's) was "
                "assumed. Add `fps` to the file, or pass source_fps= (--option source_fps=25).",
                SignXWarning,
                stacklevel=2,
            )

    @staticmethod
    def _reading_options(hand: str | None, person: int | str | None, landmarks_cache: bool | None) -> dict[str, Any]:
        """Return the given options of `preprocess`, checked."""
        options = {}
        if landmarks_cache is not None:
            if not isinstance(landmarks_cache, bool):
                raise ValueError(f"`landmarks_cache` must be True or False, got {landmarks_cache!r}.")
            options["landmarks_cache"] = landmarks_cache
        if hand is not None:
            options["hand"] = check_hand(hand)
        if person is not None:
            options["person"] = check_person(person)
        return options

    @staticmethod
    def _with_hands(
        encode: Callable[..., ModelOutput], inputs: dict, metadata: list[dict], hand: str
    ) -> tuple[Any, list[dict]]:
        """Return `encode(**inputs)` and metadata; with `hand="detect"` and video, for each clip the better of it and
        its mirror image.
        """
        if hand != "detect" or "pixel_values_videos" not in inputs:  # for poses the processor has detected it
            return encode(**inputs), metadata
        encoded, mirrored = encode_both_hands(encode, inputs)
        return encoded, note_hands(metadata, mirrored)

    @staticmethod
    def _split(model_inputs: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict]]:
        """Return the tensors for the model, and the metadata of each clip."""
        inputs = {name: model_inputs[name] for name in MODEL_INPUTS if name in model_inputs}
        metadata = model_inputs["metadata"]
        return inputs, metadata if isinstance(metadata, list) else [metadata]

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Save model, processor and pipeline code to a folder.

        Args:
            save_directory: Path of the folder.
            kwargs: As in transformers.
        """
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)  # transformers saves its parts, but not the processor itself


def warn_of_length(metadata: dict, fps: float, unit: str = "a sentence", in_pieces: bool = True) -> None:
    """Warn of a clip longer than the training clips: a model of sentences or signs gives wrong results for several at
    once.

    Args:
        metadata: Metadata of the clip.
        fps: Frames per second if the metadata has none.
        unit: `"a sentence"` or `"a sign"`.
        in_pieces: Whether the model can read a recording of several sentences in pieces.
    """
    seconds = metadata["frames"] / (metadata["fps"] or fps)
    if unit == "a sign":
        if seconds > LONGEST_SIGN:
            warnings.warn(
                f"{metadata['source']}: {seconds:.0f} s were read as one sign; clips of one sign each are expected. "
                "For a recording of several, with rests between them, use `signx-hf live --from-file` or "
                "SignXSignStreamer.",
                SignXWarning,
                stacklevel=2,
            )
    elif seconds > WindowOptions.window:
        remedy = (
            f"For longer ones use chunk_length_s={WindowOptions.window:g} (--chunk-length), which cuts where the hands rest."
            if in_pieces
            else "Cut it into sentences."
        )
        warnings.warn(
            f"{metadata['source']}: {seconds:.0f} s were read at once; clips of one sentence each are expected. {remedy}",
            SignXWarning,
            stacklevel=2,
        )


class ClipsAhead(Sequence):
    """Clips, each asked for once and in order; the next one is read as soon as one is.

    Args:
        clips: The clips.
        read_ahead: Starts to read a clip and returns what stands for it.
    """

    def __init__(self, clips: Sequence[ClipInput], read_ahead: Callable[[ClipInput], ClipInput]):
        self._clips, self._read_ahead = clips, read_ahead
        self._next: tuple[int, ClipInput] | None = None

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index):
        started, self._next = self._next, None
        clip = started[1] if started is not None and started[0] == index else self._clips[index]
        if index + 1 < len(self._clips):
            self._next = (index + 1, self._read_ahead(self._clips[index + 1]))
        return clip


def is_many(inputs: object) -> TypeGuard[Iterable[ClipInput]]:
    """Return whether an input of a pipeline is several clips: a sequence, iterator, or column of a dataset or table.

    Raises:
        SignXError: If it is a dataset or table with all its columns.
    """
    if hasattr(inputs, "column_names") or (hasattr(inputs, "columns") and hasattr(inputs, "iloc")):
        columns = inputs.column_names if hasattr(inputs, "column_names") else list(inputs.columns)
        raise SignXError(
            f"`inputs` must be clips, got a {type(inputs).__name__} with columns {columns!r:.200}. Pass the column that "
            'holds them, such as dataset["video"].'
        )
    if isinstance(inputs, np.ndarray):
        return inputs.ndim == 1 and inputs.dtype.kind in "OUT"  # objects or text, such as paths
    if isinstance(inputs, (str, PathLike, dict, bytes, bytearray, memoryview, torch.Tensor)) or hasattr(
        inputs, "read"
    ):
        return False
    return isinstance(inputs, (Sequence, Iterator, KeysView, ValuesView, Dataset)) or _is_column(inputs)


def _is_column(inputs: object) -> bool:
    """Return whether an input is a streamed column of `datasets`, or one of pandas or polars, without importing them."""
    if type(inputs).__name__ == "IterableColumn":
        return True
    return hasattr(inputs, "to_numpy") and len(getattr(inputs, "shape", ())) == 1


class _Clips(Dataset):
    """Clips of a sequence, which are read one at a time, as those of a large dataset must be."""

    def __init__(self, clips: Sequence[ClipInput]):
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> ClipInput:
        return self._clips[index]


def clips_of(inputs: Iterable[ClipInput]) -> Any:
    """Return several clips as transformers takes them: a list, a generator, or a torch dataset.

    Raises:
        SignXError: If there is none.
    """
    if isinstance(inputs, (Dataset, GeneratorType)):
        return inputs
    if isinstance(inputs, Iterator) or type(inputs).__name__ == "IterableColumn":
        return (clip for clip in inputs)  # the only iterators that transformers knows
    clips = inputs if isinstance(inputs, list) or type(inputs).__name__ == "Column" else list(inputs)
    if not len(clips):
        raise SignXError("`inputs` must have at least one clip, got an empty list.")
    return clips if isinstance(clips, list) else _Clips(clips)


def each_clip(inputs: Iterable[ClipInput]) -> Iterator[ClipInput]:
    """Yield several clips, one at a time."""
    clips = clips_of(inputs)
    return (clips[index] for index in range(len(clips))) if hasattr(clips, "__len__") else iter(clips)
