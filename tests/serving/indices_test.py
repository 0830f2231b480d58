"""Approximate indices: tuned until they find what is wanted, and measured truly."""

import importlib
import json
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from ccpdml import metrics, serving
from ccpdml.serving import index_kinds, indices
from tests import programs

PACKAGES = {"faiss_hnsw": "faiss", "faiss_ivf_pq": "faiss", "usearch": "usearch"}


def gallery(number, dim=16, num_classes=40):
    """Embeddings in clusters, with classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, number)
    rows = rng.normal(size=(num_classes, dim))[labels] + 0.7 * rng.normal(size=(number, dim))
    paths = [f"{row}.jpg" for row in range(number)]
    classes = [f"class {label}" for label in labels]
    return serving.Embeddings.of(rows.astype(np.float32), paths, classes, made_with="x")


@pytest.fixture
def faiss():
    """The library, which on a busy machine takes long with several threads."""
    library = pytest.importorskip("faiss")
    threads = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    yield library
    library.omp_set_num_threads(threads)


@pytest.mark.parametrize("kind", index_kinds.KINDS)
def test_an_index_finds_what_is_wanted_and_its_measures_are_true(
    kind, faiss, tmp_path, monkeypatch
):
    pytest.importorskip(PACKAGES[kind])
    monkeypatch.setattr(index_kinds, "_PER_CENTROID", 2)  # More take seconds to learn.
    found = gallery(1500)
    wanted = 0.4 if kind == "faiss_ivf_pq" else 0.9
    report = indices.build(found, tmp_path / "made", kind, wanted, 200)
    last = report.measured[-1]
    assert report.is_reached
    assert last.recalls[10] >= wanted
    assert all(each.recalls[10] < wanted for each in report.measured[:-1])
    assert json.loads((tmp_path / "made" / "index.json").read_text())["kind"] == kind
    nearest, _ = metrics.nearest(found.embeddings, k=10)
    rows = read(kind, tmp_path / "made", last.value, found.embeddings)
    own = range(len(rows))
    pairs = zip(own, rows, nearest, strict=True)
    recall = np.mean([len({*near} & ({*found_by} - {row})) / 10 for row, found_by, near in pairs])
    assert recall == pytest.approx(last.recalls[10], abs=0.06)  # Of all rows, not of a sample.
    scores = metrics.retrieval(found.embeddings, np.unique(found.classes, return_inverse=True)[1])
    assert report.exact_map_at_r == pytest.approx(scores["map_at_r"], abs=0.06)
    assert 0.0 < last.map_at_r <= 1.0
    told = "\n".join(report.lines())
    assert f"{last.value}" in told
    assert "NOT REACHED" not in told


def read(kind, folder, value, queries):
    """The eleven that the written index finds, by its own library."""
    if kind == "usearch":
        index = importlib.import_module("usearch.index").Index.restore(
            str(folder / "index.usearch")
        )
        index.expansion_search = value
        return [set(each.keys.tolist()) for each in index.search(queries, 11)]
    faiss = importlib.import_module("faiss")
    return faiss.read_index(str(folder / "index.faiss")).search(queries, 11)[1].tolist()


def test_with_all_queries_the_measures_are_those_of_the_metrics(faiss, tmp_path):
    found = gallery(300, num_classes=10)
    report = indices.build(found, tmp_path / "made", recall=1.0, num_queries=300)
    scores = metrics.retrieval(found.embeddings, np.unique(found.classes, return_inverse=True)[1])
    assert report.exact_map_at_r == pytest.approx(scores["map_at_r"], abs=1e-9)
    assert report.measured[-1].recalls[10] == 1.0


def test_what_is_not_reached_is_told(faiss, tmp_path, monkeypatch):
    monkeypatch.setattr(index_kinds, "_PER_CENTROID", 2)
    report = indices.build(gallery(600), tmp_path / "made", "faiss_ivf_pq", 0.999, 50, code_bytes=1)
    assert not report.is_reached
    assert list(report.lines())[-1].startswith("NOT REACHED: recall@10 of 0.999; at most 0.")


def test_unfit_arguments_are_refused(faiss, tmp_path):
    found = gallery(200)
    for arguments, message in [
        ({"kind": "annoy"}, "must be one of faiss_hnsw, faiss_ivf_pq, usearch"),
        ({"recall": 0.0}, "above 0"),
        ({"num_queries": 0}, "at least 1"),
        ({"kind": "faiss_ivf_pq"}, "from 9984 vectors or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            indices.build(found, tmp_path / "made", **arguments)
    with pytest.raises(ValueError, match="more than 100 vectors"):
        indices.build(gallery(100), tmp_path / "made")
    with pytest.raises(ValueError, match="must divide the 16 numbers"):
        index_kinds.FaissIvfPq(gallery(10_000).embeddings, code_bytes=5)
    assert not (tmp_path / "made").exists()


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'ccpdml\[index\]' brings faiss"):
        indices.build(gallery(200), tmp_path / "made")


def test_the_program(faiss, tmp_path, capsys):
    gallery(300).save(tmp_path / "photos.npz")
    given = {"gallery": str(tmp_path / "photos.npz"), "output": str(tmp_path / "made")}
    with programs.imported("index.py") as program:
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(**given):
            program["main"](["index.py"])
            assert "recall@10" in capsys.readouterr().out
            with pytest.raises(SystemExit, match="there already"):
                program["main"](["index.py"])
            with flagsaver.flagsaver(code_bytes=4), pytest.raises(SystemExit, match="goes with"):
                program["main"](["index.py"])
