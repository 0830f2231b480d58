"""Writes a page about finished runs, beside the paper's published numbers.

ccpdml report runs/glyphs_ms runs/glyphs_ms_base

A cross-validation of a row's own gin file, on data with the published counts, is compared with that
row; of anything else the page says why it is not.
"""

from absl import app, flags

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_string("path", "report.html", "The page; tables go beside it as .md and .csv.")
flags.DEFINE_bool("overwrite", False, "Replace these files if they are there.")
flags.DEFINE_string(
    "drop_near_duplicates",
    None,
    "File of `check-data --near_duplicates`: shows the test scores without them beside the others.",
)


def row_settings(name):
    """The bindings of a gin file of the paper's rows, as a run of it has them."""
    import gin

    from ccpdml import config, training  # noqa: F401, makes its names known to gin
    from ccpdml.reports import runs

    gin.clear_config()
    config.load([config.RUN_FILES / name])
    return runs.bindings_of(config.text())


def main(argv):
    quiet.import_tensorflow()
    from ccpdml.reports import page  # after the flags: --help need not wait for TensorFlow

    try:
        paths = page.write_report(
            argv[1:], FLAGS.path, FLAGS.overwrite, row_settings, FLAGS.drop_near_duplicates
        )
    except (ValueError, OSError) as error:
        raise SystemExit(f"ERROR: {error}") from None
    print(*paths, sep=", ")


if __name__ == "__main__":
    app.run(main)
