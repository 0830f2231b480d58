"""One HTML page about a few runs, with everything in it."""

import base64
import html
import tempfile
from pathlib import Path

from ccpdml.reports import figures, runs, tables

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .3rem 1.2rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #eee; }
th, figcaption, .note { color: #666; font-weight: 400; }
.number { text-align: right; white-space: nowrap; }
.words .number { text-align: left; white-space: normal; }
.good { color: #00704f; font-weight: 600; }
.bad { color: #b04a00; font-weight: 600; }
figure { display: inline-block; max-width: min(100%, 36rem); margin: 1rem 1rem 1rem 0;
  vertical-align: top; }
img { max-width: 100%; }
"""
VERDICTS = {"reproduced": "good", "better": "good", "worse": "bad"}
CAPTIONS = {
    "learning_curve": "Validation scores and loss; proxies were re-initialized at the dashed lines",
    "covering_radius": "How far a class reaches from its proxies",
    "embeddings": "Embeddings of training images and proxies",
    "retrieval": "Test queries and their nearest images",
}
CURVES = "Validation scores of all runs"
CORE_SETS = "How far test classes reach from the best few of their images"
NOTE = (
    "Scores are percentages over the queries of classes never trained on. ± is half the 95 % "
    "confidence interval of the mean over runs (Student's t). Published numbers: supplement of the "
    "paper, Tables 1 and 2, which give no deviations; a MAP@R within "
    f"{tables.BAND:g} point of theirs counts as reproduced, a larger difference as undecided if "
    "our interval still reaches theirs."
)


def write_report(run_dirs, path):
    """Writes a page that needs no other file, and its table as Markdown and CSV beside it.

    Args:
        run_dirs: directories of finished runs: `results.json`, and where there are any
            `config.gin`, `logs/history.jsonl` and `figures/*.png`.
        path: the page, .html; the tables take its name with .md and .csv.

    Raises:
        ValueError: if no run is given, one is given twice, or one is not finished.
    """
    path, all_runs = Path(path), runs.read(run_dirs)
    entries = tables.entries(all_runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(all_runs, entries), encoding="utf-8")
    path.with_suffix(".md").write_text(tables.markdown(entries), encoding="utf-8")
    path.with_suffix(".csv").write_text(tables.comma_separated(entries), encoding="utf-8")


def _page(all_runs, entries):
    body = [
        "<h1>Retrieval results</h1>",
        _table(tables.COLUMNS, map(tables.cells, entries)),
        f'<p class="note">{html.escape(NOTE)}</p>',
        *_comparison(all_runs),
        *map(_run, all_runs),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Retrieval results</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _comparison(all_runs):
    """Sections about several runs together."""
    drawn = [
        (figures.learning_curves, {r.name: r.history for r in all_runs if r.history}, CURVES),
        (figures.core_set_curve, _core_set_radii(all_runs), CORE_SETS),
    ]
    pictures = [_drawn(draw, values, caption) for draw, values, caption in drawn if values]
    differences = tables.config_differences(all_runs)
    rows = [(name, *values) for name, values in differences]
    table = _table(("binding", *(run.name for run in all_runs)), rows, "words")
    return ["<h2>Comparison</h2>", *pictures, *([table] if rows else [])]


def _core_set_radii(all_runs):
    radii = {run.name: run.results.get("geometry", {}).get("covering_radii") for run in all_runs}
    return {name: values for name, values in radii.items() if values}


def _run(run):
    """The section about one run."""
    facts = _table(("", ""), _facts(run.results), "words")
    alarms = [f'<p class="bad">{html.escape(text)}</p>' for text in run.results.get("alarms", [])]
    pictures = [_figure(path.read_bytes(), _caption(path.stem)) for path in run.figures]
    return "\n".join(
        [f"<h2>{html.escape(run.name)}</h2>", *alarms, facts, *pictures, _instances(run.history)]
    )


def _facts(results):
    """Rows of what a run was, leaving out what it does not tell."""
    split = results.get("split", {})
    facts = {
        "data set": results["dataset"],
        **{f"{part} set": _joined(count) for part, count in split.get("counts", {}).items()},
        "fold": split.get("fold"),
        "selected on": results.get("selected_on"),
        "seed": results.get("seed"),
        "steps": results.get("steps"),
        "best step": results.get("best_step"),
        "test scores": _percent(results["test"]),
        "validation scores": _percent(results.get("validation", {})),
        **results.get("versions", {}),
        "wall time": f"{results['wall_seconds']:,.0f} s" if "wall_seconds" in results else None,
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _instances(history):
    """A table of the re-initializations of the proxies."""
    columns = {
        "step": "step",
        "covering_radius_before": "covering radius before",
        "covering_radius_after": "after",
        "proxy_displacement": "proxies moved by",
        "padded_classes": "padded classes",
    }
    rows = figures.reinitializations(history)
    if not rows:
        return ""
    cells = [[f"{row[key]:.4g}" if key in row else "" for key in columns] for row in rows]
    return "<h3>Problem instances</h3>" + _table(columns.values(), cells)


def _drawn(draw, values, caption):
    """A figure that `draw(values, path)` makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(values, path)
        return _figure(path.read_bytes(), caption)


def _figure(data, caption):
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    caption = html.escape(caption)
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def _caption(stem):
    return CAPTIONS.get(stem, stem.replace("_", " "))


def _table(columns, rows, kind="numbers"):
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return f'<div class="wide"><table class="{kind}"><tr>{head}</tr>{"".join(lines)}</table></div>'


def _cell(text):
    kind = "number" if text[:1] in set("+-0123456789") else VERDICTS.get(text, "")
    return f'<td class="{kind}">{html.escape(text)}</td>'


def _joined(values):
    return ", ".join(f"{value} {name}" for name, value in values.items())


def _percent(scores):
    named = {tables.METRICS.get(name, name): score for name, score in scores.items()}
    return ", ".join(f"{name} {100 * score:.2f} %" for name, score in named.items())
