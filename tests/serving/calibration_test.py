"""Thresholds: found, kept in a file, refused for another encoder, and what is matched by them."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import serving
from tests import programs
from tests.serving import fixtures

INFO = {"encoder": {"fingerprint": "one", "path": "nowhere"}}
POINTS = [[0.0], [1.0], [10.0], [14.0], [30.0], [31.0]]
LABELS = ["a", "a", "b", "b", "c", "c"]


def embedded(points, classes, info=INFO, name="p"):
    names = np.array([f"{name}{number}" for number in range(len(points))])
    return serving.Embeddings(np.array(points, np.float32), names, np.array(classes), info)


@pytest.fixture
def thresholds():
    return serving.calibrate(
        embedded(POINTS, LABELS), false_match_rate=[0.1, 0.2], precision=[0.75]
    )


def test_thresholds_are_those_of_the_pairs(thresholds):
    # Of one class 1, 4, 1; of two 9, 10, 13, 14, 16, ...: 12 of them.
    names = [point.name for point in thresholds.points]
    assert names == ["false_match_rate=0.1", "false_match_rate=0.2", "precision=0.75", "best_f1"]
    assert [point.distance for point in thresholds.points] == pytest.approx(
        [9.5, 11.6, 9.5, 6.96], rel=0.01
    )
    first = thresholds.points[0]
    assert first.rates["false_match_rate"].value == pytest.approx(1 / 12)
    assert first.rates["precision"].value == pytest.approx(3 / 4)
    assert first.rates["false_match_rate"].low < 1 / 12 < first.rates["false_match_rate"].high
    assert thresholds.points[-1].rates["f1"].value == 1.0
    assert (thresholds.num_images, thresholds.num_classes, thresholds.num_new_classes) == (6, 3, 3)
    lines = list(thresholds.table())
    assert lines[0].endswith("in brackets the 95 % interval for 3 other classes")
    assert lines[2].startswith("false_match_rate=0.1       9.")


def test_arrays_give_a_number_and_an_interval(thresholds):
    found = serving.calibrate(np.array(POINTS), LABELS, false_match_rate=0.1)
    assert found.threshold == found.points[0].distance == thresholds.threshold
    rate = thresholds.points[0].rates["false_match_rate"]
    assert found.interval == thresholds.interval == (rate.low, rate.high)
    f1 = serving.calibrate(POINTS, LABELS, false_match_rate=())
    assert f1.interval[0] <= 1.0 <= f1.interval[1]
    with pytest.raises(ValueError, match="Thresholds are of one encoder.*embeddings of an array"):
        serving.match(*2 * [embedded(POINTS, LABELS)], found)


def test_a_file_gives_them_back_and_names_the_encoder(thresholds, tmp_path):
    path = tmp_path / "thresholds.json"
    thresholds.save(path)
    assert serving.read_thresholds(path) == thresholds
    assert json.loads(path.read_text())["encoder"] == INFO["encoder"]
    assert serving.threshold_of(str(path)) == thresholds
    assert serving.threshold_of(f"{path}@best_f1").threshold == thresholds.points[-1].distance
    assert serving.threshold_of("0.7") == 0.7
    with pytest.raises(ValueError, match=r"for false_match_rate=0.1, .*Received: best"):
        serving.threshold_of(f"{path}@best")
    with pytest.raises(FileNotFoundError, match="ccpdml calibrate.*none.json"):
        serving.threshold_of(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    "change",
    [
        {"points": []},
        {"points": [{"name": "x", "distance": -1, "rates": {}}]},
        {"points": [{"name": "x", "distance": "near", "rates": {}}]},
        {"points": [{"name": "x", "distance": 1, "rates": {"f1": {"worth": 1}}}]},
        {"encoder": {}},
        {"encoder": "one"},
        {"confidence": None},
        {"points": None},
    ],
)
def test_a_file_of_something_else_is_refused(thresholds, tmp_path, change):
    path = tmp_path / "thresholds.json"
    thresholds.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"thresholds.json: expected thresholds, as `ccpdml cal"):
        serving.read_thresholds(path)
    for text in ("[]", "{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match="expected thresholds"):
            serving.read_thresholds(path)


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ValueError, match="Expected a false-match rate, a precision or the best F1"):
        serving.calibrate(embedded(POINTS, LABELS), false_match_rate=[], best_f1=False)
    with pytest.raises(ValueError, match="must be known.*Received: 1 of 6 images without"):
        serving.calibrate(embedded(POINTS, [*LABELS[:-1], ""]))
    with pytest.raises(ValueError, match="12 pairs of different classes cannot say"):
        serving.calibrate(embedded(POINTS, LABELS))
    with pytest.raises(ValueError, match="takes 3 classes or more"):
        serving.calibrate(embedded(POINTS[:4], LABELS[:4]), false_match_rate=[0.5])


def test_the_nearest_within_the_threshold_answers(thresholds):
    gallery = embedded(POINTS, LABELS)
    queries = embedded([[5.0], [12.1], [60.0]], ["", "b", "c"], name="q")
    found = serving.match(queries, gallery, 4.5)
    assert found.answers.tolist() == ["a", "b", "unknown"]
    assert "; 1 unknown, without an image within 4.5; the nearest" in found.summary()
    assert found.within.sum(axis=1).tolist() == [1, 2, 0]
    assert serving.match(queries, gallery, thresholds).threshold == thresholds.threshold
    assert serving.match(queries, gallery, 0.0).answers.tolist() == 3 * ["unknown"]
    # An image on the threshold is within.
    assert serving.match(queries, gallery, 29.0).answers.tolist()[2] == "c"


def test_more_images_than_one_may_vote():
    gallery = embedded([[1.0], [2.0], [2.1], [9.0]], ["a", "b", "b", "b"])
    queries = embedded([[0.9]], [""], name="q")
    answers = [serving.match(queries, gallery, 2.0, votes=n).answers[0] for n in (1, 2, 3, 4)]
    assert answers == ["a", "a", "b", "b"]  # Of as many votes the nearer.
    assert serving.match(queries, gallery, 1.15, votes=3).answers[0] == "a"
    with pytest.raises(ValueError, match=r"`votes` must be in 1\.\.4"):
        serving.match(queries, gallery, 1.0, votes=5)


def test_thresholds_of_another_encoder_are_refused(thresholds, tmp_path):
    other = {"encoder": {"fingerprint": "two", "path": "elsewhere"}}
    gallery = embedded(POINTS, LABELS, other)
    match = r"calibrate again.*thresholds of one \(nowhere\), embeddings of two \(elsewhere\)"
    with pytest.raises(ValueError, match=match):
        serving.match(gallery, gallery, thresholds)
    with pytest.raises(ValueError, match=match):
        serving.calibration.measure(gallery, thresholds)
    fixtures.make_run(tmp_path / "run")
    encoder = serving.load_encoder(tmp_path / "run")
    gallery = embedded(np.eye(6), LABELS, {"encoder": encoder.info})
    with pytest.raises(ValueError, match="calibrate again"):
        serving.export(encoder, tmp_path / "out", ["saved_model"], gallery, threshold=thresholds)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="A threshold is for the search of a gallery"):
        serving.export(encoder, tmp_path / "out", ["saved_model"], threshold=0.5)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, np.inf])
def test_what_is_no_distance_is_refused(threshold):
    gallery = embedded(POINTS, LABELS)
    with pytest.raises(ValueError, match="`threshold` must be a distance of at least 0"):
        serving.match(gallery, gallery, threshold)


def test_unknown_is_no_class():
    gallery = embedded(POINTS, ["unknown", *LABELS[1:]])
    for word in ("unknown", ""):
        with pytest.raises(ValueError, match=rf"no class of the gallery.*unknown='{word}'"):
            serving.match(gallery, gallery, 1.0, unknown=word)
    assert serving.match(gallery, gallery, 0.5, unknown="none").answers.tolist() == 6 * ["none"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, photos, their embeddings, and photos to match."""
    folder = tmp_path_factory.mktemp("place")
    fixtures.make_run(folder / "run")
    encoder = serving.load_encoder(folder / "run")
    photos = serving.find_images(fixtures.make_photos(folder / "photos", per_class=6))
    serving.embed_images(encoder, photos, folder / "photos.npz", progress=False)
    fixtures.make_photos(folder / "new", per_class=2, seed=1)
    Image.new("RGB", (20, 20), (255, 0, 255)).save(folder / "new" / "ash" / "pink.png")
    return folder


def test_a_saved_model_matches_as_the_library_does(place, tmp_path):
    encoder = serving.load_encoder(place / "run")
    gallery = serving.read_embeddings(place / "photos.npz")
    queries = serving.embed_queries(place / "new", gallery, encoder)
    nearest = serving.search(queries, gallery, k=1).distances[:, 0]
    threshold = float(np.sort(nearest)[3:5].mean())
    expected = serving.match(queries, gallery, threshold)
    assert 0 < (expected.answers == "unknown").sum() < len(queries)
    serving.export(encoder, tmp_path / "out", ["saved_model"], gallery, threshold=threshold)
    model = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    contents = [tf.io.read_file(path) for path in queries.paths]
    found = model.signatures["match"](images=tf.stack([*contents, tf.constant(b"no image")]))
    found = {name: value.numpy() for name, value in found.items()}
    assert [name.decode() for name in found["classes"]] == [*expected.answers, ""]
    assert found["indices"].tolist() == [*expected.indices[:, 0], -1]
    np.testing.assert_allclose(found["distances"][:-1], expected.distances[:, 0], atol=1e-5)
    assert found["known"].tolist() == [*(expected.answers != "unknown"), False]
    assert found["valid"].tolist() == [True] * len(queries) + [False]
    assert found["threshold"] == np.float32(threshold)
    plain = serving.export(encoder, tmp_path / "plain", ["saved_model"], gallery)
    assert plain["saved_model"] <= 1e-5
    assert "match" not in tf.saved_model.load(str(tmp_path / "plain" / "saved_model")).signatures


def test_images_are_embedded_and_calibrated(place):
    encoder = serving.load_encoder(place / "run")
    gallery = serving.read_embeddings(place / "photos.npz")
    found = serving.calibrate(
        encoder, gallery.paths.tolist(), gallery.classes, false_match_rate=[0.1]
    )
    assert found.points[0].distance == pytest.approx(
        serving.calibrate(gallery, false_match_rate=[0.1]).points[0].distance, rel=1e-4
    )
    assert found.encoder["fingerprint"] == gallery.fingerprint


def test_commands_calibrate_and_match(place, tmp_path, capsys):
    file, page = tmp_path / "thresholds.json", tmp_path / "out.html"
    flags = [f"--embeddings={place / 'photos.npz'}", f"--output={file}"]
    programs.run("calibrate.py", *flags, "--false_match_rate=0.1", "--precision=0.5")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("18 images of 3 classes")
    assert printed[-1] == f"{file}, {tmp_path / 'thresholds.png'}"
    assert (tmp_path / "thresholds.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match=r"^ERROR: .*thresholds.json.*there already"):
        programs.run("calibrate.py", *flags)
    flags = [f"--gallery={place / 'photos.npz'}", f"--queries={place / 'new'}"]
    flags += [f"--encoder={place / 'run'}", f"--output={page}", "--unknown=nobody's"]
    programs.run("search.py", *flags, f"--threshold={file}@best_f1")
    flags[1] = f"--queries={place / 'photos.npz'}"
    programs.run("search.py", *flags, "--threshold=0.0", "--overwrite")
    rows = list(csv.DictReader(page.with_suffix(".csv").open()))
    assert len(rows) == 18 * 10
    assert {row["answer"] for row in rows} == {"nobody's"}
    text = page.read_text()
    assert text.count('class="answer unknown">answer: nobody&#x27;s</span>') == 18
    assert text.count(" far") >= 18
    with pytest.raises(SystemExit, match=r"^ERROR: .*`ccpdml calibrate`. Received: no.json"):
        programs.run("search.py", *flags, "--threshold=no.json", "--overwrite")


def test_the_test_images_of_a_run_calibrate(place, tmp_path):
    run = tmp_path / "run"
    fixtures.make_run(run)
    flags = [f"--encoder={run}", f"--output={tmp_path / 'thresholds.json'}"]
    with pytest.raises(SystemExit, match=r"^ERROR: .*no test_embeddings.npz"):
        programs.run("calibrate.py", *flags)
    points = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.savez(run / "test_embeddings.npz", query=points, query_labels=np.arange(20)[:, None] // 4)
    programs.run("calibrate.py", flags[0])
    assert (run / "figures" / "thresholds.png").is_file()
    found = serving.read_thresholds(run / "thresholds.json")
    assert (found.num_images, found.num_classes) == (20, 5)
    assert found.encoder["fingerprint"] == serving.load_encoder(run).info["fingerprint"]
    with pytest.raises(SystemExit, match=r"^ERROR: Give --embeddings or --encoder, and not both"):
        programs.run("calibrate.py", f"--output={tmp_path / 'other.json'}")
