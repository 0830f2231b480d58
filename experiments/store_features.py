"""Stores the features that a trained encoder has of a run's data, to train a head on them.

ccpdml store-features --encoder=runs/characters_pretrain \
    --gin_file=gin/characters_ms.gin --output=features.npz
ccpdml run --gin_file=gin/features_ms.gin --data_root=features.npz
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a finished run, or its encoder.keras.")
flags.DEFINE_string("output", None, "The .npz file to write.")
flags.DEFINE_multi_string(
    "gin_file", [], "Gin file of a run on the data that are meant. Repeatable."
)
flags.DEFINE_multi_string("gin_bindings", [], "A binding, e.g. of `data.load`. Repeatable.")
flags.DEFINE_string("data_root", None, "Data sets, as of run.py.")
flags.mark_flags_as_required(["encoder", "output", "gin_file"])


def main(_):
    quiet.import_tensorflow()
    from ccpdml import config, data  # after the flags: --help need not wait for TensorFlow
    from ccpdml.serving import features, image_encoder

    try:
        # Folds are cut when the head is trained.
        config.load(FLAGS.gin_file, [*FLAGS.gin_bindings, "data.load.num_folds = 1"])
        splits = data.load(root=FLAGS.data_root) if FLAGS.data_root else data.load()
        encoder = image_encoder.load_encoder(FLAGS.encoder)
        features.write(FLAGS.output, encoder, splits.train, splits.test)
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print(f"{FLAGS.output}: {len(splits.train)} + {len(splits.test)} vectors to train and test on")


if __name__ == "__main__":
    app.run(main)
