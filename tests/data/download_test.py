import dataclasses
import hashlib
import http.server
import io
import re
import tarfile
import threading

import pytest

from ccpdml.data import benchmark, download, loading
from tests.data import miniatures

CONTENTS = bytes(range(256)) * 40


@pytest.fixture
def server():
    """Serves CONTENTS, in parts if asked; its `ranges` are those that were asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            self.server.ranges.append(asked)
            start = int(re.match(r"bytes=(\d+)-", asked).group(1)) if asked else 0
            self.send_response(206 if asked else 200)
            self.end_headers()
            self.wfile.write(self.server.contents[start:])

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.ranges, server.contents = [], CONTENTS
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def archive(server, contents=CONTENTS):
    url = f"http://127.0.0.1:{server.server_port}/birds.tgz"
    return benchmark.Archive(url, len(contents), hashlib.sha256(contents).hexdigest())


def test_download_is_checked_and_not_repeated(server, tmp_path):
    file = tmp_path / "new" / "birds.tgz"
    arrived = []
    for _ in range(2):
        download.fetch(archive(server), file, arrived.append)
    assert file.read_bytes() == CONTENTS
    assert sum(arrived) == len(CONTENTS)
    assert server.ranges == [None]


def test_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    file = tmp_path / "birds.tgz"
    file.with_name("birds.tgz.part").write_bytes(CONTENTS[:1000])
    arrived = []
    download.fetch(archive(server), file, arrived.append)
    assert file.read_bytes() == CONTENTS
    assert sum(arrived) == len(CONTENTS)
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("wrong", [CONTENTS[:-1], b"<html>moved</html>", CONTENTS[:-1] + b"x"])
def test_wrong_download_is_refused_and_removed(server, tmp_path, wrong):
    server.contents = wrong
    with pytest.raises(ValueError, match=f"{len(CONTENTS)} bytes of SHA-256.*Received"):
        download.fetch(archive(server), tmp_path / "birds.tgz")
    assert list(tmp_path.iterdir()) == []


def test_archive_is_unpacked_inside_its_folder_only(tmp_path):
    def pack(name):
        with tarfile.open(tmp_path / "birds.tgz", "w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(CONTENTS)
            tar.addfile(member, io.BytesIO(CONTENTS))

    pack("CUB_200_2011/images.txt")
    download.unpack(tmp_path / "birds.tgz", tmp_path / "data")
    assert (tmp_path / "data" / "CUB_200_2011" / "images.txt").read_bytes() == CONTENTS
    pack("../outside.txt")
    with pytest.raises(tarfile.FilterError):
        download.unpack(tmp_path / "birds.tgz", tmp_path / "data")
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.parametrize("name", ["cars", "sop", "inshop", "digits"])
def test_what_nobody_serves_freely_is_not_downloaded(name, tmp_path):
    about = loading.BENCHMARKS.get(name)
    with pytest.raises(ValueError, match=f"'{name}' cannot be downloaded"):
        download.benchmark(name, about, tmp_path)


def test_benchmark_that_is_served_freely_is_fetched_unpacked_and_readable(server, tmp_path):
    miniatures.cub(tmp_path / "there")
    with tarfile.open(tmp_path / "birds.tgz", "w:gz") as tar:
        tar.add(tmp_path / "there" / "CUB_200_2011", "CUB_200_2011")
    server.contents = (tmp_path / "birds.tgz").read_bytes()
    about = dataclasses.replace(loading.BENCHMARKS["cub"], archive=archive(server, server.contents))
    for _ in range(2):
        download.benchmark("cub", about, tmp_path / "here")
    assert len(about.read(tmp_path / "here").test) == 20
    assert len(server.ranges) == 1
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "CUB_200_2011",
        "birds.tgz",
    ]
