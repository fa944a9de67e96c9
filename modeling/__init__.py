"""What travels to the Hub with the weights: configurations, models and CTC. Installed as `signx_hf.modeling`.

Files here are flat and import only torch, numpy, transformers and their siblings, because `save_pretrained` copies them next to
the weights and `trust_remote_code=True` loads them without this package.
"""

if __name__ == "modeling":  # found through the repository root: would create a second copy of every class
    raise ImportError("import signx_hf.modeling, not modeling")
