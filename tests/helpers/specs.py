"""Studies as a command line asks for them."""

import pytest

from tuner.cli.main import main
from tuner.spec import StudySpec


def flags(*arguments: str) -> list[StudySpec]:
    """The studies that a command line asks for, as `tuner run` reads it."""
    seen: list[StudySpec] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tuner.cli.launch.run_all",
            lambda specs, console, pictures, **options: seen.extend(specs),
        )
        patch.setattr("tuner.cli.commands.quiet", lambda: None)
        assert main(["run", *arguments]) == 0
    return seen
