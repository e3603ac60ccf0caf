"""The specification of a study: what is searched, how, and its limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, get_args

from tuner import registry
from tuner.accelerators import Accelerator, Knob, Value
from tuner.errors import UsageError, about
from tuner.family import family_of
from tuner.models import Model
from tuner.sampler_table import sampler_row, sweep_named
from tuner.scheduler_table import name_of
from tuner.size import Size

Aim = Literal["max", "front"]

AIMS = get_args(Aim)
SEEDS = 2**32  # seeds are from 0 to this, exclusive; samplers take no greater ones
DEFAULT_TRIALS = 100  # of a search
SWITCHES = ("distinct", "transfer", "reference")
LISTS = ("search_targets", "metrics")
OPTIONAL = ("pipe", "device", "scorer_device", "dtype", "prompts", "model", "negative_prompt")
TEXTS = ("sched", "sampler", "aim", "storage", *OPTIONAL)
ABOVE_ZERO = ("req_time", "req_speedup", "timeout")
TABLES = {"knobs": "accelerators with their knobs", "limits": "metrics with their limits"}
NUMBERS = (*ABOVE_ZERO, "req_score_loss", "guidance_scale")
SIDE_MULTIPLE = 8  # of every model; some need more, which is checked once it is loaded
WHOLE_NUMBERS = {  # with the least value of each
    "steps": 1,
    "num_samples": 2,
    "max_samples": 2,
    "batch_size": 1,
    "trials": 1,
    "seed": 0,
    "resolution": SIDE_MULTIPLE,
    "height": SIDE_MULTIPLE,
    "width": SIDE_MULTIPLE,
}
SIDES = ("resolution", "height", "width")  # in pixels, multiples of SIDE_MULTIPLE


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """One study: a model, a scheduler, a number of steps, and how to search.

    The fields are the keys of study files, and nearly all are flags of ``tuner run``, whose
    ``--help`` describes them. A wrong value raises a `UsageError`.
    """

    pipe: str | None = None  # the kind of model; that of `model`, or SD1.5, when None
    sched: str = "DDIM"  # a name in `tuner.scheduler_table`
    steps: int = 50
    search_targets: tuple[str, ...] = ()  # the model's defaults when empty
    num_samples: int = 32  # prompts of each setting
    max_samples: int | None = None  # maximum prompts of a setting; 4 * num_samples when None
    batch_size: int = 4  # pictures
    seed: int = 42  # of the noise, the accelerators and the sampler
    req_time: float | None = None  # stop at a setting with this latency; seconds per image
    req_speedup: float | None = None  # stop at a setting that is this many times as fast
    req_score_loss: float = 0.02  # upper limit, as a share of the baseline's score
    metrics: tuple[str, ...] = ()  # extra metrics; those that have a limit are added
    limits: Mapping[str, float] = field(default_factory=dict)  # extra metric -> limit
    trials: int | None = None  # the study's total; when None, 100, or all points of a sweep
    timeout: float | None = None  # seconds of searching
    sampler: str = "frontier"  # a name in `tuner.sampler_table`
    distinct: bool = False  # of grid: measure each distinct computation once
    aim: Aim = "max"  # of frontier: the fastest setting within the limits, or the Pareto front
    transfer: bool = True  # whether frontier takes a warm start from another study in the storage
    reference: bool = True  # whether a search measures the plain pipeline with fewer steps too
    storage: str = "sqlite:///tuner.db"  # SQLAlchemy URL of the database
    device: str | None = None  # as in `tuner.load`
    scorer_device: str | None = None  # of the score and the extra metrics; `device` when None
    dtype: str | None = None  # as in `tuner.load`
    prompts: str | None = None  # a known set or a text file; the model's default when None
    model: str | None = None  # a hub id or folder that replaces the known model's weights
    guidance_scale: float | None = None  # the model's default when None
    negative_prompt: str | None = None  # of all prompts
    resolution: int | None = None  # pixels, both sides; the model's default when None
    height: int | None = None  # pixels; that of `resolution` when None
    width: int | None = None
    # Accelerator -> knob -> the values to try; for other knobs the accelerator's own values.
    knobs: Mapping[str, Mapping[str, tuple[Value, ...]]] = field(default_factory=dict)
    # Not a key of study files. True: search_targets are the model's defaults, of which those that
    # do not fit the pipeline are left out. False: an accelerator that does not fit is an error.
    targets_are_defaults: bool = False

    def __post_init__(self) -> None:
        """Check and normalise every value; a `UsageError` names the first that is wrong."""
        self._check_types()
        self._name_components()
        self._check_whole_numbers()
        self._check_sweep()
        if self.sweep is None:
            self._set(trials=self.trials or DEFAULT_TRIALS)
        self._set(max_samples=self.max_samples or 4 * self.num_samples)
        self._check_samples()
        self._check_ranges()
        self._set(knobs=_checked_knobs(self.knobs))
        limits, metrics = {}, set()
        for name, value in self.limits.items():
            with about("limits", name):
                limits[self._extra(name)] = _limit(name, value)
        for index, name in enumerate(self.metrics):
            with about("metrics", index):
                metrics.add(self._extra(name))
        self._set(limits=limits, metrics=tuple(sorted(metrics | set(limits))))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_types(self) -> None:
        """Each value must be of the type that its key takes."""
        for name in TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in OPTIONAL):
                raise _wrong(name, f"must be a string, not {value!r}")
            if value == "":
                raise _wrong(name, "is empty; leave it out for the default")
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and not is_number(value):
                raise _wrong(name, f"must be a number, not {value!r}")
        for name in LISTS:
            if any(not isinstance(item, str) for item in getattr(self, name)):
                raise _wrong(name, f"must be a list of names, not {list(getattr(self, name))}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, f"must be true or false, not {getattr(self, name)!r}")
        for name, content in TABLES.items():
            if not isinstance(getattr(self, name), Mapping):
                raise _wrong(name, f"must be a table of {content}, not {getattr(self, name)!r}")

    def _name_components(self) -> None:
        """Replace the names as typed by those of the components, and set default accelerators."""
        with about("pipe"):
            model = self.family
        if self.pipe is None and self.model is not None and self.resolution is None:
            self._set(resolution=model.resolution)  # of these weights, whatever their family's is
        with about("sched"):
            self._set(pipe=model.name, sched=name_of(self.sched))
        with about("aim"):
            self._set(aim=registry.pick("aim", self.aim, {aim: aim for aim in AIMS}))
        with about("sampler"):
            self._set(sampler=sampler_row(self.sampler).name)
        targets = []
        for index, name in enumerate(self.search_targets or model.accelerators):
            with about("search_targets", index):
                targets.append(registry.get("accelerators", name))
        targets.sort(key=lambda target: target.order)
        names = tuple(dict.fromkeys(target.name for target in targets))
        defaults = self.targets_are_defaults and set(names) == set(model.accelerators)
        self._set(targets_are_defaults=defaults or not self.search_targets, search_targets=names)

    def _check_whole_numbers(self) -> None:
        for name, least in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is not None and (not is_whole(value) or value < least):
                raise _wrong(name, f"must be a whole number of at least {least}, not {value!r}")

    def _check_sweep(self) -> None:
        """A sweep has all its accelerators on; only a grid can leave out equal computations."""
        if self.distinct and self.sweep != "grid":
            raise _wrong("distinct", f"works with the sampler grid only, not with {self.sampler}")
        for first, second in combinations(self.accelerators if self.sweep else (), 2):
            if first.occupies & second.occupies:
                raise UsageError(
                    f"{first.name} and {second.name} change the same part of the model, and a "
                    f"{self.sweep} has all its accelerators on; name only one in search_targets",
                    key=("search_targets",),
                )

    def _check_samples(self) -> None:
        if self.max_samples is not None and self.max_samples < self.num_samples:
            least = f"num_samples ({self.num_samples})"
            raise _wrong("max_samples", f"must be at least {least}, not {self.max_samples}")

    def _check_ranges(self) -> None:
        if self.seed >= SEEDS:
            raise _wrong("seed", f"must be less than 2**32, not {self.seed}")
        for name in SIDES:
            if (getattr(self, name) or 0) % SIDE_MULTIPLE:
                value = getattr(self, name)
                raise _wrong(name, f"must be a multiple of {SIDE_MULTIPLE}, not {value}")
        loss, guidance = self.req_score_loss, self.guidance_scale
        if not 0 < loss < 1:
            raise _wrong("req_score_loss", f"must lie between 0 and 1 (0.02 is 2%), not {loss}")
        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise _wrong(name, f"must be above 0 and finite, not {value}")
        if guidance is not None and not 0 <= guidance < math.inf:
            raise _wrong("guidance_scale", f"must be at least 0 and finite, not {guidance}")

    def _extra(self, name: str) -> str:
        """The component's name of an extra metric, which must not be the score's."""
        extra: str = registry.get("metrics", name).name
        if extra == self.family.metric:
            raise UsageError(f"{extra} is the score itself; req_score_loss is its limit")
        return extra

    @property
    def family(self) -> Model:
        """The family of the model, with the defaults of its studies."""
        return family_of(self.pipe, self.model)

    @property
    def triple(self) -> str:
        """The study's name: 'SD1.5/DDIM/50'."""
        return f"{self.pipe}/{self.sched}/{self.steps}"

    @property
    def sweep(self) -> str | None:
        """The sampler's name where it goes through a whole product."""
        return sweep_named(self.sampler)

    @property
    def accelerators(self) -> list[type[Accelerator]]:
        """The accelerators that may be on, in their order; in a sweep all of them are on."""
        return [registry.get("accelerators", name) for name in self.search_targets]

    def size(self, default: int) -> Size:
        """The size of the pictures; `default` is the model's side in pixels."""
        side = self.resolution or default
        return Size(self.height or side, self.width or side)

    @property
    def size_keys(self) -> tuple[str, str]:
        """The keys that give the height and the width: 'resolution' where a side is not set."""
        height, width = (name if getattr(self, name) else "resolution" for name in SIDES[1:])
        return height, width

    def with_other_noise(self, number: int) -> "StudySpec":
        """The same study with a seed greater by `number`, modulo `SEEDS`."""
        return replace(self, seed=(self.seed + number) % SEEDS)

    def values(self, accelerator: type[Accelerator]) -> dict[str, tuple[Value, ...]]:
        """The values that the search may give to each knob."""
        chosen = self.knobs.get(accelerator.name, {})
        return {
            knob.name: tuple(chosen.get(knob.name, knob.values)) for knob in accelerator.knobs()
        }


def is_whole(value: Any) -> bool:
    """Whether it is an integer; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is an integer or a float; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limit(name: str, value: Any) -> float:
    if not is_number(value) or not math.isfinite(value):
        raise UsageError(f"limits.{name} must be a number, not {value!r}")
    return float(value)


def _wrong(name: str, text: str) -> UsageError:
    """The error of a wrong value; its message is `text` after the key's name."""
    return UsageError(f"{name} {text}", key=(name,))


def _checked_knobs(knobs: Mapping[str, Any]) -> dict[str, dict[str, tuple[Value, ...]]]:
    """Accelerator -> knob -> its allowed values in ascending order, each of them checked."""
    checked: dict[str, dict[str, tuple[Value, ...]]] = {}
    for name, chosen in knobs.items():
        with about("knobs", name):
            accelerator = registry.get("accelerators", name)
            by_name = {knob.name: knob for knob in accelerator.knobs()}
            if not isinstance(chosen, Mapping):
                raise UsageError(f"knobs.{name} must be a table of knobs: {', '.join(by_name)}")
        for knob_name, values in chosen.items():
            with about("knobs", name, knob_name):
                if knob_name not in by_name:
                    known = ", ".join(by_name)
                    raise UsageError(f"unknown knob {name}.{knob_name}; known: {known}")
                listed = tuple(values) if isinstance(values, list | tuple) else (values,)
                if not listed:
                    raise UsageError(
                        f"{name}.{knob_name} has no values; list at least one, or leave it out"
                    )
            for index, value in enumerate(listed):
                with about("knobs", name, knob_name, index):
                    _check_knob_value(f"{name}.{knob_name}", by_name[knob_name], value)
            checked.setdefault(accelerator.name, {})[knob_name] = tuple(sorted(set(listed)))
    return checked


def _check_knob_value(name: str, knob: Knob, value: Any) -> None:
    if not is_number(value) or not knob.low <= value <= knob.high:
        raise UsageError(f"{name} = {value!r} is outside {knob.low} … {knob.high}")
    if all(isinstance(v, int) for v in knob.values) and not isinstance(value, int):
        raise UsageError(f"{name} takes whole numbers, not {value!r}")
