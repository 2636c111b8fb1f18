"""What holds the package together: names, address, files in the wheel, pinned versions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import normbt_lab
from normbt_lab.project import colab_url, how_to_install, repository_url

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked_files() -> list[Path]:
    """Every text file of the repository; without git, as in an unpacked archive, there is nothing to say."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in {".gz", ".png", ".safetensors", ".woff2"}]


# the public names


def test_importing_the_package_brings_no_other_package() -> None:
    """Seconds are lost in torch; a fresh process sees only the standard library."""
    program = "import sys; import normbt_lab; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded_after_nothing = subprocess.run(
        [sys.executable, "-c", program.replace("import normbt_lab; ", "")], capture_output=True, text=True, check=True
    )
    new = set(loaded.stdout.split()) - set(loaded_after_nothing.stdout.split())
    assert new - set(sys.stdlib_module_names) == {"normbt_lab"}


@pytest.mark.parametrize("name", normbt_lab.__all__)
def test_every_public_name_is_there_and_belongs_to_the_package(name: str) -> None:
    value = getattr(normbt_lab, name)
    assert value.__name__ == name
    assert value.__module__.startswith("normbt_lab.")
    assert name in dir(normbt_lab)


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse(Path(normbt_lab.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imported = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(normbt_lab.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        normbt_lab.nothing  # noqa: B018


# the address


def test_the_address_stands_once_in_the_repository() -> None:
    """Badges, install cells and clone commands are the exception: they need it spelt out, and must agree with it."""
    slug = PYPROJECT["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    assert re.fullmatch(r"[\w-]+/[\w-]+", slug)
    places = {}
    for path in tracked_files():
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb" or path.suffix == ".md":
            for address in re.findall(r"colab\.research\.google\.com/github/[^)\"\s]+", text):
                named = address.partition("/blob/main/")[2]
                assert "https://" + address == colab_url(named), path
                assert (ROOT / named).is_file(), f"{path} opens {named}, which is not there"
                text = text.replace(address, "")
            for address in re.findall(r"git(?:\+| clone )(https://github\.com/[\w./-]+)", text):
                assert address == repository_url(), path
                text = text.replace(address, "")
        if text.count(slug):
            places[path.relative_to(ROOT).as_posix()] = text.count(slug)
    assert places == {"pyproject.toml": 1}


def test_the_installed_package_knows_the_address() -> None:
    assert repository_url() == PYPROJECT["project"]["urls"]["Repository"]
    assert colab_url("notebooks/x.ipynb").endswith("/blob/main/notebooks/x.ipynb")


def test_no_text_tells_to_install_the_package_from_an_index_that_does_not_have_it() -> None:
    from_an_index = re.compile(r"pip install (?:-\S+ )*[\\'\"]*normbt[-_]lab(?!\S* @ git\+)")
    assert from_an_index.search("pip install --no-deps 'normbt-lab[quant]'")
    texts = [path for path in tracked_files() if ROOT / "tests" not in path.parents]
    assert [path.name for path in texts if from_an_index.search(path.read_text(encoding="utf-8"))] == []


def test_the_extras_that_messages_name_exist() -> None:
    named = {
        extra
        for path in (ROOT / "normbt_lab").rglob("*.py")
        for extra in re.findall(r"how_to_install\([\"'](\w+)[\"']\)", path.read_text(encoding="utf-8"))
    }
    assert named >= {"all", "quant"}
    assert named <= set(PYPROJECT["project"]["optional-dependencies"])
    assert how_to_install() == "In a clone of the repository, run: pip install -e ."


# dependencies


def test_every_direct_dependency_is_pinned_to_a_version_that_its_range_allows() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[name.lower().replace("_", "-")] = version
    for text in requires("normbt-lab") or []:
        requirement = Requirement(text)
        if requirement.name != "normbt-lab":
            assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), text
    assert pins["torch"] == "2.13.0"


def test_the_extra_all_is_every_other_extra() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == set(extras) - {"all"}


def test_every_import_of_the_package_is_declared() -> None:
    """A module found by accident, through someone else's dependency, is gone when that changes."""
    declared = {Requirement(text).name.lower().replace("-", "_") for text in requires("normbt-lab") or []}
    declared |= {"yaml"} | set(sys.stdlib_module_names) | {"normbt_lab"}
    missing = {}
    for path in sorted((ROOT / "normbt_lab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                if name.split(".")[0].lower() not in declared:
                    missing[path.relative_to(ROOT).as_posix()] = name
    assert missing == {}


# the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files so that nothing else can slip in."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return next(target.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files", "-z", "normbt_lab"], cwd=ROOT, capture_output=True, text=True).stdout
    assert packed == {name for name in tracked.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Unpacked away from the repository: the command, the recipes, the address."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import normbt_lab\n"
        "from normbt_lab.project import repository_url\n"
        "assert normbt_lab.__file__.startswith(sys.argv[1]), normbt_lab.__file__\n"
        "print(repository_url(), len(normbt_lab.list_recipes()))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    recipes = len(list((ROOT / "normbt_lab" / "recipes").glob("*.yaml")))
    assert result.stdout.split() == [repository_url(), str(recipes)]


# documents


def test_the_citation_names_the_paper_and_its_authors() -> None:
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = citation["references"]
    families = [author["family-names"] for author in paper["authors"]]
    assert families == ["Xie", "Bai", "Ban", "Hong", "Li", "Hsieh"]
    assert {"type": "other", "value": "arXiv:2512.06343"}.items() <= paper["identifiers"][0].items()
    assert citation["version"] == PYPROJECT["project"]["version"]


def test_every_link_of_the_readme_inside_the_repository_leads_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
