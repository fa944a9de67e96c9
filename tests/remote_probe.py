"""What a user does with a saved folder, through the Auto classes alone; run with and without the package, to be compared.

Imports nothing of this repository: it also runs where `signx_hf` cannot be imported.
"""

from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer, pipeline
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

SENTENCE = "IX-1p NOT-YET 天气"
TASKS = {"AutoModelForVideoClassification": "isolated-sign-recognition"}
BY_CTC = {"decoder": "ctc", "n_best": 2}
OPTIONS = {
    "AutoModelForSeq2SeqLM": [BY_CTC, {"decoder": "attention", "n_best": 2, "max_new_tokens": 8}],
    "AutoModelForCTC": [BY_CTC],
    "AutoModelForVideoClassification": [{"top_k": 2}],
}


def load(folder: Path, auto_class: str, trust: bool | None) -> dict[str, object]:
    """Everything that can be loaded from the folder by itself."""
    autos = {
        "config": AutoConfig,
        "model": getattr(transformers, auto_class),
        "base": AutoModel,
        "processor": AutoProcessor,
        "tokenizer": AutoTokenizer,
        "feature_extractor": AutoFeatureExtractor,
        "video_processor": AutoVideoProcessor,
    }
    return {name: auto.from_pretrained(folder, trust_remote_code=trust) for name, auto in autos.items()}


def probe(folder: Path, auto_class: str, poses: dict, video: Path, trust: bool | None, resave: Path | None) -> dict:
    """`homes`: the package each class came from; `tensors` of both inputs; `said` by the pipelines; `ids` of a sentence.

    With `resave` the model and the processor are saved there again.
    """
    parts = load(folder, auto_class, trust)
    model, processor, tokenizer = parts["model"].eval(), parts["processor"], parts["tokenizer"]
    task = TASKS.get(auto_class, "sign-recognition")
    pipe = pipeline(task, model=str(folder), trust_remote_code=trust, device="cpu")
    parts["pipeline"] = pipe
    tensors, said = {}, {}
    for kind, clip in (("poses", poses), ("videos", str(video))):
        with torch.no_grad():
            tensors[kind] = model(**processor(**{kind: clip})).logits
            tensors[f"{kind} base"] = parts["base"].eval()(**processor(**{kind: clip})).last_hidden_state
        said[kind] = [pipe(clip, **options) for options in OPTIONS[auto_class]]
    if trust:  # the task comes from the folder; for code that travels only
        said["inferred"] = pipeline(model=str(folder), trust_remote_code=True, device="cpu")(poses)
        said["named"] = pipe(poses)
    if resave is not None:
        model.save_pretrained(resave)
        processor.save_pretrained(resave)
    ids = tokenizer(SENTENCE).input_ids
    return {
        "homes": {name: type(part).__module__.split(".")[0] for name, part in parts.items()},
        "tensors": tensors,
        "said": said,
        "ids": [ids, tokenizer.encode_ctc(SENTENCE), tokenizer.decode(ids, skip_special_tokens=True)],
    }
