"""All findings, and whether a search can run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tuner.doctor.finding import Finding, Status
from tuner.doctor.machine import disk, machine
from tuner.doctor.packages import packages
from tuner.errors import UsageError
from tuner.formatting import count
from tuner.passwords import hidden


def examine(storage: str, pipe: str | None = None) -> list[Finding]:
    """Look at this machine.

    Args:
        storage: the database: a file name or an SQLAlchemy URL.
        pipe: the model that is to be searched; all models are listed when None.

    Raises:
        UsageError: there is no such model.
    """
    return [
        *_where_packages_are("packages", packages()),
        *_where_packages_are("device", machine()),
        *_where_packages_are("hub", _hub(pipe)),
        *_where_packages_are("database", _database(storage)),
    ]


def can_search(findings: Sequence[Finding]) -> bool:
    """Whether nothing is missing that a search needs."""
    return all(finding.status is not Status.MISSING for finding in findings)


def findings_as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings for scripts."""
    return {
        "can_search": can_search(findings),
        "findings": [
            {
                "name": finding.name,
                "status": finding.status.value,
                "text": finding.text,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }


def _where_packages_are(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, as far as the packages are installed that find them out."""
    try:
        yield from findings
    except ImportError as error:
        text = f"unknown, because {(error.name or 'a package').split('.')[0]} is not installed"
        yield Finding(name=name, status=Status.MISSING, text=text)


def _hub(pipe: str | None) -> Iterator[Finding]:
    from huggingface_hub import constants

    from tuner.doctor.hub import look
    from tuner.doctor.weights import weights

    hub = look()
    yield hub.finding()
    yield from weights(hub, pipe)
    yield disk("disk of the cache", Path(constants.HF_HUB_CACHE), needed=False)


def _database(storage: str) -> Iterator[Finding]:
    """The database, and the disk that it is on."""
    from tuner.storage.address import file_of

    file = None
    try:
        file = file_of(storage)
        yield Finding(name="database", status=Status.OK, text=_contents(storage, file))
    except UsageError as error:
        yield Finding(
            name="database",
            status=Status.MISSING,
            text=str(error),
            remedy="choose another database with --storage",
        )
    if file is not None:
        yield disk("disk of the database", file.parent, needed=True)


def _contents(storage: str, file: Path | None) -> str:
    """What the database has; raises `UsageError` where it cannot be used."""
    from tuner.storage.address import check_address
    from tuner.storage.database import Storage
    from tuner.storage.reading import reading

    check_address(storage)
    if file is not None and not file.exists():
        return f"there is none at {file} yet; `tuner run` creates it"
    with reading(storage):
        names = Storage(storage, create=False).study_names()
    return f"{hidden(storage)} has {count(len(names), 'study', 'studies')}"
