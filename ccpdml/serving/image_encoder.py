"""An encoder together with how an image file becomes its input."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import compat, files
from ccpdml.data import decoding
from ccpdml.data.views import FixedView
from ccpdml.models import keras_files
from ccpdml.serving import description, hugging_face, looking

FILE_NAME = "encoder.keras"

# What is said about an encoder that was loaded, and is not in its file.
_OF_A_FILE = {"fingerprint", "path"}
# What Keras says of a file that is damaged, of another version, or larger than the memory.
_UNREADABLE = (ValueError, TypeError, OSError, KeyError, AttributeError, tf.errors.OpError)


class ImageEncoder:
    """Encoder of image files: view, preprocessing, network, normalization.

    Args:
        model: Keras model, preprocessed images -> embeddings, normalized as they are compared.
        view: of files, without anything random; such as `data.views.CenterCrop`.
        preprocess: function of a batch of uint8 images that gives the input of `model`; None
            takes them as they are.
        info: what is to be said about it in files, a dict ready for JSON.

    Attributes:
        embedding_size: entries of an embedding, int.

    Raises:
        ValueError: if the view does not give what the model takes.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        view: FixedView,
        preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
        info: dict[str, Any] | None = None,
    ):
        if not isinstance(view, FixedView):
            raise ValueError(
                "`view` must be a `data.views.FixedView`, which has `of_bytes` and is of files in "
                "which nothing is random: CenterCrop, Resize. "
                f"Received: {type(view).__name__}"
            )
        self.model, self.view = model, view
        self.preprocess = preprocess or tf.identity
        self.embedding_size = model.output_shape[-1]
        self.info = (info or {}) | {"fingerprint": _fingerprint(model, info)}
        contents = tf.TensorSpec([], tf.string)
        self._look = tf.function(view.of_bytes).get_concrete_function(contents)
        pixels = self._look.structured_outputs
        self.pixels_shape = tuple(pixels.shape)
        if not pixels.shape.is_compatible_with(model.input_shape[1:]):
            raise ValueError(
                f"`view` must give the images that the encoder takes, {model.input_shape[1:]}. "
                f"Received: {type(view).__name__}, which gives {self.pixels_shape}"
            )
        spec = tf.TensorSpec([None, *self.pixels_shape], tf.uint8)
        self._embed = tf.function(self.embed_pixels, input_signature=[spec])

    def embed(self, images, batch_size: int = 64) -> np.ndarray:
        """Embeds images of any kind, all as if they were image files.

        Args:
            images: one image or several of them. An image is the path of a file, the bytes of one,
                a PIL image, or pixels, uint8 [height, width] or [height, width, 1, 3 or 4].
            batch_size: images in the network at a time.

        Returns:
            Float32 [n, dim], a row per image in order; [1, dim] for one image.

        Raises:
            UnreadableImageError: if an image cannot be decoded; names it.
            OSError: if a file is not there, or cannot be reached.
            ValueError: for what is no image.
        """
        return looking.embed(self, images, batch_size)

    def look(self, contents: bytes) -> np.ndarray:
        """View of the bytes of a file, uint8 [height, width, channels]."""
        with tf.device("CPU:0"):
            return self._look(tf.constant(contents)).numpy()

    def embed_pixels(self, images):
        """Embeds a batch of views, uint8 [n, height, width, channels] -> float32 [n, dim]."""
        return tf.cast(self.model(self.preprocess(images), training=False), tf.float32)

    def embed_bytes(self, contents):
        """Embeds the bytes of image files, string [n] -> float32 [n, dim]."""
        spec = tf.TensorSpec(self.pixels_shape, tf.uint8)
        return self.embed_pixels(tf.map_fn(self.view.of_bytes, contents, fn_output_signature=spec))

    def save(self, folder: str | Path) -> None:
        """Writes `encoder.keras` and `encoder.json` into a folder, for `load_encoder`."""
        with files.filling(folder) as new:
            self.model.save(new / FILE_NAME)
            description.write(new / description.FILE_NAME, self.description)

    @property
    def description(self) -> dict[str, Any]:
        """Content of `encoder.json`."""
        return {name: value for name, value in self.info.items() if name not in _OF_A_FILE}

    def __call__(self, images) -> np.ndarray:
        """Embeds a batch of views as `embed_pixels`, compiled."""
        return self._embed(images).numpy()


def load_encoder(path: str | Path) -> ImageEncoder:
    """Loads a trained encoder: from a run directory, or an `encoder.keras` with `encoder.json`.

    Also from `hf://account/name` on the Hugging Face Hub, or a copy of its folder, under Keras 3.

    Raises:
        ImportError: for a place on the Hub, without what it needs; see `hugging_face`.
        FileNotFoundError: if it is not there, or nothing says how its input is made.
        ValueError: if the file cannot be read by this version of Keras, or if one of the two files
            names what is not registered: they are data, and nothing that they name is imported.
    """
    address = str(path)
    is_on_hub = hugging_face.is_address(address)
    path = hugging_face.download(address) if is_on_hub else Path(path).expanduser()
    if not (path / FILE_NAME).is_file() and (path / keras_files.CONFIG).is_file():
        compat.require_keras_3(f"{path} holds a Keras model that is not zipped, which")
        file = path
    else:
        file = file_of(path)
    about = description.read(path / "encoder.keras" if path.is_dir() else path)
    keras_files.check(file)
    try:
        model = tf.keras.models.load_model(file, compile=False)
    except _UNREADABLE as error:
        (reason, *_) = str(error).splitlines() or [""]
        raise ValueError(
            f"{file} cannot be read with TensorFlow {tf.__version__}: a .keras file is read by the "
            f"Keras that wrote it, 2 or 3 ({description.written_by(about)}); the exported "
            f"SavedModel is read by both. {type(error).__name__}: {reason}"
        ) from error
    return described(model, about | {"path": address if is_on_hub else str(path)})


def file_of(path: Path) -> Path:
    """The `encoder.keras` of a run directory, or the file that is named itself.

    Raises:
        FileNotFoundError: if it is not there.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            "Expected the directory of a finished run, or an encoder.keras. "
            f"Received: {path}, where there is no {file.name}"
        )
    return file


def described(model: tf.keras.Model, about: dict[str, Any]) -> ImageEncoder:
    """A model as an image encoder.

    Args:
        model: Keras model, preprocessed images -> embeddings.
        about: `view` and `preprocess` by their registered names; see `description`.

    Raises:
        ValueError: if these are not registered.
    """
    view, preprocess = description.view_of(about), description.preprocess_of(about)
    return ImageEncoder(model, view, preprocess, about)


def _fingerprint(model, info):
    """Tells encoders apart: of the weights, and of how files become their input."""
    digest = hashlib.sha256()
    stated = {name: (info or {}).get(name) for name in ("view", "preprocess", "normalization")}
    stated["reading"] = decoding.VERSION
    digest.update(json.dumps(stated, sort_keys=True).encode())
    for array in model.get_weights():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
