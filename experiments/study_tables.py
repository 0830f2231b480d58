"""The table and the figures of `study.py`: what each method scores, and how far above others."""

import statistics
from typing import NamedTuple

import numpy as np
from scipy import stats
from study_methods import PERIODS

from ccpdml.reports import studies


class Draws(NamedTuple):
    """The runs of one method with one loss, an entry per draw.

    Attributes:
        setting: that was chosen.
        scores: test MAP@R in percent.
        histories: rows of history.jsonl.
    """

    setting: str
    scores: list
    histories: list

    @property
    def every(self):
        """Steps between evaluations."""
        return self.histories[0][0]["step"]

    @property
    def moves(self):
        """Whether proxies were re-initialised in every draw."""
        return all(any("covering_radius_after" in row for row in rows) for rows in self.histories)


def write(folder, runs, name=""):
    """Writes <folder>/<name>table.md, prints it, and draws what the runs went through.

    Args:
        folder: of the regime.
        runs: {(loss, method): `Draws`}; the loss is empty where the method brings its own.
        name: what the names of the files begin with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(table(runs))
    (folder / f"{name}table.md").write_text(lines + "\n")
    print(lines)
    losses = {}
    for (loss, method), draws in runs.items():
        losses.setdefault(loss or "its own loss", {})[method] = draws.histories
    studies.validation_curves(losses, folder / f"{name}validation.png")
    moving = {" ".join(key): draws.histories for key, draws in runs.items() if draws.moves}
    if moving:
        studies.covering_radii(moving, folder / f"{name}covering_radius.png")
    _draw_gains(folder, runs, name)


def _draw_gains(folder, runs, name):
    """What CCP gains on everything else, and on static proxies by period."""
    over = {
        f"{loss}: ccp over {other}": interval(np.subtract(runs[loss, "ccp"].scores, rival))
        for loss, method in runs
        if method == "ccp"
        for other, rival in rivals(runs, loss, "ccp").items()
    }
    if over:
        studies.gains(over, "test MAP@R (points)", folder / f"{name}gains.png")
    by_period = {}
    for (loss, method), draws in runs.items():
        if method in PERIODS and (loss, "static") in runs:
            difference = interval(np.subtract(draws.scores, runs[loss, "static"].scores))
            by_period.setdefault(loss, {})[PERIODS[method] * draws.every] = difference
    if any(len(points) > 1 for points in by_period.values()):
        studies.gains_by_period(by_period, folder / f"{name}gain_by_period.png")


def rivals(runs, loss, method):
    """{other method: its scores} of those that a method is compared with at a loss."""
    return {
        other: draws.scores
        for (its_loss, other), draws in runs.items()
        if its_loss in (loss, "") and other != method
    }


def table(runs):
    """Lines of Markdown: test MAP@R of each method, and what it is above each other one.

    Args:
        runs: as of `write`.
    """
    methods = list(dict.fromkeys(method for _, method in runs))
    yield "| loss | method | setting | test MAP@R |" + "".join(f" over {m} |" for m in methods)
    yield "| --- " * (4 + len(methods)) + "|"
    for (loss, method), draws in runs.items():
        cells = [loss or "its own", method, draws.setting or "as shipped", mean(draws.scores)]
        others = rivals(runs, loss, method)
        for other in methods:
            rival = others.get(other)
            cells.append("" if rival is None else difference(np.subtract(draws.scores, rival)))
        yield f"| {' | '.join(cells)} |"


def mean(values):
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def difference(values):
    """Mean of paired differences, and its 95 % interval; bold if all of it is above 0."""
    average, low, high = interval(values)
    if low == high:
        return f"{average:+.1f}"
    text = f"{average:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{text}**" if low > 0 else text


def interval(values):
    """(mean, low, high): the 95 % interval of a mean by Student's t; no width without spread."""
    average = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) == 0:
        return average, average, average
    low, high = stats.t.interval(0.95, len(values) - 1, loc=average, scale=stats.sem(values))
    return average, float(low), float(high)
