"""Make pipelines of isolated signs."""

from make_model import FPS, GLOSSES, make_model, make_processor
from transformers import pipeline

import signx_hf

TASK = "isolated-sign-recognition"


LABELS = dict(enumerate(GLOSSES))


def make_classifier(tracks: dict[str, int], **options):
    processor = make_processor()
    processor.feature_extractor = signx_hf.SignXPoseFeatureExtractor(track_dims=tracks, fps=FPS)
    model = make_model("SignXForSignClassification", pose_config={"track_dims": tracks}, id2label=LABELS)
    return pipeline(TASK, model=model, processor=processor, device="cpu", **options)
