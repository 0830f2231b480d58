"""Encoders on the Hugging Face Hub, in the form in which Keras itself saves to and loads from it.

A repository there holds the files of a Keras model, not zipped, so that
`keras.saving.load_model("hf://account/name")` reads it where this library is not installed, and
beside them `encoder.json` and the model card, `README.md`. It takes Keras 3 and `huggingface_hub`.
"""

import importlib
import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ccpdml import compat, files
from ccpdml.serving import description

if TYPE_CHECKING:
    from ccpdml.serving.image_encoder import ImageEncoder

SCHEME = "hf://"
CARD = "README.md"
_NAME = re.compile(r"hf://[\w.-]+/[\w.-]+")


def is_address(path: str | Path) -> bool:
    """Tells whether something is a place on the Hub, `hf://account/name`."""
    return str(path).startswith(SCHEME)


def check(address: str) -> ModuleType:
    """Checks that a place on the Hub can be reached from here; returns its library.

    Raises:
        ValueError: if it is no `hf://account/name`.
        ImportError: under Keras 2, and without `huggingface_hub`.
    """
    if not _NAME.fullmatch(address):
        raise ValueError(
            f"A place on the Hugging Face Hub is hf://<account>/<name>. Received: {address}"
        )
    compat.require_keras_3(f"To load from and save to {SCHEME}")
    try:
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{address} needs the package `huggingface_hub`: pip install 'ccpdml[huggingface]'. "
            f"Received: {error}"
        ) from error


def write(encoder: "ImageEncoder", folder: str | Path, card: str) -> None:
    """Writes the files of a repository into a folder, which `load_encoder` reads as well.

    Args:
        encoder: the `ImageEncoder`.
        folder: made if missing.
        card: Markdown, as of `reports.card`.

    Raises:
        ImportError: under Keras 2, which cannot save a model in this form.
    """
    compat.require_keras_3("To save a model that is not zipped")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    compat.save_unzipped(encoder.model, folder)
    description.write(folder / description.FILE_NAME, encoder.description)
    files.write_text(folder / CARD, card)


def upload(encoder: "ImageEncoder", address: str, card: str) -> str:
    """Puts an encoder and its card on the Hub, under the account that is logged in there.

    Args:
        encoder: the `ImageEncoder`.
        address: `hf://account/name`; made if missing, else added to its history.
        card: Markdown.

    Returns:
        The address of the repository for browsers.

    Raises:
        ValueError, ImportError: as of `check`; and whatever `huggingface_hub` raises where the Hub
            cannot be reached, or refuses.
    """
    library = check(address)
    with tempfile.TemporaryDirectory() as folder:
        write(encoder, folder, card)
        hub = library.HfApi()
        repository = hub.create_repo(address.removeprefix(SCHEME), exist_ok=True)
        hub.upload_folder(
            repo_id=repository.repo_id, folder_path=folder, commit_message="Encoder of ccpdml"
        )
    return str(repository)


def download(address: str) -> Path:
    """The folder of a repository on this machine, fetched if it is not there.

    Raises:
        ValueError, ImportError: as of `check`.
        OSError: if it is not on this machine and the Hub cannot be reached, or has no such
            repository.
    """
    return Path(check(address).snapshot_download(repo_id=address.removeprefix(SCHEME)))
