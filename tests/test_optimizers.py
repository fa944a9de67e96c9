"""Optimizers of training: which weights go to which, and that one made of two is both."""

import copy

import pytest
import torch
from torch import nn

from signx_hf.processing.errors_signx import SignXError
from signx_hf.training.arguments import RunArguments, collect
from signx_hf.training.optimizers import MuonWithAdamW, hidden_matrices, make_optimizer


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.hidden = nn.Linear(8, 8)
        self.lstm = nn.LSTM(8, 4)
        self.norm = nn.LayerNorm(8)
        self.classifier = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.hidden(self.embedding(ids)))
        return self.classifier(self.norm(hidden + self.lstm(hidden)[0].repeat(1, 1, 2)))


def run_options(**options) -> RunArguments:
    return RunArguments(optim="muon", learning_rate=0.01, weight_decay=0.1, **options)


def steps_of(model: nn.Module, optimizer: torch.optim.Optimizer, count: int, first: int = 0) -> None:
    for step in range(first, first + count):
        ids = torch.randint(0, 5, (4, 6), generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten() % 3).backward()
        optimizer.step()
        optimizer.zero_grad()


def small() -> Small:
    torch.manual_seed(0)
    return Small()


def test_muon_gets_the_matrices_between_the_ends():
    model = small()
    assert [p is model.hidden.weight for p in hidden_matrices(model)] == [True]
    model.hidden.weight.requires_grad = False
    assert hidden_matrices(model) == []


def test_two_optimizers_in_one_do_what_both_do():
    together, apart = small(), small()
    steps_of(together, make_optimizer(together, run_options()), 5)
    muon = torch.optim.Muon([apart.hidden.weight], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    others = [p for p in apart.parameters() if p is not apart.hidden.weight]
    adamw = torch.optim.AdamW(
        [{"params": [p for p in others if p.ndim > 1], "weight_decay": 0.1},
         {"params": [p for p in others if p.ndim == 1], "weight_decay": 0.0}],
        lr=0.01, betas=(0.9, 0.999),
    )  # fmt: skip

    class Both:
        def step(self):
            muon.step()
            adamw.step()

        def zero_grad(self):
            muon.zero_grad()
            adamw.zero_grad()

    steps_of(apart, Both(), 5)
    for (name, left), right in zip(together.named_parameters(), apart.parameters()):
        torch.testing.assert_close(left, right, msg=name)


def test_a_run_goes_on_exactly_from_a_saved_state():
    straight = small()
    steps_of(straight, make_optimizer(straight, run_options()), 6)
    first = small()
    before = make_optimizer(first, run_options())
    steps_of(first, before, 3)
    second = copy.deepcopy(first)
    after = make_optimizer(second, run_options())
    after.load_state_dict(before.state_dict())
    steps_of(second, after, 3, first=3)
    for left, right in zip(straight.parameters(), second.parameters()):
        assert torch.equal(left, right)


def test_a_learning_rate_that_is_set_reaches_both():
    model = small()
    optimizer = make_optimizer(model, run_options())
    assert isinstance(optimizer, MuonWithAdamW)
    before = [p.clone() for p in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    steps_of(model, optimizer, 1)
    assert all(torch.equal(left, right) for left, right in zip(before, model.parameters()))


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(SignXError, match="`optim` must be adamw or muon, got 'sgd'"):
        collect({"dataset": "x", "output_dir": "y", "optim": "sgd"})
