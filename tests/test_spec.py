"""What a study is asked to do: defaults, files, flags, and what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.specs import flags
from tuner.errors import UsageError
from tuner.models import miniature
from tuner.scheduler_table import SCHEDULERS
from tuner.spec import StudySpec
from tuner.study_files import read_specs


def toml(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sweep_is_chosen_by_its_sampler_and_has_no_default_trials(
    tmp_path: Path,
) -> None:
    (spec,) = flags("--sampler", "Grid", "--distinct")
    assert (spec.sweep, spec.distinct, spec.trials) == ("grid", True, None)
    (spec,) = flags("--sampler", "walk", "--trials", "7")
    assert (spec.sweep, spec.distinct, spec.trials) == ("walk", False, 7)
    (spec,) = flags(str(toml(tmp_path, 'sampler = "grid"\ndistinct = true\n')))
    assert (spec.sweep, spec.distinct, spec.trials) == ("grid", True, None)
    assert flags()[0].sweep is None
    with pytest.raises(UsageError, match="distinct must be true or false, not 'yes'"):
        read_specs(toml(tmp_path, 'distinct = "yes"\n'), {})


def test_fewer_steps_are_left_out_by_a_flag_or_in_a_file(tmp_path: Path) -> None:
    assert flags()[0].reference
    assert not flags("--no-reference")[0].reference
    assert not flags(str(toml(tmp_path, "reference = false\n")))[0].reference
    with pytest.raises(UsageError, match="reference must be true or false, not 0"):
        read_specs(toml(tmp_path, "reference = 0\n"), {})


def test_an_underscore_in_a_value_is_left_unchanged() -> None:
    (spec,) = flags("--prompts=my_prompts.txt", "--storage", "sqlite:///my_file.db")
    assert (spec.prompts, spec.storage) == ("my_prompts.txt", "sqlite:///my_file.db")


@pytest.mark.parametrize(
    ("typed", "sched"),
    [
        ("ddim", "DDIM"),
        ("dpm-solver++", "DPM-Solver++"),
        ("unipc", "UniPC"),
        ("UNIPC", "UniPC"),
        *((row.kind, name) for name, row in SCHEDULERS.items() if not row.options),
        *((name, name) for name in SCHEDULERS),
        ("dpmpp_2m_karras", "DPM++ 2M Karras"),
        ("euler_a", "Euler a"),
    ],
)
def test_names_are_read_regardless_of_case(typed: str, sched: str) -> None:
    (spec,) = flags("--pipe", "sd1.5", "--sched", typed, "--search-targets", "ToMe")
    assert (spec.pipe, spec.sched, spec.search_targets) == ("SD1.5", sched, ("tome",))


def test_the_order_and_repeats_of_targets_do_not_matter() -> None:
    specs = flags("--search-targets", "tgate,deepcache,tgate")
    assert specs == flags("--search-targets", "deepcache, tgate")


def test_flags_take_precedence_over_the_file(tmp_path: Path) -> None:
    path = toml(tmp_path, 'pipe = "SDXL"\nsteps = 25\nbatch_size = 2\nreq_score_loss = 0.01\n')
    (spec,) = flags(str(path), "--steps", "20", "--req-score-loss", "0.05")
    assert (spec.pipe, spec.steps, spec.batch_size, spec.req_score_loss) == ("SDXL", 20, 2, 0.05)


def test_several_values_give_a_study_for_each_combination() -> None:
    specs = flags("--pipe", "SD1.5,SDXL", "--sched", "DDIM,UniPC", "--steps", "20,50")
    assert [spec.triple for spec in specs] == [
        f"{pipe}/{sched}/{steps}"
        for pipe in ("SD1.5", "SDXL")
        for sched in ("DDIM", "UniPC")
        for steps in (20, 50)
    ]


MODEL = miniature.component.source  # a folder
EIGHTS = st.integers(1, 128).map(lambda eights: 8 * eights)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "pipe": st.lists(st.sampled_from(["SD1.5", "SD2.1", "SDXL", "miniature"]), min_size=1),
        "sched": st.lists(st.sampled_from(["DDIM", "DPM++ 2M Karras", "UniPC"]), min_size=1),
        "steps": st.lists(st.integers(1, 100), min_size=1, max_size=3),
        "search_targets": st.lists(st.sampled_from(["deepcache", "tome", "tgate"]), min_size=1),
        "num_samples": st.integers(2, 5000),
        "batch_size": st.integers(1, 64),
        "seed": st.integers(0, 2**31),
        "req_time": st.floats(0.01, 100),
        "req_speedup": st.floats(0.1, 100),
        "req_score_loss": st.floats(0.001, 0.9),
        "trials": st.integers(1, 10**6),
        "timeout": st.floats(1, 10**5),
        "sampler": st.sampled_from(["frontier", "tpe", "gp", "nsga2", "random"]),
        "aim": st.sampled_from(["max", "front"]),
        "storage": st.sampled_from(["sqlite:///a_b.db", "other.db"]),
        "device": st.sampled_from(["cpu", "cuda:1"]),
        "scorer_device": st.sampled_from(["cpu", "cuda:1"]),
        "dtype": st.sampled_from(["float32", "bfloat16"]),
        "prompts": st.sampled_from(["coco", "./my_prompts.txt"]),
        "model": st.sampled_from([MODEL]),
        "guidance_scale": st.floats(0, 20),
        "negative_prompt": st.sampled_from(["blurry", "blurry, low quality"]),
        "resolution": EIGHTS,
        "height": EIGHTS,
        "width": EIGHTS,
    },
)


@given(VALUES)
def test_flags_and_a_file_give_the_same_studies(
    tmp_path_factory: pytest.TempPathFactory, values: Mapping[str, Any]
) -> None:
    path = toml(
        tmp_path_factory.mktemp("study"),
        "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()),
    )
    typed = []
    for key, value in values.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        typed += [f"--{key.replace('_', '-')}", text]
    specs = flags(*typed)
    assert specs == read_specs(path, {})
    counts = [len(values.get(name, [0])) for name in ("pipe", "sched", "steps")]
    assert len(specs) == counts[0] * counts[1] * counts[2]


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_limits_of_extra_metrics_are_flags_or_a_table_and_add_the_metrics(tmp_path: Path) -> None:
    typed = flags("--limit", "LPIPS=0.2", "--limit=ssim=0.9", "--metrics", "psnr,ssim")
    (spec,) = typed
    assert spec.limits == {"lpips": 0.2, "ssim": 0.9}
    assert spec.metrics == ("lpips", "psnr", "ssim")
    path = toml(tmp_path, 'metrics = ["psnr"]\n[limits]\nlpips = 0.2\nssim = 0.9\n')
    assert read_specs(path, {}) == typed
    (changed,) = flags(str(path), "--limit", "ssim=0.8")
    assert changed.limits == {"ssim": 0.8}
    assert flags("--metrics", "ssim")[0].limits == {}


def test_transfer_is_switched_off_by_a_flag_or_a_file(tmp_path: Path) -> None:
    assert flags()[0].transfer
    assert flags("--no-transfer") == read_specs(toml(tmp_path, "transfer = false"), {})
    assert not flags("--no_transfer")[0].transfer


def test_knobs_in_a_file_narrow_the_search_space(tmp_path: Path) -> None:
    text = "[knobs.deepcache]\ncache_interval = [5, 3, 3]\ncache_branch_id = 0\n"
    (spec,) = read_specs(toml(tmp_path, text), {})
    assert spec.knobs == {"deepcache": {"cache_interval": (3, 5), "cache_branch_id": (0,)}}
    deepcache = spec.accelerators[0]
    assert spec.values(deepcache)["cache_interval"] == (3, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("num_sample = 3", "did you mean num_samples?"),
        ("req_scoreloss = 0.1", "did you mean req_score_loss?"),
        ("zzz = 3", "known: aim, batch_size"),
        ("steps = 0", "steps must be a whole number of at least 1"),
        ('steps = "many"', "steps must be a whole number"),
        ("steps = 20.5", "steps must be a whole number"),
        ("steps = true", "steps must be a whole number"),
        ("steps = []", "steps"),
        ('sched = ""', "sched"),
        ("num_samples = 1", "num_samples must be a whole number of at least 2"),
        ("batch_size = 2.5", "batch_size must be a whole number"),
        ("trials = 0", "trials must be a whole number"),
        ("seed = -1", "seed"),
        ("seed = 1.5", "seed"),
        ('seed = "abc"', "seed"),
        (f"seed = {2**40}", "seed"),
        ("req_score_loss = 2", "between 0 and 1"),
        ("req_score_loss = nan", "between 0 and 1"),
        ('req_score_loss = "2%"', "req_score_loss"),
        ("req_speedup = -1", "req_speedup must be above 0"),
        ("req_speedup = nan", "req_speedup must be above 0"),
        ("req_time = inf", "req_time must be above 0 and finite"),
        ("timeout = inf", "timeout must be above 0 and finite"),
        ("guidance_scale = -1", "guidance_scale must be at least 0 and finite, not -1"),
        ("guidance_scale = nan", "guidance_scale must be at least 0"),
        ("targets_are_defaults = true", "unknown key 'targets_are_defaults'"),
        ('req_speedup = "fast"', "req_speedup"),
        ("timeout = 0", "timeout must be above 0"),
        ("resolution = 65", "resolution"),
        ("height = 1217", "height must be a multiple of 8 of at most 8192, not 1217"),
        ("resolution = 100000", "resolution must be a multiple of 8 of at most 8192, not 100000"),
        ("width = 4", "width must be a whole number of at least 8, not 4"),
        ("negative_prompt = 3", "negative_prompt must be a string, not 3"),
        ('sched = "Heun"', "Heun makes several passes through the denoiser at a step"),
        ('pipe = "SDXL"\nmodel = "./no/folder"', "'./no/folder' is neither a folder nor a hub id"),
        ('model = "./no/folder"', "'./no/folder' is neither a folder nor a hub id"),
        ("pipe = 3", "pipe"),
        ("sampler = 3", "sampler"),
        ("aim = 3", "aim must be a string"),
        ('aim = "fast"', "unknown aim 'fast'; known: max, front"),
        ("transfer = 1", "transfer must be true or false, not 1"),
        ("scorer_device = 3", "scorer_device must be a string, not 3"),
        ("prompts = 3", "prompts"),
        ("model = 3", "model"),
        ("storage = 3", "storage"),
        ("search_targets = 3", "3"),
        ("search_targets = []", "search_targets is empty"),
        ("knobs = 3", "knobs"),
        ("knobs = [1]", "knobs"),
        ("[knobs]\ntome = 3", "knobs.tome must be a table of knobs"),
        ("[knobs.tome]\nratio = []", "tome.ratio has no values"),
        ("[knobs.tome]\nratio = [0.5, 1.5]", "tome.ratio = 1.5 is outside 0.0 … 1.0"),
        ('[knobs.tome]\nratio = "half"', "tome.ratio = 'half'"),
        ("[knobs.tome]\nratoi = 0.5", "unknown knob tome.ratoi; known: ratio, max_downsample"),
        ("[knobs.deepcache]\ncache_interval = 2.5", "whole numbers"),
        ("[limits]\nlpisp = 0.2", "unknown metric 'lpisp'; known: clip"),
        ('[limits]\nlpips = "low"', "limits.lpips must be a number, not 'low'"),
        ("[limits]\nlpips = nan", "limits.lpips must be a number, not nan"),
        ("[limits]\nclip = 1", "clip is the score itself; req_score_loss is its limit"),
        ('limits = ["lpips"]', "limit 'lpips' must be a metric and a number, such as lpips=0.2"),
        ("limits = 3", "limits must be a table of metrics"),
        ("metrics = 3", "metrics must be a list of names, not [3]"),
        ('metrics = "fid"', "unknown metric 'fid'"),
        ("[knobs.deepcash]\ncache_interval = 2", "known: deepcache"),
    ],
)
def test_a_wrong_value_is_reported_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_specs(toml(tmp_path, text), {})
    assert "\n" not in str(caught.value)
    assert words in str(caught.value)


def test_inconclusive_settings_may_take_four_times_the_prompts_or_max_samples() -> None:
    assert StudySpec(num_samples=8).max_samples == 32
    assert StudySpec(num_samples=8, max_samples=8).max_samples == 8
    with pytest.raises(UsageError, match=r"max_samples must be at least num_samples \(8\), not 7"):
        StudySpec(num_samples=8, max_samples=7)
