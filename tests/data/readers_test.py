import dataclasses

import numpy as np
import pytest

from ccpdml import data
from ccpdml.data import loading
from tests.data import miniatures

PUBLISHED = {
    "cub": (11_788, 200),
    "cars": (16_185, 196),
    "sop": (120_053, 22_634),
    "inshop": (52_712, 7_982),
}


@pytest.fixture(params=miniatures.MINIATURES)
def miniature(request, tmp_path):
    """(name for `data.load`, root) of each layout in turn."""
    name, make = miniatures.MINIATURES[request.param]
    return name, make(tmp_path)


def load(name, root, **kwargs):
    return data.load(name, root, verify_counts=False, **kwargs)


def test_every_layout_gives_class_disjoint_parts_of_existing_images(miniature):
    splits = load(*miniature)
    # Fold 0 of 4 validates on the last quarter of the classes.
    assert splits.train.num_classes == miniatures.NUM_DEVELOPMENT * 3 // 4
    assert splits.validation.num_classes == miniatures.NUM_DEVELOPMENT // 4
    parts = [splits.train, splits.validation, splits.test]
    names = [name for part in parts for name in part.class_names]
    assert len(set(names)) == len(names)
    for part in parts:
        assert np.unique(part.labels).tolist() == list(range(part.num_classes))
    assert not [path for part in parts for path in part.paths if "._" in path]


@pytest.mark.usefixtures("views_by_pillow")
def test_every_layout_pairs_images_with_their_class(miniature):
    name, root = miniature
    splits = load(name, root, num_folds=1)
    for part in [splits.train, splits.test, splits.gallery or splits.test]:
        images = data.pipelines.image_batches(part, data.views.CenterCrop(24, 30), 100)
        means = np.concatenate([batch.numpy().mean(axis=(1, 2)) for batch in images])
        # Greyscale images tell nothing of their class's colour.
        colour = np.ptp(means, axis=1) > 1
        # Images of a class are one pattern under noise: their mean colours are close together.
        for label in range(part.num_classes):
            own = means[colour & (part.labels == label)]
            assert np.abs(own - own.mean(axis=0)).max() < 20


def test_query_and_gallery_share_their_classes(tmp_path):
    for key in ("inshop", "csv_with_gallery"):
        name, make = miniatures.MINIATURES[key]
        splits = load(name, make(tmp_path / key))
        assert splits.test.class_names == splits.gallery.class_names
        assert len(splits.test) == 2 * miniatures.NUM_TEST
        assert len(splits.gallery) == 3 * miniatures.NUM_TEST


def test_classes_without_a_split_are_halved_by_name(tmp_path):
    splits = load("folder", miniatures.folder_of_classes(tmp_path), num_folds=1)
    assert splits.train.class_names[0] == "thing 00"
    assert splits.test.class_names[0] == f"thing {miniatures.NUM_DEVELOPMENT:02}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_add_up(name):
    published = loading.BENCHMARKS[name].published
    images = sum(images for images, _ in published.values())
    classes = sum(classes for part, (_, classes) in published.items() if part != "gallery")
    assert (images, classes) == PUBLISHED[name]


def test_counts_are_verified_where_they_are_the_published_ones(tmp_path, monkeypatch):
    root = miniatures.sop(tmp_path)
    assert load("sop", root).info["counts_verified"] is False  # Nobody looked.
    parts = loading.read("sop", root).parts
    counts = {name: (len(images), images.num_classes) for name, images in parts.items()}
    small = dataclasses.replace(loading.BENCHMARKS["sop"], published=counts)
    monkeypatch.setitem(loading.READERS, "sop", small.read)
    assert data.load("sop", root).info["counts_verified"] is True
    assert load("sop", root).info["counts_verified"] is False
    assert data.load("digits").info["counts_verified"] is False  # Nothing was published.
    monkeypatch.setattr(loading.doctor, "read_all", lambda paths: np.arange(len(paths)) - 1)
    monkeypatch.setattr(loading.decoding, "why_unreadable", lambda path: "broken")
    skipping = data.load("sop", root, skip_corrupt=True)
    assert skipping.info["counts_verified"] is False


def test_data_set_may_be_named_by_its_own_folder_or_the_environment(tmp_path, monkeypatch):
    root = miniatures.sop(tmp_path)
    expected = load("sop", root).train.paths
    assert load("sop", root / "Stanford_Online_Products").train.paths == expected
    monkeypatch.setenv("CCPDML_DATA", str(root))
    assert load("sop", None).train.paths == expected


@pytest.mark.parametrize("make", [miniatures.folder_of_classes, miniatures.folder_with_test])
def test_a_folder_may_be_named_from_the_working_directory(make, tmp_path, monkeypatch):
    expected = load("folder", make(tmp_path)).train.paths
    monkeypatch.chdir(tmp_path)
    (folder,) = tmp_path.iterdir()
    relative = load("folder", folder.name).train.paths
    assert [str(tmp_path / path) for path in relative] == list(expected)


def test_right_counts_are_accepted(tmp_path, monkeypatch):
    published = {"development": (60, 12), "test": (20, 4)}
    benchmark = dataclasses.replace(loading.BENCHMARKS["sop"], published=published)
    monkeypatch.setitem(loading.READERS, "sop", benchmark.read)
    splits = data.load("sop", miniatures.sop(tmp_path))
    assert splits.info["layout"] == "Stanford_Online_Products"


def test_corrupt_images_are_skipped_and_counted_when_asked(tmp_path):
    root = miniatures.folder_with_test(tmp_path)
    (root / "train" / "thing 00" / "0_0.jpg").write_bytes(b"no image")
    splits = load("folder", root, skip_corrupt=True)
    assert splits.info["skipped"] == {"train": 1, "validation": 0, "test": 0}
    assert len(splits.train) == 9 * miniatures.IMAGES_PER_CLASS - 1
    assert not any(path.endswith("thing 00/0_0.jpg") for path in splits.train.paths)


def test_what_is_no_image_of_the_folder_is_left_out(tmp_path):
    root = miniatures.folder_of_classes(tmp_path)
    before = load("folder", root)
    for extra in ("thing 00/._0_0.jpg", "__MACOSX/0.jpg", ".cache/0.jpg"):
        (root / extra).parent.mkdir(exist_ok=True)
        (root / extra).write_bytes(b"")
    assert load("folder", root).info == before.info
    for extra in ("thing 00/notes.txt", "thing 01/deep/film.MP4", "loose.jpg"):
        (root / extra).parent.mkdir(exist_ok=True)
        (root / extra).write_bytes(b"")
    (root / "empty").mkdir()
    after = load("folder", root).info
    assert after["counts"] == before.info["counts"]
    told = " ".join(after["left_out"]["first"])
    assert after["left_out"]["count"] == 4
    assert all(name in told for name in ("notes.txt", "film.MP4", "loose.jpg", "empty"))


def test_a_table_may_be_named_from_the_working_directory(tmp_path, monkeypatch):
    root = miniatures.csv_with_gallery(tmp_path)
    expected = [str(path) for path in load("csv", root).train.paths]
    monkeypatch.chdir(tmp_path.parent)
    relative = load("csv", root.relative_to(tmp_path.parent)).train.paths
    assert [str(tmp_path.parent / path) for path in relative] == expected
