"""Every way a data set can be broken gives an error, or a line of the report, that says so."""

import shutil

import numpy as np
import pytest
import scipy.io

from ccpdml import data
from ccpdml.data import doctor, loading
from tests.data import miniatures


def load(name, root):
    return data.load(name, root, verify_counts=False)


def examine(name, root):
    return doctor.examine(loading.read(name, root), verify_counts=False)


def edit(file, old, new):
    """Replaces the first `old` in a text file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", sorted(loading.BENCHMARKS))
def test_absent_benchmark_says_what_to_get_and_what_to_try_instead(name, tmp_path):
    about = loading.BENCHMARKS[name]
    with pytest.raises(FileNotFoundError) as caught:
        data.load(name, tmp_path)
    message = str(caught.value)
    assert about.home in message
    assert about.licence in message
    assert about.how_to_get in message
    assert str(tmp_path / about.folders[0]) in message
    assert "gin/glyphs_ms.gin" in message


@pytest.mark.parametrize("name", ["folder", "csv"])
def test_absent_images_of_your_own_say_what_was_expected(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected.*data_root"):
        data.load(name, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "lost"),
    [
        ("cub", "CUB_200_2011/images.txt"),
        ("cub", "CUB_200_2011/image_class_labels.txt"),
        ("cub", "CUB_200_2011/classes.txt"),
        ("sop", "Stanford_Online_Products/Ebay_test.txt"),
        ("cars_a", "Cars196/cars_annos.mat"),
        ("cars_b", "Cars196/devkit/cars_train_annos.mat"),
        ("cars_b", "Cars196/cars_test_annos_withlabels.mat"),
        ("cars_c", "Cars196/anno_test.csv"),
        ("inshop", "InShopClothesRetrievalBenchmark/Eval/list_eval_partition.txt"),
    ],
)
def test_missing_list_is_named(key, lost, tmp_path):
    name, make = miniatures.MINIATURES[key]
    root = make(tmp_path)
    (root / lost).unlink()
    with pytest.raises(FileNotFoundError, match=lost.rsplit("/")[-1]):
        load(name, root)


@pytest.mark.parametrize(
    ("key", "file", "old", "new", "message"),
    [
        ("cub", "CUB_200_2011/images.txt", "2 001", "2 3 001", "line 2: expected 2 columns"),
        ("cub", "CUB_200_2011/images.txt", "2 001", "1 001", "every id once"),
        ("cub", "CUB_200_2011/images.txt", "2 001", "9999 001", "ids that are in one of them"),
        ("cub", "CUB_200_2011/image_class_labels.txt", "1 1\n", "1 150\n", "ids of classes.txt"),
        ("cub", "CUB_200_2011/image_class_labels.txt", "1 1\n", "1 x\n", "a class id"),
        ("cub", "CUB_200_2011/image_class_labels.txt", "1 1\n", "1 2\n", "mislabelled: 001.Bird_1"),
        ("sop", "Stanford_Online_Products/Ebay_train.txt", "image_id", "id", "expected the header"),
        ("sop", "Stanford_Online_Products/Ebay_train.txt", "1 1 2", "1 1", "expected 4 columns"),
        ("sop", "Stanford_Online_Products/Ebay_train.txt", "1 1 2", "1 0 2", "a class id"),
        (
            "sop",
            "Stanford_Online_Products/Ebay_train.txt",
            "2 1 2",
            "2 2 2",
            "mislabelled: bicycle",
        ),
        ("inshop", "*/Eval/list_eval_partition.txt", "image_name", "name", "line 2: expected"),
        ("inshop", "*/Eval/list_eval_partition.txt", " train", " training", "one of.*'training'"),
        ("inshop", "*/Eval/list_eval_partition.txt", " train", "", "expected 3 columns"),
        ("inshop", "*/Eval/list_eval_partition.txt", " query", " train", "in train or in test"),
        ("inshop", "*/Eval/list_eval_partition.txt", "80", "81", "announces 81 images"),
        ("inshop", "*/Eval/list_eval_partition.txt", " id_00000001", " id_00000002", "mislabelled"),
        ("cars_c", "Cars196/anno_train.csv", "30,1", "30,197", "1..196.*class 197"),
        ("cars_c", "Cars196/anno_train.csv", "30,1", "30,x", "a class id"),
        ("csv_of_classes", "images.csv", "path,label", "file,label", "expected the columns path"),
        ("csv_of_classes", "images.csv", ",thing 00", ",", "line 2: expected a value"),
        ("csv_of_classes", "images.csv", ",thing 00", ",  ", "line 2: expected a value"),
        ("csv_of_classes", "images.csv", ",thing 00", ',"thing 00', "quotes.*unexpected end"),
        ("csv_of_classes", "images.csv", "path,label", "path,label,label", "label, each once"),
        ("csv_with_gallery", "photos.csv", ",train,", ",training,", "expected split.*training"),
        ("csv_with_gallery", "photos.csv", ",query", ",", "expected role"),
        ("csv_with_gallery", "photos.csv", "thing 12", "thing 11", "other classes in test"),
    ],
)
def test_malformed_list_is_named_with_what_was_expected(key, file, old, new, message, tmp_path):
    name, make = miniatures.MINIATURES[key]
    root = make(tmp_path)
    (listed,) = tmp_path.glob(file)
    edit(listed, old, new)
    with pytest.raises(ValueError, match=message):
        load(name, root)


def test_blanks_around_a_label_make_no_other_class(tmp_path):
    root = miniatures.csv_of_classes(tmp_path)
    expected = load("csv", root).train.class_names
    edit(root / "images.csv", ",thing 00", ", thing 00 ")
    assert load("csv", root).train.class_names == expected


def test_wrong_matlab_files_are_named(tmp_path):
    root = miniatures.cars_a(tmp_path)
    file = root / "Cars196" / "cars_annos.mat"
    scipy.io.savemat(file, {"annotations": np.zeros(3)})
    with pytest.raises(ValueError, match="cars_annos.mat: expected the variables"):
        load("cars", root)
    scipy.io.savemat(file, {"annotations": np.zeros(3), "class_names": np.zeros(3)})
    with pytest.raises(ValueError, match="expected the field `class`"):
        load("cars", root)
    file.write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(ValueError, match="cars_annos.mat: expected a MATLAB 5 file"):
        load("cars", root)


def test_folders_need_classes_of_their_own_for_the_test(tmp_path):
    root = miniatures.folder_with_test(tmp_path)
    shutil.copytree(root / "train" / "thing 00", root / "test" / "thing 00")
    with pytest.raises(ValueError, match="other classes in test.*'thing 00'"):
        load("folder", root)
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    with pytest.raises(FileNotFoundError, match="12 and 0 classes"):
        load("folder", root)


def test_queries_need_a_gallery(tmp_path):
    file = miniatures.csv_with_gallery(tmp_path)
    file.write_text(file.read_text().replace("gallery", "query"))
    with pytest.raises(ValueError, match="0 gallery images"):
        load("csv", file)


def test_other_counts_than_published_are_refused(tmp_path):
    with pytest.raises(ValueError, match="60 images of 12 classes, published are 59551 of 11318"):
        data.load("sop", miniatures.sop(tmp_path))


@pytest.mark.parametrize("key", ["cub", "sop", "inshop", "cars_a", "cars_b", "cars_c"])
def test_missing_images_are_refused_and_named(key, tmp_path):
    name, make = miniatures.MINIATURES[key]
    root = make(tmp_path)
    lost = loading.read(name, root).development.paths[3]
    (tmp_path / lost).unlink()
    with pytest.raises(ValueError, match=f"missing: {lost}"):
        load(name, root)
    assert f"missing: {lost}" in examine(name, root).problems


def test_long_lists_of_problems_are_cut(tmp_path):
    root = miniatures.sop(tmp_path)
    shutil.rmtree(root / "Stanford_Online_Products" / "bicycle_final")
    with pytest.raises(ValueError, match="and 35 more\n.*ccpdml check-data --dataset=sop"):
        load("sop", root)
    lines = list(examine("sop", root).lines(most=3))
    assert "PROBLEM missing: ... and 37 more" in lines
    assert lines[-1] == "40 problems"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda contents: b"", "the file is empty"),
        (lambda contents: contents[: len(contents) // 2], "truncated"),
        (lambda contents: b"<html>not found</html>", "cannot identify image file"),
        (lambda contents: contents[:200] + bytes(len(contents) - 200), ""),
    ],
)
def test_corrupt_images_are_named_with_the_reason(damage, reason, tmp_path):
    root = miniatures.cub(tmp_path)
    path = loading.read("cub", root).test.paths[1]
    with open(path, "rb") as stream:
        contents = stream.read()
    with open(path, "wb") as stream:
        stream.write(damage(contents))
    (problem,) = examine("cub", root).problems
    assert problem.startswith(f"corrupt: {path}: ")
    assert reason in problem


def test_image_listed_twice_is_refused(tmp_path):
    root = miniatures.sop(tmp_path)
    file = root / "Stanford_Online_Products" / "Ebay_train.txt"
    edit(file, "110000000001_1.JPG", "110000000001_0.JPG")
    with pytest.raises(
        ValueError, match="duplicate: .*110000000001_0.JPG is listed more than once"
    ):
        load("sop", root)


def test_images_of_the_same_content_are_reported(tmp_path):
    root = miniatures.folder_with_test(tmp_path)
    first, same_class, other_class = (
        root / "train" / f"thing {label:02}" / name
        for label, name in [(0, "0_0.jpg"), (0, "copy.jpg"), (1, "copy.jpg")]
    )
    shutil.copy(first, same_class)
    report = examine("folder", root)
    assert report.problems == ()
    assert report.notes == (f"duplicate: the same content in {first}, {same_class}",)
    # Under two classes one of the labels must be wrong.
    same_class.rename(other_class)
    (problem,) = examine("folder", root).problems
    assert problem.startswith("mislabelled: under different classes")


def test_copies_in_a_published_data_set_are_only_noted(tmp_path):
    root = miniatures.cub(tmp_path)
    source = loading.read("cub", root)
    shutil.copy(source.development.paths[0], source.test.paths[0])
    report = examine("cub", root)
    assert report.problems == ()
    assert report.notes[0].startswith("duplicate: under different classes")
