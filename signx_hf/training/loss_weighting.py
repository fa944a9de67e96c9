"""Weights of the parts of a loss that are learned with the model (option `loss_weighting: learned`; SignX-1, equation 12)."""

from pathlib import Path

import torch
from accelerate import Accelerator

from ..processing.errors_signx import SignXError
from .checkpoints import SignXDamagedError
from .objective import unit_of

FILE = "loss_weighting"  # of a checkpoint; the saved model has no use for it
LIMIT = 5.0  # of a log-variance: a part that is learned perfectly would weigh infinitely


class LearnedWeighting(torch.nn.Module):
    """Weigh each part of a loss by its uncertainty: `sum_p w_p (exp(-s_p) L_p + s_p)` with a learned log-variance `s_p`.

    From Kendall et al. 2018 (arXiv 1705.07115), without the factors of one half (choice). All start at 0, where the loss is that of
    fixed weights `w_p`; the best `s_p` is `log L_p`, so that each part then counts relatively.

    Args:
        parts: of the loss.
    """

    def __init__(self, parts: tuple[str, ...]):
        super().__init__()
        self.log_variances = torch.nn.ParameterDict({part: torch.nn.Parameter(torch.zeros(())) for part in parts})

    def forward(
        self, parts: dict[str, torch.Tensor], weights: dict[str, float], shares: dict[str, float]
    ) -> torch.Tensor:
        """Return the loss to differentiate; arguments as of `objective.total`."""
        losses = []
        for name, value in parts.items():
            s = _bounded(self.log_variances[name])
            losses.append(weights[name] * (torch.exp(-s) * shares.get(unit_of(name), 1.0) * value + s))
        return sum(losses[1:], losses[0])

    def sync(self, accelerator: Accelerator) -> None:
        """Average the gradients over processes: this module is too small to be wrapped for it."""
        for parameter in self.parameters():
            if accelerator.num_processes > 1 and parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")

    def metrics(self) -> dict[str, float]:
        """Return the factor `exp(-s_p)` of each part, for the log."""
        return {
            f"loss_weighting/{name}": float(torch.exp(-_bounded(s.detach()))) for name, s in self.log_variances.items()
        }

    def restore(self, tensors: dict[str, dict[str, torch.Tensor]], folder: Path) -> None:
        """Load the log-variances from the tensors of a checkpoint, by file.

        Raises:
            SignXDamagedError: If they are missing or not of these parts.
        """
        try:
            self.load_state_dict(tensors[FILE])
        except (KeyError, RuntimeError) as error:
            raise SignXDamagedError(
                folder / f"{FILE}.safetensors", "its weights are not of these losses", folder
            ) from error


def _bounded(value: torch.Tensor) -> torch.Tensor:
    """Bound a log-variance smoothly: unlike a clamp, this leaves a gradient that can bring it back."""
    return LIMIT * torch.tanh(value / LIMIT)


def make_weighting(
    kind: str, parts: tuple[str, ...], accelerator: Accelerator, sharded: bool
) -> LearnedWeighting | None:
    """Return the weighting that option `loss_weighting` names; None for fixed weights.

    Raises:
        SignXError: If weights are sharded, which the few numbers of this one cannot be.
    """
    if kind == "fixed":
        return None
    if sharded:
        raise SignXError("`loss_weighting` must be fixed where weights are sharded, got learned. Train unsharded.")
    return LearnedWeighting(parts).to(accelerator.device)
