"""Converts public ImageNet weights for the backbones `bn_inception` and `resnet50_torch`.

ccpdml import-weights --source=bn_inception-52deb4733.pth
ccpdml import-weights --source=resnet50-11ad3fa6.pth

Reads a PyTorch state dict (.pth in both formats, or .safetensors; tensors only, nothing in the file
is executed, and PyTorch is not needed), also inside a checkpoint, or for BN-Inception the Keras .h5
of the original program. Which of the two networks it is of, the names of the weights tell.
"""

from pathlib import Path

import numpy as np
from absl import app, flags, logging

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "State dict or Keras model.", required=True)
flags.DEFINE_string("target", None, "File to write, .npz. Default: where the backbone looks.")
flags.DEFINE_bool("overwrite", False, "Replace the file if it is there.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    quiet.import_tensorflow()
    from ccpdml import files, models  # after the flags: --help need not wait for TensorFlow
    from ccpdml.models import import_weights, weight_files

    try:
        arrays = import_weights.read(FLAGS.source)
        name = weight_files.network_of(arrays)
        target = Path(FLAGS.target) if FLAGS.target else weight_files.path_of(name)
        files.refuse_existing(target, overwrite=FLAGS.overwrite)
        model = getattr(models, name)((64, 64, 3), weights=None)
        weight_files.set_weights(model, arrays, FLAGS.source)  # Refuses what does not fit.
        kept = {
            f"{layer.name}/{kind}": np.asarray(variable)
            for layer in model.layers
            for kind, variable in weight_files.layer_arrays(layer).items()
        }
        with files.replacing(target) as file:
            np.savez(file, **kept)
    except (OSError, ValueError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    logging.info("%d arrays of %s, for %s, written to %s", len(kept), FLAGS.source, name, target)


if __name__ == "__main__":
    app.run(main)
