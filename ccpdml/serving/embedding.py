"""Embedding many image files: in bounded memory, stopped at any time, and no file twice."""

import contextlib
import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from ccpdml import files
from ccpdml.serving import embeddings, looking, sources
from ccpdml.serving.image_encoder import ImageEncoder

PART_SIZE = 1024  # Images that are read back and written at a time.


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Result of `embed_images`.

    Attributes:
        path: of the file of embeddings.
        num_new: images that were embedded now.
        num_kept: images whose embeddings were there already.
        num_dropped: images that the file held before and that are not among the given ones.
        skipped: reason by path, of the images that cannot be decoded; dict.
    """

    path: Path
    num_new: int
    num_kept: int
    num_dropped: int
    skipped: dict[str, Any]

    def __str__(self):
        parts = [
            f"{self.num_new} embedded now",
            f"{self.num_kept} taken over from before" if self.num_kept else "",
            f"{self.num_dropped} dropped (not among the images)" if self.num_dropped else "",
            f"{len(self.skipped)} left out (unreadable)" if self.skipped else "",
        ]
        return ", ".join(filter(None, parts))


def embed_images(
    encoder: ImageEncoder,
    images: sources.ImageFiles,
    output: str | Path,
    batch_size: int = 64,
    skip_unreadable: bool = False,
    shard_size: int = 1024,
    progress: bool = True,
) -> Embedded:
    """Embeds image files into one .npz file; called again, it embeds what is new or has changed.

    Files are told apart by their contents: an image that `output` holds already is not embedded
    again, be it under another name, and what is not among `images` any more is dropped. After a
    stop it goes on likewise, from `<output>.parts/`, where each `shard_size` images are kept until
    all are done. On a CPU, with the same `batch_size`, the result is the same, to the byte, as of
    one call that embeds all.

    Args:
        encoder: a trained encoder; see `load_encoder`.
        images: files to embed; see `find_images`.
        output: .npz file to write; see `Embeddings` for what it holds.
        batch_size: images in the network at a time; fewer are filled up.
        skip_unreadable: whether files that cannot be decoded are left out, and told in what is
            returned. Files that are missing are an error all the same.
        shard_size: images between two safe points.
        progress: whether to show a progress bar.

    Raises:
        UnreadableImageError: if a file cannot be decoded; names it. What came before it is kept.
        ValueError: if `output` does not end in .npz, is no file of embeddings, is of another
            encoder, or holds none of the images.
        OSError: if a file is missing, or cannot be reached or written.
    """
    output = Path(output).expanduser()
    _check(output, images, batch_size, shard_size)
    before = _read_before(output, encoder, images) if output.is_file() else None
    parts = output.with_name(output.name + ".parts")
    _refuse_others(parts, encoder.info["fingerprint"])
    made = _Made(parts, before, encoder)
    known = frozenset(made.where)
    with (
        _made_if_missing(parts),
        tqdm.tqdm(total=len(images), unit="image", disable=not progress) as bar,
    ):
        shards = looking.batches(images.paths, shard_size)
        digests, skipped = _embed_shards(encoder, shards, made, batch_size, skip_unreadable, bar)
    if not digests:
        path, why = next(iter(skipped.items()))
        raise ValueError(f"None of the {len(images)} images can be read, e.g. {path}: {why}")
    _write(output, images, digests, {"encoder": encoder.info}, made, before)
    _remove(parts)
    return Embedded(
        path=output,
        num_new=sum(digest not in known for digest in digests.values()),
        num_kept=sum(digest in known for digest in digests.values()),
        num_dropped=0 if before is None else _num_dropped(before, images.paths, digests),
        skipped=skipped,
    )


def _check(output, images, batch_size, shard_size):
    if min(batch_size, shard_size, len(images)) < 1 or output.suffix != ".npz":
        raise ValueError(
            "There must be images, `batch_size` and `shard_size` must be at least 1, and `output` "
            f"must end in .npz. Received: {len(images)} images, {batch_size=}, {shard_size=}, "
            f"output={str(output)!r}"
        )
    if output.is_dir():
        raise FileExistsError(f"{output} is there already, a folder. Choose another output.")


class _Made:
    """Embeddings that are made already, found by the digest of the image's file.

    Args:
        folder: where new ones are kept, and those of an earlier call that was stopped.
        before: `Embeddings` of an earlier call that ended, or None.
        encoder: what makes them.

    Attributes:
        where: (source, row) by digest.
    """

    def __init__(self, folder, before, encoder):
        self.folder, self.encoder, self.sources, self.where = folder, encoder, [], {}
        if before is not None:
            self._add(before.digests, before.embeddings)
        for part in sorted(folder.glob("*.npz")):
            with np.load(part) as arrays:
                self._add(arrays["digests"], part)

    def add(self, digests, rows):
        """Keeps new embeddings, float32 [n, dim], also for a later call."""
        # Two processes that are at work here do not replace each other's.
        part = self.folder / f"{len(self.sources):06d}-{os.getpid()}-{digests[0]}.npz"
        fingerprint = self.encoder.info["fingerprint"]
        with files.replacing(part) as file:
            np.savez(file, digests=digests, embeddings=rows, fingerprint=fingerprint)
        self._add(np.array(digests), part)

    def rows(self, digests):
        """The embeddings of some digests, float32 [n, dim]; one source at a time is in memory."""
        sources, rows = np.array([self.where[digest] for digest in digests]).T
        found = np.empty([len(digests), self.encoder.embedding_size], np.float32)
        for source in np.unique(sources):
            mine = sources == source
            found[mine] = self._load(self.sources[source])[rows[mine]]
        return found

    def _add(self, digests, source):
        number = len(self.sources)
        self.sources.append(source)
        rows = enumerate(digests.tolist())
        self.where |= {digest: (number, row) for row, digest in rows if digest}

    @staticmethod
    def _load(source):
        if isinstance(source, np.ndarray):
            return source
        with np.load(source) as arrays:
            return arrays["embeddings"]


def _embed_shards(encoder, shards, made, batch_size, skip_unreadable, bar):
    """Embeds what is not made yet, shard by shard.

    Returns:
        Tuple: digest by path, of the images that can be decoded; reason by path, of the others.
    """
    digests, skipped, num_seen = {}, {}, 0

    def skip(seen):
        skipped[seen.name] = seen.why

    for paths in shards:
        seen = looking.look(encoder.look, paths, made.where)
        seen = looking.readable(seen, skip if skip_unreadable else None)
        digests |= _embed_shard(encoder, seen, made, batch_size, bar.update)
        num_seen += len(paths)
        bar.update(num_seen - bar.n)
    return digests, skipped


def _embed_shard(encoder, seen, made, batch_size, on_progress):
    """Embeds what is not made yet.

    Args:
        seen: what `looking.look` sees of the shard's images, without what cannot be decoded.

    Returns:
        Digest by path of all images seen.
    """
    found, new, rows = {}, [], []

    def count(seen):
        for each in seen:
            found[each.name] = each.digest
            on_progress(1)
            if each.pixels is not None:
                yield each

    for batch in looking.batches(count(seen), batch_size):
        # Of a batch of one size an image gets the same embedding, to the bit, whatever else is in
        # it; of batches of other sizes it need not.
        pixels = np.zeros([batch_size, *batch[0].pixels.shape], np.uint8)
        pixels[: len(batch)] = [each.pixels for each in batch]
        rows.append(encoder(pixels)[: len(batch)])
        new += [each.digest for each in batch]
    if new:
        made.add(new, np.concatenate(rows))
    return found


def _read_before(output, encoder, images):
    """Reads what an earlier call left, and refuses what is not of this encoder or these images."""
    try:
        before = embeddings.read_embeddings(output)
    except ValueError as error:
        raise ValueError(f"{output} is there already. Choose another output. {error}") from error
    other = ""
    if before.fingerprint != encoder.info["fingerprint"]:
        other = "was made with another encoder"
    elif not _shares_images(before, images.paths):
        other = "holds none of these images"
    if other:
        raise ValueError(f"{output} is there already and {other}. Choose another, or remove it.")
    return before


def _shares_images(before, paths):
    """Tells whether a file of embeddings holds one of the images, in its place or moved."""
    if not set(before.files.tolist()).isdisjoint(embeddings.locations(paths).tolist()):
        return True
    digests = set(before.digests.tolist()) - {""}
    return any(looking.digest(Path(path).read_bytes()) in digests for path in paths)


def _refuse_others(parts, fingerprint):
    """Refuses a folder of parts that is somebody else's, or of another encoder."""
    for path in parts.iterdir() if parts.is_dir() else ():
        if path.suffix == files.UNFINISHED:
            continue  # Of a call that was killed while it wrote.
        if _fingerprint_of(path) != fingerprint:
            raise FileExistsError(
                f"{parts} is there already, and {path.name} in it is not of this encoder. Choose "
                "another output, or move it away."
            )


@contextlib.contextmanager
def _made_if_missing(parts):
    """Makes the folder of the parts, and removes it if an error leaves it empty."""
    parts.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            parts.rmdir()
        raise


def _fingerprint_of(part):
    if part.suffix != ".npz" or not zipfile.is_zipfile(part):
        return None
    with np.load(part) as arrays:
        return str(arrays["fingerprint"]) if "fingerprint" in arrays else None


def _remove(parts):
    """Removes the folder of the parts, if no other process has something new in it."""
    for path in [*parts.glob("*.npz"), *parts.glob(f"*{files.UNFINISHED}")]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        parts.rmdir()


def _num_dropped(before, paths, digests):
    """Images of an earlier call of which neither the path nor the contents are given now."""
    are_given = np.isin(before.paths, paths) | np.isin(before.digests, list(digests.values()))
    return int((~are_given).sum())


def _write(output, images, digests, info, made, before):
    """Writes the file of embeddings, if there is anything new in it."""
    kept = [place for place, path in enumerate(images.paths) if path in digests]
    texts = {
        "paths": np.array(images.paths)[kept],
        "classes": np.array(images.classes)[kept],
        "digests": np.array([digests[images.paths[place]] for place in kept]),
    }
    if before is not None and before.says(texts, info):
        return
    parts = looking.batches(texts["digests"].tolist(), PART_SIZE)
    embeddings.write(output, map(made.rows, parts), texts, info)
