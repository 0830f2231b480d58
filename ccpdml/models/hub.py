"""Image backbones of KerasHub, from a preset: a folder, or the name of one that it downloads."""

import json
import re
from pathlib import Path

import gin
import numpy as np
import tensorflow as tf
from absl import logging

from ccpdml import compat
from ccpdml.bounds import checked
from ccpdml.models import inputs

# Models of images and text, whose part for images is taken.
_WITH_TEXT = ("SigLIPBackbone", "CLIPBackbone", "MetaCLIP2Backbone")
# Tokens of each class before those of places, by its configuration. The vector that SigLIP pools
# stands where others have a class token.
_PREFIX_TOKENS = {
    "DINOV2Backbone": lambda config: 1 + config["num_register_tokens"],
    "DINOV3Backbone": lambda config: 1 + config["num_register_tokens"],
    "ViTBackbone": lambda config: int(config["use_class_token"]),
    "DeiTBackbone": lambda config: 2,
    "CLIPVisionEncoder": lambda config: 1,
    "MetaCLIP2VisionEncoder": lambda config: 1,
    "SigLIPVisionEncoder": lambda config: 1,
    "SwinTransformerBackbone": lambda config: 0,
}
# Of other images KerasHub states a wrong number of tokens.
_SQUARE = {"DINOV3Backbone"}
_BIND = "Bind the sizes of the views, such as `CenterCrop.size` and `RandomResizedCrop.size`"


@gin.register
@checked
def from_preset(
    input_shape: tuple[int, int, int],
    preset: str | Path = gin.REQUIRED,
    load_weights: bool = True,
) -> tf.keras.Model:
    """An image backbone of KerasHub, which `pip install 'ccpdml[hub]'` brings; Keras 3 only.

    Its own mean and scale of pixels are its first layer, its views are those of the run. Learned
    positions of other image sizes than the preset's are interpolated (bicubic).

    Args:
        input_shape: (height, width, 3) of the images, multiples of its patches where it has some.
        preset: a folder that KerasHub saved, with `image_converter.json`; or what KerasHub
            downloads once: one of its names, such as "dinov2_small", or "hf://...", "kaggle://...".
        load_weights: whether with the preset's weights, or random ones.

    Returns:
        Keras model [batch, height, width, 3] of 0..255 -> tokens [batch, tokens, channels] with
        `num_prefix_tokens`, or feature map; `license` is what the preset says of it, or
        None, `name` the last part of the preset's. Of SigLIP the vector that it pools itself comes
        first, as "cls".

    Raises:
        ImportError: if KerasHub is not installed, or Keras is not Keras 3.
        FileNotFoundError: if there is no such preset, or it has no image converter.
        ValueError: if it is no image backbone, or cannot take images of this size.
    """
    keras_hub = compat.import_keras_hub()
    preset = str(Path(preset).expanduser()) if "://" not in str(preset) else str(preset)
    backbone, converter = _load(keras_hub, preset, load_weights)
    backbone = _of_size(backbone, tuple(input_shape), preset)
    images = tf.keras.Input(input_shape)
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    scaled = tf.keras.layers.Rescaling(scale, offset, dtype="float32")(images)
    # Its name is stated in results.json; Keras takes no other signs.
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(preset).name)
    network = tf.keras.Model(images, _features(backbone, scaled, preset), name=name)
    network.preprocess = inputs.keep_range
    network.num_prefix_tokens = _num_prefix_tokens(backbone, preset)
    network.license = license_of(keras_hub, preset)
    logging.info("%s: license %s", preset, network.license or "not stated: see the model's page")
    return network


def _name(preset):
    """The last part of a preset as the name of a model, by which runs and cards tell it."""
    last = preset.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9.]+", "_", last).strip("._") or "from_preset"


def _load(keras_hub, preset, load_weights):
    """The backbone of a preset, or its part for images, and the converter of images."""
    try:
        backbone = keras_hub.models.Backbone.from_preset(preset, load_weights=load_weights)
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Expected a preset of KerasHub with the files of its backbone and an "
            f"image_converter.json, as `save_to_preset` of both writes them. Received: {preset=}: "
            f"{error}"
        ) from error
    except ValueError as error:
        raise ValueError(
            "`from_preset.preset` must be a folder that KerasHub saved, or a name that it knows, "
            f"of a model of images. Received: {preset=}: {error}"
        ) from error
    if type(backbone).__name__ in _WITH_TEXT:
        backbone = backbone.vision_encoder
    return backbone, converter


def _of_size(backbone, input_shape, preset):
    """The same backbone for images of a size; itself if it takes them."""
    config = backbone.get_config()
    patch = np.broadcast_to(config.get("patch_size", 1), 2)
    if any(side % each for side, each in zip(input_shape, patch, strict=False)):
        raise ValueError(
            f"Height and width of the images must be multiples of the patches of {preset!r}, "
            f"{patch[0]} x {patch[1]} pixels. {_BIND}. Received: {input_shape=}"
        )
    (own,) = (tuple(each.shape[1:]) for each in backbone.inputs)
    if own[-1] != input_shape[-1]:
        raise ValueError(
            f"{preset!r} takes images of {own[-1]} channels, as image files are read, grayscale "
            f"ones too; pixels in memory must have as many. Received: {input_shape=}"
        )
    sized = {
        name: input_shape
        for name in ("image_shape", "position_embedding_shape")
        if name in config and tuple(config[name]) != input_shape
    }
    # Of a model of images and text the part for images has the precision that it was saved in.
    policy = tf.keras.mixed_precision.global_policy()
    if backbone.dtype_policy.name != policy.name:
        sized["dtype"] = policy
    fits = all(side in (None, given) for side, given in zip(own, input_shape, strict=True))
    if fits and not {"position_embedding_shape", "dtype"} & sized.keys():
        return backbone
    try:
        if type(backbone).__name__ in _SQUARE and input_shape[0] != input_shape[1]:
            raise ValueError("images that are not square are not supported.")
        # Where KerasHub interpolates positions itself, it does so whenever a file is read, and
        # what was learned of them would not come back.
        other = type(backbone).from_config(config | sized)
        _copy_weights(backbone, other, patch)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{type(backbone).__name__} of {preset!r}, made for images {own}, takes none of "
            f"{input_shape}: {error} {_BIND}. Received: {input_shape=}"
        ) from error
    return other


def _copy_weights(source, target, patch):
    """Gives a backbone the weights of one of another image size."""
    weights = {weight.path: weight for weight in source.weights}
    config = source.get_config()
    sides = config.get("position_embedding_shape", config["image_shape"])[:2]
    grids = tuple(sides // patch), tuple(np.array(target.get_config()["image_shape"][:2]) // patch)
    for old, new in zip(source.weights, target.weights, strict=True):
        old = weights.get(old.path.replace("/interpolated_position", "/position"), old)
        if old.shape == new.shape:
            new.assign(old)
        elif new.path.endswith("position_ids"):
            continue  # They count the places.
        elif "position_embedding" not in new.path:
            raise ValueError(f"{new.path} is of shape {old.shape}, and would be {new.shape}.")
        else:
            antialias = config.get("antialias_in_interpolation", False)
            new.assign(interpolate(old, *grids, antialias))


def interpolate(positions, grid, new_grid, antialias):
    """Learned positions [..., prefix + places, channels] on another grid (rows, columns)."""
    table = tf.reshape(positions, (-1, positions.shape[-1]))
    num_prefix = table.shape[0] - int(np.prod(grid))
    places = tf.reshape(table[num_prefix:], (1, *grid, -1))
    places = tf.image.resize(places, new_grid, method="bicubic", antialias=antialias)
    places = tf.reshape(places, (-1, table.shape[-1]))
    table = tf.concat([table[:num_prefix], places], axis=0)
    return tf.reshape(table, (*positions.shape[:-2], *table.shape))


def _features(backbone, images, preset):
    """Tokens or the feature map of symbolic images."""
    features = backbone
    if type(backbone).__name__ == "SigLIPVisionEncoder":
        pooled = tf.keras.layers.Reshape((1, -1))(backbone.output)
        tokens = [pooled, backbone.post_layer_norm.output]
        together = tf.keras.layers.Concatenate(axis=1)(tokens)
        features = tf.keras.Model(backbone.input, together, name="siglip")
    features = features(tf.nest.map_structure(lambda _: images, backbone.input))
    if not tf.is_tensor(features) and not isinstance(features, tf.keras.KerasTensor):
        features = None
    if features is None or len(features.shape) not in (3, 4):
        raise ValueError(
            "`from_preset.preset` must give one feature map or tokens of images. Received: "
            f"{preset=}, {type(backbone).__name__} with the outputs {backbone.output}"
        )
    return features


def _num_prefix_tokens(backbone, preset):
    """Tokens before those of places; 0 for a feature map."""
    name = type(backbone).__name__
    if name in _PREFIX_TOKENS:
        return _PREFIX_TOKENS[name](backbone.get_config())
    if len(backbone.output.shape) == 4:
        return 0
    raise ValueError(
        f"`from_preset` knows the tokens of {', '.join(sorted(_PREFIX_TOKENS))}; other backbones "
        f"must give feature maps. Received: {preset=}, {name}"
    )


def license_of(keras_hub, preset):
    """License that a preset states: in its metadata, or in the head of its README.md; or None."""
    known = keras_hub.models.Backbone.presets
    if preset in known:
        return known[preset]["metadata"].get("license")
    metadata, readme = Path(preset) / "metadata.json", Path(preset) / "README.md"
    stated = None
    if metadata.is_file():
        stated = json.loads(metadata.read_text(encoding="utf-8")).get("license")
    if stated is None and readme.is_file():
        head = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8"), re.DOTALL)
        line = head and re.search(r"^license: *(.+)$", head[1], re.MULTILINE)
        stated = line[1].strip() if line else None
    return stated


def settle_positions(layers):
    """Has copied layers keep the positions that were learned, when they are saved.

    KerasHub's DINOv2 has positions twice, and does not always write those that are trained.
    """
    for layer in layers:
        if type(layer).__name__ == "DINOV2Embedding":
            layer.position_embeddings.assign(layer.interpolated_position_embeddings)
