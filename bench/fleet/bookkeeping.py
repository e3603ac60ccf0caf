"""The processor time that a trial of `frontier` takes besides its pictures, by the study's length.

    python -m bench.fleet.bookkeeping [--begin 100,1000,3000] [--trials 6]

The study is in memory: no database is at work. It begins with finished trials of random settings;
then the runner and the sampler of `tuner run` run further trials, whose measurements return made-up
figures at once (`bench.fleet.landscape`). The first two of them are not counted: what every process
reads and fits once is done there.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from bench.fleet.filled import attributes, finished_trials
from bench.fleet.landscape import PROMPTS, Landscape, shape_of_miniature
from bench.lib.miniature import conditions
from tuner.measure.measurement import Measurement
from tuner.search.frontier.sampler import FrontierSampler
from tuner.search.goal import Goal
from tuner.search.runner.run import Search
from tuner.search.samplers import sampler
from tuner.setting import Setting
from tuner.storage.optuna_names import CONSTRAINTS

UNCOUNTED = 2  # trials


def main() -> None:
    args = arguments()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    landscape = Landscape(shape_of_miniature())
    print(f"{conditions()}; {args.trials} trials each\n")
    print("| trials of the study | processor time of a trial, study in memory |\n|---|---|")
    for begin in map(int, args.begin.split(",")):
        study = begun(landscape, begin)
        search(study, landscape, UNCOUNTED)
        before = time.process_time()
        search(study, landscape, args.trials)
        seconds = (time.process_time() - before) / args.trials
        print(f"| {begin:,} | {seconds:.3f} s |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--begin", default="100,1000,3000", help="finished trials at the start")
    parser.add_argument("--trials", type=int, default=6, help="that are run after them")
    return parser.parse_args()


def begun(landscape: Landscape, count: int) -> optuna.Study:
    """A study in memory with finished trials, and the sampler `frontier`."""
    problem = landscape.problem
    study = optuna.create_study(directions=["maximize", "minimize"])
    distributions: dict[str, BaseDistribution] = dict(problem.space.distributions())
    for setting, measured, state in finished_trials(landscape, count):
        values = (measured.speedup.value, measured.score_loss.value)
        study.add_trial(
            create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                params=problem.space.flat(setting),
                distributions=distributions,
                user_attrs=attributes(setting, measured),
                system_attrs={CONSTRAINTS: problem.limits.constraints(values[1], {})},
            )
        )
    study.sampler = sampler("frontier", 0, problem, count)
    return study


def search(study: optuna.Study, landscape: Landscape, trials: int) -> None:
    """Run further trials."""
    before = len(study.get_trials(deepcopy=False))  # a copy of all would take longer than a trial
    problem, rng = landscape.problem, np.random.default_rng(before)

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        assert isinstance(study.sampler, FrontierSampler)
        study.sampler.prediction(study, setting)  # as `tuner run` asks for it
        return landscape.measure(setting, rng)

    Search(
        study=study,
        space=problem.space,
        goal=Goal(limits=problem.limits),
        measure=measure,
        canonical=problem.canonical,
        trials=before + trials,
        samples=PROMPTS,
        stops_early=True,
    ).run()


if __name__ == "__main__":
    main()
