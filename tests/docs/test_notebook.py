"""The notebook: run from top to bottom in a kernel of its own with a tiny budget; its stored outputs."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

from tests.docs.blocks import PROJECT

NOTEBOOK, PAGE = PROJECT / "examples" / "tutorial.ipynb", PROJECT / "docs" / "tutorial.md"
SAME = {
    "unpaired prepare earth": "prepare_earth(data",
    "unpaired check": "examine(data)",
    "unpaired train earth": "presets.earth()",
    "unpaired translate runs/earth earth64/testA": 'direction="AtoB"',
    "unpaired translate runs/earth earth64/testB": 'direction="BtoA"',
    "unpaired evaluate runs/earth": "evaluate(run, data",
    "unpaired prepare folders": "prepare_folders(mine",
    "unpaired train quick": "presets.quick()",
}
"""What the page does by a command, and the notebook by a call."""


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


def test_its_outputs_are_stored():
    code = code_cells()
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    images = [output.data["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]
    for content in images:
        Image.open(io.BytesIO(base64.b64decode(content))).load()
    assert len(images) == 4 and NOTEBOOK.stat().st_size < 1_000_000
    (steps,) = re.findall(r"STEPS = 2 if QUICK else (\d+)", code[0].source)
    assert any(f" {steps} steps" in output.get("text", "") for output in outputs)
    assert f"{int(steps):,} steps" in PAGE.read_text(encoding="utf-8")


def test_it_does_what_the_page_does_in_the_same_order():
    page, code = PAGE.read_text(encoding="utf-8"), "\n".join(cell.source for cell in code_cells())
    for text, parts in ((page, SAME), (code, SAME.values())):
        places = [text.index(part) for part in parts]
        assert places == sorted(places)


def code_cells():
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
