"""UniGloR (arXiv 2407.02854 v2): SignMAE learns segments of 15 frames without labels; a head for isolated signs.

```
x [B,15,V,C] -> graph units [B,15,V,F] -> mean by part, linear [B,15,512] + positions -> masked -> [GloR] first
  -> Transformer encoder -> z = output at [GloR] [B,512]
queries [15,512], memory z [B,1,512] -> decoder without causal mask -> linear -> x_hat [B,15,V,C]
clip [B,T,V,C] -> windows [B,N,15,V,C] -> z of each [B,N,512] -> Transformer encoder with [GloR] -> signs
```

Legend: B batch, T frames, N windows, V points, C coordinates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_uniglor import FIXED_WEIGHTS, UniGloRConfig
from .encoders_signx import SignXPreTrainedModel
from .graph_uniglor import UniGloRGraphConv, UniGloRGraphUnit, adjacency
from .labels_signx import check_sign_labels
from .layers_signx import SignXDecoderLayer, SignXEncoderLayer, mask_lengths, sinusoidal_positions
from .losses_uniglor import pose_weights, reconstruction_loss
from .windows_uniglor import draw_masked_frames, window_frames

# Windows that are encoded together without gradients: few enough that features stay in the cache of a processor.
WINDOWS_AT_ONCE = 16


@dataclass
class UniGloRSignMAEOutput(ModelOutput):
    """Output of `UniGloRSignMAE`.

    Args:
        loss: weighted squared error of the reconstruction.
        representations: `[B, 512]`, z of each segment.
        reconstruction: `[B, 15, V, C]`.
        pose_weights: `[B, V]`, weights of the points in the loss.
        floored: `[B]` bool, where `weight_floor` acted.
    """

    loss: torch.Tensor | None = None
    representations: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    pose_weights: torch.Tensor | None = None
    floored: torch.Tensor | None = None


@dataclass
class UniGloRClassificationOutput(ModelOutput):
    """Output of `UniGloRForSignClassification`.

    Args:
        loss: cross-entropy.
        logits: `[B, num_labels]`.
        embedding: `[B, 512]`, the input of the classes.
        representations: `[B, N, 512]`, z of each window.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    embedding: torch.Tensor | None = None
    representations: torch.Tensor | None = None


def _positions(states: torch.Tensor) -> torch.Tensor:
    places = torch.arange(states.shape[1], device=states.device)
    return sinusoidal_positions(places, states.shape[-1], states.dtype)


class UniGloREncoder(nn.Module):
    """Segments `[B, 15, V, C]` to representations `[B, 512]`."""

    def __init__(self, config: UniGloRConfig):
        super().__init__()
        self.config = config
        # A point that was not seen is told from one at the origin by a channel of its own.
        widths = [config.coordinates + 1, *config.graph_sizes]
        self.graph = nn.ModuleList(
            UniGloRGraphUnit(config.edges, config.num_keypoints, before, after, config.norm, config.refinement_size)
            for before, after in zip(widths, widths[1:])
        )
        self.pooling = nn.Linear(len(config.parts) * widths[-1], config.hidden_size)
        self.glor = nn.Parameter(torch.zeros(config.hidden_size))
        self.masked_frame = nn.Parameter(torch.zeros(config.hidden_size)) if config.mask_mode == "token" else None
        self.layers = nn.ModuleList(_layer(SignXEncoderLayer, config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def embed_frames(self, keypoints: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embed each frame, with its neighbors in time: `[B, 15, V, C]` with mask `[B, 15, V]` to `[B, 15, 512]`."""
        seen = mask.unsqueeze(-1)
        features = torch.cat([torch.where(seen, keypoints, 0.0), seen.to(keypoints.dtype)], -1)
        for unit in self.graph:
            features = unit(features)
        parts = [features[:, :, points].mean(2) for points in self.config.parts.values()]
        return self.pooling(torch.cat(parts, -1))

    def forward(
        self, keypoints: torch.Tensor, mask: torch.Tensor, masked_frames: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Encode segments.

        Args:
            keypoints: `[B, 15, V, C]`.
            mask: `[B, 15, V]`, true where a point was seen.
            masked_frames: `[B, 15]`, true for frames that are not seen, equally many in each segment; None for none.

        Returns:
            z `[B, 512]`.
        """
        states = self.embed_frames(keypoints, mask)
        return self.summarize(self.hide(states + _positions(states), masked_frames))

    def hide(self, states: torch.Tensor, masked_frames: torch.Tensor | None) -> torch.Tensor:
        """Take masked frames out of `[B, 15, 512]`, or replace them, positions kept (`mask_mode`)."""
        if masked_frames is None:
            return states
        if self.masked_frame is not None:
            replacement = self.masked_frame + _positions(states)
            return torch.where(masked_frames.unsqueeze(-1), replacement, states)
        left = states.shape[1] - int(masked_frames[0].sum())
        kept = masked_frames.to(torch.uint8).argsort(dim=1, stable=True)[:, :left, None]
        return states.gather(1, kept.expand(-1, -1, states.shape[-1]))

    def summarize(self, states: torch.Tensor) -> torch.Tensor:
        """Put [GloR] before `[B, S, 512]`, run the layers, and return the output at [GloR] `[B, 512]`."""
        states = torch.cat([self.glor.expand(len(states), 1, -1), states], 1)
        for layer in self.layers:
            states = layer(states)
        return self.norm(states[:, 0])


class UniGloRDecoder(nn.Module):
    """Representations `[B, 512]` to segments `[B, 15, V, C]`, of which they are all that the decoder sees.

    Non-autoregressive: 15 queries attend to each other and to z. Autoregressive, for comparison: each frame is decoded
    from z and the frames before it.
    """

    def __init__(self, config: UniGloRConfig):
        super().__init__()
        self.config = config
        self.width = config.num_keypoints * config.coordinates
        self.is_autoregressive = config.decoder == "autoregressive"
        self.layers = nn.ModuleList(
            _layer(SignXDecoderLayer, config, layer_idx=index, is_causal=self.is_autoregressive)
            for index in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)
        self.output = nn.Linear(config.hidden_size, self.width)
        learned = config.query == "learned" and not self.is_autoregressive
        self.queries = nn.Parameter(torch.zeros(config.segment_length, config.hidden_size)) if learned else None
        self.first_frame = nn.Parameter(torch.zeros(self.width)) if self.is_autoregressive else None
        # A decoder that is not autoregressive reads no frames.
        self.input = nn.Linear(self.width, config.hidden_size) if self.is_autoregressive else nn.Identity()

    def forward(self, representations: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
        """Decode z `[B, 512]` to `[B, 15, V, C]`.

        Args:
            representations: z.
            target: `[B, 15, V, C]`, true frames that an autoregressive decoder reads in training; None decodes frame
                by frame.
        """
        if self.first_frame is None:
            length = self.config.segment_length
            queries = representations.new_zeros(1, length, self.config.hidden_size)
            queries = queries + (self.queries if self.queries is not None else _positions(queries))
            return self._frames(queries.expand(len(representations), -1, -1), representations)
        first = self.first_frame.expand(len(representations), 1, -1)
        if target is not None:
            return self._decode(torch.cat([first, target.flatten(2)[:, :-1]], 1), representations)
        known = first
        for _ in range(self.config.segment_length):
            frames = self._decode(known, representations)
            known = torch.cat([first, frames.flatten(2)], 1)
        return frames

    def _decode(self, frames: torch.Tensor, representations: torch.Tensor) -> torch.Tensor:
        states = self.input(frames)
        return self._frames(states + _positions(states), representations)

    def _frames(self, states: torch.Tensor, representations: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            states = layer(states, encoder_hidden_states=representations.unsqueeze(1))
        frames = self.output(self.norm(states))
        return frames.view(len(frames), -1, self.config.num_keypoints, self.config.coordinates)


def _layer(kind: type[nn.Module], config: UniGloRConfig, **options) -> nn.Module:
    sizes = config.hidden_size, config.num_attention_heads, config.intermediate_size, config.dropout
    return kind(config, *sizes, **options)


class UniGloRPreTrainedModel(SignXPreTrainedModel):
    """Base of the UniGloR models: weight initialization, loading and saving, and windows of clips."""

    config_class = UniGloRConfig  # type: ignore[assignment]
    base_model_prefix = "uniglor"
    main_input_name = "keypoints"
    input_modalities = ("keypoints",)
    encoder: UniGloREncoder

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        scale = self.config.hidden_size**-0.5
        if isinstance(module, UniGloRGraphConv):
            init.copy_(module.adjacency, adjacency(module.edges, module.points))
            init.zeros_(module.alpha)
        elif isinstance(module, UniGloREncoder):
            init.normal_(module.glor, std=scale)
            if module.masked_frame is not None:
                init.normal_(module.masked_frame, std=scale)
        elif isinstance(module, UniGloRDecoder):
            if module.queries is not None:
                init.normal_(module.queries, std=1.0)
            if module.first_frame is not None:
                init.zeros_(module.first_frame)
        elif isinstance(module, UniGloRForSignClassification):
            init.normal_(module.class_token, std=scale)

    def _checked(self, keypoints: torch.Tensor, mask: torch.Tensor | None, what: str) -> torch.Tensor:
        """Return the mask of points, by default all true; reject other shapes and numbers that are not finite.

        Raises:
            ValueError: As said; the message names the first clip of the batch.
        """
        expected = [self.config.num_keypoints, self.config.coordinates]
        if keypoints.ndim != 4 or list(keypoints.shape[2:]) != expected or not keypoints.shape[0]:
            raise ValueError(
                f"`keypoints` must have shape [batch, frames, {expected[0]}, {expected[1]}] for the points of "
                f"{self.config.keypoints}, got {list(keypoints.shape)}."
            )
        mask = torch.ones_like(keypoints[..., 0], dtype=torch.bool) if mask is None else mask.bool()
        if mask.shape != keypoints.shape[:3]:
            raise ValueError(
                f"`keypoint_mask` must have shape {list(keypoints.shape[:3])}, one value per point, got "
                f"{list(mask.shape)}."
            )
        if keypoints.device.type == "cpu" and not torch.compiler.is_compiling():  # elsewhere it would wait for it
            finite = (keypoints.isfinite().all(-1) | ~mask).flatten(1).all(1)
            seen = mask.flatten(1).any(1)
            if not (finite & seen).all():
                row = int((~(finite & seen)).nonzero()[0])
                problem = "show a point, got none" if finite[row] else "be finite where seen, got other numbers"
                raise ValueError(f"`keypoints` must {problem} in {what} {row} of the batch. Leave it out.")
        return mask

    def _windows(
        self, keypoints: torch.Tensor, keypoint_mask: torch.Tensor | None, frame_mask: torch.Tensor | None,
        stride: int | None, cover_tail: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """Return the windows of all clips one after the other `[W, 15, V, C]`, their mask, and a mask `[B, N]` of which exist."""
        mask = self._checked(keypoints, keypoint_mask, "clip")
        frame_mask = self._frame_mask(keypoints, frame_mask, "frame_mask")
        options = (self.config.segment_length, self.config.stride if stride is None else stride, cover_tail)
        frames = [window_frames(int(length), *options).to(keypoints.device) for length in mask_lengths(frame_mask)]
        values = torch.cat([clip[index] for clip, index in zip(keypoints, frames)])
        seen = torch.cat([(clip & real[:, None])[index] for clip, real, index in zip(mask, frame_mask, frames)])
        counts = torch.tensor([len(index) for index in frames], device=keypoints.device)
        return values, seen, torch.arange(int(counts.max()), device=keypoints.device)[None] < counts[:, None]

    def represent(
        self,
        keypoints: torch.Tensor,
        keypoint_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        stride: int | None = None,
        cover_tail: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode the windows of clips: `N = floor((T - 15) / stride) + 1` of them, at least one.

        Args:
            keypoints: `[B, T, V, C]`.
            keypoint_mask: `[B, T, V]`, true where a point was seen; all by default.
            frame_mask: `[B, T]`, true where a frame is real; all by default.
            stride: frames between two windows; None for that of the config.
            cover_tail: add a last window from the end where frames are left over.

        Returns:
            z of each window `[B, N, 512]`, 0 in padding, and a mask `[B, N]` of the windows that exist.

        Raises:
            ValueError: If shapes do not match, or a clip shows no point.
        """
        values, seen, exists = self._windows(keypoints, keypoint_mask, frame_mask, stride, cover_tail)
        values = values.to(self.dtype)
        count = WINDOWS_AT_ONCE if values.device.type == "cpu" and not torch.is_grad_enabled() else len(values)
        found = torch.cat([self.encoder(v, s) for v, s in zip(values.split(count), seen.split(count))])
        return found.new_zeros(*exists.shape, found.shape[-1]).masked_scatter(exists.unsqueeze(-1), found), exists


class UniGloRSignMAE(UniGloRPreTrainedModel):
    """Masked autoencoder of segments: reconstruct 15 frames of key points from one vector."""

    def __init__(self, config: UniGloRConfig):
        super().__init__(config)
        self.encoder = UniGloREncoder(config)
        self.decoder = UniGloRDecoder(config)
        self.post_init()

    def encode_segments(
        self,
        keypoints: torch.Tensor,
        keypoint_mask: torch.Tensor | None = None,
        masked_frames: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode segments `[B, 15, V, C]` to z `[B, 512]`.

        Args:
            keypoints: segments of `config.segment_length` frames.
            keypoint_mask: `[B, 15, V]`, true where a point was seen; all by default.
            masked_frames: `[B, 15]`, true for frames that the encoder does not see; none by default.

        Raises:
            ValueError: If a shape is another, or a segment shows no point.
        """
        mask = self._checked(keypoints, keypoint_mask, "segment")
        if keypoints.shape[1] != self.config.segment_length:
            raise ValueError(
                f"`keypoints` must be segments of {self.config.segment_length} frames, got {keypoints.shape[1]}. Encode "
                "clips with `represent`."
            )
        return self.encoder(keypoints.to(self.dtype), mask, masked_frames)

    def decode_segments(self, representations: torch.Tensor) -> torch.Tensor:
        """Decode z `[B, 512]` to segments `[B, 15, V, C]`, in shoulder widths."""
        return self.decoder(representations)

    @can_return_tuple
    def forward(
        self,
        keypoints: torch.Tensor,
        keypoint_mask: torch.Tensor | None = None,
        masked_frames: torch.Tensor | None = None,
        **kwargs,
    ) -> UniGloRSignMAEOutput:
        """Encode and reconstruct segments, with the loss.

        Args:
            keypoints: `[B, 15, V, C]` in shoulder widths.
            keypoint_mask: `[B, 15, V]`, true where a point was seen; all by default.
            masked_frames: `[B, 15]`, true for frames that the encoder does not see, equally many in each segment; by
                default drawn in training, none in evaluation.
            **kwargs: keywords that transformers passes to any model.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If a shape is another, or a segment shows no point.
        """
        self._check_keywords("forward", kwargs)
        config = self.config
        if masked_frames is None and self.training and config.masked_frames:
            shape = len(keypoints), config.segment_length, config.masked_frames
            masked_frames = draw_masked_frames(*shape, device=keypoints.device)
        representations = self.encode_segments(keypoints, keypoint_mask, masked_frames)
        seen = torch.ones_like(keypoints[..., 0], dtype=torch.bool) if keypoint_mask is None else keypoint_mask.bool()
        target = torch.where(seen.unsqueeze(-1), keypoints, 0.0)
        reconstruction = self.decoder(representations, target.to(self.dtype) if self.training else None)
        options = config.weight_groups, config.pose_weights, FIXED_WEIGHTS, config.weight_floor
        weights, floored = pose_weights(target, seen, *options)
        loss = reconstruction_loss(reconstruction, target, seen, weights)
        return UniGloRSignMAEOutput(loss, representations, reconstruction, weights, floored)


class UniGloRForSignClassification(UniGloRPreTrainedModel):
    """Isolated signs: the representations of the windows of a clip to one of `config.num_labels` signs.

    SignMAE's encoder is frozen and in evaluation mode unless `config.train_encoder`.
    """

    def __init__(self, config: UniGloRConfig):
        super().__init__(config)
        self.encoder = UniGloREncoder(config)
        self.class_token = nn.Parameter(torch.zeros(config.hidden_size))
        self.layers = nn.ModuleList(_layer(SignXEncoderLayer, config) for _ in range(config.classifier_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 1)
        self.post_init()
        if not config.train_encoder:
            self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> "UniGloRForSignClassification":
        """Set the mode of training; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if not self.config.train_encoder:
            self.encoder.eval()
        return self

    @can_return_tuple
    def forward(
        self,
        keypoints: torch.Tensor | None = None,
        keypoint_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        representations: torch.Tensor | None = None,
        representation_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> UniGloRClassificationOutput:
        """Compute logits `[B, num_labels]` and, given labels, the cross-entropy.

        Args:
            keypoints: `[B, T, V, C]`.
            keypoint_mask: `[B, T, V]`, true where a point was seen.
            frame_mask: `[B, T]`, true where a frame is real.
            representations: `[B, N, 512]` of `represent`, used instead of key points.
            representation_mask: `[B, N]`, true where a window exists.
            labels: `[B]` sign ids.
            **kwargs: keywords that transformers passes to any model.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, a shape is another, or the model does not have a sign.
        """
        self._check_keywords("forward", kwargs)
        if representations is None:
            if keypoints is None:
                raise ValueError("Pass `keypoints` or `representations`, got neither.")
            representations, mask = self.represent(keypoints, keypoint_mask, frame_mask)
        else:
            mask = self._frame_mask(representations, representation_mask, "representation_mask")
        states = representations.to(self.dtype)
        states = torch.cat([self.class_token.expand(len(states), 1, -1), states + _positions(states)], 1)
        mask = nn.functional.pad(mask, (1, 0), value=True)
        attention_mask = create_bidirectional_mask(config=self.config, inputs_embeds=states, attention_mask=mask)
        for layer in self.layers:
            states = layer(states, attention_mask)
        embedding = self.norm(states[:, 0])
        logits = self.classifier(self.dropout(embedding))
        loss = None
        if labels is not None:
            check_sign_labels(labels, len(logits), self.classifier.out_features)
            loss = nn.functional.cross_entropy(logits.float(), labels)
        return UniGloRClassificationOutput(loss, logits, embedding, representations)

    def check_labels(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Check sign labels; see `SignXPreTrainedModel.check_labels`."""
        if batch.get("labels") is not None:
            check_sign_labels(batch["labels"], len(batch["labels"]), self.classifier.out_features)
