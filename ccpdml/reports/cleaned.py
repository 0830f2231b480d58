"""Scores without near-duplicates, which `ccpdml check-data --near_duplicates` lists."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from ccpdml.metrics import exact, names
from ccpdml.reports.runs import Run


@dataclasses.dataclass(frozen=True)
class NearDuplicates:
    """Near-duplicates of a data set, as they were written.

    Attributes:
        path: the file.
        measured: what was compared, in words.
        parts: of each part what `data.json` of a run tells of it, such as its digest.
        groups: of each image of each part the number of its group, int [n]; -1 without one.
    """

    path: Path
    measured: str
    parts: dict[str, Any]
    groups: dict[str, np.ndarray]

    def in_training(self) -> np.ndarray:
        """Of each test image, whether one to train or validate on is like it; bool [n]."""
        return self._like(("development", "validation"))

    def dropped(self) -> np.ndarray:
        """Of each test image, whether a cleaned score leaves it out; bool [n].

        Those with a near-duplicate that trains, validates or is in the gallery are left out, and of
        those that are like each other all but the first.
        """
        test = self.groups["test"]
        _, first = np.unique(test, return_index=True)
        is_first = np.isin(np.arange(len(test)), first)
        return self._like(("development", "validation", "gallery")) | ((test >= 0) & ~is_first)

    def _like(self, parts):
        test = self.groups["test"]
        others = [self.groups[part] for part in parts if part in self.groups]
        return (test >= 0) & np.isin(test, np.concatenate(others))


def read(path: str | Path) -> NearDuplicates:
    """Reads what `ccpdml check-data --near_duplicates` wrote.

    Raises:
        ValueError: if the file is none of these.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text())
        groups = {name: np.asarray(rows, np.int64) for name, rows in found["groups"].items()}
        return NearDuplicates(path, found["measured"], found["parts"], groups)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected what `ccpdml check-data --near_duplicates` writes. Received: {error}"
        ) from None


def scores(run: Run, found: NearDuplicates) -> dict[str, Any]:
    """Test scores of a run without the near-duplicates, by the keys of `names`.

    Raises:
        ValueError: if the file is of other data than the run.
    """
    then = run.results.get("split", {}).get("data", {}).get("parts", {}).get("test", {})
    now = found.parts["test"]
    if then.get("digest") != now["digest"]:
        raise ValueError(
            f"{found.path} is of other test images than {run.directory}: give that of its data. "
            f"Received: {now['images']} test images, and {then.get('images', 'no number of')} in "
            "the run"
        )
    kept = ~found.dropped()
    with np.load(run.directory / "test_embeddings.npz") as stored:
        sides = {name: stored[name] for name in stored.files}
    if len(kept) != len(sides["query"]):
        raise ValueError(
            f"{run.directory} left out unreadable images (`data.load.skip_corrupt`), which "
            f"{found.path} counts: repair or remove them, and make both again. Received: "
            f"{len(sides['query'])} and {len(kept)} test images"
        )
    sides |= {name: sides[name][kept] for name in ("query", "query_labels")}
    keys = names.present(run.results["test"])
    recall_at = [int(key.rpartition("_")[2]) for key in keys[len(names.LABELS) :]]
    found_again = exact.retrieval(**sides, recall_at=recall_at or (1,))
    return {key: found_again[key] for key in keys}


def fact(found: NearDuplicates) -> str:
    """Number of near-duplicates among the test images, in words."""
    test = found.groups["test"]
    return (
        f"{found.in_training().sum()} of {len(test)} test images have one that trains or "
        f"validates; without all {found.dropped().sum()} to be left out the scores are those of "
        f"the cleaned row ({found.measured})"
    )
