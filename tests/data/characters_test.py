import pathlib

import matplotlib
import numpy as np
import pytest

from ccpdml import data
from ccpdml.data import characters, checks, sop

TYPEFACES = str(pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf")
OPTIONS = {"script": "greek", "typefaces": TYPEFACES, "images_per_class": 6, "num_classes": 12}


@pytest.fixture(scope="module")
def source():
    return characters.read(**OPTIONS)


def test_every_class_has_as_many_images_as_asked_for_and_none_twice(source):
    for part in (source.development, source.test):
        assert part.num_classes == 6
        assert (np.bincount(part.labels) == 6).all()
        assert len(np.unique(part.images, axis=0)) == len(part)
        assert all("GREEK" in name for name in part.class_names)


def test_the_same_call_draws_the_same_and_another_seed_others(source):
    again = characters.read(**OPTIONS)
    assert (again.test.images == source.test.images).all()
    assert again.test.paths == source.test.paths
    assert characters.read(**OPTIONS, seed=1).test.class_names != source.test.class_names


def test_slices_of_classes_do_not_overlap(source):
    other = characters.read(**OPTIONS, first_class=12)
    names = [s.development.class_names + s.test.class_names for s in (source, other)]
    assert not set(names[0]) & set(names[1])


def test_the_domains_show_the_same_characters_otherwise(source):
    noisy, shifted = (characters.read(**OPTIONS, domain=d) for d in ("noisy", "shifted"))
    assert noisy.test.paths == source.test.paths
    ink = source.test.images > 200
    for part, fewest in ((noisy.test, 1.0), (shifted.test, 0.2)):
        # White ink is lighter than the ground, black ink on white darker.
        pairs = zip(part.images, ink, strict=True)
        lighter = [image[on].mean() > image[~on].mean() for image, on in pairs]
        assert fewest <= np.mean(lighter) <= (1.0 if fewest == 1.0 else 0.8)


def test_a_range_of_code_points_is_a_script():
    found = characters.read(**(OPTIONS | {"script": (0x41, 0x5A)})).test
    assert all("LATIN CAPITAL LETTER" in name for name in found.class_names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"script": "klingon"}, "klingon"),
        ({"domain": "dirty"}, "dirty"),
        ({"num_classes": 3}, "num_classes"),
        ({"images_per_class": 1}, "images_per_class"),
        ({"num_classes": 5000}, "5000 characters"),
        ({"script": "hangul"}, "add typefaces"),
    ],
)
def test_what_cannot_be_drawn_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        characters.read(**(OPTIONS | options))


def test_a_folder_without_typefaces_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*CCPDML_TYPEFACES"):
        characters.read(typefaces=str(tmp_path))


def test_they_load_by_name_with_their_options():
    splits = data.load("characters", num_folds=3, **OPTIONS)
    assert splits.info["counts"]["train"] == {"images": 24, "classes": 4}
    with pytest.raises(ValueError, match="options script, .*scripts"):
        data.load("characters", scripts="greek")
    with pytest.raises(ValueError, match=r"data\.load\.first_class.*-1"):
        data.load("characters", first_class=-1)
    with pytest.raises(ValueError, match="'digits' has no options"):
        data.load("digits", script="greek")


def test_written_as_files_they_are_read_as_sop_is(source, tmp_path):
    sop.write(source, tmp_path)
    found = sop.BENCHMARK.read(tmp_path)
    assert not checks.problems(found, verify_counts=False)
    for name, part in source.parts.items():
        assert (found.parts[name].labels == part.labels).all()
    with pytest.raises(FileExistsError):
        sop.write(source, tmp_path)
