"""Searches settings of a run with Optuna; started again after it was stopped, it goes on.

pip install 'ccpdml[search]'
python examples/search.py gin/digits_ms.gin searches/digits 20

Each trial is an ordinary run in a directory of its own, with gin bindings. The second argument is
the folder of all of them; the study is a journal in it. A trial that was cut short goes on from its
last checkpoint, one that is finished is not made again, and the settings that come next are those
that would have come without a stop.
"""

import json
import sys
from pathlib import Path

import gin
import optuna
import tensorflow as tf
from absl import logging
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage

from ccpdml import config, training

# What is searched: names that a gin file can bind, and what they may be.
SPACE = {
    "tf.keras.optimizers.Adam.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "MultiSimilarityLoss.base": FloatDistribution(0.2, 0.8),
    "ChanceConstrainedLoss.proxies_per_class": IntDistribution(1, 8),
}


def objective(results):
    """The number to make high. Of validation classes: those of the test choose nothing."""
    return results["validation"]["map_at_r"]


def train(gin_file, run_dir, settings):
    """Trains with settings, or goes on where that stopped; of a finished run reads the results."""
    gin.clear_config()
    tf.keras.backend.clear_session()
    config.load([gin_file], [f"{name} = {value!r}" for name, value in settings.items()])
    return training.Experiment(run_dir).run()


def work_on(study, trial, gin_file, folder):
    """Makes the run of a trial and tells the study what came of it."""
    run_dir = folder / f"trial_{trial.number:03d}"
    try:
        results = train(gin_file, run_dir, trial.params)
    except FloatingPointError as error:  # These settings lead nowhere; others may.
        logging.error("%s: %s", run_dir, error)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return
    study.tell(trial.number, objective(results))


def study_in(folder):
    """The study in a folder, a new one if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True
    )


def search(gin_file, folder, num_trials):
    """Makes as many trials as are lacking; returns the study."""
    study = study_in(folder)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        if trial.params.keys() == SPACE.keys():
            work_on(study, trial, gin_file, folder)
        else:  # It was stopped before it had all its settings: nothing was begun.
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    while len(study.trials) < num_trials:
        # By the number of the trial: else a search that goes on would draw the first ones again.
        study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
        work_on(study, study.ask(SPACE), gin_file, folder)
    return study


if __name__ == "__main__":
    gin_file, folder, num_trials = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    study = search(gin_file, folder, num_trials)
    print(f"Best of {len(study.trials)} trials: trial_{study.best_trial.number:03d}")
    print(json.dumps({"score": study.best_value, "settings": study.best_params}, indent=1))
