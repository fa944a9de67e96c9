"""Configuration of the text encoder and decoder."""

from .strict_config_signx import StrictConfig


class SignXTextConfig(StrictConfig):
    """Configuration of text encoder and decoder (stage 4) and codebook decoder (stage 1) (SignX-4, section 3).

    Args:
        vocab_size: number of BPE pieces of the decoder, special tokens included.
        hidden_size: width of the layers (256 in the paper).
        encoder_layers: number of encoder layers (6 in the paper).
        num_hidden_layers: number of decoder layers (6 in the paper).
        num_attention_heads: number of heads of each layer (choice).
        intermediate_size: width of the MLP of each layer (choice).
        dropout: dropout of every residual branch.
        max_length: length of the longest target in pieces (64 in the paper).
        pad_token_id: id of the padding piece.
        bos_token_id: id of the piece that begins a sequence.
        eos_token_id: id of the piece that ends a sequence.
        decoder_start_token_id: id of the piece that the decoder starts from.
        gloss_token_id: id of the prompt for glosses; labels start with a prompt.
        text_token_id: id of the prompt for text.
        gloss_pieces: the piece ids that spell each id of the CTC vocabulary, empty for the blank; joint scoring needs
            it.
    """

    model_type = "signx_text"
    base_config_key = "text_config"

    def __init__(
        self,
        vocab_size: int = 4096,
        hidden_size: int = 256,
        encoder_layers: int = 6,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        max_length: int = 64,
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        decoder_start_token_id: int = 1,
        gloss_token_id: int = 4,
        text_token_id: int = 5,
        gloss_pieces: list[list[int]] | None = None,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.encoder_layers = encoder_layers
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.max_length = max_length
        self.gloss_pieces = gloss_pieces
        kwargs.setdefault("tie_word_embeddings", True)
        kwargs["is_encoder_decoder"] = True
        super().__init__(**kwargs)
        # After super().__init__, which drops what it considers generation parameters.
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.decoder_start_token_id = decoder_start_token_id
        self.gloss_token_id = gloss_token_id
        self.text_token_id = text_token_id
        self._check_integers(1, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        self._check_integers(1, "intermediate_size", "max_length")
        self._check_integers(0, "encoder_layers")
        self._check_numbers(0.0, 0.99, "dropout")
        self._check_divisible("hidden_size", "num_attention_heads")
        for name in ("pad", "bos", "eos", "decoder_start", "gloss", "text"):
            value = getattr(self, f"{name}_token_id")
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.vocab_size:
                raise ValueError(
                    f"`SignXTextConfig.{name}_token_id` must be from 0 to {vocab_size - 1} with "
                    f"vocab_size={vocab_size}, got {value!r}."
                )
