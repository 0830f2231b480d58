"""What a run needs as the number of classes grows: memory on each device, and traffic of a step.

python experiments/benchmarks/scaling.py --weights=25000000 --dim=512 --proxies=4

All is computed, in MiB. Nothing is sharded but the images: every replica holds all weights and all
proxies, with their gradients, two moments, the best of the instance and the best of the run.
"""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("weights", 25_000_000, "Weights of the encoder.")
flags.DEFINE_integer("dim", 512, "Size of an embedding.")
flags.DEFINE_integer("proxies", 4, "Proxies of a class.")
flags.DEFINE_integer("pool", 7, "Images of a class in the pool.")
flags.DEFINE_integer("batch", 32, "Images of the global batch.")

FLOAT = 4
# Value, gradient, two moments, best of the instance, best of the run.
COPIES = 6


def needs(num_classes):
    """MiB by what needs them, for a number of classes."""
    proxies = num_classes * FLAGS.proxies * FLAGS.dim
    floats = {
        "encoder": (COPIES + 1) * FLAGS.weights,  # and the prox center
        "proxies": COPIES * proxies,
        "distances": 3 * FLAGS.batch * num_classes * FLAGS.proxies,  # and the two masks
        "pool (host)": num_classes * FLAGS.pool * FLAGS.dim,
        "traffic": 2 * (FLAGS.weights + proxies) + FLAGS.batch * FLAGS.dim,
    }
    return {name: FLOAT * number / 2**20 for name, number in floats.items()}


def main(_):
    columns = list(needs(1))
    print(f"{'classes':>12}" + "".join(f"{name:>14}" for name in columns) + "  MiB")
    for num_classes in (100, 10_000, 100_000, 1_000_000, 10_000_000):
        values = needs(num_classes)
        print(f"{num_classes:>12,}" + "".join(f"{values[name]:>14,.0f}" for name in columns))


if __name__ == "__main__":
    app.run(main)
