"""Check the labels of the losses. Legend: B batch, L target length, U glosses, T' feature steps; -100 is padding.

Shapes are always checked, values where the labels are in the memory of the CPU: reading them from an accelerator would
stop the program until the accelerator is done. Training checks each batch before it goes there
(`SignXPreTrainedModel.check_labels`).
"""

import torch

IGNORE = -100


def values_can_be_read(labels: torch.Tensor) -> bool:
    """Return whether reading the values of labels costs nothing and is possible."""
    return labels.device.type == "cpu" and not torch.compiler.is_compiling()


def check_ctc_labels(
    labels: torch.Tensor, lengths: torch.Tensor, num_classes: int, blank_id: int, zero_infinity: bool = False
) -> None:
    """Reject gloss labels that no CTC path can spell: their loss would be infinite, its gradient NaN.

    Args:
        labels: `[B, U]` gloss ids, -100 where padded.
        lengths: `[B]` feature steps.
        num_classes: size of the CTC vocabulary, blank included.
        blank_id: id of the blank.
        zero_infinity: whether to accept clips with too few steps; ids outside the vocabulary are always rejected.

    Raises:
        ValueError: If labels have another shape, an id is outside the vocabulary, or a clip has too few steps. The
            message names the clip.
    """
    if labels.ndim != 2 or len(labels) != len(lengths) or labels.is_floating_point():
        raise ValueError(
            f"`ctc_labels` must be integers of shape [{len(lengths)}, U], one row per clip, got {list(labels.shape)} "
            f"of {labels.dtype}."
        )
    if not values_can_be_read(labels):
        return
    lengths = lengths.cpu()
    valid = labels != IGNORE
    wrong = valid & ((labels < 0) | (labels >= num_classes) | (labels == blank_id))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"`ctc_labels[{row}, {column}]` must be a gloss id from 0 to {num_classes - 1} other than the blank "
            f"{blank_id}, got {int(labels[row, column])}. Check that tokenizer and model match."
        )
    for row in range(0 if zero_infinity else len(labels)):
        glosses = labels[row][valid[row]]
        repeats = int((glosses[1:] == glosses[:-1]).sum())
        needed = len(glosses) + repeats
        if lengths[row] < needed:
            raise ValueError(
                f"Clip {row} of the batch has {int(lengths[row])} feature steps, but its {len(glosses)} glosses with "
                f"{repeats} repeats need {needed}. Drop the clip, use more frames, pool less "
                "(recognizer_config.pool_sizes) or set recognizer_config.zero_infinity=True to ignore such clips."
            )


def check_piece_labels(labels: torch.Tensor, rows: int, vocab_size: int, prompts: tuple[int, int]) -> None:
    """Check decoder labels for what would cause an index error, targets of another clip, or a loss of NaN.

    Args:
        labels: `[B, L]` piece ids, the task prompt first, -100 where padded.
        rows: number of clips B.
        vocab_size: number of pieces.
        prompts: piece ids of the prompts for glosses and for text.

    Raises:
        ValueError: If labels have another shape, an id is outside the vocabulary, or a row has no prompt or nothing
            after it.
    """
    if labels.ndim != 2 or labels.shape[0] != rows or not labels.shape[1] or labels.is_floating_point():
        raise ValueError(
            f"`labels` must be integers of shape [{rows}, L], one row per clip, got {list(labels.shape)} of "
            f"{labels.dtype}. Use tokenizer.build_targets()."
        )
    if not values_can_be_read(labels):
        return
    wrong = (labels != IGNORE) & ((labels < 0) | (labels >= vocab_size))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"`labels[{row}, {column}]` must be a piece id from 0 to {vocab_size - 1}, or {IGNORE} for padding, got "
            f"{int(labels[row, column])}. Check that tokenizer and model match."
        )
    gloss, text = prompts
    prompted = (labels[:, 0] == gloss) | (labels[:, 0] == text)
    if not prompted.all():
        row = int((~prompted).nonzero()[0])
        raise ValueError(
            f"`labels[{row}]` must start with the task prompt {gloss} (gloss) or {text} (text), got "
            f"{int(labels[row, 0])}. Use tokenizer.build_targets()."
        )
    empty = (labels[:, 1:] == IGNORE).all(1)
    if empty.any():
        raise ValueError(
            f"`labels[{int(empty.nonzero()[0])}]` must have at least the end token after the task prompt. Use "
            "tokenizer.build_targets()."
        )


def check_sign_labels(labels: torch.Tensor, rows: int, num_labels: int) -> None:
    """Reject labels of single signs that would end in an index error.

    Args:
        labels: `[B]` sign ids; -100 is not counted.
        rows: number of clips B.
        num_labels: number of signs of the model.

    Raises:
        ValueError: If labels have another shape, or the model does not have a sign.
    """
    if labels.shape != (rows,) or labels.is_floating_point():
        raise ValueError(
            f"`labels` must be integers of shape [{rows}], one sign per clip, got {list(labels.shape)} of "
            f"{labels.dtype}."
        )
    if not values_can_be_read(labels):
        return
    wrong = (labels != IGNORE) & ((labels < 0) | (labels >= num_labels))
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"`labels[{row}]` must be a sign from 0 to {num_labels - 1} (config.num_labels is {num_labels}), got "
            f"{int(labels[row])}."
        )
