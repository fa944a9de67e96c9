"""One file and one class for each corpus; `signx_hf/data/load.py` has the table of their names."""
