import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml.data import decoding, views


def test_random_shift_moves_by_its_seed():
    image = np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1)
    shift = views.RandomShift(max_pixels=1)
    # Seeds mod 3 = (0, 2): the window starts one up and one right of the image.
    moved = shift(tf.constant(image), tf.constant([0, 2]))
    assert moved.numpy()[..., 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    # Seeds mod 3 = (1, 1): in place.
    assert (shift(tf.constant(image), tf.constant([4, 7])).numpy() == image).all()


def test_random_shift_of_a_batch_is_that_of_its_images():
    rng = np.random.default_rng(0)
    images = rng.integers(255, size=(6, 5, 4, 3), dtype=np.uint8)
    seeds = rng.integers(2**31, size=(6, 2), dtype=np.int32)
    shift = views.RandomShift(max_pixels=2)
    batch = shift(tf.constant(images), tf.constant(seeds)).numpy()
    for image, seed, moved in zip(images, seeds, batch, strict=True):
        assert (shift(tf.constant(image), tf.constant(seed)).numpy() == moved).all()


def test_random_shift_reaches_every_offset_equally_often():
    seeds = np.random.default_rng(0).integers(2**31, size=(9000, 2), dtype=np.int32)
    image = np.zeros((5, 5, 1), np.uint8)
    image[2, 2] = 1
    images = np.repeat(image[None], 9000, axis=0)
    share = views.RandomShift(max_pixels=1)(tf.constant(images), tf.constant(seeds)).numpy()
    assert np.abs(share.mean(axis=0)[1:4, 1:4] - 1 / 9).max() < 0.02


def test_plain_view_is_the_image():
    image = tf.ones((2, 3, 1), tf.uint8)
    assert views.Plain()(image, tf.constant([1, 2])) is image


def test_negative_shift_is_refused():
    with pytest.raises(ValueError, match="max_pixels=-1"):
        views.RandomShift(-1)


GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "preprocessing.npz")
CASES = json.loads(str(GOLDEN["meta_json"]))["cases"]


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """A 300 x 200 picture whose red grows with x and green with y, as JPEG and PNG."""
    rows, columns = np.mgrid[:200, :300]
    pixels = np.stack([columns * 255 // 299, rows * 255 // 199, np.zeros_like(rows)], axis=-1)
    folder = tmp_path_factory.mktemp("ramp")
    for name, options in (("ramp.jpg", {"quality": 95, "subsampling": 0}), ("ramp.png", {})):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name, **options)
    return folder


@pytest.mark.parametrize("case", [name for name in CASES if f"{name}/test_output" in GOLDEN])
def test_evaluation_view_is_that_of_the_original(case):
    settings = CASES[case]
    view = views.CenterCrop(settings["out_size"][0], settings["short_side"])
    pixels = view.pixels(tf.constant(GOLDEN[f"{case}/image"])).numpy() / 255
    scaled = settings["scaler"] * (pixels - np.array(settings["mean_rgb"]))
    if settings["std_normalize"]:
        scaled = scaled / np.array(settings["std_rgb"])
    if settings["bgr"]:
        scaled = scaled[..., ::-1]
    np.testing.assert_allclose(scaled, GOLDEN[f"{case}/test_output"], atol=5e-4)


def test_evaluation_view_of_a_file_is_rounded_to_a_byte(ramp):
    view = views.CenterCrop(size=64, short_side=80)
    path = str(ramp / "ramp.png")
    pixels = view.pixels(tf.constant(np.asarray(Image.open(path)))).numpy()
    assert np.abs(view(tf.constant(path), tf.constant([0, 0])).numpy() - pixels).max() <= 0.5


def crops(path, view, count=400):
    """Left, right, top and bottom edges of random crops of the ramp, as shares of its sides."""
    look = tf.function(view)
    seeds = np.random.default_rng(0).integers(2**31, size=(count, 2), dtype=np.int32)
    pixels = np.stack([look(tf.constant(str(path)), tf.constant(seed)).numpy() for seed in seeds])
    red, green = pixels[..., 0].mean(axis=1) / 255, pixels[..., 1].mean(axis=2) / 255
    return red[:, 0], red[:, -1], green[:, 0], green[:, -1]


@pytest.mark.parametrize("name", ["ramp.jpg", "ramp.png"])
def test_training_crops_are_distributed_as_those_of_the_original(ramp, name):
    left, right, top, bottom = crops(ramp / name, views.RandomResizedCrop(size=32))
    width, height = np.abs(right - left) * 300, (bottom - top) * 200
    recorded = GOLDEN["train_crops/crop_w"], GOLDEN["train_crops/crop_h"]
    # Deciles, in pixels; with 400 and 600 crops they differ by about 6 by chance.
    for ours, theirs in zip((width, height), recorded, strict=True):
        deciles = np.linspace(0.1, 0.9, 9)
        assert np.abs(np.quantile(ours, deciles) - np.quantile(theirs, deciles)).max() < 16
    assert abs((right < left).mean() - 0.5) < 0.08


def test_training_crops_keep_their_bounds(ramp):
    view = views.RandomResizedCrop(size=32, area=(0.5, 0.6), aspect=(1.0, 1.2), mirror=False)
    left, right, top, bottom = crops(ramp / "ramp.png", view, count=50)
    area, aspect = (right - left) * (bottom - top), 1.5 * (right - left) / (bottom - top)
    # Edges are read off the middle of the outer pixels, about 3% inside.
    assert 0.44 < area.min() <= area.max() < 0.62
    assert 0.93 < aspect.min() <= aspect.max() < 1.27
    assert (right > left).all()


def test_a_jpeg_window_shows_the_pixels_of_the_whole(ramp):
    contents = tf.io.read_file(str(ramp / "ramp.jpg"))
    window = decoding.decode_window(contents, lambda shape: tf.constant([40, 80, 30, 50]))
    whole = decoding.decode(contents).numpy()[40:70, 80:130]
    assert np.abs(window.numpy().astype(int) - whole).max() <= 2


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("L", "png"), ("P", "png"), ("RGBA", "png")],
)
def test_every_kind_of_file_gives_three_channels(ramp, tmp_path, mode, ending):
    path = tmp_path / f"image.{ending}"
    Image.open(ramp / "ramp.png").convert(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    found = decoding.decode(tf.io.read_file(str(path))).numpy()
    assert np.abs(found - expected).mean() < 2
    for view in (views.RandomResizedCrop(20), views.CenterCrop(20, 24)):
        image = view(tf.constant(str(path)), tf.constant([1, 2]))
        assert image.shape == (20, 20, 3)
        assert image.dtype == tf.uint8


def test_views_need_not_be_square(ramp):
    path, seed = tf.constant(str(ramp / "ramp.png")), tf.constant([1, 2])
    for view in (views.RandomResizedCrop((20, 30)), views.CenterCrop((20, 30), 25)):
        assert view(path, seed).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("view", "arguments"),
    [
        (views.RandomResizedCrop, {"size": 0}),
        (views.RandomResizedCrop, {"size": (8, 0)}),
        (views.RandomResizedCrop, {"size": (8, 8, 8)}),
        (views.RandomResizedCrop, {"area": (0.5, 0.2)}),
        (views.RandomResizedCrop, {"area": (0.5, 1.5)}),
        (views.RandomResizedCrop, {"aspect": (0, 1)}),
        (views.CenterCrop, {"short_side": 0}),
    ],
)
def test_impossible_crops_are_refused(view, arguments):
    with pytest.raises(ValueError, match=f"Received: .*{next(iter(arguments))}="):
        view(**arguments)
