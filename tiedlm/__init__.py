"""Does tying the output matrix to the word embeddings help a small masked LM?

The public functions are imported when they are first asked for, so `import tiedlm` loads neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tiedlm.version import __version__

if TYPE_CHECKING:
    from tiedlm.api.count import count_params
    from tiedlm.api.evaluate import evaluate, evaluate_pair
    from tiedlm.api.explain import explain
    from tiedlm.api.export import export
    from tiedlm.api.folders import load, records, report
    from tiedlm.api.load_experiment import load_experiment
    from tiedlm.api.runs import compare, train
    from tiedlm.api.scan import scan
    from tiedlm.api.score_pairs import compare_pairs, score_pairs
    from tiedlm.api.score_similarity import score_similarity
    from tiedlm.api.tuning import tuned
    from tiedlm.display.progress_display import ProgressDisplay
    from tiedlm.errors import InputError, RunsFailed
    from tiedlm.execution.listener import Listener
    from tiedlm.execution.run_options import RunOptions
    from tiedlm.model.saved_model import load_model

__all__ = [
    "InputError",
    "Listener",
    "ProgressDisplay",
    "RunOptions",
    "RunsFailed",
    "__version__",
    "compare",
    "compare_pairs",
    "count_params",
    "evaluate",
    "evaluate_pair",
    "explain",
    "export",
    "load",
    "load_experiment",
    "load_model",
    "records",
    "report",
    "scan",
    "score_pairs",
    "score_similarity",
    "train",
    "tuned",
]
_HOMES = {
    "InputError": "tiedlm.errors",
    "Listener": "tiedlm.execution.listener",
    "ProgressDisplay": "tiedlm.display.progress_display",
    "RunOptions": "tiedlm.execution.run_options",
    "RunsFailed": "tiedlm.errors",
    "compare": "tiedlm.api.runs",
    "compare_pairs": "tiedlm.api.score_pairs",
    "count_params": "tiedlm.api.count",
    "evaluate": "tiedlm.api.evaluate",
    "evaluate_pair": "tiedlm.api.evaluate",
    "explain": "tiedlm.api.explain",
    "export": "tiedlm.api.export",
    "load": "tiedlm.api.folders",
    "load_experiment": "tiedlm.api.load_experiment",
    "load_model": "tiedlm.model.saved_model",
    "records": "tiedlm.api.folders",
    "report": "tiedlm.api.folders",
    "scan": "tiedlm.api.scan",
    "score_pairs": "tiedlm.api.score_pairs",
    "score_similarity": "tiedlm.api.score_similarity",
    "train": "tiedlm.api.runs",
    "tuned": "tiedlm.api.tuning",
}


def __getattr__(name: str) -> object:
    """A public name, from the module where it is at home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
