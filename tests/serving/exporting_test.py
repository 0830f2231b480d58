"""Exports: loaded where this library is not, they give the library's embeddings."""

import importlib.machinery
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import data, layers, models, serving
from ccpdml.serving import converters, exporting
from tests.serving import fixtures

WITHOUT_LIBRARY = """
import sys
sys.modules["ccpdml"] = None  # Importing it is an error now.
import numpy as np, tensorflow as tf
saved, listed, out = sys.argv[1:]
paths = open(listed).read().splitlines()
model = tf.saved_model.load(saved)
images = tf.constant([tf.io.read_file(path).numpy() for path in paths])
found = model.signatures["search"](images=images)
found |= model.signatures["serving_default"](images=images)
assert not [name for name in sys.modules if name.startswith("ccpdml.")]
np.savez(out, **{name: value.numpy().astype(str) if value.dtype == tf.string else value
                 for name, value in found.items()})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for what this file looks at only."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def encoder(place):
    fixtures.make_run(place / "run")
    return serving.load_encoder(place / "run")


@pytest.fixture(scope="module")
def gallery(encoder, place):
    photos = fixtures.make_photos(place / "photos", per_class=8)
    images = serving.find_images(photos)
    return serving.read_embeddings(
        serving.embed_images(encoder, images, place / "g.npz", progress=False).path
    )


def test_a_saved_model_needs_no_library_and_finds_what_the_library_finds(
    encoder, gallery, tmp_path
):
    differences = serving.export(encoder, tmp_path / "out", ["saved_model"], gallery, k=5)
    assert differences["saved_model"] <= 1e-5
    queries = fixtures.make_photos(tmp_path / "queries", per_class=3, seed=1)
    queries = serving.embed_queries(queries, gallery, encoder)
    (tmp_path / "paths.txt").write_text("\n".join(queries.paths))
    arguments = [tmp_path / "out" / "saved_model", tmp_path / "paths.txt", tmp_path / "found.npz"]
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", WITHOUT_LIBRARY, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["embeddings"], queries.embeddings, atol=1e-5)
    expected = serving.search(queries, gallery, k=5)
    np.testing.assert_array_equal(found["indices"], expected.indices)
    np.testing.assert_array_equal(found["paths"], gallery.paths[expected.indices])
    np.testing.assert_array_equal(found["classes"], gallery.classes[expected.indices])
    np.testing.assert_allclose(found["distances"], expected.distances, atol=1e-5)
    np.testing.assert_allclose(found["similarities"], expected.similarities, atol=1e-5)


def test_broken_images_fail_nobody_else_and_are_named(encoder, gallery, place, tmp_path):
    serving.export(encoder, tmp_path / "out", ["saved_model"], gallery, k=3)
    saved = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    whole = [path.read_bytes() for path in sorted((place / "photos").rglob("*.png"))[:2]]
    images = tf.constant([whole[0], b"no image", whole[1], whole[1][:60], b""])
    found = saved.signatures["serving_default"](images=images)
    right = [True, False, True, False, False]
    np.testing.assert_array_equal(found["valid"], right)
    np.testing.assert_allclose(
        found["embeddings"].numpy()[right], encoder.embed_bytes(tf.constant(whole)), atol=1e-5
    )
    assert np.isnan(found["embeddings"].numpy()[~np.array(right)]).all()
    hits = {name: each.numpy() for name, each in saved.signatures["search"](images=images).items()}
    np.testing.assert_array_equal(hits["valid"], right)
    np.testing.assert_array_equal(hits["indices"] >= 0, np.repeat(np.c_[right], 3, axis=1))
    assert (hits["distances"][right, 0] < 1e-4).all()
    assert (hits["paths"][~np.array(right)] == b"").all()
    for signature in saved.signatures.values():  # Of no images, nothing.
        assert all(len(each) == 0 for each in signature(images=tf.constant([], tf.string)).values())
    found = saved.signatures["serving_default"](images=tf.constant([b"no image"]))
    assert not found["valid"].numpy().any()
    assert found["embeddings"].shape == (1, 6)


def test_by_default_a_small_gallery_is_found_whole(encoder, gallery, tmp_path):
    few = serving.Embeddings(
        gallery.embeddings[:4], gallery.paths[:4], gallery.classes[:4], gallery.info
    )
    assert exporting.SearchService(encoder, few).k == 4
    assert exporting.SearchService(encoder, gallery).k == 10
    with pytest.raises(ValueError, match=r"`k` must be in 1\.\.4"):
        exporting.SearchService(encoder, few, k=5)


def test_the_folder_of_a_version_is_for_tensorflow_serving(encoder, tmp_path):
    serving.export(encoder, tmp_path / "out", ["saved_model"], version=3)
    assert [path.name for path in (tmp_path / "out" / "saved_model").iterdir()] == ["3"]
    saved = tf.saved_model.load(str(tmp_path / "out" / "saved_model" / "3"))
    assert list(saved.signatures) == ["serving_default"]  # No gallery, no search.
    with pytest.raises(ValueError, match="`version` must be at least 1"):
        serving.export(encoder, tmp_path / "other", ["tflite"], version=3)


def exported(name, encoder, directory):
    if name == "onnx":
        pytest.importorskip("tf2onnx", exc_type=ImportError)
    return serving.export(encoder, directory, [name])[name]


@pytest.mark.parametrize("name", ["onnx", "tflite"])
@pytest.mark.parametrize("normalization", [layers.LipschitzNormalization, layers.UnitNormalization])
def test_converted_networks_are_the_encoder(tmp_path, name, normalization):
    fixtures.make_run(tmp_path / "run", normalization())
    encoder = serving.load_encoder(tmp_path / "run")
    assert exported(name, encoder, tmp_path / "out") <= 1e-5
    assert (tmp_path / "out" / f"encoder.{name}").stat().st_size > 1000
    about = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert about["preprocess"] == "scale_to_unit_range"
    assert about["largest_differences"].keys() == {name}


@pytest.mark.parametrize("name", ["onnx", "tflite"])
@pytest.mark.parametrize(
    "pooling",
    ["cls_and_patches", layers.GeneralizedMeanPooling, layers.GeneralizedSumPooling],
    ids=str,
)
def test_converted_transformers_are_the_encoder(tmp_path, name, pooling):
    def network(shape):
        return models.small_vit(shape, patch_size=4, width=8, depth=1, num_heads=2)

    fixtures.make_run(tmp_path / "run", network=network, pooling=pooling)
    encoder = serving.load_encoder(tmp_path / "run")
    assert exported(name, encoder, tmp_path / "out") <= 1e-5


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_a_generalized_mean_of_a_map_is_converted(tmp_path, name):
    fixtures.make_run(tmp_path / "run", pooling=layers.GeneralizedMeanPooling)
    encoder = serving.load_encoder(tmp_path / "run")
    assert exported(name, encoder, tmp_path / "out") <= 1e-5


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_an_embedding_of_zero_stays_one(tmp_path, name):
    if name == "onnx":
        pytest.importorskip("tf2onnx", exc_type=ImportError)
    fixtures.make_run(tmp_path / "run", layers.UnitNormalization())
    encoder = serving.load_encoder(tmp_path / "run")
    encoder.model.set_weights([0 * weight for weight in encoder.model.get_weights()])
    images = np.ones([3, 16, 16, 3], np.float32)
    found = converters.CONVERTERS[name](encoder.model, tmp_path / "file", images)
    np.testing.assert_array_equal(found, np.zeros([3, 6]))


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_a_network_in_16_bits_is_converted_to_one_in_32(tmp_path, name):
    if name == "onnx":
        pytest.importorskip("tf2onnx", exc_type=ImportError)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    fixtures.make_run(tmp_path / "run", pooling=layers.GeneralizedMeanPooling)
    tf.keras.mixed_precision.set_global_policy("float32")
    encoder = serving.load_encoder(tmp_path / "run")
    assert converters.computes_in_16_bits(encoder.model)
    (difference,) = serving.export(encoder, tmp_path / "out", [name]).values()
    assert 0 < difference < exporting.TOLERANCE_OF_16_BITS
    with pytest.raises(exporting.ExportError, match="tolerance"):
        serving.export(encoder, tmp_path / "exact", [name], tolerance=1e-6)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tflite_files_run_with_litert_where_it_is_installed(encoder, tmp_path, monkeypatch):
    asked, images = [], np.ones([2, 16, 16, 3], np.float32)

    class Interpreter(tf.lite.Interpreter):
        def __init__(self, model_path):
            asked.append(model_path)
            super().__init__(model_path)

    package = types.ModuleType("ai_edge_litert")
    package.__spec__ = importlib.machinery.ModuleSpec("ai_edge_litert", None)
    package.interpreter = types.ModuleType("ai_edge_litert.interpreter")
    package.interpreter.Interpreter = Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", package.interpreter)
    found = converters.CONVERTERS["tflite"](encoder.model, tmp_path / "file", images)
    assert asked == [str(tmp_path / "file")]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    again = converters.CONVERTERS["tflite"](encoder.model, tmp_path / "file", images)
    assert len(asked) == 1
    np.testing.assert_allclose(found, again, atol=1e-6)


def test_what_differs_is_refused_and_leaves_nothing(encoder, tmp_path, monkeypatch):
    convert = converters.CONVERTERS["tflite"]
    for error in (1e-3, np.nan):
        monkeypatch.setitem(
            converters.CONVERTERS, "tflite", lambda *given, e=error: convert(*given) + e
        )
        with pytest.raises(serving.ExportError, match="exported tflite differ"):
            serving.export(encoder, tmp_path / "out", ["tflite"])
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with pytest.raises(serving.ExportError, match="more than 1e-12"):
        serving.export(encoder, tmp_path / "out", ["tflite"], tolerance=1e-12)


def test_what_cannot_be_exported_is_refused_before_any_work(
    encoder, gallery, tmp_path, monkeypatch
):
    fixtures.make_run(tmp_path / "other", seed=1)
    other = serving.load_encoder(tmp_path / "other")
    with pytest.raises(ValueError, match="embedded with the encoder that is exported"):
        serving.export(other, tmp_path / "out", gallery=gallery)
    with pytest.raises(ValueError, match=r"`k` must be in 1\.\.24"):
        serving.export(encoder, tmp_path / "out", gallery=gallery, k=25)
    with pytest.raises(ValueError, match="`formats` must be of"):
        serving.export(encoder, tmp_path / "out", ["pdf"])
    with pytest.raises(ValueError, match="for the format saved_model"):
        serving.export(encoder, tmp_path / "out", ["tflite"], gallery)
    with pytest.raises(FileExistsError, match="other: there already"):
        serving.export(encoder, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileExistsError, match="there already"):
        serving.export(encoder, ".")
    (tmp_path / "out.unchecked").mkdir()
    (tmp_path / "out.unchecked" / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="out.unchecked: there already"):
        serving.export(encoder, tmp_path / "out")
    assert (tmp_path / "out.unchecked" / "letter.txt").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_without_onnx_the_error_says_what_to_install(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'ccpdml\[export\]'"):
        serving.export(encoder, tmp_path / "out", ["onnx"])
    assert not (tmp_path / "out").exists()


def test_the_images_of_the_check_are_both_kinds_of_files():
    contents = exporting.sample_contents()
    assert {each[:4] for each in contents} == {b"\xff\xd8\xff\xe0", b"\x89PNG"}


def test_the_description_in_numbers_is_enough_to_make_the_input(tmp_path):
    """An image that was made ready by NumPy alone, from what encoder.json says in numbers."""
    view, preprocess = data.views.CenterCrop(size=24, short_side=17), models.subtract_mean_bgr
    network = tf.keras.Sequential([tf.keras.Input((24, 24, 3)), tf.keras.layers.Flatten()])
    about = serving.description.describe(network, view, preprocess, None)
    assert about["view"] == {"name": "CenterCrop", "size": 24, "short_side": 17}
    about = json.loads(json.dumps(about))["in_numbers"]
    pixels = np.random.default_rng(0).integers(256, size=(33, 50, 3), dtype=np.uint8)
    contents = tf.io.encode_png(pixels)
    expected = preprocess(view.of_bytes(contents)[None])[0]

    short = about["pixels"]["resize"]["shorter_side"]
    image = pixels.astype(np.float64)
    for axis, side in enumerate((short, 50 * short // 33)):
        places = (np.arange(side) + 0.5) * pixels.shape[axis] / side - 0.5
        low = np.floor(places).astype(int)
        share = (places - low).reshape(-1, *[1] * (2 - axis))
        first, second = (
            np.take(image, np.clip(each, 0, pixels.shape[axis] - 1), axis)
            for each in (low, low + 1)
        )
        image = first * (1 - share) + second * share
    crop = about["pixels"]["crop"]
    canvas = np.full((crop["height"], crop["width"], 3), crop["outside_of_the_image"], float)
    top, left = int((17 - 24) / 2), int((25 - 24) / 2)  # As "top" and "left" say: -3 and 0.
    canvas[-top : -top + 17] = image[:, left : left + 24]
    channels = ["RGB".index(name) for name in about["input"]["channel_order"]]
    result = np.round(canvas)[..., channels] - about["input"]["mean"]
    np.testing.assert_allclose(result * about["input"]["scale"], expected, atol=1.01)
    assert np.abs(result * about["input"]["scale"] - expected).mean() < 0.01


@pytest.mark.parametrize(
    "convention", [models.keep_range, models.standardize, models.scale_to_unit_range]
)
def test_conventions_are_told_in_numbers(convention):
    network = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Flatten()])
    view = data.views.Resize(8, 8)
    about = serving.description.describe(network, view, convention, None)["in_numbers"]["input"]
    pixels = np.random.default_rng(1).integers(256, size=(8, 8, 3))
    expected = convention(pixels.astype(np.uint8))
    np.testing.assert_allclose(
        (pixels - about["mean"]) * about["scale"], expected, rtol=1e-5, atol=1e-5
    )


def test_preprocessing_that_is_more_than_mean_and_scale_is_not_told_in_numbers():
    network = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Flatten()])
    for function in (
        lambda x: tf.cast(x, tf.float32) ** 2,
        lambda x: tf.cast(x, tf.float32)[:, 1:],
    ):
        view = data.views.Resize(8, 8)
        about = serving.description.describe(network, view, function, None)
        assert (about["preprocess"], about["in_numbers"]["input"]) == ("unknown", "unknown")


@pytest.mark.usefixtures("own_registrations")
def test_a_view_that_a_file_names_may_be_of_two_sides():
    described = {"name": "CenterCrop", "size": [24, 28], "short_side": 30}
    view = serving.registered.view(described)
    assert (view.height, view.width) == (24, 28)
    crop = serving.registered.entry_of(view).numbers(view)["crop"]
    assert (crop["height"], crop["width"]) == (24, 28)
    for wrong in ([24], [24, 0], [24, "a"], [24, 28, 3], [[24, 28], 3]):
        with pytest.raises(ValueError, match="CenterCrop takes .* or two"):
            serving.registered.view(described | {"size": wrong})
    with pytest.raises(ValueError, match="CenterCrop takes"):
        serving.registered.view(described | {"short_side": [30, 30]})


def test_own_views_and_preprocessing_are_served_once_they_are_registered(tmp_path):
    @serving.register_view("corner", side=serving.Parameter(int, 1, 99))
    class Corner:
        reads_files = True

        def __init__(self, side):
            self.side = side

        def of_bytes(self, contents):
            image = tf.io.decode_png(contents, channels=3)
            return tf.ensure_shape(image[: self.side, : self.side], [self.side, self.side, 3])

    @serving.register_preprocessing("halved")
    def halved(images):
        return tf.cast(images, tf.float32) / 2

    network = tf.keras.Sequential([tf.keras.Input((4, 4, 3)), tf.keras.layers.Flatten()])
    network.save(tmp_path / "encoder.keras")
    about = serving.description.describe(network, Corner(4), halved, None)
    assert about["in_numbers"]["pixels"] == "unknown"
    serving.description.write(tmp_path / "encoder.json", about)
    encoder = serving.load_encoder(tmp_path)
    image = np.full((6, 6, 3), 10, np.uint8)
    contents = tf.io.encode_png(image)[None]
    np.testing.assert_array_equal(encoder.embed_bytes(contents), np.full([1, 48], 5))
    with pytest.raises(ValueError, match="registered already.*CenterCrop"):
        serving.register_view("CenterCrop")(Corner)
    with pytest.raises(ValueError, match="'side': 'int in 1..99'.*Received: 'side': 100"):
        serving.description.view_of({"view": {"name": "corner", "side": 100}})
