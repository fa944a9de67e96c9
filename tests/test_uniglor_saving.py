"""UniGloR through the Auto classes, with this package and by remote code without it."""

import json

import numpy as np
import pytest
import torch
from helpers import run_python
from test_uniglor_points import dwpose
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForVideoClassification
from uniglor_minis import MINI, mini

from signx_hf import UniGloRConfig, UniGloRFeatureExtractor, UniGloRForSignClassification, UniGloRSignMAE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    base = tmp_path_factory.mktemp("uniglor")
    config = UniGloRConfig(**MINI, num_labels=3)
    for name in ("UniGloRSignMAE", "UniGloRForSignClassification"):
        mini(name, config=config).save_pretrained(base / name)
        UniGloRFeatureExtractor().save_pretrained(base / name)
    np.save(base / "clip.npy", dwpose(40))
    return base


def answers(base, auto_model, auto_head):
    clip = {"dwpose": np.load(base / "clip.npy"), "fps": 25.0}
    found = {}
    for name, auto in (("UniGloRSignMAE", auto_model), ("UniGloRForSignClassification", auto_head)):
        inputs = AutoFeatureExtractor.from_pretrained(base / name)(clip)
        model = auto.from_pretrained(base / name).eval()
        assert type(model).__name__ == name
        with torch.no_grad():
            found[name] = model(**inputs).logits if "Class" in name else model.represent(**inputs)[0]
    return found


def test_auto_classes_load_what_was_saved_bit_for_bit(place):
    assert isinstance(AutoConfig.from_pretrained(place / "UniGloRSignMAE"), UniGloRConfig)
    found = answers(place, AutoModel, AutoModelForVideoClassification)
    direct = answers(place, UniGloRSignMAE, UniGloRForSignClassification)
    assert all(torch.equal(found[name], direct[name]) for name in direct)
    original = mini("UniGloRSignMAE", config=UniGloRConfig(**MINI, num_labels=3))
    loaded = UniGloRSignMAE.from_pretrained(place / "UniGloRSignMAE").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in original.state_dict().items())


def test_a_head_takes_the_encoder_of_signmae(place):
    head = UniGloRForSignClassification.from_pretrained(place / "UniGloRSignMAE")
    signmae = UniGloRSignMAE.from_pretrained(place / "UniGloRSignMAE")
    theirs = signmae.encoder.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in head.encoder.state_dict().items())
    assert head.class_token.abs().sum() > 0 and torch.isfinite(head.classifier.weight).all()


def test_fresh_weights_are_those_of_the_equations():
    model = UniGloRSignMAE(UniGloRConfig(**MINI))
    graph = model.encoder.graph[0].graph
    assert graph.alpha == 0 and torch.equal(graph.adjacency[0], torch.eye(73))
    assert model.decoder.queries.std().item() == pytest.approx(1, abs=0.2) and model.encoder.glor.abs().sum() > 0


def test_remote_code_says_the_same_without_the_package(place):
    expected = answers(place, AutoModel, AutoModelForVideoClassification)
    code = """
    import json, numpy as np, torch
    from transformers import AutoFeatureExtractor, AutoModel, AutoModelForVideoClassification
    clip, found = {"dwpose": np.load("clip.npy"), "fps": 25.0}, {}
    for name, auto in (("UniGloRSignMAE", AutoModel), ("UniGloRForSignClassification", AutoModelForVideoClassification)):
        inputs = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=True)(clip)
        model = auto.from_pretrained(name, trust_remote_code=True).eval()
        assert type(model).__module__.startswith("transformers_modules"), type(model)
        with torch.no_grad():
            found[name] = (model(**inputs).logits if "Class" in name else model.represent(**inputs)[0]).tolist()
    print(json.dumps(found))
    """
    found = json.loads(run_python(code, place, package=False).splitlines()[-1])
    for name, value in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), value, atol=1e-5, rtol=0)
