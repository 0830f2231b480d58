"""Several processes and devices that train as one: who they are, how they meet, what they share.

environment         who the workers are, as TF_CONFIG or Slurm says it
strategies          the `tf.distribute` strategy that follows from it
rendezvous          waiting for the other workers
shared_directory    whether all workers see the run directory
lock                one process at a time writes a run directory
replicas            sums, means and gathers of what replicas compute
"""

from ccpdml.cluster import (
    environment,
    lock,
    rendezvous,
    replicas,
    shared_directory,
    strategies,
)

__all__ = ["environment", "lock", "rendezvous", "replicas", "shared_directory", "strategies"]
