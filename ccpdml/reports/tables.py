"""Results of runs beside the published ones, as rows, Markdown and CSV."""

import dataclasses
from typing import Any

from ccpdml import metrics
from ccpdml.reports import comparable, published, runs, spreadsheets

METRICS = metrics.names.LABELS
BAND = 1.0  # points of MAP@R: the supplement gives no deviations, so this is our choice
COLUMNS = ("run", "data set", "method", "dim", *METRICS.values())
UNTRAINED = ("untrained", "gain")
COMPARED = ("published", "difference", "verdict")
REPEATED = ("seed", "fold")  # bindings in which repeats of one run may differ


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method on one data set; scores in % of test queries.

    Attributes:
        name: of the run, and how many more there are; or of the protocol.
        dataset, method, dim: what was run.
        means: mean score by metric.
        margins: half the width of the 95 % confidence interval of the mean by metric (Student's
            t), None for a single score.
        count: scores that the means are of.
        untrained: mean MAP@R before the first step; None where a run of it does not tell.
        obstacles: why it cannot be compared with what was published, str each.
        published: row of `published.rows` to compare it with, or None.
    """

    name: str
    dataset: str
    method: str
    dim: int | None
    means: dict[str, Any]
    margins: dict[str, Any]
    count: int
    untrained: float | None
    obstacles: tuple[str, ...]
    published: dict[str, Any] | None

    @property
    def gain(self):
        """Ours minus untrained MAP@R in points, or None."""
        return None if self.untrained is None else self.means["map_at_r"] - self.untrained

    @property
    def difference(self):
        """Ours minus published MAP@R in points, or None."""
        return self.published and self.means["map_at_r"] - self.published["map_at_r"]

    @property
    def verdict(self):
        """Comparison of our MAP@R with the published one, in a word."""
        if self.obstacles:
            return "not comparable"
        if self.published is None:
            return "not published"
        if abs(self.difference) <= BAND:
            return "reproduced"
        margin = self.margins["map_at_r"]
        if margin is None or margin >= abs(self.difference):
            return "undecided"
        return "better" if self.difference > 0.0 else "worse"


def entries(found, settings=None):
    """One entry for runs that differ only in seed or fold, two for a cross-validation.

    Args:
        found: `runs.Run` and `runs.CrossValidation` objects; their order is kept.
        settings: function of the name of a gin file -> its bindings; see `comparable.obstacles`.
    """
    groups = {}
    for item in found:
        groups.setdefault(_key(item), []).append(item)
    return [
        entry
        for group in groups.values()
        for entry in (
            _of_folds(group[0], settings)
            if is_cross_validation(group[0])
            else [_of_runs(group, settings)]
        )
    ]


def is_cross_validation(item):
    """Tells whether something from `runs.read` is a cross-validation."""
    return isinstance(item, runs.CrossValidation)


def columns(all_entries):
    """The heads of the columns.

    No comparison where nothing was published and nothing is wrong, nothing of what was untrained
    where nobody tells it.
    """
    verdicts = {entry.verdict for entry in all_entries}
    untrained = UNTRAINED if any(entry.untrained is not None for entry in all_entries) else ()
    compared = () if verdicts == {"not published"} else COMPARED
    return COLUMNS + untrained + compared


def cells(entry, heads):
    """The row of an entry under some of all columns, list of str."""
    scores = [_score(entry.means[name], entry.margins[name]) for name in METRICS]
    compared = ["", ""]
    if entry.published:
        theirs = " / ".join(f"{entry.published[name]:.2f}" for name in METRICS)
        compared = [theirs, f"{entry.difference:+.2f}"]
    dim = "?" if entry.dim is None else str(entry.dim)
    head = [entry.name, entry.dataset, entry.method, dim]
    untrained = ["", ""]
    if entry.untrained is not None:
        untrained = [f"{entry.untrained:.2f}", f"{entry.gain:+.2f}"]
    row = [*head, *scores, *untrained, *compared, entry.verdict]
    by_head = dict(zip(COLUMNS + UNTRAINED + COMPARED, row, strict=True))
    return [by_head[name] for name in heads]


def reasons(all_entries):
    """A sentence for every entry that cannot be compared, list of str."""
    return [
        f"{entry.name} cannot be compared with published numbers: {'; '.join(entry.obstacles)}."
        for entry in all_entries
        if entry.obstacles
    ]


def markdown(all_entries):
    """A Markdown table of the entries, and below it why some cannot be compared."""
    heads = columns(all_entries)
    lines = [heads, ["---"] * len(heads), *(cells(e, heads) for e in all_entries)]
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return table + "".join(f"\n{reason}\n" for reason in reasons(all_entries))


def comma_separated(all_entries):
    """A CSV table of the entries, a row per entry, with full precision."""
    score_columns = [f"{name}{end}" for name in METRICS for end in ("", "_margin95", "_published")]
    head = ["run", "dataset", "method", "dim", "scores"]
    rows = []
    for entry in all_entries:
        scores = [value for name in METRICS for value in _triple(entry, name)]
        values = [entry.name, entry.dataset, entry.method, entry.dim, entry.count]
        why = "; ".join(entry.obstacles)
        untrained = [entry.untrained, entry.gain]
        rows.append([*values, *scores, *untrained, entry.difference, entry.verdict, why])
    untrained = ["map_at_r_untrained", "map_at_r_gain"]
    heads = [*head, *score_columns, *untrained, "difference", "verdict", "why"]
    return spreadsheets.comma_separated(heads, rows)


def config_differences(found):
    """Bindings in which runs differ: rows (name, one value per run or ''), sorted by name."""
    names = sorted({name for item in found for name in item.config})
    rows = [(name, [item.config.get(name, "") for item in found]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _key(item):
    """A key that is equal for the runs of one entry."""
    if is_cross_validation(item):
        return item.name
    same = {k: v for k, v in item.config.items() if not k.lower().endswith(REPEATED)}
    told = ("dataset", "selected_on")
    results = {name: item.results.get(name) for name in told}
    split = item.results.get("split", {})
    # The test set is that of every fold; two folders of the same settings are two data sets.
    test = split.get("counts", {}).get("test"), split.get("data", {}).get("parts", {}).get("test")
    return repr((same, item.ran.of_any_repeat, results, test, split.get("closed_set")))


def _of_runs(group, settings):
    first, *others = group
    summaries = {
        name: metrics.summarize([run.results["test"][name] for run in group]) for name in METRICS
    }
    return _entry(
        group,
        settings,
        name=first.name + (f" + {len(others)}" if others else ""),
        dim=first.ran.dim,
        summaries=summaries,
        untrained=_untrained(group),
    )


def _of_folds(validation, settings):
    """The models on their own, and put side by side."""
    dim = validation.ran.dim
    together = None if dim is None else dim * validation.results["folds"]
    dims = {"separated": dim, "concatenated": together}
    summaries = {kind: validation.results[kind] for kind in dims}
    return [
        _entry(
            [validation],
            settings,
            name=f"{validation.name}, {kind}",
            dim=dims[kind],
            summaries=summary,
            # Nobody puts untrained features of several folds side by side.
            untrained=_untrained(validation.runs) if kind == "separated" else None,
        )
        for kind, summary in summaries.items()
    ]


def _untrained(group):
    """Mean MAP@R before training in percent; None unless every run tells it."""
    told = [run.results.get("untrained", {}).get("test") for run in group]
    if any(scores is None for scores in told):
        return None
    return 100.0 * sum(scores["map_at_r"] for scores in told) / len(told)


def _entry(group, settings, name, dim, summaries, untrained):
    first = group[0]
    place = {"dataset": first.results["dataset"], "method": published.method_name(first.ran)}
    row = published.find(**place, dim=dim)
    obstacles = [why for item in group for why in comparable.obstacles(item, row, settings)]
    return Entry(
        **place,
        name=name,
        dim=dim,
        means={key: 100.0 * summaries[key]["mean"] for key in METRICS},
        margins={key: _half_width(summaries[key]) for key in METRICS},
        count=summaries["map_at_r"]["count"],
        untrained=untrained,
        obstacles=tuple(dict.fromkeys(obstacles)),
        published=None if obstacles else row,
    )


def _half_width(summary):
    return None if summary["low"] is None else 50.0 * (summary["high"] - summary["low"])


def _score(mean, margin):
    return f"{mean:.2f}" if margin is None else f"{mean:.2f} ± {margin:.2f}"


def _triple(entry, name):
    return entry.means[name], entry.margins[name], (entry.published or {}).get(name)
