"""Which study a request belongs to and whether it was answered, told without loading the model.

The study of a request follows from the loaded pipeline (`tuner.study.identity`). A run stores with
its study a digest of what it was asked for; a later run with the same digest, on the same kind of
machine with the same package versions and unchanged files, has the same study. When a run ends of
its own accord, it stores that the request was answered.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import optuna

from tuner.loading import device_named
from tuner.measure.cache_keys import key_of
from tuner.measure.device import describe, versions
from tuner.spec import StudySpec

OPENED = "opened for "  # study attribute: … and the digest of what decides which study it is
ANSWERED = "answered "  # study attribute: … and the digest of the whole request
# Of a spec: what decides neither which study it is nor what is searched in it.
BESIDE = ("trials", "timeout", "storage", "transfer", "device", "scorer_device", "search_targets")
# What is searched in a study, and for what.
SEARCHED = (
    *("search_targets", "knobs", "req_time", "req_speedup", "req_score_loss", "limits"),
    *("max_samples", "sampler", "distinct", "aim", "reference"),
)
PRODUCT = ("search_targets", "knobs", "distinct", "sampler")  # of a sweep; these decide its study


def study_key(spec: StudySpec) -> str | None:
    """A digest of what decides which study a request belongs to.

    None for a pipeline of the user's own: only its code can tell whether it is the same one.
    """
    return None if spec.pipeline is not None else key_of(_study_parts(spec))


def request_key(spec: StudySpec) -> str | None:
    """A digest of the whole request except for its number of trials; None as in `study_key`."""
    if spec.pipeline is not None:
        return None
    # Left out where there is none, as in the digests of versions without it.
    names = SEARCHED if spec.min_gain is None else (*SEARCHED, "min_gain")
    return key_of(_study_parts(spec) | {"searched": _values(spec, names)})


def store_opened(study: optuna.Study, spec: StudySpec) -> None:
    """Store with a study that a request belongs to it."""
    key = study_key(spec)
    if key is not None and OPENED + key not in study.user_attrs:
        study.set_user_attr(OPENED + key, True)


def opened_for(studies: Mapping[str, Mapping[str, Any]], spec: StudySpec) -> str | None:
    """The study that a run of this request, or of another one with the same study, opened.

    `studies` are the attributes of all studies by their names; None where there is none.
    """
    key = study_key(spec)
    if key is None:
        return None
    return next((name for name, stored in studies.items() if OPENED + key in stored), None)


def store_answer(study: optuna.Study, spec: StudySpec, *, for_good: bool) -> None:
    """Store that a request was answered.

    `for_good`: more trials would change nothing, because every setting was tried or the target is
    reached.
    """
    key = request_key(spec)
    if key is not None:
        answer = {"trials": spec.trials, "for_good": for_good}
        study.set_user_attr(ANSWERED + key, answer)


def is_answered(attributes: Mapping[str, Any], spec: StudySpec) -> bool:
    """Whether a study, by its attributes, has answered this request with enough trials."""
    key = request_key(spec)
    answer = None if key is None else attributes.get(ANSWERED + key)
    if answer is None:
        return False
    before, now = answer["trials"], spec.trials
    enough = before == now or (before is not None and now is not None and before >= now)
    return bool(answer["for_good"]) or enough


def _study_parts(spec: StudySpec) -> dict[str, Any]:
    """What decides which study it is: the spec's own values, the files they name, the machine."""
    others = {*BESIDE, *SEARCHED, "min_gain", "targets_are_defaults"}
    names = [field.name for field in fields(spec) if field.name not in others]
    parts = _values(spec, tuple(names))
    if spec.sweep is not None:
        parts |= _values(spec, (*PRODUCT, "limits", "req_score_loss"))
    return parts | {
        "files": dict(_stamps(spec)),
        "machine": _machine(device_named(spec.device)),
    }


@cache
def _machine(device: str) -> dict[str, Any]:
    """The device and the versions of the packages: asking for them takes long."""
    return {**describe(device), "versions": versions()}


def _values(spec: StudySpec, names: tuple[str, ...]) -> dict[str, Any]:
    """Values of a spec as JSON has them."""
    values = {name: getattr(spec, name) for name in names}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)


def _stamps(spec: StudySpec) -> Iterator[tuple[str, list[int]]]:
    """Size and time of the files of a folder of weights and of a file of prompts."""
    for text in (spec.model, spec.prompts):
        if not isinstance(text, str):
            continue
        for path in dict.fromkeys((Path(text), Path(text.rpartition(":")[0] or text))):
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in files:
                if file.is_file():
                    stamp = file.stat()
                    yield str(file), [stamp.st_size, stamp.st_mtime_ns]
