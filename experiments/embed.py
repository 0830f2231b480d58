"""Embeds images with a trained encoder; stopped at any time, the same command goes on.

python experiments/embed.py --encoder=runs/folder_ms --images=photos --output=photos.npz

The file holds `embeddings` (float32 [n, dim], normalized as in training), `paths`, `classes` (the
folders of the images) and `info`, JSON that states view, preprocessing and normalization.
"""

import os
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a run, or encoder.keras.", required=True)
flags.DEFINE_multi_string(
    "images",
    None,
    "Folder, CSV file with a column `path`, image, or pattern in quotes. Repeatable.",
    required=True,
)
flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
flags.DEFINE_integer("batch_size", 64, "Images in the network at a time.", lower_bound=1)
flags.DEFINE_bool("skip_unreadable", False, "Leave out damaged files, and list them.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}. Put patterns in quotes.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Errors only, of what is not Python.
    from ccpdml import serving  # after the flags: --help need not wait for TensorFlow

    try:
        if Path(FLAGS.output).suffix != ".npz":
            raise ValueError(f"--output must end in .npz. Received: {FLAGS.output}")
        images = serving.find_images(FLAGS.images)
        encoder = serving.load_encoder(FLAGS.encoder)
        path = serving.embed_images(
            encoder, images, FLAGS.output, FLAGS.batch_size, FLAGS.skip_unreadable
        )
        found = serving.read_embeddings(path)
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    num_rows, dim = found.embeddings.shape
    about = {
        name: found.info["encoder"].get(name) for name in ("view", "preprocess", "normalization")
    }
    print(f"{path}: {num_rows} embeddings of {dim} entries; {about}")


if __name__ == "__main__":
    app.run(main)
