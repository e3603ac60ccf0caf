"""Measuring settings of one pipeline, scheduler and number of steps."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tuner.applying.applied import check
from tuner.errors import DeviceMemoryError
from tuner.measure import cache_keys
from tuner.measure.account import Purpose, TrialAccount
from tuner.measure.baseline import BaselineProcedure, OnBatch, OnPictures
from tuner.measure.baseline_store import BaselineLatency, BaselineScores, Store
from tuner.measure.batch_generator import BatchGenerator
from tuner.measure.cache_keys import key_of
from tuner.measure.extra_metrics import ExtraMetric, Reference, of_equal
from tuner.measure.fewer_steps import FewerSteps
from tuner.measure.measurement import Measurement as Measurement
from tuner.measure.out_of_memory import memory_errors, remedy
from tuner.measure.paired_timing import PRECISE, PairedTimings, PairTimer
from tuner.measure.prediction import Prediction
from tuner.measure.setting_procedure import SettingProcedure, Settled
from tuner.measure.stopwatch import Seconds
from tuner.measure.warm_ups import WarmUps
from tuner.metrics import Metric
from tuner.schedulers import check_steps
from tuner.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Evaluation(BatchGenerator):
    """How settings are evaluated: everything that changes the figures except the setting.

    The speedup is the median latency ratio of pairs of batches, one of the baseline and one of the
    setting: at least `timing_pairs`, and up to `most_pairs` until its interval is ±`precision`.
    Where a search predicts it, the prediction counts, and a pair shows whether it is right.
    """

    metric: Metric  # gives the score
    timing_pairs: int = 3
    most_pairs: int = 12
    precision: float = PRECISE  # a share of the speedup
    extra_metrics: tuple[ExtraMetric, ...] = ()  # in addition to the score
    seen: set[Any] = field(default_factory=set, compare=False)  # see `WarmUps`

    @cached_property
    def score_parts(self) -> dict[str, Any]:
        """Everything that changes pictures and scores."""
        return cache_keys.score_parts(
            self.pipeline,
            device=self.device,
            steps=self.steps,
            call=self.call,
            size=self.size,
            prompts=self.prompts,
            seed=self.seed,
            metric=self.metric.identity,
        )

    @cached_property
    def latency_parts(self) -> dict[str, Any]:
        """Everything that changes the latency."""
        return cache_keys.latency_parts(self.score_parts, self.device, self.batch_size)

    @property
    def baseline_parts(self) -> dict[str, Any]:
        """Everything that changes the baseline's figures."""
        return self.score_parts | self.latency_parts

    def timed_steps(self, settings: Sequence[Setting]) -> list[Seconds]:
        """The seconds of one batch and of its steps: of the baseline, then of each setting.

        Raises `DeviceMemoryError` where the device runs out of memory.
        """
        with self._memory_errors():
            for setting in settings:
                if self.warm_ups.is_due(setting):
                    self.warm_up(setting)
            return self.pairs.steps(settings)

    def reference(self, store: Store) -> Reference:
        """The baseline's side of the extra metrics."""
        return Reference(self.extra_metrics, self.score_parts, store)

    @property
    def most_prompts(self) -> int:
        """How many prompts a setting may be measured on."""
        return len(self.prompts) + len(self.more_prompts)

    @property
    def least_images(self) -> int:
        """How many images measuring a setting takes at least.

        A warm-up batch, the setting's prompts, and the baseline's batches of the pairs.
        """
        full = len(self.prompts) // self.batch_size
        # Where there are fewer full batches than pairs, the setting's are generated again.
        repeated = max(0, self.timing_pairs - full)
        timed = self.timing_pairs + repeated
        return self.batch_size + len(self.prompts) + timed * self.batch_size

    @cached_property
    def warm_ups(self) -> WarmUps:
        """Which settings must be warmed up before they are timed."""
        return WarmUps(
            pipeline=self.pipeline,
            device=self.device,
            size=self.size,
            steps=self.steps,
            conditions=key_of(cache_keys.step_parts(self.latency_parts)),
            seen=self.seen,
        )

    @cached_property
    def pairs(self) -> PairTimer:
        """Times pairs of batches, one of the baseline and one of a setting."""
        batches = self.batches()
        size = len(batches[0])
        return PairTimer(
            generate=self.generate_with,
            pipeline=self.pipeline,
            device=self.device,
            batches=[batch for batch in batches[: self.timing_pairs] if len(batch) == size],
            least=self.timing_pairs,
            most=self.most_pairs,
            precision=self.precision,
        )

    def baseline(
        self,
        store: Store,
        on_batch: OnBatch | None = None,
        on_pictures: OnPictures | None = None,
    ) -> tuple[BaselineScores, BaselineLatency]:
        """The baseline from the store, or measured now and stored.

        Args:
            store: where the baseline is, or will be.
            on_batch: called after each batch with the number done and their total.
            on_pictures: called with the prompts' numbers and the pictures of each batch.

        Raises:
            UsageError: the baseline's mean score is zero or less, so that a loss is undefined; or
                the device's memory is too small for a batch.
        """
        return self._baseline_procedure(store, on_pictures).measured(on_batch)

    def has_baseline(self, store: Store) -> bool:
        """Whether the store has the baseline's scores of the prompts of every setting."""
        return self._baseline_procedure(store).has_all_scores

    def measure(
        self,
        setting: Setting,
        store: Store,
        on_pictures: OnPictures | None = None,
        on_baseline: OnPictures | None = None,
        *,
        drawn: bool = False,
        predicted: Prediction | None = None,
        few_pairs: bool = False,
        settled: Settled | None = None,
        of_trial: bool | None = None,
    ) -> Iterator[Measurement]:
        """Evaluate a setting; yields the measurement so far after each batch of prompts.

        Those of `more_prompts` come last; the caller stops when it has enough. Pairs of batches,
        with and without the setting, give the speedup: the first `timing_pairs`, or with a
        prediction a single one, and all batches whose baseline has to be generated. If that is not
        precise enough after the last batch of `prompts`, or once the verdict is `settled`, more are
        timed, and the measurement is yielded before (`timed` is False) and after.

        Args:
            setting: which accelerators are on, or a smaller number of steps (`FewerSteps`).
            store: where the baseline is, or will be.
            on_pictures: called with the prompts' numbers and the pictures of each batch.
            on_baseline: likewise with those of the baseline, where they are generated.
            drawn: draw the setting's prompts from `prompts` and as many of `more_prompts`, so that
                settings are not all lucky with the same ones. Their order is always random, and the
                same whenever this setting is measured.
            predicted: what is expected of the speedup.
            few_pairs: no more than `timing_pairs` are timed on a steady machine, so that the
                speedup may be known to some per cent only: a search times what matters at its end.
            settled: whether a measurement needs no more prompts. Pairs that nothing else needs are
                timed only then, or after the last prompt.
            of_trial: whether a trial stores what it costs; of a verification none does when None.

        Raises:
            UnfitError: an accelerator does not fit the pipeline.
            UsageError: the scheduler cannot run such a number of steps.
            TrialError: pictures are broken, or the device runs out of memory.
        """
        if not setting.accelerators and not isinstance(setting, FewerSteps):
            yield Measurement.of_baseline(
                *self.baseline(store),
                latency_key=key_of(self.latency_parts),
                fidelity=of_equal(self.extra_metrics),
                note=f"the same computation as the baseline at {self.steps} steps on this model",
            )
            return
        self._check(setting)
        baseline = self._baseline_procedure(store, on_baseline)
        known = self._baseline_or_latency(baseline)
        with self._memory_errors(), self._account(setting, of_trial) as account:
            procedure = self._procedure(setting, baseline, known, account, predicted, few_pairs)
            yield from procedure.measurements(on_pictures, settled, drawn=drawn)

    def _procedure(
        self,
        setting: Setting,
        baseline: BaselineProcedure,
        known: tuple[BaselineScores | None, BaselineLatency],
        account: TrialAccount,
        predicted: Prediction | None,
        few_pairs: bool,
    ) -> SettingProcedure:
        """How a setting is measured; `known` is the baseline as it is stored."""
        scores, latency = known
        return SettingProcedure(
            setting=setting,
            generator=self,
            baseline=baseline,
            pairs=self.pairs,
            warm_ups=self.warm_ups,
            account=account,
            latency=latency,
            scores=scores,
            least_pairs=self.timing_pairs,
            predicted=predicted,
            few_pairs=few_pairs,
        )

    def _check(self, setting: Setting) -> None:
        """Raise an error where the pipeline cannot run a setting."""
        if isinstance(setting, FewerSteps):
            check_steps(self.pipeline.scheduler, self.requested_steps(setting.steps))
        check(self.pipeline, setting.accelerators)

    def _account(
        self, setting: Setting, of_trial: bool | None
    ) -> AbstractContextManager[TrialAccount]:
        """Where to enter what a setting costs."""
        if isinstance(setting, FewerSteps):
            return self.ledger.measurement(of_trial=False, purpose=Purpose.FEWER_STEPS)
        return self.ledger.measurement(of_trial=not self.verifies if of_trial is None else of_trial)

    def time(self, setting: Setting, store: Store) -> PairedTimings:
        """Time pairs of a setting until its speedup is precise; nothing is scored.

        Raises `DeviceMemoryError` where the device runs out of memory.
        """
        _, latency = self._baseline_or_latency(self._baseline_procedure(store))
        with self._memory_errors():
            if self.warm_ups.is_due(setting):
                self.warm_up(setting)
            timings = self.pairs.none_yet(latency.latency_s, latency.batch_size)
            return list(self.pairs.completed(setting, timings))[-1]

    def _baseline_or_latency(
        self, procedure: BaselineProcedure
    ) -> tuple[BaselineScores | None, BaselineLatency]:
        """The baseline, measured where it is not stored.

        A verification without extra metrics measures the baseline of its prompts together with its
        first setting: its scores are None, unless they are stored.
        """
        if self.verifies and not self.extra_metrics and not procedure.has_all_scores:
            return None, procedure.latency()
        return procedure.measured()

    def _baseline_procedure(
        self, store: Store, on_pictures: OnPictures | None = None
    ) -> BaselineProcedure:
        return BaselineProcedure(
            generator=self,
            metric=self.metric,
            extra_metrics=self.extra_metrics,
            store=store,
            score_parts=self.score_parts,
            latency_parts=self.latency_parts,
            timed_batches=self.timing_pairs,
            warm_ups=self.warm_ups,
            on_pictures=on_pictures,
        )

    def _memory_errors(self) -> memory_errors:
        return memory_errors(DeviceMemoryError, f"out of memory; {remedy(self.batch_size)}")
