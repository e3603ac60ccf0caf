"""The packages that an installation may lack, and the error that says what installs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tuner.errors import MissingExtraError

# The packages of the extra `search` in pyproject.toml, by the names that they are imported by.
# Applying a setting needs none of them.
SEARCH_MODULES = frozenset(
    {
        "PIL",
        "datasets",
        "filelock",
        "greenlet",
        "jinja2",
        "markupsafe",
        "matplotlib",
        "open_clip",
        "optuna",
        "optuna_dashboard",
        "psutil",
        "pynvml",
        "rich",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "torchmetrics",
        "torchvision",
        "tree_sitter",
        "tree_sitter_toml",
    }
)
# The packages of the extra `cluster`, which `tuner run --workers` and `--scheduler` need.
CLUSTER_MODULES = frozenset(
    {"cloudpickle", "dask", "distributed", "msgpack", "tblib", "toolz", "tornado", "zict"}
)
EXTRAS = {"search": SEARCH_MODULES, "cluster": CLUSTER_MODULES}


@contextmanager
def needs_extras(what: str) -> Iterator[None]:
    """Replace the error of a missing package of an extra by one that names the extra.

    Args:
        what: what needs the package, for the message: 'tuner show'.

    Raises:
        MissingExtraError: an import in the ``with`` block fails because of such a package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed; "
            f"run pip install 'diffusion-tuner[{extra}]'"
        ) from error
