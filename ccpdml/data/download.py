"""Downloads that can be interrupted and are checked; only ever on request."""

import hashlib
import pathlib
import shutil
import tarfile
import urllib.request

_BLOCK = 1 << 20


def fetch(archive, file, on_progress=None):
    """Downloads a file, going on where an earlier attempt stopped.

    What has come so far is in `<file>.part`; it becomes `file` once size and checksum are right.

    Args:
        archive: `benchmark.Archive`.
        file: `pathlib.Path` to write to.
        on_progress: function called with a number of bytes each time so many arrived.

    Raises:
        OSError: if the server cannot be reached.
        ValueError: if what came is not what was published; the `.part` file is removed.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    done = part.stat().st_size if part.exists() else 0
    if done < archive.size:
        _download(archive.url, part, done, on_progress)
    size, sha256 = part.stat().st_size, _sha256(part)
    if (size, sha256) != (archive.size, archive.sha256):
        part.unlink()
        raise ValueError(
            f"{archive.url}: expected {archive.size} bytes of SHA-256 {archive.sha256}. "
            f"Received: {size} bytes of {sha256}"
        )
    part.rename(file)


def benchmark(name, about, root, on_progress=None):
    """Downloads and unpacks a benchmark under the data root, unless it is there already.

    Args:
        name: what the caller asked for.
        about: its `benchmark.Benchmark`, or None if it is none.
        root: data root, `pathlib.Path`.
        on_progress: as for `fetch`.

    Raises:
        ValueError: if nobody serves it freely; says how to get it.
    """
    if about is None or about.archive is None:
        how = "" if about is None else f" To get it: {about.how_to_get}."
        raise ValueError(f"{name!r} cannot be downloaded from here.{how}")
    folder = about.folders[0]
    if (root / folder).exists():
        return
    file = root / about.archive.url.rsplit("/", 1)[-1]
    fetch(about.archive, file, on_progress)
    # Moved into place when it is whole, so that an interruption leaves no half of it.
    unpacked = file.with_name(file.name + ".unpacked")
    unpack(file, unpacked)
    (unpacked / folder).rename(root / folder)
    shutil.rmtree(unpacked)


def unpack(file, folder):
    """Unpacks a tar archive into `folder`; refuses members that lead out of it."""
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")


def _download(url, part, done, on_progress):
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=60) as response:
        # A server that cannot resume sends everything again, with status 200 instead of 206.
        resumed = response.status == 206
        if on_progress is not None and resumed:
            on_progress(done)
        with part.open("ab" if resumed else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                if on_progress is not None:
                    on_progress(len(block))


def _sha256(file: pathlib.Path):
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
