"""Curves and views of a run, from plain rows and arrays."""

import itertools

import numpy as np

from ccpdml.reports import style

WIDTH = 5.6  # inches
MAX_CLASSES = len(style.COLORS)
MAX_BACKGROUND = 2000
MAX_MARKS = 20
MAX_PANELS = 6


def learning_curve(history, path):
    """Draws validation scores and training loss over steps, with the problem instances.

    Args:
        history: dicts, one per evaluation, with 'step' and any of 'val_map_at_r',
            'val_precision_at_1', 'val_untrained_map_at_r' (0..1) and 'loss'; rows with
            'covering_radius_after' are where proxies were re-initialized.
        path: image file to write.

    Raises:
        ValueError: if `history` is empty.
    """
    if not history:
        raise ValueError(f"`history` must hold an evaluation. Received: {history=}")
    with style.drawing(path, (WIDTH, 4.6), nrows=2, sharex=True, height_ratios=(2.2, 1.0)) as (
        score_axes,
        loss_axes,
    ):
        _draw_instances((score_axes, loss_axes), history)
        _draw_series(score_axes, history, "val_precision_at_1", "P@1", style.SKY, 100.0)
        _draw_series(score_axes, history, "val_map_at_r", "MAP@R", style.BLUE, 100.0)
        _mark_best(score_axes, history)
        _draw_untrained(score_axes, history)
        _draw_series(loss_axes, history, "loss", "loss", style.GRAY, 1.0)
        score_axes.set_ylabel("validation classes (%)")
        loss_axes.set(xlabel="training step", ylabel="training loss")
        style.step_axis(loss_axes)
        style.widen([score_axes], 0.0, 100.0)
        _widen_loss(loss_axes, history)
        style.legend_above(score_axes)


def covering_radius_curve(history, path):
    """Draws the mean covering radius before and after every re-initialization of the proxies.

    Args:
        history: dicts as of `learning_curve`; used are the rows with 'covering_radius_before' and
            'covering_radius_after' (in the embedding's unit).
        path: image file to write.
    """
    rows = reinitializations(history)
    with style.drawing(path, (WIDTH, 3.2)) as axes:
        axes.set(xlabel="re-initialization of the proxies", ylabel="mean covering radius")
        if not rows:
            axes.text(
                0.5,
                0.5,
                "proxies were never re-initialized",
                ha="center",
                va="center",
                color=style.GRAY,
                transform=axes.transAxes,
            )
            return
        numbers = np.arange(1, len(rows) + 1)
        before = [row["covering_radius_before"] for row in rows]
        after = [row["covering_radius_after"] for row in rows]
        axes.vlines(numbers, after, before, color=style.PALE, linewidth=3.0)
        axes.plot(numbers, before, "o-", color=style.VERMILION, label="before: trained proxies")
        axes.plot(numbers, after, "s-", color=style.BLUE, label="after: core-set of a fresh pool")
        style.from_zero([axes])
        style.count_axis(axes, len(rows))
        style.legend_above(axes, ncols=2)


def covering_radii_curves(lives, path):
    """Draws how far classes reach from their best 1, 2, ... proxies, before and after replacement.

    A panel per re-initialization, at most 6 evenly spaced ones; both lines are over the same pool.

    Args:
        lives: `life_cycle.Life` objects of all instances; two or more.
        path: image file to write.

    Raises:
        ValueError: if the proxies were never replaced.
    """
    pairs = [(old, new) for old, new in itertools.pairwise(lives) if old.end_curve is not None]
    if not pairs:
        raise ValueError(f"`lives` must be of two instances or more. Received: {lives=}")
    num_pairs = len(pairs)
    pairs = [pairs[i] for i in evenly_spaced(np.arange(num_pairs), MAX_PANELS)]
    num_columns = min(2, len(pairs))
    num_rows = -(-len(pairs) // num_columns)
    layout = {"nrows": num_rows, "ncols": num_columns, "sharex": True, "sharey": True}
    with style.drawing(path, (WIDTH, 1.2 + 1.6 * num_rows), squeeze=False, **layout) as grid:
        for axes, (old, new) in zip(grid.flat, pairs, strict=False):
            counts = np.arange(1, len(new.curve) + 1)
            axes.plot(counts, old.end_curve, "o-", color=style.VERMILION, label="before: trained")
            axes.plot(counts, new.curve, "s-", color=style.BLUE, label="after: core-set")
            axes.set_title(f"instance {new.instance}, step {new.born:,}", fontsize="medium")
            style.count_axis(axes, len(new.curve))
        for axes in grid.flat[len(pairs) :]:
            axes.set_axis_off()
        style.from_zero(grid.flat[: len(pairs)])
        style.legend_above(grid[0, 0], ncols=2)
        canvas = grid[0, 0].figure
        label = "proxies used (the best of each class)"
        if num_pairs > len(pairs):
            label += f"\n{len(pairs)} of {num_pairs} re-initializations, evenly spaced"
        canvas.supxlabel(label, fontsize="medium")
        canvas.supylabel("mean covering radius", fontsize="medium")


def embedding_view(embeddings, labels, proxies, proxy_labels, path, classes=None, class_names=None):
    """Draws embeddings in two dimensions, and the proxies of their classes as stars.

    More than two dimensions are projected on the two principal axes of the classes shown. Classes
    beyond those shown are pale dots. The figure says what it leaves out.

    Args:
        embeddings: float [n, dim]; rows that are not finite are left out.
        labels: int [n].
        proxies: float [num_proxies, dim], or None.
        proxy_labels: int [num_proxies], or None.
        path: image file to write.
        classes: the classes to color, at most 7; None takes 7 spread evenly over all.
        class_names: name by label, a sequence or dict; None: the label.
    """
    embeddings, labels = np.asarray(embeddings, np.float64), np.asarray(labels).reshape(-1)
    all_classes = np.unique(labels)
    classes = evenly_spaced(all_classes, MAX_CLASSES) if classes is None else classes
    finite = np.isfinite(embeddings).all(axis=-1)
    shown = np.isin(labels, classes) & finite
    others = np.flatnonzero(~np.isin(labels, classes) & finite)
    project, axis_names = _projection(embeddings[shown])
    with style.drawing(path, (WIDTH, 4.6)) as axes:
        background = evenly_spaced(others, MAX_BACKGROUND)
        axes.scatter(*project(embeddings[background]).T, s=5, color=style.PALE, linewidths=0)
        for label, color in zip(classes, style.COLORS, strict=False):
            points = project(embeddings[shown & (labels == label)])
            name = style.name(label if class_names is None else class_names[label])
            axes.scatter(*points.T, s=16, color=color, alpha=0.7, linewidths=0, label=name)
        if proxies is not None:
            _draw_proxies(axes, project(np.asarray(proxies, np.float64)), proxy_labels, classes)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
        axes.set_aspect("equal", adjustable="datalim")
        axes.yaxis.set_visible(bool(axis_names[1]))
        note = _left_out(all_classes, classes, background, others, np.sum(~finite))
        axes.set_title(note, fontsize="small", color=style.GRAY)
        style.legend_above(axes, ncols=2)


def reinitializations(history):
    """The rows of `history` in which proxies were re-initialized."""
    return [row for row in history if row.get("covering_radius_after") is not None]


def evenly_spaced(values, most):
    """Takes at most `most` of an array, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(int)]


def _left_out(all_classes, classes, background, others, num_broken):
    """Lines, one or two, on what a view of embeddings does not show."""
    lines = []
    if len(all_classes) > len(classes):
        gray = f"gray: {len(others):,} images of the others"
        if len(background) < len(others):
            gray = f"gray: {len(background):,} of the {len(others):,} images of the others"
        lines.append(f"{len(classes)} of {len(all_classes):,} classes in color; {gray}")
    if num_broken:
        lines.append(f"images left out because their embedding is not finite: {num_broken:,}")
    return "\n".join(lines)


def _draw_instances(panels, history):
    """Marks where a problem instance begins, numbered along the top."""
    starts = [row["step"] for row in reinitializations(history)]
    for axes in panels:
        for step in starts:
            axes.axvline(step, color=style.ORANGE, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    if starts:
        shown = evenly_spaced(np.arange(len(starts)), MAX_MARKS)
        top = panels[0].secondary_xaxis("top")
        top.set_xticks([starts[i] for i in shown], [f"{i + 1}" for i in shown])
        top.tick_params(colors=style.ORANGE, length=0)
        top.spines["top"].set_visible(False)
        label = "problem instance begins (instance 0 at the start)"
        if len(shown) < len(starts):
            label = f"problem instance begins; {len(starts)} of them, some without their number"
        top.set_xlabel(label, color=style.ORANGE)


def _draw_series(axes, history, key, label, color, factor):
    rows = [row for row in history if row.get(key) is not None]
    steps, values = [row["step"] for row in rows], [factor * row[key] for row in rows]
    marker = "." if len(rows) <= 60 else None
    axes.plot(steps, values, color=color, marker=marker, label=label)


def _widen_loss(axes, history):
    """Widens the axis of a loss of one value, below 0 too where losses are."""
    losses = [abs(row["loss"]) for row in history if np.isfinite(row.get("loss", np.nan))]
    if losses:
        most = 2.0 * max(losses) or 1.0
        style.widen([axes], -most if axes.dataLim.intervaly[0] < 0.0 else 0.0, most)


def _mark_best(axes, history):
    rows = [row for row in history if np.isfinite(row.get("val_map_at_r", np.nan))]
    if rows:
        best = max(rows, key=lambda row: row["val_map_at_r"])
        score = 100.0 * best["val_map_at_r"]
        label = f"best MAP@R: {score:.1f} % at step {best['step']:,}"
        axes.plot(best["step"], score, "o", color=style.BLUE, markerfacecolor="white", label=label)


def _draw_untrained(axes, history):
    scores = [row["val_untrained_map_at_r"] for row in history if "val_untrained_map_at_r" in row]
    if scores:
        score = 100.0 * scores[-1]
        label = f"untrained MAP@R: {score:.1f} %"
        axes.axhline(score, color=style.GRAY, linestyle=":", label=label)


def _draw_proxies(axes, points, labels, classes):
    labels = np.asarray(labels).reshape(-1)
    for label, color in zip(classes, style.COLORS, strict=False):
        own = points[labels == label]
        axes.scatter(*own.T, s=190, marker="*", color=color, edgecolors="black", linewidths=0.9)
    axes.scatter([], [], s=120, marker="*", color="white", edgecolors="black", label="proxy")


def _projection(points):
    """A function [n, dim] -> [n, 2], and the names of its two axes.

    Source: principal component analysis, by singular value decomposition.
    """
    if points.shape[1] == 2:
        return lambda x: x, ("embedding, first coordinate", "second coordinate")
    if points.shape[1] == 1:
        return lambda x: np.pad(x, ((0, 0), (0, 1))), ("embedding, of one coordinate", "")
    if len(points) < 2:
        return lambda x: x[:, :2], ("embedding, first coordinate", "second coordinate")
    center = points.mean(axis=0)
    _, lengths, axes = np.linalg.svd(points - center, full_matrices=False)
    shares = 100.0 * lengths[:2] ** 2 / max((lengths**2).sum(), np.finfo(float).tiny)
    names = [
        f"principal axis {i + 1} ({share:.0f} % of variance)" for i, share in enumerate(shares)
    ]
    return lambda x: (x - center) @ axes[:2].T, names
