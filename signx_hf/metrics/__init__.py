"""Metrics as pure functions."""

from .calibration import expected_calibration_error
from .error_rate import ErrorRate, wer

__all__ = ["ErrorRate", "expected_calibration_error", "wer"]
