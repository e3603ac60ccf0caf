"""`tuner.tune`: a study of a pipeline that the caller made, as it is called in production."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.accelerators import Value
from tuner.errors import UsageError
from tuner.outcome import Outcome
from tuner.prompts import listed, prompt_set
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.spec import Aim, StudySpec

USUAL_SAMPLES = 32  # prompts of each setting, where there are as many


def tune(
    pipe: Any,
    prompts: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    search_targets: Sequence[str] = (),
    num_samples: int | None = None,
    max_samples: int | None = None,
    batch_size: int = 4,
    seed: int = 42,
    req_score_loss: float = 0.02,
    req_time: float | None = None,
    req_speedup: float | None = None,
    metrics: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    trials: int | None = None,
    min_gain: float | None = None,
    timeout: float | None = None,
    sampler: str = "frontier",
    distinct: bool = False,
    aim: Aim = "max",
    transfer: bool = True,
    reference: bool = True,
    storage: str = "sqlite:///tuner.db",
    scorer_device: str | None = None,
    knobs: Mapping[str, Mapping[str, Sequence[Value]]] | None = None,
    observer: Observer | None = None,
    pictures: str | Path | None = None,
    **call: Any,
) -> Outcome:
    """Search accelerator settings for a pipeline as it is, with the call that it will get.

    The pipeline is any of diffusers that draws pictures from prompts: with LoRAs, ControlNets,
    IP-Adapters, another VAE, image to image, inpainting, … Calling this again with the same
    pipeline, call and prompts continues the study. The study is in the database like every other,
    so that ``tuner show``, ``tuner dashboard``, ``tuner report`` and ``tuner export`` work as
    usual, and `tuner.apply` applies the exported file. The pipeline itself is left as it was, also
    after an error or Ctrl-C.

    Args:
        pipe: a diffusers pipeline, on the device on which it will run, with its scheduler.
        prompts: a list of prompts; or a file or the name of a set, as ``tuner run --prompts``
            takes them; COCO's captions when None. The search uses every other prompt of a list or
            a file, and the verification of the winner those between.
        name: the first part of the study's name; the name of the pipeline's class when None.
        search_targets: the accelerators; those that fit when empty.
        num_samples: prompts of each setting; when None 32, or half of a list or file with fewer
            than 64, so that the verification has other prompts.
        max_samples: maximum prompts of a setting of which more are needed to be sure; 4 times
            `num_samples` when None.
        batch_size: pictures generated at a time.
        seed: of the noise, the accelerators and the sampler.
        req_score_loss: upper limit of the score loss: 0.02 is 2% of the baseline's score.
        req_time: stop at a setting that takes at most this many seconds per image.
        req_speedup: stop at a setting that is this many times as fast as the baseline.
        metrics: extra metrics to measure.
        limits: extra metric -> limit.
        trials: the study's total; 100 when None, or all points of a sweep.
        min_gain: of the sampler frontier: stop once no setting is expected to improve the result
            by this share: 0.002 is 0.2%.
        timeout: seconds of searching.
        sampler: a name that ``tuner run --sampler`` takes.
        distinct: of the sampler grid: measure each distinct computation once.
        aim: 'max' for the fastest setting within the limits, 'front' for the Pareto front,
            'combinations' for the fastest of each combination of accelerators.
        transfer: whether a similar study in the database is a warm start.
        reference: whether the plain pipeline is measured with fewer steps too.
        storage: SQLAlchemy URL of the database.
        scorer_device: device of the score and the extra metrics; the pipeline's when None.
        knobs: accelerator -> knob -> the values to try.
        observer: is notified of the progress; nothing is printed when None.
        pictures: folder for pictures and contact sheets; none are kept when None.
        **call: the arguments of the pipeline's call, by the pipeline's own names:
            `num_inference_steps`, `guidance_scale`, `height`, `width`, `negative_prompt`,
            `strength`, `image`, `mask_image`, `control_image`, `ip_adapter_image`, …; the
            pipeline's defaults for all others. Each is one value for all prompts. A text or a
            picture may also differ by prompt: a list of it must have one item for each prompt of
            the whole list or file. Where the pipeline takes a list as one value (a picture for
            each of several ControlNets or IP-Adapters), one for each prompt is a list of such
            lists. All other lists (`timesteps`, `sigmas`, a scale for each ControlNet) are one
            value. A picture is one of PIL's, an array, a tensor, or the name of a file.

    Returns:
        The study with its results; `best` is None if no setting met the goal.

    Raises:
        UsageError: a value is wrong, the pipeline cannot be called like this, or no accelerator
            fits it; the message is one line.
        BadPictureError: the baseline's pictures are black, constant or NaN.
    """
    spec = StudySpec(
        pipeline=pipe,
        call=call,
        pipe=name,
        prompts=prompts,
        search_targets=tuple(search_targets),
        num_samples=_samples(prompts) if num_samples is None else num_samples,
        max_samples=max_samples,
        batch_size=batch_size,
        seed=seed,
        req_score_loss=req_score_loss,
        req_time=req_time,
        req_speedup=req_speedup,
        metrics=tuple(metrics),
        limits={} if limits is None else limits,
        trials=trials,
        min_gain=min_gain,
        timeout=timeout,
        sampler=sampler,
        distinct=distinct,
        aim=aim,
        transfer=transfer,
        reference=reference,
        storage=storage,
        scorer_device=scorer_device,
        knobs={} if knobs is None else {key: _tuples(values) for key, values in knobs.items()},
    )
    folder = None if pictures is None else Path(pictures)
    return Session(folder).run(spec, observer)


def _samples(prompts: str | Sequence[str] | None) -> int:
    """The default number of prompts of a setting: half of a short list, all of a very short one."""
    of_list = None if prompts is None else listed(prompt_set(prompts))
    if of_list is None:
        return USUAL_SAMPLES
    total = len(of_list.prompts)
    if total < 2:
        raise UsageError(
            f"a study needs at least 2 prompts, not {total}; 64 or more make its verdicts reliable",
            key=("prompts",),
        )
    return min(USUAL_SAMPLES, max(2, total // 2))


def _tuples(values: Mapping[str, Sequence[Value]]) -> dict[str, tuple[Value, ...]]:
    return {knob: tuple(listed_values) for knob, listed_values in values.items()}
