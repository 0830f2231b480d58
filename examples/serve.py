"""Serves an exported encoder: POST an image, get its embedding, its neighbors and what it is.

pip install 'ccpdml[serve]'
ccpdml export --encoder=runs/mine --format=saved_model --output=exported
ccpdml embed --encoder=runs/mine --images=photos --output=photos.npz
ccpdml calibrate --encoder=runs/mine --output=thresholds.json
python examples/serve.py --model=exported --gallery=photos.npz --threshold=thresholds.json
curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' localhost:8000/images

It needs TensorFlow, NumPy, FastAPI and uvicorn, and none of the library. Nobody makes it hold more
than a few bodies and decode more than a few pixels at a time, whatever is sent: who asks for too
much, or when too many wait, is told so at once. Encryption, names and passwords, and clients that
send nothing for ever are for the proxy before it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import struct
import time
import zipfile
from pathlib import Path

import fastapi
import numpy as np
import pydantic
import tensorflow as tf
import uvicorn
from absl import app, flags, logging
from starlette.requests import ClientDisconnect

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "Directory of `ccpdml export`.", required=True)
flags.DEFINE_string("gallery", None, "File of `ccpdml embed`.", required=True)
flags.DEFINE_string("threshold", None, "File of `ccpdml calibrate`.", required=True)
flags.DEFINE_string("point", None, "Which threshold of the file. Default: its first.")
flags.DEFINE_integer("k", 5, "Neighbors of an answer.", lower_bound=1)
flags.DEFINE_string("host", "127.0.0.1", "Address to listen at.")
flags.DEFINE_integer("port", 8000, "Port to listen at.", lower_bound=0, upper_bound=65535)
flags.DEFINE_integer("max_bytes", 10 * 2**20, "Bytes of an image file.", lower_bound=1)
flags.DEFINE_integer("max_pixels", 2**24, "Pixels of an image, or of a batch.", lower_bound=1)
flags.DEFINE_integer("max_requests", 64, "Requests received or waiting at a time.", lower_bound=1)
flags.DEFINE_integer("max_batch", 32, "Images that are embedded at a time.", lower_bound=1)
flags.DEFINE_float("seconds", 10.0, "Time to receive an image, and as much to answer.", 0.001)

# What `Content-Type` may say. Not GIF, whose header does not tell how much all its pictures become.
KINDS = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
UNKNOWN = "unknown"
MAX_SEGMENTS, MAX_SCANS = 500, 40  # Of a JPEG file; each scan goes over all pixels again.
ROWS_AT_ONCE = 100_000


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a client may ask for; the flags of the same names explain each."""

    max_bytes: int = 10 * 2**20
    max_pixels: int = 2**24
    max_requests: int = 64
    max_batch: int = 32
    seconds: float = 10.0


class Neighbor(pydantic.BaseModel):
    """An image of the gallery: its file, its class, and how far the query is from it."""

    path: str
    class_name: str
    distance: float


class Answer(pydantic.BaseModel):
    """What is answered: the class of the nearest image within the threshold, or "unknown"."""

    answer: str
    known: bool
    threshold: float
    neighbors: list[Neighbor]
    embedding: list[float]


class Searcher:
    """The exported model, and the gallery and threshold that were made with the same encoder.

    Args:
        model, gallery, threshold, point, k: as the flags of these names.

    Raises:
        ValueError: if they are of several encoders, or one of them lacks what is needed.
        OSError: if one of them is not there.
    """

    def __init__(self, model, gallery, threshold, point=None, k=5):
        about = json.loads(Path(model, "encoder.json").read_text(encoding="utf-8"))
        thresholds = json.loads(Path(threshold).read_text(encoding="utf-8"))
        points = {each["name"]: each["distance"] for each in thresholds["points"]}
        if point is not None and point not in points:
            raise ValueError(f"{threshold}: expected a point of {list(points)}. Received: {point=}")
        self.threshold = points[point] if point else next(iter(points.values()))
        with np.load(gallery, allow_pickle=False) as arrays:
            self.paths, self.classes = arrays["paths"], arrays["classes"]
            made_with = json.loads(str(arrays["info"]))["encoder"]["fingerprint"]
        if UNKNOWN in self.classes:
            raise ValueError(
                f"{gallery}: expected no class of the name {UNKNOWN!r}, an answer here"
            )
        self.rows, self.k = mapped(gallery), min(k, len(self.paths))
        self.fingerprint = about["fingerprint"]
        for file, theirs in (
            (gallery, made_with),
            (threshold, thresholds["encoder"]["fingerprint"]),
        ):
            if theirs != self.fingerprint:
                raise ValueError(
                    f"{file}: expected one of the encoder of {model}, {self.fingerprint}. "
                    f"Received: one of {theirs}"
                )
        saved = list(Path(model, "saved_model").rglob("saved_model.pb"))
        if len(saved) != 1:
            raise ValueError(f"{model}: expected one exported SavedModel. Received: {len(saved)}")
        self._module = tf.saved_model.load(str(saved[0].parent))  # Its variables live as long.
        self._embed = self._module.signatures["serving_default"]

    def look_up(self, images):
        """Bytes of image files -> an `Answer` each, None of one that cannot be decoded."""
        # Few sizes: TensorFlow's kernels get ready for each when it comes for the first time.
        size = 1 << (len(images) - 1).bit_length()
        found = self._embed(images=tf.constant(images + [b""] * (size - len(images))))
        valid = found["valid"].numpy()[: len(images)]
        embeddings = found["embeddings"].numpy()[: len(images)]
        answers = [None] * len(images)
        near, distances = self.nearest(embeddings[valid])
        for place, row, far in zip(np.flatnonzero(valid), near, distances, strict=True):
            answers[place] = self._answer(embeddings[place], row, far)
        return answers

    def nearest(self, queries):
        """The nearest images of the gallery, nearest first, of all its parts.

        Args:
            queries: embeddings, float32 [n, dim].

        Returns:
            Tuple (row in the gallery int, Euclidean distance float64), [n, k] each.
        """
        candidates = []
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            part = np.asarray(self.rows[start : start + ROWS_AT_ONCE])
            scores = np.einsum("ij,ij->i", part, part) - 2 * queries @ part.T
            # Twice as many as are wanted: products round, and differences then order them.
            last = min(2 * self.k, len(part)) - 1
            candidates.append(start + np.argpartition(scores, last, axis=1)[:, : last + 1])
        rows = np.sort(np.concatenate(candidates, axis=1), axis=1)
        distances = np.linalg.norm(self.rows[rows] - queries[:, None].astype(float), axis=-1)
        order = np.argsort(distances, axis=1, kind="stable")[:, : self.k]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

    def _answer(self, embedding, rows, distances):
        is_known = bool(np.float32(distances[0]) <= np.float32(self.threshold))
        return Answer(
            answer=self.classes[rows[0]] if is_known else UNKNOWN,
            known=is_known,
            threshold=self.threshold,
            neighbors=[
                Neighbor(path=self.paths[row], class_name=self.classes[row], distance=distance)
                for row, distance in zip(rows, distances, strict=True)
            ],
            embedding=embedding.tolist(),
        )


def mapped(gallery):
    """The embeddings in a file of `ccpdml embed`, which stay on the disk: float32 [n, dim]."""
    with zipfile.ZipFile(gallery) as archive, archive.open("embeddings.npy") as member:
        about = archive.getinfo("embeddings.npy")
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        start = about.header_offset + 30 + member.tell()
    if about.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"{gallery}: expected a file of `ccpdml embed`. Received: a compressed one"
        )
    with open(gallery, "rb") as file:
        file.seek(about.header_offset + 26)  # What follows it has two sizes, of name and rest.
        start += sum(struct.unpack("<HH", file.read(4)))
    return np.memmap(gallery, dtype, "r", start, shape)


class Batches:
    """Embeds what waits at the same time in one call, on one thread.

    Args:
        look_up: function of a list of the bytes of files -> a list of answers.
        limits: `Limits`.
    """

    def __init__(self, look_up, limits):
        self.look_up, self.limits = look_up, limits
        self.waiting = collections.deque()  # Tuples (bytes, number of pixels, future).
        self._arrived = asyncio.Event()
        self._since = None

    @property
    def busy(self):
        """Seconds that the batch under way has taken so far."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def answer(self, contents, num_pixels):
        """The answer to one image, when its batch is done."""
        entry = (contents, num_pixels, asyncio.get_running_loop().create_future())
        self.waiting.append(entry)
        self._arrived.set()
        try:
            return await entry[-1]
        finally:  # It is still there if nobody waits any more.
            if entry in self.waiting:
                self.waiting.remove(entry)

    async def run(self):
        """Answers for ever."""
        while True:
            await self._arrived.wait()
            if batch := self._next():
                await self._work_on(batch)
            else:
                self._arrived.clear()

    def _next(self):
        """The images that are embedded next; together they become no more than one may."""
        batch, room = [], self.limits.max_pixels
        while self.waiting and len(batch) < self.limits.max_batch and self.waiting[0][1] <= room:
            batch.append(self.waiting.popleft())
            room -= batch[-1][1]
        return batch

    async def _work_on(self, batch):
        contents, _, futures = zip(*batch, strict=True)
        self._since = time.monotonic()
        try:
            answers = await asyncio.to_thread(self.look_up, list(contents))
        except Exception as error:  # Whatever it is, those who wait for it are told.
            logging.exception("A batch of %s images failed.", len(batch))
            answers = [error] * len(batch)
        finally:
            self._since = None
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():  # As it is when its time is over.
                future.set_result(answer)


def refusal(status, sentence, **headers):
    return fastapi.HTTPException(status, sentence, headers or None)


async def received(request, limits):
    """The body of a request, bytes; it is refused as soon as it is seen to be too long."""
    kind = request.headers.get("content-type", "none").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").lower()
    if kind not in KINDS or coding != "identity":
        raise refusal(
            415,
            f"Content-Type must be one of {', '.join(KINDS)}, and the body be as it is in the "
            f"file. Received: {kind}, Content-Encoding {coding}.",
        )
    length = request.headers.get("content-length")
    too_long = refusal(413, f"An image file may have up to {limits.max_bytes} bytes.")
    if length is not None and int(length) > limits.max_bytes:
        raise too_long
    contents = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                if len(contents) + len(part) > limits.max_bytes:
                    raise too_long
                contents += part
    except TimeoutError:
        raise refusal(408, f"The image must be sent within {limits.seconds:g} s.") from None
    except ClientDisconnect:
        raise refusal(400, "The connection ended before the image.") from None
    return bytes(contents)


def checked(contents, limits):
    """The number of pixels that the bytes of an image file become, from its header alone."""
    if not contents:
        raise refusal(400, "The body must be the bytes of an image file. Received: none.")
    size = size_of(contents)
    if size is None:
        raise refusal(415, "The body must be a JPEG, PNG or WebP file, with the header of one.")
    num_pixels = size[0] * size[1]
    if num_pixels > limits.max_pixels:
        raise refusal(
            413,
            f"An image may have up to {limits.max_pixels} pixels. Received: {size[0]} x {size[1]}.",
        )
    # Within the data of a scan no two bytes look like the beginning of another.
    if contents.startswith(b"\xff\xd8") and contents.count(b"\xff\xda") > MAX_SCANS:
        raise refusal(422, f"A JPEG file may have up to {MAX_SCANS} scans.")
    return max(num_pixels, 1)


def size_of(contents):
    """Width and height of a JPEG, PNG or WebP file; None of anything else.

    A library that opens images would do more than this with a file that is there to do harm.
    """
    try:
        if contents.startswith(b"\x89PNG\r\n\x1a\n") and contents[12:16] == b"IHDR":
            return struct.unpack_from(">II", contents, 16)
        if contents.startswith(b"RIFF") and contents[8:12] == b"WEBP":
            return size_of_webp(contents)
        if contents.startswith(b"\xff\xd8\xff"):
            return size_of_jpeg(contents)
    except (struct.error, IndexError):  # It ends within its header.
        pass
    return None


def size_of_jpeg(contents):
    """Width and height, from the first segment that tells them; None if there is none."""
    place = 2
    for _ in range(MAX_SEGMENTS):
        while contents[place] == 0xFF:  # Any number of them begins a segment.
            place += 1
        marker, (length,) = contents[place], struct.unpack_from(">H", contents, place + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack_from(">HH", contents, place + 4)[::-1]
        place += 1 + length
    return None


def size_of_webp(contents):
    """Width and height, of any of the three kinds of such files; None of another."""
    kind = contents[12:16] if len(contents) >= 30 else None
    if kind == b"VP8X":
        width, height = (int.from_bytes(contents[i : i + 3], "little") for i in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", contents, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", contents, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


BODY = {"required": True, "content": {kind: {"schema": {"format": "binary"}} for kind in KINDS}}


def make_app(searcher, limits):
    """The ASGI application.

    Args:
        searcher: what looks images up, `Searcher`.
        limits: `Limits`.
    """
    batches, num_inside = Batches(searcher.look_up, limits), 0

    @contextlib.asynccontextmanager
    async def lifespan(_):
        task = asyncio.create_task(batches.run())
        yield
        task.cancel()

    application = fastapi.FastAPI(title="An exported encoder", lifespan=lifespan)

    @application.post("/images", openapi_extra={"requestBody": BODY})
    async def images(request: fastapi.Request) -> Answer:
        """The nearest images of the gallery to one, and its class or "unknown"."""
        nonlocal num_inside
        if num_inside >= limits.max_requests:
            raise refusal(
                503, "Too many images wait; ask again in a second.", **{"Retry-After": "1"}
            )
        num_inside += 1
        try:
            contents = await received(request, limits)
            num_pixels = checked(contents, limits)
            async with asyncio.timeout(limits.seconds):
                answer = await batches.answer(contents, num_pixels)
        except TimeoutError:
            raise refusal(504, f"There was no answer within {limits.seconds:g} s.") from None
        finally:
            num_inside -= 1
        if answer is None:
            raise refusal(422, "The image must be whole. Received: one that cannot be decoded.")
        if isinstance(answer, Exception):
            raise refusal(500, "The model failed; its error is in the log of the server.")
        return answer

    @application.get("/health")
    async def health(response: fastapi.Response):
        """Whether images are answered, by which encoder, and how many are at it."""
        is_well = batches.busy <= limits.seconds
        response.status_code = 200 if is_well else 503
        return {
            "status": "ok" if is_well else f"a batch takes {batches.busy:.0f} s already",
            "encoder": searcher.fingerprint,
            "images": len(searcher.paths),
            "requests": num_inside,
        }

    return application


def main(_):
    given = {name: FLAGS[name].value for name in ("model", "gallery", "threshold", "point", "k")}
    try:
        searcher = Searcher(**given)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise SystemExit(
            "ERROR: expected what `ccpdml export`, `embed` and `calibrate` write, of one encoder. "
            f"Received: {given}: {error}"
        ) from None
    limits = Limits(**{each.name: FLAGS[each.name].value for each in dataclasses.fields(Limits)})
    sizes = [1 << power for power in range((limits.max_batch - 1).bit_length() + 1)]
    for size in sizes:  # The first call of a size takes longer.
        searcher.look_up([b""] * size)
    uvicorn.run(make_app(searcher, limits), host=FLAGS.host, port=FLAGS.port, access_log=False)


if __name__ == "__main__":
    app.run(main)
