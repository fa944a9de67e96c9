"""Encoders of the SignX-4 family (arXiv 2504.16315 v4, section 3): two inputs, one latent space, and the text stack.

```
video [B,T,3,H,W] --frame encoder, temporal transformer--+
                                                         v
poses [B,T,D] ----track encoders, fusion over tracks---> [B,T,D] --PadMatch, ViT layers--> latents [B,T,2048]
```

Legend: B batch, T frames, T' feature steps, N tracks, D pose width, L target length.
"""

import difflib
import inspect
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .checkpoint_signx import check_weights, plain_error
from .configuration_signx import SignXConfig
from .ctc_align_signx import CTCAlignment, ctc_forced_align
from .ctc_search_signx import CTCHypothesis, ctc_beam_search, ctc_fused_beam_search
from .decoding_options_signx import check_search_size, read_options
from .gloss_lm_signx import gloss_scorer, language_model_in
from .layers_signx import (
    SignXAttention,
    SignXDecoderLayer,
    SignXEncoderLayer,
    length_mask,
    mask_lengths,
    sinusoidal_positions,
)
from .outputs_signx import (
    SignXDecoderOutput,
    SignXEncoderOutput,
    SignXModelOutput,
)
from .recognizer_signx import (
    SignXFrameEncoder,
    SignXLatentCompiler,
    SignXRecognizer,
    has_attention,
)
from .strict_config_signx import StrictConfig
from .text_config_signx import SignXTextConfig

# Modules that some model classes have and others do not.
_OPTIONAL_MODULES = (
    "recognizer", "encoder", "decoder", "feature_projection", "ctc_head", "codebook_projection", "lm_head",
    "latent_projection", "contrast_projection", "norm", "classifier", "pooling_score", "temporal_conv",
    "hybrid_pooling", "frame_layers",
)  # fmt: skip
# Keywords that transformers passes to the forward method of any model. Its others (`position_ids`, `is_causal`,
# lengths of packed sequences, ...) would change the result, and no layer here reads them.
_LIBRARY_KEYWORDS = ("num_items_in_batch", "output_attentions", "output_hidden_states", "return_dict")


class SignXPreTrainedModel(PreTrainedModel):
    """Base of all SignX models: weight initialization, loading and saving, and CTC decoding."""

    config_class = SignXConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values_videos"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    # The losses are means over the batch. Because of **kwargs Trainer would take them for sums and not divide by the
    # number of accumulation steps.
    accepts_loss_kwargs = False
    # So that the checkpoint of another stage loads without a warning about modules that this class does not have.
    _keys_to_ignore_on_load_unexpected = [rf"^{name}\." for name in _OPTIONAL_MODULES]
    _no_split_modules = ["SignXEncoderLayer", "SignXDecoderLayer", "SignXRecognizer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Check a local folder and load the model, from safetensors unless `use_safetensors=False`.

        Raises:
            FileNotFoundError: If the folder has no such weights.
            ValueError: If the weights are damaged or have other shapes, the config has another model type, or the
                generation config is invalid.
        """
        elsewhere = any(kwargs.get(name) for name in ("state_dict", "subfolder", "variant", "gguf_file"))
        if kwargs.setdefault("use_safetensors", True) and pretrained_model_name_or_path is not None and not elsewhere:
            check_weights(pretrained_model_name_or_path)
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except RuntimeError as error:
            if "ignore_mismatched_sizes" not in str(error):
                raise
            raise ValueError(
                f"{pretrained_model_name_or_path}: the weights have other shapes than the config. Use the config that "
                "was saved with them, or pass ignore_mismatched_sizes=True to initialize such weights randomly."
            ) from error
        except (AttributeError, LookupError, RecursionError, TypeError, UnicodeError) as error:
            if not os.path.isdir(pretrained_model_name_or_path or ""):
                raise
            raise plain_error(pretrained_model_name_or_path, error) from error

    def save_pretrained(self, save_directory, *args, **kwargs) -> None:
        """Save the model as transformers does, with the language model that the generation config names."""
        with language_model_in(save_directory, self, kwargs.get("is_main_process", True)):
            super().save_pretrained(save_directory, *args, **kwargs)

    def post_init(self) -> None:
        """Finish construction, and report unexpected weights of the modules that this model has.

        Those of layers that the config leaves out, for instance.
        """
        super().post_init()
        self.main_input_name = self._default_input()
        absent = [name for name in _OPTIONAL_MODULES if getattr(self, name, None) is None]
        self._keys_to_ignore_on_load_unexpected = {rf"^{name}\." for name in absent}

    def _default_input(self) -> str:
        """Return the input of a model that has not seen a batch: poses where it has no vision backbone or no use of it.

        Trainer counts and collects this input; see `_note_input` for the time after the first batch.
        """
        config = self.config
        if config.model_type != SignXConfig.model_type:  # of a text encoder or decoder
            return type(self).main_input_name
        no_video = config.vision_config is None or config.trained_entries == ["poses"]
        return "pose_values" if no_video else type(self).main_input_name

    def _note_input(self, inputs: Mapping[str, torch.Tensor | None]) -> None:
        """Make the main input that of the newest batch, whatever the model could take besides.

        Trainer reads its name after a batch, for `include_for_metrics=["inputs"]`.
        """
        names = ("pixel_values_videos", "pose_values", "latents", "features")
        given = [name for name in names if inputs.get(name) is not None]
        if given and given[0] != self.main_input_name and not torch.compiler.is_compiling():
            self.main_input_name = given[0]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (nn.Linear, nn.Conv1d)):
            # Scaled by the fan-in: with the fixed 0.02 of transformers the signal of narrow students falls below
            # LayerNorm's eps.
            init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=module.embedding_dim**-0.5)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, SignXTrackFusion):
            init.normal_(module.track_embedding, std=self.config.initializer_range)
            init.normal_(module.missing_embedding, std=self.config.initializer_range)
        elif isinstance(module, SignXLatentCompiler):
            # At the module that owns the buffer: transformers skips modules whose parameters and buffers are all
            # loaded.
            init.ones_(module.keep)
        elif isinstance(module, SignXRecognizer) and module.frame_encoder is not None:
            init.zeros_(module.mixer)

    def set_attn_implementation(self, attn_implementation: str | dict, **kwargs) -> None:
        """Set the attention kernel of all parts that have attention, which convolutional backbones do not."""
        has_text = getattr(self, "decoder", None) is not None
        everywhere = isinstance(attn_implementation, str)
        if isinstance(attn_implementation, str):
            backbones = {
                id(module.backbone.config): module.backbone
                for module in self.modules()
                if isinstance(module, SignXFrameEncoder)
            }
            parts = {"": attn_implementation}
            for key in self.config.sub_configs:
                backbone = backbones.get(id(getattr(self.config, key)))
                if (has_text and key == "text_config") or (backbone is not None and has_attention(backbone)):
                    parts[key] = attn_implementation
            attn_implementation = parts
        super().set_attn_implementation(attn_implementation, **kwargs)
        for key in self.config.sub_configs:  # those without a model of their own say the same
            part = getattr(self.config, key)
            if everywhere and isinstance(part, StrictConfig) and not (has_text and key == "text_config"):
                part._attn_implementation = self.config._attn_implementation

    def _check_keywords(self, method: str, keywords: Mapping[str, Any], legal: Iterable[str] = ()) -> None:
        """Reject keywords that would be ignored: a misspelled mask or label changes the result silently.

        Args:
            method: name of the method that received the keywords.
            keywords: the keywords; those that transformers passes to any model, and those that are None, are accepted.
            legal: legal names beside the declared arguments of the method.

        Raises:
            TypeError: If a keyword is unknown. The message names the nearest one.
        """
        if keywords.get("output_attentions") and self.config._attn_implementation != "eager":
            warnings.warn(
                f"`output_attentions` needs attn_implementation='eager'; {self.config._attn_implementation!r} gives no "
                "weights. Call model.set_attn_implementation('eager').",
                stacklevel=3,
            )
        for name, value in keywords.items():
            if value is None or name in _LIBRARY_KEYWORDS or name in legal:
                continue
            declared = inspect.signature(getattr(type(self), method)).parameters.values()
            names = [p.name for p in declared if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"] + [*legal]
            close = difflib.get_close_matches(name, names, n=1)
            raise TypeError(
                f"{type(self).__name__}.{method}() got an unexpected keyword argument {name!r}. "
                + (f"Did you mean {close[0]!r}?" if close else f"Its arguments are {', '.join(names)}.")
            )

    def check_labels(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Check the values of the labels of a batch that is still in the memory of the CPU.

        `forward` does so itself unless the batch is on an accelerator, where reading values would stop the program.

        Args:
            batch: keywords of `forward`.

        Raises:
            ValueError: If labels have another shape, an id is outside the vocabulary, or no CTC path can spell them.
        """

    @staticmethod
    def _recording_flags(keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return those keywords that ask for hidden states and attentions."""
        names = ("output_attentions", "output_hidden_states")
        return {name: keywords[name] for name in names if keywords.get(name) is not None}

    def _frame_mask(self, values: torch.Tensor, mask: torch.Tensor | None, name: str) -> torch.Tensor:
        """Return the mask as bool, all true by default; reject other shapes and clips without a true frame."""
        if mask is None:
            mask = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
        if mask.shape != values.shape[:2]:
            raise ValueError(
                f"`{name}` must have shape {list(values.shape[:2])}, one value per frame, got {list(mask.shape)}."
            )
        if values.shape[0] == 0:
            raise ValueError(f"The batch must have at least one clip, got shape {list(values.shape)}.")
        mask = mask.bool()
        if not torch.compiler.is_compiling() and not mask.any(1).all():
            row = int((~mask.any(1)).nonzero()[0])
            raise ValueError(
                f"`{name}` must have at least one true frame per clip, got none for clip {row} of the batch."
            )
        return mask

    def decode_ctc(
        self,
        logits: torch.Tensor,
        feature_mask: torch.Tensor | None = None,
        num_beams: int = 10,
        n_best: int = 1,
        generation_config: GenerationConfig | None = None,
    ) -> list[list[CTCHypothesis]]:
        """Decode CTC logits to gloss sequences by prefix beam search.

        Args:
            logits: `[B, T', V]`.
            feature_mask: `[B, T']`, true for real steps; all by default.
            num_beams: number of prefixes that survive each step.
            n_best: number of hypotheses per clip.
            generation_config: its language model, bonus per gloss and hot words are used (see `SignXGenerationMixin`).

        Returns:
            The hypotheses of each clip, best first, with feature steps and confidences.

        Raises:
            FileNotFoundError: If the language model does not exist.
            ValueError: If an option is invalid.
        """
        lengths = None if feature_mask is None else feature_mask.sum(1)
        options = {"blank_id": self.config.ctc_blank_id, "num_beams": num_beams, "n_best": n_best}
        scorer = None if generation_config is None else gloss_scorer(self, read_options(generation_config))
        log_probs = logits.float().log_softmax(-1)
        if scorer is None:
            return ctc_beam_search(log_probs, lengths, **options)
        return ctc_fused_beam_search(log_probs, scorer, lengths, **options)

    def check_decoding(self, generation_config: GenerationConfig) -> None:
        """Check the options of decoding before there is a clip, and load the language model.

        Raises:
            FileNotFoundError: If the language model does not exist.
            ValueError: If an option is invalid, the search would fill the memory, or the language model is not an
                ARPA file.
        """
        check_search_size(generation_config)
        gloss_scorer(self, read_options(generation_config))

    def align_ctc(self, logits: torch.Tensor, ids: list[int]) -> CTCAlignment:
        """Align gloss ids with the CTC logits of one clip.

        `config.confidence_temperature` divides the logits. It changes confidences and score, but not the path, because
        the normalization of a step is the same for all paths.

        Args:
            logits: `[T', V]`.
            ids: gloss ids without blanks.

        Returns:
            The steps and confidences of the glosses.

        Raises:
            ValueError: If there are too few steps, or an id is outside the vocabulary.
        """
        scaled = logits.float() / self.config.confidence_temperature
        return ctc_forced_align(scaled.log_softmax(-1), ids, blank_id=self.config.ctc_blank_id)


class SignXTrackFusion(nn.Module):
    """Type encoders and attention over the tracks of a frame: `pose_values` `[B, T, D]` to the fused pose `[B, T, D]`.

    Each track is one token of its frame. An unobserved track enters as a learned token that no token attends to, and
    its slice of the fused pose is predicted from the observed tracks. So masking a track equals leaving it out.
    """

    def __init__(self, config: SignXConfig):
        super().__init__()
        # The config of the whole model, because model.set_attn_implementation() changes that one.
        self.config = config
        options = config.pose_config
        self.track_sizes, self.track_dropout = options.track_sizes, options.track_dropout
        size, tracks = options.track_hidden_size, len(options.track_sizes)
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Linear(size, size)) for width in options.track_sizes
        )
        self.decoders = nn.ModuleList(nn.Linear(size, width) for width in options.track_sizes)
        self.track_embedding = nn.Parameter(torch.zeros(tracks, size))
        self.missing_embedding = nn.Parameter(torch.zeros(size))
        self.norm = nn.LayerNorm(size)
        self.attention = SignXAttention(config, size, options.fusion_heads, options.dropout)

    def _dropped_tracks(self, pose_mask: torch.Tensor) -> torch.Tensor:
        """Hide whole tracks of a training clip; at least one observed track of each clip remains (track dropout)."""
        clips, _, tracks = pose_mask.shape
        present = pose_mask.any(1)
        draw = torch.rand(clips, tracks, device=pose_mask.device)
        always = (draw.masked_fill(~present, -1)).argmax(1, keepdim=True)
        visible = (draw >= self.track_dropout).scatter(1, always, True)
        return pose_mask & visible[:, None]

    def forward(self, pose_values: torch.Tensor, pose_mask: torch.Tensor) -> torch.Tensor:
        """Fuse the tracks of `pose_values` `[B, T, D]`; `pose_mask` `[B, T, N]` is true where a track was observed."""
        if self.training and self.track_dropout:
            pose_mask = self._dropped_tracks(pose_mask)
        parts = [
            torch.where(pose_mask[..., n, None], part, 0.0).to(pose_values.dtype)
            for n, part in enumerate(pose_values.split(self.track_sizes, dim=-1))
        ]
        tokens = torch.stack([encoder(part) for encoder, part in zip(self.encoders, parts)], dim=2)  # [B, T, N, C]
        tokens = (
            torch.where(pose_mask[..., None], tokens, self.missing_embedding.to(tokens.dtype)) + self.track_embedding
        )
        batch, time, tracks, size = tokens.shape
        tokens = tokens.view(batch * time, tracks, size)
        if tracks == 1:
            # Softmax over one key is 1: the same numbers without attention, which is slow for so many short rows.
            update = self.attention.o_proj(self.attention.v_proj(self.norm(tokens)))
            return self._decode(parts, (tokens + update).view(batch, time, tracks, size))
        # In a frame without any track all tokens are the learned one; they see each other, because softmax needs a
        # key.
        visible = pose_mask | ~pose_mask.any(-1, keepdim=True)
        attention_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=tokens, attention_mask=visible.view(batch * time, tracks)
        )
        update, _ = self.attention(self.norm(tokens), attention_mask)
        return self._decode(parts, (tokens + update).view(batch, time, tracks, size))

    def _decode(self, parts: list[torch.Tensor], fused: torch.Tensor) -> torch.Tensor:
        """Add the fused tracks `[B, T, N, C]` to the measured values `[B, T, D_n]` of each track: `[B, T, D]`."""
        return torch.cat(
            [part + decoder(fused[:, :, n]) for n, (part, decoder) in enumerate(zip(parts, self.decoders))], -1
        )


class SignXVideoEncoder(nn.Module):
    """Frame encoder, temporal transformer, projection to the pose path: `[B, T, 3, H, W]` to `[B, T, D]` (stage 2)."""

    def __init__(self, config: SignXConfig):
        super().__init__()
        options = config.temporal_config
        self.config = config
        self.frames_per_chunk = options.frames_per_chunk
        self.frame_encoder = SignXFrameEncoder(config.vision_config, config.image_size)
        self.feature_projection = nn.Identity()
        if self.frame_encoder.feature_size != options.hidden_size:
            self.feature_projection = nn.Linear(self.frame_encoder.feature_size, options.hidden_size)
        self.layers = nn.ModuleList(
            SignXEncoderLayer(
                config, options.hidden_size, options.num_attention_heads, options.intermediate_size, options.dropout
            )
            for _ in range(options.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(options.hidden_size)
        self.pose_projection = nn.Linear(options.hidden_size, config.pose_config.pose_size)

    def encode_frames(self, pixel_values_videos: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Encode each frame separately, `[B, T, 3, H, W]` to `[B, T, C]`; zero where the mask is false."""
        return self.frame_encoder.encode_clips(pixel_values_videos, frame_mask, self.frames_per_chunk)

    def encode_sequence(
        self, frame_features: torch.Tensor, frame_mask: torch.Tensor, first_position: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map the frame features `[B, T, C]` of `encode_frames` to `[B, T, D]`; `first_position` as in `run_encoder`."""
        hidden_states = run_encoder(self, self.feature_projection(frame_features), frame_mask, first_position)
        return self.pose_projection(self.norm(hidden_states))

    def forward(
        self, pixel_values_videos: torch.Tensor, frame_mask: torch.Tensor, first_position: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Encode video `[B, T, 3, H, W]` with mask `[B, T]` to the pose path, `[B, T, D]`; `first_position` as in `run_encoder`."""
        return self.encode_sequence(self.encode_frames(pixel_values_videos, frame_mask), frame_mask, first_position)


def run_encoder(
    module: nn.Module, hidden_states: torch.Tensor, mask: torch.Tensor, first_position: torch.Tensor | None = None
) -> torch.Tensor:
    """Add positions and run `module.layers` over `[B, T, C]`, attending only to the true steps of `mask` `[B, T]`.

    `first_position` `[B]` is the position of the first step of each clip; 0 if not given.
    """
    positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
    if first_position is not None:
        positions = positions + first_position[:, None]
    hidden_states = hidden_states + sinusoidal_positions(positions, hidden_states.shape[-1], hidden_states.dtype)
    attention_mask = create_bidirectional_mask(config=module.config, inputs_embeds=hidden_states, attention_mask=mask)
    for layer in module.layers:
        hidden_states = layer(hidden_states, attention_mask)
    return hidden_states


class SignXLatentEncoder(nn.Module):
    """PadMatch (zero-pad, then project) and ViT layers over time: fused pose `[B, T, D]` to latents `[B, T, 2048]`.

    Choice: figure 2 of SignX-4 (one fused pose), not its equations 2 and 3, which pad and project each track and name
    a cross-attention without saying to what.
    """

    def __init__(self, config: SignXConfig):
        super().__init__()
        self.config = config
        options = config.pose_config
        size = options.latent_size
        # The latent of a student may be narrower than the pose; then there is nothing to pad.
        self.padding = max(size - options.pose_size, 0)
        self.pad_match = nn.Linear(options.pose_size + self.padding, size)
        self.layers = nn.ModuleList(
            SignXEncoderLayer(config, size, options.num_attention_heads, options.intermediate_size, options.dropout)
            for _ in range(options.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(
        self, fused_pose: torch.Tensor, frame_mask: torch.Tensor, first_position: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map the fused pose `[B, T, D]` with mask `[B, T]` to latents `[B, T, C]`, zero where the mask is false.

        `first_position` as in `run_encoder`.
        """
        hidden_states = self.pad_match(nn.functional.pad(fused_pose, (0, self.padding)))
        return self.norm(run_encoder(self, hidden_states, frame_mask, first_position)) * frame_mask.unsqueeze(-1)


class SignXModel(SignXPreTrainedModel):
    """One latent space for two inputs, poses and video (SignX-4, section 3.1)."""

    _can_record_outputs = {
        "hidden_states": OutputRecorder(SignXEncoderLayer, layer_name="latent_encoder"),
        "attentions": OutputRecorder(SignXAttention, index=1, layer_name="latent_encoder"),
    }

    def __init__(self, config: SignXConfig):
        super().__init__(config)
        self.pose_encoder = SignXTrackFusion(config)
        self.video_encoder = SignXVideoEncoder(config) if config.vision_config is not None else None
        self.latent_encoder = SignXLatentEncoder(config)
        self.post_init()

    def get_pose_latents(
        self,
        pose_values: torch.Tensor,
        pose_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        first_position: torch.Tensor | None = None,
    ) -> SignXModelOutput:
        """Encode poses to latents.

        Args:
            pose_values: `[B, T, D]`, the tracks of `config.pose_config.track_dims` side by side.
            pose_mask: `[B, T, N]`, true where a track was observed; all observed by default.
            frame_mask: `[B, T]`, true where a frame is real; by default up to the last frame with a track.
            first_position: `[B]`, where the first frame is in a longer clip; 0 by default.

        Returns:
            Latents `[B, T, C]` and the frame mask.

        Raises:
            ValueError: If the width is not D, the mask has another shape, or a clip has no true frame.
        """
        options = self.config.pose_config
        if pose_values.ndim != 3 or pose_values.shape[-1] != options.pose_size:
            tracks = ", ".join(f"{name} {size}" for name, size in options.track_dims.items())
            raise ValueError(
                f"`pose_values` must have shape [B, T, {options.pose_size}] ({tracks}), got "
                f"{list(pose_values.shape)}. Mark a missing track in pose_mask instead of leaving it out."
            )
        shape = (*pose_values.shape[:2], len(options.track_sizes))
        if pose_mask is None:
            pose_mask = torch.ones(shape, dtype=torch.bool, device=pose_values.device)
        if pose_mask.shape != shape:
            raise ValueError(
                f"`pose_mask` must have shape {list(shape)}, one value per frame and track, got "
                f"{list(pose_mask.shape)}."
            )
        pose_mask = pose_mask.bool()
        if frame_mask is None:
            frame_mask = length_mask(mask_lengths(pose_mask.any(-1)), pose_values.shape[1])
        frame_mask = self._frame_mask(pose_values, frame_mask, "frame_mask")
        fused = self.pose_encoder(pose_values.to(self.dtype), pose_mask & frame_mask[..., None])
        latents = self.latent_encoder(fused, frame_mask, first_position)
        return SignXModelOutput(latents, frame_mask, fused * frame_mask.unsqueeze(-1))

    def get_video_latents(
        self,
        pixel_values_videos: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        first_position: torch.Tensor | None = None,
    ) -> SignXModelOutput:
        """Encode video to latents.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real; other frames are not encoded.
            first_position: `[B]`, where the first frame is in a longer clip; 0 by default.

        Returns:
            Latents `[B, T, C]` and the frame mask.

        Raises:
            ValueError: If the model has no vision backbone, the shape is wrong, or a clip has no true frame.
        """
        if self.video_encoder is None:
            raise ValueError(
                "This model has no video encoder (vision_config is None). Pass pose_values, latents or features."
            )
        if pixel_values_videos.ndim != 5 or pixel_values_videos.shape[2] != 3:
            raise ValueError(
                f"`pixel_values_videos` must have shape [B, T, 3, H, W], got {list(pixel_values_videos.shape)}."
            )
        frame_mask = self._frame_mask(pixel_values_videos, frame_mask, "frame_mask")
        fused = self.video_encoder(pixel_values_videos.to(self.dtype), frame_mask, first_position)
        latents = self.latent_encoder(fused, frame_mask, first_position)
        return SignXModelOutput(latents, frame_mask, fused * frame_mask.unsqueeze(-1))

    @capture_outputs
    def forward(
        self,
        pixel_values_videos: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        pose_mask: torch.Tensor | None = None,
        latents: torch.Tensor | None = None,
        first_position: torch.Tensor | None = None,
        **kwargs,
    ) -> SignXModelOutput:
        """Compute latents `[B, T, C]` from the first input that is not None: `latents` themselves, poses, video.

        Args:
            pixel_values_videos: `[B, T, 3, H, W]`.
            frame_mask: `[B, T]`, true where a frame is real.
            pose_values: `[B, T, D]`.
            pose_mask: `[B, T, N]`, true where a track was observed.
            latents: `[B, T, C]`.
            first_position: `[B]`, where the first frame of poses or video is in a longer clip; 0 by default.
            **kwargs: keywords that transformers passes to any model, such as `output_hidden_states`.

        Raises:
            TypeError: If a keyword is unknown.
            ValueError: If there is no input, or it has another shape.
        """
        self._check_keywords("forward", kwargs)
        self._note_input({"pixel_values_videos": pixel_values_videos, "pose_values": pose_values, "latents": latents})
        if latents is not None:
            if latents.ndim != 3 or latents.shape[-1] != self.config.latent_size:
                raise ValueError(
                    f"`latents` must have shape [B, T, {self.config.latent_size}], got {list(latents.shape)}."
                )
            frame_mask = self._frame_mask(latents, frame_mask, "frame_mask")
            return SignXModelOutput(torch.where(frame_mask[..., None], latents, 0.0).to(self.dtype), frame_mask)
        if pose_values is not None:
            return self.get_pose_latents(pose_values, pose_mask, frame_mask, first_position)
        if pixel_values_videos is not None:
            return self.get_video_latents(pixel_values_videos, frame_mask, first_position)
        raise ValueError("No input: pass pixel_values_videos, pose_values or latents.")


class SignXTextEncoder(SignXPreTrainedModel):
    """Transformer encoder of stage 4 over features: `[B, T', C]` to `[B, T', C]` (6 layers of 256)."""

    config_class = SignXTextConfig
    main_input_name = "inputs_embeds"
    _can_record_outputs = {"hidden_states": SignXEncoderLayer, "attentions": SignXAttention}

    def __init__(self, config: SignXTextConfig):
        super().__init__(config)
        self.layers = nn.ModuleList(
            SignXEncoderLayer(
                config, config.hidden_size, config.num_attention_heads, config.intermediate_size, config.dropout
            )
            for _ in range(config.encoder_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(self, inputs_embeds: torch.Tensor, mask: torch.Tensor, **kwargs) -> SignXEncoderOutput:
        """Encode features `[B, T', C]` with mask `[B, T']`."""
        return SignXEncoderOutput(self.norm(run_encoder(self, inputs_embeds, mask)), mask)


class SignXTextDecoder(SignXPreTrainedModel):
    """Causal transformer decoder over pieces with cross-attention: ids `[B, L]` to hidden states `[B, L, C]`."""

    config_class = SignXTextConfig
    main_input_name = "input_ids"
    _can_record_outputs = {
        "hidden_states": SignXDecoderLayer,
        "attentions": OutputRecorder(SignXAttention, index=1, layer_name="self_attn"),
        "cross_attentions": OutputRecorder(SignXAttention, index=1, layer_name="cross_attn"),
    }

    def __init__(self, config: SignXTextConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.embed_scale = config.hidden_size**0.5
        self.layers = nn.ModuleList(
            SignXDecoderLayer(
                config, config.hidden_size, config.num_attention_heads, config.intermediate_size, config.dropout, index
            )
            for index in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_mask: torch.Tensor,
        cache: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> SignXDecoderOutput:
        """Decode piece ids `[B, L]` over encoder states `[B, S, C]` with mask `[B, S]`.

        `attention_mask` `[B, L]`, with the pieces of the cache `[B, cached + L]`, is false where no piece attends to.
        """
        if use_cache and cache is None:
            cache = EncoderDecoderCache(DynamicCache(config=self.config), DynamicCache(config=self.config))
        seen = cache.get_seq_length() if cache is not None else 0
        positions = torch.arange(input_ids.shape[1], device=input_ids.device) + seen
        hidden_states = self.embed_tokens(input_ids) * self.embed_scale
        hidden_states = hidden_states + sinusoidal_positions(positions, hidden_states.shape[-1], hidden_states.dtype)
        causal_mask = create_causal_mask(
            self.config, hidden_states, attention_mask, cache, position_ids=positions[None]
        )
        cross_mask = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=hidden_states,
            attention_mask=encoder_mask,
            encoder_hidden_states=encoder_hidden_states,
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, causal_mask, encoder_hidden_states, cross_mask, cache=cache)
        return SignXDecoderOutput(self.norm(hidden_states), cache if use_cache else None)
