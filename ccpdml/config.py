"""Gin: which files are read, what they may bind, and what a run keeps of them."""

import inspect
from ccpdml import bounds
from ccpdml.bounds import Count, NonNegative, Positive, Rate, Share, Whole

