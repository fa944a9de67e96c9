"""UniGloR's SignMAE: graph convolution, masking, the decoder, and windows."""

import math

import pytest
import torch
from uniglor_minis import MINI, SEVEN, mini, segments

from signx_hf import UniGloRConfig, UniGloRSignMAE
from signx_hf.modeling.graph_uniglor import UniGloRGraphConv, UniGloRGraphUnit, UniGloRTemporalConv, adjacency
from signx_hf.modeling.windows_uniglor import draw_masked_frames, num_windows, window_frames, window_starts

EDGES, POINTS = SEVEN["edges"], 7


def shaken(module, seed=0):
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return module.eval()


def test_adjacency_is_the_mean_over_neighbors():
    matrices = adjacency(EDGES, POINTS)
    assert torch.equal(matrices[0], torch.eye(7))
    assert matrices[1, 0].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0]  # the neck has the nose and the arm hanging on it
    assert matrices[2, 0].sum() == 0 and matrices[2, 6, 5] == 1 and matrices[1, 5, 6] == 1
    assert all(row in (0.0, 1.0) for row in matrices.sum(-1).flatten().tolist())


@pytest.mark.parametrize("inputs, size", [(3, 8), (8, 12), (32, 4)])
def test_graph_convolution_is_its_equation(inputs, size):
    """By loops over channels and subsets, for both orders of the products."""
    layer = shaken(UniGloRGraphConv(EDGES, POINTS, inputs, size, "layer"))
    x = torch.randn(2, 5, POINTS, inputs, generator=torch.Generator().manual_seed(1))
    y = torch.zeros(2, 5, POINTS, size)
    reduced = layer.reduced
    for k in range(3):
        rows = slice(k * reduced, (k + 1) * reduced)
        q1 = (x @ layer.query.weight[rows].T + layer.query.bias[rows]).mean(1)
        q2 = (x @ layer.key.weight[rows].T + layer.key.bias[rows]).mean(1)
        out = slice(k * size, (k + 1) * size)
        value = x @ layer.value.weight[out].T + layer.value.bias[out]
        for b in range(2):
            q = torch.tanh(q1[b][:, None] - q2[b][None])  # [u, v, r]
            r = q @ layer.refine.weight[out].T + layer.refine.bias[out]
            for f in range(size):
                y[b, :, :, f] += value[b, :, :, f] @ (layer.alpha * r[..., f] + layer.adjacency[k]).T
    for mix in (layer._mix_channels, layer._mix_inputs):
        torch.testing.assert_close(mix(x), y, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer(x), layer.norm(y) + layer.residual(x), atol=1e-4, rtol=1e-4)


def test_with_alpha_zero_it_is_a_plain_graph_convolution():
    layer = UniGloRGraphConv(EDGES, POINTS, 3, 8, "layer").eval()
    assert layer.alpha == 0
    x = torch.randn(2, 5, POINTS, 3)
    value = layer.value(x).view(2, 5, POINTS, 3, 8)
    plain = sum(torch.einsum("uv,btvf->btuf", adjacency(EDGES, POINTS)[k], value[..., k, :]) for k in range(3))
    torch.testing.assert_close(layer(x), layer.norm(plain) + layer.residual(x), atol=1e-5, rtol=1e-5)


def test_points_in_another_order_give_the_same_in_that_order():
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    unit = shaken(UniGloRGraphUnit(EDGES, POINTS, 3, 8, "layer"))
    other = UniGloRGraphUnit(EDGES, POINTS, 3, 8, "layer").eval()
    other.load_state_dict(unit.state_dict())
    with torch.no_grad():
        other.graph.adjacency.copy_(unit.graph.adjacency[:, order][:, :, order])
    x = torch.randn(2, 15, POINTS, 3)
    torch.testing.assert_close(other(x[:, :, order]), unit(x)[:, :, order], atol=1e-5, rtol=1e-5)


def test_temporal_branches_are_convolutions_and_a_maximum():
    layer = shaken(UniGloRTemporalConv(12, "layer"))
    x = torch.randn(2, 15, POINTS, 12)
    branches = layer.reduce_norm(layer.reduce(x)).relu().split(3, -1)
    parts = []
    for index, dilation in enumerate((1, 2)):
        weight = layer.convolutions[index].weight.view(3, 5, 3).permute(0, 2, 1)[..., None]  # [out, in, taps, 1]
        conv = torch.nn.functional.conv2d(
            branches[index].permute(0, 3, 1, 2), weight, layer.convolutions[index].bias,
            padding=(2 * dilation, 0), dilation=(dilation, 1),
        )  # fmt: skip
        parts.append(conv.permute(0, 2, 3, 1))
    pooled = torch.nn.functional.max_pool2d(branches[2].permute(0, 3, 1, 2), (3, 1), 1, (1, 0))
    expected = layer.norm(torch.cat([*parts, pooled.permute(0, 2, 3, 1), branches[3]], -1))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_four_of_fifteen_frames_are_out_and_glor_comes_first():
    model = mini()
    keypoints, mask = segments(model.config)
    masked = draw_masked_frames(3, 15, model.config.masked_frames, torch.Generator().manual_seed(1))
    assert masked.sum(1).tolist() == [4, 4, 4] and not torch.equal(masked[0], masked[1])
    seen = []
    model.encoder.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.encode_segments(keypoints, mask, masked)
    assert seen[0].shape == (3, 12, 24)
    torch.testing.assert_close(seen[0][:, 0], model.encoder.glor.expand(3, -1))
    whole = model.encoder.embed_frames(keypoints, mask)
    from signx_hf.modeling.layers_signx import sinusoidal_positions

    whole = whole + sinusoidal_positions(torch.arange(15), 24, torch.float32)  # before the masking
    for row in range(3):
        torch.testing.assert_close(seen[0][row, 1:], whole[row][~masked[row]])
    model.encode_segments(keypoints, mask)
    assert seen[1].shape == (3, 16, 24)


def test_a_mask_token_keeps_the_place_of_a_frame():
    model = mini(mask_mode="token")
    keypoints, mask = segments(model.config)
    masked = draw_masked_frames(3, 15, 4, torch.Generator().manual_seed(1))
    states = torch.randn(3, 15, 24)
    hidden = model.encoder.hide(states, masked)
    assert hidden.shape == states.shape and torch.equal(hidden[~masked], states[~masked])
    assert not torch.isclose(hidden[masked], states[masked]).all()
    assert torch.isfinite(model(keypoints, mask, masked).loss)


def test_masked_frames_are_drawn_in_training_and_by_the_seed_alone():
    model = mini(dropout=0.0)
    keypoints, mask = segments(model.config)
    plain = model(keypoints, mask).representations
    model.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(keypoints, mask).representations)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.allclose(drawn[0], plain)
    masked = draw_masked_frames(3, 15, 4, torch.Generator().manual_seed(1))
    assert torch.equal(model(keypoints, mask, masked).loss, model(keypoints, mask, masked).loss)


@pytest.mark.parametrize("decoder, query", [("non_autoregressive", "learned"), ("non_autoregressive", "positional"), ("autoregressive", "learned")])  # fmt: skip
def test_the_decoder_sees_z_alone(decoder, query):
    model = mini(decoder=decoder, query=query)
    keypoints, mask = segments(model.config)
    z = model.encode_segments(keypoints, mask)
    expected = model.decode_segments(z)
    assert expected.shape == keypoints.shape
    torch.testing.assert_close(model(keypoints, mask).reconstruction, expected)
    assert not torch.allclose(model.decode_segments(z + 1), expected)
    torch.testing.assert_close(model.decode_segments(z[[1]]), expected[[1]], atol=1e-5, rtol=1e-5)
    if decoder == "autoregressive":  # trained on true frames, it decodes frame by frame what teacher forcing gives
        torch.testing.assert_close(model.decoder(z, expected), expected, atol=1e-4, rtol=1e-4)
    else:  # all frames at once: the first depends on a query of the last
        assert model.decoder.layers[0].self_attn.is_causal is False
        if query == "learned":
            with torch.no_grad():
                model.decoder.queries[-1] = torch.randn(24)
            assert not torch.allclose(model.decode_segments(z)[:, 0], expected[:, 0])


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_segment_alone_is_the_same_in_a_batch(norm):
    model = mini(norm=norm)
    keypoints, mask = segments(model.config, 5)
    together = model(keypoints, mask)
    for row in range(5):
        alone = model(keypoints[[row]], mask[[row]])
        torch.testing.assert_close(alone.representations[0], together.representations[row], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.reconstruction[0], together.reconstruction[row], atol=1e-5, rtol=1e-5)
    loose = keypoints.clone()
    loose[~mask] = 99.0  # what was not seen does not count
    torch.testing.assert_close(model(loose, mask).loss, together.loss)
    assert not torch.allclose(model(keypoints).representations, together.representations)


@pytest.mark.parametrize("frames, expected", [(1, 1), (15, 1), (21, 1), (22, 2), (116, 15), (173, 23)])
def test_number_of_windows(frames, expected):
    assert num_windows(frames, 15, 7) == expected == len(window_starts(frames, 15, 7))
    if frames >= 15:
        assert expected == math.floor((frames - 15) / 7) + 1
    index = window_frames(frames, 15, 7, cover_tail=True)
    assert len(index) == num_windows(frames, 15, 7, cover_tail=True) and int(index.max()) == frames - 1
    assert all((row[1:] - row[:-1]).unique().tolist() == [1] for row in index) or frames < 15
    assert window_frames(3, 15, 7)[0].tolist() == [0, 1, *[2] * 13]


def test_windows_of_a_padded_batch_are_those_of_the_clip_alone():
    model = mini()
    lengths = [36, 9, 22, 16]
    keypoints, mask = segments(model.config, 4, frames=36, missing=0.1)
    real = torch.arange(36)[None] < torch.tensor(lengths)[:, None]
    for tail in (False, True):
        found, exists = model.represent(keypoints, mask, real, cover_tail=tail)
        assert exists.sum(1).tolist() == ([4, 1, 2, 1] if not tail else [4, 1, 2, 2])
        for row, length in enumerate(lengths):
            alone, _ = model.represent(keypoints[[row], :length], mask[[row], :length], cover_tail=tail)
            torch.testing.assert_close(found[row][exists[row]], alone[0], atol=1e-5, rtol=1e-5)
            by_hand = model.encode_segments(
                *(part[row, :length][window_frames(length, 15, 7, tail)] for part in (keypoints, mask))
            )
            torch.testing.assert_close(alone[0], by_hand, atol=1e-5, rtol=1e-5)
        assert not found[~exists].any()
    hole = real.clone()
    hole[0, 5] = False  # a frame inside of a clip that is not real shows nothing
    unseen = mask.clone()
    unseen[0, 5] = False
    torch.testing.assert_close(model.represent(keypoints, mask, hole)[0], model.represent(keypoints, unseen, real)[0])
    assert not torch.allclose(model.represent(keypoints, mask, hole)[0], model.represent(keypoints, mask, real)[0])
    with torch.no_grad():
        chunks, _ = model.represent(*segments(model.config, 2, frames=200), stride=3)
    assert chunks.shape == (2, 62, 24)


def test_a_segment_is_decoded_from_z_after_one_clip_was_learned():
    torch.manual_seed(0)
    config = UniGloRConfig(**{**SEVEN, **MINI, "hidden_size": 48, "dropout": 0.0, "mask_ratio": 0.0})
    model = UniGloRSignMAE(config).train()
    times = torch.linspace(0, 3, 15)[None, :, None, None]
    keypoints = torch.sin(times * torch.arange(1, 8).view(1, 1, 7, 1) + torch.tensor([0.0, 1.0]))
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 120)
    for _ in range(120):
        optimizer.zero_grad()
        model(keypoints).loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    decoded = model.decode_segments(model.encode_segments(keypoints))
    assert (decoded - keypoints).norm(dim=-1).mean() < 0.02


def test_what_cannot_be_encoded_is_named():
    model = mini()
    keypoints, mask = segments(model.config)
    wrong = [
        ({"keypoints": keypoints[..., :1]}, "[batch, frames, 7, 2]"),
        ({"keypoints": keypoints[:, :14]}, "segments of 15 frames"),
        ({"keypoints": keypoints, "keypoint_mask": mask[:, :3]}, "one value per point"),
        ({"keypoints": keypoints, "keypoint_mask": torch.zeros_like(mask)}, "show a point"),
        ({"keypoints": keypoints.index_fill(0, torch.tensor([1]), torch.nan)}, "segment 1"),
    ]
    for inputs, says in wrong:
        with pytest.raises(ValueError) as caught:
            model(**inputs)
        assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="keypoint_mask"):
        model(keypoints, keypoints_mask=mask)
    nan = keypoints.clone()
    nan[~mask] = torch.nan  # not seen, so not looked at
    torch.testing.assert_close(model(nan, mask).loss, model(keypoints, mask).loss)
