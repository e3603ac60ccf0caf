"""How long `frontier` takes to propose a setting, after few trials and after many.

    python -m bench.search.propose [--trials 10,100,1000] [--proposals 10] [--running 0]
        [--steps 20]

The space is a study's default one: DeepCache, ToMe and T-GATE. Before the first proposal the
sampler is built once, which lists the candidates and what each of them computes. The trials'
figures are invented, as a smooth function of what a setting reuses: only the time of a proposal is
of interest. With `--running N` other workers measure the last N proposals at that moment.
"""

import argparse
import time
from functools import partial

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from bench.lib.miniature import MODEL, conditions, pipeline, quiet
from tuner.canonical import canonical
from tuner.plans.plan import shape_of
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.samplers import sampler
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", default="10,100,1000")
    parser.add_argument("--proposals", type=int, default=10)
    parser.add_argument("--running", type=int, default=0, help="proposals that are being measured")
    parser.add_argument("--steps", type=int, default=20, help="of a generation")
    args = parser.parse_args()
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = StudySpec(pipe="miniature", sched="DDIM", steps=args.steps)
    shape = shape_of(pipeline("DDIM"), MODEL.resolution)
    problem = Problem(
        space=Space.of(spec, partial(canonical, shape=shape, steps=args.steps)),
        shape=shape,
        steps=args.steps,
        limits=Goal.of(spec).limits,
        timed=lambda settings: [timed(problem, setting) for setting in settings],
    )
    print(f"{conditions()}\n")
    begin = time.process_time()
    sampler("frontier", 0, problem)
    print(f"the sampler is built in {time.process_time() - begin:.2f} s of CPU time\n")
    print("| finished trials | a proposal: median | longest |\n|---|---|---|")
    for count in map(int, args.trials.split(",")):
        seconds = proposals(problem, count, args.proposals, args.running)
        print(
            f"| {count} | {1000 * np.median(seconds):.0f} ms | {1000 * max(seconds):.0f} ms |",
            flush=True,
        )


def proposals(problem: Problem, count: int, times: int, running: int) -> list[float]:
    """Seconds of each proposal except the first ones, which also list the candidates."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=RandomSampler(0))
    for _ in range(count):
        add(study, problem, problem.space.suggest(study.ask(dict(problem.space.distributions()))))
    study.sampler = sampler("frontier", 0, problem)
    seconds, measured = [], list[optuna.Trial]()
    for _ in range(times + 1 + running):
        begin = time.perf_counter()
        trial = study.ask(dict(problem.space.distributions()))
        seconds.append(time.perf_counter() - begin)
        measured.append(trial)
        if len(measured) > running:
            ended = measured.pop(0)
            study.tell(ended, state=TrialState.FAIL)
            add(study, problem, problem.space.suggest(ended))
    return seconds[1 + running :]


def add(study: optuna.Study, problem: Problem, setting: Setting) -> None:
    """Add a finished trial with invented figures."""
    setting = problem.canonical(setting)
    reused = float(problem.reuse(setting).summary.sum())
    loss = 0.004 * reused**2
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            values=[1 + reused, loss],
            user_attrs={
                "setting": setting.params,
                "score_loss": loss,
                "score_loss_ci": [loss - 0.01, loss + 0.01],
                "speedup": latency(timed(problem, Setting())) / latency(timed(problem, setting)),
            },
        )
    )


def timed(problem: Problem, setting: Setting) -> TimedSteps:
    """Invented times of steps: proportional to their work, as shares of the baseline's work."""
    whole = problem.work(Setting()).sum()
    steps = problem.work(setting).sum(axis=1) / whole
    return TimedSteps(setting=setting, steps=tuple(steps), rest=0.05)


def latency(timed: TimedSteps) -> float:
    """The latency of a whole generation."""
    return sum(timed.steps) + timed.rest


if __name__ == "__main__":
    main()
