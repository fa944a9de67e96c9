"""The way of a new user, command by command: a table of videos, checked, extracted at another rate, checked, trained on,
evaluated and published. Nothing warns of what is not so."""

import json

import av
import numpy as np
import pytest
from conftest import ROOT
from hub_client import Client
from hub_server import HubServer

pytest.importorskip("jiwer")
SIGNS, SIGNERS, FRAMES, RATE = ("COFFEE", "TEA", "WATER"), ("ann", "bob", "cleo", "dan"), 40, 25
MODEL = {
    "vision_config": None, "pooling": "hybrid",
    "pose_config": {"track_dims": {"changes": 16}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24, "num_hidden_layers": 0,
                    "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0},
    "classifier_config": {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0},
}  # fmt: skip


def film(path, sign: int, signer: int):
    """A sign is where in the picture something flickers, a signer how brightly."""
    dice = np.random.default_rng([sign, signer])
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=RATE)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(FRAMES):
            picture = np.full((64, 64, 3), 90 + 10 * signer, np.uint8)
            if 5 <= index < FRAMES - 5:
                picture[20 * sign : 20 * sign + 20, 10:50] += np.uint8(40 + dice.integers(30)) * np.uint8(
                    index // 3 % 2
                )
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with videos in several containers, one of a name like an address, and their table."""
    folder = tmp_path_factory.mktemp("user")
    lines = ["id\tvideo\tglosses\tsigner\tsplit"]
    endings = ("mp4", "mkv", "avi", "ts")
    for sign, gloss in enumerate(SIGNS):
        for signer, name in enumerate(SIGNERS):
            video = f"12:{signer} {gloss}.{endings[signer]}"
            film(folder / video, sign, signer)
            lines.append(f"{gloss}-{name}\t{video}\t{gloss}\t{name}\t{'test' if name == 'dan' else 'train'}")
    (folder / "my.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_nothing_warns_of_what_is_not_so(work):
    with HubServer() as hub:
        environment = hub.environment(work / "home") | {"PYTHONPATH": f"{ROOT}/tests", "PYTHONWARNINGS": ""}
        client = Client({**environment, "OMP_NUM_THREADS": "1"}, work)

        def command(*words) -> str:
            code, said, errors = client(*words)
            assert (code, errors) == (0, []), (words, said, errors)
            return said

        try:
            assert command("data", "check", "my.tsv").endswith("0 errors, 0 warnings\n")
            said = command("extract", "my.tsv", "--tracks", "extract_probe:Changes", "--fps", "12.5", "--out", "poses")
            assert said.startswith("12 clips, 24")
            assert command("data", "check", "poses").endswith("0 errors, 0 warnings\n")
            command(
                "train", "isolated", "--dataset", "poses", "--dev_split", "test", "--output_dir", "run", "--max_steps", "8",
                "--per_device_train_batch_size", "9", "--model_config", json.dumps(MODEL), "--fps", "12.5", "--eval_epochs", "0",
                "--save_epochs", "0", "--num_workers", "0", "--progress", "false", "--plot", "false", "--learning_rate", "0.01",
            )  # fmt: skip
            assert "3 clips" in command("evaluate", "run/model", "poses", "--out", "results", "--rounds", "50")
            said = command("push", "run/model", "someone/model", "--results", "results/results.json")
            assert said.startswith("published someone/model@") and "model.safetensors" in hub.tree("someone/model")
        finally:
            client.close()
