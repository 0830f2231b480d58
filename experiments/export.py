"""Exports a trained encoder for programs without this library, and checks what came out.

ccpdml export --encoder=runs/folder_ms --output=exported --gallery=photos.npz
ccpdml export --encoder=runs/features_ms --features=features --format=keras --output=whole

exported/saved_model takes the bytes of image files: the signature "serving_default" gives their
embeddings, "search" the nearest images of the gallery, "match" (--threshold) the class of the
nearest or "unknown". encoder.onnx and encoder.tflite take
preprocessed images; encoder.json says how these are made. encoder.keras is for this library.
"""

from absl import app, flags, logging

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("encoder", None, "Directory of a run, or encoder.keras.", required=True)
flags.DEFINE_string("output", None, "Directory to make.", required=True)
flags.DEFINE_multi_enum(
    "format",
    ["saved_model", "tflite"],
    ["saved_model", "onnx", "tflite", "keras"],
    "What. Repeatable.",
)
flags.DEFINE_string(
    "features",
    None,
    "Folder of store_features.py, if --encoder was trained on it: both make one encoder.",
)
flags.DEFINE_string("gallery", None, "A file of embed.py, to search in the SavedModel.")
flags.DEFINE_integer(
    "k",
    None,
    "Images that the search finds. Default: 10, or all of a smaller gallery.",
    lower_bound=1,
)
flags.DEFINE_string(
    "threshold",
    None,
    'Distance or file of calibrate.py: the signature "match" gives the class or "unknown".',
)
flags.DEFINE_integer(
    "version", None, "Folder below saved_model/, for TensorFlow Serving.", lower_bound=1
)
flags.DEFINE_float(
    "tolerance",
    None,
    "Largest difference allowed. Default: 1e-5; 1e-4 converted, 2e-2 of a network in 16 bits.",
)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    quiet.import_tensorflow()
    from ccpdml import serving  # after the flags: --help need not wait for TensorFlow

    logging.set_verbosity(logging.WARNING)  # The converters tell every step.
    try:
        if FLAGS.features:
            encoder = serving.features.with_head(FLAGS.features, FLAGS.encoder)
        else:
            encoder = serving.load_encoder(FLAGS.encoder)
        gallery = serving.read_embeddings(FLAGS.gallery) if FLAGS.gallery else None
        threshold = serving.threshold_of(FLAGS.threshold) if FLAGS.threshold else None
        differences = serving.export(
            *(encoder, FLAGS.output, FLAGS.format, gallery),
            *(FLAGS.k, FLAGS.tolerance, FLAGS.version, threshold),
        )
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    for name, difference in differences.items():
        print(f"{name}: largest difference from the encoder {difference:.2e}")
    print(FLAGS.output)


if __name__ == "__main__":
    app.run(main)
