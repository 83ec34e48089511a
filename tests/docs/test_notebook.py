"""The notebook runs from top to bottom in a kernel of its own, as its readers run it, with a tiny budget."""

from __future__ import annotations

import os
import sys
import warnings

import nbformat
import pytest
from PIL import Image

from tests.docs.blocks import PROJECT

NOTEBOOK = PROJECT / "examples" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The executed notebook, and the folder it ran in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the client's own libraries say of one another
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        folder = tmp_path_factory.mktemp("notebook")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNPAIRED_TUTORIAL_QUICK", "1")
            patch.setenv("PYTHONPATH", str(PROJECT))
            for place in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME"):
                patch.setenv(place, str(folder / place.lower()))
            kernel = AsyncKernelManager()
            kernel._kernel_spec = KernelSpec(  # this interpreter, whatever kernels are installed
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], env=dict(os.environ)
            )
            notebook = nbformat.read(NOTEBOOK, as_version=4)
            client = NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": str(folder)}})
            client.execute()
    return notebook, folder


def outputs(notebook, kind):
    return [output for cell in notebook.cells for output in cell.get("outputs", ()) if kind in output.get("data", {})]


def test_every_cell_of_the_notebook_ran(done):
    notebook, folder = done
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert (folder / "runs/earth/report.html").is_file() and (folder / "runs/mine/bundle.safetensors").is_file()


def test_its_pictures_are_shown(done):
    notebook, folder = done
    assert len(outputs(notebook, "image/png")) == 4
    with Image.open(min((folder / "earth64/testA").glob("*.png"))) as tile:
        assert tile.size == (64, 64)


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
