"""Search: what is found, and the files that show it."""

import csv
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from ccpdml import serving
from tests.serving import fixtures

INFO = {"encoder": {"fingerprint": "one", "path": "nowhere"}}


def embedded(points, paths, classes, info=INFO):
    points = np.array(points, np.float32)
    return serving.Embeddings(points, np.array(paths), np.array(classes), info)


@pytest.fixture
def gallery():
    points = [[1, 0], [0.8, 0.6], [0, 1], [-1, 0]]
    return embedded(points, ["a", "b", "c", "d"], ["x", "y", "x", ""])


def test_nearest_first_with_distance_and_similarity(gallery):
    results = serving.search(embedded([[0, 1]], ["q"], ["x"]), gallery, k=3)
    assert results.indices.tolist() == [[2, 1, 0]]
    # |(0, 1) - (.8, .6)|² = .64 + .16; the cosine is .6.
    np.testing.assert_allclose(results.distances, [[0, 0.8**0.5, 2**0.5]], atol=1e-6)
    np.testing.assert_allclose(results.similarities, [[1, 0.6, 0]], atol=1e-6)
    assert results.right.tolist() == [[True, False, True]]
    assert "for 1 of the 1 whose class is known (100.0 %)" in results.summary()


def test_where_a_class_is_not_known_nothing_is_right_or_wrong(gallery):
    queries = embedded([[-1, 0.1], [1, 0]], ["q", "r"], ["x", ""])
    results = serving.search(queries, gallery, k=2)
    assert results.right.tolist() == [[None, True], [None, None]]
    assert "their classes are not known" in results.summary()


def test_an_image_does_not_find_itself(gallery, tmp_path, monkeypatch):
    results = serving.search(gallery, gallery, k=3)
    assert all(i not in found for i, found in enumerate(results.indices.tolist()))
    assert results.indices[0].tolist() == [1, 2, 3]
    # The same file by another name; and one query that is not of the gallery.
    queries = embedded([[1, 0], [1, 0]], ["./a", "new"], ["", ""])
    results = serving.search(queries, gallery, k=2)
    assert results.indices.tolist() == [[1, 2], [0, 1]]
    assert results.queries.classes.tolist() == ["x", ""]  # As the gallery knows it.
    with pytest.raises(ValueError, match=r"in 1\.\.3"):
        serving.search(queries, gallery, k=4)


def test_embeddings_of_another_encoder_are_refused(gallery):
    other = {"encoder": {"fingerprint": "two", "path": "elsewhere"}}
    with pytest.raises(ValueError, match="same encoder.*two.*elsewhere"):
        serving.search(embedded([[0, 1]], ["q"], ["x"], other), gallery)


def test_a_file_that_holds_no_embeddings_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", embeddings=np.zeros([2, 3]))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match=f"{name}.npz: expected a file that"):
            serving.read_embeddings(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        serving.read_embeddings(tmp_path / "none.npz")


@pytest.fixture
def searched(tmp_path):
    """Photos of three classes searched for those of `ash`, and one that no class is known of."""
    fixtures.make_run(tmp_path / "run")
    photos = fixtures.make_photos(tmp_path / "photos", per_class=6)
    encoder = serving.load_encoder(tmp_path / "run")
    output = serving.embed_images(
        encoder, serving.find_images(photos), tmp_path / "photos.npz", progress=False
    )
    gallery = serving.read_embeddings(output)
    shutil.copy(photos / "birch" / "0.jpg", tmp_path / "<new>.jpg")
    queries = serving.embed_queries([tmp_path / "<new>.jpg", photos / "ash"], gallery)
    return serving.search(queries, gallery, k=9)


def test_queries_are_embedded_like_the_gallery(searched):
    # The copy finds its original first.
    assert searched.gallery.paths[searched.indices[0, 0]].endswith("birch/0.jpg")
    assert searched.distances[0, 0] < 1e-5
    assert len(searched.queries) == 7


def test_the_table_has_a_row_per_found_image(searched, tmp_path):
    searched.write_csv(tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert len(rows) == 7 * 9
    assert rows[0]["path"].endswith("birch/0.jpg")
    assert rows[0]["right"] == rows[0]["query_class"] == ""
    assert [row["rank"] for row in rows[9:18]] == [str(rank) for rank in range(1, 10)]
    lines = list(searched.table(max_queries=2))
    assert len(lines) == 2 * 10 + 2
    assert "5 more queries" in lines[-2]


class Page(html.parser.HTMLParser):
    """The tags that are open at the end, and every address in the page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.classes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        self.classes += [value for name, value in attrs if name == "class"]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_no_other_file(searched, tmp_path):
    searched.write_page(tmp_path / "out.html", max_queries=3)
    text = (tmp_path / "out.html").read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.sources) == 3 * 10
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "&lt;new&gt;.jpg" in text
    assert "The first 3 queries are shown" in text
    right = searched.right[:3].compressed()
    assert len(right) == 2 * 9  # The gallery knows two of the three.
    assert 0 < right.sum() < len(right)
    assert page.classes.count("right") == right.sum()
    assert page.classes.count("wrong") == (~right).sum()


def test_images_that_are_gone_are_told_on_the_page(searched, tmp_path):
    shutil.rmtree(tmp_path / "photos" / "ash")
    searched.write_page(tmp_path / "out.html")
    assert "not there any more" in (tmp_path / "out.html").read_text()


MEASURE = """<script>addEventListener("load", () => parent.postMessage([
  document.documentElement.scrollWidth,
  getComputedStyle(document.querySelector("ol")).gridTemplateColumns.split(" ").length], "*"))
</script>"""
FRAME = """<!doctype html><body style="margin:0"><iframe src="measured.html" width="{width}"
  height="900" style="border:0"></iframe><script>
  onmessage = (event) => document.body.setAttribute("data-found", event.data)</script>"""


def browse(page, *arguments):
    """What headless Chromium prints when it opens a page."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(
        [*command, profile, *arguments, page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
        text=True,
    ).stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "columns"), [(1200, 10), (390, 3)], ids=["desk", "phone"])
def test_a_browser_lays_the_page_out(searched, tmp_path, width, columns):
    searched.write_page(tmp_path / "out.html")
    # In a frame: Chromium makes no window as narrow as a phone.
    text = (tmp_path / "out.html").read_text()
    (tmp_path / "measured.html").write_text(text.replace("</body>", MEASURE + "</body>"))
    (tmp_path / "frame.html").write_text(FRAME.format(width=width))
    found = re.search('data-found="([0-9,]+)"', browse(tmp_path / "frame.html", "--dump-dom"))
    assert found.group(1) == f"{width},{columns}"  # Nothing sticks out; this many images a row.
    shot = f"--screenshot={tmp_path / 'page.png'}"
    browse(tmp_path / "frame.html", f"--window-size={max(width, 500)},900", shot)
    picture = Image.open(tmp_path / "page.png").convert("L").crop((0, 0, width, 900))
    darkest = [picture.crop((0, y, width, y + 100)).getextrema()[0] for y in range(0, 900, 100)]
    assert max(darkest) < 160  # Text or pictures in every stripe.
