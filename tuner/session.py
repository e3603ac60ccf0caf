"""From a `StudySpec` to a searched study: loads models and metrics, and runs studies with them."""

from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

from tuner import registry
from tuner.canonical import canonical
from tuner.errors import about
from tuner.fitting import fitting
from tuner.loading import device_named
from tuner.measure.account import Ledger, Purpose
from tuner.measure.device import contention
from tuner.measure.evaluation import Evaluation
from tuner.measure.extra_metrics import ExtraMetric
from tuner.measure.lock import device_lock
from tuner.measure.scorer_memory import memory_notice, scorer_bytes
from tuner.outcome import Outcome
from tuner.pictures.folder import check_folder
from tuner.plans.plan import shape_of
from tuner.prompts import listed, prompt_set
from tuner.sampler_table import sampler_row
from tuner.search.runner.observer import Observer
from tuner.search.runner.progress import has_ended, is_done, is_idle
from tuner.search.space import Space
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec
from tuner.storage.address import check_address
from tuner.storage.database import Storage
from tuner.storage.reading import reading
from tuner.study.identity import study_of
from tuner.study.requests import is_answered, store_answer, store_opened
from tuner.study.stored import check_stored
from tuner.study_run import StudyRun
from tuner.workloads import Workloads, device_of


class Session:
    """Runs studies one after another, loading each model and each metric once."""

    def __init__(self, pictures: Path | None = None, *, allow_pickle: bool = False) -> None:
        """A session without any model yet.

        Args:
            pictures: the folder for pictures; none are kept when None.
            allow_pickle: as in `tuner.load`.
        """
        self._pictures = pictures
        self._ledger = Ledger()  # of the study that runs
        self._workloads = Workloads(allow_pickle=allow_pickle)
        self._metrics: dict[tuple[Any, ...], Any] = {}

    def evaluation(
        self, spec: StudySpec, pool: str = "search", *, more: bool = False
    ) -> Evaluation:
        """How a spec's settings are evaluated; loads what is not loaded yet.

        With `more`, further prompts up to the spec's `max_samples` are available, for inconclusive
        settings.

        Raises `UsageError` if something cannot be loaded or does not fit. Nothing is written.
        """
        device = _device(spec)
        scorer_device = _scorer_device(spec, device)
        count, maximum = spec.num_samples, spec.max_samples if more else None
        with self._ledger.spent(Purpose.LOADING):
            model = self._workloads.model(spec, device)
            with about("prompts"):  # before the model: they are the smaller download
                source = prompt_set(spec.prompts or model.prompts)
                prompts = source.load(count, pool, maximum)
                of_list = listed(source)
            workload = self._workloads.of(spec, device)
        call = workload.call
        if of_list is not None:
            call = call.chosen(of_list.places(count, pool, maximum))
        with about("search_targets"):
            fitting(spec, workload.pipeline, call.common)
        return Evaluation(
            pipeline=workload.pipeline,
            device=device,
            steps=workload.steps,
            prompts=prompts[:count],
            more_prompts=prompts[count:],
            metric=self._metric(model.metric, scorer_device, device, model.metric_options),
            size=workload.size,
            call=call,
            batch_size=spec.batch_size,
            seed=spec.seed,
            seen=workload.seen,
            verifies=pool == "verify",
            ledger=self._ledger,
            extra_metrics=tuple(
                ExtraMetric(
                    component=registry.get("metrics", name),
                    metric=self._metric(name, scorer_device, device, {}),
                )
                for name in spec.metrics
            ),
        )

    def verification(self, spec: StudySpec, steps: int) -> Evaluation:
        """How a spec's best settings are verified, where a call takes this many steps.

        The noise differs by scheduler and number of steps. With the same prompts and noise a
        setting loses nearly the same under two schedulers, so that what holds by luck in one study
        would hold by luck in the next.
        """
        # Not 0 and 2, which the search and `tuner verify` add to the seed.
        noise = 3 + crc32(f"{spec.sched}/{steps}".encode()) % 2**31
        return self.evaluation(spec.with_other_noise(noise), pool="verify", more=True)

    def _metric(self, name: str, device: str, pictures_from: str, options: dict[str, str]) -> Any:
        """A metric, loaded once for each device and each device that generates the pictures."""
        key = (name, device, pictures_from, *sorted(options.items()))
        if key not in self._metrics:
            with self._ledger.spent(Purpose.LOADING):
                self._metrics[key] = registry.get("metrics", name)(
                    device=device, pictures_from=pictures_from, **options
                )
        return self._metrics[key]

    def run(
        self,
        spec: StudySpec,
        observer: Observer | None = None,
        shared: SharedRun | None = None,
    ) -> Outcome:
        """Search until the study has its trials, its goal is met or its time is up.

        Several processes may do so at once; `shared` is what those of one run have in common.
        Waits while another process measures on the device.
        """
        observer = observer or Observer()
        with about("storage"):
            check_address(spec.storage)
        check_folder(self._pictures)
        sampler_row(spec.sampler)
        # Locked before the model is loaded, so that a waiting run uses no memory of the device.
        device = _device(spec)
        _scorer_device(spec, device)  # a wrong one is an error before the run waits for the lock
        with device_lock(device, observer.notice):
            self._ledger = Ledger()  # waiting for the device costs nothing
            warning = contention(device)
            if warning is not None:
                observer.notice(warning)
            return self._run(spec, observer, shared or SharedRun())

    def _run(self, spec: StudySpec, observer: Observer, shared: SharedRun) -> Outcome:
        requested = spec
        with self._ledger.spent(Purpose.LOADING):
            spec = self._workloads.named(spec, _device(spec))
        evaluation = self.evaluation(spec, more=True)
        spec, left_out = fitting(spec, evaluation.pipeline, evaluation.call.common)
        for line in left_out:
            observer.notice(line)
        device, extra = evaluation.device, evaluation.extra_metrics
        notice = memory_notice(scorer_bytes(evaluation.metric, extra, device), device)
        if notice is not None:
            observer.notice(notice)
        shape = shape_of(evaluation.pipeline, *evaluation.size)
        space = Space.of(spec, partial(canonical, shape=shape, steps=evaluation.steps))
        space.check_something_to_try(evaluation.steps)
        verification = self.verification(spec, evaluation.steps)
        storage = Storage(spec.storage)  # opened last, so that an invalid request writes nothing
        with reading(spec.storage):
            study = study_of(spec, evaluation, storage)
            check_stored(study)
        store_opened(study, requested)
        answered = is_answered(study.user_attrs, requested)
        storage.patience.begin(observer.notice)
        outcome = StudyRun(
            spec=spec,
            evaluation=evaluation,
            verification=verification,
            space=space,
            storage=storage,
            study=study,
            observer=observer,
            pictures=self._pictures,
            answered=answered,
            shared=shared,
        ).run()
        reached = outcome.goal.has_target and outcome.best is not None
        if outcome.is_over and not outcome.timed_out and not answered:
            all_run = is_done(study, requested.trials)
            # What was measured after the search's end may have raised what is expected a little.
            converged = requested.min_gain is not None and not all_run and is_idle(study)
            if reached or all_run or converged:
                for_good = reached or converged or has_ended(study)
                store_answer(study, requested, for_good=for_good)
        return outcome


def _device(spec: StudySpec) -> str:
    """The device of a study: the one that it names, or that of the user's pipeline."""
    if spec.device is None and not isinstance(spec.pipeline, str | None):
        return device_of(spec.pipeline)
    return device_named(spec.device)


def _scorer_device(spec: StudySpec, device: str) -> str:
    """The device of the score and the extra metrics; the study's where the spec names none."""
    if spec.scorer_device is None:
        return device
    return device_named(spec.scorer_device, "scorer_device")


def run(spec: StudySpec, observer: Observer | None = None) -> Outcome:
    """Search one study, as ``tuner run`` does, and verify the winner.

    Running it again with the same spec continues the study. It waits while another process
    measures on the device.

    Args:
        spec: the study: what is searched, how, and the limits.
        observer: is notified of the progress; nothing is printed when None.

    Returns:
        The study with its results; `best` is None if no setting met the goal.

    Raises:
        UsageError: a value of the spec is wrong, something cannot be loaded, or an accelerator
            does not fit the pipeline.
        BadPictureError: the baseline's pictures are black, constant or NaN.
        DatabaseGoneError: the database has not answered for ten minutes.
    """
    return Session().run(spec, observer)
