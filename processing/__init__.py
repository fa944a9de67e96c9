"""What travels to the Hub with the weights: processors, tokenizer and pipelines. Installed as `signx_hf.processing`.

Files here are flat and import only torch, numpy, transformers, PyAV and their siblings, because `save_pretrained` copies them next to
the weights and `trust_remote_code=True` loads them without this package.
"""

if __name__ == "processing":  # found through the repository root: would create a second copy of every class
    raise ImportError("import signx_hf.processing, not processing")
