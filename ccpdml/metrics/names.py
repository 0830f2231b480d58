"""The metrics: one key and one label for each, wherever scores are written, read or shown."""

from collections.abc import Iterable
from typing import Any

LABELS = {"precision_at_1": "P@1", "r_precision": "P@R", "map_at_r": "MAP@R"}
"""Label by key, in the order of the paper's tables; R@K has the key `recall_at_K`."""

_RECALL = "recall_at_"
_LISTED_AS = {"map_at_r": "mean_average_precision_at_r"}


def keys(recall_at: Iterable[int] = ()) -> list[str]:
    """Keys of all metrics, R@K for each K of `recall_at`, list of str."""
    return [*LABELS, *(f"{_RECALL}{k}" for k in recall_at)]


def present(scores: Iterable[str]) -> list[str]:
    """Keys of the metrics that some scores have, in the order of `keys`; R@K last, as given."""
    return [*(key for key in LABELS if key in scores), *(k for k in scores if _RECALL in k)]


def label(key: str) -> str:
    """Name of a metric in tables and figures, by its key."""
    is_recall = key.startswith(_RECALL)
    return f"R@{key.removeprefix(_RECALL)}" if is_recall else LABELS[key]


class Scores(dict[str, Any]):
    """Scores by key, as the functions of `metrics` return them.

    MAP@R is listed under its long name, `mean_average_precision_at_r`, as other libraries have it,
    and found under its key `map_at_r` as well.
    """

    def __init__(self, scores: dict[str, Any]):
        super().__init__({_LISTED_AS.get(key, key): score for key, score in scores.items()})

    def __missing__(self, key: str) -> Any:
        if key not in _LISTED_AS:
            raise KeyError(key)
        return self[_LISTED_AS[key]]
