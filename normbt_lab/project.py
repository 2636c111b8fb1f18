"""What this project says about itself, read from the installed package, whose source is pyproject.toml."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata

from normbt_lab.errors import NormBTError

DISTRIBUTION = "normbt-lab"


def version() -> str:
    """Version of the installed package.

    Example:
        >>> version().count(".")
        2
    """
    return _field("Version")[0]


def repository_url() -> str:
    """Address of the repository, without a slash at its end.

    It stands once, in ``[project.urls]`` of pyproject.toml; cards, badges and messages ask here.

    Example:
        >>> repository_url().startswith("https://")
        True
    """
    labelled = dict(entry.split(", ", 1) for entry in _field("Project-URL"))
    return labelled["Repository"].rstrip("/")


def colab_url(path: str) -> str:
    """Address that opens a notebook of the repository's main branch in Colab.

    Args:
        path: The notebook's path in the repository, ``notebooks/01_bradley_terry.ipynb``.
    """
    owner_and_name = repository_url().removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{owner_and_name}/blob/main/{path}"


def how_to_install(extra: str = "", *, clone: str = "a clone") -> str:
    """The sentence that says how to install the package: from a clone, because it is on no package index.

    Args:
        extra: Optional dependencies to install with it, by their name in pyproject.toml.
        clone: ``a new clone`` where the files that are there are not to be trusted.

    Example:
        >>> how_to_install("quant")
        "In a clone of the repository, run: pip install -e '.[quant]'"
    """
    package = f"'.[{extra}]'" if extra else "."
    return f"In {clone} of the repository, run: pip install -e {package}"


def _field(name: str) -> list[str]:
    try:
        return metadata(DISTRIBUTION).get_all(name) or []
    except PackageNotFoundError:
        raise NormBTError(
            f"{DISTRIBUTION} is imported but not installed, so its version and address are unknown. {how_to_install()}"
        ) from None
