"""Writes the model card of a finished run, README.md, into its directory.

ccpdml model-card --run_dir=runs/folder_ms --license=mit --backbone_license=apache-2.0
ccpdml model-card --run_dir=runs/folder_ms --upload=hf://me/birds

It has the data, the protocol, the scores beside those before training, the licenses and how to load
the encoder. With --upload encoder and card go to the Hugging Face Hub, whose account its own tool,
`hf auth login`, asks for; this needs Keras 3 and the extra `huggingface`.
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "Directory of a finished run.", required=True)
flags.DEFINE_string("license", "unknown", "Of the encoder, as hubs name it.")
flags.DEFINE_string("backbone_license", "unknown", "Of the weights that training began with.")
flags.DEFINE_string("intended_use", None, "A paragraph. Default: a general one.")
flags.DEFINE_string("upload", None, "hf://<account>/<name>: where encoder and card go.")
flags.DEFINE_bool("overwrite", False, "Replace a card that is there.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    quiet.import_tensorflow()
    from ccpdml import serving  # after the flags: --help need not wait for TensorFlow
    from ccpdml.reports import card

    try:
        if FLAGS.upload:
            serving.hugging_face.check(FLAGS.upload)
        path = card.write(
            FLAGS.run_dir,
            license=FLAGS.license,
            backbone_license=FLAGS.backbone_license,
            intended_use=FLAGS.intended_use or card.INTENDED_USE,
            place=FLAGS.upload,
            overwrite=FLAGS.overwrite,
        )
        print(path)
        if FLAGS.upload:
            encoder = serving.load_encoder(FLAGS.run_dir)
            print(serving.hugging_face.upload(encoder, FLAGS.upload, path.read_text()))
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None


if __name__ == "__main__":
    app.run(main)
