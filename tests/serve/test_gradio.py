"""The app for Spaces, where gradio is installed: `pip install 'unpaired[gradio]'`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import make_model, shapes

CALL = """
import sys
from gradio_client import Client, handle_file
from unpaired.serve.gradio_app import build
app = build(sys.argv[1:2])
_, url, _ = app.queue(max_size=4).launch(prevent_thread_lock=True, share=False, quiet=True, server_name="127.0.0.1")
print("FILE", Client(url, verbose=False).predict(handle_file(sys.argv[2]), "one", "BtoA", api_name="/translate"))
call = handle_file(sys.argv[2]), "one", "BtoA", "train"
print("SMALL", Client(url, verbose=False).predict(*call, api_name="/translate"))
app.close()
"""


def test_a_call_through_gradios_client_gives_what_the_translator_gives(tmp_path):
    pytest.importorskip("gradio", reason="gradio is an extra of its own: it asks for an older Pillow")
    from unpaired.inference import Translator

    model = make_model(tmp_path / "one")
    shapes("A", 0).save(tmp_path / "in.png")
    line = [sys.executable, "-c", CALL, str(model.parent), str(tmp_path / "in.png")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = Translator.load(model, "BtoA")(shapes("A", 0))
    small = Translator.load(model, "BtoA", scale="train")(shapes("A", 0))
    assert small.size == (32, 32)
    for word, translation in (("FILE", expected), ("SMALL", small)):
        with Image.open(Path(re.search(f"{word} (.*)", done.stdout)[1])) as found:
            np.testing.assert_array_equal(np.asarray(found.convert("RGB")), np.asarray(translation))
