import numpy as np
import pytest

from ccpdml.data import image_set


def make(labels=(0, 1, 1, 2), num_classes=3):
    return image_set.ImageSet(
        images=np.array([f"{i}.jpg" for i in range(len(labels))]),
        labels=np.array(labels),
        class_names=[f"class {i}" for i in range(num_classes)],
    )


def test_selected_classes_are_relabelled_in_the_order_given():
    chosen = make().select_classes([2, 1])
    assert chosen.paths == ("1.jpg", "2.jpg", "3.jpg")
    assert chosen.labels.tolist() == [1, 1, 0]
    assert chosen.class_names == ("class 2", "class 1")
    assert chosen.labels.dtype == np.int32


def test_pixels_keep_their_names_when_classes_are_selected():
    pixels = image_set.ImageSet(
        images=np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1),
        labels=np.array([0, 1, 0]),
        class_names=["a", "b"],
        names=["x", "y", "z"],
    )
    chosen = pixels.select_classes([0])
    assert chosen.paths == ("x", "z")
    assert chosen.images.ravel().tolist() == [0, 2]


@pytest.mark.parametrize("class_ids", [[0, 0], [3], [-1]])
def test_class_ids_must_be_distinct_and_known(class_ids):
    with pytest.raises(ValueError, match="Received: class_ids"):
        make().select_classes(class_ids)


@pytest.mark.parametrize("labels", [(0, 3), (-1, 0), (0.5, 1.0)])
def test_labels_must_be_integers_with_a_class_name(labels):
    with pytest.raises(ValueError, match="Received"):
        make(labels)


def test_labels_and_names_must_be_one_per_image():
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        image_set.ImageSet(pixels, np.array([0]), ["a"], names=["x", "y"])
    with pytest.raises(ValueError, match="1 names, 2 images"):
        image_set.ImageSet(pixels, np.array([0, 0]), ["a"], names=["x"])


def test_names_may_be_left_out():
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    assert image_set.ImageSet(pixels, np.array([0, 0]), ["a"]).paths == ("image 0", "image 1")


def test_images_must_be_paths_or_uint8_pixels():
    with pytest.raises(ValueError, match="float64"):
        image_set.ImageSet(np.zeros((1, 4, 4, 1)), np.array([0]), ["a"], names=["x"])
