import ast
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import unpaired
from unpaired.cli import COMMANDS

PACKAGE = Path(unpaired.__file__).parent
PROJECT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FOREIGN = {"torchvision"}
TORCH = {"load", "save", "hub", "jit"}
PTH = PACKAGE / "core" / "torch_pickle.py"
"""The one file that may call torch.load and torch.save: other tools' weights have no other format."""


def python(code, *args, cwd=PROJECT):
    """A fresh interpreter's exit code and what it said."""
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def name_of(path):
    return str(path.relative_to(PROJECT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


# Imports run one way


def contract():
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]


@pytest.mark.slow
def test_imports_run_one_way():
    code, said = python(LINT)
    assert code == 0, said
    assert "Imports run one way KEPT" in said


@pytest.mark.slow
def test_an_import_against_the_layers_would_be_found(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "unpaired", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    with (tmp_path / "unpaired/losses/cycle.py").open("a") as file:
        file.write("\nfrom unpaired.models import build_discriminator  # losses know no networks\n")
    code, said = python(LINT, cwd=tmp_path)
    assert code == 1, said
    assert "unpaired.losses is not allowed to import unpaired.models" in said


def test_every_part_of_the_package_has_its_layer():
    placed = {part.strip() for layer in contract()["layers"] for part in layer.split("|")}
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    parts -= {"__init__", "__main__"}  # the package's own face and its one-line entry
    assert {f"unpaired.{part}" for part in parts} == placed


# What the source never does


def forbidden(code):
    """Uses of unpickling, of torch's loaders of code, and of torchvision, by line."""
    found = []
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            names = ["torch.load"] if (node.arg, node.value.value) == ("weights_only", False) else []
            names += ["pickle"] if (node.arg, node.value.value) == ("allow_pickle", True) else []
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first in UNPICKLING | FOREIGN or (first == "torch" and rest and rest[0] in TORCH):
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.promise("safe checkpoints")
@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import torch.hub",
        "from torch import load",
        "from torch.jit import script",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "torch.save(weights, path)",
        "torch.jit.script(f)",
        "module.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "import torchvision.transforms",
        "from torchvision import io",
        "def f():\n    import torchvision",
    ],
)
def test_forbidden_uses_are_recognised(line):
    assert forbidden(ast.parse(line))


def test_harmless_lines_are_not_taken_for_forbidden_ones():
    code = (
        "import torch\nfrom torch import nn\njson.load(f)\nnetwork.load(state)\ntorch.nn.Conv2d\nx.load(weights_only=1)"
    )
    assert forbidden(ast.parse(code)) == []


def test_foreign_weights_are_loaded_in_one_place_and_as_tensors_only():
    calls = [node for node in ast.walk(tree(PTH)) if isinstance(node, ast.Call)]
    used = [node for node in calls if ast.unparse(node.func) in ("torch.load", "torch.save")]
    assert sorted(ast.unparse(node.func) for node in used) == ["torch.load", "torch.save"]
    (load,) = [node for node in used if ast.unparse(node.func) == "torch.load"]
    assert {word.arg: ast.unparse(word.value) for word in load.keywords}["weights_only"] == "True"
    assert len(forbidden(tree(PTH))) == len(used)


@pytest.mark.promise("safe checkpoints")
@pytest.mark.parametrize("path", [path for path in MODULES if path != PTH], ids=name_of)
@pytest.mark.slow
def test_nothing_unpickles_runs_stored_code_or_imports_torchvision(path):
    assert forbidden(tree(path)) == []


# Docstrings


def undocumented(code):
    """Public functions, classes and their public methods without a docstring, and the module if it has none."""
    missing = [] if ast.get_docstring(code) else ["the module"]
    nodes = [(node, "") for node in code.body]
    while nodes:
        node, prefix = nodes.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            missing.append(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            nodes += [(inner, f"{prefix}{node.name}.") for inner in node.body]
    return missing


def test_missing_docstrings_are_recognised():
    code = ast.parse('"""M."""\ndef a(): pass\nclass B:\n    """B."""\n    def c(self): pass\n    def _d(self): pass')
    assert set(undocumented(code)) == {"a", "B.c"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_everything_public_has_a_docstring(path):
    assert undocumented(tree(path)) == []


# Torch is imported only to work

HELP = """
import contextlib, io, json, sys
import unpaired
loaded = {"import unpaired": "torch" in sys.modules}
from unpaired.cli import run
texts = {}
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = run(line.split())
        except SystemExit as stop:
            code = stop.code or 0
    texts[line] = (code, said.getvalue())
    loaded[line] = "torch" in sys.modules
print(json.dumps([loaded, texts]))
"""


@pytest.fixture(scope="module")
def helped():
    """For `import unpaired` and every help, in this order in one process: was torch loaded, and what was said."""
    lines = ["--help", "--version", "prepare --help", *(f"{name} --help" for name in COMMANDS)]
    code, said = python(HELP, json.dumps(lines))
    assert code == 0, said
    loaded, texts = json.loads(said)
    return lines, loaded, texts


@pytest.mark.slow
def test_importing_the_package_does_not_import_torch(helped):
    _, loaded, _ = helped
    assert loaded["import unpaired"] is False


@pytest.mark.slow
def test_no_commands_help_imports_torch(helped):
    lines, loaded, texts = helped
    assert [line for line in lines if loaded[line]] == []
    for line in lines:
        code, said = texts[line]
        assert code == 0 and said.strip(), f"unpaired {line} said {said!r}"


@pytest.mark.slow
def test_the_overview_lists_every_command(helped):
    _, _, texts = helped
    assert all(name in texts["--help"][1] for name in COMMANDS)


def test_what_the_package_promises_is_there():
    for name in unpaired.__all__:
        assert getattr(unpaired, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = unpaired.nothing
