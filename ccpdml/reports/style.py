"""How every figure looks: quiet axes, and colors that color-blind readers can tell apart."""

import contextlib
from pathlib import Path

# Okabe and Ito (2008); black and gray are kept for text and background.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
COLORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW)
GRAY, PALE = "#6B6B6B", "#D9D9D9"

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
    with matplotlib.rc_context(SETTINGS):
        canvas = figure.Figure(figsize=size, layout="constrained")
        yield canvas.subplots(**subplots)
        canvas.savefig(path)
