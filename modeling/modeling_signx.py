"""The models of the SignX-4 family (arXiv 2504.16315 v4, section 3), one class per stage, and `SignXForGlossRecognition`.

```
latents --recogniser (compile, mixer, TemporalConv, BiLSTM)--> features [B,T',1024], CTC over whole glosses
features --encoder--> decoder over BPE pieces --generate()--> pieces
```

Legend: B batch, T frames, T' feature steps, D pose width, L target length, U glosses, V vocabulary.
"""

import torch
from torch import nn
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils import can_return_tuple

from .configuration_signx import SignXConfig
from .encoders_signx import SignXModel, SignXPreTrainedModel, SignXTextDecoder, SignXTextEncoder
from .generation_signx import SignXGenerationMixin
from .layers_signx import mask_lengths
from .losses_signx import (
    IGNORE,
    alignment_loss,
    contrastive_loss,
    ctc_loss,
    dimensions_to_keep,
    distillation_loss,
    masked_mean,
    ngram_loss,
    text_loss,
    word_match_loss,
)
from .outputs_signx import (
    CACHE_NAME,
    SignXCTCOutput,
    SignXEncoderOutput,
    SignXSeq2SeqOutput,
    SignXVideo2PoseOutput,
)
from .recognizer_signx import SignXRecognizer


def shift_right(labels: torch.Tensor, start_id: int, pad_id: int) -> torch.Tensor:
    """Decoder inputs `[B, L]` for labels `[B, L]`: the start token, then all labels but the last."""
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = start_id
    return shifted.masked_fill(shifted == IGNORE, pad_id)


class SignXSeq2SeqModel(SignXPreTrainedModel, SignXGenerationMixin):
    """What the two models with a text decoder share: the decoder over its codebook of pieces, prompts, losses, outputs.

    The codebook (choice: the paper names but does not define it) is the table of piece embeddings. The decoder predicts an
    embedding and scores it against every entry, so `L_word` compares like with like.
    """

    _tied_weights_keys = {"lm_head.weight": "decoder.embed_tokens.weight"}
    _input_names = ("pixel_values_videos", "frame_mask", "pose_values", "pose_mask", "latents")

    def _add_decoder(self, config: SignXConfig) -> None:
        text = config.text_config
        self.decoder = SignXTextDecoder(text)
        self.codebook_projection = nn.Linear(text.hidden_size, text.hidden_size)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.generation_config = self._default_generation_config()

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.decoder.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        text = self.config.text_config
        return shift_right(labels, text.decoder_start_token_id, text.pad_token_id)

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels without the task prompt, which is fed to the decoder but not asked of it."""
        targets = labels.clone()
        targets[:, 0] = IGNORE
        return targets

    def _check_labels(self, labels: torch.Tensor, rows: int) -> None:
        """Refuses labels that would end in an index error, in the targets of another clip or in a loss of NaN."""
        text = self.config.text_config
        if labels.ndim != 2 or labels.shape[0] != rows or not labels.shape[1] or labels.is_floating_point():
            raise ValueError(
                f"labels is {list(labels.shape)} of {labels.dtype}: wanted [{rows}, L] integers, one row per clip, as "
                "tokenizer.build_targets() gives"
            )
        if torch.compiler.is_compiling():
            return
        wrong = (labels != IGNORE) & ((labels < 0) | (labels >= text.vocab_size))
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"labels[{row}, {column}] is {int(labels[row, column])}: wanted a piece id from 0 to {text.vocab_size - 1}, or "
                f"{IGNORE} for padding; do tokenizer and model belong together?"
            )
        prompts = (labels[:, 0] == text.gloss_token_id) | (labels[:, 0] == text.text_token_id)
        if not prompts.all():
            row = int((~prompts).nonzero()[0])
            raise ValueError(
                f"labels[{row}] starts with {int(labels[row, 0])}: wanted the task prompt {text.gloss_token_id} (gloss) or "
                f"{text.text_token_id} (text) first, as tokenizer.build_targets() gives"
            )
        empty = (labels[:, 1:] == IGNORE).all(1)
        if empty.any():
            raise ValueError(
                f"labels[{int(empty.nonzero()[0])}] holds only the task prompt: wanted at least the end token after it, as "
                "tokenizer.build_targets() gives"
            )

    def _decode(self, encoder_outputs, labels, decoder_input_ids, cache, use_cache, kwargs):
        """Decoder output, predicted embeddings `[B, L, C]` and logits `[B, L, V]`."""
        if labels is not None:
            self._check_labels(labels, encoder_outputs.last_hidden_state.shape[0])
        if decoder_input_ids is None:
            if labels is not None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            else:  # the prompt: what would the first piece be?
                text = self.config.text_config
                rows = encoder_outputs.last_hidden_state.shape[0]
                prompt = torch.tensor([[text.decoder_start_token_id, text.gloss_token_id]], device=self.device)
                decoder_input_ids = prompt.expand(rows, -1)
        wanted = {name: kwargs[name] for name in ("output_attentions", "output_hidden_states") if kwargs.get(name)}
        decoded = self.decoder(
            decoder_input_ids,
            encoder_outputs.last_hidden_state,
            encoder_outputs.feature_mask,
            cache=cache,
            use_cache=use_cache,
            **wanted,
        )
        predicted = self.codebook_projection(decoded.last_hidden_state)
        return decoded, predicted, self.lm_head(predicted)

    @staticmethod
    def _output(encoder_outputs, decoded, logits, losses: dict, weights: dict) -> SignXSeq2SeqOutput:
        return SignXSeq2SeqOutput(
            loss=weigh(losses, weights),
            losses=losses or None,
            logits=logits,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
            ctc_logits=encoder_outputs.ctc_logits,
            features=encoder_outputs.features,
            feature_mask=encoder_outputs.feature_mask,
            **{CACHE_NAME: decoded.cache},
        )


def weigh(losses: dict[str, torch.Tensor], weights: dict[str, float]) -> torch.Tensor | None:
    """The weighted sum of the parts of a loss; None where there is no part."""
    return sum(weights[name] * value for name, value in losses.items()) if losses else None


class SignXForPose2Gloss(SignXSeq2SeqModel):
    """Stage 1: poses to latents to pieces by the codebook decoder (SignX-4, section 3.1; losses of SignX-1 without noise)."""

    main_input_name = "pose_values"

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self.model = SignXModel(config)
        size = config.text_config.hidden_size
        self.latent_projection = nn.Linear(config.latent_size, size)
        self.contrast_projection = nn.Linear(config.latent_size, size)
        self._add_decoder(config)
        self.post_init()

    def encode(self, **inputs) -> SignXEncoderOutput:
        """Latents projected to the decoder's width: `[B, T, C]` with `feature_mask` `[B, T]`."""
        output = self.model(**{name: inputs[name] for name in self._input_names if name in inputs})
        hidden_states = self.latent_projection(output.last_hidden_state)
        return SignXEncoderOutput(hidden_states, output.frame_mask, latents=output.last_hidden_state)

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
        """Piece logits `[B, L, V]`; with `labels` (`[B, L]`, task prompt first, -100 where padded) the stage-1 losses.

        The losses are `text`, `word`, `ngram` and `contrast`; one whose weight in the config is 0 is not computed.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encode(
                pixel_values_videos=pixel_values_videos,
                frame_mask=frame_mask,
                pose_values=pose_values,
                pose_mask=pose_mask,
                latents=latents,
            )
        decoded, predicted, logits = self._decode(
            encoder_outputs, labels, decoder_input_ids, past_key_values if cache is None else cache, use_cache, kwargs
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
            pose = self.contrast_projection(masked_mean(encoder_outputs.latents, encoder_outputs.feature_mask))
            text = masked_mean(codebook[targets.clamp_min(0)], targets != IGNORE)
            losses["contrast"] = contrastive_loss(pose, text, config.contrast_temperature)
        return losses


class SignXForVideo2Pose(SignXPreTrainedModel):
    """Stage 2: the video entry learns to reach the latents of the frozen pose entry (SignX-4, section 3.1)."""

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        if config.vision_config is None:
            raise ValueError("SignXForVideo2Pose needs a vision backbone: config.vision_config is None")
        self.model = SignXModel(config)
        self.post_init()

    def freeze_pose_path(self) -> None:
        """Leaves only the video entry to train; the pose path also stays in evaluation mode, so its targets stand still."""
        for part in (self.model.pose_encoder, self.model.latent_encoder):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SignXForVideo2Pose":
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
        **kwargs,
    ) -> SignXVideo2PoseOutput:
        """Latents of the video; with poses or `target_latents` `[B, T, 2048]` the loss.

        `latent`: mean squared error to the latents of the poses. `pose` (weight `pose_weight`): `sum_i ||P_hat_i - P_i||^2`
        over the observed tracks, mean over frames and dimensions (SignX-1).
        """
        if pixel_values_videos is None:
            raise ValueError("stage 2 maps video to latents: found no pixel_values_videos")
        output = self.model.get_video_latents(pixel_values_videos, frame_mask)
        mask = output.frame_mask
        if target_latents is None and pose_values is not None:
            with torch.no_grad():
                target_latents = self.model.get_pose_latents(pose_values, pose_mask, mask).last_hidden_state
        losses = {}
        if target_latents is not None:
            if target_latents.shape != output.last_hidden_state.shape:
                raise ValueError(
                    f"target latents are {list(target_latents.shape)} but the video gives "
                    f"{list(output.last_hidden_state.shape)}: wanted the same frames in both"
                )
            losses["latent"] = nn.functional.mse_loss(output.last_hidden_state[mask], target_latents[mask])
        if pose_values is not None and self.config.pose_weight:
            observed = self._observed(pose_values, pose_mask) & mask[..., None]
            # Masked before the square: what lies in an unobserved place, NaN perhaps, has no gradient either.
            error = torch.where(observed, output.fused_pose - pose_values, 0.0)
            losses["pose"] = error.square().sum() / observed.sum().clamp_min(1)
        return SignXVideo2PoseOutput(
            loss=weigh(losses, {"latent": 1.0, "pose": self.config.pose_weight}),
            losses=losses or None,
            latents=output.last_hidden_state,
            target_latents=target_latents,
            predicted_pose=output.fused_pose,
        )

    def _observed(self, pose_values: torch.Tensor, pose_mask: torch.Tensor | None) -> torch.Tensor:
        """The mask of tracks `[B, T, N]` spread over their numbers `[B, T, D]`."""
        if pose_mask is None:
            return torch.ones_like(pose_values, dtype=torch.bool)
        sizes = torch.tensor(self.config.pose_config.track_sizes, device=pose_mask.device)
        return pose_mask.bool().repeat_interleave(sizes, dim=-1)


class SignXRecognitionModel(SignXPreTrainedModel):
    """What stages 3 and 4 share: any input to features and CTC logits."""

    def _add_recognizer(self, config: SignXConfig) -> None:
        self.model = SignXModel(config)
        self.recognizer = SignXRecognizer(config)

    def freeze_latent_path(self) -> None:
        """Stage 3 trains on a frozen ViT latent: only the recogniser (and what follows) learns.

        The latent path also stays in evaluation mode: no dropout, no moving batch statistics, so its latents stand still.
        """
        self.model.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SignXRecognitionModel":
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            self.model.eval()
        return self

    def resize_ctc_vocabulary(self, size: int) -> None:
        """Gives the CTC heads `size` glosses (blank included); rows of ids that stay keep their weights, new ones are drawn
        as at the start. Resets `text_config.gloss_pieces`, which spelt the old vocabulary.

        Raises:
            ValueError: a size that leaves no gloss or loses the blank.
        """
        if size < 2 or size <= self.config.ctc_blank_id:
            raise ValueError(
                f"CTC vocabulary of {size}: wanted at least 2 and more than the blank {self.config.ctc_blank_id}"
            )
        for module in (self, self.recognizer):
            for name in ("classifier", "aux_classifier", "ctc_head"):
                old = getattr(module, name, None)
                if isinstance(old, nn.Linear):
                    new = nn.Linear(old.in_features, size, device=old.weight.device, dtype=old.weight.dtype)
                    self._init_weights(new)
                    kept = min(size, old.out_features)
                    with torch.no_grad():
                        new.weight[:kept] = old.weight[:kept]
                        new.bias[:kept] = old.bias[:kept]
                    setattr(module, name, new)
        self.config.ctc_vocab_size = size
        self.config.text_config.gloss_pieces = None

    def _branches(self, pixel_values_videos, frame_mask, pose_values, pose_mask, latents):
        """Latents `[B, T, 2048]`, latent branch and RGB branch `[B, T, 512]` (or None), lengths in frames `[B]`."""
        output = self.model(pixel_values_videos, frame_mask, pose_values, pose_mask, latents)
        recognizer, mask = self.recognizer, output.frame_mask
        latent_branch = recognizer.compile(output.last_hidden_state, mask)
        frame_branch = None
        if recognizer.frame_encoder is not None and pixel_values_videos is not None:
            if pixel_values_videos.shape[:2] != mask.shape:
                raise ValueError(
                    f"pixel_values_videos has {list(pixel_values_videos.shape[:2])} clips and frames but the latents have "
                    f"{list(mask.shape)}: wanted the same frames in both"
                )
            frame_branch = recognizer.encode_frames(pixel_values_videos.to(self.dtype), mask)
        return output.last_hidden_state, latent_branch, frame_branch, mask_lengths(mask)

    def _from_features(self, features: torch.Tensor, feature_mask: torch.Tensor | None) -> SignXCTCOutput:
        size = self.config.recognizer_config.feature_size
        if features.ndim != 3 or features.shape[-1] != size:
            raise ValueError(f"features is {list(features.shape)}: wanted [B, T', {size}]")
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
        """Features `[B, T', 1024]` and CTC logits of whatever is given; latents come from `latents`, else poses, else video,
        and video feeds the RGB branch beside them where the model has one."""
        latents, latent_branch, frame_branch, lengths = self._branches(
            pixel_values_videos, frame_mask, pose_values, pose_mask, latents
        )
        mixed = self.recognizer.mix(latent_branch, frame_branch)
        features, mask, logits, aux_logits = self.recognizer.encode_sequence(mixed, lengths)
        return SignXCTCOutput(
            logits=logits, aux_logits=aux_logits, features=features, feature_mask=mask, latents=latents
        )

    def encode_frames(
        self, pixel_values_videos: torch.Tensor, frame_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What does not depend on the other frames of a clip, so that overlapping windows of a video need it only once.

        Returns:
            Frame features `[B, T, C]` of the video entry, and of the RGB branch `[B, T, 512]` where the model has one.

        Raises:
            ValueError: a model without vision backbone, a clip without a true frame.
        """
        encoder = self.model.video_encoder
        if encoder is None:
            raise ValueError("this model has no video entry (vision_config is None): give poses")
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
        """As `get_features`, from what `encode_frames` gave for one stretch of a video, `[B, T, C]`; `frame_mask` `[B, T]` is false in
        padding."""
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

    def _ctc_loss(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return ctc_loss(logits, labels, mask, self.config.ctc_blank_id, self.config.recognizer_config.zero_infinity)

    def _recognizer_losses(
        self, output: SignXCTCOutput, ctc_labels: torch.Tensor, gloss_alignment: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Sequence CTC; auxiliary CTC and gloss alignment where TemporalConv ran; parts of weight 0 are left out."""
        options, losses = self.config.recognizer_config, {}
        if options.ctc_weight:
            losses["ctc"] = self._ctc_loss(output.logits, ctc_labels, output.feature_mask)
        if options.aux_ctc_weight and output.aux_logits is not None:
            losses["aux_ctc"] = self._ctc_loss(output.aux_logits, ctc_labels, output.feature_mask)
        if options.alignment_weight and gloss_alignment is not None and output.aux_logits is not None:
            losses["alignment"] = alignment_loss(output.aux_logits, gloss_alignment)
        return losses


class SignXForLatentCTC(SignXRecognitionModel):
    """Stage 3: the latent recogniser with CTC and distillation from the RGB branch (SignX-4, section 3.2)."""

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self._add_recognizer(config)
        self.post_init()

    def encode(self, **inputs) -> SignXEncoderOutput:
        """Features and CTC logits under the names that `SignXForGlossRecognition.encode` has, so pipelines take either."""
        output = self(**inputs)
        return SignXEncoderOutput(
            output.features, output.feature_mask, output.logits, features=output.features, latents=output.latents,
            aux_logits=output.aux_logits,
        )  # fmt: skip

    def prune_latent_dimensions(
        self, latents: torch.Tensor, mask: torch.Tensor, threshold: float | None = None
    ) -> int:
        """Every K epochs: prunes latent dimensions of variance under `threshold` (default `variance_threshold`).

        The variance is of the raw latents `[B, T, 2048]` over the true frames of `mask` `[B, T]`. Pruned dimensions stay
        pruned, in the checkpoint too. Returns how many are left.
        """
        if threshold is None:
            threshold = self.config.recognizer_config.variance_threshold
        keep = dimensions_to_keep(latents, mask.bool(), threshold)
        compiler = self.recognizer.compiler
        compiler.keep.mul_(keep.to(compiler.keep))
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
        """CTC logits `[B, T', V]`; with `ctc_labels` (`[B, U]`, -100 where padded) the losses.

        Losses: `ctc` and `aux_ctc` on the mixed path. Distillation, where video is given to a model with an RGB branch:
        the teacher is the RGB branch alone, the student the latent branch alone; `kd = KL(student || teacher)` and
        `student_ctc`. With `gloss_alignment` (`[B, T']` gloss ids, -100 where unknown) and a weight, `alignment`. Without
        video, `teacher_logits` `[B, T', V]` may be handed in and the mixed path is the student.
        """
        if features is not None:
            output = self._from_features(features, feature_mask)
            latent_branch = frame_branch = None
        else:
            latents, latent_branch, frame_branch, lengths = self._branches(
                pixel_values_videos, frame_mask, pose_values, pose_mask, latents
            )
            mixed = self.recognizer.mix(latent_branch, frame_branch)
            features, mask, logits, aux_logits = self.recognizer.encode_sequence(mixed, lengths)
            output = SignXCTCOutput(
                logits=logits, aux_logits=aux_logits, features=features, feature_mask=mask, latents=latents
            )
        if ctc_labels is None:
            return output
        options = self.config.recognizer_config
        losses = self._recognizer_losses(output, ctc_labels, gloss_alignment)
        if options.kd_weight and (teacher_logits is not None or frame_branch is not None):
            student = output.logits
            if frame_branch is not None:
                student = self.recognizer.encode_sequence(latent_branch, lengths)[2]
                if options.ctc_weight:
                    losses["student_ctc"] = self._ctc_loss(student, ctc_labels, output.feature_mask)
                if teacher_logits is None:
                    with torch.no_grad():
                        teacher_logits = self.recognizer.encode_sequence(frame_branch, lengths)[2]
            losses["kd"] = distillation_loss(student, teacher_logits, output.feature_mask, options.kd_temperature)
        weights = {
            "ctc": options.ctc_weight,
            "aux_ctc": options.aux_ctc_weight,
            "kd": options.kd_weight,
            "alignment": options.alignment_weight,
            "student_ctc": options.ctc_weight,
        }
        output.loss, output.losses = weigh(losses, weights), losses or None
        return output


class SignXForGlossRecognition(SignXRecognitionModel, SignXSeq2SeqModel):
    """Stage 4 and what users load: any input to glosses (or text) by CTC, by the decoder, or by both (SignX-4, section 3.2)."""

    _input_names = (*SignXSeq2SeqModel._input_names, "features", "feature_mask")

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self._add_recognizer(config)
        text = config.text_config
        self.feature_projection = nn.Linear(config.recognizer_config.feature_size, text.hidden_size)
        self.encoder = SignXTextEncoder(text)
        self.ctc_head = nn.Linear(text.hidden_size, config.ctc_vocab_size)
        self._add_decoder(config)
        self.post_init()

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        return self.encoder

    def encode(
        self, features: torch.Tensor | None = None, feature_mask: torch.Tensor | None = None, **inputs
    ) -> SignXEncoderOutput:
        """Encoder states `[B, T', 256]`, CTC logits and features, from cached `features` or any other input."""
        output = self._encode_recognizer(features, feature_mask, inputs)
        return self._encode_text(output, inputs)

    def _encode_recognizer(self, features, feature_mask, inputs) -> SignXCTCOutput:
        if features is not None:
            return self._from_features(features, feature_mask)
        return self.get_features(**{k: inputs[k] for k in SignXSeq2SeqModel._input_names if k in inputs})

    def _encode_text(self, output: SignXCTCOutput, kwargs) -> SignXEncoderOutput:
        wanted = {name: kwargs[name] for name in ("output_attentions", "output_hidden_states") if kwargs.get(name)}
        encoded = self.encoder(self.feature_projection(output.features), output.feature_mask, **wanted)
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
        """Piece logits `[B, L, V]` and CTC logits `[B, T', V_ctc]` for the most processed input given.

        Losses: `text` (with `labels` `[B, L]`, task prompt first, -100 where padded); `encoder_ctc`, the CTC regularisation,
        and the recogniser's `ctc`, `aux_ctc` and `alignment` where it ran (with `ctc_labels` `[B, U]`, `gloss_alignment`
        `[B, T']`). A part of weight 0 is left out.
        """
        losses = {}
        if encoder_outputs is None:
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
            encoder_outputs, labels, decoder_input_ids, past_key_values if cache is None else cache, use_cache, kwargs
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
