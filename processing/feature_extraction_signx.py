"""Turn pose tracks into `pose_values`, `pose_mask` and `frame_mask`, the input of SignX's pose encoders (arXiv
2504.16315).

Steps for one clip: read, find what was observed, normalize each track by itself, sample frames by time, pad the batch.
"""

import copy
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin
from transformers.processing_utils import Unpack

from .errors_signx import SignXPoseError, SignXWarning
from .hand_sources_signx import picture_aspect, with_hands, with_sources
from .hands_signx import (
    HAND_FEATURES,
    HANDS_WIDTH,
    HandClip,
    hand_clip,
    hands_at,
    model_rows,
    resample_hands,
    trim_to_hands,
)
from .inputs_signx import PoseInput
from .keypoints_signx import DWPOSE_WIDTH, MEDIAPIPE_WIDTH, mirror_rows, same_note, signs_with_left_hand
from .memory_signx import check_filled
from .point_tracks_signx import (
    SOURCE_WIDTHS,
    checked_point_tracks,
    complete_points,
    coordinate_width,
    normalize_points,
    part_points,
)
from .pose_files_signx import PoseClip, clip_from_array, clip_from_file, clip_from_mapping, nearest
from .pose_options_signx import (
    PosePaddingKwargs,
    checked_fps,
    checked_int,
    checked_model_fps,
    checked_notes,
    checked_padding,
    checked_track_dims,
    is_number,
)
from .sampling_signx import sample_count, sample_indices
from .signer_signx import check_hand, check_person
from .tracks_signx import (
    clean_dwpose,
    clean_mediapipe,
    normalize_depth,
    normalize_dwpose,
    normalize_mediapipe,
    normalize_segments,
)
from .video_timing_signx import is_even

DEFAULT_TRACK_DIMS = {
    "smplerx": 165,
    "dwpose": DWPOSE_WIDTH,
    "mediapipe": MEDIAPIPE_WIDTH,
    "primedepth": 576,
    "sapiens": 576,
}
# Frames further apart are due to a wrong unit; sampling would repeat each hundreds of times.
MAX_GAP_SECONDS = 10.0
GAP_REMEDY = "Pass timestamps in seconds, not milliseconds, correct the fps of the clip, or set max_frames."
OPTIONS = (
    "track_dims", "fps", "normalize", "max_frames", "confidence_threshold", "person", "sapiens_classes", "track_notes", "point_tracks", "right_handed",
    "hand_steps", "use_depth", "shape_only",
)  # fmt: skip
# Rows that differ in a note of the first kind mean something else; rows that differ in one of the second may still
# fit.
MEANING_NOTES, ORIGIN_NOTES = ("layout", "units", "order"), ("source", "version")
_said: set[tuple[str, str, str, str]] = set()  # differences of origin that this process has warned about
# Keywords that the Auto classes and pipelines pass to every from_pretrained.
LOADING_KEYS = frozenset(
    {
        "_commit_hash",
        "_from_auto",
        "_from_pipeline",
        "cache_dir",
        "code_revision",
        "force_download",
        "local_files_only",
    }
    | {"return_unused_kwargs", "revision", "subfolder", "token", "trust_remote_code", "use_fast", "user_agent"}
)
# Keys that transformers writes beside our own options when it saves, or passes back when it loads.
LIBRARY_KEYS = frozenset(
    [
        "feature_extractor_type",
        "image_processor_type",
        "video_processor_type",
        "processor_class",
        "_processor_class",
        "auto_map",
        "_commit_hash",
        "_name_or_path",
        "name_or_path",
        "transformers_version",
    ]
)


class SignXPoseFeatureExtractor(SequenceFeatureExtractor):
    """Turn pose clips into model input.

    Args:
        track_dims: Ordered name -> width of one row; the order is that in `pose_values`. Names other than the paper's
            five are allowed and pass through unchanged. Pairs [[name, width], ...] are allowed, too.
        fps: Frames per second of the output, reached by taking the nearest measured frame (never by interpolation,
            which would mix observed with unobserved); None keeps every frame.
        normalize: Normalize each track by itself: `normalize_dwpose`, `normalize_mediapipe`, `normalize_depth`
            (`primedepth`), `normalize_segments` (`sapiens`); `smplerx` (axis-angle, radians) and custom tracks are
            unchanged. Statistics come from the observed frames of the full clip, before frames are sampled.
        max_frames: Maximum number of frames of a clip, None for no limit; a longer clip is thinned evenly in time,
            with a SignXWarning.
        confidence_threshold: Keypoints whose confidence or visibility is not above it are missing; they become 0.
        person: For `.pose` and OpenPose files with several people: an index, or "largest" (`choose_person`).
        sapiens_classes: Number of classes of the `sapiens` labels, background included (28 in Sapiens' own scheme).
        track_notes: Layout, units, order, source and version of the rows that the model was trained on, by name
            ("mediapipe.units"), like the notes of pose files; a clip whose notes differ gives a SignXWarning. None
            compares nothing.
        point_tracks: Description of custom tracks of points, so that they are normalized, too: name -> {"coordinates":
            C, "origin": [points], "scale": number or [point, point], "facing": [point, point]}, see
            `normalize_points`; with "distances": [points] and "motion": true, see `complete_points`. With "source", a
            name in `PARTS`, and "points" the track is made of keypoints of a `mediapipe` or `dwpose` row, which clips
            then need: {"source": "mediapipe.right_hand", "coordinates": 3, "origin": [0], "scale": [0, 9]} is the
            shape of a hand.
        right_handed: Mirror a clip that is signed with the left hand (`signs_with_left_hand`), hands swapped; only for
            `mediapipe`, `dwpose` and tracks made of them.
        hand_steps: For models of isolated signs on the track `hands`: trim a clip to where hands are seen and read it
            at this many moments, evenly in time; None keeps frames at `fps`. The track has `HAND_FEATURES` columns,
            which `hand_features` computes from rows of 126, and must be the only one.
        use_depth: For the track `hands`: False leaves out the depth of landmarks, for models of data without it.
        shape_only: For the track `hands`: True keeps of each frame only the shape of the leading hand, whatever its
            size and position, for models of handshapes such as letters. Other columns are 0.

    `pose_mask` is false where a frame of a track is masked by the caller, is a row of NaN, belongs to a track that the
    clip lacks, or, for `dwpose` and `mediapipe`, has no body point. A single missing hand or face does not mask the
    frame.
    """

    model_input_names = ["pose_values", "pose_mask", "frame_mask"]
    padding_value, padding_side, return_attention_mask = 0.0, "right", False  # for `pad` of transformers

    def __init__(
        self,
        track_dims: Mapping[str, int] | list | None = None,
        fps: float | None = 30.0,
        normalize: bool = True,
        max_frames: int | None = None,
        confidence_threshold: float = 0.0,
        person: int | str = "largest",
        sapiens_classes: int = 28,
        track_notes: Mapping[str, str] | None = None,
        point_tracks: Mapping[str, Mapping[str, Any]] | None = None,
        right_handed: bool = False,
        hand_steps: int | None = None,
        use_depth: bool = True,
        shape_only: bool = False,
        **kwargs,
    ):
        for key in kwargs:
            if key not in LIBRARY_KEYS:
                raise SignXPoseError(f"SignXPoseFeatureExtractor has no option '{key}'. {nearest(key, OPTIONS)}")
        # Not that of sequences: it would save `feature_size` and `sampling_rate`, which follow from the options here.
        FeatureExtractionMixin.__init__(self, **kwargs)
        self.track_dims = checked_track_dims(DEFAULT_TRACK_DIMS if track_dims is None else track_dims)
        self.fps = None if fps is None else checked_model_fps(fps)
        if not isinstance(normalize, bool):
            raise SignXPoseError(f"`normalize` must be True or False, got {normalize!r}.")
        self.normalize = normalize
        self.max_frames = None if max_frames is None else checked_int(max_frames, "max_frames", 1)
        if not is_number(confidence_threshold) or not confidence_threshold >= 0:
            raise SignXPoseError(
                f"`confidence_threshold` must be a number of at least 0, got {confidence_threshold!r}."
            )
        self.confidence_threshold = float(confidence_threshold)
        self.person = person if person == "largest" else checked_int(person, "person", 0, " or 'largest'")
        self.sapiens_classes = checked_int(sapiens_classes, "sapiens_classes", 2)
        self.track_notes = checked_notes(track_notes)
        self.point_tracks = checked_point_tracks(point_tracks or {}, self.track_dims, DEFAULT_TRACK_DIMS)
        self.hand_steps = None if hand_steps is None else checked_int(hand_steps, "hand_steps", 2)
        if self.hand_steps is not None and not self.reads_hands:
            raise SignXPoseError(
                f"`hand_steps` must be None for tracks other than 'hands' of width {HAND_FEATURES}, got {hand_steps}."
            )
        self.use_depth, self.shape_only = use_depth, shape_only
        for name, usual in (("use_depth", True), ("shape_only", False)):
            value = getattr(self, name)
            if not isinstance(value, bool) or value != usual and not self.reads_hands:
                raise SignXPoseError(
                    f"`{name}` must be True or False, and {usual} for tracks other than 'hands' of width {HAND_FEATURES}, "
                    f"got {value!r}."
                )
        self.right_handed = self._checked_right_handed(right_handed)

    def _checked_right_handed(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise SignXPoseError(f"`right_handed` must be True or False, got {value!r}.")
        other = [name for name in self.read_dims if name not in SOURCE_WIDTHS]
        if value and (other or not self.normalize):
            problem = f"track '{other[0]}'" if other else "normalize=False"
            raise SignXPoseError(
                "`right_handed` must be False unless all tracks are normalized and mediapipe, dwpose or parts of "
                f"them, got {problem}. Set it to False."
            )
        return value

    @property
    def reads_hands(self) -> bool:
        """Return whether the model reads two hands as `hand_features` describes them."""
        return self.track_dims == {"hands": HAND_FEATURES}

    @property
    def read_dims(self) -> dict[str, int]:
        """Return the ordered name -> width of the tracks that clips need.

        They are those of `track_dims`; tracks made of keypoints of another track are replaced by that one.
        """
        if self.reads_hands:
            return {"hands": HANDS_WIDTH}
        dims: dict[str, int] = {}
        for name, width in self.track_dims.items():
            source = self.point_tracks.get(name, {}).get("source")
            if source is None:
                dims[name] = width - self._derived_width(name, width)
            else:
                dims.setdefault(source.partition(".")[0], SOURCE_WIDTHS[source.partition(".")[0]])
        return dims

    def source_of(self, track: str) -> str:
        """Return the track of `read_dims` that a track of `track_dims` is read from or made of."""
        return (self.point_tracks.get(track, {}).get("source") or track).partition(".")[0]

    def _derived_width(self, name: str, width: int) -> int:
        """Return the number of columns of a custom track that are computed from its others."""
        return width - coordinate_width(width, self.point_tracks[name]) if name in self.point_tracks else 0

    @property
    def pose_dim(self) -> int:
        """Return D, the width of `pose_values`."""
        return sum(self.track_dims.values())

    @property
    def feature_size(self) -> int:
        """Return `pose_dim` under the name that transformers has for it."""
        return self.pose_dim

    @property
    def sampling_rate(self) -> float | None:
        """Return `fps` under the name that transformers has for it."""
        return self.fps

    def track_slices(self) -> dict[str, slice]:
        """Return the columns of each track in `pose_values`; the n-th track is the n-th column of `pose_mask`."""
        ends = np.cumsum(list(self.track_dims.values())).tolist()
        return {name: slice(end - width, end) for (name, width), end in zip(self.track_dims.items(), ends)}

    def to_dict(self) -> dict[str, Any]:
        """Return the options and the keys of transformers, ready for JSON."""
        output = super().to_dict()
        # Pairs, because transformers sorts the keys of its JSON, and the order of the tracks is that of D.
        output["track_dims"] = [[name, width] for name, width in self.track_dims.items()]
        return output

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict[str, Any], **kwargs) -> "SignXPoseFeatureExtractor":
        """Build an extractor from its saved options.

        Options given at loading count even if the saved file lacks them, and a misspelled option is an error;
        transformers would drop it silently.

        Args:
            feature_extractor_dict: Saved options.
            kwargs: Options that override them, and keywords of transformers.

        Raises:
            SignXPoseError: If an option is unknown or out of range.
        """
        merged = copy.deepcopy(feature_extractor_dict)
        merged.update({key: kwargs.pop(key) for key in OPTIONS if key in kwargs})
        for key in kwargs.keys() - LOADING_KEYS:
            if "Did you mean" in nearest(key, OPTIONS) and key not in merged:
                raise SignXPoseError(f"SignXPoseFeatureExtractor has no option '{key}'. {nearest(key, OPTIONS)}")
        return super().from_dict(merged, **kwargs)

    def __call__(
        self,
        poses: PoseInput | Sequence[PoseInput],
        source_fps: float | list[float | None] | None = None,
        return_tensors: str = "pt",
        return_metadata: bool = False,
        hand: str = "as_trained",
        person: int | str | None = None,
        **options: Unpack[PosePaddingKwargs],
    ) -> BatchFeature:
        """Turn a clip or a list of clips into model input.

        Args:
            poses: A clip or a list of clips. A clip is a dictionary of tracks (`clip_from_mapping` lists its keys), an
                array [T, D] of all tracks concatenated, a path to a `.npz`, `.npy`, `.pose` or `.json` file or to a
                folder of OpenPose files, or a `PoseClip`.
            source_fps: Frames per second of the clips, one number or one per clip; overrides what a file states. A
                clip of unknown rate is assumed to have `fps` already.
            return_tensors: "pt" or "np".
            return_metadata: Add `pose_metadata`, a list of dictionaries: source, fps (of the returned frames),
                source_fps, frames_read, frames, start (seconds, of the first row), duration (seconds, from there),
                frame_indices, tracks (those observed at least once) and signer (person, people, hand, mirrored); and
                where all frames are kept at a variable rate, times (seconds since the first).
            hand: Leading hand of the signers. "left": clips are mirrored, hands swapped; "right": never; "detect":
                those that `signs_with_left_hand`; "as_trained": according to `right_handed`.
            person: Overrides the option `person`, for files that hold several people.
            options: `padding`, `max_length` (frames), `truncation` and `pad_to_multiple_of`, as in transformers; the
                default pads to the longest clip. Also options of the class, for this call only.

        Returns:
            `pose_values` [B, T, D] float32, `pose_mask` [B, T, N] and `frame_mask` [B, T] bool, right-padded; every
            value under a false mask is 0.

        Raises:
            SignXPoseError: If a clip cannot be read, or an option is out of range.
            SignXFileNotFoundError: If a path does not exist.
        """
        own = {name: options.pop(name) for name in OPTIONS if name in options}
        if own:
            other = type(self)(**{**self.to_dict(), **own})
            return other(poses, source_fps, return_tensors, return_metadata, hand, person, **options)
        tensors = getattr(return_tensors, "value", return_tensors)
        if tensors not in ("pt", "np"):
            raise SignXPoseError(f"`return_tensors` must be 'pt' or 'np', got {return_tensors!r}.")
        clips = list(poses) if isinstance(poses, (list, tuple)) else [poses]
        if not clips:
            raise SignXPoseError("`poses` must have at least one clip, got an empty list.")
        if not isinstance(source_fps, (list, tuple)):
            source_fps = [source_fps] * len(clips)
        if len(source_fps) != len(clips):
            raise SignXPoseError(
                f"`source_fps` must be one number or one per clip ({len(clips)}), got a list of {len(source_fps)}."
            )
        check_hand(hand)
        rows = [
            self._extract(self.read(clip, f"clip {i}", person), fps, hand, self.person if person is None else person)
            for i, (clip, fps) in enumerate(zip(clips, source_fps))
        ]
        clips = [{"pose_values": values.astype(np.float32, copy=False), "pose_mask": mask} for values, mask, _ in rows]
        batch = self.pad(clips, return_tensors=tensors, **checked_padding(options, OPTIONS))
        if return_metadata:
            batch["pose_metadata"] = [metadata for _, _, metadata in rows]
        return batch

    def read(self, clip: PoseInput, source: str = "clip", person: int | str | None = None) -> PoseClip:
        """Read one clip in any of the forms of `__call__`, with its tracks as measured.

        Args:
            clip: The clip.
            source: Name of the clip, for messages.
            person: Overrides the option `person`; an index above 0 is refused where a clip cannot hold several people.

        Raises:
            SignXPoseError: If the clip cannot be read.
            SignXFileNotFoundError: If the path does not exist.
        """
        if person is None:
            return self._read(clip, source, self.person)
        pose_clip = self._read(clip, source, check_person(person))
        if pose_clip.people is None and person not in ("largest", 0):
            raise SignXPoseError(
                f"{pose_clip.source}: `person` must be 0 or 'largest' for a clip with the rows of one person, got "
                f"{person}. Only .pose files and OpenPose JSON hold several people; otherwise choose while extracting "
                "poses."
            )
        return pose_clip

    def _read(self, clip: PoseInput, source: str, person: int | str) -> PoseClip:
        """Return one clip with the tracks of `read_dims` that it has; `hands` may also be made of other tracks with
        hands.
        """
        return with_hands(self._read_tracks(clip, source, person), self.read_dims, self.confidence_threshold)

    def _read_tracks(self, clip: PoseInput, source: str, person: int | str) -> PoseClip:
        dims = with_sources(self.read_dims)
        if isinstance(clip, (str, os.PathLike)):
            return clip_from_file(clip, dims, person, self.read_dims)
        if hasattr(clip, "to_clip"):  # poses as stored in a dataset, with all extracted tracks
            clip = self._known_tracks(clip.to_clip(), source)
        if isinstance(clip, Mapping):
            return clip_from_mapping(clip, dims, source)
        if isinstance(clip, np.ndarray) or torch.is_tensor(clip):
            return clip_from_array(clip, self.read_dims, source)
        # Recognized by its fields, not its class: each file loaded from the Hub is a module of its own.
        if hasattr(clip, "tracks") and hasattr(clip, "masks"):
            parts = {**clip.tracks, "masks": clip.masks, "fps": clip.fps, "timestamps": clip.timestamps}
            parts["start"] = getattr(clip, "start", None)
            parts["notes"] = getattr(clip, "notes", None)
            about = {name: getattr(clip, name, None) for name in ("people", "size")}
            return replace(clip_from_mapping(parts, dims, clip.source), **about)
        advice = " Decode the `poses` of a dataset with signx_hf.data.decode_poses." if isinstance(clip, bytes) else ""
        raise SignXPoseError(
            f"{source}: a clip must be a dictionary of tracks, an array [frames, {sum(self.read_dims.values())}] "
            f"or a path, got {type(clip).__name__}.{advice}"
        )

    def _known_tracks(self, clip: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Return a stored clip without the tracks that this model does not read."""
        masks, dims = clip["masks"], with_sources(self.read_dims)
        if not masks.keys() & dims.keys():
            raise SignXPoseError(
                f"{source}: the stored poses must have at least one of the tracks {', '.join(dims)}, got "
                f"{', '.join(masks)}. Extract it."
            )
        known = {name: value for name, value in clip.items() if name not in masks or name in dims}
        return {
            **known,
            "masks": {name: mask for name, mask in masks.items() if name in dims},
            "notes": {
                key: note
                for key, note in (clip.get("notes") or {}).items()
                if key.rpartition(".")[0] in dims or key == "size"
            },
        }

    def _extract(
        self, clip: PoseClip, source_fps: float | None, hand: str, person: int | str
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Return values [T, D] float32, mask [T, N] bool and metadata of one clip."""
        self.compare_notes(clip)
        if self.reads_hands:
            return self._extract_hands(clip, source_fps, hand, person)
        frames = clip.num_frames
        values, mask = (
            np.zeros((frames, self.pose_dim), dtype=np.float32),
            np.zeros((frames, len(self.track_dims)), dtype=bool),
        )
        read = {
            name: self._track(name, clip.tracks[name], clip.masks[name], clip.source)
            for name in self.read_dims
            if name in clip.tracks
        }
        hand = self._leading_hand(read, hand, clip.source)
        if hand == "left":
            read = {name: (mirror_rows(name, values), observed) for name, (values, observed) in read.items()}
        for n, (name, where) in enumerate(self.track_slices().items()):
            track = self._track_of(name, read, clip.source)
            if track is not None:
                values[:, where.start : where.start + track[0].shape[1]], mask[:, n] = track
        self._check_observed(mask, clip.source, "in the clip")
        picked, fps, rate = self._pick(clip, source_fps)
        values, mask = values[picked], mask[picked]
        for n, (name, where) in enumerate(self.track_slices().items()):
            if name in self.point_tracks:
                values[:, where] = complete_points(values[:, where], mask[:, n], self.point_tracks[name])
        self._check_observed(mask, clip.source, f"among the {len(picked)} frames sampled from {frames}")
        metadata = {
            "source": clip.source,
            "fps": fps,
            "source_fps": rate,
            "frames_read": frames,
            "frames": len(picked),
            "start": clip.begins,
            "duration": None if fps is None else len(picked) / fps,
            "frame_indices": picked.tolist(),
            "tracks": [name for name, seen in zip(self.track_dims, mask.any(axis=0)) if seen],
            "signer": {
                "person": None if clip.people is None else person, "people": clip.people, "hand": hand, "mirrored": hand == "left",
            },
        }  # fmt: skip
        if self.fps is None and clip.timestamps is not None and len(picked) > 1:
            times = clip.timestamps[picked]
            metadata |= {} if is_even(times, fps) else {"times": (times - times[0]).tolist()}
        return values, mask, metadata

    def hand_clip(self, clip: PoseClip, source_fps: float | None = None, mirrored: bool = False) -> HandClip:
        """Return the two hands of a clip as measured, linked, with gaps filled and times.

        For a model with `hand_steps`, only the frames between the first and the last with a hand.

        Args:
            clip: The clip.
            source_fps: Frames per second; None for the clip's own.
            mirrored: Whether to return the mirror image.

        Raises:
            SignXPoseError: If no frame shows a hand.
        """
        _, _, rate = self._pick(clip, source_fps)
        times = clip.timestamps
        times = np.arange(clip.num_frames) / (rate or self.fps or 30.0) if times is None else times - times[0]
        hands = hand_clip(
            clip.tracks["hands"], clip.masks["hands"], times, picture_aspect(clip), mirrored, self.use_depth
        )
        self._check_observed(hands.seen, clip.source, "in the clip")
        return hands if self.hand_steps is None else trim_to_hands(hands)

    def _extract_hands(
        self, clip: PoseClip, source_fps: float | None, hand: str, person: int | str
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Return what `_extract` returns, for the track `hands`; hands are interpolated between frames."""
        hands = self.hand_clip(clip, source_fps, hand == "left")
        picked, fps, rate = self._pick(clip, source_fps)
        if self.hand_steps is not None:
            steps = resample_hands(hands, self.hand_steps)
            fps = (self.hand_steps - 1) / hands.seconds if hands.seconds else self.fps
            picked = np.rint(np.interp(steps.times, hands.times, np.arange(len(hands)))).astype(int)
            mask = np.ones((self.hand_steps, 1), dtype=bool)
        else:
            # Exactly at the model's rate, interpolated if the video's differs: motion is measured from step to step.
            moments = hands.times[picked] if fps is None else np.minimum(np.arange(len(picked)) / fps, hands.times[-1])
            steps = hands_at(hands, moments)
            mask = (steps.seen[:, :1] if self.shape_only else steps.seen).any(axis=1)[:, None]
        metadata = {
            "source": clip.source,
            "fps": fps,
            "source_fps": rate,
            "frames_read": clip.num_frames,
            "frames": len(steps),
            "start": clip.begins,
            "duration": None if fps is None else len(steps) / fps,
            "span": (float(steps.times[0]), float(steps.times[-1])),
            "length": clip.num_frames / (rate or self.fps or 30.0) if clip.timestamps is None else float(np.ptp(clip.timestamps)),
            "frame_indices": picked.tolist(),
            "tracks": ["hands"],
            "signer": {"person": None if clip.people is None else person, "people": clip.people,
                       "hand": None if hand == "as_trained" else hand, "mirrored": hand == "left"},
        }  # fmt: skip
        rows = model_rows(steps, self.hand_steps is not None, self.shape_only)
        return np.where(mask, rows, 0.0), mask, metadata

    def _track_of(
        self, name: str, read: dict[str, tuple[np.ndarray, np.ndarray]], source: str
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the measured columns of a track, and observed [T]; None if the clip has nothing of it."""
        options = self.point_tracks.get(name, {})
        part = options.get("source")
        if part is None:
            return read.get(name)
        if part.partition(".")[0] not in read:
            return None
        values, observed = part_points(part, read[part.partition(".")[0]][0], options)
        if self.normalize and observed.any():
            values = self._normalize_points(name, values, observed, source)
        return values, observed

    def _normalize_points(self, name: str, values: np.ndarray, observed: np.ndarray, source: str) -> np.ndarray:
        options = {key: self.point_tracks[name].get(key) for key in ("coordinates", "origin", "scale", "facing")}
        return normalize_points(values, observed, source=source, **options)

    def _leading_hand(self, read: dict[str, tuple[np.ndarray, np.ndarray]], hand: str, source: str) -> str | None:
        """Return "left" for a clip to be mirrored, "right" for one that is not, None if nobody asked."""
        self.check_mirror(hand, read, source)
        if hand == "as_trained":
            hand = "detect" if self.right_handed else None
        if hand != "detect":
            return hand
        first = next((name for name, (_, observed) in read.items() if observed.any()), None)
        return "left" if first is not None and signs_with_left_hand(first, *read[first]) else "right"

    def check_mirror(self, hand: str, tracks: Collection[str], source: str) -> None:
        """Check that clips of these tracks can be mirrored if `hand` may require it.

        Args:
            hand: As for a call.
            tracks: Names of the tracks.
            source: Name of the clip, for the message.

        Raises:
            SignXPoseError: If they cannot be mirrored.
        """
        other = [name for name in tracks if name not in SOURCE_WIDTHS]
        if hand in ("left", "detect") and (other or not self.normalize):
            problem = f"track '{other[0]}'" if other else "normalize=False"
            raise SignXPoseError(
                f"{source}: `hand` must be 'right' or 'as_trained' unless all tracks are normalized and mediapipe, "
                f"dwpose or parts of them, got {hand!r} with {problem}. Leave the other tracks out of the clip, or "
                "use hand='as_trained'."
            )

    def compare_notes(self, clip: PoseClip) -> None:
        """Warn if the notes of a clip say that its numbers differ in meaning from those that the model was trained on."""
        for track in (name for name in clip.tracks if self.track_notes):
            notes = {field: clip.notes.get(f"{track}.{field}") for field in (*MEANING_NOTES, *ORIGIN_NOTES)}
            known = {field: self.track_notes.get(f"{track}.{field}") for field in notes}
            other = [f for f in notes if None not in (notes[f], known[f]) and not same_note(notes[f], known[f])]
            meaning = [field for field in other if field in MEANING_NOTES]
            if meaning:
                said = "; ".join(f"{f} is '{notes[f]}' and was '{known[f]}' in training" for f in meaning)
                warnings.warn(
                    f"{clip.source}: track '{track}': {said}, so the model reads wrong numbers. Extract the poses as for "
                    "training, or correct the notes.",
                    SignXWarning,
                    stacklevel=5,
                )
            for field in (f for f in other if f in ORIGIN_NOTES):
                pair = (track, field, str(notes[field]), str(known[field]))
                if pair not in _said:
                    _said.add(pair)
                    warnings.warn(
                        f"{clip.source}: track '{track}': {field} is '{notes[field]}' and was '{known[field]}' in training, "
                        "so rows may differ slightly. Extract the poses with the same version if accuracy is lower (warned "
                        "once).",
                        SignXWarning,
                        stacklevel=5,
                    )

    def _check_observed(self, mask: np.ndarray, source: str, where: str) -> None:
        if not mask.any():
            raise SignXPoseError(
                f"{source}: at least one track must be observed {where}, got none (all rows are masked, NaN or "
                "without a body). Leave the clip out."
            )

    def _track(
        self, name: str, values: np.ndarray, observed: np.ndarray, source: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the values [T, d] of one track, 0 where unobserved, and observed [T]; independent of other tracks."""
        if name == "dwpose":
            values, observed = clean_dwpose(values, observed, self.confidence_threshold)
        elif name == "mediapipe":
            values, observed = clean_mediapipe(values, observed, self.confidence_threshold)
        if not self.normalize or not observed.any():
            return values, observed
        if name == "dwpose":
            values = normalize_dwpose(values, source)
        elif name == "mediapipe":
            values = normalize_mediapipe(values, source)
        elif name == "primedepth":
            values = normalize_depth(values, observed)
        elif name == "sapiens":
            values = normalize_segments(values, self.sapiens_classes, source)
        elif name in self.point_tracks:
            values = self._normalize_points(name, values, observed, source)
        return values, observed

    def _pick(self, clip: PoseClip, source_fps: float | None) -> tuple[np.ndarray, float | None, float | None]:
        """Return the indices of the sampled frames, their rate, and the rate of the source (None if unknown)."""
        rate = clip.fps if source_fps is None else source_fps
        rate = None if rate is None else checked_fps(rate, f"{clip.source}: the source fps", " Pass source_fps=.")
        times = clip.timestamps
        if times is None:
            times = np.arange(clip.num_frames) / (rate or self.fps or 1.0)
            target = None if rate is None or rate == self.fps else self.fps
            fps = self.fps if rate is None or self.fps is not None else rate
        else:
            rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else rate
            times, target = times - times[0], self.fps
            fps = self.fps or rate
        gap = np.diff(times).max(initial=0.0)
        if target is not None and gap > MAX_GAP_SECONDS:
            raise SignXPoseError(
                f"{clip.source}: frames must be at most {MAX_GAP_SECONDS:g} s apart, got {gap:g} s. Pass timestamps "
                "in seconds, not milliseconds, or correct the fps of the clip."
            )
        count = sample_count(times, target)
        if self.max_frames is None and target is not None:
            row_bytes = 8 * sum(values.shape[1] for values in clip.tracks.values())
            check_filled(count, len(times), row_bytes, clip.source, GAP_REMEDY, is_pose=True)
        picked = sample_indices(times, target, self.max_frames)
        if self.max_frames is not None and count > self.max_frames:
            ends = sample_indices(times, target, 2)
            span = times[ends[-1]] - times[ends[0]]
            if fps is not None:
                fps = (len(picked) - 1) / span if len(picked) > 1 else 1 / span
            warnings.warn(
                f"{clip.source}: {count} frames were thinned to max_frames={self.max_frames}",
                SignXWarning,
                stacklevel=4,
            )
        return picked, None if fps is None else float(fps), None if rate is None else float(rate)

    def _truncate(self, processed_features: dict[str, np.ndarray], *args: Any, **kwargs: Any) -> dict[str, np.ndarray]:
        """Cut one clip to `max_length`, as `pad` does; the masks, too."""
        cut = super()._truncate(processed_features, *args, **kwargs)
        frames = len(cut["pose_values"])
        return {name: values[:frames] for name, values in cut.items()}

    def _pad(self, processed_features: dict[str, np.ndarray], *args: Any, **kwargs: Any) -> dict[str, np.ndarray]:
        """Pad one clip, as `pad` does; the masks with false."""
        features = dict(processed_features)
        features.setdefault("frame_mask", np.ones(len(features["pose_values"]), dtype=bool))
        padded = super()._pad(features, *args, **kwargs)
        missing = len(padded["pose_values"]) - len(padded["frame_mask"])
        for name in ("pose_mask", "frame_mask"):
            if name in padded:
                padded[name] = np.pad(padded[name], [(0, missing)] + [(0, 0)] * (padded[name].ndim - 1))
        return padded
