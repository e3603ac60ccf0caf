"""From a `StudySpec` to a searched study: puts the measuring and the searching half together."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from tuner import registry
from tuner.errors import UsageError
from tuner.fitting import fitting
from tuner.limits import Limits
from tuner.loading import device_named, dtype_named, load, model_named
from tuner.measure.baseline import changes, key_of
from tuner.measure.device import contention, versions
from tuner.measure.evaluation import Evaluation, Measurement, OnPictures
from tuner.measure.extra_metrics import ExtraMetric
from tuner.measure.lock import device_lock
from tuner.picture_strips import PictureFolder, check_folder
from tuner.plans.plan import check_resolution, shape_of
from tuner.prompts._file import prompt_set
from tuner.sampler_table import sampler_row
from tuner.schedulers import check_steps, set_scheduler
from tuner.search.deadline import Deadline
from tuner.search.frontier.speed_model import TimedSteps
from tuner.search.frontier.transfer import source_study
from tuner.search.goal import Goal
from tuner.search.problem import Problem
from tuner.search.runner.run import Observer, is_done, search
from tuner.search.runner.verify import verify
from tuner.search.samplers import sampler
from tuner.search.space import Space
from tuner.search.sweep.estimate import SweepEstimate, recent_s
from tuner.search.sweep.grid import FEW
from tuner.search.sweep.sweep import Exhaustive, Points
from tuner.setting import Setting, canonical
from tuner.spec import StudySpec
from tuner.storage.address import check_address
from tuner.storage.database import Storage
from tuner.storage.queries import begun
from tuner.study import record
from tuner.study.baseline import attributes, key_old_trials, set_baseline
from tuner.study.record import Result


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run leaves: the study, its results, and whether the goal was reached."""

    study: optuna.Study
    goal: Goal
    results: list[Result]

    @property
    def best(self) -> Result | None:
        """The fastest feasible result; with a target, the fastest that meets it."""
        return self.goal.reached(self.results)

    @property
    def front(self) -> list[Result]:
        """The Pareto front of speedup and score loss."""
        return record.front(self.goal.admitted(self.results), self.goal.limits)


class Session:
    """Runs studies one after another, loading each model and each metric once."""

    def __init__(self, pictures: Path | None = None) -> None:
        """`pictures`: the folder for picture strips; none are kept when None."""
        self._pictures = pictures
        self._pipelines: dict[tuple[Any, ...], Any] = {}
        self._metrics: dict[tuple[Any, ...], Any] = {}

    def evaluation(
        self, spec: StudySpec, pool: str = "search", *, more: bool = False
    ) -> Evaluation:
        """How a spec's settings are evaluated; loads what is not loaded yet.

        With `more` prompts on offer, up to the spec's `max_samples`, for verdicts that need them.

        Raises `UsageError` for whatever cannot be loaded or does not fit; writes nothing.
        """
        model = model_named(spec.pipe)
        device = device_named(spec.device)
        count, most = spec.num_samples, spec.max_samples if more else None
        prompts = prompt_set(spec.prompts or model.prompts).load(count, pool, most)
        dtype = dtype_named(spec.dtype or model.dtype[device.split(":")[0]])
        where = (spec.pipe, spec.model, device, dtype)
        if where not in self._pipelines:
            self._pipelines.clear()  # one model in memory at a time
            self._pipelines[where] = load(spec.pipe, device=device, dtype=dtype, source=spec.model)
        pipeline = self._pipelines[where]
        set_scheduler(pipeline, spec.sched)
        check_steps(pipeline.scheduler, spec.steps)
        guidance_scale = spec.guidance_scale
        if guidance_scale is None:
            guidance_scale = model.guidance_scale
        resolution = spec.resolution or model.resolution
        check_resolution(pipeline, resolution)
        fitting(spec, pipeline, guidance_scale)
        return Evaluation(
            pipeline=pipeline,
            device=device,
            steps=spec.steps,
            prompts=prompts[:count],
            more=prompts[count:],
            metric=self._metric(model.metric, device, model.metric_options),
            resolution=resolution,
            guidance_scale=guidance_scale,
            batch_size=spec.batch_size,
            seed=spec.seed,
            beside=tuple(
                ExtraMetric(
                    component=registry.get("metrics", name),
                    metric=self._metric(name, device, {}),
                )
                for name in spec.metrics
            ),
        )

    def _metric(self, name: str, device: str, options: dict[str, str]) -> Any:
        """A metric, loaded once."""
        judge = (name, device, *sorted(options.items()))
        if judge not in self._metrics:
            self._metrics[judge] = registry.get("metrics", name)(device=device, **options)
        return self._metrics[judge]

    def run(
        self,
        spec: StudySpec,
        watch: Observer | None = None,
        on_baseline: Callable[[int, int], None] | None = None,
    ) -> Outcome:
        """Search until the study has its trials, its goal is met or its time is up.

        Waits while another process measures on the device.
        """
        watch = watch or Observer()
        check_address(spec.storage)
        check_folder(self._pictures)
        sampler_row(spec.sampler)
        # Taken before the model is loaded: a run that waits leaves the device's memory alone.
        device = device_named(spec.device)
        with device_lock(device, watch.notice):
            crowded = contention(device)
            if crowded is not None:
                watch.notice(crowded)
            return self._run(spec, watch, on_baseline)

    def _run(
        self,
        spec: StudySpec,
        watch: Observer,
        on_baseline: Callable[[int, int], None] | None,
    ) -> Outcome:
        evaluation = self.evaluation(spec, more=True)
        spec, left_out = fitting(spec, evaluation.pipeline, evaluation.guidance_scale)
        for line in left_out:
            watch.notice(line)
        shape = shape_of(evaluation.pipeline, evaluation.resolution)
        space = Space.of(spec, partial(canonical, shape=shape, steps=spec.steps))
        space.check_something_to_try(spec.steps)
        storage = Storage(spec.storage)  # only now, when nothing can be wrong any more
        study = _study_of(spec, evaluation, storage)
        study.set_user_attr("request", request(spec))
        study.set_user_attr("pipeline", type(evaluation.pipeline).__name__)
        study.set_user_attr("versions", versions())
        many = spec.sweep is not None and Points(space.offered()).count > FEW
        strips = PictureFolder(None if many else self._pictures, study.study_name)
        on_pictures = strips.saver("baseline")
        _keep_baseline(study, storage, evaluation, watch, on_baseline, on_pictures)

        races = sampler_row(spec.sampler).stops_early
        # The front is an order: it is told best on the same prompts, each verdict as it comes up.
        drawn = races and spec.aim == "max"

        def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
            saver = strips.saver(f"trial-{trial:04d}")
            return evaluation.measure(setting, storage, saver, drawn=drawn)

        goal = Goal.of(spec)
        problem = Problem(
            space=space,
            shape=shape,
            steps=spec.steps,
            limits=goal.limits,
            timed=lambda settings: _timed(settings, evaluation, storage),
            distinct=spec.distinct,
            aim=spec.aim,
            has_target=goal.has_target,
            num_samples=spec.num_samples,
            max_samples=len(evaluation.prompts) + len(evaluation.more),
        )
        first = space.known_good()
        if spec.sweep is not None or not is_done(study, spec.trials):
            learns = spec.transfer and sampler_row(spec.sampler).warm_starts
            learned = source_study(study, storage, problem) if learns else None
            if learned is not None:
                watch.notice(
                    f"learning from {learned.name}, {len(learned.observations)} settings; "
                    "--no-transfer leaves it out"
                )
                problem = replace(problem, warm_start=learned.observations)
                first = first if learned.best is None else [learned.best]
            if sampler_row(spec.sampler).warm_starts:  # a long replay is not read
                measured = [one.setting for one in record.results(study)]
                problem = replace(problem, known=measured if study.trials else first)
            study.sampler = sampler(spec.sampler, spec.seed, problem, begun(study))
        if isinstance(study.sampler, Exhaustive):
            watch.notice(_outlook(study, study.sampler, evaluation, many and self._pictures))
        again = self.evaluation(spec.with_other_noise(1), pool="verify", more=True)

        if again.prompts == evaluation.prompts:  # captions may come twice in a set
            watch.notice(
                f"{spec.prompts} has fewer than {2 * spec.num_samples} prompts: winners are "
                "measured again on those that the search saw, with other noise"
            )

        def measure_again(result: Result) -> Iterator[Measurement]:
            return again.measure(result.setting, storage)

        deadline = Deadline.after(spec.timeout)
        failed: set[Setting] = set()  # whose second measurement broke off in this run
        while True:
            search(
                study=study,
                storage=storage,
                space=problem.space,
                goal=goal,
                measure=measure,
                canonical=problem.canonical,
                trials=spec.trials,
                samples=spec.num_samples,
                most=None if spec.sweep else len(evaluation.prompts) + len(evaluation.more),
                races=races,
                at_once=races and spec.aim == "front",
                timeout=deadline.left,
                first=first,
                watch=watch,
            )
            found = verify(
                study,
                goal,
                measure_again,
                watch.verified,
                spec.num_samples,
                failed=failed,
                deadline=deadline,
                notice=watch.notice,
            )
            # A target that did not hold is searched on, as long as there are trials and time left.
            enough = is_done(study, spec.trials) or deadline.passed
            if found is not None or not goal.has_target or enough:
                break
        outcome = Outcome(study=study, goal=goal, results=record.results(study))
        strips.compare([f"trial-{one.trial:04d}" for one in outcome.front])
        return outcome


def run(spec: StudySpec, watch: Observer | None = None) -> Outcome:
    """What ``tuner run`` does for one study."""
    return Session().run(spec, watch)


def _timed(settings: list[Setting], evaluation: Evaluation, storage: Storage) -> list[TimedSteps]:
    """The settings' steps and the baseline's, timed on this machine now or in an earlier run."""
    parts = evaluation.latency_parts
    key = key_of(parts)
    kept = storage.get("timed steps", key) or {}
    for setting in settings:
        if str(setting) not in kept:
            try:
                without, took = evaluation.timed_steps(setting)
            except UsageError:
                raise
            except Exception:  # its own trial will say why
                continue
            for one, seconds in ((Setting(), without), (setting, took)):
                kept[str(one)] = {
                    "steps": [step / without.whole for step in seconds.steps],
                    "rest": (seconds.whole - seconds.denoising) / without.whole,
                }
            storage.put("timed steps", key, parts, kept)
    return [
        TimedSteps(
            setting=setting,
            steps=tuple(kept[str(setting)]["steps"]),
            rest=kept[str(setting)]["rest"],
        )
        for setting in (Setting(), *settings)
        if str(setting) in kept
    ]


def _keep_baseline(
    study: optuna.Study,
    storage: Storage,
    evaluation: Evaluation,
    watch: Observer,
    on_batch: Callable[[int, int], None] | None,
    on_pictures: OnPictures,
) -> None:
    """Have the baseline measured where it is not kept, and keep its figures with the study.

    The watch is told where it is another one than the study had, and what its pictures take.
    """
    before = evaluation.reference(storage).size
    begun: list[int] = []

    def count(done: int, batches: int) -> None:
        begun.append(done)
        if on_batch is not None:
            on_batch(done, batches)

    scores, latency = evaluation.baseline(storage, count, on_pictures)
    key_old_trials(study)
    parts = evaluation.score_parts | evaluation.latency_parts
    different = changes(study.user_attrs.get("baseline_parts", parts), parts)
    if different:
        what = "measured again" if begun else "taken from the database"
        watch.notice(f"baseline {what}: {', '.join(different)}")
    size = evaluation.reference(storage).size
    if size != before:
        watch.notice(
            f"the baseline's {len(evaluation.prompts)} pictures take {size / 1e6:.1f} MB of the "
            "database; those of the prompts for verifying will take as much"
        )
    figures = {
        "latency_s": latency.latency_s,
        "denoising_s": latency.denoising_s,
        "latency_key": key_of(evaluation.latency_parts),
        "score": sum(scores.scores) / len(scores.scores),
        "num_samples": len(scores.scores),
        "memory_gib": latency.memory.get("device"),
        "host_memory_gib": latency.memory.get("host"),
    }
    set_baseline(study, figures)
    study.set_user_attr("baseline_parts", parts)


def _study_of(spec: StudySpec, evaluation: Evaluation, storage: Storage) -> optuna.Study:
    """The study of a spec; a replay has one of its own, and so has another product.

    What a walk skips depends on the limits, so that they tell walks apart as well.
    """
    how = identity(evaluation)
    if spec.sweep is None:
        return storage.open_study(spec.triple, how)
    values = str({one.name: spec.values(one) for one in spec.accelerators})
    digest = hashlib.sha256(values.encode()).hexdigest()[:6]
    product = f"{'distinct ' if spec.distinct else ''}{'+'.join(spec.search_targets)} {digest}"
    if spec.sweep == "walk":
        limits = Limits.of(spec).as_dict()
        how["limits"] = " and ".join(f"{name} {limit:g}" for name, limit in limits.items())
    return storage.open_sweep(f"{spec.triple} {spec.sweep}", how | {"product": product})


def _outlook(
    study: optuna.Study, replay: Exhaustive, evaluation: Evaluation, pictures: Path | bool | None
) -> str:
    """What the rest of a replay will need."""
    outlook = SweepEstimate(
        reach=replay.reach(study),
        image_s=attributes(study)["baseline"]["latency_s"],
        images=evaluation.least_images,
        prompts=len(evaluation.prompts),
        share=replay.share(),
        trial_s=recent_s(study),
    )
    return f"{outlook}{f'; pictures of up to {FEW:,} points are kept' if pictures else ''}"


def identity(evaluation: Evaluation) -> dict[str, Any]:
    """What tells one way of evaluating a triple from another, in a few readable values."""
    scores, latency = evaluation.score_parts, evaluation.latency_parts
    beside = " + ".join(one.metric.identity for one in evaluation.beside)
    return {
        "weights": scores["weights"],
        "guidance": scores["guidance_scale"],
        "resolution": scores["resolution"],
        "dtype": scores["dtype"],
        "prompts": scores["prompts"],
        "seed": scores["seed"],
        "metric": scores["metric"],
        "device": latency["device"],
        "batch": latency["batch_size"],
    } | ({"beside": beside} if beside else {})


def request(spec: StudySpec) -> dict[str, Any]:
    """What a study was last asked for, as its export and its report need it."""
    return {
        "pipe": spec.pipe,
        "sched": spec.sched,
        "steps": spec.steps,
        "search_targets": list(spec.search_targets),
        "req_score_loss": spec.req_score_loss,
        "req_speedup": spec.req_speedup,
        "req_time": spec.req_time,
        "limits": dict(spec.limits),
        "batch_size": spec.batch_size,
        "seed": spec.seed,
        "prompts": spec.prompts,
        "model": spec.model,
    }
