"""Models of isolated signs: one clip, one sign.

```
latents [B,T,C] --mean, or a learned weighted mean------------------------------------------> vector --> [B, signs]
                --TemporalConv, mean and maximum (pooling="convolution")--------------------> vector
                --convolutions, pooling, blocks of convolutions and attention (pooling="hybrid")--> vector
                --layers on each frame (pooling="frame")--> vectors --> [B,T,signs] --mean probability--> [B, signs]
```
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.utils import can_return_tuple

from .configuration_signx import SignXConfig
from .encoders_signx import SignXModel, SignXPreTrainedModel
from .hybrid_signx import SignXHybridEncoder, SignXResidualConv
from .labels_signx import check_sign_labels
from .layers_signx import length_mask, mask_lengths
from .losses_signx import masked_mean
from .outputs_signx import SignXClassificationOutput, SignXModelOutput
from .recognizer_signx import SignXTemporalConv

# Factor of the logits of the nearest mean, in units of the mean squared length of the vectors.
NEAREST_MEAN_SHARPNESS = 16.0


class SignXHybridPooling(SignXHybridEncoder):
    """Latents of a clip `[B, T, C]` to one vector `[B, 2 F]`: a learned weighted mean and the maximum of the features.

    Used with `pooling="hybrid"`.
    """

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self.score = nn.Linear(config.classifier_config.hidden_size, 1)

    def forward(self, latents: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool latents `[B, T, C]` over the true frames of `mask` `[B, T]` to `[B, 2 F]`."""
        hidden_states, lengths = super().forward(latents, mask_lengths(mask))
        mask = length_mask(lengths, hidden_states.shape[1])
        weights = self.score(hidden_states)[..., 0].float().masked_fill(~mask, float("-inf")).softmax(1)
        mean = torch.einsum("bt,btc->bc", weights.to(hidden_states.dtype), hidden_states)
        floor = torch.finfo(hidden_states.dtype).min
        return torch.cat([mean, hidden_states.masked_fill(~mask.unsqueeze(-1), floor).amax(1)], -1)


class SignXFrameLayers(nn.Module):
    """Latents `[B, T, C]` to one vector per frame, `[B, T, F]`, independent of other frames (`pooling="frame"`)."""

    def __init__(self, config: SignXConfig):
        super().__init__()
        options = config.classifier_config
        self.projection = nn.Linear(config.latent_size, options.hidden_size)
        self.layers = nn.ModuleList(
            SignXResidualConv(options.hidden_size, 1, options.drop_path_rate) for _ in range(options.stem_layers)
        )

    def forward(self, latents: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map latents `[B, T, C]` with mask `[B, T]` to one vector per frame, `[B, T, F]`."""
        hidden_states = self.projection(latents)
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask.unsqueeze(-1))
        return hidden_states


def mean_probability(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the log of the mean probability `[B, N]` over the frames in `mask` `[B, T]`, from logits `[B, T, N]`."""
    logs = logits.float().log_softmax(-1).masked_fill(~mask.unsqueeze(-1), float("-inf"))
    return logs.logsumexp(1) - mask.sum(1, keepdim=True).clamp_min(1).log()


class SignXCosineClassifier(nn.Module):
    """Logits from the angle between a vector and that of each sign: `[B, F]` to `[B, signs]`.

    The vector of a sign can be the mean over a few clips, so that signs are added without training (`signx_hf.teach`).
    """

    def __init__(self, size: int, signs: int, scale: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(signs, size))
        nn.init.normal_(self.weight)
        self.scale = scale

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the scaled cosine similarities `[B, signs]` to each sign for embeddings `[B, F]`."""
        return self.scale * nn.functional.linear(
            nn.functional.normalize(embedding, dim=-1), nn.functional.normalize(self.weight, dim=-1)
        )


class SignXForSignClassification(SignXPreTrainedModel):
    """Isolated signs: the latents of a clip in one vector (`config.pooling`) to one of `config.num_labels` signs."""

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        config.check_problem_type()
        self.model = SignXModel(config)
        size = config.latent_size
        self.pooling_score = nn.Linear(size, 1) if config.pooling == "attention" else None
        if config.pooling == "convolution":
            options, size = config.recognizer_config, 2 * config.recognizer_config.feature_size
            self.latent_projection = nn.Linear(config.latent_size, options.hidden_size)
            self.temporal_conv = SignXTemporalConv(options)
        if config.pooling == "hybrid":
            size = 2 * config.classifier_config.hidden_size
            self.hybrid_pooling = SignXHybridPooling(config)
        if config.pooling == "frame":
            size = config.classifier_config.hidden_size
            self.frame_layers = SignXFrameLayers(config)
        self.norm = nn.LayerNorm(size)
        has_body = config.pooling in ("hybrid", "frame")
        self.dropout = nn.Dropout(config.classifier_config.dropout if has_body else config.pose_config.dropout)
        if config.classifier_scale is None:
            self.classifier = nn.Linear(size, config.num_labels)
        else:
            self.classifier = SignXCosineClassifier(size, config.num_labels, config.classifier_scale)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> SignXClassificationOutput:
        """Compute logits `[B, num_labels]` and, given labels, the cross-entropy.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`, used instead of poses and video.
            labels: `[B]` sign ids.
            **kwargs: keywords that transformers passes to any model, such as `output_hidden_states`.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, inputs or labels have another shape, or the model does not have a sign.
        """
        self._check_keywords("forward", kwargs)
        inputs = (pixel_values_videos, frame_mask, pose_values, pose_mask, latents)
        self._note_input({"pixel_values_videos": pixel_values_videos, "pose_values": pose_values, "latents": latents})
        if self.config.pooling == "frame":
            output, latents, mask = self._single_frames(*inputs, self._recording_flags(kwargs))
            embeddings = self.norm(self.frame_layers(latents, mask))
            frame_logits = self.classifier(self.dropout(embeddings))
            embedding, logits = masked_mean(embeddings, mask), mean_probability(frame_logits, mask)
        else:
            output = self.model(*inputs, return_dict=True, **self._recording_flags(kwargs))
            latents, frame_logits = output.last_hidden_state, None
            embedding = self.norm(self._pool(latents, output.frame_mask))
            logits = self.classifier(self.dropout(embedding))
        loss = None
        if labels is not None:
            check_sign_labels(labels, len(logits), self.config.num_labels)
            smoothing = self.config.classifier_smoothing
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        return SignXClassificationOutput(
            loss=loss, logits=logits, embedding=embedding, latents=latents, frame_logits=frame_logits,
            hidden_states=output.hidden_states, attentions=output.attentions,
        )  # fmt: skip

    def check_labels(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Check sign labels; see `SignXPreTrainedModel.check_labels`."""
        if batch.get("labels") is not None:
            check_sign_labels(batch["labels"], len(batch["labels"]), self.config.num_labels)

    def encode_frames(self, pixel_values_videos: torch.Tensor, frame_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode each frame separately, so that the frames of a stream are encoded as they arrive.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.

        Returns:
            Frame features `[B, T, C]` of the video encoder, for `get_latents_of_frames`.

        Raises:
            ValueError: If the model has no vision backbone, or a clip has no true frame.
        """
        encoder = self.model.video_encoder
        if encoder is None:
            raise ValueError("This model has no video encoder (vision_config is None). Pass poses.")
        mask = self._frame_mask(pixel_values_videos, frame_mask, "frame_mask")
        return encoder.encode_frames(pixel_values_videos.to(self.dtype), mask)

    def get_latents_of_frames(
        self, frame_features: torch.Tensor, frame_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute latents `[B, T, 2048]` from `encode_frames`; `frame_mask` `[B, T]` is false in padding."""
        mask = (
            frame_features.new_ones(frame_features.shape[:2], dtype=torch.bool) if frame_mask is None else frame_mask
        )
        return self.model.latent_encoder(self.model.video_encoder.encode_sequence(frame_features, mask), mask)

    def set_signs(self, signs: list[str], vectors: torch.Tensor, scale: float | None = None) -> None:
        """Replace the classifier by one of other signs, each represented by the mean vector of some of its clips.

        Args:
            signs: glosses in the order of the new ids.
            vectors: `[signs, F]`, means of `embedding`.
            scale: factor of the cosines of a `SignXCosineClassifier`; None for a linear classifier, which starts as
                the nearest mean and can be trained.

        Raises:
            ValueError: If the numbers of signs and vectors differ, or there is no sign or a duplicate one.
        """
        if len(signs) != len(vectors) or not signs or len(set(signs)) < len(signs):
            raise ValueError(
                f"`signs` must be different glosses, one for each of {len(vectors)} vectors, got {signs!r:.100}."
            )
        size = vectors.shape[1]
        vectors = vectors.to(self.norm.weight)
        if scale is None:
            classifier = nn.Linear(size, len(signs))
            # The nearest mean: -|v - m|^2 is 2 v m - |m|^2 up to a term that all signs share. Scaled so that logits
            # differ by a few.
            sharpness = NEAREST_MEAN_SHARPNESS / vectors.square().sum(1).mean().clamp_min(1e-6)
            classifier.weight.data = sharpness * vectors
            classifier.bias.data = -sharpness * vectors.square().sum(1) / 2
        else:
            classifier = SignXCosineClassifier(size, len(signs), scale)
            classifier.weight.data = nn.functional.normalize(vectors, dim=-1)
        self.classifier = classifier.to(device=vectors.device, dtype=vectors.dtype)
        config = self.config
        config.classifier_scale = scale
        config.id2label = dict(enumerate(signs))  # sets num_labels
        config.label2id = {sign: index for index, sign in enumerate(signs)}
        config.rejection_threshold = config.spotting = None  # fitted to the old signs

    def _single_frames(
        self,
        pixel_values_videos: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        pose_values: torch.Tensor | None,
        pose_mask: torch.Tensor | None,
        latents: torch.Tensor | None,
        flags: dict[str, Any],
    ) -> tuple[SignXModelOutput, torch.Tensor, torch.Tensor]:
        """Encode each frame as a clip.

        Returns:
            The output for the single frames, latents `[B, T, C]`, and a mask `[B, T]` of frames that show anything.
        """
        values = pose_values if pose_values is not None else pixel_values_videos
        if latents is not None or values is None or values.ndim < 3:
            # Also raises the errors of missing or malformed inputs.
            output = self.model(
                pixel_values_videos, frame_mask, pose_values, pose_mask, latents, return_dict=True, **flags
            )
            return output, output.last_hidden_state, output.frame_mask
        clips, frames = values.shape[:2]

        def alone(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor.flatten(0, 1).unsqueeze(1)

        real = torch.ones(clips * frames, 1, dtype=torch.bool, device=values.device)
        pixels = None if pose_values is not None else alone(pixel_values_videos)
        output = self.model(pixels, real, alone(pose_values), alone(pose_mask), return_dict=True, **flags)
        mask = self._frame_mask(values, frame_mask, "frame_mask")
        shown = mask if pose_mask is None else mask & pose_mask.bool().any(-1)
        shown = torch.where(shown.any(1, keepdim=True), shown, mask)
        return output, output.last_hidden_state.view(clips, frames, -1), shown

    def _pool(self, latents: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool latents `[B, T, 2048]` to `[B, 2048]`, or to twice the feature size or hidden size."""
        if self.config.pooling == "mean":
            return masked_mean(latents, mask)
        if self.config.pooling == "hybrid":
            return self.hybrid_pooling(latents, mask)
        if self.config.pooling == "convolution":
            hidden_states = self.latent_projection(latents) * mask.unsqueeze(-1)
            features, lengths = self.temporal_conv(hidden_states, mask_lengths(mask))
            mean = masked_mean(features, length_mask(lengths, features.shape[1]))
            return torch.cat([mean, features.amax(1)], -1)  # after ReLU the zeros of padding are neutral
        scores = self.pooling_score(latents)[..., 0].float().masked_fill(~mask, float("-inf"))
        return torch.einsum("bt,btc->bc", scores.softmax(1).to(latents.dtype), latents)
