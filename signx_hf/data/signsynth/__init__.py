"""SignSynth: a corpus of made-up signing with known truth, from phonology to pixels."""
