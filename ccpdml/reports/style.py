"""The look of every figure: quiet axes, and colors that color-blind readers can tell apart."""

import contextlib
import functools
from pathlib import Path

import numpy as np

# Okabe and Ito (2008); black and gray are kept for text and background.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
COLORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW)
GRAY, PALE = "#6B6B6B", "#D9D9D9"

# Families with the characters of many scripts, as systems install them; the first that has one is
# taken. DejaVu comes with matplotlib.
FAMILIES = (
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR"),
    *(
        "Source Han Sans",
        "Droid Sans Fallback",
        "WenQuanYi Zen Hei",
        "IPAexGothic",
        "Hiragino Sans",
    ),
    *("PingFang SC", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Symbola"),
)
MOST_CHARACTERS = 28  # of a name in a figure

SETTINGS = {
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "white",
    "lines.linewidth": 1.8,
    "savefig.dpi": 150,
}


@contextlib.contextmanager
def drawing(path, size, **subplots):
    """Gives the axes of a new figure, which is saved at `path` afterwards.

    No window and no global state, so it may be called from any thread.

    Args:
        path: file to write, .png or .svg; its folder is made.
        size: (width, height) in inches.
        **subplots: as of `Figure.subplots`.
    """
    import matplotlib  # Here, as `import ccpdml` need not wait for it.
    from matplotlib import figure

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(SETTINGS | {"font.family": list(fonts())}):
        canvas = figure.Figure(figsize=size, layout="constrained")
        yield canvas.subplots(**subplots)
        canvas.savefig(path)


def legend_above(axes, ncols=3):
    """Explains what is drawn in `axes` above the whole figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside upper left", ncols=ncols, fontsize="small")


def step_axis(axes):
    """Counts whole steps from 0, however few were evaluated; after all is drawn."""
    axes.set_xlim(0, 1.05 * max(1.0, axes.dataLim.intervalx[1]))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def count_axis(axes, most):
    """Counts 1, 2, ..., `most` along the horizontal axis."""
    axes.set_xlim(0.5, most + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def from_zero(panels):
    """Begins the vertical axes, which have one scale, at 0; after all is drawn."""
    tops = [axes.dataLim.intervaly[1] for axes in panels]
    top = max([top for top in tops if np.isfinite(top)], default=1.0)
    for axes in panels:
        axes.set_ylim(0.0, 1.08 * top or 1.0)


def widen(panels, low, high):
    """Gives vertical axes the range low..high where there is one point of each curve, or none."""
    points = np.concatenate([axes.dataLim.get_points() for axes in panels])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points) or np.ptp(points, axis=0).min() == 0.0:
        for axes in panels:
            axes.set_ylim(low, high)


def name(text):
    """A name from a data set or a path, as a figure can show it: one short line, literal."""
    text = printable(shortened(" ".join(str(text).split())))
    # Dollars would begin a formula, and what begins with an underscore is left out of legends.
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def shortened(text, most=MOST_CHARACTERS):
    """The text, or its two ends."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def printable(text):
    r"""The text; characters that no font has are spelled as Python does, such as \u0e01."""
    return "".join(c if _has(c) else c.encode("unicode_escape").decode() for c in text)


def font_file(text):
    """The path of the first font that has all characters of a text, or of the first at all."""
    paths = list(fonts().values())
    return next((p for p in paths if all(ord(c) in _characters(p) for c in text)), paths[0])


@functools.cache
def fonts():
    """The families of `FAMILIES` that are installed: path by name."""
    from matplotlib import font_manager

    found = {entry.name: entry.fname for entry in reversed(font_manager.fontManager.ttflist)}
    return {family: found[family] for family in FAMILIES if family in found}


def _has(character):
    return any(ord(character) in _characters(path) for path in fonts().values())


@functools.cache
def _characters(path):
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(path).get_charmap())
