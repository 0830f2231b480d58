"""Stores the features that a network has of a run's data, to train a head on them in seconds.

ccpdml store-features --gin_file=gin/characters_ms.gin --encoder=runs/characters_pretrain \
    --output=features
ccpdml run --gin_file=gin/features_ms.gin --data_root=features
ccpdml export --encoder=runs/features_ms --features=features --format=keras --output=whole

Without --encoder the network is the run file's own, as it is before training: a backbone with
weights from elsewhere. Stopped at any time, the same command goes on.
"""

import os

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a finished run, or its encoder.keras.")
flags.DEFINE_string("output", None, "The folder to write.", required=True)
flags.DEFINE_multi_string(
    "gin_file", [], "Gin file of a run on the data that are meant. Repeatable."
)
flags.DEFINE_multi_string("gin_bindings", [], "A binding, e.g. of `data.load`. Repeatable.")
flags.DEFINE_string("data_root", None, "Data sets, as of run.py.")
flags.DEFINE_integer(
    "views",
    1,
    "Views of each image: the first as in evaluation, the others as in training.",
    lower_bound=1,
)
flags.DEFINE_integer("batch_size", 64, "Images in the network at a time.", lower_bound=1)
flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "Of the files.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    if not FLAGS.gin_file:
        raise app.UsageError("--gin_file is needed, of a run on the data that are meant")
    if FLAGS.data_root:
        os.environ["CCPDML_DATA"] = FLAGS.data_root
    quiet.import_tensorflow()
    from ccpdml import config, data, runs  # after the flags: --help need not wait for TensorFlow
    from ccpdml.serving import features, image_encoder

    try:
        config.load(FLAGS.gin_file, FLAGS.gin_bindings)
        # Folds are cut when the head is trained.
        splits = data.load(num_folds=1)
        experiment = runs.Experiment(FLAGS.output)
        if FLAGS.encoder:
            encoder = image_encoder.load_encoder(FLAGS.encoder)
        else:
            model, about = runs.assemble(experiment.recipe).standalone()
            encoder = image_encoder.described(model, about)
        features.store(
            FLAGS.output,
            features.without_head(encoder),
            {"train": splits.train, "test": splits.test},
            FLAGS.views,
            experiment.prepared.training_view,
            FLAGS.batch_size,
            dtype=FLAGS.dtype,
        )
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print(f"{FLAGS.output}: {len(splits.train)} + {len(splits.test)} vectors to train and test on")


if __name__ == "__main__":
    app.run(main)
