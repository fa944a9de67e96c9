"""Train small models of isolated signs on hands made here."""

from made_hands import stored_sign

from signx_hf.data.schema import make_row, to_dataset
from signx_hf.processing.hands_signx import HAND_FEATURES
from signx_hf.training.arguments import collect
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages import stage_class

BODY = {
    "vision_config": None, "pooling": "hybrid", "average_mirror": True,
    "pose_config": {"track_dims": {"hands": HAND_FEATURES}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 32,
                    "num_hidden_layers": 0, "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0},
    "classifier_config": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.0},
}  # fmt: skip


def dataset(signs, clips, folder, first=0):
    rows = [
        make_row(id=f"{sign}-{clip}", glosses=[f"SIGN-{sign}"], signer=f"s{clip}", split="train" if clip < first + clips - 1 else "test",
                 poses=stored_sign(sign, clip), fps=25.0, num_frames=30)
        for sign in signs for clip in range(first, first + clips)
    ]  # fmt: skip
    to_dataset(rows).save_to_disk(str(folder))
    return folder


def trained(data, output, steps, **options):
    arguments = {
        "dataset": str(data), "output_dir": str(output), "dev_split": "test", "max_steps": steps, "eval_epochs": 0, "save_epochs": 0,
        "per_device_train_batch_size": 16, "learning_rate": 3e-3, "optim": "muon", "num_workers": 0, "progress": False, "plot": False,
        "mirror": 0.5, "time_warp": 0.3, "rotation": 8, "hand_drop": 0.1, "average_best": 1, **options,
    }  # fmt: skip
    stage = stage_class("isolated")
    options = collect(arguments, stage.defaults)
    return TrainingRun(stage(options), options).train()
