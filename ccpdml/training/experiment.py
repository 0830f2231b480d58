"""A whole run: data, learner, outer loop, results. What `experiments/run.py` starts."""

import contextlib
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import gin
import tensorflow as tf
from absl import logging

