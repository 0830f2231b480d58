"""What the example of a server does when everybody comes at once, or comes to do harm.

python experiments/benchmarks/serving.py --model=exported --gallery=photos.npz \
    --threshold=thresholds.json --image=photo.jpg

Starts examples/serve.py in a process of its own. First `--steady` clients ask one image after the
other; then `--requests` clients, all at the same time, ask one each, then with bodies that are
there to do harm, 100 with images as large as they may be, and all as before. Of each it tells the
codes of the answers, the seconds until they came (median and the slowest of 100, of those with an
embedding and of all others), and the memory of the server: before, its peak, and afterwards (MiB of
its own, as Linux counts them).
"""

import asyncio
import collections
import contextlib
import json
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
for name in ("model", "gallery", "threshold"):
    flags.DEFINE_string(name, None, "As of examples/serve.py.", required=True)
flags.DEFINE_string("image", None, "Image file that is asked for.", required=True)
flags.DEFINE_integer("requests", 10_000, "Clients that come at once.")
flags.DEFINE_integer("steady", 32, "Clients that come one image after the other.")
flags.DEFINE_integer("port", 8765, "Port of the server.")

SERVER = Path(__file__).resolve().parents[2] / "examples" / "serve.py"
PATIENCE = 120  # Seconds that a client waits.


def main(_):
    given = [f"--{name}={FLAGS[name].value}" for name in ("model", "gallery", "threshold", "port")]
    server = subprocess.Popen([sys.executable, SERVER, *given], stderr=subprocess.DEVNULL)
    try:
        wait_for(server)
        image = Path(FLAGS.image).read_bytes()
        each = [request(image)] * (FLAGS.requests // FLAGS.steady // 4)
        told("steady", server, [each] * FLAGS.steady)
        told("crowd", server, [[request(image)]] * FLAGS.requests)
        bodies = [image[: len(image) // 2], bomb(), b"no image", b"", bytes(20 * 2**20), image]
        harm = [request(body) for body in bodies]
        told("harm", server, [[harm[i % len(harm)]] for i in range(FLAGS.requests)])
        told("largest", server, [[request(largest())]] * 100)
        told("crowd again", server, [[request(image)]] * FLAGS.requests)
        print("health afterwards:", json.dumps(health()))
    finally:
        server.terminate()
        server.wait()


def health():
    with urllib.request.urlopen(f"http://127.0.0.1:{FLAGS.port}/health") as answer:
        return json.load(answer)


def wait_for(server):
    while True:
        if server.poll() is not None:
            raise SystemExit("ERROR: the server did not start; try examples/serve.py")
        with contextlib.suppress(urllib.error.URLError):
            return health()
        time.sleep(0.2)


def memory(server, name):
    """Memory of the server in MiB: now ("VmRSS") or at its peak ("VmHWM")."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(f"Expected a process of Linux. Received: one without {name}")


def request(body):
    head = (
        "POST /images HTTP/1.1\r\nHost: server\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def png(width, height, rows):
    """A PNG file with transparency, of compressed rows of pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = [header, b"IDAT" + rows, b"IEND"]
    parts = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb():
    """A file of a few bytes that says to be of 2 ** 60 pixels."""
    return png(2**30, 2**30, b"")


def largest():
    """A file of 2 ** 24 pixels, the most that is decoded."""
    return png(2**12, 2**12, zlib.compress(bytes(2**12 * (1 + 4 * 2**12))))


def told(name, server, clients):
    """Has clients ask, each a list of requests, and prints what came of it."""
    # What Linux writes here makes the peak that of now.
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before, started = memory(server, "VmRSS"), time.perf_counter()
    answers = asyncio.run(ask(clients))
    seconds = time.perf_counter() - started
    codes = collections.Counter(code for code, _ in answers)
    print(f"{name}: {len(answers)} requests of {len(clients)} clients in {seconds:.1f} s")
    print("  codes:", ", ".join(f"{code}: {codes[code]}" for code in sorted(codes, key=str)))
    for kind, is_kind in (("200", True), ("others", False)):
        times = [s for code, s in answers if (code == 200) == is_kind]
        if times:
            print(
                f"  {kind}: median {np.median(times):.2f} s, p99 {np.quantile(times, 0.99):.2f} s"
            )
    peak, after = memory(server, "VmHWM"), memory(server, "VmRSS")
    print(f"  memory: {before:.0f} MiB before, {peak:.0f} at its peak, {after:.0f} afterwards")


async def ask(clients):
    """The code and the seconds of every answer."""
    ready = asyncio.Event()
    tasks = [asyncio.create_task(client(requests, ready)) for requests in clients]
    await asyncio.sleep(0)
    ready.set()
    return [answer for answers in await asyncio.gather(*tasks) for answer in answers]


async def client(requests, ready):
    await ready.wait()
    answers = []
    for each in requests:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await answer_to(each)
        except (OSError, EOFError, TimeoutError) as error:  # Told as what it is.
            code = type(error).__name__
        answers.append((code, time.perf_counter() - started))
    return answers


async def answer_to(each):
    reader, writer = await asyncio.open_connection("127.0.0.1", FLAGS.port)
    try:
        # Who is refused at once may be so before it has sent everything.
        sending = asyncio.create_task(send(writer, each))
        code = int((await reader.readuntil(b"\r\n")).split()[1])
        sending.cancel()
        return code
    finally:
        writer.close()


async def send(writer, each):
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(each), 2**16):
            writer.write(each[start : start + 2**16])
            await writer.drain()


if __name__ == "__main__":
    app.run(main)
