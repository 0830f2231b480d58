"""The other side of `retrieval.py --torch_python`: pytorch-metric-learning with faiss.

python retrieval_pml.py ARRAYS.npz NUM_NEIGHBORS
    prints its scores of `query` and `query_labels`, and the CPU seconds, as JSON. Needs torch,
    pytorch-metric-learning and faiss; nothing of this repository.
"""

import json
import sys
import time

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

NAMES = ("precision_at_1", "r_precision", "mean_average_precision_at_r")


def main(path, num_neighbors):
    with np.load(path) as arrays:
        query = torch.from_numpy(arrays["query"])
        labels = torch.from_numpy(arrays["query_labels"])
    calculator = AccuracyCalculator(NAMES, k=num_neighbors, device=torch.device("cpu"))
    started = time.process_time()
    scores = calculator.get_accuracy(query, labels)
    seconds = time.process_time() - started
    print(json.dumps({"cpu_seconds": seconds, "scores": {k: float(scores[k]) for k in NAMES}}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
