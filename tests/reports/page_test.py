"""Report pages from made-up run directories."""

import csv
import html.parser
import io
import json
import pathlib
import shutil
import subprocess

import gin
import pytest
from PIL import Image

from ccpdml import config, training  # noqa: F401, makes its names known to gin
from ccpdml.reports import comparable, page, published, runs, statements, tables
from tests import programs
from tests.reports import life_cycle_test

ROOT = pathlib.Path(__file__).parents[2]


def make_run(directory, map_at_r=0.48, seed=0, config="", **results):
    """A run directory as `experiments/run.py` leaves it."""
    (directory / "logs").mkdir(parents=True)
    (directory / "figures").mkdir()
    scores = {"precision_at_1": 0.758, "r_precision": 0.5, "map_at_r": map_at_r}
    given = {
        "dataset": "sop",
        "method": "ChanceConstrainedLoss",
        "loss": "MultiSimilarityLoss",
        "test": scores,
        "validation": scores,
        "seed": seed,
        "split": {
            "fold": 0,
            "counts": {"test": {"images": 60502, "classes": 11316}},
            "counts_verified": True,
        },
        "selected_on": "validation classes",
        "versions": {"tensorflow": "2.21.0"},
        "wall_seconds": 1234.5,
    }
    (directory / "results.json").write_text(json.dumps(given | results))
    rows = [
        {"step": 25, "val_map_at_r": 0.3, "loss": 1.0},
        {
            "step": 50,
            "val_map_at_r": 0.4,
            "loss": 0.9,
            "covering_radius_before": 0.9,
            "covering_radius_after": 0.71828,
        },
    ]
    (directory / "logs" / "history.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (directory / "config.gin").write_text(f"# Parameters\ntrain.seed = {seed}\n{config}")
    Image.new("RGB", (40, 30), "white").save(directory / "figures" / "learning_curve.png")
    return directory


class Page(html.parser.HTMLParser):
    """What a browser would find: open tags, text, and addresses of other files."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.sources, self.links, self.names = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name == "src"]
        self.links += [value for name, value in attrs if name == "href"]
        self.names += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def entry_of(*directories):
    (entry,) = tables.entries(runs.read(directories))
    return entry


def test_published_numbers_give_the_gains_over_the_base_losses():
    gains = {
        ("sop", "C1"): 12.48, ("sop", "C2"): 5.25, ("sop", "MS"): 7.75, ("sop", "Triplet"): 2.30,
        ("inshop", "C1"): 9.52, ("inshop", "C2"): 1.65, ("inshop", "MS"): 2.94,
        ("inshop", "Triplet"): 3.68, ("cub", "C1"): 4.03, ("cub", "C2"): 1.55, ("cub", "MS"): 3.29,
        ("cub", "Triplet"): 1.10, ("cars", "C1"): 4.82, ("cars", "C2"): 1.54, ("cars", "MS"): 2.91,
        ("cars", "Triplet"): 2.10,
    }  # fmt: skip
    for (dataset, loss), gain in gains.items():
        base = published.find(dataset, loss, dim=512)["map_at_r"]
        ccp = published.find(dataset, f"{loss}-CCP-L", dim=512)["map_at_r"]
        assert ccp - base == pytest.approx(gain)


def test_every_published_row_is_plausible():
    assert len(published.rows()) == 110
    for row in published.rows():
        assert 100.0 > row["precision_at_1"] > row["r_precision"] > row["map_at_r"] > 10.0


@pytest.mark.parametrize(
    ("results", "config", "name"),
    [
        ({"method": "ChanceConstrainedLoss", "loss": "ContrastiveLoss"}, {}, "C2-CCP-L"),
        ({"method": "BatchPairs", "loss": "TripletLoss"}, {}, "Triplet"),
        ({"method": "CrossBatchMemory", "loss": "CosineContrastiveLoss"}, {}, "C1-XBM-L"),
        ({"method": "ProxyAnchorLoss", "loss": "NoneType"}, {}, "ProxyAnchor"),
        ({"method": "MS-CCP-L"}, {}, "MS-CCP-L"),
        (
            {"method": "ChanceConstrainedLoss", "loss": "ContrastiveLoss"},
            {"ProxyReinitialization.max_instances": "1"},
            "C2, static proxies",
        ),
    ],
)
def test_method_names(results, config, name):
    assert published.method_name(statements.of(results, config)) == name


def test_soft_triple_finds_the_variant_of_the_data_set():
    assert published.find("sop", "SoftTriple", 128)["method"] == "SoftTriple-S"
    assert published.find("cub", "SoftTriple", 128)["method"] == "SoftTriple-L"
    assert published.find("digits", "SoftTriple", 128) is None


def of_row(file):
    """The bindings of any row's gin file, made up; those of `make_folds` are the same."""
    return {"load.name": "'cub'", "a.b": "1"}


@pytest.mark.parametrize(
    ("map_at_r", "repeats", "verdict"),
    [
        (0.2169, 2, "reproduced"),  # published: 22.40
        (0.26, 2, "better"),
        (0.18, 2, "worse"),
        (0.23, 1, "reproduced"),
        (0.26, 1, "undecided"),  # no interval
        (0.205, 2, "undecided"),  # half an interval of 2 points
    ],
)
def test_verdict_of_a_cross_validation(tmp_path, map_at_r, repeats, verdict):
    folds = make_folds(tmp_path / "folds", repeats=repeats, map_at_r=map_at_r)
    apart, _ = tables.entries(runs.read([folds]), of_row)
    theirs = published.find("cub", "MS-CCP-L", 128)["map_at_r"]
    assert apart.difference == pytest.approx(100 * map_at_r - theirs)
    assert apart.verdict == verdict


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"config": "a.b = 2\n"}, "`a.b` is 2, in cub_ms.gin 1"),
        ({"config": ""}, "`a.b` is not bound, in cub_ms.gin 1"),
        ({"config": "a.b = 1\nc.d = 3\n"}, "`c.d` is 3, in cub_ms.gin not bound"),
        ({"split": {"counts_verified": False}}, "data.load.verify_counts"),
        ({"split": {}}, "data.load.verify_counts"),
        ({"fold_definition": "mlrc"}, "folds are 4 of the definition 'mlrc'"),
        ({"selected_on": "test classes"}, "selected on test classes"),
        ({"split": {"closed_set": True}}, "were trained on (a closed set)"),
    ],
)
def test_what_is_no_run_of_the_row_gets_no_verdict_but_a_reason(tmp_path, changes, why):
    folds = make_folds(tmp_path / "folds", **changes)
    entry, _ = tables.entries(runs.read([folds]), of_row)
    assert (entry.verdict, entry.published, entry.difference) == ("not comparable", None, None)
    assert why in "; ".join(entry.obstacles)
    page.write_report([folds], tmp_path / "report.html", settings=of_row)
    (row, _) = csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text()))
    assert why in row["why"]
    assert row["map_at_r_published"] == row["difference"] == ""
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        text = " ".join(Page(text).text) if name.endswith("html") else text
        assert why in text
        assert "not comparable" in text


def test_a_single_run_is_not_the_protocol_of_the_paper(tmp_path):
    run = make_run(tmp_path / "a", dim=128, config="load.name = 'cub'\na.b = 1\n", dataset="cub")
    (entry,) = tables.entries(runs.read([run]), of_row)
    (why,) = entry.obstacles
    assert "a model of one fold, published are 4 models" in why


def test_without_the_settings_of_the_row_nothing_is_compared(tmp_path):
    (entry, _) = tables.entries(runs.read([make_folds(tmp_path / "folds")]))
    assert entry.obstacles == ("the settings of cub_ms.gin are not at hand",)


def test_where_a_run_lies_and_which_it_is_are_no_settings(tmp_path):
    free = "".join(f"{name} = 1\n" for name in sorted(comparable.FREE - {"train.seed"}))
    folds = make_folds(tmp_path / "folds", config=f"a.b = 1\n{free}")
    assert tables.entries(runs.read([folds]), of_row)[0].verdict == "reproduced"


def test_every_published_row_names_its_gin_file():
    for row in published.rows():
        assert (ROOT / "gin" / row["file"]).is_file(), row
        assert row["file"].startswith(f"{row['dataset']}_"), row


def test_what_the_command_takes_for_the_settings_of_a_row_is_what_a_run_keeps(tmp_path):
    with programs.imported("report.py") as program:
        found = program["row_settings"]("cub_ms.gin")
    assert found["load.name"] == "'cub'"
    gin.clear_config()
    config.load([ROOT / "gin" / "cub_ms.gin"], ["data.load.fold = 2", "train.seed = 6"])
    kept = runs.bindings_of(config.text())
    gin.clear_config()
    assert {name for name in kept if kept[name] != found.get(name)} <= comparable.FREE


def test_a_size_that_nothing_tells_is_not_guessed(tmp_path):
    assert entry_of(make_run(tmp_path / "a")).dim is None
    assert entry_of(make_run(tmp_path / "b", dim=64)).dim == 64
    bound = make_run(tmp_path / "c", config="build_encoder.embedding_size = 32\n")
    assert entry_of(bound).dim == 32


def test_runs_that_differ_in_the_seed_are_averaged_with_an_interval(tmp_path):
    directories = [
        make_run(tmp_path / f"{seed}", value, seed) for seed, value in enumerate((0.44, 0.45, 0.46))
    ]
    entry = entry_of(*directories)
    assert entry.means["map_at_r"] == pytest.approx(45.0)
    # Student's t for 2 degrees of freedom is 4.3027; the deviation is 1, of 3 runs.
    assert entry.margins["map_at_r"] == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert "45.00 ± 2.48" in tables.markdown([entry])


def test_runs_on_different_data_are_separate_rows(tmp_path):
    splits = [{"data": {"parts": {"test": {"digest": digest}}}} for digest in ("12", "34")]
    directories = [make_run(tmp_path / f"{i}", seed=i, split=s) for i, s in enumerate(splits)]
    assert len(tables.entries(runs.read(directories))) == 2


def test_runs_of_different_configurations_are_separate_rows(tmp_path):
    first = make_run(tmp_path / "a", config="ProxyReinitialization.patience = 3\n")
    second = make_run(tmp_path / "b", config="ProxyReinitialization.patience = 9\n")
    assert len(tables.entries(runs.read([first, second]))) == 2
    rows = tables.config_differences(runs.read([first, second]))
    assert rows == [("ProxyReinitialization.patience", ["3", "9"])]


def test_long_bindings_are_read_as_one(tmp_path):
    config = "load.name = \\\n    'sop'\nsmall_cnn.filters = (32,\n                     64)\n"
    (run,) = runs.read([make_run(tmp_path / "a", config=config)])
    assert run.config["load.name"] == "'sop'"
    assert run.config["small_cnn.filters"] == "(32, 64)"


def test_a_page_needs_no_other_file_and_closes_its_tags(tmp_path):
    first = make_run(tmp_path / "one", config="a.b = '<script>'\n")
    second = make_run(
        tmp_path / "two", method="BatchPairs", geometry={"covering_radii": [2.0, 1.0]}
    )
    page.write_report([first, second], tmp_path / "out" / "report.html")
    found = Page((tmp_path / "out" / "report.html").read_text())
    text = " ".join(found.text)
    assert found.open == []
    assert len(found.sources) == 4  # one of each run, learning curves, core-set curve
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert [link.removeprefix("#") for link in found.links] == found.names
    for expected in ("MS-CCP-L", "60502 images", "0.7183", "'<script>'", "1,234 s"):
        assert expected in text


def test_tables_beside_the_page(tmp_path):
    folds = make_folds(tmp_path / "folds")
    page.write_report([folds], tmp_path / "report.html", settings=of_row)
    row, _ = csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text()))
    assert float(row["map_at_r"]) == pytest.approx(22.15)
    assert float(row["map_at_r_published"]) == published.find("cub", "MS-CCP-L", 128)["map_at_r"]
    assert (row["verdict"], row["why"]) == ("reproduced", "")
    assert (tmp_path / "report.md").read_text().count("\n") == 4


def test_the_life_of_proxies_is_told(tmp_path):
    run = make_run(tmp_path / "one")
    for number in range(2):
        life_cycle_test.write(run / "logs" / "proxies", number, 450 * number, with_old=number > 0)
    page.write_report([run], tmp_path / "report.html")
    text = " ".join(Page((tmp_path / "report.html").read_text()).text)
    assert "Life of the proxies" in text
    assert "replaced at" in text


def test_alarms_are_shown(tmp_path):
    run = make_run(tmp_path / "one", alarms=["All images are embedded at nearly the same point."])
    page.write_report([run], tmp_path / "report.html")
    assert "nearly the same point" in (tmp_path / "report.html").read_text()


UNTRAINED = {
    "measured": "the pooled features of the backbone (cosine)",
    "test": {"precision_at_1": 0.7, "r_precision": 0.4, "map_at_r": 0.5},
    "validation": {"precision_at_1": 0.7, "r_precision": 0.4, "map_at_r": 0.125},
}


def test_scores_stand_beside_those_before_training(tmp_path):
    run, older = make_run(tmp_path / "one", untrained=UNTRAINED), make_run(tmp_path / "two", seed=7)
    page.write_report([run], tmp_path / "report.html")
    text = " ".join(Page((tmp_path / "report.html").read_text()).text)
    for expected in ("test, untrained", "-2.00", "validation, difference", "+35.50", "+5.80"):
        assert expected in text
    assert UNTRAINED["measured"] in text
    assert page.NOTE_UNTRAINED in text
    table = (tmp_path / "report.md").read_text()
    assert "| MAP@R | untrained | gain |" in table
    assert "| 48.00 | 50.00 | -2.00 |" in table
    (row,) = csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text()))
    assert float(row["map_at_r_untrained"]) == pytest.approx(50.0)
    assert float(row["map_at_r_gain"]) == pytest.approx(-2.0)
    # A mean over some of the runs would be that of other runs.
    (entry,) = tables.entries(runs.read([run, older]))
    assert (entry.count, entry.untrained, entry.gain) == (2, None, None)
    page.write_report([older], tmp_path / "older.html")
    assert "untrained" not in (tmp_path / "older.html").read_text().lower()


def test_models_of_folds_stand_beside_what_they_were_and_their_concatenation_does_not(tmp_path):
    folds = make_folds(tmp_path / "folds", untrained=UNTRAINED)
    apart, together = tables.entries(runs.read([folds]))
    assert apart.untrained == pytest.approx(50.0)
    assert together.untrained is None
    assert tables.cells(together, tables.columns([apart, together]))[7:9] == ["", ""]


def test_a_run_that_is_not_trained_is_refused(tmp_path):
    run = make_run(tmp_path / "one", trained=False)
    with pytest.raises(ValueError, match=r"results.json has the scores before training only"):
        page.write_report([run], tmp_path / "report.html")


def test_a_run_with_results_only(tmp_path):
    run = make_run(tmp_path / "one")
    for part in ("logs", "figures"):
        shutil.rmtree(run / part)
    (run / "config.gin").unlink()
    page.write_report([run], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "48.00" in text  # MAP@R
    assert page.CAPTIONS["learning_curve"] not in text


def test_tables_beside_the_page_replace_nothing_unless_asked(tmp_path):
    run = make_run(tmp_path / "one")
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"README\.md: there already"):
        page.write_report([run], tmp_path / "README.html")
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "README.html").exists()
    written = page.write_report([run], tmp_path / "README.html", overwrite=True)
    assert [path.name for path in written] == ["README.html", "README.md", "README.csv"]
    assert "mine" not in (tmp_path / "README.md").read_text()
    with pytest.raises(ValueError, match="must end in .html"):
        page.write_report([run], tmp_path / "README.md", overwrite=True)


def test_bad_run_directories_are_named(tmp_path):
    with pytest.raises(ValueError, match="At least one"):
        page.write_report([], tmp_path / "report.html")
    with pytest.raises(ValueError, match="results.json.*Received:.*nowhere"):
        page.write_report([tmp_path / "nowhere"], tmp_path / "report.html")
    run = make_run(tmp_path / "one")
    with pytest.raises(ValueError, match="given once"):
        page.write_report([run, run], tmp_path / "report.html")


def make_folds(
    directory,
    folds=4,
    repeats=2,
    dataset="cub",
    map_at_r=0.2215,
    config="a.b = 1\n",
    fold_definition="ccp",
    **results_of_runs,
):
    """A directory as `experiments/cross_validate.py` leaves it."""
    for fold in range(folds):
        for repeat in range(repeats):
            place = directory / f"fold_{fold}_repeat_{repeat}"
            text = f"load.fold = {fold}\nload.name = '{dataset}'\n{config}"
            given = {"dataset": dataset, "best_step": 50} | results_of_runs
            make_run(place, seed=repeat, config=text, **given)

    def summary(mean):
        low, high = (None, None) if repeats == 1 else (mean - 0.02, mean + 0.02)
        choices = {"mean": mean, "std": 0.01, "best": 0.7, "worst": 0.2, "count": repeats**folds}
        interval = {"low": low, "high": high, "count": repeats}
        return {"mean": mean, "std": 0.01, "choices": choices} | interval

    scores = {"separated": (0.55, 0.33, map_at_r), "concatenated": (0.65, 0.37, 0.29)}
    results = {
        kind: dict(zip(tables.METRICS, map(summary, means), strict=True))
        for kind, means in scores.items()
    }
    methods = {"method": "ChanceConstrainedLoss", "loss": "MultiSimilarityLoss"}
    results |= methods | {"dataset": dataset, "folds": folds, "repeats": repeats}
    results |= {"dim": 128, "fold_definition": fold_definition}
    (directory / "results.json").write_text(json.dumps(results))
    return directory


def test_a_cross_validation_is_compared_apart_and_together(tmp_path):
    (validation,) = runs.read([make_folds(tmp_path / "folds")])
    apart, together = tables.entries([validation], of_row)
    assert [run.name for run in validation.runs[:3]] == [
        "fold_0_repeat_0",
        "fold_0_repeat_1",
        "fold_1_repeat_0",
    ]
    assert (apart.dim, apart.published["map_at_r"]) == (
        128,
        published.find("cub", "MS-CCP-L", 128)["map_at_r"],
    )
    assert (together.dim, together.published["map_at_r"]) == (
        512,
        published.find("cub", "MS-CCP-L", 512)["map_at_r"],
    )
    assert apart.means["map_at_r"] == pytest.approx(22.15)
    assert apart.margins["map_at_r"] == pytest.approx(2.0)
    assert together.difference == pytest.approx(29.0 - together.published["map_at_r"])


def test_folds_of_another_number_have_nothing_to_be_compared_with(tmp_path):
    _, together = tables.entries(runs.read([make_folds(tmp_path / "folds", folds=2, repeats=1)]))
    assert (together.dim, together.published, together.margins["map_at_r"]) == (256, None, None)


def test_the_page_of_a_cross_validation_shows_its_runs(tmp_path):
    other = make_run(tmp_path / "one")
    given = [make_folds(tmp_path / "folds"), other]
    page.write_report(given, tmp_path / "report.html", settings=of_row)
    found = Page((tmp_path / "report.html").read_text())
    text = " ".join(found.text)
    assert text.count("22.15 ± 2.00") == 1
    for expected in ("folds, concatenated", "over 16, 20.00 to 70.00", "repeat", "MS-CCP-L"):
        assert expected in text
    # MAP@R beside the published one, curves of the folds, and the figure of the run.
    assert len(found.sources) == 3
    rows = (tmp_path / "report.csv").read_text().splitlines()
    assert len(rows) == 4


def test_an_unfinished_fold_is_named(tmp_path):
    folds = make_folds(tmp_path / "folds")
    (folds / "fold_2_repeat_1" / "results.json").unlink()
    with pytest.raises(ValueError, match="fold_2_repeat_1"):
        runs.read([folds])


def browse(page_path, *arguments):
    """Opens a page in Chromium; returns what that prints."""
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={page_path.parent / 'profile'}", *arguments, page_path.as_uri()),
    ]
    return subprocess.run(command, check=True, capture_output=True, timeout=120, text=True).stdout


needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")


@needs_browser
def test_a_browser_lays_the_page_out(tmp_path):
    page.write_report([make_run(tmp_path / "one")], tmp_path / "report.html")
    picture_path = tmp_path / "page.png"
    browse(tmp_path / "report.html", "--window-size=900,1400", f"--screenshot={picture_path}")
    picture = Image.open(picture_path).convert("L")
    assert picture.size == (900, 1400)
    darkest = [picture.crop((0, y, 900, y + 100)).getextrema()[0] for y in range(0, 600, 100)]
    assert max(darkest) < 128  # text or figure in every stripe of the upper part


@needs_browser
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out_of_the_page_on_a_phone_or_a_desk(tmp_path, width):
    config = f"train.criterion = {'@a_long_name_without_a_break' * 9}\nload.name = {'word ' * 99}\n"
    run_dirs = [make_run(tmp_path / "one", config=config), make_run(tmp_path / "other" / "run")]
    Image.new("RGB", (1200, 700)).save(run_dirs[0] / "figures" / "retrieval.png")
    page.write_report([*run_dirs, make_folds(tmp_path / "folds")], tmp_path / "report.html")
    # A window cannot be as narrow as a phone, a frame can.
    tell = "parent.postMessage(innerWidth + ' ' + document.documentElement.scrollWidth, '*')"
    text = (tmp_path / "report.html").read_text()
    (tmp_path / "told.html").write_text(text.replace("</body>", f"<script>{tell}</script></body>"))
    (tmp_path / "frame.html").write_text(
        f"<iframe src='told.html' width={width} height=800 style='border: 0'></iframe>"
        "<script>onmessage = event => { document.title = event.data }</script>"
    )
    found = browse(tmp_path / "frame.html", "--dump-dom", "--virtual-time-budget=5000")
    assert f"<title>{width} {width}</title>" in found


def test_the_command_writes_the_page(tmp_path):
    programs.run("report.py", f"--path={tmp_path / 'r.html'}", make_run(tmp_path / "one"))
    assert (tmp_path / "r.html").is_file()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", "[]"),
        ("results.json", '{"test": '),
        ("results.json", '{"test": {"map_at_r": null}}'),
        ("logs/history.jsonl", "[]\n"),
        ("logs/history.jsonl", '{"step": 1'),
        ("logs/proxies/end.npz", "PK"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, name, content):
    run = make_run(tmp_path / "run")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}.*: expected .*Remove ") as caught:
        runs.read([run])
    assert "\n" not in str(caught.value)


def test_scores_by_category_are_a_table_with_the_mean_that_counts_each_once(tmp_path):
    scores = {"precision_at_1": 0.5, "r_precision": 0.25, "map_at_r": 0.125}
    found = {"chair": scores | {"num_queries": 1200}, "<lamp>": dict.fromkeys(scores, 1.0)}
    found["<lamp>"]["num_queries"] = 30
    run = make_run(tmp_path / "run", test_by_category=found)
    path, *_ = page.write_report([run], tmp_path / "report.html")
    text = " ".join(Page(path.read_text()).text)
    assert "Test scores by category" in text
    assert "chair 1,200 50.00 25.00 12.50 <lamp> 30 100.00 100.00 100.00" in text
    assert "mean of categories 1,230 75.00 62.50 56.25" in text
    path, *_ = page.write_report([make_run(tmp_path / "other")], tmp_path / "other.html")
    assert "category" not in path.read_text()
