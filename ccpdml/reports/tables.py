"""Results of runs beside the published ones, as rows, Markdown and CSV."""

import csv
import dataclasses
import io

import numpy as np
from scipy import special

from ccpdml.reports import published

METRICS = {"precision_at_1": "P@1", "r_precision": "P@R", "map_at_r": "MAP@R"}
BAND = 1.0  # points of MAP@R: the supplement gives no deviations, so this is our choice
COLUMNS = (
    *("run", "data set", "method", "dim", "P@1", "P@R", "MAP@R"),
    *("published P@1 / P@R / MAP@R", "difference of MAP@R", "verdict"),
)
REPEATED = ("seed", "fold")  # bindings in which repeats of one run may differ


@dataclasses.dataclass(frozen=True)
class Entry:
    """All runs of one method on one data set; scores in % of test queries.

    Attributes:
        dataset, method, dim: what was run.
        runs: the runs.
        means: mean score by metric.
        margins: half the width of the 95 % confidence interval of the mean by metric (Student's
            t over runs), None for a single run.
        published: row of `published.rows`, or None.
    """

    dataset: str
    method: str
    dim: int
    runs: list
    means: dict
    margins: dict
    published: dict | None

    @property
    def difference(self):
        """Ours minus published MAP@R in points, or None."""
        return self.published and self.means["map_at_r"] - self.published["map_at_r"]

    @property
    def verdict(self):
        """How our MAP@R compares with the published one."""
        if any("test" in run.results.get("selected_on", "") for run in self.runs):
            return "none: selected on test classes"
        if self.published is None:
            return "not published"
        if abs(self.difference) <= BAND:
            return "reproduced"
        if (self.margins["map_at_r"] or 0.0) >= abs(self.difference):
            return "undecided"
        return "better" if self.difference > 0.0 else "worse"


def entries(runs):
    """One entry for runs that differ only in seed or fold; in the order of `runs`."""
    groups = {}
    for run in runs:
        same = {k: v for k, v in run.config.items() if not k.lower().endswith(REPEATED)}
        results = {name: run.results.get(name) for name in ("dataset", "method", "loss", "dim")}
        groups.setdefault(repr((same, results)), []).append(run)
    return [_entry(group) for group in groups.values()]


def cells(entry):
    """The row of an entry under `COLUMNS`, list of str."""
    scores = [_score(entry.means[name], entry.margins[name]) for name in METRICS]
    compared = ["", ""]
    if entry.published:
        theirs = " / ".join(f"{entry.published[name]:.2f}" for name in METRICS)
        compared = [theirs, f"{entry.difference:+.2f}"]
    others = f" + {len(entry.runs) - 1}" if len(entry.runs) > 1 else ""
    head = [entry.runs[0].name + others, entry.dataset, entry.method, str(entry.dim)]
    return [*head, *scores, *compared, entry.verdict]


def markdown(all_entries):
    """A Markdown table of the entries."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(cells, all_entries)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def comma_separated(all_entries):
    """A CSV table of the entries, a row per entry, with full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    score_columns = [f"{name}{end}" for name in METRICS for end in ("", "_margin95", "_published")]
    writer.writerow(["run", "dataset", "method", "dim", "runs", *score_columns, "verdict"])
    for entry in all_entries:
        scores = [value for name in METRICS for value in _triple(entry, name)]
        first = entry.runs[0].name
        head = [first, entry.dataset, entry.method, entry.dim, len(entry.runs)]
        writer.writerow([*head, *scores, entry.verdict])
    return text.getvalue()


def config_differences(runs):
    """Bindings in which runs differ: rows (name, one value per run or ''), sorted by name."""
    names = sorted({name for run in runs for name in run.config})
    rows = [(name, [run.config.get(name, "") for run in runs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _entry(runs):
    results = runs[0].results
    method = published.method_name(results, runs[0].config)
    place = results["dataset"], method, published.dim(results, runs[0].config)
    scores = {name: [100.0 * run.results["test"][name] for run in runs] for name in METRICS}
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    margins = {name: _margin(values) for name, values in scores.items()}
    return Entry(*place, runs, means, margins, published.find(*place))


def _margin(values):
    if len(values) < 2:
        return None
    quantile = special.stdtrit(len(values) - 1, 0.975)
    return float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))


def _score(mean, margin):
    return f"{mean:.2f}" if margin is None else f"{mean:.2f} ± {margin:.2f}"


def _triple(entry, name):
    return entry.means[name], entry.margins[name], (entry.published or {}).get(name)
