"""Models, scorers and prompt sets: which are here, and whether the others can be fetched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner import registry
from tuner.doctor.finding import Finding, Status
from tuner.doctor.hub import Hub, missing_weights
from tuner.models import Model


def weights(hub: Hub, pipe: str | None) -> Iterator[Finding]:
    """All models and scorers, or those that a search of the model `pipe` needs.

    Raises `UsageError` for an unknown model.
    """
    if pipe is not None:
        model: Model = registry.get("models", pipe)
        yield _repository(f"model {model.name}", model.source, hub, needed=True)
        yield from _scorer(model.metric, hub, needed=True, options=model.metric_options)
        yield from _prompts(model.prompts, hub)
        return
    for model in registry.components("models").values():
        yield _repository(f"model {model.name}", model.source, hub, needed=False)
    for name in registry.components("metrics"):
        yield from _scorer(name, hub, needed=False, options={})


def _scorer(name: str, hub: Hub, *, needed: bool, options: dict[str, str]) -> Iterator[Finding]:
    metric: Any = registry.get("metrics", name)
    if options.get("model", "").startswith("local-dir:"):
        yield _here(f"scorer {name}", "comes with this package")
    for repository in () if options else metric.repositories:
        yield _repository(f"scorer {name}", repository, hub, needed=needed)
    for file in metric.checkpoints:
        yield _checkpoint(f"scorer {name}", file)


def _prompts(name: str, hub: Hub) -> Iterator[Finding]:
    """A prompt set that is streamed from the hub needs it in every run."""
    source = getattr(registry.get("prompts", name), "repository", None)
    if source is None:
        yield _here(f"prompts {name}", "come with this package")
    elif hub.is_reachable:
        yield _here(f"prompts {name}", f"are read from {source} on the hub")
    else:
        yield Finding(
            name=f"prompts {name}",
            status=Status.MISSING,
            text=f"are read from {source} on the hub, which cannot be reached",
            remedy="tuner run --prompts FILE, with one prompt a line",
        )


def _repository(name: str, source: str, hub: Hub, *, needed: bool) -> Finding:
    """A repository of the hub, or a folder."""
    if Path(source).is_dir():
        return _here(name, "comes with this package")
    fetch = f"hf download {source}"
    if hub.has(source):
        size = hub.cached[source][1]
        return _here(name, f"{source} is in the cache ({size / 1e9:.1f} GB)")
    text = f"{source} is not in the cache"
    if source in hub.cached:
        lacking = ", ".join(missing_weights(hub.cached[source][0]))
        text = f"{source} is in the cache without the weights of {lacking}"
    if hub.is_reachable:
        text += "; `tuner run` downloads it"
        return Finding(name=name, status=Status.NOTE, text=text, remedy=fetch)
    status = Status.MISSING if needed else Status.NOTE
    return Finding(name=name, status=status, text=text, remedy=f"with a connection: {fetch}")


def _checkpoint(name: str, file: str) -> Finding:
    """A file in torch's folder of checkpoints, which torch downloads from its own server."""
    try:
        from torch.hub import get_dir
    except ImportError:
        return Finding(
            name=name, status=Status.NOTE, text="unknown, because torch is not installed"
        )
    folder = Path(get_dir()) / "checkpoints"
    if (folder / file).is_file():
        return _here(name, f"{file} is in {folder}")
    text = f"{file} is not in {folder}; torchvision downloads it"
    return Finding(name=name, status=Status.NOTE, text=text)


def _here(name: str, text: str) -> Finding:
    return Finding(name=name, status=Status.OK, text=text)
