"""What a study is asked to do, from a TOML file and flags."""

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal, get_args

from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.errors import UsageError
from tuner.sampler_table import sweep_named
from tuner.schedulers import name_of

Aim = Literal["max", "front"]

MANY = ("pipe", "sched", "steps")  # several values of these make several studies
SEEDS = 2**32  # how many there are, from 0 on: samplers take no greater ones
SEARCHED = 100  # trials of a search that does not say
LISTS = ("search_targets", "metrics")
TEXTS = ("pipe", "sched", "sampler", "aim", "storage", "device", "dtype", "prompts", "model")
OPTIONAL = ("device", "dtype", "prompts", "model")
NUMBERS = ("req_time", "req_speedup", "req_score_loss", "timeout", "guidance_scale")
WHOLE = {
    "steps": 1,
    "num_samples": 2,
    "max_samples": 2,
    "batch_size": 1,
    "trials": 1,
    "seed": 0,
    "resolution": 8,
}


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """One study: a model, a scheduler, a number of steps, and how to search."""

    pipe: str = "SD1.5"
    sched: str = "DDIM"
    steps: int = 50
    search_targets: tuple[str, ...] = ()  # the model's own when empty
    num_samples: int = 32
    max_samples: int | None = None  # where a verdict needs more; four times num_samples when None
    batch_size: int = 4
    seed: int = 42
    req_time: float | None = None  # seconds per image
    req_speedup: float | None = None
    req_score_loss: float = 0.02
    metrics: tuple[str, ...] = ()  # measured beside the score; those with a limit always are
    limits: Mapping[str, float] = field(default_factory=dict)  # metric -> limit of its figure
    trials: int | None = None  # the total that the study should reach; None: a replay's whole one
    timeout: float | None = None  # seconds of searching
    sampler: str = "frontier"
    distinct: bool = False  # a grid with one trial for each distinct computation
    aim: Aim = "max"  # the fastest within the limits, or the front; of the sampler frontier
    transfer: bool = True  # whether that learns from a related study in the same storage
    storage: str = "sqlite:///tuner.db"
    device: str | None = None
    dtype: str | None = None
    prompts: str | None = None  # a known set or a text file; the model's own when None
    model: str | None = None  # a hub id or folder that replaces the known model's weights
    guidance_scale: float | None = None
    resolution: int | None = None
    knobs: Mapping[str, Mapping[str, tuple[Value, ...]]] = field(default_factory=dict)
    # No key of a file: whether search_targets are the model's own, of which what does not fit is
    # left out; one that was asked for by name is an error then.
    targets_are_defaults: bool = False

    def __post_init__(self) -> None:
        """Check every value; a `UsageError` names the first that is wrong."""
        set_ = object.__setattr__
        self._check_kinds()
        model = registry.get("models", self.pipe)
        set_(self, "pipe", model.name)
        set_(self, "sched", name_of(self.sched))
        set_(self, "aim", registry.pick("aim", self.aim, {one: one for one in get_args(Aim)}))
        known = registry.components("accelerators")
        asked = self.search_targets or model.accelerators
        targets = [registry.pick("accelerator", name, known) for name in asked]
        targets.sort(key=lambda one: one.order)
        named = tuple(dict.fromkeys(one.name for one in targets))
        defaults = self.targets_are_defaults and set(named) == set(model.accelerators)
        set_(self, "targets_are_defaults", defaults or not self.search_targets)
        set_(self, "search_targets", named)
        for name, low in WHOLE.items():
            value = getattr(self, name)
            if value is not None and (not _is_whole(value) or value < low):
                raise UsageError(f"{name} must be a whole number of at least {low}, not {value!r}")
        self._check_sweep()
        if self.sweep is None:
            set_(self, "trials", self.trials or SEARCHED)
        set_(self, "max_samples", self.max_samples or 4 * self.num_samples)
        if self.max_samples is not None and self.max_samples < self.num_samples:
            raise UsageError(
                f"max_samples must be at least num_samples ({self.num_samples}), "
                f"not {self.max_samples}"
            )
        if self.seed >= SEEDS:
            raise UsageError(f"seed must be less than 2**32, not {self.seed}")
        if self.resolution is not None and self.resolution % 8:
            raise UsageError(f"resolution must be a multiple of 8, not {self.resolution}")
        if not 0 < self.req_score_loss < 1:
            raise UsageError(
                f"req_score_loss must lie between 0 and 1 (0.02 is 2 %), not {self.req_score_loss}"
            )
        for name in ("req_time", "req_speedup", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} must be above 0 and finite, not {value}")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale < math.inf:
            raise UsageError(
                f"guidance_scale must be at least 0 and finite, not {self.guidance_scale}"
            )
        set_(self, "knobs", _checked_knobs(self.knobs, known))
        set_(self, "limits", {self._beside(k): _limit(k, v) for k, v in self.limits.items()})
        beside = {self._beside(name) for name in self.metrics} | set(self.limits)
        set_(self, "metrics", tuple(sorted(beside)))

    def _beside(self, name: str) -> str:
        """A metric that may stand beside the score, as it calls itself."""
        found: str = registry.get("metrics", name).name
        if found == registry.get("models", self.pipe).metric:
            raise UsageError(f"{found} is the score itself; req_score_loss is its limit")
        return found

    def _check_sweep(self) -> None:
        """A replay has all its accelerators on; only a grid can leave out equal computations."""
        if self.distinct and self.sweep != "grid":
            raise UsageError(f"distinct is for the sampler grid, not {self.sampler}")
        for one, other in combinations(self.accelerators if self.sweep else (), 2):
            if one.occupies & other.occupies:
                raise UsageError(
                    f"{one.name} and {other.name} occupy the same part of the model, and a "
                    f"{self.sweep} has all its accelerators on; choose with search_targets"
                )

    def _check_kinds(self) -> None:
        """Each value must be of the kind that its key takes."""
        if not isinstance(self.distinct, bool):
            raise UsageError(f"distinct must be true or false, not {self.distinct!r}")
        for name in TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in OPTIONAL):
                raise UsageError(f"{name} must be a text, not {value!r}")
            if value == "":
                raise UsageError(f"{name} is empty; leave it out for what is usual")
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise UsageError(f"{name} must be a number, not {value!r}")
        for name in LISTS:
            if any(not isinstance(one, str) for one in getattr(self, name)):
                raise UsageError(f"{name} must be names, not {list(getattr(self, name))}")
        if not isinstance(self.transfer, bool):
            raise UsageError(f"transfer must be true or false, not {self.transfer!r}")
        if not isinstance(self.knobs, Mapping):
            raise UsageError(f"knobs must be a table of accelerators, not {self.knobs!r}")
        if not isinstance(self.limits, Mapping):
            raise UsageError(f"limits must be a table of metrics, not {self.limits!r}")

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
        """The accelerators that may be on, in their order; in a replay they all are."""
        return [registry.get("accelerators", name) for name in self.search_targets]

    def with_other_noise(self, number: int) -> "StudySpec":
        """The same with a seed that is so many further on; after the greatest comes 0."""
        return replace(self, seed=(self.seed + number) % SEEDS)

    def values(self, accelerator: type[Accelerator]) -> dict[str, tuple[Value, ...]]:
        """What the search may give to each knob."""
        chosen = self.knobs.get(accelerator.name, {})
        return {one.name: tuple(chosen.get(one.name, one.values)) for one in accelerator.knobs()}


def read_specs(path: Path | None, flags: Mapping[str, Any]) -> list[StudySpec]:
    """Every study that a file and flags ask for; a flag outweighs the file.

    Raises `UsageError` for a file that cannot be read, unknown keys and wrong values.
    """
    values: dict[str, Any] = {} if path is None else _read(path)
    values |= {name: value for name, value in flags.items() if value is not None}
    known = {one.name for one in fields(StudySpec)} - {"targets_are_defaults"}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise UsageError(f"unknown key {name!r} in {path}; {hint}")
    values |= {name: tuple(_listed(values[name])) for name in LISTS if name in values}
    if values.get("search_targets") == ():
        accelerators = ", ".join(registry.components("accelerators"))
        raise UsageError(f"search_targets is empty; known: {accelerators}")
    if isinstance(values.get("limits"), list):
        values["limits"] = dict(_pair(one) for one in values["limits"])
    present = [(name, _listed(values.pop(name))) for name in MANY if name in values]
    for name, found in present:
        if not found:
            raise UsageError(f"{name} has no value in {path or 'the flags'}")
    specs = []
    for chosen in product(*(found for _, found in present)):
        named = dict(zip((name for name, _ in present), chosen, strict=True))
        if "steps" in named:
            named["steps"] = _whole("steps", named["steps"])
        try:
            specs.append(StudySpec(**values, **named))
        except TypeError as error:
            raise UsageError(
                f"a value in {path or 'the flags'} has the wrong type: {error}"
            ) from error
    return specs


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        bundled = ", ".join(sorted(p.stem for p in bundled_studies().glob("*.toml")))
        raise UsageError(
            f"cannot read the study file {path}: {error.strerror}; bundled ones: {bundled}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the study file {path} is not TOML: {error}") from error


def bundled_studies() -> Path:
    """The folder of the study files that come with the package."""
    installed = Path(__file__).parent / "_studies"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "studies"


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, Sequence) else [value]


def _pair(text: Any) -> tuple[str, float]:
    """The parts of a flag such as 'lpips=0.2'."""
    name, _, value = str(text).partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise UsageError(f"limit {text!r} must be a metric and a number: lpips=0.2") from error


def _limit(name: str, value: Any) -> float:
    if not _is_number(value) or not math.isfinite(value):
        raise UsageError(f"limits.{name} must be a number, not {value!r}")
    return float(value)


def _whole(name: str, value: Any) -> int:
    if _is_whole(value) or (isinstance(value, str) and value.isdecimal()):
        return int(value)
    raise UsageError(f"{name} must be a whole number, not {value!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked_knobs(
    knobs: Mapping[str, Any], known: Mapping[str, type[Accelerator]]
) -> dict[str, dict[str, tuple[Value, ...]]]:
    checked: dict[str, dict[str, tuple[Value, ...]]] = {}
    for name, chosen in knobs.items():
        accelerator = registry.pick("accelerator", name, dict(known))
        by_name = {one.name: one for one in accelerator.knobs()}
        if not isinstance(chosen, Mapping):
            raise UsageError(f"knobs.{name} must be a table of knobs: {', '.join(by_name)}")
        for knob_name, values in chosen.items():
            if knob_name not in by_name:
                raise UsageError(f"unknown knob {name}.{knob_name}; known: {', '.join(by_name)}")
            knob = by_name[knob_name]
            listed = tuple(values) if isinstance(values, list | tuple) else (values,)
            for value in listed:
                if not _is_number(value) or not knob.low <= value <= knob.high:
                    raise UsageError(
                        f"{name}.{knob_name} = {value!r} is outside {knob.low} … {knob.high}"
                    )
                if all(isinstance(v, int) for v in knob.values) and not isinstance(value, int):
                    raise UsageError(f"{name}.{knob_name} takes whole numbers, not {value!r}")
            if not listed:
                raise UsageError(f"{name}.{knob_name} has no values")
            checked.setdefault(accelerator.name, {})[knob_name] = tuple(sorted(set(listed)))
    return checked
