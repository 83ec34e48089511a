"""The notebook runs from top to bottom in a kernel of its own, as its readers run it, with a tiny budget."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

from tests.docs.blocks import PROJECT

NOTEBOOK = PROJECT / "examples" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The executed notebook, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(NOTEBOOK, folder)
    places = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "XDG_CACHE_HOME")
    environment = {**os.environ, **{place: str(folder / place.lower()) for place in places}}
    environment |= {"UNPAIRED_TUTORIAL_QUICK": "1", "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "ignore"}
    execute = [sys.executable, "-c", "from nbclient.cli import main; main()"]
    ran = subprocess.run(
        [*execute, NOTEBOOK.name, "--output=done", "--timeout=300"],
        **{"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 500},
    )
    assert ran.returncode == 0, ran.stderr
    return nbformat.read(folder / "done.ipynb", as_version=4), folder


def test_every_cell_of_the_notebook_ran(done):
    notebook, folder = done
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert (folder / "runs/earth/report.html").is_file() and (folder / "runs/mine/bundle.safetensors").is_file()


def test_its_images_are_shown(done):
    notebook, folder = done
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 4
    with Image.open(min((folder / "earth64/testA").glob("*.png"))) as tile:
        assert tile.size == (64, 64)


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
