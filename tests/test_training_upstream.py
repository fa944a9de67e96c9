"""What a stage takes from elsewhere: tracks that are hidden, a video entry trained apart."""

import numpy as np
import pytest
import torch
from training_runs import SMALL, make_corpus, options, run, started, weights_of

from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.processing.errors_signx import SignXError

THIN = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
FILMED = {**SMALL, "image_size": 32, "vision_config": THIN}


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory):
    """Clips with the tracks `hands` and `face`."""
    random, rows = np.random.default_rng(0), []
    for index in range(6):
        tracks = {"hands": random.normal(size=(30, 6)), "face": random.normal(size=(30, 4))}
        rows.append(
            make_row(id=f"clip{index}", fps=30.0, num_frames=30, split="train", glosses=["WORK"], poses=encode_poses(tracks, fps=30.0))
        )  # fmt: skip
    folder = tmp_path_factory.mktemp("two") / "data"
    to_dataset(rows, "train").save_to_disk(str(folder))
    return folder


def with_two_tracks():
    return {**SMALL, "pose_config": {**SMALL["pose_config"], "track_dims": {"hands": 6, "face": 4}}}


def test_a_hidden_track_changes_nothing_whatever_its_numbers(two_tracks, tmp_path):
    given = options(
        two_tracks, tmp_path / "run", model_config=with_two_tracks(), start="inputs", hidden_tracks=["face"]
    )
    stage = started("latent_ctc", given)
    hands, face = (list(stage.processor.feature_extractor.track_dims).index(name) for name in ("hands", "face"))
    batch = stage.collate(stage.train_examples[:3], None)
    assert not batch["pose_mask"][..., face].any() and batch["pose_mask"][..., hands].any()
    stage.model.eval()
    columns = slice(6, 10) if face else slice(0, 4)
    with torch.no_grad():
        before = stage.model(**batch).logits
        batch["pose_values"][..., columns] += 3
        after = stage.model(**batch).logits
        batch["pose_values"][..., slice(0, 6) if face else slice(4, 10)] += 3
        assert not torch.equal(stage.model(**batch).logits, before)
    assert torch.equal(before, after)


@pytest.mark.parametrize("hidden, words", [(["face", "hands"], "got all of"), (["fase"], "got 'fase'.*face")])
def test_hidden_tracks_that_make_no_sense(hidden, words, two_tracks, tmp_path):
    given = options(two_tracks, tmp_path, model_config=with_two_tracks(), start="inputs", hidden_tracks=hidden)
    with pytest.raises(SignXError, match=words):
        started("latent_ctc", given)


def test_recognizer_of_poses_goes_on_from_video_with_the_entry_of_another_run(tmp_path):
    (tmp_path / "videos").mkdir()
    filmed = make_corpus(tmp_path / "data", clips=6, videos=tmp_path / "videos")
    changes = {"cache_dir": str(tmp_path / "cache"), "num_train_epochs": 1, "fps": 30.0}
    run("pose2gloss", options(filmed, tmp_path / "1", model_config=FILMED, **changes))
    changes |= {"fps": None, "model_config": {}}
    run("video2pose", options(filmed, tmp_path / "2", upstream=str(tmp_path / "1"), window=8, **changes))
    run("latent_ctc", options(filmed, tmp_path / "p", upstream=str(tmp_path / "1"), start="inputs", **changes))
    given = options(filmed, tmp_path / "3", upstream=str(tmp_path / "p"), start="inputs", source="video",
                    video_entry=str(tmp_path / "2"), **changes)  # fmt: skip
    stage = started("latent_ctc", given)
    ours, recognizer, entry = stage.model.state_dict(), weights_of(tmp_path / "p"), weights_of(tmp_path / "2")
    from_entry = [name for name in entry if "video_encoder" in name and name in ours]
    assert from_entry and all(torch.equal(ours[name], entry[name]) for name in from_entry)
    assert any(not torch.equal(entry[name], recognizer[name]) for name in from_entry if name in recognizer)
    rest = [name for name in recognizer if name.startswith("recognizer.")]
    assert rest and all(torch.equal(ours[name], recognizer[name]) for name in rest)
    with pytest.raises(
        SignXError, match="must be a trained model: .*Pass the checkpoint of `signx-hf train video2pose`"
    ):
        started("latent_ctc", {**given, "video_entry": str(tmp_path / "nowhere")})
