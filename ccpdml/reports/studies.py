"""Figures of a study: methods over many draws, from plain rows and numbers."""

import itertools

import numpy as np

from ccpdml.reports import style

WIDTH = 5.6  # inches


def validation_curves(histories, path):
    """Draws validation MAP@R over steps, a panel per loss: means of the draws and their range.

    Small ticks at the bottom are where problem instances of the first draw end.

    Args:
        histories: {loss: {method: [rows as of `figures.learning_curve`, one list per draw]}}, each
            with the same steps for all draws.
        path: image file to write.
    """
    size = (WIDTH, 1.0 + 2.2 * len(histories))
    with style.drawing(path, size, nrows=len(histories), sharex=True, squeeze=False) as grid:
        for axes, (loss, methods) in zip(grid.flat, histories.items(), strict=True):
            axes.set(title=style.name(loss), ylabel="validation\nMAP@R (%)")
            for color, (method, draws) in zip(
                itertools.cycle(style.COLORS), methods.items(), strict=False
            ):
                steps = [row["step"] for row in draws[0]]
                scores = _series(draws, "val_map_at_r", 100.0)
                axes.plot(steps, scores.mean(0), color=color, label=style.name(method))
                axes.fill_between(
                    steps, scores.min(0), scores.max(0), color=color, alpha=0.15, linewidth=0
                )
                _mark_instance_ends(axes, draws[0], color)
        grid.flat[-1].set_xlabel("training step")
        style.legend_above(grid.flat[0], ncols=4)


def covering_radii(histories, path):
    """Draws the mean covering radius just before and just after each re-initialization.

    Args:
        histories: {name: [rows as of `figures.learning_curve`, one list per draw]}; runs without
            re-initializations are left out.
        path: image file to write.
    """
    with style.drawing(path, (WIDTH, 3.4)) as axes:
        for color, (name, draws) in zip(
            itertools.cycle(style.COLORS), histories.items(), strict=False
        ):
            moves = [[r for r in rows if "covering_radius_after" in r] for rows in draws]
            count = min(map(len, moves))
            if not count:
                continue
            moves = [rows[:count] for rows in moves]
            steps = [row["step"] for row in moves[0]]
            before = _series(moves, "covering_radius_before").mean(0)
            after = _series(moves, "covering_radius_after").mean(0)
            axes.plot(steps, before, "-o", color=color, label=style.name(name), markersize=4)
            axes.plot(steps, after, ":", color=color)
        axes.set(xlabel="training step", ylabel="mean covering radius")
        axes.set_title("before (line) and after (dotted) a re-initialization", fontsize="small")
        axes.set_ylim(bottom=0.0)
        style.legend_above(axes, ncols=4)


def gains(differences, label, path):
    """Draws mean differences of test MAP@R with their 95 % intervals, a line per comparison.

    Args:
        differences: {name: (mean, low, high) in points of percent}.
        label: of the axis.
        path: image file to write.
    """
    places = np.arange(len(differences))
    with style.drawing(path, (WIDTH, 1.0 + 0.28 * len(differences))) as axes:
        for place, (mean, low, high) in zip(places, differences.values(), strict=True):
            color = style.BLUE if low > 0 else style.VERMILION if high < 0 else style.GRAY
            axes.plot([low, high], [place, place], color=color)
            axes.plot(mean, place, "o", color=color)
        axes.axvline(0.0, color="black", linewidth=1.0)
        axes.set_yticks(places, [style.name(name) for name in differences], fontsize="small")
        axes.set(xlabel=label, ylim=(len(differences) - 0.5, -0.5))
        axes.grid(visible=False, axis="y")


def gains_by_period(differences, path):
    """Draws the gain over a baseline against the period of an instance, a line per loss.

    Args:
        differences: {loss: {steps of an instance: (mean, low, high) in points of percent}}.
        path: image file to write.
    """
    with style.drawing(path, (WIDTH, 3.4)) as axes:
        for color, (loss, points) in zip(
            itertools.cycle(style.COLORS), differences.items(), strict=False
        ):
            periods = sorted(points)
            means, lows, highs = np.array([points[period] for period in periods]).T
            margins = (means - lows, highs - means)
            axes.errorbar(
                periods, means, margins, fmt="-o", color=color, capsize=3, label=style.name(loss)
            )
        axes.axhline(0.0, color="black", linewidth=1.0)
        axes.set_xscale("log")
        axes.set_xticks(sorted({period for points in differences.values() for period in points}))
        axes.get_xaxis().set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.set(xlabel="steps of an instance", ylabel="test MAP@R over static proxies (points)")
        style.legend_above(axes, ncols=4)


def _series(draws, key, scale=1.0):
    return scale * np.array([[row[key] for row in rows] for rows in draws])


def _mark_instance_ends(axes, rows, color):
    ends = [row["step"] for row in rows if "covering_radius_after" in row]
    axes.plot(ends, np.zeros(len(ends)), "|", color=color, transform=axes.get_xaxis_transform())
