"""Where the converted weights of backbones are kept."""

import os
from pathlib import Path

import numpy as np

_SOURCES = {
    "bn_inception": "the public PyTorch state dict bn_inception-52deb4733.pth, which "
    "pretrained-models.pytorch (github.com/Cadene) links to",
}


def folder():
    """The folder of the weights: `$CCPDML_WEIGHTS`, else ~/.ccpdml/weights."""
    return Path(os.environ.get("CCPDML_WEIGHTS", "~/.ccpdml/weights")).expanduser()


def path_of(name, weights="imagenet"):
    """The file that holds `weights` of the backbone `name`: itself if it is a path."""
    return folder() / f"{name}.npz" if weights == "imagenet" else Path(weights).expanduser()


def read(name, weights):
    """Reads converted weights.

    Args:
        name: of the backbone.
        weights: "imagenet", or the path of a file that `experiments/import_weights.py` wrote.

    Returns:
        Dictionary "<layer>/<kind>" -> array.

    Raises:
        FileNotFoundError: if there is no such file, telling how to make it.
    """
    path = path_of(name, weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no weights of {name} at {path}. Get {_SOURCES[name]}, and convert it: "
            f"python experiments/import_weights.py --source=FILE --target={path}. To train from "
            f"scratch, bind {name}.weights = None; to try a run on a CPU, give "
            "--gin_file=gin/backbones/small.gin last."
        )
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive.items())
