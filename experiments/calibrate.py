"""Finds the distances within which two images are of one class, and how sure that is.

ccpdml calibrate --embeddings=photos.npz --output=thresholds.json
ccpdml calibrate --encoder=runs/folder_ms

The images must be of classes that the encoder was not trained on: those of a file of embed.py, or
the test images of a run. Beside the file goes a figure, .png; those of a run go into its directory,
where `ccpdml report` finds the figure. `ccpdml search` and `ccpdml export` take the file as their
--threshold, of which the first threshold counts, or the one named behind @.
"""

from pathlib import Path

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("embeddings", None, "A file of embed.py, of images whose classes are known.")
flags.DEFINE_string("encoder", None, "Directory of a finished run: its test images are taken.")
flags.DEFINE_multi_float(
    "false_match_rate",
    [0.01],
    "Find the threshold at which so many pairs of different classes match. Repeatable.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_multi_float(
    "precision",
    [],
    "Find the threshold at which so many matches are of one class. Repeatable.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_bool("best_f1", True, "Find the threshold of the best F1 too.")
flags.DEFINE_integer(
    "num_new_classes",
    None,
    "Classes that the intervals are for. Default: as many as there are.",
    lower_bound=2,
)
flags.DEFINE_float("confidence", 0.95, "Of the intervals.", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_string(
    "output",
    None,
    "The file; the figure goes beside it as .png. Default: thresholds.json; with --encoder in the "
    "directory of the run, and the figure among its figures.",
)
flags.DEFINE_bool("overwrite", False, "Replace the file and the figure if they are there.")


def places():
    """Paths of the file and of the figure."""
    if FLAGS.encoder and not FLAGS.output:
        run = Path(FLAGS.encoder).expanduser()
        return run / "thresholds.json", run / "figures" / "thresholds.png"
    output = Path(FLAGS.output or "thresholds.json").expanduser()
    return output, output.with_suffix(".png")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}.")
    quiet.import_tensorflow()
    from ccpdml import files, serving  # after the flags: --help need not wait for TensorFlow

    output, figure = places()
    try:
        if output.suffix != ".json":
            raise ValueError(f"--output must end in .json. Received: {output}")
        if (FLAGS.embeddings is None) == (FLAGS.encoder is None):
            raise ValueError("Give --embeddings or --encoder, and not both.")
        files.refuse_existing(output, figure, overwrite=FLAGS.overwrite)
        if FLAGS.embeddings:
            embeddings = serving.read_embeddings(FLAGS.embeddings)
        else:
            embeddings = serving.test_embeddings(FLAGS.encoder)
        thresholds = serving.calibrate(
            embeddings,
            false_match_rate=FLAGS.false_match_rate,
            precision=FLAGS.precision,
            best_f1=FLAGS.best_f1,
            num_new_classes=FLAGS.num_new_classes,
            confidence=FLAGS.confidence,
        )
        opened = serving.calibration.draw(embeddings, thresholds, figure)
        thresholds.save(output)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print("\n".join(thresholds.table()))
    print(
        f"With half of the classes unknown, AUROC {100 * opened.auroc:.2f} % "
        f"({opened.gallery_size} images in the gallery)."
    )
    print(f"{output}, {figure}")


if __name__ == "__main__":
    app.run(main)
