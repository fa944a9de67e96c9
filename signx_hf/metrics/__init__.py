"""Metrics as pure functions."""

from .error_rate import ErrorRate, wer

__all__ = ["ErrorRate", "wer"]
