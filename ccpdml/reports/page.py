"""One HTML page about a few runs, with everything in it."""

from pathlib import Path

from ccpdml import files
from ccpdml.metrics import gain, names
from ccpdml.reports import cleaned, comparisons, figures, life_cycle, markup, runs, tables

TITLE = "Retrieval results"
CAPTIONS = {
    "learning_curve": "Validation scores and loss; proxies were re-initialized at the dashed lines",
    "covering_radius": "How far a class reaches from its proxies, on average over classes",
    "covering_radii": "How far a class reaches from the best few of its proxies, on average over "
    "classes: those that were trained, and those that replace them",
    "embeddings": "Embeddings of training images and proxies",
    "thresholds": "Test images: what matches within a distance, and with half of the classes "
    "unknown, how often an unknown one is taken for a known one",
    "retrieval": "Test queries, evenly spaced over the classes, and their nearest images",
    "best_queries": "The test queries with the highest average precision at R (AP), one of a class",
    "worst_queries": "The test queries with the lowest average precision at R (AP), one of a class",
    "proxy_births": "The images that proxies were born from; how far each proxy moved until it was "
    "replaced, and the largest distance from an image of its pool that had no nearer proxy",
}
GALLERIES = ("retrieval", "best_queries", "worst_queries", "proxy_births")
BESIDE = "MAP@R beside the published one; the bar is the 95 % confidence interval"
CURVES = "Validation scores of all runs"
FOLD_CURVES = "Validation scores of every run, by the fold that validates"
CORE_SETS = "How far test classes reach from the best few of their images"
NOTE = (
    "Scores are percentages over the queries of classes never trained on, except where a closed "
    "set is named below. ± is half the 95 % confidence interval of the mean (Student's t)."
)
NOTE_UNTRAINED = (
    "Untrained is the MAP@R of what there was before the first step, such as the pooled features "
    "of the backbone, on the same classes; gain is what training has added to it, in points."
)
NOTE_PUBLISHED = (
    "Published are P@1 / P@R / MAP@R of the paper's supplement, Tables 1 and 2, which give no "
    "deviations; the difference is that of MAP@R. A MAP@R "
    f"within {tables.BAND:g} point of theirs counts as reproduced, a larger difference as "
    "undecided if our interval still reaches theirs or there is none."
)
NOTE_FOLDS = (
    "Separated: the mean of the models of all folds, each on its own. Concatenated: their "
    "embeddings side by side, one repeat at a time. Both intervals are over repeats."
)

NOTE_CATEGORIES = (
    "Of the test queries of each category, which search among all categories; those without a "
    "match are not counted. The mean counts every category once."
)
NOTE_LIVES = (
    "Images: how many different ones the proxies were born from. Radius: the largest distance from "
    "an image of the pool that has no nearer proxy, on average over proxies; at the end, in the "
    "pool of their successors. Moved: the distance from birth to the end of the instance. "
    "Distances are those in which k-center picks proxies."
)


def write_report(run_dirs, path, overwrite=False, settings=None, near_duplicates=None):
    """Writes a page that needs no other file, and its table as Markdown and CSV beside it.

    Args:
        run_dirs: directories of finished runs: `results.json`, and where there are any
            `config.gin`, `logs/history.jsonl` and `figures/*.png`; or of cross-validations.
        path: the page, .html; the tables take its name with .md and .csv.
        overwrite: whether files of these three names are replaced.
        settings: function of the name of a gin file of the paper's rows -> its bindings, str by
            name. A run is compared with a published row only if its own are the same; None
            compares nothing.
        near_duplicates: file of `ccpdml check-data --near_duplicates`, of the runs' data, whose
            test scores are shown without them as well; or None.

    Returns:
        The paths of the three files.

    Raises:
        ValueError: if `path` does not end in .html, if no run is given, one is given twice, or one
            is not finished; if `near_duplicates` is of other data, or one is a cross-validation.
        FileExistsError: if one of the files is there and `overwrite` is not set.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"The page must end in .html. Received: {path}")
    paths = (path, path.with_suffix(".md"), path.with_suffix(".csv"))
    files.refuse_existing(*paths, overwrite=overwrite)
    found = runs.read(run_dirs)
    entries = tables.entries(found, settings)
    near = _near_duplicates(found, near_duplicates)
    texts = (_page(found, entries, near), tables.markdown(entries), tables.comma_separated(entries))
    for each, text in zip(paths, texts, strict=True):
        files.write_text(each, text)
    return paths


def _near_duplicates(found, path):
    """Of each run what is known of near-duplicates in its data: (rows of scores, facts)."""
    if path is None:
        return [(None, {}) for _ in found]
    near = cleaned.read(path)
    folds = [item.name for item in found if tables.is_cross_validation(item)]
    if folds:
        raise ValueError(
            "Scores without near-duplicates are those of single runs; give the folders of its runs "
            f"instead of a cross-validation. Received: {folds[0]}"
        )
    about = {"near-duplicates": cleaned.fact(near)}
    return [(cleaned.scores(run, near), about) for run in found]


def _page(found, entries, near):
    columns = tables.columns(entries)
    sections = {f"run-{number}": item for number, item in enumerate(found)}
    targets = {name: item.name for name, item in sections.items()}
    if len(found) > 1:
        targets = {"comparison": "Comparison"} | targets
    body = [
        markup.element("h1", TITLE),
        markup.links(targets),
        markup.table(columns, [tables.cells(entry, columns) for entry in entries]),
        *_beside_published(entries),
        *(markup.element("p", note, "note") for note in _notes(found, entries)),
        *(_comparison(found) if len(found) > 1 else []),
    ]
    for (name, item), known in zip(sections.items(), near, strict=True):
        body += [markup.section(item.name, name), *_about(item, *known)]
    return markup.document(TITLE, body)


def _notes(found, entries):
    yield NOTE
    if any(entry.untrained is not None for entry in entries):
        yield NOTE_UNTRAINED
    if any(entry.published for entry in entries):
        yield NOTE_PUBLISHED
    yield from tables.reasons(entries)
    if any(map(tables.is_cross_validation, found)):
        yield NOTE_FOLDS


def _beside_published(entries):
    if not any(entry.published for entry in entries):
        return []
    return [markup.figures([markup.drawn(comparisons.beside_published, entries, BESIDE)])]


def _comparison(found):
    """Sections about several runs together."""
    histories = {item.name: item.history for item in _single(found) if item.history}
    radii = {r.name: r.results.get("geometry", {}).get("covering_radii") for r in _single(found)}
    pictures = []
    if len(histories) > 1:
        pictures.append(markup.drawn(comparisons.learning_curves, histories, CURVES))
    if any(radii.values()):
        told = {name: values for name, values in radii.items() if values}
        pictures.append(markup.drawn(comparisons.core_set_curve, told, CORE_SETS))
    rows = [
        (name, *(v or "–" for v in values)) for name, values in tables.config_differences(found)
    ]
    heads = ("binding", *(item.name for item in found))
    differences = [
        markup.element("h3", "Where the configurations differ"),
        markup.table(heads, rows, "cards code"),
    ]
    title = markup.section("Comparison", "comparison")
    return [title, markup.figures(pictures), *(differences if rows else [])]


def _single(found):
    return [item for item in found if not tables.is_cross_validation(item)]


def _about(item, cleaned_scores, facts):
    """Section about a run or a cross-validation: pieces of HTML."""
    if tables.is_cross_validation(item):
        return _folds(item)
    return _run(item, cleaned_scores, facts)


def _run(run, cleaned_scores, facts):
    alarms = [markup.element("p", text, "alarm") for text in run.results.get("alarms", [])]
    paths = sorted(run.figures, key=_place)
    curves, galleries = (
        [
            markup.figure(path.read_bytes(), _caption(path.stem), "gallery" if wide else "")
            for path in paths
            if (path.stem in GALLERIES) == wide
        ]
        for wide in (False, True)
    )
    return [
        *alarms,
        _scores(run.results, cleaned_scores),
        *_categories(run.results),
        markup.facts(_facts(run) | facts),
        markup.figures(curves),
        *(_lives(run.lives) if run.lives else _instances(run.history)),
        markup.figures(galleries),
    ]


def _folds(validation):
    """A table of the runs of a cross-validation, and their curves."""
    repeats = validation.results["repeats"]
    rows = []
    for number, run in enumerate(validation.runs):
        scores = [f"{100.0 * run.results['test'][name]:.2f}" for name in tables.METRICS]
        best = str(run.results.get("best_step", ""))
        rows.append([*map(str, divmod(number, repeats)), *scores, best])
    histories = [run.history for run in validation.runs]
    by_fold = [histories[i : i + repeats] for i in range(0, len(histories), repeats)]
    shared = {"folds": validation.results["folds"], "repeats": repeats}
    shared["choices of one repeat per fold"] = _choices(validation.results["concatenated"])
    of_one = ("fold", "seed", "best step", "wall time")
    shared |= _facts(validation.runs[0]) | dict.fromkeys(of_one)
    columns = ["fold", "repeat", *tables.METRICS.values(), "best step"]
    return [
        markup.facts(shared),
        markup.element("h3", "Scores of each run on test classes"),
        markup.table(columns, rows, "narrow"),
        markup.figures([markup.drawn(comparisons.fold_curves, by_fold, FOLD_CURVES)]),
    ]


def _choices(concatenated):
    """MAP@R over all concatenations that were scored, or None where there is no choice."""
    choices = concatenated["map_at_r"].get("choices", {"count": 1})
    if choices["count"] == 1:
        return None
    mean, worst, best = (100.0 * choices[name] for name in ("mean", "worst", "best"))
    return f"MAP@R {mean:.2f} on average over {choices['count']}, {worst:.2f} to {best:.2f}"


def _scores(results, cleaned_scores):
    """A table of test and validation scores, cleaned ones, and what they were before training."""
    untrained = results.get("untrained", {})
    keys = names.present(results["test"])
    rows = []
    for part in ("test", "validation"):
        scores, before = results.get(part), untrained.get(part)
        if scores:
            rows.append(_score_row(part, scores, keys))
        if part == "test" and cleaned_scores is not None:
            rows.append(_score_row("test, cleaned", cleaned_scores, keys))
        if scores and before:
            rows.append(_score_row(f"{part}, untrained", before, keys))
            rows.append(_score_row(f"{part}, difference", gain.gains(scores, before), keys, "+"))
    return markup.table(("", *map(names.label, keys)), rows, "narrow")


def _categories(results):
    """A table of the test scores of each category, if the data tell several."""
    found = results.get("test_by_category")
    if not found:
        return []
    keys = names.present(results["test"])
    means = {key: sum(scores[key] for scores in found.values()) / len(found) for key in keys}
    count = sum(scores["num_queries"] for scores in found.values())
    rows = [
        [row[0], f"{scores.get('num_queries', count):,}", *row[1:]]
        for category, scores in [*found.items(), ("mean of categories", means)]
        for row in [_score_row(category, scores, keys)]
    ]
    return [
        markup.element("h3", "Test scores by category"),
        markup.element("p", NOTE_CATEGORIES, "note"),
        markup.table(("", "queries", *map(names.label, keys)), rows, "narrow"),
    ]


def _score_row(title, scores, keys, sign=""):
    return [title, *(f"{100 * scores[key]:{sign}.2f}" if key in scores else "" for key in keys)]


def _facts(run):
    """Facts about a run, by name; None for those it does not tell."""
    results, ran = run.results, run.ran
    split = results.get("split", {})
    return {
        "data set": results["dataset"],
        **{f"{part} set": _joined(count) for part, count in split.get("counts", {}).items()},
        "backbone": ran.backbone,
        "trained weights": ran.trained_share,
        "embedding size": ran.dim,
        "proxies per class": ran.proxies_per_class,
        "fold": ran.fold,
        "selected on": results.get("selected_on"),
        "untrained": results.get("untrained", {}).get("measured"),
        "seed": ran.seed,
        "steps": results.get("steps"),
        "best step": results.get("best_step"),
        **results.get("versions", {}),
        "wall time": f"{results['wall_seconds']:,.0f} s" if "wall_seconds" in results else None,
    }


def _lives(lives):
    """A table of what became of the proxies of each problem instance."""
    return [
        markup.element("h3", "Life of the proxies"),
        markup.element("p", NOTE_LIVES, "note"),
        markup.table(life_cycle.COLUMNS, life_cycle.table(lives), "narrow"),
    ]


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
        return []
    cells = [[f"{row[key]:.4g}" if key in row else "" for key in columns] for row in rows]
    return [
        markup.element("h3", "Problem instances"),
        markup.table(columns.values(), cells, "narrow"),
    ]


def _caption(stem):
    return CAPTIONS.get(stem, stem.replace("_", " "))


def _place(path):
    """Figures that are known come first, in the order of `CAPTIONS`."""
    known = list(CAPTIONS)
    return known.index(path.stem) if path.stem in known else len(known)


def _joined(values):
    return ", ".join(f"{value} {name}" for name, value in values.items())
