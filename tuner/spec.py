"""The specification of a study: what is searched, how, and its limits."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, get_args

from tuner import registry
from tuner.accelerators import Accelerator, Value
from tuner.errors import UsageError, about
from tuner.family import family_of, own_family
from tuner.models import Model
from tuner.pipelines.compiling import mode_named
from tuner.sampler_table import sampler_row, sweep_named
from tuner.scheduler_table import name_of
from tuner.size import LONGEST_SIDE, Size
from tuner.values import checked_knobs, checked_limit, checked_prompts, is_number, is_whole, wrong

Aim = Literal["max", "front", "combinations"]
AIMS = get_args(Aim)
SEEDS = 2**32  # seeds are from 0 to this, exclusive; samplers take no greater ones
DEFAULT_TRIALS = 100  # of a search
SWITCHES = ("distinct", "transfer", "reference")
LISTS = ("search_targets", "metrics")
DEFAULT_STEPS = 50
OPTIONAL = ("pipe", "sched", "device", "scorer_device", "dtype", "model", "negative_prompt")
TEXTS = ("sampler", "aim", "storage", *OPTIONAL)
ABOVE_ZERO = ("req_time", "req_speedup", "timeout")
TABLES = {"knobs": "accelerators with their knobs", "limits": "metrics with their limits"}
NUMBERS = (*ABOVE_ZERO, "req_score_loss", "min_gain", "guidance_scale")
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
CODE = re.compile(r".+\.py:\w+")  # a function in a file


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """One study: a model, a scheduler, a number of steps, and how to search.

    The fields are the keys of study files, and nearly all are flags of ``tuner run``, whose
    ``--help`` describes them. A wrong value raises a `UsageError`.
    """

    # The kind of model; that of `model`, or SD1.5, when None. With `pipeline` it only names the
    # study, which is named after the pipeline's class when None.
    pipe: str | None = None
    # A name in `tuner.scheduler_table`; the model's, or `pipeline`'s, when None.
    sched: str | None = None
    steps: int | None = None  # 50, or as `pipeline` is called, when None
    pipeline: Any = None  # a diffusers pipeline, or 'FILE.py:FUNCTION', which returns one
    call: Mapping[str, Any] | str | None = None  # its arguments, or 'FILE.py:FUNCTION'
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
    min_gain: float | None = None  # of frontier: stop once no setting is expected to gain it
    timeout: float | None = None  # seconds of searching
    sampler: str = "frontier"  # a name in `tuner.sampler_table`
    distinct: bool = False  # of grid: measure each distinct computation once
    aim: Aim = "max"  # of frontier: the fastest setting, the front, or each combination's fastest
    transfer: bool = True  # whether frontier takes a warm start from another study in the storage
    reference: bool = True  # whether a search measures the plain pipeline with fewer steps too
    storage: str = "sqlite:///tuner.db"  # SQLAlchemy URL of the database
    device: str | None = None  # as in `tuner.load`
    scorer_device: str | None = None  # of the score and the extra metrics; `device` when None
    dtype: str | None = None  # as in `tuner.load`
    compile: str | None = None  # a mode of torch.compile; not compiled when None
    # A known set, a text file or the prompts themselves; the model's default when None.
    prompts: str | Sequence[str] | None = None
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
        self._set(knobs=checked_knobs(self.knobs))
        limits, metrics = {}, set()
        for name, value in self.limits.items():
            with about("limits", name):
                limits[self._extra(name)] = checked_limit(name, value)
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
                raise wrong(name, f"must be a string, not {value!r}")
            if value == "":
                raise wrong(name, "is empty; leave it out for the default")
        self._set(prompts=checked_prompts(self.prompts))
        self._check_pipeline()
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and not is_number(value):
                raise wrong(name, f"must be a number, not {value!r}")
        for name in LISTS:
            if any(not isinstance(item, str) for item in getattr(self, name)):
                raise wrong(name, f"must be a list of names, not {list(getattr(self, name))}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise wrong(name, f"must be true or false, not {getattr(self, name)!r}")
        for name, content in TABLES.items():
            if not isinstance(getattr(self, name), Mapping):
                raise wrong(name, f"must be a table of {content}, not {getattr(self, name)!r}")

    def _check_pipeline(self) -> None:
        """A pipeline and its call are objects, or name a function; the model is then not named."""
        for name in ("pipeline", "call"):
            value = getattr(self, name)
            if isinstance(value, str) and not CODE.fullmatch(value):
                what = "a function in a Python file, such as production.py:make_pipeline"
                raise wrong(name, f"must name {what}, not {value!r}")
        if self.call is not None and not isinstance(self.call, str | Mapping):
            raise wrong("call", f"must be a table of arguments, not {self.call!r}")
        if self.pipeline is None:
            if self.call is not None:
                raise wrong("call", "belongs to a pipeline of your own; set pipeline too")
            return
        for name in ("model", "dtype"):
            if getattr(self, name) is not None:
                raise wrong(name, "comes with the pipeline; leave it out where pipeline is set")

    def _name_components(self) -> None:
        """Replace the names as typed by those of the components, and set default accelerators."""
        with about("pipe"):
            model = self.family
        if self.pipeline is None:
            if self.pipe is None and self.model is not None and self.resolution is None:
                self._set(resolution=model.resolution)  # of these weights, not their family's
            self._set(pipe=model.name, sched=self.sched or model.scheduler)
            self._set(steps=DEFAULT_STEPS if self.steps is None else self.steps)
        if self.sched is not None:
            with about("sched"):
                self._set(sched=name_of(self.sched))
        self._set(compile=mode_named(self.compile))
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
        of_family = self.pipeline is not None or set(names) == set(model.accelerators)
        defaults = self.targets_are_defaults and of_family
        self._set(targets_are_defaults=defaults or not self.search_targets, search_targets=names)

    def _check_whole_numbers(self) -> None:
        for name, least in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is not None and (not is_whole(value) or value < least):
                raise wrong(name, f"must be a whole number of at least {least}, not {value!r}")

    def _check_sweep(self) -> None:
        """A sweep has all its accelerators on; only a grid can leave out equal computations."""
        if self.distinct and self.sweep != "grid":
            raise wrong("distinct", f"works with the sampler grid only, not with {self.sampler}")
        if self.min_gain is not None and self.sampler != "frontier":
            raise wrong("min_gain", f"works with the sampler frontier only, not {self.sampler}")
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
            raise wrong("max_samples", f"must be at least {least}, not {self.max_samples}")

    def _check_ranges(self) -> None:
        if self.seed >= SEEDS:
            raise wrong("seed", f"must be less than 2**32, not {self.seed}")
        for name in SIDES:
            if (side := getattr(self, name) or 0) % SIDE_MULTIPLE or side > LONGEST_SIDE:
                most = f"{SIDE_MULTIPLE} of at most {LONGEST_SIDE}"
                raise wrong(name, f"must be a multiple of {most}, not {side}")
        guidance = self.guidance_scale
        for name, share in (("req_score_loss", self.req_score_loss), ("min_gain", self.min_gain)):
            if share is not None and not 0 < share < 1:
                raise wrong(name, f"must lie between 0 and 1 (0.02 is 2%), not {share}")
        for name in ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise wrong(name, f"must be above 0 and finite, not {value}")
        if guidance is not None and not 0 <= guidance < math.inf:
            raise wrong("guidance_scale", f"must be at least 0 and finite, not {guidance}")

    def _extra(self, name: str) -> str:
        """The component's name of an extra metric, which must not be the score's."""
        extra: str = registry.get("metrics", name).name
        if extra == self.family.metric:
            raise UsageError(f"{extra} is the score itself; req_score_loss is its limit")
        return extra

    @property
    def family(self) -> Model:
        """The family of the model, with the defaults of its studies."""
        return family_of(self.pipe, self.model) if self.pipeline is None else own_family()

    @property
    def triple(self) -> str:
        """The study's name, 'SD1.5/DDIM/50'; of a pipeline of the user's, what is known of it."""
        code = self.pipeline if isinstance(self.pipeline, str) else type(self.pipeline).__name__
        parts = (self.pipe or code, self.sched, self.steps)
        return "/".join(str(part) for part in parts if part is not None)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the call that have keys of their own, if they are set."""
        keys = ("guidance_scale", "negative_prompt", "height", "width")
        values = {name: getattr(self, name) for name in keys} | {"num_inference_steps": self.steps}
        for name in SIDES[1:]:
            values[name] = values[name] or self.resolution
        return {name: value for name, value in values.items() if value is not None}

    @property
    def prompts_name(self) -> str:
        """What messages call the prompts."""
        named = self.family.prompts if self.prompts is None else self.prompts
        return named if isinstance(named, str) else "the list of prompts"

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
        return {k.name: tuple(chosen.get(k.name, k.values)) for k in accelerator.knobs()}
