"""The pages, the help and the README name every component that there is."""

from pathlib import Path

import pytest

from tests.documents.markdown import DOCS, ROOT
from tuner import registry
from tuner.cli.study_flags import PROMPTS_HELP
from tuner.sampler_table import SAMPLERS

MODELS = DOCS / "tune-your-model.md"


@pytest.mark.parametrize(
    ("names", "page"),
    [
        (registry.components("metrics"), DOCS / "limits.md"),
        (registry.components("models"), MODELS),
        (registry.components("prompts"), MODELS),
        (SAMPLERS, MODELS),
    ],
    ids=["metrics", "models", "prompt sets", "samplers"],
)
def test_a_page_names_every_component(names: dict[str, object], page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # CLIP gives the score, and COCO's captions are the default prompts.
    missing = [name for name in names if name.casefold() not in text.casefold()]
    assert not missing, f"{page.name} does not name {', '.join(missing)}"


def test_the_help_of_prompts_names_every_prompt_set() -> None:
    missing = [name for name in registry.components("prompts") if name not in PROMPTS_HELP]
    assert not missing, f"PROMPTS_HELP does not name {', '.join(missing)}"


def test_the_scope_of_the_readme_names_every_model_of_the_hub() -> None:
    scope = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Scope")[2]
    missing = [name for name in registry.components("models") if name not in scope]
    assert missing == ["miniature"]
