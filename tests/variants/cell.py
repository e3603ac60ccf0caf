"""One cell of the table: what an accelerator does to a variant, found by drawing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tests.accelerators.cases import STRONG as IN_MORE_STEPS
from tests.accelerators.cases import Names, neutral
from tests.helpers.pipelines import same
from tests.variants.variant import Variant, quiet
from tuner.applying.applied import applied
from tuner.errors import TunerError
from tuner.setting import Params, Setting

RIGHT, REFUSED, WRONG = "right", "refused", "WRONG"

# Strong enough to change the pictures in five steps, where the other tests draw more.
STRONG: Params = {
    **IN_MORE_STEPS,
    "deepcache-window": {"cache_interval": 3, "cache_branch_id": 0, "start": 1, "end": 4},
    "taylorseer": {"cache_interval": 3, "warmup": 1, "max_order": 1},
    "tgate": {"gate_step": 3, "sp_interval": 2, "fi_interval": 2, "warmup": 0},
}

VISIBLE = 1e-4  # a smaller change of a pixel's value is none


def strong(names: Names) -> Setting:
    return Setting.of({name: STRONG[name] for name in names})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The verdict, and for a refusal or a fault the line that says why."""

    verdict: str
    line: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A variant's pipeline, and its pictures without accelerators."""

    pipeline: Any
    plain: np.ndarray
    # Whether a plain picture is the same alone as in the batch. It is not with panoramas, whose
    # views draw from one generator, and with callbacks that change the batch.
    independent: bool


@lru_cache(maxsize=1)  # cells of one variant follow one another
def row_of(variant: Variant) -> Row:
    """The row of a variant; all its cells share the pipeline, and may not change it."""
    with quiet():
        pipeline = variant.new()
    variant.draw(pipeline, pipeline)  # the first call sets attributes of its own
    plain = variant.draw(pipeline, pipeline)
    off = _off(variant.draw(pipeline, pipeline, variant.prompts[-1:]), plain)
    return Row(pipeline=pipeline, plain=plain, independent=off <= variant.tolerance)


def _off(alone: np.ndarray, together: np.ndarray) -> float:
    """The largest difference between a picture that was drawn alone and the last one of a batch."""
    return float(np.abs(alone - together[-len(alone) :]).max())


def judged(variant: Variant, names: Names) -> Cell:
    """Draw with a neutral and with a strong setting, and compare.

    Right means: with the neutral setting the pictures are the plain pipeline's, bit for bit; with
    the strong one they are finite, other than the plain ones, the same when drawn again and when
    the accelerators are named in another order, and the same alone as in a batch.
    """
    row = row_of(variant)
    try:
        fault = _fault(variant, row, names)
    except TunerError as error:
        # The class of the pipeline is the row's.
        line = str(error).replace(type(row.pipeline).__name__, "this pipeline")
        if "\n" in line:
            return Cell(verdict=WRONG, line="the refusal has several lines")
        return Cell(verdict=REFUSED, line=line)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else ""
        return Cell(verdict=WRONG, line=f"{type(error).__name__}: {text}")
    return Cell(verdict=WRONG, line=fault) if fault else Cell(verdict=RIGHT)


def judged_row(variant: Variant, columns: Sequence[Names]) -> dict[Names, Cell]:
    """The cells of one variant; afterwards the plain pipeline must draw as before, bit for bit."""
    cells = {names: judged(variant, names) for names in columns}
    row = row_of(variant)
    if not same(variant.draw(row.pipeline, row.pipeline), row.plain):
        fault = "one of this row's accelerators changes the plain pipeline's pictures afterwards"
        return dict.fromkeys(cells, Cell(verdict=WRONG, line=fault))
    return cells


def _fault(variant: Variant, row: Row, names: Names) -> str:
    pipeline = row.pipeline
    with _with(pipeline, neutral(names)) as generate:
        if not same(variant.draw(generate, pipeline), row.plain):
            return "a neutral setting changes the pictures"
    with _with(pipeline, strong(names)) as generate:
        together = variant.draw(generate, pipeline)
        alone = variant.draw(generate, pipeline, variant.prompts[-1:])
    if not np.isfinite(together).all():
        return "the pictures are not finite"
    if np.abs(together - row.plain).max() < VISIBLE:
        return "the setting changes nothing"
    off = _off(alone, together)
    if row.independent and off > variant.tolerance:
        return f"a picture depends on the others of its batch (by {off:.2g})"
    if row.independent and len(names) == 1:
        return ""  # the picture that was drawn alone was the second call
    with _with(pipeline, strong(names), backwards=True) as generate:
        if not same(variant.draw(generate, pipeline), together):
            return (
                "drawn again, with the accelerators named in another order, it is another picture"
            )
    return ""


@contextmanager
def _with(pipeline: Any, chosen: Setting, *, backwards: bool = False) -> Iterator[Any]:
    accelerators = chosen.accelerators[:: -1 if backwards else 1]
    with quiet(), applied(pipeline, accelerators) as generate:
        yield generate
