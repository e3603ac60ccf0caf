"""How far off are predicted speedups at a study's start?

    python -m bench.speed.predictions [--steps 50] [--settings 16] [--repeat 2]

On the miniature, as a study of DeepCache, ToMe and T-GATE begins: the steps of a few settings are
timed (`settings_to_time`), and then the first trial's whole latency. Each of `--settings` settings
is generated `--repeat` times together with the baseline, with interleaved steps; half of them are
drawn from all that a search may propose, the others from the tenth of them that is predicted to be
the fastest. A positive error means that the prediction is too fast.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from bench.lib.miniature import conditions, evaluation_of, quiet
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.evaluation import Evaluation
from tuner.plans.plan import shape_of
from tuner.search.frontier.candidates import Candidates
from tuner.search.frontier.context import Timing
from tuner.search.frontier.speed_model import FULL_PAIRS, SpeedModel, settings_to_time
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.samplers import TIMED_SETTINGS
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.timed_steps import timed_steps


def main() -> None:
    args = arguments()
    quiet()
    evaluation = evaluation_of("search", 4, steps=args.steps)
    problem = problem_of(evaluation, args.steps)
    candidates = Candidates(problem.space, problem.canonical, seed=0).settings
    first = problem.canonical(problem.space.known_good()[0])
    chosen = settings_to_time(candidates, problem.work, TIMED_SETTINGS, [first])
    print(f"{conditions()}; {args.steps} steps; timed: {'; '.join(map(str, chosen))}\n", flush=True)
    evaluation.timed_steps([first])  # warms the machine up
    timed = problem.timed(chosen)
    model = SpeedModel(problem.work)
    model.fit(timed, [])
    drawn = draw(candidates, model, args.settings)
    true = [measured(setting, evaluation, args.repeat) for setting in [first, *drawn]]
    trial = first, Timing(speedup=true[0], pairs=FULL_PAIRS)
    print("| settings | known | error: mean | its size: median | most |\n|---|---|---|---|---|")
    half = len(drawn) // 2
    for name, part in (("any", slice(0, half)), ("fast", slice(half, None))):
        for known, trials in (("steps", []), ("steps, first trial", [trial])):
            model.fit(timed, trials)
            errors = np.log(model.speedups(drawn[part]) / np.array(true[1:][part]))
            sizes = np.abs(errors)
            print(
                f"| {name} | {known} | {errors.mean():+.1%} | {np.median(sizes):.1%} "
                f"| {sizes.max():.1%} |"
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--settings", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=2, help="generations of each setting")
    return parser.parse_args()


def problem_of(evaluation: Evaluation, steps: int) -> Problem:
    """The default space of the miniature."""
    spec = StudySpec(pipe="miniature", sched="DDIM", steps=steps)
    return Problem(
        space=Space.of(spec),
        shape=shape_of(evaluation.pipeline, *evaluation.size),
        steps=steps,
        limits=Goal.of(spec).limits,
        timed=lambda settings: timed_steps(settings, evaluation, InMemoryStore()),
    )


def measured(setting: Setting, evaluation: Evaluation, repeat: int) -> float:
    """The speedup of whole generations: the geometric mean."""
    pairs = [evaluation.timed_steps([setting]) for _ in range(repeat)]
    logs = [np.log(without.whole / accelerated.whole) for without, accelerated in pairs]
    return float(np.exp(np.mean(logs)))


def draw(candidates: Sequence[Setting], model: SpeedModel, count: int) -> list[Setting]:
    """Some settings of all, and as many of the tenth that is predicted to be the fastest."""
    rng = np.random.default_rng(0)
    order = np.argsort(-model.speedups(candidates))
    half = count // 2
    rows = [*rng.choice(order, half, False), *rng.choice(order[: len(order) // 10], half, False)]
    return [candidates[row] for row in rows]


if __name__ == "__main__":
    main()
