"""Search: what is found, and the files that show it."""

import base64
import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ccpdml import serving
from ccpdml.serving import results
from tests import programs
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


def test_by_default_a_small_gallery_is_found_whole(gallery):
    assert serving.search(gallery, gallery).indices.shape == (4, 3)
    alone = embedded([[1, 0]], ["a"], ["x"])
    assert serving.search(embedded([[0, 1]], ["q"], ["x"]), alone).indices.tolist() == [[0]]
    with pytest.raises(ValueError, match="nothing but the query"):
        serving.search(alone, alone)


def test_an_image_does_not_find_itself_by_any_of_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    points = [[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]]
    names = ["photos/a", "link/a", str(tmp_path / "photos" / "b"), "photos/c"]
    twice = embedded(points, names, [""] * 4)
    queries = embedded([[1, 0], [1, 0.2]], [str(tmp_path / "link" / "a"), "photos/b"], ["", ""])
    assert serving.search(queries, twice).indices.tolist() == [[2, 3], [1, 3]]


def test_where_the_images_are_is_known_from_another_folder_and_after_a_move(
    gallery, tmp_path, monkeypatch
):
    for start, file in (("", "g.npz"), ("", "out/g.npz"), ("work", "../g.npz")):
        (tmp_path / "here" / start).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / "here" / start)
        gallery.save(file)
        place = (tmp_path / "here" / start / file).resolve()
        for folder in (tmp_path / "here", tmp_path / "there"):
            (tmp_path / "here").rename(folder)
            monkeypatch.chdir(tmp_path)
            found = serving.read_embeddings(folder / place.relative_to(tmp_path / "here"))
            assert found.files.tolist() == [str(folder / start / name) for name in "abcd"]
            assert found.paths.tolist() == list("abcd")
        folder.rename(tmp_path / "here")


def test_embeddings_of_another_encoder_are_refused(gallery):
    other = {"encoder": {"fingerprint": "two", "path": "elsewhere"}}
    with pytest.raises(ValueError, match="same encoder.*two.*elsewhere"):
        serving.search(embedded([[0, 1]], ["q"], ["x"], other), gallery)


ROWS = np.zeros([2, 3], np.float32)
WHOLE = {"embeddings": ROWS, "paths": ["a", "b"], "classes": ["", ""], "info": json.dumps(INFO)}
BROKEN = {
    "other keys": ({"vectors": ROWS, "labels": [0, 1]}, "one with labels, vectors"),
    "pickles": (WHOLE | {"paths": np.array([{}, []], object)}, "allow_pickle=False"),
    "one axis": (WHOLE | {"embeddings": ROWS[0]}, "floats \\[n, dim\\]"),
    "nothing": (WHOLE | {"embeddings": ROWS[:0], "paths": [], "classes": []}, "at least 1"),
    "integers": (WHOLE | {"embeddings": ROWS.astype(int)}, "dtype=int64"),
    "another number of paths": (WHOLE | {"paths": ["a"]}, "`paths` must have .* 2"),
    "no encoder": (WHOLE | {"info": "{}"}, "must name the encoder"),
    "a list as info": (WHOLE | {"info": "[]"}, "must name the encoder"),
    "no JSON": (WHOLE | {"info": "?"}, "Expecting value"),
    "deep JSON": (WHOLE | {"info": 100_000 * "["}, "recursion"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_holds_no_embeddings_is_refused_and_says_how_one_is_made(tmp_path, kind):
    arrays, reason = BROKEN[kind]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match=rf"other.npz: expected .*{reason}.*Embeddings\.of\("):
        serving.read_embeddings(tmp_path / "other.npz")


@pytest.mark.parametrize("header", ["(" * 5000, "{'shape': (" + "9" * 30 + ", 2), {}}"])
def test_arrays_with_a_header_that_makes_no_sense_are_refused(tmp_path, header):
    np.savez(tmp_path / "other.npz", **{name: WHOLE[name] for name in ("paths", "classes", "info")})
    text = header.replace("{}", "'descr': '<f4', 'fortran_order': False").encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "other.npz", "a") as archive:
        size = len(text).to_bytes(2, "little")
        archive.writestr("embeddings.npy", b"\x93NUMPY\x01\x00" + size + text)
    with pytest.raises(ValueError, match=r"other.npz: expected a file with embeddings"):
        serving.read_embeddings(tmp_path / "other.npz")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    np.savez(tmp_path / "cut.npz", **WHOLE)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:300])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    for name in ("v.npy", "cut.npz", "text.npz", "empty.npz"):
        with pytest.raises(ValueError, match=f"{name}: expected .*no .npz archive.*Embeddings.of"):
            serving.read_embeddings(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        serving.read_embeddings(tmp_path / "none.npz")


def test_vectors_of_another_origin_are_searched(tmp_path):
    vectors, labels = np.eye(3), [7, 7, 8]
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    serving.Embeddings.of(vectors, paths, labels, made_with="mine").save(tmp_path / "own.npz")
    own = serving.read_embeddings(tmp_path / "own.npz")
    assert own.classes.tolist() == ["7", "7", "8"]
    assert serving.search(own, own, k=2).right[0].tolist() == [True, False]
    other = serving.Embeddings.of(vectors, paths, made_with="another")
    with pytest.raises(ValueError, match="same encoder. Received: mine and another"):
        serving.search(own, other)
    with pytest.raises(ValueError, match=r"must end in .npz. Received: .*own.npy"):
        own.save(tmp_path / "own.npy")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Photos of three classes searched for those of `ash`, and one that no class is known of."""
    folder = tmp_path_factory.mktemp("searched")
    fixtures.make_run(folder / "run")
    photos = fixtures.make_photos(folder / "photos", per_class=6)
    encoder = serving.load_encoder(folder / "run")
    done = serving.embed_images(
        encoder, serving.find_images(photos), folder / "photos.npz", progress=False
    )
    gallery = serving.read_embeddings(done.path)
    shutil.copy(photos / "birch" / "0.jpg", folder / "<new>.jpg")
    queries = serving.embed_queries([folder / "<new>.jpg", photos / "ash"], gallery, encoder)
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
    assert lines[-2] == "Shown are 2 of the 7 queries."


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
    assert "Shown are 3 of the 7 queries." in text
    assert text.count("3.jpg</span>") > 3  # Names of the files that were found.
    right = searched.right[:3].compressed()
    assert len(right) == 2 * 9  # The gallery knows two of the three.
    assert 0 < right.sum() < len(right)
    assert page.classes.count("right") == right.sum()
    assert page.classes.count("wrong") == (~right).sum()


def test_shown_are_queries_of_all_classes_in_turn():
    classes = np.repeat([f"{number:02d}" for number in range(60)], 10)
    shown = results.in_turn(classes, 100)
    assert len(shown) == len(set(shown)) == 100
    assert sorted(shown) == shown.tolist()
    _, counts = np.unique(classes[shown], return_counts=True)
    assert sorted(set(counts)) == [1, 2]
    assert len(counts) == 60
    assert np.flatnonzero(counts == 2)[[0, -1]].tolist() == [0, 58]  # Not the first 40.
    assert len(set(classes[results.in_turn(classes, 7)])) == 7
    assert results.in_turn(classes, 1000).tolist() == list(range(600))
    assert results.in_turn(np.array(["b", "a", "a", "a"]), 3).tolist() == [0, 1, 2]
    rows = embedded(np.eye(600), [f"{i}.jpg" for i in range(600)], classes)
    found = serving.search(rows, rows, k=1)
    lines = list(found.table(100))
    assert lines[-2] == "Shown are 100 of the 600 queries: 1 to 2 of each of the 60 classes."
    lines = list(found.table(7))
    assert lines[-2] == "Shown are 7 of the 600 queries: 1 of each of 7 of the 60 classes."


NASTY = ("=1+1.jpg", "a,b.jpg", 'q"<b>&.jpg', "new\r\nline\x1b[31m.jpg", "Größe 1.jpg", "@x.jpg")


def test_names_of_files_do_no_harm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NASTY:
        Image.new("RGB", (20, 20)).save(name)
    rows = embedded(np.eye(6), NASTY, ["-2", "+cmd|x", "-2", "<b>", "ok", "ok"])
    found = serving.search(rows, rows, k=5)
    found.write_csv("out.csv")
    with Path("out.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert {len(row) for row in table} == {8}
    firsts = {row[0] for row in table[1:]}
    assert firsts == {"'=1+1.jpg", *NASTY[1:5], "'@x.jpg"}
    assert {row[1] for row in table[1:]} == {"-2", "'+cmd|x", "<b>", "ok"}
    assert all("\n" not in line and "\x1b" not in line for line in found.table())
    found.write_page("out.html")
    text = Path("out.html").read_text()
    assert "<b>" not in text
    assert "q&quot;&lt;b&gt;&amp;.jpg" in text
    page = Page(text)
    assert page.open == []
    assert len(page.sources) == 36


def test_pictures_are_shown_upright_and_on_white_as_encoders_see_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # Lies on its side.
    Image.new("RGB", (60, 20)).save("side.jpg", exif=exif)
    Image.new("RGBA", (60, 20), (200, 0, 0, 0)).save("clear.png")
    rows = embedded(np.eye(2), ["side.jpg", "clear.png"], ["", ""])
    serving.search(rows, rows, k=1).write_page("out.html")
    sources = Page(Path("out.html").read_text()).sources
    data = [base64.b64decode(source.split(",")[1]) for source in sources[:2]]
    upright, white = (Image.open(io.BytesIO(each)) for each in data)
    assert upright.size == (20, 60)
    assert white.getextrema() == ((255, 255),) * 3


def test_a_picture_that_cannot_be_shown_does_not_end_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (100, 100)).save("large.png")
    Path("no_image.jpg").write_text("text")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # As if it were above the limit.
    rows = embedded(np.eye(2), ["large.png", "no_image.jpg"], ["", ""])
    serving.search(rows, rows, k=1).write_page("out.html")
    assert Path("out.html").read_text().count("cannot be shown") == 4


def test_images_that_are_gone_are_told_on_the_page(searched, tmp_path):
    photos = Path(searched.queries.paths[-1]).parents[1]
    photos.rename(tmp_path / "elsewhere")
    try:
        searched.write_page(tmp_path / "out.html")
    finally:
        (tmp_path / "elsewhere").rename(photos)
    assert "not there any more" in (tmp_path / "out.html").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, photos, and a gallery of them."""
    folder = tmp_path_factory.mktemp("place")
    fixtures.make_run(folder / "run")
    photos = serving.find_images(fixtures.make_photos(folder / "photos"))
    encoder = serving.load_encoder(folder / "run")
    serving.embed_images(encoder, photos, folder / "photos.npz", progress=False)
    (folder / "run").rename(folder / "moved")  # Where the gallery does not know of it.
    return folder


def search(place, *flags):
    programs.run("search.py", f"--gallery={place / 'photos.npz'}", *flags)


def test_the_encoder_of_queries_is_named_and_may_have_moved(place, tmp_path, capsys):
    flags = [f"--queries={place / 'photos' / 'ash'}", f"--output={tmp_path / 'out.html'}"]
    with pytest.raises(SystemExit, match=r"^ERROR: .*give it \(--encoder\).*then in .*place./run"):
        search(place, *flags)
    fixtures.make_run(tmp_path / "another", seed=1)
    with pytest.raises(SystemExit, match="ERROR: .*the same encoder"):
        search(place, *flags, f"--encoder={tmp_path / 'another'}")
    search(place, *flags, f"--encoder={place / 'moved'}")
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("4 queries among 12 images; ")
    assert out[-1] == f"{tmp_path / 'out.html'}, {tmp_path / 'out.csv'}"
    search(place, f"--queries={place / 'photos.npz'}", f"--output={tmp_path / 'all.html'}")


def test_nothing_is_replaced_without_being_asked(place, tmp_path):
    queries, page = tmp_path / "queries.csv", tmp_path / "queries.html"
    queries.write_text(f"path\n{place / 'photos' / 'ash' / '0.jpg'}\n")
    flags = [f"--queries={queries}", f"--encoder={place / 'moved'}", f"--output={page}"]
    for more in ([], ["--overwrite"]):  # Not even then are the queries.
        with pytest.raises(SystemExit, match=r"ERROR: .*queries.csv"):
            search(place, *flags, *more)
        assert queries.read_text().startswith("path")
        assert not page.exists()
    flags[0] = f"--queries={queries.rename(tmp_path / 'list.csv')}"
    page.write_text("mine")
    with pytest.raises(SystemExit, match=r"ERROR: .*queries.html: there already"):
        search(place, *flags)
    assert page.read_text() == "mine"
    search(place, *flags, "--overwrite")
    assert "Search results" in page.read_text()


def test_unreadable_queries_are_left_out_when_asked(place, tmp_path, caplog):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    photo = place / "photos" / "ash" / "0.jpg"
    flags = [
        f"--queries={tmp_path / 'bad.jpg'}",
        f"--encoder={place / 'moved'}",
        f"--output={tmp_path / 'o.html'}",
    ]
    with pytest.raises(SystemExit, match=r"bad.jpg cannot be read.*--skip_unreadable"):
        search(place, *flags)
    with pytest.raises(SystemExit, match="None of the 1 queries can be read"):
        search(place, *flags, "--skip_unreadable")
    with caplog.at_level("WARNING"):
        search(place, *flags, f"--queries={photo}", "--skip_unreadable")
    assert "bad.jpg is left out: cannot identify" in caplog.text
    assert "1 query among 12 images" in (tmp_path / "o.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--k=12"], r"`k` must be in 1\.\.11"),
        (["--queries=x.jpg"], r"given alone. Received: .*x.jpg"),
        (["--output=x.txt"], "must end in .html"),
    ],
)
def test_the_command_tells_mistakes_in_one_line(place, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"^ERROR: .*{message}"):
        search(place, f"--queries={place / 'photos.npz'}", *flags)
    assert not list(tmp_path.iterdir())


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


def test_embeddings_of_a_file_stay_on_the_disk(tmp_path):
    path, rows = tmp_path / "own.npz", np.arange(12, dtype=np.float32).reshape(4, 3)
    serving.Embeddings.of(rows, list("abcd"), made_with="x").save(path)
    found = serving.read_embeddings(path)
    assert isinstance(found.embeddings, np.memmap)
    assert all(isinstance(x.base, np.memmap) for x in (found.paths, found.classes, found.digests))
    with np.load(path) as arrays:
        np.savez_compressed(tmp_path / "other.npz", **arrays)
        for kind in (np.float16, np.float64):
            np.savez(
                tmp_path / f"{kind.__name__}.npz", **{**arrays, "embeddings": rows.astype(kind)}
            )
    for name in ("other", "float16", "float64"):
        other = serving.read_embeddings(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(other.embeddings, rows)
        assert other.embeddings.dtype == np.float32
        seen = []
        results = serving.search(found, other, 2, seen.append)
        np.testing.assert_array_equal(results.indices, serving.search(other, found, 2).indices)
        assert sum(seen) == 4
    serving.Embeddings.of(-rows, list("abcd"), made_with="x").save(path)
    np.testing.assert_array_equal(found.embeddings, rows)  # Of the file that was there.
