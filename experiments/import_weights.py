"""Converts the public ImageNet weights of BN-Inception for `ccpdml.models.bn_inception`.

python experiments/import_weights.py --source=bn_inception-52deb4733.pth

Reads a PyTorch state dict (both file formats; tensors only, nothing in the file is executed, and
PyTorch is not needed) or the Keras .h5 of the original program.
"""

from pathlib import Path

import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "State dict (.pth) or Keras model (.h5).", required=True)
flags.DEFINE_string("target", None, "File to write. Default: where bn_inception looks for it.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    from ccpdml.models import import_weights, inception, weight_files

    target = Path(FLAGS.target) if FLAGS.target else weight_files.path_of("bn_inception")
    try:
        arrays = import_weights.read(FLAGS.source)
        model = inception.bn_inception((64, 64, 3), weights=None)
        inception.set_weights(model, arrays)  # Refuses what does not fit.
    except (OSError, ValueError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    names = {
        f"{layer.name}/{kind}" for layer in model.layers for kind in inception.layer_arrays(layer)
    }
    np.savez(target, **{name: arrays[name] for name in sorted(names)})
    logging.info("%d arrays of %s written to %s", len(names), FLAGS.source, target)


if __name__ == "__main__":
    app.run(main)
