"""Pooling of a feature map, or of tokens, to a feature vector."""

from typing import Any, Literal

import gin
import tensorflow as tf

from ccpdml import compat
from ccpdml.bounds import Positive, Whole, checked
from ccpdml.ops import precision

OF_PLACES = ("avg", "max", "both")
OF_TOKENS = ("cls", "patches", "cls_and_patches")


@tf.keras.utils.register_keras_serializable(package="ccpdml")
class GlobalPooling(tf.keras.layers.Layer):
    """Pools a feature map or tokens: [batch, height, width, channels] or [batch, tokens, channels].

    Gives [batch, channels]; twice the channels for "cls_and_patches".

    Args:
        kind: "avg", "max", or "both" (their sum, as the conventional ResNet50 setting has it), of
            all places or tokens; of tokens alone "cls", the first one, "patches", the average of
            those that stand for places, or "cls_and_patches", one after the other.
        num_prefix_tokens: tokens before those of places, int: 1 for a class token, more where
            there are registers; 0 where there is no class token. Feature maps have none.

    Raises:
        ValueError: if the kind is none of these, or the input has no such tokens.
    """

    KINDS = OF_PLACES + OF_TOKENS

    @checked
    def __init__(
        self,
        kind: Literal["avg", "max", "both", "cls", "patches", "cls_and_patches"] = "avg",
        num_prefix_tokens: Whole = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kind, self.num_prefix_tokens = kind, num_prefix_tokens

    def build(self, input_shape: tf.TensorShape) -> None:
        check_rank(input_shape)
        shape = tuple(input_shape)
        if self.kind in OF_TOKENS and len(shape) != 3:
            raise ValueError(
                f"Pooling {self.kind!r} takes tokens [batch, tokens, channels]; a feature map is "
                f"pooled by one of {OF_PLACES}. Received: shape {shape}"
            )
        if self.kind.startswith("cls") and not self.num_prefix_tokens:
            raise ValueError(
                f"Pooling {self.kind!r} takes the class token, and the network has none; "
                f"'patches' or 'avg' needs none. Received: num_prefix_tokens=0, shape {shape}"
            )
        if self.kind in OF_TOKENS and shape[1] <= self.num_prefix_tokens:
            raise ValueError(
                f"Pooling {self.kind!r} needs more tokens than the {self.num_prefix_tokens} before "
                f"those of places. Received: shape {shape}"
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.kind in OF_TOKENS:
            patches = tf.reduce_mean(inputs[:, self.num_prefix_tokens :], axis=1)
            if self.kind == "patches":
                return patches
            first = inputs[:, 0]
            return first if self.kind == "cls" else tf.concat([first, patches], axis=-1)
        places = range(1, inputs.shape.rank - 1)
        average = tf.reduce_mean(inputs, axis=places) if self.kind != "max" else 0.0
        highest = tf.reduce_max(inputs, axis=places) if self.kind != "avg" else 0.0
        return average + highest

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return (input_shape[0], input_shape[-1] * (2 if self.kind == "cls_and_patches" else 1))

    def built_in(self, features: tf.Tensor) -> tf.Tensor:
        """The same pooling of the symbolic `features` in layers that Keras itself brings."""
        if self.kind in OF_TOKENS:
            return self._built_in_of_tokens(features)
        average, highest = _layers_of_places(features)
        if self.kind == "both":
            return tf.keras.layers.Add()([average(features), highest(features)])
        return {"avg": average, "max": highest}[self.kind](features)

    def _built_in_of_tokens(self, tokens):
        parts = []
        if self.kind.startswith("cls"):
            first = tf.keras.layers.Cropping1D((0, tokens.shape[1] - 1))(tokens)
            parts.append(tf.keras.layers.Flatten()(first))
        if self.kind.endswith("patches"):
            patches = tf.keras.layers.Cropping1D((self.num_prefix_tokens, 0))(tokens)
            parts.append(tf.keras.layers.GlobalAveragePooling1D()(patches))
        return parts[0] if len(parts) == 1 else tf.keras.layers.Concatenate()(parts)

    def get_config(self) -> dict[str, Any]:
        own = {"kind": self.kind, "num_prefix_tokens": self.num_prefix_tokens}
        return super().get_config() | own


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class GeneralizedMeanPooling(tf.keras.layers.Layer):
    """GeM: `mean(max(x, 1e-6)^p)^(1/p)` over the places of a map, or over tokens, with p learned.

    p = 1 is the average of positive features, and a large p comes near their maximum.

    Args:
        power: p at the start, one number for all channels, float above 0; 3 in the paper.

    Source: Radenović, Tolias, Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation"
        (TPAMI 2019), equation 3, with one power for all channels.
    """

    LOWEST = 1e-6
    """Features below it count as it: negative ones have no power."""

    @checked
    def __init__(self, power: Positive = 3.0, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
        self.power = power

    def build(self, input_shape: tf.TensorShape) -> None:
        check_rank(input_shape)
        start = tf.keras.initializers.Constant(self.power)
        self.exponent = self.add_weight(name="exponent", shape=(), initializer=start)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        features = tf.maximum(precision.at_least_float32(inputs), self.LOWEST)
        exponent = tf.cast(tf.convert_to_tensor(self.exponent), features.dtype)
        places = list(range(1, features.shape.rank - 1))
        # Powers of shares of the highest do not overflow; it cancels out, with its gradient.
        highest = tf.stop_gradient(tf.reduce_max(features, axis=places, keepdims=True))
        mean = tf.reduce_mean((features / highest) ** exponent, axis=places, keepdims=True)
        return tf.squeeze(highest * mean ** (1.0 / exponent), axis=places)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return (input_shape[0], input_shape[-1])

    def built_in(self, features: tf.Tensor) -> tf.Tensor:
        """The same of symbolic `features`, with the power as it is now, in operations of Keras."""
        exponent = float(tf.convert_to_tensor(self.exponent))
        features = tf.keras.layers.Activation("linear", dtype="float32")(features)
        # As tokens: LiteRT does not divide a map by its pooled one for any number of images.
        features = tf.keras.layers.Reshape((-1, features.shape[-1]))(features)
        average, pool_highest = _layers_of_places(features, keepdims=True)
        features = compat.symbolic_maximum(features, self.LOWEST)
        highest = pool_highest(features)
        mean = average((features / highest) ** exponent)
        return tf.keras.layers.Flatten()(highest * mean ** (1 / exponent))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"power": self.power}


def check_rank(shape):
    """Raises ValueError unless a shape is that of a feature map or of tokens."""
    if len(shape) not in (3, 4):
        raise ValueError(
            "Pooling takes a feature map [batch, height, width, channels] or tokens [batch, "
            f"tokens, channels]. Received: shape {tuple(shape)}"
        )


def _layers_of_places(features, keepdims=False):
    """Keras's layers that pool symbolic features: the average, the maximum."""
    keras = tf.keras.layers
    if len(features.shape) == 3:
        kinds = keras.GlobalAveragePooling1D, keras.GlobalMaxPooling1D
    else:
        kinds = keras.GlobalAveragePooling2D, keras.GlobalMaxPooling2D
    return tuple(kind(keepdims=keepdims) for kind in kinds)
