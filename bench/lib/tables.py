"""Truth tables: the products that they cover, their contents, and how they are stored."""

import json
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench.lib import DATA
from bench.lib.shared_steps import in_order
from tuner.accelerators import Value
from tuner.canonical import canonical, computation_of
from tuner.models.miniature import component as miniature
from tuner.plans.plan import Shape
from tuner.setting import Params, Setting

FOLDER = DATA / "truth"
PROMPTS = 128  # on which every setting is scored
GUIDANCE = miniature.guidance_scale

Knobs = dict[str, tuple[Value, ...]]
Values = dict[str, Knobs]
_DEEPCACHE: Knobs = {"cache_interval": (2, 3, 4, 5), "cache_branch_id": (0, 1, 2, 3)}
_TOME: Knobs = {
    "ratio": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "max_downsample": (1, 2, 3, 4),
}
_TGATE: Knobs = {
    "gate_step": (5, 7, 9, 11, 13, 15, 17, 19),
    "sp_interval": (2, 3, 4, 5, 6, 7, 9),
    "fi_interval": (1, 2, 3, 5),
    "warmup": (1, 2, 3),
}
_ALL: Values = {
    "deepcache": {"cache_interval": (2, 3, 5), "cache_branch_id": (0, 1, 2)},
    "tome": {"ratio": (0.2, 0.5), "max_downsample": (1,)},
    "tgate": {
        "gate_step": (5, 8, 12, 16),
        "sp_interval": (2, 3, 5, 9),
        "fi_interval": (1, 3, 5),
        "warmup": (1, 3),
    },
}


def folder(guidance: float = GUIDANCE) -> Path:
    """The folder of a guidance scale's tables; those of 7.5 were made before 2026-11-27."""
    return FOLDER / f"guidance-{guidance:g}"


@dataclass(frozen=True, kw_only=True)
class Product:
    """Every combination of these values, for one scheduler and one number of steps."""

    name: str
    scheduler: str
    steps: int
    values: Values
    guidance: float = GUIDANCE
    part: tuple[int, int] | None = None  # (2, 6) is the second sixth; None is all of it

    @property
    def file(self) -> Path:
        """The file of the table."""
        part = "" if self.part is None else f".part{self.part[0]}of{self.part[1]}"
        return folder(self.guidance) / f"{self.name}-{self.scheduler}-{self.steps}{part}.npz"

    def settings(self, shape: Shape) -> list[Setting]:
        """One setting for each distinct computation of the product, or of its part."""
        parts = [
            [{name: dict(zip(knobs, chosen, strict=True))} for chosen in product(*knobs.values())]
            for name, knobs in self.values.items()
        ]
        distinct: dict[Any, Setting] = {}
        for chosen in product(*parts):
            params: Params = {name: values for part in chosen for name, values in part.items()}
            setting = canonical(Setting.of(params), shape, self.steps)
            distinct.setdefault(computation_of(setting, shape, self.steps), setting)
        ordered = in_order(list(distinct.values()), shape, self.steps)
        number, of = self.part or (1, 1)
        first, last = (len(ordered) * end // of for end in (number - 1, number))
        return ordered[first:last]


_VALUES: dict[str, Values] = {
    "deepcache": {"deepcache": _DEEPCACHE},
    "tome": {"tome": _TOME},
    "tgate": {"tgate": _TGATE},
    "deepcache-tome": {"deepcache": _DEEPCACHE, "tome": _TOME},
    "all": _ALL,
}
PRODUCTS = tuple(
    Product(name=name, scheduler=scheduler, steps=steps, values=_VALUES[name])
    for scheduler, steps, names in (
        ("DDIM", 20, ("deepcache", "tome", "tgate", "deepcache-tome", "all")),
        ("DPM-Solver++", 20, ("tgate", "deepcache-tome")),
        ("DDIM", 25, ("tgate", "deepcache-tome")),
    )
    for name in names
)


@dataclass
class Table:
    """A product's scores; NaN where a setting was not scored yet."""

    settings: list[Setting]
    scores: np.ndarray  # (settings, prompts)
    baseline: np.ndarray  # (prompts,)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def prompts(self) -> int:
        """The number of prompts on which every setting was scored."""
        return int(np.isfinite(np.vstack([self.scores, self.baseline])).all(axis=0).sum())

    @property
    def losses(self) -> np.ndarray:
        """Each setting's score loss over the prompts on which all were scored."""
        count = self.prompts
        losses: np.ndarray = 1 - self.scores[:, :count].sum(axis=1) / self.baseline[:count].sum()
        return losses


def read(file: Path) -> Table:
    """Read a table; it may be unfinished."""
    with np.load(file) as arrays:
        return Table(
            settings=[Setting.of(params) for params in json.loads(str(arrays["settings"]))],
            scores=arrays["scores"],
            baseline=arrays["baseline"],
            about=json.loads(str(arrays["about"])),
        )


def write(table: Table, file: Path) -> None:
    """Write a table atomically: a killed process leaves the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp.npz")
    np.savez_compressed(
        scratch,
        settings=json.dumps([setting.params for setting in table.settings]),
        scores=table.scores.astype(np.float32).round(3),
        baseline=table.baseline.astype(np.float32).round(3),
        about=json.dumps(table.about),
    )
    scratch.replace(file)
