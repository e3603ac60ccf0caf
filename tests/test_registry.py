"""Names and components: each file is a component, found by any spelling of its name."""

import pkgutil
from importlib import import_module

import pytest

from tuner import registry
from tuner.errors import UsageError
from tuner.registry import Kind

KINDS: tuple[Kind, ...] = ("models", "accelerators", "metrics", "prompts")
COMPONENTS = [(kind, name) for kind in KINDS for name in registry.components(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_is_one_component_named_as_the_file(kind: Kind) -> None:
    folder = import_module(f"tuner.{kind}")
    files = [
        module.name
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.startswith("_")
    ]
    components = registry.components(kind)
    assert sorted(registry.plain(name) for name in components) == sorted(files)
    assert all(component.name == name for name, component in components.items())


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_case_and_punctuation_of_a_name_do_not_matter(kind: Kind, name: str) -> None:
    written = f" {name.upper().replace('.', '-')} "
    assert registry.get(kind, written) is registry.get(kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_the_known_ones(kind: Kind) -> None:
    with pytest.raises(UsageError) as caught:
        registry.get(kind, "no such thing")
    message = str(caught.value)
    assert "'no such thing'" in message
    assert all(name in message for name in registry.components(kind))


def test_the_old_scripts_models_accelerators_and_the_miniature_are_there() -> None:
    assert {"SD1.5", "SD2.1", "SDXL", "miniature"} <= set(registry.components("models"))
    assert {"deepcache", "tome", "tgate"} <= set(registry.components("accelerators"))


def test_a_plus_in_a_name_is_not_ignored() -> None:
    assert registry.plain("DPM-Solver++") == registry.plain("dpmsolverpp") != "dpmsolver"
