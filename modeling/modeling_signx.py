"""The models of the SignX-4 family (arXiv 2504.16315 v4, section 3), one class per stage.

```
latents --recognizer (compile, mixer, TemporalConv, BiLSTM)--> features [B,T',1024], CTC over whole glosses
features --encoder--> decoder over BPE pieces --generate()--> pieces
```

Legend: B batch, T frames, T' feature steps, D pose width, L target length, U glosses, V vocabulary.
"""

from collections.abc import Mapping

import torch
from torch import nn
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils import can_return_tuple

from .configuration_signx import SignXConfig
from .encoders_signx import SignXModel, SignXPreTrainedModel, SignXTextEncoder
from .labels_signx import IGNORE, check_ctc_labels
from .layers_signx import mask_lengths
from .losses_signx import (
    alignment_loss,
    contrastive_loss,
    ctc_loss,
    dimensions_to_keep,
    distillation_loss,
    masked_mean,
    ngram_loss,
    text_loss,
    weigh,
    word_match_loss,
)
from .outputs_signx import (
    SignXCTCOutput,
    SignXEncoderOutput,
    SignXSeq2SeqOutput,
    SignXVideo2PoseOutput,
)
from .recognizer_signx import SignXRecognizer
from .seq2seq_signx import SignXSeq2SeqModel


class SignXForPose2Gloss(SignXSeq2SeqModel):
    """Stage 1: poses to latents to pieces by the codebook decoder (SignX-4, section 3.1; losses of SignX-1)."""

    _encoder_parts = ("model", "latent_projection")
    _encoded_names = ("last_hidden_state", "feature_mask", "latents")

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self.model = SignXModel(config)
        size = config.text_config.hidden_size
        self.latent_projection = nn.Linear(config.latent_size, size)
        self.contrast_projection = nn.Linear(config.latent_size, size)
        self._add_decoder(config)
        self.post_init()

    def _default_input(self) -> str:
        return "pose_values"

    def encode(self, **inputs) -> SignXEncoderOutput:
        """Encode any input to latents of the width of the decoder, `[B, T, C]`, with `feature_mask` `[B, T]`."""
        self._check_keywords("encode", inputs, self._input_names)
        self._note_input(inputs)
        given = {name: inputs[name] for name in self._input_names if name in inputs}
        output = self.model(**given, return_dict=True, **self._recording_flags(inputs))
        return SignXEncoderOutput(
            self.latent_projection(output.last_hidden_state), output.frame_mask, latents=output.last_hidden_state,
            hidden_states=output.hidden_states, attentions=output.attentions,
        )  # fmt: skip

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: SignXEncoderOutput | None = None,
        cache: EncoderDecoderCache | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> SignXSeq2SeqOutput:
        """Compute piece logits `[B, L, V]` and, given labels, the losses `text`, `word`, `ngram` and `contrast`.

        A loss whose weight in the config is 0 is not computed.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`, used instead of poses and video.
            labels: `[B, L]` piece ids, the task prompt first, -100 where padded.
            decoder_input_ids: `[B, L]` piece ids, by default from the labels, or the prompt for glosses.
            encoder_outputs: output of `encode()`, or of `get_encoder()`, used instead of all inputs above; also as a
                tuple, or a `BaseModelOutput` with `frame_mask`.
            cache: keys and values of earlier decoding steps.
            past_key_values: older name of `cache`, deprecated in transformers 5.24.
            use_cache: whether to return the cache.
            **kwargs: keywords that transformers passes to any model, such as `output_attentions`, or
                `decoder_attention_mask` `[B, L]`, false at pieces to which no other attends.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, inputs or labels have another shape, or an id is outside the vocabulary.
        """
        self._check_keywords("forward", kwargs, self._decoder_keywords)
        if encoder_outputs is None:
            encoder_outputs = self.encode(
                pixel_values_videos=pixel_values_videos,
                frame_mask=frame_mask,
                pose_values=pose_values,
                pose_mask=pose_mask,
                latents=latents,
                **self._recording_flags(kwargs),
            )
        encoder_outputs = self._encoder_output(encoder_outputs, frame_mask)
        self._check_training_labels(labels, others=decoder_input_ids is None)
        decoded, predicted, logits = self._decode(
            encoder_outputs, labels, decoder_input_ids, self._cache(cache, past_key_values), use_cache, kwargs
        )
        losses = self._losses(encoder_outputs, predicted, logits, labels) if labels is not None else {}
        weights = {name: getattr(self.config, f"{name}_weight") for name in losses}
        return self._output(encoder_outputs, decoded, logits, losses, weights)

    def _losses(self, encoder_outputs, predicted, logits, labels) -> dict[str, torch.Tensor]:
        config, targets = self.config, self._targets(labels)
        codebook = self.decoder.embed_tokens.weight
        losses = {}
        if config.text_weight:
            losses["text"] = text_loss(logits, targets, config.label_smoothing)
        if config.word_weight:
            losses["word"] = word_match_loss(predicted, codebook, targets)
        if config.ngram_weight:
            losses["ngram"] = ngram_loss(logits[:, 1:], targets[:, 1:], config.ngram_order)
        if config.contrast_weight:
            if encoder_outputs.latents is None:
                raise ValueError(
                    "`encoder_outputs` must have latents for the loss `contrast`. Use model.encode(), or set "
                    "config.contrast_weight=0."
                )
            pose = self.contrast_projection(masked_mean(encoder_outputs.latents, encoder_outputs.feature_mask))
            text = masked_mean(codebook[targets.clamp_min(0)], targets != IGNORE)
            losses["contrast"] = contrastive_loss(pose, text, config.contrast_temperature)
        return losses


class SignXForVideo2Pose(SignXPreTrainedModel):
    """Stage 2: the video encoder learns the latents of the frozen pose path (SignX-4, section 3.1)."""

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        if config.vision_config is None:
            raise ValueError("SignXForVideo2Pose needs a vision backbone, but config.vision_config is None.")
        self.model = SignXModel(config)
        self.post_init()

    def freeze_pose_path(self) -> None:
        """Freeze the pose path in evaluation mode, so that the targets of the video encoder do not change."""
        for part in (self.model.pose_encoder, self.model.latent_encoder):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SignXForVideo2Pose":
        """Set the training mode; a frozen pose path stays in evaluation mode."""
        super().train(mode)
        for part in (self.model.pose_encoder, self.model.latent_encoder):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        target_latents: torch.Tensor | None = None,
        first_position: torch.Tensor | None = None,
        loss_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> SignXVideo2PoseOutput:
        """Compute the latents of a video and, given poses or `target_latents`, the losses.

        `latent` is the mean squared error to the latents of the poses. `pose` (weight `pose_weight`) is
        `sum_i ||P_hat_i - P_i||^2` over the observed tracks, mean over frames and dimensions (SignX-1).

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]` of the same frames.
            pose_mask: `[B, T, N]`, true where a track was observed.
            target_latents: `[B, T, C]`, by default the latents of the poses.
            first_position: `[B]`, where the first frame is in a longer clip; 0 by default.
            loss_mask: `[B, T]`, true where a real frame counts in the losses; all by default.
            **kwargs: keywords that transformers passes to any model.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no video, or inputs have another shape.
        """
        self._check_keywords("forward", kwargs)
        if pixel_values_videos is None:
            raise ValueError("Stage 2 maps video to latents. Pass pixel_values_videos.")
        output = self.model(
            pixel_values_videos,
            frame_mask,
            first_position=first_position,
            return_dict=True,
            **self._recording_flags(kwargs),
        )
        mask = output.frame_mask
        if target_latents is None and pose_values is not None:
            with torch.no_grad():
                poses = self.model.get_pose_latents(pose_values, pose_mask, mask, first_position)
                target_latents = poses.last_hidden_state
        if loss_mask is not None:
            mask = mask & loss_mask.bool()
        losses = {}
        if target_latents is not None:
            if target_latents.shape != output.last_hidden_state.shape:
                raise ValueError(
                    "`target_latents` must have the shape of the latents of the video, "
                    f"{list(output.last_hidden_state.shape)}, got {list(target_latents.shape)}."
                )
            losses["latent"] = nn.functional.mse_loss(output.last_hidden_state[mask], target_latents[mask])
        if pose_values is not None and self.config.pose_weight:
            observed = self._observed(pose_values, pose_mask) & mask[..., None]
            # Masked before the square, so that unobserved values, perhaps NaN, have no gradient.
            error = torch.where(observed, output.fused_pose - pose_values, 0.0)
            losses["pose"] = error.square().sum() / observed.sum().clamp_min(1)
        return SignXVideo2PoseOutput(
            loss=weigh(losses, {"latent": 1.0, "pose": self.config.pose_weight}),
            losses=losses or None,
            latents=output.last_hidden_state,
            target_latents=target_latents,
            predicted_pose=output.fused_pose,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def _observed(self, pose_values: torch.Tensor, pose_mask: torch.Tensor | None) -> torch.Tensor:
        """Expand the mask of tracks `[B, T, N]` to their values `[B, T, D]`."""
        if pose_mask is None:
            return torch.ones_like(pose_values, dtype=torch.bool)
        sizes = torch.tensor(self.config.pose_config.track_sizes, device=pose_mask.device)
        return pose_mask.bool().repeat_interleave(sizes, dim=-1)


class SignXRecognitionModel(SignXPreTrainedModel):
    """Base of stages 3 and 4: any input to features and CTC logits."""

    def _add_recognizer(self, config: SignXConfig) -> None:
        self.model = SignXModel(config)
        self.recognizer = SignXRecognizer(config)

    def freeze_latent_path(self) -> None:
        """Freeze the encoders of the latents, so that only the recognizer and what follows it are trained (stage 3).

        They stay in evaluation mode: without dropout and moving batch statistics the latents do not change.
        """
        self.model.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SignXRecognitionModel":
        """Set the training mode; frozen encoders stay in evaluation mode."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            self.model.eval()
        return self

    def resize_ctc_vocabulary(self, size: int) -> None:
        """Resize the CTC heads to `size` glosses, blank included.

        Rows of ids that remain keep their weights; new ones are initialized randomly. Resets
        `text_config.gloss_pieces`, which spelled the old vocabulary.

        Raises:
            ValueError: If the size leaves no room for a gloss or for the blank.
        """
        if size < 2 or size <= self.config.ctc_blank_id:
            raise ValueError(f"`size` must be at least 2 and above the blank {self.config.ctc_blank_id}, got {size}.")
        for module in (self, self.recognizer):
            for name in ("classifier", "aux_classifier", "ctc_head"):
                old = getattr(module, name, None)
                if isinstance(old, nn.Linear):
                    new = nn.Linear(old.in_features, size, device=old.weight.device, dtype=old.weight.dtype)
                    self._init_weights(new)
                    common = min(size, old.out_features)
                    with torch.no_grad():
                        new.weight[:common] = old.weight[:common]
                        new.bias[:common] = old.bias[:common]
                    setattr(module, name, new)
        self.config.ctc_vocab_size = size
        self.config.text_config.gloss_pieces = None

    def _branches(self, pixel_values_videos, frame_mask, pose_values, pose_mask, latents, flags=None):
        """Return the output of `model`, latent and RGB branch `[B, T, 512]`, and lengths `[B]` in frames."""
        output = self.model(
            pixel_values_videos, frame_mask, pose_values, pose_mask, latents, return_dict=True, **(flags or {})
        )
        recognizer, mask = self.recognizer, output.frame_mask
        latent_branch = recognizer.compile(output.last_hidden_state, mask)
        frame_branch = None
        if recognizer.frame_encoder is not None and pixel_values_videos is not None:
            if pixel_values_videos.shape[:2] != mask.shape:
                raise ValueError(
                    f"`pixel_values_videos` must have the clips and frames of the latents, {list(mask.shape)}, got "
                    f"{list(pixel_values_videos.shape[:2])}."
                )
            frame_branch = recognizer.encode_frames(pixel_values_videos.to(self.dtype), mask)
        return output, latent_branch, frame_branch, mask_lengths(mask)

    def _from_features(self, features: torch.Tensor, feature_mask: torch.Tensor | None) -> SignXCTCOutput:
        size = self.config.recognizer_config.feature_size
        if features.ndim != 3 or features.shape[-1] != size:
            raise ValueError(f"`features` must have shape [B, T', {size}], got {list(features.shape)}.")
        mask = self._frame_mask(features, feature_mask, "feature_mask")
        features = torch.where(mask[..., None], features, 0.0).to(self.dtype)
        return SignXCTCOutput(logits=self.recognizer.classifier(features), features=features, feature_mask=mask)

    def get_features(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
    ) -> SignXCTCOutput:
        """Compute features `[B, T', 1024]` and CTC logits `[B, T', V]`.

        Latents come from the first of `latents`, poses and video that is not None. Video also feeds the RGB branch, if
        the model has one.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`.

        Raises:
            ValueError: If there is no input, or it has another shape.
        """
        output, latent_branch, frame_branch, lengths = self._branches(
            pixel_values_videos, frame_mask, pose_values, pose_mask, latents
        )
        mixed = self.recognizer.mix(latent_branch, frame_branch)
        features, mask, logits, aux_logits = self.recognizer.encode_sequence(mixed, lengths)
        return SignXCTCOutput(
            logits=logits, aux_logits=aux_logits, features=features, feature_mask=mask,
            latents=output.last_hidden_state,
        )  # fmt: skip

    def encode_frames(
        self, pixel_values_videos: torch.Tensor, frame_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode each frame separately, so that overlapping windows of a video share the work.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.

        Returns:
            Frame features `[B, T, C]` of the video encoder, and those of the RGB branch, `[B, T, 512]` or None.

        Raises:
            ValueError: If the model has no vision backbone, or a clip has no true frame.
        """
        encoder = self.model.video_encoder
        if encoder is None:
            raise ValueError("This model has no video encoder (vision_config is None). Pass poses.")
        mask = self._frame_mask(pixel_values_videos, frame_mask, "frame_mask")
        frames = pixel_values_videos.to(self.dtype)
        branch = None if self.recognizer.frame_encoder is None else self.recognizer.encode_frames(frames, mask)
        return encoder.encode_frames(frames, mask), branch

    def get_window_features(
        self,
        frame_features: torch.Tensor,
        branch_features: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
    ) -> SignXCTCOutput:
        """Compute features and CTC logits of a window of a video, as `get_features` does for a clip.

        Args:
            frame_features: `[B, T, C]` of `encode_frames`.
            branch_features: `[B, T, 512]` of `encode_frames`, or None.
            frame_mask: `[B, T]`, false in padding.
        """
        mask = (
            frame_features.new_ones(frame_features.shape[:2], dtype=torch.bool) if frame_mask is None else frame_mask
        )
        fused = self.model.video_encoder.encode_sequence(frame_features, mask)
        latents = self.model.latent_encoder(fused, mask)
        mixed = self.recognizer.mix(self.recognizer.compile(latents, mask), branch_features)
        features, steps, logits, aux_logits = self.recognizer.encode_sequence(mixed, mask_lengths(mask))
        return SignXCTCOutput(
            logits=logits, aux_logits=aux_logits, features=features, feature_mask=steps, latents=latents
        )

    def check_labels(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Check gloss labels against the steps of their clips; see `SignXPreTrainedModel.check_labels`."""
        super().check_labels(batch)
        if batch.get("ctc_labels") is None:
            return
        steps, options = self._feature_steps(batch), self.config.recognizer_config
        check_ctc_labels(
            batch["ctc_labels"], steps, self.config.ctc_vocab_size, self.config.ctc_blank_id, options.zero_infinity
        )

    def _feature_steps(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Count the feature steps `[B]` that `forward` will compute for the clips of a batch."""
        if "features" in batch:
            features, mask = batch["features"], batch.get("feature_mask")
            return torch.full(features.shape[:1], features.shape[1]) if mask is None else mask.sum(1)
        mask = batch.get("frame_mask")
        if mask is None and "pose_mask" in batch:
            mask = batch["pose_mask"].bool().any(-1)
        if mask is None:
            values = next(batch[name] for name in ("latents", "pose_values", "pixel_values_videos") if name in batch)
            mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return self.recognizer.feature_lengths(mask_lengths(mask))

    def _ctc_loss(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return ctc_loss(logits, labels, mask, self.config.ctc_blank_id, self.config.recognizer_config.zero_infinity)

    def _recognizer_losses(
        self, output: SignXCTCOutput, ctc_labels: torch.Tensor, gloss_alignment: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the sequence CTC and, if TemporalConv ran, auxiliary CTC and alignment; skip losses of weight 0."""
        options, losses = self.config.recognizer_config, {}
        if options.ctc_weight:
            losses["ctc"] = self._ctc_loss(output.logits, ctc_labels, output.feature_mask)
        if options.aux_ctc_weight and output.aux_logits is not None:
            losses["aux_ctc"] = self._ctc_loss(output.aux_logits, ctc_labels, output.feature_mask)
        if options.alignment_weight and gloss_alignment is not None and output.aux_logits is not None:
            losses["alignment"] = alignment_loss(output.aux_logits, gloss_alignment)
        return losses


class SignXForLatentCTC(SignXRecognitionModel):
    """Stage 3: the latent recognizer with CTC and distillation from the RGB branch (SignX-4, section 3.2)."""

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self._add_recognizer(config)
        self.post_init()

    def encode(self, **inputs) -> SignXEncoderOutput:
        """Return features and CTC logits as `SignXForGlossRecognition.encode` does, so that pipelines take either."""
        output = self(**{**inputs, "return_dict": True})
        return SignXEncoderOutput(
            output.features, output.feature_mask, output.logits, features=output.features, latents=output.latents,
            hidden_states=output.hidden_states, attentions=output.attentions, aux_logits=output.aux_logits,
        )  # fmt: skip

    def prune_latent_dimensions(
        self, latents: torch.Tensor, mask: torch.Tensor, threshold: float | None = None
    ) -> int:
        """Prune latent dimensions of low variance, for good: they are pruned in the checkpoint, too.

        Args:
            latents: raw latents `[B, T, 2048]`.
            mask: `[B, T]`, true for the frames over which the variance is computed.
            threshold: lowest variance of a dimension that remains; by default `variance_threshold` of the config.

        Returns:
            The number of dimensions that remain.

        Raises:
            ValueError: If no dimension would remain.
        """
        if threshold is None:
            threshold = self.config.recognizer_config.variance_threshold
        selected = dimensions_to_keep(latents, mask.bool(), threshold)
        compiler = self.recognizer.compiler
        compiler.keep.mul_(selected.to(compiler.keep))
        return int(compiler.keep.sum())

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
        ctc_labels: torch.Tensor | None = None,
        gloss_alignment: torch.Tensor | None = None,
        teacher_logits: torch.Tensor | None = None,
        **kwargs,
    ) -> SignXCTCOutput:
        """Compute CTC logits `[B, T', V]` and, given `ctc_labels`, the losses.

        `ctc` and `aux_ctc` are computed on the mixed path. Given video, a model with an RGB branch adds the CTC of
        either branch alone, `student_ctc` (latents) and `teacher_ctc` (RGB), and the distillation `kd = KL(student ||
        teacher)`, whose teacher has neither dropout nor a gradient. Without video, `teacher_logits` make the mixed
        path the student. `alignment` needs `gloss_alignment`. A loss whose weight in the config is 0 is not computed.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`, used instead of poses and video.
            features: `[B, T', 1024]`, used instead of all inputs above.
            feature_mask: `[B, T']`, true for the real steps of `features`.
            ctc_labels: `[B, U]` gloss ids, -100 where padded.
            gloss_alignment: `[B, T']` gloss ids, -100 where unknown.
            teacher_logits: `[B, T', V]`.
            **kwargs: keywords that transformers passes to any model.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, inputs or labels have another shape, or no CTC path can spell the labels.
        """
        self._check_keywords("forward", kwargs)
        inputs = {"pixel_values_videos": pixel_values_videos, "pose_values": pose_values, "latents": latents}
        self._note_input({**inputs, "features": features})
        if features is not None:
            output = self._from_features(features, feature_mask)
            latent_branch = frame_branch = None
        else:
            encoded, latent_branch, frame_branch, lengths = self._branches(
                pixel_values_videos, frame_mask, pose_values, pose_mask, latents, self._recording_flags(kwargs)
            )
            mixed = self.recognizer.mix(latent_branch, frame_branch)
            features, mask, logits, aux_logits = self.recognizer.encode_sequence(mixed, lengths)
            output = SignXCTCOutput(
                logits=logits, aux_logits=aux_logits, features=features, feature_mask=mask,
                latents=encoded.last_hidden_state, hidden_states=encoded.hidden_states, attentions=encoded.attentions,
            )  # fmt: skip
        if ctc_labels is None:
            return output
        options = self.config.recognizer_config
        losses = self._recognizer_losses(output, ctc_labels, gloss_alignment)
        student = output.logits
        if frame_branch is not None:
            student, own = self._branch_losses(latent_branch, frame_branch, lengths, ctc_labels)
            losses |= own
            if options.kd_weight and teacher_logits is None:
                teacher_logits = self.recognizer.teach(frame_branch, lengths)
        if options.kd_weight and teacher_logits is not None:
            losses["kd"] = distillation_loss(student, teacher_logits, output.feature_mask, options.kd_temperature)
        output.losses = losses or None
        output.loss = weigh(losses, {name: options.loss_weight(name) for name in losses})
        return output

    def _branch_losses(
        self, latent_branch: torch.Tensor, frame_branch: torch.Tensor, lengths: torch.Tensor, ctc_labels: torch.Tensor
    ) -> tuple[torch.Tensor | None, dict[str, torch.Tensor]]:
        """Return the logits of the latents alone, None if nothing needs them, and the CTC of either branch alone."""
        options = self.config.recognizer_config
        logits: dict[str, torch.Tensor] = {}
        losses: dict[str, torch.Tensor] = {}
        for name, branch in (("student_ctc", latent_branch), ("teacher_ctc", frame_branch)):
            weight = options.loss_weight(name)
            if weight or (name == "student_ctc" and options.kd_weight):
                _, mask, logits[name], _ = self.recognizer.encode_sequence(branch, lengths)
            if weight:
                losses[name] = self._ctc_loss(logits[name], ctc_labels, mask)
        return logits.get("student_ctc"), losses


class SignXForGlossRecognition(SignXRecognitionModel, SignXSeq2SeqModel):
    """Stage 4, the model that users load: any input to glosses or text by CTC and decoder (SignX-4, section 3.2)."""

    _input_names = (*SignXSeq2SeqModel._input_names, "features", "feature_mask")
    _encoder_parts = ("model", "recognizer", "feature_projection", "encoder")
    _encoded_names = ("last_hidden_state", "feature_mask", "ctc_logits", "features")

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self._add_recognizer(config)
        text = config.text_config
        self.feature_projection = nn.Linear(config.recognizer_config.feature_size, text.hidden_size)
        self.encoder = SignXTextEncoder(text)
        self.ctc_head = nn.Linear(text.hidden_size, config.ctc_vocab_size)
        self._add_decoder(config)
        self.post_init()

    def encode(
        self, features: torch.Tensor | None = None, feature_mask: torch.Tensor | None = None, **inputs
    ) -> SignXEncoderOutput:
        """Compute encoder states `[B, T', 256]`, CTC logits and features from cached `features` or any other input."""
        self._check_keywords("encode", inputs, self._input_names)
        output = self._encode_recognizer(features, feature_mask, inputs)
        return self._encode_text(output, inputs)

    def _encode_recognizer(self, features, feature_mask, inputs) -> SignXCTCOutput:
        self._note_input({**inputs, "features": features})
        if features is not None:
            return self._from_features(features, feature_mask)
        return self.get_features(**{k: inputs[k] for k in SignXSeq2SeqModel._input_names if k in inputs})

    def _encode_text(self, output: SignXCTCOutput, kwargs) -> SignXEncoderOutput:
        flags = self._recording_flags(kwargs)
        encoded = self.encoder(self.feature_projection(output.features), output.feature_mask, **flags)
        encoded.ctc_logits, encoded.features, encoded.latents = output.logits, output.features, output.latents
        encoded.aux_logits = output.aux_logits
        return encoded

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        feature_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        ctc_labels: torch.Tensor | None = None,
        gloss_alignment: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: SignXEncoderOutput | None = None,
        cache: EncoderDecoderCache | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> SignXSeq2SeqOutput:
        """Compute piece logits `[B, L, V]`, CTC logits `[B, T', V_ctc]` and, given labels, the losses.

        `text` needs `labels`. `encoder_ctc`, the CTC regularization of the encoder, needs `ctc_labels`. If the
        recognizer runs, it adds `ctc`, `aux_ctc` and `alignment`. A loss whose weight in the config is 0 is not
        computed.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`, used instead of poses and video.
            features: `[B, T', 1024]`, used instead of all inputs above; the recognizer then does not run.
            feature_mask: `[B, T']`, true for the real steps of `features`.
            labels: `[B, L]` piece ids, the task prompt first, -100 where padded.
            ctc_labels: `[B, U]` gloss ids, -100 where padded.
            gloss_alignment: `[B, T']` gloss ids, -100 where unknown.
            decoder_input_ids: `[B, L]` piece ids, by default from the labels, or the prompt for glosses.
            encoder_outputs: output of `encode()`, or of `get_encoder()`, used instead of all inputs; also as a tuple,
                or a `BaseModelOutput` with `feature_mask`.
            cache: keys and values of earlier decoding steps.
            past_key_values: older name of `cache`, deprecated in transformers 5.24.
            use_cache: whether to return the cache.
            **kwargs: keywords that transformers passes to any model, such as `output_attentions`, or
                `decoder_attention_mask` `[B, L]`, false at pieces to which no other attends.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, inputs or labels have another shape, or an id is outside the vocabulary.
        """
        self._check_keywords("forward", kwargs, self._decoder_keywords)
        self._check_training_labels(labels, others=ctc_labels is not None or decoder_input_ids is None)
        losses = {}
        if encoder_outputs is not None:
            encoder_outputs = self._encoder_output(encoder_outputs, feature_mask)
        else:
            inputs = {
                "pixel_values_videos": pixel_values_videos,
                "frame_mask": frame_mask,
                "pose_values": pose_values,
                "pose_mask": pose_mask,
                "latents": latents,
            }
            recognized = self._encode_recognizer(features, feature_mask, inputs)
            encoder_outputs = self._encode_text(recognized, kwargs)
            if ctc_labels is not None and features is None:
                losses.update(self._recognizer_losses(recognized, ctc_labels, gloss_alignment))
        if ctc_labels is not None and self.config.decoder_ctc_weight:
            logits = self.ctc_head(encoder_outputs.last_hidden_state)
            losses["encoder_ctc"] = self._ctc_loss(logits, ctc_labels, encoder_outputs.feature_mask)
        decoded, _, logits = self._decode(
            encoder_outputs, labels, decoder_input_ids, self._cache(cache, past_key_values), use_cache, kwargs
        )
        if labels is not None and self.config.text_weight:
            losses["text"] = text_loss(logits, self._targets(labels), self.config.label_smoothing)
        options = self.config.recognizer_config
        weights = {
            "text": self.config.text_weight,
            "encoder_ctc": self.config.decoder_ctc_weight,
            "ctc": options.ctc_weight,
            "aux_ctc": options.aux_ctc_weight,
            "alignment": options.alignment_weight,
        }
        return self._output(encoder_outputs, decoded, logits, losses, weights)
