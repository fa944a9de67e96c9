"""Configurations, models and CTC, which travel to the Hub with the weights. Installed as `signx_hf.modeling`.

The files are flat and import only torch, numpy, transformers and their siblings, because `save_pretrained` copies them
next to the weights and `trust_remote_code=True` loads them without this package.
"""

if __name__ == "modeling":  # found through the repository root: would create a second copy of every class
    raise ImportError("import signx_hf.modeling, not modeling")

import importlib

EXPORTS = {
    "NGramModel": "ngram_signx",
    "SignXClassifierConfig": "recognizer_config_signx",
    "SignXConfig": "configuration_signx",
    "SignXPoseConfig": "pose_config_signx",
    "SignXRecognizerConfig": "recognizer_config_signx",
    "SignXTemporalConfig": "pose_config_signx",
    "SignXTextConfig": "text_config_signx",
    "SignXModel": "encoders_signx",
    "SignXPreTrainedModel": "encoders_signx",
    "SignXForGlossRecognition": "modeling_signx",
    "SignXForLatentCTC": "modeling_signx",
    "SignXForPose2Gloss": "modeling_signx",
    "SignXForSignClassification": "classification_signx",
    "SignXForVideo2Pose": "modeling_signx",
    "UniGloRConfig": "configuration_uniglor",
    "UniGloRForSignClassification": "modeling_uniglor",
    "UniGloRSignMAE": "modeling_uniglor",
}


def __getattr__(name: str):
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{EXPORTS[name]}"), name)
