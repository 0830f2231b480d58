"""The files of a run directory that say what came of the run: how they are read."""

import json
from pathlib import Path
from typing import Any

from ccpdml.metrics import names

RESULTS = "results.json"


def read_results(path: Path) -> dict[str, Any]:
    """Reads the `results.json` of a run or of a cross-validation.

    Raises:
        ValueError: if it is none; says what to do.
    """
    text = path.read_text(errors="replace")
    try:
        results = json.loads(text)
    except ValueError:
        results = None
    if isinstance(results, dict) and results.get("trained") is False:
        raise ValueError(
            f"{path} has the scores before training only (`--baseline_only`). Give the command of "
            "the run without that flag to train it."
        )
    if not isinstance(results, dict) or not ("separated" in results or _has_scores(results)):
        raise ValueError(
            f"{path}: expected the results of a run or a cross-validation, as this program wrote "
            "them. Remove the file and give the command of the run again: it writes them anew. "
            f"Received: {text[:80]!r}"
        )
    return results


def are_of_a_finished_run(path: Path) -> bool:
    """Tells whether there is a `results.json` of something finished.

    One that says `"trained": false` is not; one that cannot be read is, for all that is known.
    """
    if not path.exists():
        return False
    try:
        results = json.loads(path.read_text(errors="replace"))
    except ValueError:
        return True
    return not (isinstance(results, dict) and results.get("trained") is False)


def _has_scores(results):
    scores = results.get("test")
    return isinstance(scores, dict) and all(
        isinstance(scores.get(name), (int, float)) for name in names.LABELS
    )


def read_history(path: str | Path, is_over: bool = False) -> list[dict[str, Any]]:
    """Reads the rows of `history.jsonl`, one dictionary per evaluation.

    Args:
        path: of the file; none has no rows.
        is_over: whether its run is finished. One that a kill stopped may leave half a line at the
            end, which is passed over; in the file of a finished run that is damage.

    Raises:
        ValueError: if a line is no row; names it.
    """
    path = Path(path)
    lines = path.read_text(errors="replace").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if is_over or line.endswith("\n")]
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(whole, start=1)]


def _row(line, place):
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise ValueError(
            f'{place}: expected a JSON object with a "step", as this program wrote it. Remove the '
            f"line; only what it told is lost. Received: {line.strip()[:80]!r}"
        )
    return row
