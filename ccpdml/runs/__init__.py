"""A run as a value: what it is made of, how it is put together, and what it leaves.

recipe = runs.Recipe(data, model, batches, schedule)    # frozen groups
finished = runs.assemble(recipe, "runs/mine").fit()     # goes on where it stopped
runs.write(finished, "runs/mine")                       # results, figures, encoder
"""

from ccpdml.runs import claims, pictures, projector, replay, results, terminal
from ccpdml.runs.assembly import assemble
from ccpdml.runs.experiment import Experiment
from ccpdml.runs.finished import Finished, Scored, Trained
from ccpdml.runs.recipe import Batches, Data, Machine, Model, Recipe, Schedule
from ccpdml.runs.results import write
from ccpdml.runs.run import Run

__all__ = [
    "Batches",
    "Data",
    "Experiment",
    "Finished",
    "Machine",
    "Model",
    "Recipe",
    "Run",
    "Schedule",
    "Scored",
    "Trained",
    "assemble",
    "claims",
    "pictures",
    "projector",
    "replay",
    "results",
    "terminal",
    "write",
]
