"""Seconds of forward and backward of every loss, beside pytorch-metric-learning's.

python experiments/benchmarks/losses.py --torch_python=/path/to/python
    runs both sides in turn on the same cores and prints the ratios. That Python needs torch and
    pytorch-metric-learning 2.9; this one needs ccpdml. Cases alternate between the two sides, so
    that other load on the machine meets both.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np

DIM, ROUNDS = 128, 3
PAIRS = ("C2", "C1", "MS", "Triplet", "Margin", "NormalizedSoftmax")
PROXIES = ("ProxyAnchor", "ProxyNCA", "SoftTriple")
CASES = [(name, batch, 0, 0) for name in PAIRS[:5] for batch in (32, 128)]
CASES += [
    (name, batch, classes, 4) for name in PAIRS for batch in (32, 128) for classes in (98, 8488)
]
CASES += [
    (name, batch, classes, 1)
    for name in PROXIES[:2]
    for batch in (32, 128)
    for classes in (98, 8488)
]
CASES += [("SoftTriple", batch, classes, 4) for batch in (32, 128) for classes in (98, 8488)]
CASES += [(f"XBM {name}", 32, 0, 44800) for name in ("C1", "C2")]


def inputs(batch, num_classes):
    """Embeddings of a batch of 4 images per class, and labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(batch // 4), 4) % max(num_classes, batch // 4)
    return rng.normal(size=(batch, DIM)).astype("float32"), labels.astype("int32")


def proxies(num_classes, per_class):
    """Points around the sphere, [num_classes * per_class, dim], and their labels."""
    points = np.random.default_rng(1).normal(size=(num_classes * per_class, DIM))
    labels = np.repeat(np.arange(num_classes), per_class)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32"), labels


def fastest(step):
    """Smallest time of a step, in milliseconds, over half a second and five steps at least."""
    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + 0.5
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def ours(name, batch, num_classes, size):
    """A function that takes one step of ccpdml's loss."""
    import tensorflow as tf

    from ccpdml import losses

    embeddings, labels = map(tf.constant, inputs(batch, num_classes))
    pair_losses = {
        "C1": losses.CosineContrastiveLoss(0.5),
        "C2": losses.ContrastiveLoss(0.2652, 0.5409),
        "MS": losses.MultiSimilarityLoss(2.0, 40.0, 0.5),
        "Triplet": losses.TripletLoss(0.1),
        "Margin": losses.MarginLoss(),
        "NormalizedSoftmax": losses.NormalizedSoftmaxLoss(0.1),
    }
    if name.startswith("XBM"):
        criterion = losses.CrossBatchMemory(pair_losses[name.split()[1]], size, warmup_steps=0)
    elif name in pair_losses and num_classes:
        criterion = losses.ChanceConstrainedLoss(
            pair_losses[name], num_classes, size, pair_weight=0.0
        )
    elif name in pair_losses:
        criterion = losses.BatchPairs(pair_losses[name])
    else:
        make = {
            "ProxyAnchor": lambda: losses.ProxyAnchorLoss(num_classes),
            "ProxyNCA": lambda: losses.ProxyNCALoss(num_classes),
            "SoftTriple": lambda: losses.SoftTripleLoss(num_classes, size, tau=0.0),
        }
        criterion = make[name]()
    criterion.build((None, DIM))
    if num_classes:
        criterion.head.proxies.assign(proxies(num_classes, size)[0].reshape(num_classes, size, DIM))
    if name.startswith("XBM"):
        _fill(criterion)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss = criterion(embeddings, labels)
        return loss, tape.gradient(loss, [embeddings, *criterion.trainable_variables])

    return lambda: step()[0].numpy()


def _fill(criterion):
    rng = np.random.default_rng(2)
    criterion.memory.assign(rng.normal(size=criterion.memory.shape) / DIM**0.5)
    criterion.memory_labels.assign(rng.integers(0, 11318, criterion.memory_labels.shape))
    criterion.num_written.assign(criterion.memory_size)


def theirs(name, batch, num_classes, size):
    """A function that takes one step of pytorch-metric-learning's loss."""
    import torch
    from pytorch_metric_learning import distances, losses

    embeddings, labels = inputs(batch, num_classes)
    x, y = torch.tensor(embeddings, requires_grad=True), torch.tensor(labels).long()
    cosine = distances.CosineSimilarity()
    pair_losses = {
        "C1": lambda: losses.ContrastiveLoss(1.0, 0.5, distance=cosine),
        "C2": lambda: losses.ContrastiveLoss(0.2652, 0.5409),
        "MS": lambda: losses.MultiSimilarityLoss(2.0, 40.0, 0.5),
        "Triplet": lambda: losses.TripletMarginLoss(0.1),
        "Margin": lambda: losses.MarginLoss(),
        "NormalizedSoftmax": lambda: losses.SupConLoss(0.1),
    }
    own = []
    if name.startswith("XBM"):
        memory = losses.CrossBatchMemory(pair_losses[name.split()[1]](), DIM, memory_size=size)
        rng = np.random.default_rng(2)
        memory.embedding_memory = torch.tensor(rng.normal(size=(size, DIM)) / DIM**0.5).float()
        memory.label_memory = torch.tensor(rng.integers(0, 11318, size))
        memory.has_been_filled = True

        def loss_of():
            return memory(x, y)
    elif name in pair_losses and num_classes:
        loss, (points, point_labels) = pair_losses[name](), proxies(num_classes, size)
        own = [torch.tensor(points, requires_grad=True)]
        targets = torch.tensor(point_labels)

        def loss_of():
            return loss(x, y, ref_emb=own[0], ref_labels=targets)
    elif name in pair_losses:
        loss = pair_losses[name]()

        def loss_of():
            return loss(x, y)
    else:
        make = {
            "ProxyAnchor": lambda: losses.ProxyAnchorLoss(num_classes, DIM),
            "ProxyNCA": lambda: losses.ProxyNCALoss(num_classes, DIM, softmax_scale=5),
            "SoftTriple": lambda: losses.SoftTripleLoss(num_classes, DIM, size),
        }
        loss = make[name]()
        own = list(loss.parameters())

        def loss_of():
            return loss(x, y)

    def step():
        for tensor in (x, *own):
            tensor.grad = None
        loss_of().backward()

    return step


def serve(side, threads):
    """Reads cases from standard input and writes the time of each."""
    if side == "ours":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    else:
        import torch

        torch.set_num_threads(threads)
    step_of = {"ours": ours, "theirs": theirs}[side]
    for line in sys.stdin:
        try:
            answer = fastest(step_of(*json.loads(line)))
        except (MemoryError, RuntimeError) as error:  # PML forms every triplet by its indices.
            answer = f"{type(error).__name__}: {str(error)[:80]}"
        print(json.dumps(answer), flush=True)


class Side:
    """A process that times cases of one side; started again if one was too much for it."""

    def __init__(self, python, side, threads):
        self.command = [python, __file__, f"--serve={side}", f"--threads={threads}"]
        self.process = None

    def ask(self, case):
        """Returns milliseconds, or a word on what went wrong."""
        if self.process is None:
            pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
            self.process = subprocess.Popen(
                self.command, stdin=pipe, stdout=pipe, stderr=quiet, text=True
            )
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.process = None
        return json.loads(answer or '"ended"')


def compare(torch_python, rounds, only, threads):
    """Runs both sides in turn and prints a table of milliseconds and ratios."""
    sides = Side(sys.executable, "ours", threads), Side(torch_python, "theirs", threads)
    titles = f"{'loss':<18}{'batch':>6}{'classes':>8}{'size':>6}"
    print(f"{titles}{'ours ms':>10}{'PML ms':>10}{'ratio':>9}")
    for case in CASES:
        if only not in case[0]:
            continue
        answers = [[side.ask(case) for side in sides] for _ in range(rounds)]
        cells = []
        for times in zip(*answers, strict=True):
            failed = [t for t in times if isinstance(t, str)]
            cells.append(failed[0] if failed else statistics.median(times))
        numbers = all(isinstance(cell, float) for cell in cells)
        ratio = f"{cells[1] / cells[0]:>9.2f}" if numbers else f"{'-':>9}"
        shown = "".join(f"{c:>10.3f}" if isinstance(c, float) else f"  {c}" for c in cells)
        name, batch, classes, size = case
        print(f"{name:<18}{batch:>6}{classes:>8}{size:>6}{shown}{ratio}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch_python", help="Python with torch and pytorch-metric-learning")
    parser.add_argument("--serve", choices=("ours", "theirs"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="part of the name of the losses to run")
    parser.add_argument("--threads", type=int, default=2, help="of either side")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads)
    else:
        compare(arguments.torch_python, arguments.rounds, arguments.only, arguments.threads)
