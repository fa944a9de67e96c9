"""The pipeline `isolated-sign-recognition`: one clip, one sign. It travels with the weights."""

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers.utils import ModelOutput

from .activity_signx import signing_frames, signing_pictures
from .answers_signx import NEVER, answer_of, check_threshold
from .base_pipeline_signx import SignXPipeline, warn_of_length
from .hands_signx import MIRROR_SIGNS
from .inputs_signx import ClipInput
from .results_signx import Candidate, Rejection, Signer, SignRecognition
from .vocabulary_signx import vocabulary_ids


class IsolatedSignRecognitionPipeline(SignXPipeline):
    """Recognize isolated signs: a clip of one sign to its most probable signs.

        pipeline("isolated-sign-recognition", model="folder-or-hub-name")("clip.mp4")

    Input: As for `sign-recognition`.

    Options (at construction or call):
        top_k: Number of candidates to return (5).
        vocabulary: Signs to choose from: a list of glosses, or the path of a text file with one per line. Scores are a
            softmax over these alone. None: every sign of the model.
        threshold: Value of the model's `rejection_score` below which it is not sure; `"none"`: always sure. None: as
            saved with the model (`config.rejection_threshold`, which `signx-hf calibrate` fits). A threshold fitted
            with one vocabulary is only a guide for another.
        details: Return a dictionary like that of `sign-recognition` instead of the list.
        source_fps, hand, person, landmarks_cache: As for `sign-recognition` (`hand="detect"` takes a video or its
            mirror image by the probability of the best sign).

    Output: A list of `{"label", "score"}`, best first, like every classification pipeline. With a threshold each entry
    also has `sure`: False means that none of the candidates is the answer. If `hand` or `person` was given, each also
    has `signer`.

    With `details`, `SignRecognition` as a dictionary: `glosses`, `text` and `segments` hold the best sign, or nothing
    where the model is not sure; `start` and `end` are where the hands begin and stop signing, in seconds; `candidates`
    is the list above; `sure` is True, False, or None without a threshold; `rejection` has the name of the score, its
    `value` and the `threshold`; then `duration`, `signer`, and `reason` where there is no sign.
    """

    OPTIONS = ("top_k", "vocabulary", "threshold", "details", "source_fps", "hand", "person", "landmarks_cache")

    def _sanitize_parameters(
        self,
        top_k=None,
        source_fps=None,
        hand=None,
        person=None,
        landmarks_cache=None,
        vocabulary=None,
        threshold=None,
        details=None,
        **kwargs,
    ):
        if kwargs:
            name = next(iter(kwargs))
            near = difflib.get_close_matches(name, self.OPTIONS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"isolated-sign-recognition has no option {name!r}. Its options are {', '.join(self.OPTIONS)}.{meant}"
            )
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"`top_k` must be a positive integer, got {top_k!r}.")
        preprocess = self._reading_options(hand, person, landmarks_cache)
        forward: dict[str, Any] = {} if hand is None else {"hand": hand}
        postprocess: dict[str, Any] = {"with_signer": True} if hand is not None or person is not None else {}
        if source_fps is not None:
            preprocess["source_fps"] = source_fps
        if top_k is not None:
            postprocess["top_k"] = top_k
        if vocabulary is not None:
            forward["ids"] = postprocess["ids"] = vocabulary_ids(vocabulary, self.model.config.id2label)
        if threshold is not None:
            postprocess["threshold"] = check_threshold(threshold, self.model.config.rejection_score)
        if details is not None:
            if not isinstance(details, bool):
                raise ValueError(f"`details` must be True or False, got {details!r:.80}.")
            forward["details"] = postprocess["details"] = details
        return preprocess, forward, postprocess

    def preprocess(self, clip: ClipInput, **options) -> dict[str, Any]:
        """Read one clip into model input; the options are those of a call."""
        batch = super().preprocess(clip, **options)
        warn_of_length(batch["metadata"], self.model.config.fps, "a sign")
        return batch

    def answer(self, inputs: dict[str, Any], **options: Any) -> list[dict] | dict:
        """Return what a call returns, for model input such as `latents`.

        Args:
            inputs: Model input of one clip and its `metadata`.
            options: As for a call.
        """
        _, forward, postprocess = self._sanitize_parameters(**options)
        outputs = self.forward(inputs, **{**self._forward_params, **forward})
        return self.postprocess(outputs, **{**self._postprocess_params, **postprocess})

    def logits(self, clip: ClipInput, **options: Any) -> torch.Tensor:
        """Return the logits `[N]` of one clip over all signs of the model, whatever the vocabulary.

        Args:
            clip: One clip, as for a call.
            options: As for a call.
        """
        preprocess, forward, _ = self._sanitize_parameters(**options)
        prepared = self.preprocess(clip, **{**self._preprocess_params, **preprocess})
        return self.forward(prepared, **{**self._forward_params, **forward})["logits"][0].float()

    def embedding(self, clip: ClipInput, **options: Any) -> torch.Tensor:
        """Return the embedding of one clip, `[F]` of length 1, which the model computes before it classifies.

        Args:
            clip: One clip, as for a call.
            options: As for a call.
        """
        preprocess, _, _ = self._sanitize_parameters(**options)
        prepared = self.preprocess(clip, **{**self._preprocess_params, **preprocess})
        with self.device_placement(), torch.inference_mode():
            inputs, _ = self._split(self._ensure_tensor_on_device(prepared, device=self.device))
            views = [
                torch.nn.functional.normalize(self.model(**view).embedding[0], dim=-1) for view in self._views(inputs)
            ]
        return torch.nn.functional.normalize(torch.stack(views).mean(0), dim=-1).float().cpu()

    def _views(self, inputs: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """Return the inputs, and for a model that averages both also their mirror image."""
        if not self.model.config.average_mirror:
            return [inputs]
        mirrored = inputs["pose_values"] * inputs["pose_values"].new_tensor(MIRROR_SIGNS)
        return [inputs, {**inputs, "pose_values": mirrored}]

    def _encode(self, ids: Sequence[int] | None = None, **inputs) -> ModelOutput:
        """Return the logits of each clip as those of one step; those of the vocabulary decide which hand leads."""
        logits = self.model(**inputs).logits
        chosen = logits if ids is None else logits[:, list(ids)]
        mask = torch.ones(len(logits), 1, dtype=torch.bool, device=logits.device)
        return ModelOutput(ctc_logits=chosen[:, None], feature_mask=mask, logits=logits)

    def _forward(
        self, model_inputs, hand: str = "as_trained", ids: Sequence[int] | None = None, details: bool = False
    ):
        inputs, metadata = self._split(model_inputs)
        encoded, metadata = self._with_hands(partial(self._encode, ids=ids), inputs, metadata, hand)
        logits = [encoded.logits, *(self.model(**view).logits for view in self._views(inputs)[1:])]
        if len(logits) > 1:  # the logarithm of the mean probability, up to a constant
            logits = [torch.stack([view.float().log_softmax(-1) for view in logits]).logsumexp(0)]
        spans = [self._span(inputs, row, of_clip) if details else None for row, of_clip in enumerate(metadata)]
        return {"logits": logits[0], "metadata": metadata, "spans": spans}

    def _span(self, inputs: dict[str, torch.Tensor], row: int, metadata: dict) -> tuple[float, float]:
        """Return from when to when somebody signs in a clip, in seconds."""
        fps, count = metadata["fps"] or self.model.config.fps, metadata["frames"]
        if metadata.get("span") is not None:  # the extractor has measured it
            return metadata["start"] + metadata["span"][0], metadata["start"] + metadata["span"][1]
        if "pose_values" in inputs:
            values, mask = inputs["pose_values"][row, :count].cpu(), inputs["pose_mask"][row, :count].cpu()
            frames = signing_frames(values.numpy(), mask.numpy(), self.feature_extractor.track_slices(), fps)
        elif "pixel_values_videos" in inputs:
            pixels = inputs["pixel_values_videos"][row, :count].float().cpu().numpy()
            frames = signing_pictures(self.processor.video_processor.restore_frames(pixels), fps)
        else:
            frames = 0, count
        start = metadata.get("start", 0.0)
        return start + frames[0] / fps, start + frames[1] / fps

    def postprocess(
        self,
        model_outputs: dict,
        top_k: int = 5,
        with_signer: bool = False,
        ids: Sequence[int] | None = None,
        threshold: float | str | None = None,
        details: bool = False,
    ) -> list[dict] | dict:
        """Return the result of one clip from the outputs of `forward`; the options are those of a call."""
        config = self.model.config
        threshold = config.rejection_threshold if threshold is None else None if threshold == NEVER else threshold
        score, metadata = config.rejection_score, _only(model_outputs["metadata"])
        answer = answer_of(model_outputs["logits"][0], ids, top_k, config.confidence_temperature, score, threshold)
        candidates = tuple(Candidate(config.id2label[i], score) for i, score in zip(answer.ids, answer.scores))
        if details:
            rejection = Rejection(score, answer.value, threshold)
            span = _only(model_outputs["spans"])
            return self._build_result(candidates, answer.is_sure, rejection, metadata, span).to_dict()
        more = {} if answer.is_sure is None else {"sure": answer.is_sure}
        more |= {"signer": metadata["signer"]} if with_signer else {}
        return [{**candidate.to_dict(), **more} for candidate in candidates]

    def _build_result(
        self,
        candidates: tuple[Candidate, ...],
        is_sure: bool | None,
        rejection: Rejection,
        metadata: dict,
        span: tuple[float, float],
    ) -> SignRecognition:
        reason = None
        if is_sure is False:
            name, value, threshold = rejection.score, rejection.value, rejection.threshold
            reason = f"not sure: {name} {value:.4g} is below the threshold of {threshold:.4g}"
        length = metadata.get("length") or metadata["frames"] / (metadata["fps"] or self.model.config.fps)
        seconds = metadata.get("start", 0.0) + length
        return SignRecognition(
            candidates=candidates,
            start=round(span[0], 4),
            end=round(span[1], 4),
            sure=is_sure,
            rejection=rejection,
            duration=round(seconds, 4),
            signer=Signer.from_dict(metadata["signer"]) if metadata.get("signer") else None,
            reason=reason,
        )


def _only(items: Any) -> Any:
    """Return the item of one clip; transformers keeps those of a batch in lists."""
    return items[0] if isinstance(items, list) else items
