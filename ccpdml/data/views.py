"""Views: what the network gets to see of an image. Uint8 out; scaling is the model's."""

from typing import Protocol, runtime_checkable

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Positive, Share, Whole, checked
from ccpdml.data import decoding


@runtime_checkable
class View(Protocol):
    """Maker of a view of an image, or of each of a batch.

    Attributes:
        reads_files: whether it is called with paths, or with pixels.
    """

    reads_files: bool

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor, /) -> tf.Tensor:
        """Returns views, uint8 [..., height, width, channels].

        Args:
            images: pixels, uint8 [..., height, width, channels]; the leading axes may be absent
                (one image) or a batch. Of a view that reads files: one path, string scalar.
            seeds: random bits in 0..2^31-1, int32 [..., 2]. Equal seeds, equal views.
        """


@runtime_checkable
class FixedView(Protocol):
    """A view of files in which nothing is random, so that their bytes are enough."""

    def of_bytes(self, contents: tf.Tensor, /) -> tf.Tensor:
        """Returns the view of the bytes of a file.

        Args:
            contents: string scalar.

        Returns:
            uint8 [height, width, channels].
        """


@gin.register
class Plain:
    """The pixels as they are."""

    reads_files = False

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        del seeds  # Nothing is random here.
        return images


@gin.register
class FirstStored:
    """Of several stored views of an image the first, in which nothing is random.

    Features of one view are taken as they are.
    """

    reads_files = False

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Features, float32 [batch, dim] or [batch, views, dim] -> [batch, dim]."""
        del seeds  # Nothing is random here.
        return images[:, 0] if images.shape.rank == 3 else images


@gin.register
class AnyStored:
    """Of several stored views of an image any one.

    Features of one view are taken as they are.
    """

    reads_files = False

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Features, float32 [batch, dim] or [batch, views, dim] -> [batch, dim]."""
        if images.shape.rank != 3:
            return images
        return tf.gather(images, seeds[:, 0] % images.shape[1], batch_dims=1)


@gin.register
class RandomShift:
    """Pixels moved by up to `max_pixels` each way, black where nothing moves in.

    Args:
        max_pixels: largest shift, int at least 0.
    """

    reads_files = False

    @checked
    def __init__(self, max_pixels: Whole = 2):
        self.max_pixels = max_pixels

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        height, width = images.shape[-3], images.shape[-2]
        border = [[self.max_pixels, self.max_pixels]] * 2 + [[0, 0]]
        padded = tf.pad(images, [[0, 0]] * (images.shape.rank - 3) + border)
        # Gathering rows, then columns, serves the whole batch with two ops.
        corner = seeds % (2 * self.max_pixels + 1)
        rows = corner[..., :1] + tf.range(height)
        columns = corner[..., 1:] + tf.range(width)
        batch_axes = images.shape.rank - 3
        padded = tf.gather(padded, rows, axis=batch_axes, batch_dims=batch_axes)
        shifted = tf.gather(padded, columns, axis=batch_axes + 1, batch_dims=batch_axes)
        return tf.ensure_shape(shifted, images.shape)


@gin.register
class RandomResizedCrop:
    """A random part of an image file, resized to `size` and mirrored half the time.

    The part is `tf.image.stateless_sample_distorted_bounding_box`'s. It is taken from the
    original image: areas and aspects are relative, so bringing the short side to 256 pixels first
    would change nothing but the time. Bilinear, without anti-aliasing, as the original.

    Args:
        size: side of the view in pixels, or (height, width).
        area: smallest and largest area of the part, as shares of the image's.
        aspect: smallest and largest width / height of the part.
        mirror: whether to mirror.

    Source: the original implementation and the MLRC benchmark (area .16 to 1). The paper's
    supplement says "crop 40 to 256 px side" of a short side of 256; read as sides that would be
    areas from (40 / 256)^2 = .024.
    """

    reads_files = True

    @checked
    def __init__(
        self,
        size: Count | tuple[Count, Count] = 227,
        area: tuple[Share, Share] = (0.16, 1.0),
        aspect: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        mirror: bool = True,
    ):
        if not 0 < area[0] <= area[1] <= 1 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(
                "`area` must be (smallest, largest) in (0, 1] and `aspect` likewise above 0. "
                f"Received: {area=}, {aspect=}"
            )
        self.height, self.width = _sides(size)
        self.area, self.aspect = tuple(area), tuple(aspect)
        self.mirror = mirror

    def __call__(self, path: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The view of one file: path, scalar string; seed, int32 [2]."""

        def window(shape):
            begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
                shape,
                tf.zeros([1, 0, 4]),
                seed,
                min_object_covered=0.0,
                aspect_ratio_range=self.aspect,
                area_range=self.area,
                use_image_if_no_bounding_boxes=True,
            )
            return tf.concat([begin[:2], size[:2]], axis=0)

        image = decoding.decode_window(tf.io.read_file(path), window)
        if self.mirror:
            # Before the resize and by `reverse`: a slice of stride -1 takes ten times as long.
            image = tf.cond(seed[0] % 2 == 0, lambda: tf.reverse(image, [1]), lambda: image)
        return _to_uint8(tf.image.resize(image, [self.height, self.width]))


class _Fixed:
    """A view of a file that is `of_bytes` of it."""

    reads_files = True

    def __call__(self, path: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The view of one file: path, scalar string; seed is not used."""
        del seed
        return self.of_bytes(tf.io.read_file(path))

    def of_bytes(self, contents: tf.Tensor) -> tf.Tensor:
        """The view of the bytes of a file (scalar string), uint8 [height, width, channels]."""
        raise NotImplementedError


@gin.register
class CenterCrop(_Fixed):
    """The middle of an image file: short side to `short_side`, then `size`.

    Bilinear, without anti-aliasing; black where the image is smaller than `size`.

    Args:
        size: side of the view in pixels, or (height, width).
        short_side: what the shorter side of the image is resized to first, in pixels.

    Source: the evaluation view of the original implementation.
    """

    @checked
    def __init__(self, size: Count | tuple[Count, Count] = 227, short_side: Count = 256):
        self.size, self.short_side = size, short_side
        self.height, self.width = _sides(size)

    def of_bytes(self, contents: tf.Tensor) -> tf.Tensor:
        """The view of the bytes of a file (scalar string), uint8 [height, width, 3]."""
        return _to_uint8(self.pixels(decoding.decode(contents)))

    def pixels(self, image: tf.Tensor) -> tf.Tensor:
        """The view of an image, uint8 of any size, before rounding: float32 [height, width, 3]."""
        shape = tf.shape(image)[:2]
        # In integers: int(side * short_side / short), without a float's rounding.
        resized = tf.image.resize(image, shape * self.short_side // tf.reduce_min(shape))
        return tf.image.resize_with_crop_or_pad(resized, self.height, self.width)


@gin.register
class Resize(_Fixed):
    """The whole of an image file at `height` x `width` pixels, stretched if need be.

    Bilinear with anti-aliasing; a file of just that size is taken as it is. It is how an encoder
    that was trained on pixels in memory is given files.

    Args:
        height, width: of the view in pixels.
        channels: 3 for RGB, 1 for grey.
    """

    @checked
    def __init__(self, height: Count, width: Count, channels: Count = 3):
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3. Received: {channels=}")
        self.height, self.width, self.channels = height, width, channels

    def of_bytes(self, contents: tf.Tensor) -> tf.Tensor:
        """The view of the bytes of a file (scalar string), uint8 [height, width, channels]."""
        image = decoding.decode(contents)
        if self.channels == 1:
            image = tf.image.rgb_to_grayscale(image)
        return _to_uint8(tf.image.resize(image, [self.height, self.width], antialias=True))


def _sides(size):
    """Height and width that a size means."""
    return (size, size) if isinstance(size, int) else tuple(size)


def _to_uint8(pixels):
    return tf.cast(tf.round(pixels), tf.uint8)
