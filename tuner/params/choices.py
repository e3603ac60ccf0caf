"""Which study of a `search_params.json` a pipeline's call uses."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from tuner.accelerators import Accelerator
from tuner.adapters import adapters_digest
from tuner.errors import UsageError
from tuner.loading import fingerprint, weighed
from tuner.params.choice import Choice, choices_of_class
from tuner.params.machine import machine_changes
from tuner.pipelines.arguments import guidance_of, negative_prompt_of, size_of
from tuner.pipelines.calls import steps_that_run
from tuner.pipelines.compiling import compiled_as, compiled_text
from tuner.pipelines.denoiser import called_denoiser, denoiser_of
from tuner.schedulers import has_options
from tuner.size import Size


@dataclass(kw_only=True)
class Choices:
    """The studies of a file that were made with a pipeline's class and weights.

    A warning is given once, however often it applies.
    """

    contents: Mapping[str, Any]
    steps: int | None = None  # use the study with this number of steps for every call
    pick: str | None = None  # a rule that picks each study's setting
    _matching: list[Choice] = field(default_factory=list)
    _unpicked: list[UsageError] = field(default_factory=list)  # studies in which it picks nothing
    _denoiser: Any = None  # a weak reference to the denoiser that `_matching` was made for
    _adapters: str = ""  # how the adapters were set then
    _warnings: set[str] = field(default_factory=set)

    def available(self, pipeline: Any) -> list[Choice]:
        """The studies for the pipeline and its scheduler; a `UsageError` if there is none."""
        denoiser, adapters = denoiser_of(pipeline), adapters_digest(weighed(pipeline))
        same = self._denoiser is not None and self._denoiser() is denoiser
        if not same or self._adapters != adapters:
            self._matching = self._with_same_weights(pipeline)
            self._denoiser, self._adapters = ref(denoiser), adapters
        scheduler = type(pipeline.scheduler).__name__
        same_class = [choice for choice in self._matching if choice.scheduler == scheduler]
        choices = [
            choice
            for choice in same_class
            if has_options(pipeline.scheduler, choice.scheduler_options)
        ]
        if not choices:
            config = pipeline.scheduler.config
            options = {name for c in same_class for name in other_options(config, c)}
            with_options = [scheduler, *(f"{name}={config.get(name)}" for name in sorted(options))]
            raise UsageError(
                f"the file has no feasible setting for {type(pipeline).__name__} with "
                f"{', '.join(with_options)}; its studies: {_listed(self.contents)}{self._reasons}"
            )
        if self.steps is not None:
            choices = self._with_steps(choices, self.steps)
        self._warn_of_machine(choices, pipeline)
        self._warn_of_compiling(choices, pipeline)
        return choices

    def __call__(self, pipeline: Any, arguments: Mapping[str, Any]) -> Sequence[Accelerator]:
        """The accelerators of a call.

        The study with the nearest image size is used, and of those the one with the nearest
        guidance; a warning is given if either is different. Of several, it is the one with the
        call's negative prompt. Studies of one's own pipelines come nearer the more arguments of the
        call they have.
        """
        choices = self.available(pipeline)
        if self.steps is None:
            choices = self._with_steps(choices, steps_that_run(pipeline, arguments))
        size = size_of(pipeline, denoiser_of(pipeline), arguments)
        guidance = guidance_of(arguments)
        negative = negative_prompt_of(arguments)

        def distance(choice: Choice) -> tuple[float, float, int, bool]:
            difference = choice.guidance(guidance) - (guidance or 0)
            other_negative = choice.evaluation.get("negative_prompt", "") != negative
            others = len(choice.other_arguments(arguments))
            return choice.size_distance(size), abs(difference), others, other_negative

        least = min(map(distance, choices))
        nearest = [choice for choice in choices if distance(choice) == least]
        if len({str(choice.setting) for choice in nearest}) > 1:
            names = " and ".join(choice.name for choice in nearest)
            raise UsageError(
                f"the studies {names} fit this call equally well; export only one of them"
            )
        self._warn_of_differences(nearest[0], size, arguments)
        self._warn_if_unverified(nearest[0])
        return nearest[0].setting.accelerators

    def _warn_of_differences(
        self, choice: Choice, size: Size | None, arguments: Mapping[str, Any]
    ) -> None:
        differences, guidance = [], guidance_of(arguments)
        measured_size = Size.of(choice.evaluation)
        if size is not None and choice.size_distance(size):
            differences.append(f"{measured_size} pixels, but this call has {size}")
        measured = choice.guidance(guidance)
        if measured != (guidance or 0):
            differences.append(f"guidance {measured:g}, but this call has {guidance:g}")
        for name in choice.other_arguments(arguments):
            before = choice.evaluation["call"][name]
            differences.append(f"{name} {before}, but this call has {arguments.get(name)}")
        if differences:
            self._warn(f"{choice.name} was measured at {'; at '.join(differences)}")

    def _warn_of_machine(self, choices: list[Choice], pipeline: Any) -> None:
        """Warn if the device or packages are not those of a study, once for equal differences."""
        names: dict[str, str] = {}
        for choice in choices:
            changed = machine_changes(
                choice.evaluation, choice.versions, choice.setting.accelerators, pipeline
            )
            names.setdefault(", ".join(changed), choice.name)
        for text, name in names.items():
            if text:
                self._warn(
                    f"{name} was measured with another device or other packages ({text}): its "
                    "speed and quality figures may not hold here; `tuner verify` re-measures them"
                )

    def _warn_of_compiling(self, choices: list[Choice], pipeline: Any) -> None:
        """Warn if a study was measured compiled and the pipeline is not, or the other way round."""
        now = compiled_as(called_denoiser(pipeline))
        for choice in choices:
            measured = choice.evaluation.get("compile")
            if measured != now and (measured is None or now is None):
                compiled, plain = ("study", "pipeline") if now is None else ("pipeline", "study")
                self._warn(
                    f"{choice.name}: the denoiser of the {compiled} is compiled "
                    f"({compiled_text(str(measured or now))}) and that of the {plain} "
                    "is not, so the study's speedup may not hold here"
                )

    def _with_steps(self, choices: list[Choice], steps: int) -> list[Choice]:
        fitting = [choice for choice in choices if choice.steps == steps]
        if not fitting:
            known = ", ".join(map(str, sorted({choice.steps for choice in choices})))
            raise UsageError(
                f"the file has no study with {steps} steps; its studies have {known} steps"
                f"{self._reasons}"
            )
        return fitting

    @property
    def _reasons(self) -> str:
        """Why studies were left out, for the end of a message."""
        return "".join(f"; {error}" for error in self._unpicked)

    def _warn_if_unverified(self, choice: Choice) -> None:
        if choice.picked is not None and not choice.verified:
            self._warn(
                f"the setting of {choice.name} that was picked by {choice.picked!r} "
                f"({choice.setting}) was never verified; `tuner verify` does that"
            )

    def _warn(self, line: str) -> None:
        if line not in self._warnings:
            self._warnings.add(line)
            warnings.warn(line, stacklevel=2)

    def _with_same_weights(self, pipeline: Any) -> list[Choice]:
        """The feasible studies for the pipeline's class and weights.

        A study without a fingerprint counts as one of the same weights. Weights are cast to the
        precision of a study before they are compared. That is impossible if they were rounded to
        another precision before: such a study is used, with a warning, if no other fits.
        """
        dtype = str(denoiser_of(pipeline).dtype).removeprefix("torch.")
        fingerprints: dict[str | None, str] = {}
        same, unknown, different = [], [], []
        choices, self._unpicked = choices_of_class(
            self.contents, type(pipeline).__name__, self.pick
        )
        if self._unpicked and not choices:
            raise self._unpicked[0]
        for choice in choices:
            cast = choice.cast(dtype)
            if cast not in fingerprints and choice.weights is not None:
                fingerprints[cast] = fingerprint(pipeline, cast)
            if choice.weights is None or fingerprints[cast] == choice.weights:
                same.append(choice)
            elif cast is not None and dtype != "float32":
                unknown.append(choice)  # the pipeline's weights were rounded already
            else:
                different.append(choice)
        if same or not (unknown or different):
            return same
        return self._match_with_warning(pipeline, dtype, unknown, different)

    def _match_with_warning(
        self, pipeline: Any, dtype: str, unknown: list[Choice], different: list[Choice]
    ) -> list[Choice]:
        """The studies to use with a warning where none has the same fingerprint.

        Raises `UsageError` if no study can be of the pipeline's weights.
        """
        extended = [
            choice
            for choice in (*unknown, *different)
            if fingerprint(pipeline, choice.cast(dtype), ip_adapter=False) == choice.weights
        ]
        if extended:
            self._warn(
                f"{extended[0].name} was measured with these weights, but without this pipeline's "
                "IP-Adapter or image_encoder: its speed and quality figures are valid for calls "
                "without ip_adapter_image only"
            )
            return extended
        if len({choice.weights for choice in unknown}) == 1:
            self._warn(
                f"{unknown[0].name} was measured in {unknown[0].dtype(dtype)}, but this pipeline "
                f"is in {dtype}: it is unknown whether the weights are the same"
            )
            return unknown
        own = [choice for choice in (*unknown, *different) if choice.is_own]
        if own:
            self._warn(
                f"{' and '.join(choice.name for choice in own)} had other weights than this "
                "pipeline, or adapters with other scales (this pipeline has the fingerprint "
                f"{fingerprint(pipeline)}): speed and quality figures may not hold"
            )
            return own
        others = "; ".join(
            f"{choice.name} has {choice.weights} in {choice.evaluation.get('dtype')}"
            for choice in (*unknown, *different)
        )
        raise UsageError(
            "the file has no study of this pipeline's weights "
            f"({', '.join(weighed(pipeline))} together have the fingerprint "
            f"{fingerprint(pipeline)} in {dtype}): {others}; load all of these parts as they were "
            "measured, or apply a setting directly, as accelerator → knob → value"
        )


def other_options(config: Mapping[str, Any], choice: Choice) -> list[str]:
    """The options of a scheduler that differ from those of a study."""
    return [name for name, value in choice.scheduler_options.items() if config.get(name) != value]


def _listed(contents: Mapping[str, Any]) -> str:
    return (
        ", ".join(
            f"{name} ({study['pipeline']}, {study['sched']}, {study['steps']} steps"
            f"{'' if study['best'] else ', nothing feasible'})"
            for name, study in contents["studies"].items()
        )
        or "none"
    )
