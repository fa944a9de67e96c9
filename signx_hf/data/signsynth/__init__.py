"""SignSynth: a corpus of synthetic signing with known ground truth, from phonology to pixels."""
