"""`signx-hf evaluate`: a model on a split of a dataset, with numbers that do not depend on how the work is distributed.

from signx_hf.evaluation import EvaluationOptions, evaluate
"""

from typing import Any

from .options import SCORERS, EvaluationOptions

__all__ = ["SCORERS", "EvaluationOptions", "evaluate"]


def __getattr__(name: str) -> Any:
    if name == "evaluate":  # it imports numpy and the metrics, which the command line's parser does not need
        from .run import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
