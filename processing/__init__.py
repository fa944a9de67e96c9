"""What travels to the Hub with the weights: processors, tokenizer and pipelines. Installed as `signx_hf.processing`.

Files here are flat and import only torch, numpy, transformers, PyAV and their siblings, because `save_pretrained` copies
them next to the weights and `trust_remote_code=True` loads them without this package.
"""

if __name__ == "processing":  # found through the repository root: would create a second copy of every class
    raise ImportError("import signx_hf.processing, not processing")

import importlib

EXPORTS = {
    "SignXError": "errors_signx",
    "SignXFileNotFoundError": "errors_signx",
    "SignXPoseError": "errors_signx",
    "SignXTokenError": "errors_signx",
    "SignXVideoError": "errors_signx",
    "SignXWarning": "errors_signx",
    "SignXPoseFeatureExtractor": "feature_extraction_signx",
    "IsolatedSignRecognitionPipeline": "isolated_pipeline_signx",
    "SignRecognitionPipeline": "pipeline_signx",
    "SignSpottingPipeline": "spotting_pipeline_signx",
    "SignTranslationPipeline": "translation_pipeline_signx",
    "SignXProcessor": "processing_signx",
    "Candidate": "results_signx",
    "GlossSegment": "results_signx",
    "Hypothesis": "results_signx",
    "Recognition": "results_signx",
    "Sentence": "results_signx",
    "TextHypothesis": "results_signx",
    "Translation": "results_signx",
    "Word": "results_signx",
    "Rejection": "results_signx",
    "SignRecognition": "results_signx",
    "Signer": "results_signx",
    "Utterance": "results_signx",
    "SignXTokenizer": "tokenization_signx",
    "SignXVideoProcessor": "video_processing_signx",
    "UniGloRFeatureExtractor": "feature_extraction_uniglor",
}


def __getattr__(name: str):
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{EXPORTS[name]}"), name)
