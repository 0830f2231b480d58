"""Backbones of KerasHub: tiny ones of each family, saved as presets, become encoders."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat, config, data, layers, models, serving, training
from ccpdml.models import depth, hub, keras_files
from ccpdml.serving import description
from tests.data import miniatures

if compat.KERAS_3:
    keras_hub = pytest.importorskip("keras_hub", reason="needs pip install 'ccpdml[hub]'")
else:
    pytest.skip("KerasHub needs Keras 3", allow_module_level=True)

GIN = Path(__file__).parents[2] / "gin"
SIDE = 32
TOWER = {"patch_size": 8, "hidden_dim": 16, "num_layers": 1, "num_heads": 2}
VIT = TOWER | {"image_shape": (SIDE, SIDE, 3)}
WIDE = VIT | {"intermediate_dim": 32}
TEXT = {"vocabulary_size": 8, "embedding_dim": 16, "hidden_dim": 16, "num_layers": 1}
TEXT |= {"num_heads": 2, "intermediate_dim": 16, "max_sequence_length": 4}
POSITIONS_OF = 40  # Pixels of a side, of the images that the tiny DINOv2's positions are for.


def _dinov2():
    shape = (POSITIONS_OF, POSITIONS_OF, 3)
    return keras_hub.models.DINOV2Backbone(
        **WIDE, num_register_tokens=3, position_embedding_shape=shape
    )


def _siglip():
    m = keras_hub.models
    return m.SigLIPBackbone(m.SigLIPVisionEncoder(**WIDE), m.SigLIPTextEncoder(**TEXT))


def _clip():
    m = keras_hub.models
    parts = m.CLIPVisionEncoder(**WIDE), m.CLIPTextEncoder(**TEXT)
    return m.CLIPBackbone(*parts, projection_dim=8)


def _resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )


def _swin():
    return keras_hub.models.SwinTransformerBackbone(
        (SIDE, SIDE, 3), embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2
    )


def _densenet():
    return keras_hub.models.DenseNetBackbone([1, 1], compression_ratio=0.5, growth_rate=4)


# Of each family: what makes a tiny one, shape of its features, and tokens before those of places.
FAMILIES = {
    "ViT": (lambda: keras_hub.models.ViTBackbone(**VIT, mlp_dim=32), (17, 16), 1),
    "DINOV2": (_dinov2, (20, 16), 4),
    "DINOV3": (
        lambda: keras_hub.models.DINOV3Backbone(**WIDE, num_register_tokens=4),
        (21, 16),
        5,
    ),
    "DeiT": (lambda: keras_hub.models.DeiTBackbone(**WIDE), (18, 16), 2),
    "SigLIP": (_siglip, (18, 16), 1),
    "CLIP": (_clip, (17, 16), 1),
    "SwinTransformer": (_swin, (16, 16), 0),
    "ResNet": (_resnet, (8, 8, 64), 0),
    "DenseNet": (_densenet, (4, 4, 38), 0),
}
SCALE, OFFSET = [1 / 64, 1 / 60, 1 / 62], [-2.0, -2.1, -1.9]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Function of a family's name -> (folder of its tiny preset, the backbone that was saved)."""
    made = {}

    def get(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            backbone = FAMILIES[family][0]()
            backbone.save_to_preset(folder)
            converter = getattr(keras_hub.layers, f"{family}ImageConverter")
            size = (SIDE, SIDE)
            converter(image_size=size, scale=SCALE, offset=OFFSET).save_to_preset(folder)
            made[family] = folder, backbone
        return made[family]

    return get


def pixels(side=SIDE, number=2):
    shape = (number, side, side, 3)
    return np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preset_becomes_an_encoder_that_stands_alone(saved, family, tmp_path):
    folder, backbone = saved(family)
    _, shape, num_prefix_tokens = FAMILIES[family]
    network = models.from_preset((SIDE, SIDE, 3), folder)
    assert network.output_shape == (None, *shape)
    assert network.num_prefix_tokens == num_prefix_tokens
    images = network.preprocess(pixels())
    converted = keras_hub.layers.ImageConverter.from_preset(str(folder))(pixels())
    if family in ("SigLIP", "CLIP"):
        backbone = backbone.vision_encoder
    expected = backbone(tf.nest.map_structure(lambda _: converted, backbone.input))
    found = network(images, training=False)
    if family == "SigLIP":  # The vector that it pools itself is first, as a class token is.
        expected, found = expected[:, None], found[:, :1]
    if family != "DINOV2":  # Its positions are interpolated once more; see below.
        np.testing.assert_allclose(found, expected, atol=1e-5)

    rates = depth.rates(network, 0.5)
    num_blocks = 2 if family in ("SwinTransformer", "DenseNet") else 1
    assert set(rates.values()) == {0.5**power for power in range(1, num_blocks + 2)}
    stem = network.trainable_weights[0]
    assert rates[id(stem)] == min(rates.values())

    encoder = models.build_encoder((SIDE, SIDE, 3), lambda shape: network, embedding_size=5)
    embeddings = encoder(images, training=False)
    models.standalone(encoder).save(tmp_path / "encoder.keras")
    loaded = keras_files.load(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded(images, training=False), embeddings, atol=1e-6)


def test_positions_of_dinov2_are_interpolated_as_kerashub_does(saved):
    folder, _ = saved("DINOV2")
    for side in (SIDE, 48, POSITIONS_OF):
        own = keras_hub.models.Backbone.from_preset(str(folder), image_shape=(side, side, 3))
        network = models.from_preset((side, side, 3), folder)
        images = pixels(side)
        expected = own({"images": images * np.float32(SCALE) + np.float32(OFFSET)})
        np.testing.assert_allclose(network(images, training=False), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "size"),
    [
        *(("ViT", (48, 64)), ("DeiT", (24, 64))),
        *((family, (64, 64)) for family in ("DINOV3", "CLIP")),
    ],
)
def test_images_of_other_sizes_and_aspects(saved, family, size):
    folder, _ = saved(family)
    network = models.from_preset((*size, 3), folder)
    num_tokens = FAMILIES[family][2] + size[0] * size[1] // 64
    assert network.output_shape == (None, num_tokens, 16)
    assert network(np.zeros((1, *size, 3), np.float32)).shape == (1, num_tokens, 16)


def test_interpolation_keeps_prefix_and_a_plane():
    rows, columns = np.meshgrid(np.arange(8.0), np.arange(6.0), indexing="ij")
    plane = np.stack([rows, 2 * columns + rows], axis=-1).reshape(-1, 2).astype(np.float32)
    table = np.concatenate([[[7, -7]], plane]).astype(np.float32)
    same = hub.interpolate(table, (8, 6), (8, 6), False)
    np.testing.assert_allclose(same, table, atol=1e-5)
    twice = hub.interpolate(table[None], (8, 6), (16, 12), False)
    assert twice.shape == (1, 1 + 16 * 12, 2)
    np.testing.assert_array_equal(twice[0, 0], [7, -7])
    inner = twice[0, 1:].numpy().reshape(16, 12, 2)[4:12, 4:8, 0]
    expected = (np.arange(4, 12) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(inner, np.broadcast_to(expected[:, None], (8, 4)), atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_learned_positions_of_dinov2_are_in_the_file(saved, tmp_path, sign):
    folder, _ = saved("DINOV2")
    encoder = models.build_encoder(
        (SIDE, SIDE, 3), lambda shape: models.from_preset(shape, folder), embedding_size=4
    )
    for weight in encoder.trainable_weights:
        if "position" in weight.path:
            weight.assign_add(sign * np.random.default_rng(0).uniform(0, 1, weight.shape))
    expected = encoder(pixels(), training=False)
    models.standalone(encoder).save(tmp_path / "encoder.keras")
    loaded = keras_files.load(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded(pixels(), training=False), expected, atol=1e-6)


@pytest.mark.parametrize("family", ["ViT", "SigLIP", "SwinTransformer"])
def test_additions_are_merged_where_it_stands_alone(saved, family, tmp_path):
    folder, _ = saved(family)

    def adapted(shape):
        return models.lora(shape, lambda own: models.from_preset(own, folder), rank=2)

    encoder = models.build_encoder((SIDE, SIDE, 3), adapted, embedding_size=4)
    for weight in encoder.trainable_weights:
        weight.assign_add(0.1 * np.random.default_rng(0).normal(size=weight.shape))
    expected = encoder(pixels(), training=False)
    models.standalone(encoder).save(tmp_path / "encoder.keras")
    loaded = keras_files.load(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded(pixels(), training=False), expected, atol=1e-5)
    assert not any("lora" in weight.path for weight in loaded.weights)


@pytest.mark.parametrize("family", ["ViT", "DINOV2"])
def test_exports_are_the_encoder(saved, family, tmp_path):
    pytest.importorskip("tf2onnx", exc_type=ImportError)
    folder, _ = saved(family)
    side = 96  # More positions than TensorFlow makes constants of by itself.
    encoder = models.build_encoder(
        (side, side, 3), lambda shape: models.from_preset(shape, folder), 6, "cls_and_patches"
    )
    normalization = layers.LipschitzNormalization()
    alone = models.standalone(encoder, normalization)
    view = data.views.CenterCrop(size=side, short_side=side)
    (tmp_path / "run").mkdir()
    alone.save(tmp_path / "run" / "encoder.keras")
    about = description.describe(alone, view, encoder.preprocess, normalization)
    assert about["preprocess"] == "keep_range"
    description.write(tmp_path / "run" / "encoder.json", about)
    loaded = serving.load_encoder(tmp_path / "run")
    found = serving.export(loaded, tmp_path / "out", ["saved_model", "onnx", "tflite"])
    assert max(found.values()) <= 1e-5


@pytest.mark.usefixtures("without_figures")
@pytest.mark.usefixtures("views_by_pillow", "without_figures")
def test_a_run_file_trains_it_with_ccp(saved, tmp_path):
    folder, _ = saved("DINOV2")
    _, make = miniatures.MINIATURES["folder_of_classes"]
    bindings = [
        f"data.load.root = '{make(tmp_path / 'data')}'",
        f"from_preset.preset = '{folder}'",
        "build_encoder.pooling = 'cls_and_patches'",
        f"RandomResizedCrop.size = {SIDE}",
        f"CenterCrop.size = {SIDE}",
        f"CenterCrop.short_side = {SIDE}",
        "train.steps = 2",
        "train.evaluate_every = 2",
        "train.classes_per_batch = 2",
        "train.tensorboard = False",
        "PoolDraw.pool_size = 8",
    ]
    config.load([GIN / "folder_ms.gin", GIN / "backbones" / "dinov2_small.gin"], bindings)
    results = training.Experiment(tmp_path / "run").run()
    assert 0 < results["test"]["map_at_r"] <= 1
    assert results["ran"]["backbone"] == folder.name
    assert results["versions"]["keras_hub"] == keras_hub.__version__
    assert results["ran"]["backbone"] == folder.name
    assert serving.load_encoder(tmp_path / "run").pixels_shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("dinov2_small", "dinov2_small"),
        ("/models/dinov2 (small)/", "dinov2_small"),
        ("hf://me/vit-b.16", "vit_b.16"),
        ("/models/\u00fc", "from_preset"),
    ],
)
def test_a_network_has_the_name_of_its_preset(preset, name):
    assert hub._name(preset) == name


def test_errors_name_what_to_do(saved, tmp_path, monkeypatch):
    folder, _ = saved("ViT")
    for of_channels in ("ViT", "ResNet"):
        with pytest.raises(ValueError, match=r"takes images of 3 channels.*\(32, 32, 1\)"):
            models.from_preset((SIDE, SIDE, 1), saved(of_channels)[0])
    with pytest.raises(ValueError, match=r"multiples of the patches .*8 x 8 pixels.*CenterCrop"):
        models.from_preset((36, 32, 3), folder)
    with pytest.raises(ValueError, match="DINOV2Backbone of .* made for images"):
        models.from_preset((32, 48, 3), saved("DINOV2")[0])
    with pytest.raises(ValueError, match="a folder that KerasHub saved"):
        models.from_preset((32, 32, 3), tmp_path / "nowhere")
    for family in ("DINOV3", "CLIP", "SigLIP"):  # KerasHub itself has these of squares alone.
        with pytest.raises(ValueError, match="takes none of .* (not square|be the same)"):
            models.from_preset((32, 48, 3), saved(family)[0])
    FAMILIES["ViT"][0]().save_to_preset(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"image_converter\.json"):
        models.from_preset((32, 32, 3), tmp_path)
    monkeypatch.setattr(compat, "KERAS_3", False)
    with pytest.raises(ImportError, match="KerasHub needs Keras 3"):
        models.from_preset((32, 32, 3), folder)


def test_the_license_is_what_the_preset_states(saved):
    folder, _ = saved("DenseNet")
    assert hub.license_of(keras_hub, str(folder)) is None
    (folder / "README.md").write_text("---\nlibrary_name: x\nlicense: cc-by-4.0\n---\nText\n")
    assert models.from_preset((32, 32, 3), folder).license == "cc-by-4.0"
    metadata = json.loads((folder / "metadata.json").read_text()) | {"license": "MIT"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert hub.license_of(keras_hub, str(folder)) == "MIT"


@pytest.mark.parametrize(
    "named",
    [
        {"module": "keras_hub.src.tokenizers.word_piece_tokenizer", "class_name": "X"},
        {
            "module": "keras_hub.src.models.vit.vit_layers",
            "class_name": "WordPieceTokenizer",
            "registered_name": "keras_hub>WordPieceTokenizer",
        },
        {
            "module": "keras_hub.src.models.vit.vit_layers",
            "class_name": "ViTEncoder",
            "registered_name": "keras_hub>WordPieceTokenizer",
        },
    ],
)
def test_a_file_may_name_no_other_part_of_kerashub(named):
    assert not keras_files._is_harmless(named | {"config": {}})
    layers_of_vit = {"module": "keras_hub.src.models.vit.vit_layers", "class_name": "ViTEncoder"}
    assert keras_files._is_harmless(layers_of_vit | {"config": {}})


@pytest.mark.parametrize("family", ["ViT", "SigLIP", "CLIP"])
def test_bfloat16_is_near(saved, family):
    folder, _ = saved(family)
    exact = models.from_preset((SIDE, SIDE, 3), folder)(pixels(), training=False)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = models.from_preset((SIDE, SIDE, 3), folder)
    dense = [e for e in compat.sublayers(network) if isinstance(e, tf.keras.layers.Dense)]
    assert {layer.compute_dtype for layer in dense} == {"bfloat16"}
    found = network(pixels(), training=False)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), exact, atol=0.1)
