"""What a step of training does not do again: look for the model within its wrappers, and set a mode that is set."""

import pytest
import torch
from accelerate import Accelerator
from training_runs import make_corpus, options

from signx_hf.modeling.modeling_signx import SignXForLatentCTC
from signx_hf.training.arguments import collect
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages import stage_class


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "clips", clips=10)


class Watched(stage_class("latent_ctc")):
    """Notes the mode in which each batch meets the model."""

    def before_batch(self, model, batch, ids, step, total):
        self.modes = [*getattr(self, "modes", []), (step, {part.training for part in model.modules()})]
        return super().before_batch(model, batch, ids, step, total)


def train(corpus, out, **changes):
    arguments = collect(options(corpus, out, **changes), stage_class("latent_ctc").defaults)
    stage = Watched(arguments)
    TrainingRun(stage, arguments).train()
    return stage


def test_every_step_trains_in_training_mode_also_after_an_evaluation(corpus, tmp_path):
    stage = train(corpus, tmp_path / "run", max_steps=6, eval_epochs=1, save_epochs=1)
    assert [step for step, _ in stage.modes] == list(range(6))
    assert {frozenset(modes) for _, modes in stage.modes} == {frozenset({True})}
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) > 6, "there were evaluations between"


def test_what_a_step_costs_besides_its_sums_does_not_grow_with_steps(corpus, tmp_path, monkeypatch):
    calls = {"unwrap_model": 0, "train": 0}
    plain_ones = (Accelerator, Accelerator.unwrap_model), (SignXForLatentCTC, SignXForLatentCTC.train)
    for owner, plain in plain_ones:

        def counted(self, *given, name=plain.__name__, plain=plain, **more):
            calls[name] += name != "train" or not given or given[0]
            return plain(self, *given, **more)

        monkeypatch.setattr(owner, plain.__name__, counted)
    found = []
    for steps in (2, 6):
        calls.update(unwrap_model=0, train=0)
        train(corpus, tmp_path / str(steps), max_steps=steps, eval_epochs=0, save_epochs=0)
        found.append(dict(calls))
    assert found[0] == found[1] and found[0]["unwrap_model"] >= 1


def test_parameters_are_those_of_the_model():
    from signx_hf.training.weights import TrainedWeights

    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    weights = TrainedWeights(Accelerator(cpu=True), model, ema_decay=0.5)
    assert weights.unwrapped is model and all(a is b for a, b in zip(weights.parameters, model.parameters()))
