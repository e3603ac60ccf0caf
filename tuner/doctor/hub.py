"""The model hub: whether it can be reached, and what of it lies in the cache."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from tuner.doctor.finding import Finding, Status

TIMEOUT_S = 3.0
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
WITHOUT_WEIGHTS = ("Tokenizer", "Scheduler", "Processor", "Extractor", "Checker")


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The state of the hub and of its cache on this machine."""

    problem: str | None  # why it cannot be reached; None if it can
    cached: dict[str, tuple[Path, int]]  # repository -> its newest snapshot, bytes

    @property
    def is_reachable(self) -> bool:
        """Whether something can be downloaded."""
        return self.problem is None

    def finding(self) -> Finding:
        """Whether the hub can be reached; a search whose weights are cached needs no hub."""
        if self.problem is None:
            return Finding(name="hub", status=Status.OK, text=f"{constants.ENDPOINT} answers")
        remedy = "set HF_ENDPOINT to a mirror, or HTTPS_PROXY to a proxy, or use cached weights"
        if constants.HF_HUB_OFFLINE:
            remedy = "unset HF_HUB_OFFLINE"
        return Finding(name="hub", status=Status.NOTE, text=self.problem, remedy=remedy)

    def has(self, repository: str) -> bool:
        """Whether a repository lies in the cache, with the weights of all its models."""
        return repository in self.cached and not missing_weights(self.cached[repository][0])


def look() -> Hub:
    """Ask the hub for an answer, and list the cache."""
    return Hub(problem=_problem(), cached=_cached())


def missing_weights(snapshot: Path) -> list[str]:
    """The components of a cached pipeline whose weights are not there, by their names.

    A download that was interrupted leaves some out. None are missing of a repository that is not a
    pipeline, but has a file with weights.
    """
    index = snapshot / "model_index.json"
    if not index.is_file():
        return [] if _has_weights(snapshot.iterdir()) else ["the model"]
    components = json.loads(index.read_text(encoding="utf-8"))
    return [
        name
        for name, value in components.items()
        if _has_a_model(value) and not _has_weights((snapshot / name).glob("*"))
    ]


def _has_a_model(value: object) -> bool:
    """Whether an entry of model_index.json names a class with weights."""
    if not isinstance(value, list) or len(value) != 2 or value[1] is None:
        return False
    return not any(word in value[1] for word in WITHOUT_WEIGHTS)


def _has_weights(files: Iterable[Path]) -> bool:
    return any(file.suffix in WEIGHTS and file.exists() for file in files)


def _cached() -> dict[str, tuple[Path, int]]:
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, OSError):
        return {}
    return {
        repository.repo_id: (
            max(repository.revisions, key=lambda r: r.last_modified).snapshot_path,
            repository.size_on_disk,
        )
        for repository in repositories
        if repository.revisions
    }


def _problem() -> str | None:
    """Why the hub does not answer; the look-up of its address is given up in time too."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so the hub is not used"
    problems = [f"{constants.ENDPOINT} does not answer within {TIMEOUT_S:g} s"]

    def ask() -> None:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                problems.clear()
        except urllib.error.HTTPError:
            problems.clear()  # it does answer
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            problems[:] = [f"{constants.ENDPOINT} cannot be reached: {reason}"]

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S + 0.5)
    return problems[0] if problems else None
