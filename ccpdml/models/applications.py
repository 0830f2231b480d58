"""Backbones of `tf.keras.applications`, and those of users."""

from pathlib import Path

import gin
import tensorflow as tf

from ccpdml.models import inputs, keras_files, weight_files

# Modules of `tf.keras.applications` by what their networks take; the others scale to [-1, 1].
_BGR = ("resnet", "vgg16", "vgg19")
_STANDARDIZED = ("densenet",)
_SCALE_INSIDE = (
    "efficientnet",
    "efficientnet_v2",
    "convnext",
    "mobilenet_v3",
    "regnet",
    "resnet_rs",
)


@gin.register
def keras_application(
    input_shape: tuple[int, int, int], name: str = "ResNet50", weights: str | None = "imagenet"
) -> tf.keras.Model:
    """A network of `tf.keras.applications` without its classifier.

    Args:
        input_shape: (height, width, 3) of the images.
        name: of the network, such as "ResNet50V2", "EfficientNetB0" or "ConvNeXtTiny".
        weights: "imagenet" (Keras downloads them once), the path of a file, or None.

    Returns:
        Keras model [batch, height, width, 3] -> feature map, with the function `preprocess` that
        makes its input of uint8 images.

    Raises:
        ValueError: if there is no such network.
        FileNotFoundError: if the weights are not there and cannot be downloaded.
    """
    make = getattr(tf.keras.applications, name, None)
    if not callable(make):
        raise ValueError(f"`tf.keras.applications` has no network of that name. Received: {name=}")
    try:
        model = make(include_top=False, weights=weights, input_shape=tuple(input_shape))
    except Exception as error:  # Keras raises no narrower class for a failed download.
        if "URL fetch failure" not in str(error):
            raise
        raise FileNotFoundError(
            f"Keras could not get the weights {weights!r} of {name}: {error}. Run once with a "
            "connection, or put the file that it asks for in ~/.keras/models. "
            + weight_files.WITHOUT
        ) from error
    model.preprocess = convention_of(name)
    return model


@gin.register
def resnet50(input_shape: tuple[int, int, int], weights: str | None = "imagenet") -> tf.keras.Model:
    """ResNet50 (v1) of `tf.keras.applications`; see `keras_application`."""
    return keras_application(input_shape, "ResNet50", weights)


@gin.register
def resnet50_v2(
    input_shape: tuple[int, int, int], weights: str | None = "imagenet"
) -> tf.keras.Model:
    """ResNet50V2 of `tf.keras.applications`; see `keras_application`."""
    return keras_application(input_shape, "ResNet50V2", weights)


@gin.register
def efficientnet_b0(
    input_shape: tuple[int, int, int], weights: str | None = "imagenet"
) -> tf.keras.Model:
    """EfficientNetB0 of `tf.keras.applications`; see `keras_application`."""
    return keras_application(input_shape, "EfficientNetB0", weights)


@gin.register
def convnext_tiny(
    input_shape: tuple[int, int, int], weights: str | None = "imagenet"
) -> tf.keras.Model:
    """ConvNeXtTiny of `tf.keras.applications`; see `keras_application`."""
    return keras_application(input_shape, "ConvNeXtTiny", weights)


@gin.register
def saved_network(
    input_shape: tuple[int, int, int], path: str | Path = gin.REQUIRED
) -> tf.keras.Model:
    """A Keras model of your own, read from a file, that ends in a feature map.

    The encoder that a run left is read by `training.trained_network`.

    Args:
        input_shape: (height, width, channels) of the images; the model must take them.
        path: of a `.keras` or `.h5` file.

    Returns:
        Keras model [batch, height, width, channels] -> feature map.

    Raises:
        ValueError: if it takes other images or gives no feature map, or names anything but layers
            of Keras and what you registered with it.
    """
    model = keras_files.load(path)
    expected, given = tuple(model.input_shape[1:]), tuple(input_shape)
    fits = all(want in (None, have) for want, have in zip(expected, given, strict=True))
    if not fits or len(model.output_shape) != 4:
        raise ValueError(
            f"`path` must be a model of images {given} with a feature map as output. "
            f"Received: {path=}, input shape {expected}, output shape {model.output_shape}. The "
            "encoder of a run is trained on by `trained_network`."
        )
    return model


def convention_of(name):
    """The function of `models.inputs` that makes the input of a `tf.keras.applications` network."""
    module = getattr(tf.keras.applications, name).__module__.rsplit(".", 1)[-1]
    if module in _BGR:
        return inputs.subtract_mean_bgr
    if module in _STANDARDIZED:
        return inputs.standardize
    return inputs.keep_range if module in _SCALE_INSIDE else inputs.scale_to_unit_range
