import time

import numpy as np
import pytest

from ccpdml.data import glyphs


@pytest.fixture(scope="module")
def source():
    return glyphs.read()


def test_there_are_hundreds_of_characters_of_many_typefaces(source):
    assert source.development.num_classes >= 150
    assert source.test.num_classes >= 150
    for part in (source.development, source.test):
        counts = np.bincount(part.labels)
        assert counts.min() >= glyphs.MIN_IMAGES
        assert counts.max() <= len(glyphs.TYPEFACES)
        assert part.images.shape[1:] == (32, 32, 1)


def test_development_and_test_share_no_character(source):
    assert not set(source.development.class_names) & set(source.test.class_names)


def test_scripts_are_mixed_over_both_halves(source):
    for part in (source.development, source.test):
        scripts = {name.split()[1] for name in part.class_names}
        assert {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN"} <= scripts


@pytest.mark.parametrize(
    "alike",
    [
        ("LATIN CAPITAL LETTER A", "GREEK CAPITAL LETTER ALPHA", "CYRILLIC CAPITAL LETTER A"),
        ("LATIN CAPITAL LETTER O", "LATIN SMALL LETTER O", "GREEK SMALL LETTER OMICRON"),
        ("LATIN CAPITAL LETTER S", "LATIN SMALL LETTER S", "CYRILLIC SMALL LETTER DZE"),
    ],
)
def test_of_look_alike_characters_one_stays(source, alike):
    names = source.development.class_names + source.test.class_names
    assert sum(name.split(maxsplit=1)[1] in alike for name in names) == 1


def test_ink_is_inside_the_image_and_large_enough(source):
    images = source.development.images[..., 0]
    border = np.concatenate([images[:, [0, -1]], images[:, :, [0, -1]].transpose(0, 2, 1)], axis=1)
    assert np.mean(border.max(axis=(1, 2)) > 128) < 0.01
    assert images.max(axis=(1, 2)).min() > 128


def test_drawing_is_deterministic_and_quick(source):
    start = time.process_time()
    again = glyphs.read()
    assert time.process_time() - start < 10
    assert (again.test.images == source.test.images).all()
    assert again.test.paths == source.test.paths
