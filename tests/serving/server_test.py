"""The example of a server: real clients, their mistakes, and what is sent to do harm."""

import asyncio
import collections
import contextlib
import io
import struct
import threading
import time
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ccpdml import serving
from tests import programs
from tests.serving import fixtures

pytest.importorskip("fastapi", reason="needs pip install 'ccpdml[serve]'")
httpx = pytest.importorskip("httpx2")
uvicorn = pytest.importorskip("uvicorn")

FILE = Path(__file__).parents[2] / "examples" / "serve.py"
JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def server():
    """The names of the program."""
    with programs.imported(FILE) as names:
        return types.SimpleNamespace(**names)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with an export, a gallery and thresholds, and a few photographs."""
    root = tmp_path_factory.mktemp("served")
    fixtures.make_run(root / "run")
    encoder = serving.load_encoder(root / "run")
    serving.export(encoder, root / "exported", ["saved_model"])
    paths = sorted(fixtures.make_photos(root / "photos", per_class=8).rglob("*.*"))
    saved = tf.saved_model.load(str(root / "exported" / "saved_model"))
    contents = tf.constant([path.read_bytes() for path in paths])
    rows = saved.signatures["serving_default"](images=contents)["embeddings"].numpy()
    classes = [path.parent.name for path in paths]
    gallery = serving.Embeddings(rows, list(map(str, paths)), classes, {"encoder": encoder.info})
    gallery.save(root / "photos.npz")
    serving.calibrate(gallery, false_match_rate=0.05).save(root / "thresholds.json")
    return root


def searcher_of(server, root, **options):
    return server.Searcher(
        root / "exported", root / "photos.npz", root / "thresholds.json", **options
    )


@pytest.fixture(scope="module")
def searcher(server, exported):
    return searcher_of(server, exported, k=3)


class Sleeper:
    """A stand-in of a searcher: it answers after a while and remembers what it was given."""

    fingerprint, paths = "sleeper", []

    def __init__(self, answer, seconds=0.0):
        self.answer, self.seconds, self.sizes = answer, seconds, []

    def look_up(self, images):
        self.sizes.append(len(images))
        time.sleep(self.seconds)
        return [self.answer] * len(images)


@contextlib.asynccontextmanager
async def client_of(server, searcher, **limits):
    """A client of the application, without a socket."""
    application = server.make_app(searcher, server.Limits(**limits))
    transport = httpx.ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield client


def written(kind, size=(20, 30), mode="RGB", **options):
    """The bytes of an image file of noise."""
    noise = np.random.default_rng(0).integers(256, size=(*size[::-1], len(mode)), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def png_of(width, height):
    """A PNG file whose header promises many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_the_server_needs_nothing_of_the_library():
    assert "import ccpdml" not in FILE.read_text()
    assert "from ccpdml" not in FILE.read_text()


def test_an_image_gets_what_the_library_says_of_it(server, searcher, exported):
    gallery = serving.read_embeddings(exported / "photos.npz")
    path = next(path for path in gallery.paths if path.endswith("birch/0.jpg"))
    stranger = written("PNG")

    async def ask():
        async with client_of(server, searcher) as client:
            png = {"content-type": "image/png"}
            asked = [(Path(path).read_bytes(), JPEG), (stranger, png)]
            told = [await client.post("/images", content=body, headers=h) for body, h in asked]
            return told, await client.get("/health")

    (known, unknown), health = asyncio.run(ask())
    assert (known.status_code, unknown.status_code, health.status_code) == (200, 200, 200)
    known, unknown = known.json(), unknown.json()
    row = gallery.paths.tolist().index(path)
    np.testing.assert_allclose(known["embedding"], gallery.embeddings[row], atol=1e-6)
    expected = np.linalg.norm(gallery.embeddings - gallery.embeddings[row], axis=1)
    order = np.argsort(expected)[:3]
    assert [each["path"] for each in known["neighbors"]] == gallery.paths[order].tolist()
    assert [each["class_name"] for each in known["neighbors"]] == ["birch"] * 3
    np.testing.assert_allclose(
        [each["distance"] for each in known["neighbors"]], expected[order], atol=1e-6
    )
    thresholds = serving.read_thresholds(exported / "thresholds.json")
    assert (known["answer"], known["known"]) == ("birch", True)
    assert known["threshold"] == thresholds.threshold
    assert unknown["known"] == (unknown["neighbors"][0]["distance"] <= thresholds.threshold)
    assert health.json()["encoder"] == gallery.fingerprint
    assert (health.json()["images"], health.json()["requests"]) == (24, 0)


def test_what_is_too_far_is_unknown(searcher, monkeypatch):
    monkeypatch.setattr(searcher, "threshold", 1e-9)
    (answer,) = searcher.look_up([written("JPEG")])
    assert (answer.answer, answer.known, len(answer.neighbors)) == ("unknown", False, 3)


def test_the_program_serves_within_its_limits_or_says_what_is_wrong(exported, monkeypatch):
    served = []
    monkeypatch.setattr(uvicorn, "run", lambda application, **where: served.append(where))
    files = {"model": "exported", "gallery": "photos.npz", "threshold": "thresholds.json"}
    given = {name: f"--{name}={exported / file}" for name, file in files.items()}
    programs.run(FILE, *given.values(), "--max_batch=1", "--port=9000")
    assert served == [{"host": "127.0.0.1", "port": 9000, "access_log": False}]
    for name, wrong in (("model", "photos"), ("gallery", "thresholds.json"), ("point", "x")):
        with pytest.raises(SystemExit, match=f"ERROR: expected what .*'{name}': '.*{wrong}'"):
            programs.run(FILE, *(given | {name: f"--{name}={exported / wrong}"}).values())


def bad_requests():
    """Of each: name, body, headers, status, part of the sentence."""
    whole = written("JPEG", (200, 200))
    scans = written("JPEG", progressive=True)
    scan = scans[scans.rindex(b"\xff\xda") : -2]
    yield "no kind", whole, {}, 415, "Content-Type must be one of"
    yield "text", b"text", {"content-type": "text/plain"}, 415, "Received: text/plain"
    yield "packed", whole, JPEG | {"content-encoding": "gzip"}, 415, "Content-Encoding gzip"
    yield "empty", b"", JPEG, 400, "Received: none"
    yield "no image", b"no image", JPEG, 415, "must be a JPEG, PNG or WebP file"
    yield "gif", written("GIF"), JPEG, 415, "must be a JPEG, PNG or WebP file"
    yield "header cut", whole[:30], JPEG, 415, "with the header of one"
    yield "data cut", whole[: len(whole) // 2], JPEG, 422, "must be whole"
    yield "header lies", png_of(100, 100), JPEG, 422, "must be whole"
    yield "too long", whole + bytes(10**5), JPEG, 413, "up to 100000 bytes"
    yield "bomb", png_of(2**31 - 1, 2**31 - 1), JPEG, 413, "Received: 2147483647 x 2147483647"
    yield "scans", scans[:-2] + 50 * scan + scans[-2:], JPEG, 422, "up to 40 scans"
    yield "segments", b"\xff\xd8" + 1000 * b"\xff\xe0\x00\x02", JPEG, 415, "with the header of one"


def test_bad_input_is_told_what_was_expected_and_harms_nobody(server, searcher):
    whole = written("JPEG")

    async def ask():
        async with client_of(server, searcher, max_bytes=10**5, max_pixels=10**5) as client:
            cases = list(bad_requests())
            asked = [client.post("/images", content=c[1], headers=c[2]) for c in cases]
            asked.append(client.post("/images", content=whole, headers=JPEG))
            told = await asyncio.gather(*asked)
            other = [await client.get("/images"), await client.get("/nowhere")]
            return cases, told, [each.status_code for each in other]

    cases, told, other = asyncio.run(ask())
    for (name, _, _, status, sentence), response in zip(cases, told[:-1], strict=True):
        assert response.status_code == status, (name, response.text)
        assert sentence in response.json()["detail"], name
    assert told[-1].status_code == 200
    assert other == [405, 404]


def test_a_crowd_is_embedded_in_batches_or_asked_to_come_again(server, searcher):
    body = written("JPEG")
    sizes = []

    def look_up(images):
        sizes.append(len(images))
        return searcher.look_up(images)

    counted = types.SimpleNamespace(look_up=look_up, fingerprint="x", paths=[])

    async def ask():
        async with client_of(server, counted, max_requests=40, max_batch=16) as client:
            asked = [client.post("/images", content=body, headers=JPEG) for _ in range(150)]
            return await asyncio.gather(*asked), (await client.get("/health")).json()

    told, health = asyncio.run(ask())
    codes = collections.Counter(response.status_code for response in told)
    assert codes.keys() == {200, 503}
    assert codes[200] == sum(sizes) >= 40
    assert max(sizes) == 16
    assert len(sizes) < codes[200] / 4
    assert health["requests"] == 0
    assert {r.headers.get("retry-after") for r in told if r.status_code == 503} == {"1"}


def test_the_images_of_a_batch_become_no_more_pixels_than_one_may(server):
    async def ask():
        batches = server.Batches(None, server.Limits(max_pixels=100, max_batch=3))
        batches.waiting.extend((b"", pixels, None) for pixels in (60, 40, 1, 1, 1, 1, 100))
        return [[entry[1] for entry in batches._next()] for _ in range(4)]

    assert asyncio.run(ask()) == [[60, 40], [1, 1, 1], [1], [100]]


def test_who_takes_too_long_is_told_and_nothing_of_it_stays(server):
    body, sleeper = written("JPEG"), Sleeper(None, seconds=0.3)

    async def slowly():
        yield body[:10]
        await asyncio.sleep(1.0)

    async def ask():
        async with client_of(server, sleeper, seconds=0.05) as client:
            asked = [client.post("/images", content=body, headers=JPEG) for _ in range(3)]
            late = await asyncio.gather(*asked)
            busy = await client.get("/health")
            slow = await client.post("/images", content=slowly(), headers=JPEG)
            await asyncio.sleep(0.3)
            return late, busy, slow, await client.get("/health")

    late, busy, slow, after = asyncio.run(ask())
    assert [response.status_code for response in late] == [504] * 3
    assert late[0].json()["detail"] == "There was no answer within 0.05 s."
    assert (busy.status_code, after.status_code) == (503, 200)
    assert "a batch takes" in busy.json()["status"]
    assert (slow.status_code, after.json()["requests"]) == (408, 0)
    assert sum(sleeper.sizes) <= 3  # Nobody waits for the others any more.


def test_a_model_that_fails_fails_its_batch_alone(server):
    answers = iter([RuntimeError("no memory"), None])

    class Failing(Sleeper):
        def look_up(self, images):
            answer = next(answers)
            if answer:
                raise answer
            return [None] * len(images)

    async def ask():
        async with client_of(server, Failing(None)) as client:
            body = written("JPEG")
            return [
                (await client.post("/images", content=body, headers=JPEG)).status_code
                for _ in range(2)
            ]

    assert asyncio.run(ask()) == [500, 422]


def test_a_client_at_a_socket(server, searcher):
    """What a stream without a length, a broken connection and a keep-alive need a socket for."""
    application = server.make_app(searcher, server.Limits(max_bytes=10**5))
    settings = uvicorn.Config(application, port=0, log_level="warning")
    program = uvicorn.Server(settings)
    thread = threading.Thread(target=program.run)
    thread.start()
    while not program.started:
        time.sleep(0.01)
    (port,) = {socket.getsockname()[1] for each in program.servers for socket in each.sockets}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            body = written("JPEG")
            streamed = client.post("/images", content=iter([body[:99], body[99:]]), headers=JPEG)
            endless = client.post(
                "/images", content=(bytes(10**4) for _ in range(200)), headers=JPEG
            )
            too_long = client.post("/images", content=bytes(2 * 10**6), headers=JPEG)
            with pytest.raises(httpx.HTTPError):
                client.post("/images", content=broken(body), headers=JPEG)
            health = client.get("/health")
    finally:
        program.should_exit = True
        thread.join()
    assert (streamed.status_code, endless.status_code, too_long.status_code) == (200, 413, 413)
    assert (health.status_code, health.json()["requests"]) == (200, 0)


def broken(body):
    yield body[:99]
    raise httpx.WriteError("the client is gone")


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0" + bytes(60_000)}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"exif": b"Exif\0\0"}),
    ],
)
def test_the_header_of_a_file_tells_its_size(server, kind, mode, options):
    contents = written(kind, (301, 47), mode, **options)
    assert server.size_of(contents) == (301, 47)
    assert all(server.size_of(contents[:end]) in (None, (301, 47)) for end in range(200))


def test_a_gallery_of_several_parts_is_searched_exactly(server, searcher, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    several = object.__new__(server.Searcher)
    several.rows, several.k = rows, 4
    monkeypatch.setitem(server.Searcher.nearest.__globals__, "ROWS_AT_ONCE", 7)
    found, distances = several.nearest(rows[:5] + 0.1)
    expected = np.linalg.norm(rows - (rows[:5, None] + 0.1), axis=-1)
    np.testing.assert_array_equal(found, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4], rtol=1e-5)


def test_what_does_not_belong_together_is_refused(server, exported, tmp_path):
    gallery = serving.read_embeddings(exported / "photos.npz")
    other = serving.Embeddings.of(gallery.embeddings, gallery.paths, made_with="another")
    other.save(tmp_path / "other.npz")
    np.savez_compressed(tmp_path / "packed.npz", **np.load(exported / "photos.npz"))
    for name, expected in (("other", "Received: one of another"), ("packed", "a compressed one")):
        with pytest.raises(ValueError, match=expected):
            server.Searcher(
                exported / "exported", tmp_path / f"{name}.npz", exported / "thresholds.json"
            )
    with pytest.raises(ValueError, match=r"expected a point of \['false_match_rate=0.05"):
        searcher_of(server, exported, point="precision=2")
