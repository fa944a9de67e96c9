"""Many clips to files: which clips, where their results go, and who works on them. `signx_hf.recognition.run` has the model."""
