"""A small vision transformer, of Keras's own layers alone."""

import gin
import tensorflow as tf

from ccpdml.bounds import Count, checked
from ccpdml.models import inputs as conventions


@gin.register
@checked
def small_vit(
    input_shape: tuple[int, int, int],
    patch_size: Count = 8,
    width: Count = 64,
    depth: Count = 4,
    num_heads: Count = 4,
) -> tf.keras.Model:
    """A vision transformer (ViT) with a class token, pre-normalized blocks and learned positions.

    Args:
        input_shape: (height, width, channels) of the images; values are expected around [-1, 1].
        patch_size: side of a patch in pixels; divides height and width.
        width: channels of a token; a multiple of `num_heads`.
        depth: blocks of attention and two dense layers, of four times the width, with swish
            between them; ONNX has no GELU for TensorFlow's.
        num_heads: heads of the attention.

    Returns:
        Keras model [batch, height, width, channels] -> tokens [batch, 1 + patches, width], the
        class token first.

    Raises:
        ValueError: if images cannot be cut into patches, or channels be shared out to heads.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021), section 3.1.
    """
    rows, rest_of_rows = divmod(input_shape[0], patch_size)
    columns, rest_of_columns = divmod(input_shape[1], patch_size)
    if rest_of_rows or rest_of_columns or width % num_heads:
        raise ValueError(
            "Height and width of the images must be multiples of `small_vit.patch_size`, and "
            "`small_vit.width` of `small_vit.num_heads`: bind these, or for image files the sizes "
            "of the views, such as `RandomResizedCrop.size` and `CenterCrop.size`. Received: "
            f"input_shape={tuple(input_shape)}, {patch_size=}, {width=}, {num_heads=}"
        )
    keras = tf.keras.layers
    inputs = tf.keras.Input(input_shape)
    tokens = keras.Reshape((rows, patch_size, columns, patch_size, input_shape[2]))(inputs)
    tokens = keras.Permute((1, 3, 2, 4, 5))(tokens)
    tokens = keras.Reshape((rows * columns, patch_size**2 * input_shape[2]))(tokens)
    # One map of all patches, and a bias of each place: of the zeros in front, the class token.
    tokens = keras.ZeroPadding1D((1, 0))(tokens)
    embed = keras.EinsumDense(
        "bpc,cd->bpd",
        output_shape=(1 + rows * columns, width),
        bias_axes="pd",
        bias_initializer=tf.keras.initializers.RandomNormal(stddev=0.02),
        name="patches_and_places",
    )
    tokens = embed(tokens)
    for _ in range(depth):
        tokens = _block(tokens, width, num_heads)
    tokens = keras.LayerNormalization(epsilon=1e-6)(tokens)
    model = tf.keras.Model(inputs, tokens, name="small_vit")
    model.preprocess = conventions.scale_to_unit_range
    model.num_prefix_tokens = 1
    return model


def _block(tokens, width, num_heads):
    keras = tf.keras.layers
    normed = keras.LayerNormalization(epsilon=1e-6)(tokens)
    attention = keras.MultiHeadAttention(num_heads, width // num_heads)
    tokens = keras.Add()([tokens, attention(normed, normed)])
    normed = keras.LayerNormalization(epsilon=1e-6)(tokens)
    wide = keras.Dense(4 * width, activation="swish")(normed)
    return keras.Add()([tokens, keras.Dense(width)(wide)])
