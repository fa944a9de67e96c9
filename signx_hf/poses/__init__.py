"""The five pose tracks: extractors, who of several people is the signer, and `signx-hf extract`."""
