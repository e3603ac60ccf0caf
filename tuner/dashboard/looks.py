"""How the dashboard shows studies and trials: attributes that people read, in a fixed order.

What only programs read (scores of each prompt, ratios of pairs, accounts) stays in the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner import describe, registry
from tuner.dashboard.notes import with_picture
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.view import AddedTrial, Looks, Shown
from tuner.study.baseline import BASELINE, Baseline
from tuner.study.conditions import DIGESTS, labelled
from tuner.study.formatting import Quantity, baseline_quantities, quantities_of
from tuner.study.results import Result, counting, result_of
from tuner.study.schema import SAME_AS, SETTING
from tuner.study.sheets import sheet_name
from tuner.study.verdicts import limits_text, verified_text
from tuner.study.verifications import effective_timing, effective_verification

MEASURED = (TrialState.COMPLETE, TrialState.PRUNED)
BARELY = -1e-12  # a constraint that is met


def looks() -> Looks:
    """How `tuner dashboard` shows a database."""
    return Looks(
        of_study=study_attributes,
        of_trials=shown_trials,
        added=baseline_trial,
        note_of_added=baseline_note,
    )


def study_attributes(study: Any) -> dict[str, Any]:
    """What is shown of a study (`FrozenStudy`), in this order."""
    stored = study.user_attrs
    request, evaluation = stored.get("request", {}), stored.get("evaluation", {})
    attributes: dict[str, Any] = {"goal": str(Goal.of_request(request))} if request else {}
    if "score" in stored.get(BASELINE, {}):
        attributes["baseline"] = describe.baseline(stored[BASELINE])
    for name, shown in (("pipe", "model"), ("sched", "scheduler"), ("steps", "steps")):
        if name in request:
            attributes[shown] = request[name]
    if "search_targets" in request:
        attributes["accelerators"] = ", ".join(request["search_targets"])
    attributes |= labelled({k: v for k, v in evaluation.items() if k not in DIGESTS})
    versions = stored.get("versions")
    if versions:
        attributes["versions"] = ", ".join(f"{name} {v}" for name, v in versions.items())
    return attributes


def shown_trials(study: Any, trials: list[FrozenTrial]) -> list[Shown]:
    """What is shown of each trial: the figures that count now, as `tuner show` prints them."""
    results = _results(study.user_attrs, trials)
    goal = Goal.of_request(study.user_attrs.get("request", {}))
    complete = {trial.number for trial in trials if trial.state == TrialState.COMPLETE}
    counts = counting([r for r in results if r is not None and r.trial in complete])
    by_setting = {result.setting: result.trial for result in counts}
    on_front = {result.trial for result in goal.front(counts)}
    shown = []
    for trial, result in zip(trials, results, strict=True):
        counted = None if result is None else by_setting.get(result.setting)
        shown.append(_shown(trial, result, goal, on_front, counted))
    return shown


def _results(stored: Mapping[str, Any], trials: list[FrozenTrial]) -> list[Result | None]:
    """The result of each trial; None of those that have no figures."""
    baseline = Baseline.of(stored)
    return [
        result_of(
            trial.number,
            trial.user_attrs,
            baseline,
            effective_verification(trial.number, trial.user_attrs, stored),
            effective_timing(trial.number, trial.user_attrs, stored),
        )
        if trial.state in MEASURED and "score_loss" in trial.user_attrs
        else None
        for trial in trials
    ]


def _shown(
    trial: FrozenTrial, result: Result | None, goal: Goal, on_front: set[int], counted: int | None
) -> Shown:
    """What is shown of a trial; `counted` is the trial of its setting that counts."""
    stored = trial.user_attrs
    attributes: dict[str, Any] = {}
    if SETTING in stored:
        attributes["setting"] = str(Setting.of(stored[SETTING]))
    if "reason" in stored:
        attributes["why it ended"] = stored["reason"]
    if SAME_AS in stored:
        attributes["same computation as trial"] = stored[SAME_AS]
    if result is None:
        return Shown(attributes=attributes)
    complete = trial.state == TrialState.COMPLETE
    attributes |= _figures(result)
    if complete:
        text = f"{limits_text(result, goal.limits)}, {result.certainty(goal.limits)}"
        attributes["verdict"] = text
        attributes["on the front"] = "yes" if trial.number in on_front else "no"
        attributes["verification"] = verified_text(result) or "none"
        if counted not in (None, trial.number):
            attributes["measured again in trial"] = counted
    attributes |= _further_figures(result)
    if not complete:
        return Shown(attributes=attributes)
    values = [result.speedup.value, result.score_loss.value]
    return Shown(attributes=attributes, values=values, constraints_of=counted)


def _figures(result: Result) -> dict[str, Any]:
    """The figures that limits are about, with their intervals."""
    figures = describe.figures_in_words(result)
    return {f"{name} (95%)": text for name, text in figures.items()}


def _further_figures(result: Result) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "seconds per image": round(result.latency_s, 4),
        "prompts": result.prompts,
    }
    figures |= _quantities(quantities_of(result))
    if result.unsteady is not None:
        figures["unsteady timing"] = result.unsteady
    if result.note is not None:
        figures["remark"] = result.note
    return figures


def _quantities(known: Sequence[tuple[Quantity, float | Estimate]]) -> dict[str, Any]:
    """Quantities by their titles: numbers, which the dashboard sorts, or text with intervals."""
    shown: dict[str, Any] = {}
    for quantity, value in known:
        if isinstance(value, Estimate):
            shown[f"{quantity.title} (95%)"] = quantity.text_of(value)
        else:
            shown[f"{quantity.title}, {quantity.unit}"] = round(value, quantity.digits)
    return shown


def baseline_trial(study: Any, trials: list[FrozenTrial]) -> AddedTrial | None:
    """The baseline as a trial at 1× and a score loss of 0; None before it is measured."""
    stored = study.user_attrs.get(BASELINE, {})
    if "score" not in stored:
        return None
    model = next((trial for trial in trials if trial.params), None)
    distributions = {} if model is None else model.distributions
    limits = Goal.of_request(study.user_attrs.get("request", {})).limits
    return AddedTrial(
        values=[1.0, 0.0],
        params={name: _off(name, trials) for name in distributions},
        distributions=distributions,
        attributes={
            "setting": "baseline",
            "speedup (95%)": "1×",
            "score loss (95%)": "0%",
            "seconds per image": round(stored["latency_s"], 4),
            "prompts": stored["num_samples"],
            **_quantities(baseline_quantities(stored)),
        },
        constraints=[BARELY] * len(limits.as_dict()),
    )


def baseline_note(study: Any, artifacts: Mapping[str, str]) -> str:
    """The note of the baseline's point; '' before it is measured.

    `artifacts` says where the study's artifacts are served, by their file names.
    """
    stored = study.user_attrs.get(BASELINE, {})
    if "score" not in stored:
        return ""
    note = (
        f"**The baseline**: the pipeline without accelerators. {describe.baseline(stored)}\n\n"
        "It is shown among the trials for comparison, but is not one of them: samplers and counts "
        "of trials leave it out."
    )
    path = artifacts.get(sheet_name(None))
    return note if path is None else with_picture(note, path)


def _off(name: str, trials: list[FrozenTrial]) -> Any:
    """The value of a knob that is off; where a study does not offer it, the lowest it offers."""
    accelerator, _, knob = name.partition(".")
    component = registry.components("accelerators").get(accelerator)
    knobs = {} if component is None else {part.name: part for part in component.knobs()}
    distribution: Any = next(t.distributions[name] for t in trials if name in t.distributions)
    off = knobs[knob].off if knob in knobs else None
    offered = off is not None and distribution.low <= off <= distribution.high
    return off if offered else distribution.low
