"""Near-duplicates: found by hash and by embedding, written, and left out of scores."""

import json

import numpy as np
import pytest
from PIL import Image

from ccpdml import data, metrics, serving
from ccpdml.data import identity, loading, near_duplicates, source
from ccpdml.reports import cleaned, page, runs
from tests.data import check_data_test
from tests.reports import page_test


def picture(seed, size=(96, 80)):
    """A picture of a few blurred colours."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    """Folder of two classes each to train on and to test on, with three copies among them."""
    root = tmp_path / "photos"
    for seed in range(12):
        part, number = ("train", seed // 3) if seed < 6 else ("test", seed // 3)
        folder = root / part / f"class_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / f"{seed:02}.png")
    picture(0).resize((48, 40)).save(root / "test" / "class_2" / "06b.jpg", quality=70)
    picture(7).convert("L").convert("RGB").save(root / "test" / "class_2" / "07b.jpg", quality=85)
    picture(8).resize((192, 160)).save(root / "test" / "class_3" / "08b.png")
    return root


def check(root, **flags):
    return check_data_test.check(dataset="folder", root=str(root), **flags)


def read(path):
    """What is near each other in a written file: sets of file names."""
    images = json.loads(path.read_text())["images"]
    return {frozenset(name.rpartition("/")[2] for name in group) for group in images}


def test_copies_are_found_by_hash_and_nothing_else(photos, tmp_path, capsys):
    output = tmp_path / "near.json"
    check(photos, near_duplicates=str(output))
    copies = [("00.png", "06b.jpg"), ("07.png", "07b.jpg"), ("08.png", "08b.png")]
    assert read(output) == set(map(frozenset, copies))
    told = capsys.readouterr().out
    assert "64 bits of which at most 4 differ" in told
    assert "1 of 9 images of test have one in development" in told
    assert "4 of 9 images of test have one in it" in told
    assert check(photos, near_duplicates=str(output)).startswith("ERROR: ")  # Not written over.


def test_copies_are_found_by_embeddings_of_the_same_files(photos, tmp_path):
    paths = serving.find_images(str(photos)).paths
    numbers = [[float(path.rpartition("/")[2][:2]) + 0.25 * ("b." in path)] for path in paths]
    flags = {
        "near_duplicates": str(tmp_path / "near.json"),
        "embeddings": str(tmp_path / "photos.npz"),
    }
    serving.Embeddings.of(numbers, paths, made_with="x").save(flags["embeddings"])
    check(photos, within=0.25, **flags)
    assert read(tmp_path / "near.json") == {
        frozenset(("06.png", "06b.jpg")),
        frozenset(("07.png", "07b.jpg")),
        frozenset(("08.png", "08b.png")),
    }
    assert "needs --within" in check(photos, **flags | {"near_duplicates": "other.json"})
    picture(20).save(photos / "test" / "class_3" / "more.png")
    refused = check(photos, within=0.25, **flags | {"near_duplicates": str(tmp_path / "b.json")})
    assert "none of 1, such as" in refused
    assert "more.png" in refused


@pytest.mark.parametrize("flags", [{"embeddings": "x.npz"}, {"within": 3.0}])
def test_settings_without_effect_are_refused(photos, flags):
    assert "go with --near_duplicates" in check(photos, **flags)


def test_what_is_near_a_member_is_in_the_group(monkeypatch):
    vectors = np.array([[0.0], [5.0], [1.0], [9.0], [2.0], [np.nan], [5.5]])
    for tile in (1, 2**20):
        monkeypatch.setattr(near_duplicates, "_TILE", tile)
        groups = near_duplicates.grouped(vectors, 1.0)
        assert groups[0] == groups[2] == groups[4] != groups[1] == groups[6]
        assert groups[3] == groups[5] == -1
    assert np.all(near_duplicates.grouped(vectors, 0.2) == -1)


def made(photos, tmp_path):
    """A run on the photographs with made-up embeddings, and the file of near-duplicates."""
    path = tmp_path / "near.json"
    check(photos, near_duplicates=str(path))
    read_from = loading.read("folder", str(photos))
    test = read_from.test
    described = identity.describe({"train": read_from.development, "test": test})
    scores = dict.fromkeys(["precision_at_1", "r_precision", "map_at_r", "recall_at_2"], 0.5)
    run = page_test.make_run(tmp_path / "run", split={"data": described}, test=scores)
    embeddings = np.random.default_rng(0).normal(size=(len(test), 4)).astype(np.float32)
    np.savez(run / "test_embeddings.npz", query=embeddings, query_labels=test.labels)
    return run, path, test, embeddings


def test_the_report_has_scores_without_them(photos, tmp_path):
    run, path, test, embeddings = made(photos, tmp_path)
    found = cleaned.read(path)
    names = [name.rpartition("/")[2] for name in test.paths]
    assert [names[row] for row in np.flatnonzero(found.in_training())] == ["06b.jpg"]
    dropped = {names[row] for row in np.flatnonzero(found.dropped())}
    assert dropped == {"06b.jpg", "07b.jpg", "08b.png"}
    kept = [row for row, name in enumerate(names) if name not in dropped]
    expected = metrics.retrieval(embeddings[kept], test.labels[kept], recall_at=(2,))
    (entry,) = runs.read([run])
    scores = cleaned.scores(entry, found)
    assert scores == {key: expected[key] for key in entry.results["test"]}
    written, *_ = page.write_report([run], tmp_path / "report.html", near_duplicates=path)
    text = written.read_text()
    assert "test, cleaned" in text
    assert f"{100 * expected['map_at_r']:.2f}" in text
    assert "1 of 9 test images have one that trains or validates" in text


def test_near_duplicates_of_other_data_are_refused(photos, tmp_path):
    run, path, _, _ = made(photos, tmp_path)
    about = json.loads((run / "results.json").read_text())
    about["split"]["data"]["parts"]["test"]["digest"] = "other"
    (run / "results.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="near.json is of other test images than"):
        page.write_report([run], tmp_path / "report.html", near_duplicates=path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected what `ccpdml check-data"):
        cleaned.read(path)
    vectors = source.Source(*2 * [data.ImageSet(np.ones((2, 3), np.float32), [0, 1], ("a", "b"))])
    with pytest.raises(ValueError, match="are of pictures"):
        near_duplicates.by_hash(vectors)
