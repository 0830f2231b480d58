"""Errors of thresholds, and what an open set makes of them, in one figure."""

import numpy as np

from ccpdml.reports import style

WIDTH, HEIGHT = 5.6, 6.4  # inches
MOST_POINTS = 4000  # of a line


def draw(curve, opened, marks, path):
    """Draws FMR and FNMR over the threshold, and below it the open-set ROC.

    Args:
        curve: `metrics.Curve`.
        opened: `metrics.OpenSet`.
        marks: (name, distance) of thresholds to mark.
        path: image file to write.
    """
    with style.drawing(path, (WIDTH, HEIGHT), nrows=2) as (errors, roc):
        _draw_errors(errors, curve, marks)
        _draw_roc(roc, opened)


def _draw_errors(axes, curve, marks):
    shown = _some(len(curve.thresholds))
    for rates, name, color in (
        (curve.false_match_rates, "false matches (FMR)", style.VERMILION),
        (curve.false_non_match_rates, "missed matches (FNMR)", style.BLUE),
    ):
        values = 100.0 * rates[shown]
        values[values == 0.0] = np.nan  # There is none on a logarithmic axis.
        axes.plot(curve.thresholds[shown], values, color=color, label=name)
    for number, (name, distance) in enumerate(marks):
        axes.axvline(distance, color=style.GRAY, linewidth=1.0, linestyle=(0, (4, 2)))
        axes.text(
            *(distance, 0.02 + 0.24 * (number % 4), name),  # Not all beside each other.
            transform=axes.get_xaxis_transform(),
            rotation=90,
            ha="right",
            va="bottom",
            fontsize="x-small",
            color=style.GRAY,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )
    axes.set_yscale("log")
    axes.set(xlabel="threshold (distance)", ylabel="share of pairs (%)")
    axes.legend(loc="lower right", fontsize="small")


def _draw_roc(axes, opened):
    shown = _some(len(opened.thresholds))
    alarms = 100.0 * opened.false_alarm_rates[shown]
    for rates, name, color in (
        (opened.detection_rates, "accepted", style.SKY),
        (opened.identification_rates, "accepted, of the right class", style.BLUE),
    ):
        values = np.concatenate([[0.0], 100.0 * rates[shown]])
        axes.plot(np.concatenate([[0.0], alarms]), values, color=color, label=name)
    axes.plot([0, 100], [0, 100], color=style.PALE, linewidth=1.0)
    axes.set(
        xlabel="queries of unknown classes accepted (%)",
        ylabel="queries of known classes (%)",
        title=f"open set: AUROC {100 * opened.auroc:.2f} %",
    )
    axes.legend(loc="lower right", fontsize="small")


def _some(count):
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
