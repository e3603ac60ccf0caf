"""The answer of a study in sentences: the best setting, whether it was verified, what it cost."""

from tuner.measure.figures import Figures
from tuner.report.content import StudyContent
from tuner.report.wording import count, duration, percent, percent_interval, seconds, times
from tuner.study.fewer_steps import fewer_steps_sentence
from tuner.study.results import Result
from tuner.study.verdicts import ELSEWHERE


def answer(content: StudyContent) -> str:
    """The fastest setting that meets the goal, or the one that is closest to it."""
    best, closest = content.best, content.closest
    if best is not None:
        return (
            f"The fastest setting with {content.goal} is {best.setting}: {_speed(best, content)}, "
            f"at {_loss(best)}."
        )
    if closest is None:
        return f"No setting was measured yet; the goal is {content.goal}."
    misses = " and ".join(miss.text for miss in content.goal.misses(closest))
    return (
        f"No setting met the goal ({content.goal}). The closest is {closest.setting}: "
        f"{_speed(closest, content)}, at {_loss(closest)}; it has {misses}."
    )


def verification(content: StudyContent) -> str:
    """Whether the best setting was measured a second time, and what came out; else ''."""
    best = content.best
    if best is None:
        return ""
    second = best.verified
    if second is None:
        return (
            "It is not verified: it was measured once, by the search that chose it. Running the "
            "same command again verifies it."
        )
    elsewhere = "" if second.current else f", {ELSEWHERE}"
    return (
        f"Verified: a second measurement over {count(second.prompts, 'prompt')} gave "
        f"{times(second.speedup.value)} at {_loss(second)}{elsewhere}."
    )


def fewer_steps(content: StudyContent) -> str:
    """What acceleration buys over fewer steps at the same speed; '' where that is not known."""
    steps = content.request["steps"]
    text = fewer_steps_sentence(content.results, content.references, content.goal.limits, steps)
    return "" if text is None else f"{text[:1].upper()}{text[1:]}."


def cost(content: StudyContent) -> str:
    """What the study has cost so far."""
    costs = content.costs
    total = costs.total
    trials = count(len(content.trials), "trial")
    if not total.seconds:
        return f"It took {trials}; a version that kept no account of its costs measured it."
    text = (
        f"It took {trials}, {duration(total.total_s)} and "
        f"{count(sum(total.pictures.values()), 'picture')}"
    )
    if costs.baseline_s:
        units = total.total_s / costs.baseline_s
        prompts = f"the {costs.prompts} prompts of a trial"
        text += f": {units:.1f} times what the baseline takes for {prompts}"
    return f"{text}."


def progress(content: StudyContent) -> str:
    """That the study is not finished, where trials run or wait; else ''."""
    if not content.unfinished:
        return ""
    verb = "runs or waits" if content.unfinished == 1 else "run or wait"
    return f"{count(content.unfinished, 'more trial')} {verb}; the figures are those so far."


def _speed(result: Result, content: StudyContent) -> str:
    speed = f"{times(result.speedup.value)} as fast as the baseline"
    before = content.baseline.get("latency_s")
    if before is not None:
        speed += f", {seconds(result.latency_s)} instead of {seconds(before)} per image"
    return speed if result.current else f"{speed} ({ELSEWHERE})"


def _loss(figures: Figures) -> str:
    loss = figures.score_loss
    interval = percent_interval(loss)
    return f"a score loss of {percent(loss.value)}{f' ({interval})' if interval else ''}"
