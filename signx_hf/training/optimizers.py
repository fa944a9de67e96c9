"""Optimizers by the name of option `optim`, with their groups of weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .arguments import RunArguments

# Layers at the ends of a model, whose weights are rows of a table rather than maps between hidden states; Muon's authors advise AdamW.
ENDS = ("classifier", "aux_classifier", "ctc_head", "lm_head", "codebook_projection")


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the matrices of hidden layers (Jordan et al. 2024; learning rate matched to AdamW's as in Liu et al. 2025, arXiv
    2502.16982) and AdamW for all else, as one optimizer with one state.

    Args:
        muon: with the matrices of hidden layers.
        adamw: with all other weights. Both are only used through this optimizer afterwards.
    """

    def __init__(self, muon: torch.optim.Muon, adamw: torch.optim.AdamW):
        self.parts = (muon, adamw)
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both parts work on this optimizer's groups and state."""
        muon, adamw = self.parts
        count = len(muon.param_groups)
        muon.param_groups, adamw.param_groups = self.param_groups[:count], self.param_groups[count:]
        muon.state = adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict, as in torch."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update all weights once. `closure` must be None; it is part of torch's signature."""
        for part in self.parts:
            part.step()


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the trained weights of the linear layers between the ends of a model."""
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.weight.requires_grad
        and not any(part in ENDS for part in name.split("."))
    ]


def make_optimizer(model: nn.Module, run: RunArguments, others: Sequence[nn.Parameter] = ()) -> torch.optim.Optimizer:
    """Build the optimizer of a run. Biases, norms and other vectors do not decay, nor do `others`, of no model."""
    hidden = hidden_matrices(model) if run.optim == "muon" else []
    chosen = {id(parameter) for parameter in hidden}
    trained = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": run.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if others:
        groups.append({"params": list(others), "weight_decay": 0.0})
    betas = (run.adam_beta1, run.adam_beta2)
    adamw = torch.optim.AdamW(groups, lr=run.learning_rate, betas=betas, fused=True)
    if not hidden:
        return adamw
    muon = torch.optim.Muon(
        hidden, lr=run.learning_rate, weight_decay=run.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return MuonWithAdamW(muon, adamw)
