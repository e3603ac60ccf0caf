"""The winner's curse: what a search exports, and what it would export without verification.

    python -m bench.quality.curse [--seeds 3] [--trials 24] [--prompts 1024] [--steps 20]

Real searches of the miniature with different random seeds. Of each search two settings are compared
on prompts of the truth pool, which no search uses: the fastest one that was feasible in the search,
and the exported one, which was also feasible in its verification. The noise of the truth pool's
pictures is that of `bench.quality.coverage`. Measurements are saved in `--work`, so that an
interrupted run can continue.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench.lib.miniature import conditions, evaluation_of, quiet
from bench.quality.coverage import scores_of
from tuner.measure import statistics
from tuner.measure.statistics import Estimate
from tuner.outcome import Outcome
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.results import Result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--prompts", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("build/curse"))
    args = parser.parse_args()
    quiet()
    args.work.mkdir(parents=True, exist_ok=True)
    session = Session()
    outcomes = [searched(session, seed, args) for seed in range(1, args.seeds + 1)]
    truth = TruthPool(args.work / f"truth-{args.steps}-{args.prompts}.json", args)
    print(conditions())
    print(
        f"DDIM, {args.steps} steps; searches of {args.trials} trials on 32 prompts and up to 128; "
        f"truth from {args.prompts} prompts\n"
    )
    print(
        "| seed | winner | setting | speedup | loss in search | in verification "
        "| truth (95%) | holds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for seed, outcome in enumerate(outcomes, 1):
        for name, result in (("unverified", unverified(outcome)), ("exported", outcome.best)):
            print(row(seed, name, result, outcome, truth))


def searched(session: Session, seed: int, args: argparse.Namespace) -> Outcome:
    """The outcome of a search; one that ran before is read from its database."""
    return session.run(
        StudySpec(
            pipe="miniature",
            steps=args.steps,
            seed=seed,
            trials=args.trials,
            reference=False,
            storage=f"sqlite:///{args.work / f'seed-{seed}.db'}",
        )
    )


def unverified(outcome: Outcome) -> Result | None:
    """The fastest setting that was feasible before verification."""
    limits = outcome.goal.limits
    feasible = [
        result
        for result in outcome.results
        if result.setting.accelerators
        and not limits.missed(result.score_loss.value, result.fidelity)
    ]
    return max(feasible, key=lambda result: result.speedup.value, default=None)


class TruthPool:
    """Losses over the truth pool; the scores are saved in a file."""

    def __init__(self, file: Path, args: argparse.Namespace) -> None:
        self.file = file
        self.scores: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        self.evaluation = evaluation_of("truth", args.prompts, steps=args.steps, batch_size=16)

    def loss(self, setting: Setting) -> Estimate:
        """The loss of a setting, with its interval."""
        return statistics.score_loss(self._scores(Setting()), self._scores(setting))

    def _scores(self, setting: Setting) -> list[float]:
        if str(setting) not in self.scores:
            everything = range(len(self.evaluation.prompts))
            self.scores[str(setting)] = scores_of(self.evaluation, setting, everything)
            self.file.write_text(json.dumps(self.scores))
        scores: list[float] = self.scores[str(setting)]
        return scores


def row(seed: int, name: str, result: Result | None, outcome: Outcome, truth: TruthPool) -> str:
    """A line of the table."""
    if result is None:
        return f"| {seed} | {name} | none | | | | | |"
    limits, real = outcome.goal.limits, truth.loss(result.setting)
    verified = "" if result.verified is None else f"{result.verified.score_loss.value:.2%}"
    certain = limits.certainty(real, {})
    return (
        f"| {seed} | {name} | {result.setting} | {result.speedup.value:.2f}× "
        f"| {result.score_loss.value:.2%} | {verified} "
        f"| {real.value:.2%} ({real.low:.2%} … {real.high:.2%}) "
        f"| {'no' if limits.missed(real.value, {}) else 'yes'}, {certain} |"
    )


if __name__ == "__main__":
    main()
