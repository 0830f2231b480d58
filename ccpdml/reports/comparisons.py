"""Figures about several runs together."""

import numpy as np

from ccpdml.reports import style

WIDTH = 5.6  # inches


def beside_published(entries, path):
    """Draws MAP@R with its confidence interval, and the published one, in a line per entry.

    Args:
        entries: `tables.Entry` objects.
        path: image file to write.
    """
    rows = np.arange(len(entries))
    ours = [entry.means["map_at_r"] for entry in entries]
    margins = [entry.margins["map_at_r"] or 0.0 for entry in entries]
    theirs = [(i, e.published["map_at_r"]) for i, e in enumerate(entries) if e.published]
    with style.drawing(path, (WIDTH, 1.1 + 0.55 * len(entries))) as axes:
        axes.errorbar(ours, rows, xerr=margins, fmt="o", color=style.BLUE, capsize=4, label="ours")
        if theirs:
            lines, values = zip(*theirs, strict=True)
            axes.plot(values, lines, "D", color=style.ORANGE, markersize=7, label="published")
        names = [f"{e.method}, {e.dim}-D\n{style.name(e.name)}" for e in entries]
        axes.set_yticks(rows, names, fontsize="small")
        axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel="MAP@R of test classes (%)")
        axes.set_xlim(*_roomy([*ours, *(value for _, value in theirs)], max(margins)))
        axes.grid(visible=False, axis="y")
        style.legend_above(axes, ncols=2)


def learning_curves(histories, path):
    """Draws validation MAP@R over steps for several runs.

    Args:
        histories: rows as of `figures.learning_curve` by the name of the run.
        path: image file to write.
    """
    with style.drawing(path, (WIDTH, 3.2 + 0.1 * len(histories))) as axes:
        for number, (name, history) in enumerate(histories.items()):
            _draw_scores(axes, history, number, name)
        axes.set(xlabel="training step", ylabel="MAP@R of validation classes (%)")
        _scale([axes])
        style.legend_above(axes, ncols=2)


def fold_curves(histories, path):
    """Draws validation MAP@R over steps in a panel per fold, a line per repeat.

    Args:
        histories: by fold and repeat, rows as of `figures.learning_curve`.
        path: image file to write.
    """
    num_columns = min(2, len(histories))
    num_rows = -(-len(histories) // num_columns)
    layout = {"nrows": num_rows, "ncols": num_columns, "sharex": True, "sharey": True}
    with style.drawing(path, (WIDTH, 0.9 + 1.7 * num_rows), squeeze=False, **layout) as grid:
        for fold, (axes, repeats) in enumerate(zip(grid.flat, histories, strict=False)):
            for number, history in enumerate(repeats):
                _draw_scores(axes, history, number, f"repeat {number}")
            axes.set_title(f"fold {fold} validates", fontsize="medium")
        _scale(grid.flat[: len(histories)])
        for axes in grid.flat[len(histories) :]:
            axes.set_axis_off()
        if len(histories[0]) > 1:
            style.legend_above(grid[0, 0], ncols=4)
        grid[0, 0].figure.supxlabel("training step", fontsize="medium")
        grid[0, 0].figure.supylabel("MAP@R of validation classes (%)", fontsize="medium")


def core_set_curve(radii, path):
    """Draws the radius with which the best 1, 2, ... centers of a class cover it.

    Args:
        radii: by name, float [num_centers], as of `metrics.geometry.covering_radii`.
        path: image file to write.
    """
    with style.drawing(path, (WIDTH, 3.0 + 0.1 * len(radii))) as axes:
        for number, (name, values) in enumerate(radii.items()):
            color = style.COLORS[number % len(style.COLORS)]
            steps, label = np.arange(1, len(values) + 1), style.name(name)
            axes.plot(steps, values, "o" + _line(number), color=color, label=label)
        axes.set(xlabel="centers per class", ylabel="mean covering radius")
        style.from_zero([axes])
        style.count_axis(axes, max(map(len, radii.values())))
        style.legend_above(axes, ncols=2)


def _draw_scores(axes, history, number, name):
    rows = [row for row in history if row.get("val_map_at_r") is not None]
    steps, scores = [row["step"] for row in rows], [100.0 * row["val_map_at_r"] for row in rows]
    color = style.COLORS[number % len(style.COLORS)]
    marker = "." if len(rows) <= 60 else None
    label = style.name(name)
    axes.plot(steps, scores, _line(number), color=color, marker=marker, label=label)


def _line(number):
    """The style of a line; colors come again after the last."""
    return ("-", "--", "-.", ":")[number // len(style.COLORS) % 4]


def _scale(panels):
    style.step_axis(max(panels, key=lambda axes: axes.dataLim.intervalx[1]))
    style.widen(panels, 0.0, 100.0)


def _roomy(values, margin):
    """A range of at least 10 points that holds all values and their margins."""
    low, high = np.nanmin(values) - margin, np.nanmax(values) + margin
    room = max(0.1 * (high - low), 5.0 - 0.5 * (high - low))
    return low - room, high + room
