"""Figures: they are written, for every shape of input, and say what is wrong with bad input."""

import contextlib
import warnings

import numpy as np
import pytest
from PIL import Image

from ccpdml import metrics
from ccpdml.reports import (
    comparisons,
    figures,
    gallery,
    life_cycle,
    sheet,
    style,
    threshold_figure,
)


def history(num_rows, reinitialized=()):
    rows = [
        {
            "step": 50 * (i + 1),
            "loss": 1.0 / (i + 1),
            "val_map_at_r": 0.1 * i,
            "val_precision_at_1": 0.5,
        }
        for i in range(num_rows)
    ]
    for i in reinitialized:
        rows[i] |= {"covering_radius_before": 0.9, "covering_radius_after": 0.7}
    return rows


def colors_of(path):
    return {color for _, color in Image.open(path).convert("RGB").getcolors(maxcolors=2**24)}


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize("reinitialized", [(), (2, 4)])
@pytest.mark.parametrize("draw", [figures.learning_curve, figures.covering_radius_curve])
def test_curves_are_written_with_and_without_new_instances(tmp_path, draw, reinitialized):
    draw(history(6, reinitialized), tmp_path / "new" / "curve.png")
    assert min(Image.open(tmp_path / "new" / "curve.png").size) > 300


def test_instances_are_marked(tmp_path):
    figures.learning_curve(history(6), tmp_path / "plain.png")
    figures.learning_curve(history(6, (2,)), tmp_path / "marked.png")
    assert rgb(style.ORANGE) not in colors_of(tmp_path / "plain.png")
    assert rgb(style.ORANGE) in colors_of(tmp_path / "marked.png")


def test_the_score_before_training_is_a_line_of_its_own(tmp_path):
    rows = history(6)
    figures.learning_curve(rows, tmp_path / "plain.png")
    # A run that goes on in a later version has it in its later rows only.
    figures.learning_curve(
        [*rows[:5], rows[5] | {"val_untrained_map_at_r": 0.3}], tmp_path / "line.png"
    )
    plain, line = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "line"))
    assert plain != line


def test_a_history_that_lacks_some_columns_is_drawn(tmp_path):
    figures.learning_curve([{"step": 1, "loss": 2.0}, {"step": 2}], tmp_path / "curve.png")
    figures.learning_curve([{"step": 1}, {"step": 2}], tmp_path / "nothing.png")
    with_loss, without = (tmp_path / f"{name}.png" for name in ("curve", "nothing"))
    assert with_loss.read_bytes() != without.read_bytes()


def test_an_empty_history_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="history=\\[\\]"):
        figures.learning_curve([], tmp_path / "curve.png")


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("num_classes", [1, 3, 30])
@pytest.mark.parametrize("with_proxies", [True, False])
def test_embedding_view(tmp_path, dim, num_classes, with_proxies):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_classes), 6)[:, None]
    embeddings = rng.normal(size=(len(labels), dim))
    proxies = (embeddings[::3], labels[::3]) if with_proxies else (None, None)
    figures.embedding_view(embeddings, labels, *proxies, tmp_path / "view.png")
    assert (tmp_path / "view.png").exists()


def test_a_gallery_frames_right_green_and_wrong_red(tmp_path):
    images = np.zeros((3, 8, 6, 1), np.uint8)
    for labels, green, red in [([0, 0, 0], True, False), ([0, 1, 1], False, True)]:
        gallery.retrieval_gallery(images, labels, [[1, 2]], tmp_path / "gallery.png")
        found = colors_of(tmp_path / "gallery.png")
        assert (rgb(style.GREEN) in found, rgb(style.VERMILION) in found) == (green, red)


@pytest.mark.parametrize("shape", [(4, 9, 7), (4, 9, 7, 1), (4, 200, 150, 3)])
def test_a_gallery_of_every_kind_of_image(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image.squeeze(-1) if shape[3:] == (1,) else image).save(path)
    arguments = {"labels": [0, 0, 1, 1], "neighbors": [[1, 2, 3]], "queries": [0]}
    gallery.retrieval_gallery(images, path=tmp_path / "arrays.png", **arguments)
    gallery.retrieval_gallery(paths, path=tmp_path / "paths.png", **arguments)
    assert colors_of(tmp_path / "arrays.png") == colors_of(tmp_path / "paths.png")


def test_a_gallery_of_other_images_than_the_queries(tmp_path):
    black, white = np.zeros((1, 4, 4), np.uint8), np.full((2, 4, 4), 255, np.uint8)
    gallery.retrieval_gallery(
        black,
        [0],
        [[1, 0]],
        tmp_path / "gallery.png",
        gallery_images=white,
        gallery_labels=[1, 0],
        titles=["a title"],
        class_names=["a very long name that does not fit under a small picture", "b"],
    )
    found = colors_of(tmp_path / "gallery.png")
    assert {rgb(style.GREEN), rgb(style.VERMILION), (0, 0, 0)} <= found


def test_bad_galleries_are_named(tmp_path):
    images = np.zeros((2, 4, 4), np.float32)
    with pytest.raises(ValueError, match="uint8 or paths. Received: dtype=float32"):
        gallery.retrieval_gallery(images, [0, 1], [[1]], tmp_path / "gallery.png")
    with pytest.raises(ValueError, match="same length.*len.queries.=2"):
        gallery.retrieval_gallery(images, [0, 1], [[1]], tmp_path / "gallery.png", queries=[0, 1])


def test_best_and_worst_queries_are_of_different_classes_and_have_a_match():
    scores = np.array([0.5, np.nan, 1.0, 0.0, 0.2, 1.0, 0.1])
    labels = [0, 1, 2, 0, 3, 2, 3]
    best, worst = gallery.best_and_worst(scores, labels, 2, 1)
    np.testing.assert_array_equal(best, [2, 0])
    np.testing.assert_array_equal(worst, [3])
    best, worst = gallery.best_and_worst(scores, labels, 9, 9)
    np.testing.assert_array_equal(best, [2, 0, 4])
    np.testing.assert_array_equal(worst, [3, 6, 2])


def lives(num_instances, num_classes=3, num_proxies=2, with_images=True):
    """Made-up proxies of a few instances, the last of which was not replaced."""
    shape = (num_classes, num_proxies)
    found = []
    for number in range(num_instances):
        is_last = number == num_instances - 1
        curve = np.linspace(0.9, 0.4, num_proxies)
        found.append(
            life_cycle.Life(
                instance=number,
                born=100 * number,
                ended=100 * number + 100,
                replaced=not is_last,
                images=np.arange(num_classes * num_proxies).reshape(shape) if with_images else None,
                radius=np.full(shape, 0.5),
                curve=curve,
                moved=np.full(shape, 0.25),
                end_radius=None if is_last else np.full(shape, 0.7),
                end_curve=None if is_last else curve + 0.1,
            )
        )
    return found


@pytest.mark.parametrize("num_instances", [2, 3, 20])
@pytest.mark.parametrize("num_proxies", [1, 8])
def test_covering_radii_are_drawn_before_and_after(tmp_path, num_instances, num_proxies):
    found = lives(num_instances, num_proxies=num_proxies)
    figures.covering_radii_curves(found, tmp_path / "curves.png")
    assert {rgb(style.BLUE), rgb(style.VERMILION)} <= colors_of(tmp_path / "curves.png")


def test_covering_radii_of_one_instance_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="two instances"):
        figures.covering_radii_curves(lives(1), tmp_path / "curves.png")


def test_births_show_the_image_of_each_proxy(tmp_path):
    reds = np.arange(10, 130, 10)
    images = np.zeros((12, 6, 6, 3), np.uint8)
    images[..., 0] = reds[:, None, None]
    arguments = (images, ["a", "b", "c"], tmp_path / "births.png", [0, 2])
    gallery.birth_gallery(lives(7, num_proxies=4), *arguments)
    found = colors_of(tmp_path / "births.png")
    shown = {value for value in reds.tolist() if (value, 0, 0) in found}
    assert shown == {10, 20, 30, 40, 90, 100, 110, 120}  # of the first and the third class
    with pytest.raises(ValueError, match="images of proxies"):
        gallery.birth_gallery(lives(2, with_images=False), *arguments)


@pytest.fixture
def canvases(monkeypatch):
    """The figures that were drawn, in order; a warning while drawing is an error."""
    found, drawing = [], style.drawing

    @contextlib.contextmanager
    def keep(*args, **kwargs):
        with warnings.catch_warnings(), drawing(*args, **kwargs) as axes:
            warnings.simplefilter("error")
            yield axes
            found.append(np.ravel(axes)[0].figure)

    monkeypatch.setattr(style, "drawing", keep)
    return found


def legend_of(canvas):
    """The texts of the legend, which is above all axes of a figure."""
    (legend,) = canvas.legends
    bottom = legend.get_window_extent().y0
    assert all(axes.get_window_extent().y1 <= bottom for axes in canvas.axes)
    assert not [axes for axes in canvas.axes if axes.get_legend()]
    return [text.get_text() for text in legend.get_texts()]


def test_a_single_evaluation_is_a_point_on_axes_of_all_steps_and_scores(tmp_path, canvases):
    row = {"step": 1, "loss": 0.7, "val_map_at_r": 0.949, "val_precision_at_1": 0.95}
    figures.learning_curve([row], tmp_path / "curve.png")
    comparisons.learning_curves({"a": [row], "b": [row]}, tmp_path / "curves.png")
    comparisons.fold_curves([[[row]], [[row]]], tmp_path / "folds.png")
    for canvas in canvases:
        scores = canvas.axes[0]
        assert scores.get_ylim() == (0.0, 100.0)
        left, right = scores.get_xlim()
        assert left == 0.0
        assert right >= 1.0
        ticks = canvas.axes[-1].get_xticks()
        assert all(tick == int(tick) for tick in ticks)


def test_nothing_of_a_curve_is_cut_off(tmp_path, canvases):
    figures.covering_radius_curve(history(3, (1,)), tmp_path / "radius.png")
    figures.covering_radii_curves(lives(3), tmp_path / "radii.png")
    comparisons.fold_curves([[history(2)], [history(9)]], tmp_path / "folds.png")
    comparisons.core_set_curve({"a": [0.5], "b": [0.9, 0.7]}, tmp_path / "core.png")
    for canvas in canvases:
        for axes in canvas.axes:
            box = axes.dataLim
            assert axes.get_xlim()[0] < box.x0 <= box.x1 < axes.get_xlim()[1]
            assert axes.get_ylim()[0] <= box.y0 <= box.y1 < axes.get_ylim()[1]


def test_legends_cover_no_line(tmp_path, canvases):
    several = {f"runs/{i}": history(5 + i) for i in range(9)}
    figures.learning_curve(history(6, (2, 4)), tmp_path / "curve.png")
    figures.covering_radius_curve(history(6, (2, 4)), tmp_path / "radius.png")
    comparisons.learning_curves(several, tmp_path / "curves.png")
    comparisons.fold_curves([[history(3), history(4)]] * 4, tmp_path / "folds.png")
    comparisons.core_set_curve({name: [0.5, 0.4] for name in several}, tmp_path / "core.png")
    assert [len(legend_of(canvas)) for canvas in canvases] == [3, 2, 9, 2, 9]


def test_values_that_are_not_finite_are_gaps(tmp_path, canvases):
    rows = history(3)
    rows[2] |= {"val_map_at_r": np.nan, "loss": np.inf}
    figures.learning_curve(rows, tmp_path / "curve.png")
    assert "best MAP@R: 10.0 % at step 100" in legend_of(canvases[0])
    embeddings = np.random.default_rng(0).normal(size=(8, 5))
    embeddings[1], embeddings[6, 2] = np.nan, np.inf
    labels = np.repeat([0, 1], 4)
    figures.embedding_view(embeddings, labels, None, None, tmp_path / "view.png")
    assert canvases[1].axes[0].get_title(loc="left").endswith("is not finite: 2")


@pytest.mark.parametrize("num_images", [1, 6])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_view_of_few_images_or_dimensions(tmp_path, canvases, dim, num_images):
    embeddings = np.random.default_rng(0).normal(size=(num_images, dim))
    labels = np.zeros(num_images, int)
    figures.embedding_view(embeddings, labels, embeddings, labels, tmp_path / "view.png")
    assert canvases[0].axes[0].yaxis.get_visible() == (dim > 1)


def test_a_view_of_many_classes_says_what_it_leaves_out(tmp_path, canvases):
    labels = np.repeat(np.arange(1000), 3)
    embeddings = np.random.default_rng(0).normal(size=(len(labels), 4))
    names = [f"photograph of the common kingfisher, {label}" for label in range(1000)]
    path = tmp_path / "view.png"
    figures.embedding_view(embeddings, labels, None, None, path, class_names=names)
    (canvas,) = canvases
    title = canvas.axes[0].get_title(loc="left")
    assert title == "7 of 1,000 classes in color; gray: 2,000 of the 2,979 images of the others"
    first, *_, last = legend_of(canvas)
    assert (first, last) == ("photograph of …kingfisher, 0", "photograph of …ngfisher, 999")


def test_any_name_of_a_class_is_shown_as_it_is(tmp_path, canvases):
    # Of scripts that a system may have no font for; what would be a formula; what legends skip.
    names = [
        "\u0e01\u0e02",
        "\ud55c\uae00",
        "\u304b\u306a",
        "ελληνικά",
        "$a^$",
        "_hidden",
        "two\nlines",
    ]
    labels = np.arange(7)
    embeddings = np.random.default_rng(0).normal(size=(7, 2))
    path = tmp_path / "view.png"
    figures.embedding_view(embeddings, labels, None, None, path, class_names=names)
    texts = legend_of(canvases[0])
    assert texts[3:] == ["ελληνικά", r"\$a^\$", " _hidden", "two lines"]
    for text, name in zip(texts[:3], names[:3], strict=True):
        assert text in (name, name.encode("unicode_escape").decode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = np.zeros((7, 4, 4), np.uint8)
        gallery.retrieval_gallery(
            images, labels, [[1, 2, 3, 4]], tmp_path / "gallery.png", class_names=names
        )


def test_figures_say_how_many_instances_they_leave_out(tmp_path, canvases, monkeypatch):
    figures.covering_radii_curves(lives(20), tmp_path / "radii.png")
    assert "6 of 19 re-initializations" in canvases[0].get_supxlabel()
    headers, make = [], sheet.Sheet

    def keep(*args, header, **kwargs):
        headers.append(header)
        return make(*args, header=header, **kwargs)

    monkeypatch.setattr(sheet, "Sheet", keep)
    found = lives(7, num_classes=30, num_proxies=12)
    images = np.zeros((360, 4, 4), np.uint8)
    gallery.birth_gallery(found, images, ["a"] * 30, tmp_path / "births.png", [0, 2])
    assert headers == ["shown: 2 of 30 classes, 5 of 7 problem instances, 10 of 12 proxies"]
    figures.learning_curve(history(50, range(1, 50)), tmp_path / "curve.png")
    (top,) = canvases[1].axes[0].child_axes
    assert "49 of them, some without their number" in top.get_xlabel()


def test_the_figure_of_thresholds_marks_them(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 12
    points = rng.normal(size=(12, 4))[labels] + 0.3 * rng.normal(size=(60, 4))
    drawn = (metrics.curve(points, labels), metrics.open_set(points, labels))
    threshold_figure.draw(*drawn, [], tmp_path / "plain.png")
    threshold_figure.draw(*drawn, [("best_f1", 1.0)], tmp_path / "marked.png")
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "marked.png").read_bytes()
    assert {rgb(style.VERMILION), rgb(style.BLUE)} <= colors_of(tmp_path / "marked.png")
