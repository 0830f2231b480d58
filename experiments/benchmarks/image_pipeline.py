"""Images per second of the input pipeline, beside a Pillow loader in as many processes as cores.

python experiments/benchmarks/image_pipeline.py

Two comparisons on synthetic JPEG files, rounds of both sides taking turns:
training  random crop, resize to 227, mirror, batches of 32; from 500 x 400 files. The Pillow side
          crops and resizes alike, with draft mode, and hands its batches to this process.
check     what `check_data` does with small files: open, decode, fingerprint. The Pillow side only
          opens and decodes.
"""

import functools
import io
import math
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import app, flags
from PIL import Image

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_photographs", 1024, "Files of 500 x 400 pixels.")
flags.DEFINE_integer("num_small", 6000, "Files of 64 x 48 pixels.")
flags.DEFINE_integer("rounds", 5, "Rounds of each side.")

SIZE = 227
BATCH = 32


def main(argv):
    del argv
    with tempfile.TemporaryDirectory() as folder, _pool() as pool:
        photographs = _write(
            pathlib.Path(folder) / "photographs", FLAGS.num_photographs, (500, 400)
        )
        small = _write(pathlib.Path(folder) / "small", FLAGS.num_small, (64, 48))
        _compare(
            "training", len(photographs), _training(photographs), _run(pool, _crop, photographs)
        )
        _compare("check", len(small), _check(small), _run(pool, _open, small))


def _pool():
    # Keeps freed memory in the worker: asking for it again for every image would cost a third.
    os.environ |= {"MALLOC_TRIM_THRESHOLD_": "100000000", "MALLOC_MMAP_THRESHOLD_": "100000000"}
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    return multiprocessing.get_context("spawn").Pool(os.cpu_count())


def _compare(title, num_images, ours, theirs):
    """Prints the medians over rounds of images per second, and of CPU time per image."""
    ours(), theirs()  # Warm up: files in the page cache, processes started, graph built.
    rounds = []
    for _ in range(FLAGS.rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        ours()
        middle, our_cpu = time.perf_counter(), time.process_time() - cpu
        # Their workers' time, and this process's to receive what they send.
        their_cpu = theirs() + time.process_time() - cpu - our_cpu
        seconds = middle - wall, time.perf_counter() - middle
        rounds.append((*(num_images / second for second in seconds), our_cpu, their_cpu))
    mine, other, our_cpu, their_cpu = (
        statistics.median(side) for side in zip(*rounds, strict=True)
    )
    print(
        f"{title}: {mine:.0f} images/s, Pillow {other:.0f}, ratio {_ratio(rounds, 0, 1):.2f}; CPU "
        f"per image {1e6 * our_cpu / num_images:.0f} us, Pillow "
        f"{1e6 * their_cpu / num_images:.0f} us, ratio {_ratio(rounds, 3, 2):.2f}"
    )


def _ratio(rounds, numerator, denominator):
    return statistics.median(row[numerator] / row[denominator] for row in rounds)


def _training(paths):
    """Function that draws as many training views as there are files."""
    from ccpdml.data import image_set, pipelines, samplers, views

    labels = np.arange(len(paths)) % (len(paths) // 4)
    images = image_set.ImageSet(np.array(paths), labels, [str(i) for i in range(len(paths) // 4)])
    sampler = samplers.ClassBalancedSampler(labels, BATCH // 4, 4)
    view = views.RandomResizedCrop(SIZE)

    # Finite, so that it cannot work ahead while it is Pillow's turn.
    batches = pipelines.training_batches(images, sampler, view, num_steps=len(paths) // BATCH)

    def draw():
        for _ in batches:
            pass

    return draw


def _check(paths):
    from ccpdml.data import doctor

    return lambda: doctor.read_all(np.array(paths))


def _run(pool, function, paths):
    """Function that has the pool do it and returns the CPU time of its processes."""
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    task = functools.partial(_batch, function)
    return lambda: sum(seconds for _, seconds in pool.imap(task, batches))


def _batch(function, paths):
    start = time.process_time()
    results = np.stack([function(path) for path in paths])
    return results, time.process_time() - start


def _crop(path):
    """The same random crop, resize and mirroring by Pillow."""
    rng = np.random.default_rng()
    image = Image.open(path)
    full_width, full_height = image.size
    # As TensorFlow draws it: any aspect, then any height that keeps area and image.
    aspect = rng.uniform(3 / 4, 4 / 3)
    lowest = math.sqrt(0.16 * full_width * full_height / aspect)
    highest = min(full_height, full_width / aspect)
    height = rng.uniform(lowest, highest)
    width = height * aspect
    left, top = rng.uniform(0, full_width - width), rng.uniform(0, full_height - height)
    # Decodes at 1/2, 1/4 or 1/8 of the size where that is enough for the view.
    image.draft("RGB", (int(SIZE * full_width / width), int(SIZE * full_height / height)))
    scale = image.size[0] / full_width
    box = [scale * edge for edge in (left, top, left + width, top + height)]
    view = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
    if rng.uniform() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(view)


def _open(path):
    return Image.open(path).convert("RGB").size


def _write(folder, count, size):
    """Writes smooth pictures with fine noise, about as large in bytes as photographs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{i:05}.jpg") for i in range(count)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
        pixels = pixels + rng.integers(-10, 11, pixels.shape, dtype=np.int16)
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        pathlib.Path(path).write_bytes(stream.getvalue())
    return paths


if __name__ == "__main__":
    app.run(main)
