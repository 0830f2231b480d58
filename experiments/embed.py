"""Embeds images with a trained encoder; stopped at any time, the same command goes on.

ccpdml embed --encoder=runs/folder_ms --images=photos --output=photos.npz

Given again after images were added, changed or removed, it embeds only what is new. The file holds
`embeddings` (float32 [n, dim], normalized as in training), `paths`, `classes` (the folders of the
images), `digests` of their files, and `info`, JSON that says how they were made.
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a run, or encoder.keras.", required=True)
flags.DEFINE_multi_string(
    "images",
    None,
    "Folder, .csv with a column `path`, .txt with a path per line, image, or pattern in quotes. "
    "Repeatable.",
    required=True,
)
flags.DEFINE_string(
    "output", None, "The .npz file to write; with --features a folder.", required=True
)
flags.DEFINE_bool(
    "features",
    False,
    "Write what enters the embedding head, memory-mapped, to train another head on; the folders of "
    "the images are its classes.",
)
flags.DEFINE_integer("batch_size", 64, "Images in the network at a time.", lower_bound=1)
flags.DEFINE_bool("skip_unreadable", False, "Leave out damaged files, and list them.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}. Put patterns in quotes.")
    quiet.import_tensorflow()
    from ccpdml import serving  # after the flags: --help need not wait for TensorFlow

    try:
        images = serving.find_images(FLAGS.images)
        encoder = serving.load_encoder(FLAGS.encoder)
        if FLAGS.features:
            store_features(encoder, images)
            return
        done = serving.embed_images(
            encoder, images, FLAGS.output, FLAGS.batch_size, FLAGS.skip_unreadable
        )
        found = serving.read_embeddings(done.path)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    for path, why in done.skipped.items():
        print(f"Left out: {path}: {why}")
    print(f"{done.path}: {found}. {done}.")


def store_features(encoder, images):
    """Writes the folder of features."""
    from ccpdml import serving
    from ccpdml.data import source

    if FLAGS.skip_unreadable:
        raise ValueError(
            "--skip_unreadable is not for --features; `ccpdml check-data` lists files."
        )
    network = serving.features.without_head(encoder)
    parts = {"": source.files("", images.paths, images.classes)}
    serving.features.store(FLAGS.output, network, parts, batch_size=FLAGS.batch_size)
    print(f"{FLAGS.output}: {len(images)} features of {network.embedding_size}")


if __name__ == "__main__":
    app.run(main)
