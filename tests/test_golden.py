"""The numerics stand still: stored weights and inputs give the stored outputs. `make_golden.py` says when to rewrite them."""

import pytest
import torch
from make_golden import FOLDER, golden_model, run
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def model():
    model = golden_model()
    for parameter in model.parameters():  # so that only what is loaded counts
        parameter.data.fill_(float("nan"))
    weights = load_file(FOLDER / "weights.safetensors")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected  # tied to the piece embeddings
    return model


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_stored_weights_give_the_stored_outputs(model, implementation):
    model.set_attn_implementation(implementation)
    expected = load_file(FOLDER / "expected.safetensors")
    found = run(model, load_file(FOLDER / "inputs.safetensors"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        if value.dtype == torch.bool:
            assert torch.equal(found[name], value), name
        else:
            difference = (found[name] - value).abs().max().item()
            assert difference <= 1e-5, f"{name} differs by {difference}"


def test_the_stored_outputs_depend_on_their_inputs():
    """Numbers that hardly move would hold nothing still."""
    expected = load_file(FOLDER / "expected.safetensors")
    for name, value in expected.items():
        if value.is_floating_point():
            assert value.std(dim=(0, 1)).mean() > 0.01, name
            assert (value[0, 0] - value[1, 0]).abs().max() > 1e-3, name


def test_the_stored_files_stay_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 200_000
