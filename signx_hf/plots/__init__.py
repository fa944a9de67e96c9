"""Figures (extra `plots`)."""
