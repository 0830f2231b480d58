"""Files show what other programs show of them: upright, in colour, on white."""

import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ccpdml.data import decoding

SIZE = (60, 40)
WEBP = pytest.param(
    "WEBP", marks=pytest.mark.skipif(not decoding.decodes_webp(), reason="TensorFlow is too old")
)


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(255, size=(4, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def decode():
    """Pixels of bytes, by one graph."""
    graph = tf.function(decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])
    return lambda contents: graph(contents).numpy().astype(int)


@pytest.fixture(scope="module")
def decode_window():
    spec = [tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int32)]

    @tf.function(input_signature=spec)
    def graph(contents, window):
        return decoding.decode_window(contents, lambda shape: window)

    return lambda *arguments: graph(*arguments).numpy().astype(int)


def written(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seen(contents):
    """What Pillow shows of a file, before white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", WEBP])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_they_say(kind, orientation, picture, decode, decode_window):
    note = Image.Exif()
    note[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    contents = written(picture, kind, exif=note, **options.get(kind, {}))
    whole = decode(contents)
    assert whole.shape == seen(contents).shape
    assert np.abs(whole - seen(contents)).mean() < 3  # Decoders round JPEG differently.
    window = decode_window(contents, [5, 7, 20, 30])
    assert np.abs(window - whole[5:25, 7:37]).max() <= 4


@pytest.mark.parametrize("shape", [(4, 6, 3), (160, 130, 3), (200, 300, 3)])
def test_the_note_of_a_png_file_may_stand_behind_its_pixels(shape, decode):
    noise = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    note = Image.Exif()
    note[0x0112] = 6
    block = b"eXIf" + note.tobytes().removeprefix(b"Exif\0\0")
    chunk = (len(block) - 4).to_bytes(4, "big") + block + zlib.crc32(block).to_bytes(4, "big")
    contents = written(Image.fromarray(noise), "PNG")
    contents = contents[:-12] + chunk + contents[-12:]
    assert (decode(contents) == seen(contents)).all()
    assert (decode(contents) == np.rot90(noise, -1)).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_note_is_found_among_others_in_both_byte_orders(order, picture, decode):
    note = Image.Exif()
    note.endian = order
    note[0x010E], note[0x0112], note[0x0131] = "a picture", 6, "a program"
    contents = written(picture, "JPEG", exif=note, comment=b"Exif", icc_profile=bytes(3000))
    assert decode(contents).shape == (SIZE[0], SIZE[1], 3)


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0" * 4000],
)
def test_notes_that_make_no_sense_are_passed_over(block, picture, decode):
    contents = written(picture, "JPEG")
    segment = b"\xff\xe1" + (len(block) + 8).to_bytes(2, "big") + b"Exif\0\0" + block
    assert (decode(contents[:2] + segment + contents[2:]) == decode(contents)).all()


def transparent(picture, mode):
    image = picture.convert("RGBA")
    alpha = np.full(SIZE[::-1], 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 100
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), (WEBP.values[0], "RGBA")]
)
def test_transparent_pixels_show_white(kind, mode, picture, decode):
    if kind == "WEBP" and not decoding.decodes_webp():
        pytest.skip("TensorFlow is too old")
    contents = written(
        transparent(picture, mode), kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    assert np.abs(decode(contents) - seen(contents)).max() <= 1
    assert (decode(contents)[:10] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_color_named_as_transparent_shows_white(mode, picture, decode):
    image = picture.convert(mode) if mode != "P" else picture.quantize(20)
    key = image.getpixel((0, 0))
    contents = written(image, "PNG", transparency=key)
    assert (decode(contents)[0, 0] == 255).all()
    assert np.abs(decode(contents) - seen(contents)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("P", "BMP"), ("L", "BMP"), ("P", "GIF")],
)
def test_grey_and_palettes_become_colors(mode, kind, picture, decode):
    image = picture.quantize(20) if mode == "P" else picture.convert(mode)
    contents = written(image, kind)
    assert np.abs(decode(contents) - seen(contents)).max() <= 1


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animated_webp_file_is_refused(lossless, picture, decode):
    others = [picture.rotate(90), picture.rotate(180)]
    options = {"save_all": True, "append_images": others, "lossless": lossless}
    contents = written(picture, "WEBP", **options)
    # TensorFlow writes beyond its memory if it is given one.
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(contents)
    assert "cannot decode animated WebP files; convert" in decoding.why_undecodable(contents)


def test_of_16_bits_the_upper_ones_stay(decode):
    values = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    assert (decode(written(Image.fromarray(values), "PNG"))[..., 0] == values >> 8).all()


def test_the_name_of_a_file_does_not_matter_but_its_content(picture, tmp_path, decode):
    path = tmp_path / "photo.jpg"
    path.write_bytes(written(picture, "PNG"))
    assert (decode(path.read_bytes()) == np.asarray(picture)).all()


def test_what_cannot_be_decoded_is_named_with_the_cure(picture, tmp_path):
    assert decoding.why_refused("a/b.JPG") is None
    assert ".tiff files; convert them to PNG or JPEG" in decoding.why_refused("a/b.TIFF")
    assert (decoding.why_refused("b.webp") is None) == decoding.decodes_webp()
    path = tmp_path / "photo.jpg"
    path.write_bytes(written(picture, "TIFF"))
    assert "cannot decode TIFF files; convert" in decoding.why_unreadable(path)
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    assert "HEIC" in decoding.why_unreadable(path)
