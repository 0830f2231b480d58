"""One image in all the forms that it may be given in."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import serving
from tests.serving import fixtures


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fixtures.make_run(folder / "run")
    return serving.load_encoder(folder / "run")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(256, size=(21, 30, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photos") / 'Müller, "O\'Brien" & Söhne.png'
    Image.fromarray(pixels).save(path)
    return path


FORMS = {
    "path": lambda path: path,
    "name": str,
    "bytes": Path.read_bytes,
    "PIL image": Image.open,
    "pixels": lambda path: np.array(Image.open(path)),
    "tensor": lambda path: tf.io.decode_png(path.read_bytes()),
    "string tensor": lambda path: tf.io.read_file(str(path)),
    "opaque pixels": lambda path: np.array(Image.open(path).convert("RGBA")),
    "list": lambda path: [path],
    "batch": lambda path: np.array(Image.open(path))[None],
    "array of names": lambda path: np.array([str(path)]),
    "generator": lambda path: (each for each in [path]),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_the_same_in_every_form(encoder, photo, form):
    found = encoder.embed(FORMS[form](photo))
    assert found.shape == (1, 6)
    np.testing.assert_array_equal(found, encoder.embed(photo))


def test_grey_pixels_may_lack_an_axis_and_others_are_mixed_in_a_list(encoder, photo):
    grey = np.array(Image.open(photo).convert("L"))
    images = [grey, grey[..., None], photo, Image.open(photo), photo.read_bytes()]
    found = encoder.embed(images, batch_size=2)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2:], [found[2]] * 3, atol=1e-6)
    assert not np.allclose(found[0], found[2])
    assert encoder.embed([]).shape == (0, 6)


def test_a_rotated_photograph_is_the_same_as_a_file_and_as_a_pil_image(encoder, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Lies on its side.
    Image.open(photo).rotate(90, expand=True).save(tmp_path / "side.png", exif=exif)
    picture = Image.open(tmp_path / "side.png")
    np.testing.assert_array_equal(encoder.embed(picture), encoder.embed(photo))
    np.testing.assert_array_equal(encoder.embed(tmp_path / "side.png"), encoder.embed(photo))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros([4, 4, 3], np.float32), ValueError, "uint8.*dtype float32"),
        (np.zeros([4, 4, 2], np.uint8), ValueError, r"shape \(4, 4, 2\)"),
        (3, ValueError, "Received: int"),
        (None, ValueError, "Received: NoneType"),
        (".", ValueError, "a folder; see `find_images`"),
        ("nowhere.jpg", FileNotFoundError, "nowhere.jpg"),
        (b"", serving.UnreadableImageError, r"images\[0\] cannot be read: the file is empty"),
        ([b"no image"], serving.UnreadableImageError, r"images\[0\] cannot be read: cannot ident"),
    ],
)
def test_what_is_no_image_is_told(encoder, images, error, message):
    with pytest.raises(error, match=message):
        encoder.embed(images)


def test_a_truncated_pil_image_is_named(encoder, photo, tmp_path):
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:900])
    with pytest.raises(serving.UnreadableImageError, match=r"images\[1\] cannot be read"):
        encoder.embed([photo, Image.open(tmp_path / "cut.png")])
    with pytest.raises(serving.UnreadableImageError, match="cut.png cannot be read"):
        encoder.embed([photo, tmp_path / "cut.png"])
