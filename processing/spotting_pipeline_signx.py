"""The pipeline `sign-spotting`: single signs in a recording of any length. It travels with the weights."""

import difflib
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .base_pipeline_signx import SignXPipeline, is_pose, unpack_stored_video
from .checks_signx import check_nearest
from .errors_signx import SignXError
from .hands_signx import MIRROR_SIGNS
from .inputs_signx import ClipInput
from .results_signx import GlossSegment, Hypothesis, Recognition, Signer
from .signer_signx import name_of
from .spotting_signx import SpottingOptions, best_signs, window_rows, windows_of
from .trained_signx import takes_landmarks
from .vocabulary_signx import vocabulary_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SPOTTING = tuple(part.name for part in fields(SpottingOptions))


class SignSpottingPipeline(SignXPipeline):
    """Find the signs of a recording with a model of isolated signs on the track `hands`.

        pipeline("sign-spotting", model="folder-or-hub-name")("sentence.mp4", vocabulary=["chair", "black", "table"])

    It uses no knowledge of sentences: every window of the recording is classified (`SpottingOptions`). The smaller the
    vocabulary, the better the result.

    Options (at construction or call):
        vocabulary: Signs that can be found: a list of glosses, or the path of a text file with one per line. None:
            every sign.
        confidence, cost, hop_s, lengths_s, least_seen, longest_gap_s, temperature: See `SpottingOptions`; the defaults
        are those of the model (`config.spotting`), else of the class.
        source_fps, hand, person, landmarks_cache: As for `sign-recognition`.

    Output: `Recognition` as a dictionary, without `known`.
    """

    OPTIONS = ("vocabulary", *SPOTTING, "source_fps", "hand", "person", "landmarks_cache")

    def __init__(self, model: "PreTrainedModel", *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        if not self.feature_extractor.reads_hands or self.feature_extractor.hand_steps is None:
            raise SignXError(
                "the model must read isolated signs of the track hands to find them in recordings, got one that "
                f"reads {', '.join(self.feature_extractor.track_dims)}. Use a model such as asl."
            )

    def _sanitize_parameters(
        self, vocabulary=None, source_fps=None, hand=None, person=None, landmarks_cache=None, **kwargs
    ):
        unknown = [name for name in kwargs if name not in SPOTTING]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self.OPTIONS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"sign-spotting has no option `{unknown[0]}`. Its options are {', '.join(self.OPTIONS)}.{meant}"
            )
        preprocess = self._reading_options(hand, person, landmarks_cache)
        if source_fps is not None:
            preprocess["source_fps"] = source_fps
        known = {name: value for name, value in kwargs.items() if value is not None}
        saved = getattr(self, "_postprocess_params", {}).get("options")  # as at construction
        saved = (self.model.config.spotting or {}) if saved is None else asdict(saved)
        options = SpottingOptions.take({**saved, **known})
        postprocess: dict[str, Any] = {"options": options} if known else {}
        if known:
            preprocess["options"] = options
        if vocabulary is not None:
            postprocess["ids"] = vocabulary_ids(vocabulary, self.model.config.id2label)
        return preprocess, {}, postprocess

    _reads_frames = False

    def preprocess(
        self,
        clip: ClipInput,
        options: SpottingOptions | None = None,
        source_fps: float | None = None,
        hand: str = "as_trained",
        person: int | str | None = None,
        landmarks_cache: bool = True,
    ) -> dict[str, Any]:
        """Read one recording into windows of model input; the options are those of a call."""
        clip = unpack_stored_video(clip)
        name, extractor = name_of(clip), self.feature_extractor
        if not is_pose(clip) and takes_landmarks(self.model.config):
            check_nearest(person, name)
            poses, source_fps = self.landmarks(clip, source_fps, landmarks_cache), None
        else:
            poses = extractor.read(clip, name, person)
        hands = extractor.hand_clip(poses, source_fps, hand == "left")
        rate = source_fps or poses.fps or extractor.fps
        seconds = poses.num_frames / rate if poses.timestamps is None else poses.timestamps[-1] - poses.timestamps[0]
        moments, windows = windows_of(hands, options or SpottingOptions.take(self.model.config.spotting or {}))
        rows = list(window_rows(hands, moments, windows, extractor.hand_steps))
        size = (0, extractor.hand_steps, sum(extractor.track_dims.values()))
        return {
            "pose_values": torch.from_numpy(np.concatenate(rows) if rows else np.zeros(size, dtype=np.float32)),
            "moments": moments, "windows": windows, "start": poses.begins, "duration": float(poses.begins + seconds),
            "signer": {"person": None, "people": poses.people, "hand": None if hand == "as_trained" else hand, "mirrored": hand == "left"},
        }  # fmt: skip

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        values = model_inputs.pop("pose_values")
        parts = []
        for block in values.split(256) if len(values) else ():
            logits = [self.model(pose_values=block).logits.float().log_softmax(-1)]
            if self.model.config.average_mirror:
                mirrored = self.model(pose_values=block * block.new_tensor(MIRROR_SIGNS)).logits
                logits.append(mirrored.float().log_softmax(-1))
            parts.append(torch.stack(logits).logsumexp(0).cpu())
        log_probs = torch.cat(parts) if parts else torch.zeros(0, self.model.config.num_labels)
        return {**model_inputs, "log_probs": log_probs}

    def postprocess(self, model_outputs: dict[str, Any], ids=None, options: SpottingOptions | None = None) -> dict:
        """Return the result of one recording from the outputs of `forward`; the options are those of a call."""
        config = self.model.config
        options = options or SpottingOptions.take(config.spotting or {})
        options = replace(options, temperature=options.temperature * config.confidence_temperature)
        spots = best_signs(
            model_outputs["moments"], model_outputs["windows"], model_outputs["log_probs"].numpy(), ids, options
        )
        glosses, start = tuple(config.id2label[spot.sign] for spot in spots), model_outputs["start"]
        return Recognition(
            glosses=glosses,
            segments=tuple(
                GlossSegment(gloss, round(start + spot.start, 4), round(start + spot.end, 4), spot.confidence)
                for gloss, spot in zip(glosses, spots)
            ),
            n_best=(Hypothesis(glosses, float(sum(spot.confidence for spot in spots))),),
            duration=round(model_outputs["duration"], 4),
            signer=Signer.from_dict(model_outputs["signer"]),
            reason=None if glosses else "no stretch of the recording looks like a sign",
        ).to_dict()
