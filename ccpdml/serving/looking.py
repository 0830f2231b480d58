"""Images of any kind as an encoder sees them: files, bytes of files, PIL images and pixels."""

import collections
import dataclasses
import hashlib
import io
import os
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from ccpdml.data import decoding

# Modes that a PNG file has too. Others, such as CMYK, become RGB.
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_AHEAD = 128  # Images that are read before they are asked for.


class UnreadableImageError(ValueError):
    """An image that cannot be decoded."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """An image as an encoder sees it.

    Attributes:
        name: what to call it, str.
        place: its number among the images, int from 0.
        digest: of the bytes of its file, str; "" if there are none.
        pixels: uint8 [height, width, channels]; None if they are not needed or there are none.
        why: why it cannot be decoded, in words; "" if it can.
    """

    name: str
    place: int
    digest: str = ""
    pixels: np.ndarray | None = None
    why: str = ""


Skip = Callable[[Seen], None]
Item = TypeVar("Item")


def embed(encoder, images, batch_size: int = 64, skip: Skip | None = None) -> np.ndarray:
    """Embeds images of any kind; see `ImageEncoder.embed` and, for `skip`, `readable`."""
    rows = [np.zeros([0, encoder.embedding_size], np.float32)]
    for batch in batches(readable(look(encoder.look, several(images)), skip), batch_size):
        rows.append(encoder(np.stack([np.asarray(seen.pixels) for seen in batch])))
    return np.concatenate(rows)


def look(
    view: Callable[[bytes], np.ndarray], images: Iterable[object], known: Container[str] = ()
) -> Iterator[Seen]:
    """Looks at images, several at a time, in order.

    Args:
        view: function of the bytes of a file that gives its pixels, uint8.
        images: as for `content`.
        known: digests of images whose pixels are not needed.

    Raises:
        OSError, ValueError: as of `content`, but for images that cannot be decoded.
    """

    def see(place, image):
        seen = Seen(str(image) if _is_path(image) else f"images[{place}]", place)
        try:
            contents = content(image)
        except UnreadableImageError as error:
            return dataclasses.replace(seen, why=str(error))
        seen = dataclasses.replace(seen, digest=digest(contents))
        if seen.digest in known:
            return seen
        try:
            return dataclasses.replace(seen, pixels=view(contents))
        except tf.errors.OpError:
            return dataclasses.replace(seen, why=decoding.why_undecodable(contents))

    with futures.ThreadPoolExecutor() as pool:
        pending: collections.deque[futures.Future[Seen]] = collections.deque()
        try:
            for place, image in enumerate(images):
                pending.append(pool.submit(see, place, image))
                if len(pending) == _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # Nobody waits for these any more.
            for each in pending:
                each.cancel()


def readable(seen: Iterable[Seen], skip: Skip | None = None) -> Iterator[Seen]:
    """Leaves out images that cannot be decoded.

    Args:
        seen: from `look`.
        skip: is called with each `Seen` that is left out; None makes it an error.

    Raises:
        UnreadableImageError: names the image.
    """
    for each in seen:
        if not each.why:
            yield each
        elif skip is None:
            raise UnreadableImageError(
                f"{each.name} cannot be read: {each.why}. Mend or remove it; embed.py and "
                "search.py leave such images out with --skip_unreadable."
            )
        else:
            skip(each)


def batches(items: Iterable[Item], batch_size: int) -> Iterator[list[Item]]:
    """Lists of `batch_size` items, the last of which may be shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def digest(contents: bytes) -> str:
    """Tells contents of files apart: 32 letters of their SHA-256."""
    return hashlib.sha256(contents).hexdigest()[:32]


def several(images) -> Iterable[object]:
    """Images as a list, one image alone too; see `content` for what an image is."""
    if _is_path(images) or isinstance(images, (bytes, Image.Image)):
        return [images]
    if not isinstance(images, (np.ndarray, tf.Tensor)):
        return images if isinstance(images, Iterable) else [images]
    array = np.asarray(images)
    if array.dtype.kind in "OSU":
        return np.atleast_1d(array)
    return array if array.ndim == 4 else [array]


def content(image) -> bytes:
    """The bytes of an image's file; pixels are written as PNG, so that they are treated alike.

    Args:
        image: as for `ImageEncoder.embed`.

    Raises:
        OSError: if a file is not there, or cannot be reached.
        UnreadableImageError: if a PIL image cannot be loaded.
        ValueError: for what is no image.
    """
    image = image.numpy() if isinstance(image, tf.Tensor) else image
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        return _png(image)
    if not _is_path(image):
        return _png(Image.fromarray(_pixels(image)))
    if Path(image).is_dir():
        raise ValueError(f"Expected an image. Received: {image}, a folder; see `find_images`")
    return Path(image).read_bytes()


def _is_path(image):
    return isinstance(image, (str, os.PathLike))


def _pixels(image):
    """Pixels as PIL takes them: [height, width] or [height, width, 3 or 4]."""
    array = np.asarray(image)
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    if array.dtype != np.uint8 or not has_shape or not array.size:
        raise ValueError(
            "An image must be a path, the bytes of a file, a PIL image, or pixels, uint8 [height, "
            "width] or [height, width, 1, 3 or 4]. "
            f"Received: {type(image).__name__} of dtype {array.dtype} and shape {array.shape}"
        )
    return array[..., 0] if array.shape[2:] == (1,) else array


def _png(picture):
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode not in _PNG_MODES:
            picture = picture.convert("RGB")
        stream = io.BytesIO()
        picture.save(stream, "PNG", compress_level=1)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError(str(error)) from error
    return stream.getvalue()
