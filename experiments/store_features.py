"""Stores the features that a frozen encoder has of a data set, to train a head on.

python experiments/store_features.py --encoder=runs/characters_pretrain --output=features.npz \
    --gin_file=gin/datasets/characters.gin
python experiments/run.py --gin_file=gin/features_ms.gin --data_root=features.npz
"""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a finished run, or its encoder.keras.")
flags.DEFINE_string("output", None, "The .npz file to write.")
flags.DEFINE_multi_string("gin_file", [], "Gin file of the data set. Repeatable.")
flags.DEFINE_multi_string("gin_bindings", [], "A binding of `data.load`. Repeatable.")
flags.mark_flags_as_required(["encoder", "output", "gin_file"])


def main(_):
    from ccpdml import config, data  # after the flags: --help need not wait for TensorFlow
    from ccpdml.serving import features, image_encoder

    bindings = [*FLAGS.gin_bindings, "data.load.num_folds = 1"]  # Folds are cut when training.
    try:
        config.load(FLAGS.gin_file, bindings, roots=("data.load",), unused="train")
        splits = data.load()
        encoder = image_encoder.load_encoder(FLAGS.encoder)
        features.write(FLAGS.output, encoder, splits.train, splits.test)
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print(f"{FLAGS.output}: {len(splits.train)} + {len(splits.test)} vectors to train and test on")


if __name__ == "__main__":
    app.run(main)
