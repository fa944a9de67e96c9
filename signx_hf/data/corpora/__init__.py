"""One file and one class per corpus; `signx_hf/data/load.py` has the table of their names."""
