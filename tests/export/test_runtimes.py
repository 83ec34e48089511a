"""Translating with exported files and with bundles in other runtimes; files that are not to be trusted."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime import InferenceSession
from PIL import Image

from tests.data_sets import shapes
from tests.export.conftest import noise
from unpaired.checkpoints.bundle import load_bundle, write_bundle
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.evaluation import evaluate
from unpaired.export import export
from unpaired.imaging.images import read_image
from unpaired.inference import Translator
from unpaired.inference.info import describe
from unpaired.inference.runtimes import Facts, open_exported
from unpaired.inference.runtimes.onnx import OnnxRuntime
from unpaired.metrics.paired import ssim


@pytest.fixture(scope="module")
def openvino(exported, tmp_path_factory):
    return export(exported().bundle, tmp_path_factory.mktemp("openvino") / "AtoB.xml", "openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """No test sees the exports of another, nor leaves its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unpaired"  # ONNX Runtime keeps files of its own beside it


def decoded_images(folder):
    folder.mkdir()
    for number, mode in enumerate(("RGB", "L", "RGBA")):
        shapes("A", number).convert(mode).save(folder / f"{number}.png")
    shapes("A", 3).resize((5, 3)).save(folder / "tiny.png")
    return folder


def assert_same_images(folder, others, levels=1):
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in others.iterdir())
    for path in folder.iterdir():
        one, other = read_image(path), read_image(others / path.name)
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= levels, path.name
        assert (one.alpha is None) == (other.alpha is None)


# Without torch

WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from unpaired.cli import run
code = run(sys.argv[1:])
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_fresh_process_without_torch_writes_the_same_images(exported, openvino, tmp_path, format):
    file = exported().onnx if format == "onnx" else openvino
    source = decoded_images(tmp_path / "in")
    assert run(["translate", str(exported().bundle), str(source), str(tmp_path / "torch"), "--runtime", "torch"]) == 0
    command = [sys.executable, "-c", WITHOUT_TORCH, "translate", str(file), str(source), str(tmp_path / "there")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert_same_images(tmp_path / "there", tmp_path / "torch")


def test_a_program_that_knows_only_onnxruntime_needs_no_arithmetic(exported):
    """What docs/export.md shows."""
    import onnxruntime

    session = onnxruntime.InferenceSession(exported().onnx.read_bytes())
    pixels = np.asarray(shapes("A", 1))
    (out,) = session.run(["translation"], {"image": pixels[None].astype(np.float32)})
    expected = Translator.load(exported().bundle, runtime="torch")(pixels)
    assert np.abs(out[0].round().astype(int) - expected.astype(int)).max() <= 1


SIGNALLED = """
import gc, signal, sys, threading
from pathlib import Path
import numpy as np
from unpaired.export.openvino import write_openvino
from unpaired.inference import Translator
from unpaired.inference.runtimes.facts import Facts

onnx, precision, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
first = Translator.load(onnx, runtime="openvino")
if precision == "int8":
    facts = Facts.from_json(first.runtime.facts.to_json().replace('"fp32"', '"int8"'), "")
    write_openvino(onnx, facts, [np.zeros((3, 16, 16), np.float32)] * 2, folder / "int8.xml")
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(True))

def forget():
    globals().pop("first")
    gc.collect()

elsewhere = threading.Thread(target=forget)
elsewhere.start()
elsewhere.join()
signal.raise_signal(signal.SIGTERM)
assert heard
"""


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_signal_is_no_crash_when_another_thread_forgot_an_openvino_model(exported, tmp_path, precision):
    command = [sys.executable, "-W", "ignore", "-c", SIGNALLED, exported().onnx, precision, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


# Which runtime


def test_an_exported_file_is_a_translator_like_any_other(exported, openvino):
    torch_one = Translator.load(exported().bundle, runtime="torch")
    for file, runtime, label in (
        (exported().onnx, "auto", "onnx fp32"),
        (exported().onnx, "openvino", "openvino fp32"),
        (openvino, "auto", "openvino fp32"),
    ):
        there = Translator.load(file, runtime=runtime)
        assert (there.runtime.label, there.direction, there.directions) == (label, "AtoB", ("AtoB",))
        for decoded in (np.asarray(shapes("A", 1)), np.asarray(shapes("A", 2), np.uint16) * 257):
            top = np.iinfo(decoded.dtype).max
            difference = np.abs(there(decoded).astype(float) - torch_one(decoded)).max()
            assert difference <= max(1, 1e-3 * top / 2)
        assert isinstance(there(shapes("A", 1)), Image.Image)


def test_what_an_exported_file_is_not_is_said(exported, openvino):
    for arguments, words in (
        ({"direction": "BtoA"}, "was exported as AtoB fp32, not BtoA"),
        ({"precision": "int8"}, "was exported as AtoB fp32, not int8"),
        ({"runtime": "torch"}, "runs in onnx or openvino, not torch"),
    ):
        with pytest.raises(BadInput, match=words):
            Translator.load(exported().onnx, **arguments)
    with pytest.raises(BadInput, match="runs in openvino, not onnx"):
        Translator.load(openvino, runtime="onnx")
    with pytest.raises(BadInput, match="this model translates AtoB, not BtoA"):
        Translator.load(openvino).to("BtoA")


def test_a_bundle_is_exported_once_for_the_runtime_asked_for_and_auto_goes_on_with_it(exported, cache, tmp_path):
    bundle = exported().bundle
    assert Translator.load(bundle).runtime.label == "torch fp32"
    assert not cache.exists()
    with pytest.raises(BadInput, match="no openvino export of AtoB in fp32 in the cache"):
        Translator.load(bundle, "AtoB", runtime="openvino")
    first = Translator.load(bundle, "AtoB", runtime="openvino", make_export=export)
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")}
    assert first.runtime.label == "openvino fp32" and len(kept) == 2
    assert Translator.load(bundle, "AtoB", runtime="openvino").runtime.label == "openvino fp32"
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")} == kept
    assert Translator.load(bundle, "AtoB").runtime.label == "openvino fp32"
    assert Translator.load(bundle, "BtoA").runtime.label == "torch fp32"  # not exported in this direction
    assert Translator.load(bundle, "AtoB", runtime="torch").runtime.label == "torch fp32"
    pixels = np.asarray(shapes("A", 1))
    plain = Translator.load(bundle, "AtoB", runtime="torch")(pixels)
    assert np.abs(first(pixels).astype(int) - plain.astype(int)).max() <= 1
    other = tmp_path / "other.safetensors"  # the same file name would not do: its content decides
    write_bundle(other, replace(load_bundle(bundle), step=99))
    assert Translator.load(other, "AtoB").runtime.label == "torch fp32"


def test_numbers_do_not_change_with_what_has_been_exported(exported, data, cache):
    before = evaluate(exported().bundle, data)
    Translator.load(exported().bundle, "AtoB", runtime="onnx", make_export=export)
    assert Translator.load(exported().bundle, "AtoB").runtime.label == "onnx fp32"
    after = evaluate(exported().bundle, data)
    assert after["recipe"]["runtime"] == "torch fp32" and after["AtoB"] == before["AtoB"]
    there = evaluate(exported().onnx, data)
    assert there["recipe"]["runtime"] == "onnx fp32" and "BtoA" not in there
    assert there["AtoB"]["swd"] == pytest.approx(before["AtoB"]["swd"], rel=0.02)


def test_bf16_in_torch_is_similar_and_fp32_stays_the_network_itself(exported):
    import torch

    bundle = load_bundle(exported().bundle)
    fp32 = Translator.load(exported().bundle, precision="fp32")
    bf16 = Translator.load(exported().bundle, precision="bf16")
    assert bf16.runtime.label == "torch bf16 fused"
    images = torch.from_numpy(noise(2, 40, 33))
    assert torch.equal(
        fp32.translate(torch.from_numpy(noise(1, 32, 32))),
        bundle.translators["AtoB"](torch.from_numpy(noise(1, 32, 32))),
    )
    assert 0.95 < float(ssim(bf16.translate(images), fp32.translate(images)).mean()) < 1
    assert bf16.translate(images).dtype == torch.float32
    assert bf16.to("BtoA").runtime.label == "torch bf16 fused"
    with pytest.raises(BadInput, match="torch offers fp32 and bf16"):
        Translator.load(exported().bundle, runtime="torch", precision="int8")


def test_a_runtime_that_is_not_installed_is_named_with_the_way_to_get_it(exported, openvino, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadInput, match="pip install 'unpaired\\[export\\]' or onnxruntime"):
        Translator.load(exported().onnx, runtime="onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BadInput, match="pip install 'unpaired\\[openvino\\]' or openvino"):
        Translator.load(openvino)


class CudaSession:
    """What a build of ONNX Runtime for CUDA shows of a session."""

    def __init__(self, content, options, providers):
        self.session, self.chosen = InferenceSession(content, providers=["CPUExecutionProvider"]), providers
        self.run, self.get_modelmeta = self.session.run, self.session.get_modelmeta

    def get_providers(self):
        return [each if isinstance(each, str) else each[0] for each in self.chosen]


@pytest.mark.parametrize(("device", "number"), [("auto", "0"), ("cuda", "0"), ("cuda:1", "1"), ("cpu", None)])
def test_the_cuda_provider_is_taken_where_onnx_runtime_has_it(exported, monkeypatch, device, number):
    both, loaded = ["CUDAExecutionProvider", "CPUExecutionProvider"], []
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: loaded.append(1))
    monkeypatch.setattr("onnxruntime.InferenceSession", CudaSession)
    there = OnnxRuntime.open(exported().onnx, device)
    on_card = [("CUDAExecutionProvider", {"device_id": number, "use_tf32": "0"})] if number else []
    assert there.session.chosen == [*on_card, "CPUExecutionProvider"]
    assert there.place == ("cuda" if number else "cpu") and loaded


def test_without_the_cuda_provider_the_cpu_serves_and_a_card_that_was_asked_for_names_the_extra(exported):
    assert OnnxRuntime.open(exported().onnx, "auto").place == "cpu"
    with pytest.raises(BadInput, match=r"--device cuda: .*pip install 'unpaired\[export-cuda\]'"):
        OnnxRuntime.open(exported().onnx, "cuda")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_threads_do_not_mix_up_their_images(exported, engine):
    there = open_exported(exported().onnx, engine)
    batches = [noise(1, 16 + 4 * (k % 3), 20, seed=k) for k in range(24)]
    alone = [there(images) for images in batches]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(there, batches), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_info_tells_of_an_exported_file(exported, openvino):
    assert describe(exported().onnx).startswith("smoke after 7 steps, exported: onnx fp32\nAtoB: 3 to 3 channels\n")
    assert json.loads(describe(openvino, as_json=True))["size_multiple"] == 4


# Files that are not to be trusted


def refused(path, *words):
    with pytest.raises(BadInput) as caught:
        Translator.load(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said and len(said) < 1000
    assert all(word in said for word in words), said


class Canary:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pt2_is_never_read(tmp_path):
    import pickle

    path, canary = tmp_path / "model.pt2", tmp_path / "canary"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/sample_inputs/model.pt", pickle.dumps(Canary(str(canary))))
        archive.writestr("model/archive_format", "pt2")
    refused(path, "can run code", "only writes them")
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256)) * 40, b"<?xml version='1.0'?><net/>"])
def test_what_is_no_model_is_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    refused(path, "not a readable")


def test_a_file_that_is_not_there_is_said(tmp_path):
    refused(tmp_path / "model.onnx", "no such file")


def test_an_openvino_model_without_its_weights_is_refused(openvino, tmp_path):
    (tmp_path / "model.xml").write_bytes(openvino.read_bytes())
    refused(tmp_path / "model.xml", "not a readable OpenVINO model")


def doctored(path, change):
    """The exported file with other metadata."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "unpaired":
            entry.value = change(entry.value)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "not one of `unpaired export`"),
        (lambda text: "no JSON", "cannot be read"),
        (lambda text: "[" * 100_000, "cannot be read"),
        (lambda text: "[]", "cannot be read"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "upgrade unpaired"),
        (lambda text: text.replace('"AtoB"', '"sideways"'), "another kind of model"),
        (lambda text: text.replace('"channels_in": 3', '"channels_in": -3'), "another kind of model"),
        (lambda text: text.replace('"channels_in": 3', '"channels_in": "3"'), "another kind of model"),
        (lambda text: text.replace('"size_multiple": 4', '"size_multiple": 0'), "another kind of model"),
        (lambda text: text.replace('"min_size": 8', '"min_size": 1000000'), "another kind of model"),
        (lambda text: text.replace('"fp32"', '["fp32"]'), "another kind of model"),
        (lambda text: text.replace("NHWC", "NCHW"), "another kind of model"),
        (lambda text: text.replace("}", ', "code": "import os"}'), "cannot be read"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(exported, tmp_path, change, words):
    path = tmp_path / "model.onnx"
    path.write_bytes(doctored(exported().onnx, change))
    refused(path, words)


def foreign(folder, exported, weight):
    """A model with the right metadata that only adds `weight` to twelve numbers."""
    image, out = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "height", "width", 3])
        for name in ("image", "translation")
    )
    nodes = [helper.make_node("Add", ["image", "weight"], ["translation"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], [out], [weight]), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    model.metadata_props.add(key="unpaired", value=open_exported(exported().onnx).facts.to_json())
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_model_that_points_at_other_files_finds_none(exported, tmp_path, monkeypatch, engine):
    """ONNX weights may lie outside the file, at any path that it names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.ones(3, np.float32).tobytes())
    weight = helper.make_tensor("weight", onnx.TensorProto.FLOAT, [3], np.zeros(3))
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret")
    weight.external_data.add(key="length", value="12")
    path = foreign(tmp_path, exported, weight)
    with pytest.raises(BadInput, match="not a readable"):
        open_exported(path, engine)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_model_that_does_not_keep_its_promises_is_one_line(exported, tmp_path, engine):
    weight = helper.make_tensor("weight", onnx.TensorProto.FLOAT, [2, 1, 1, 1, 1], np.zeros(2))
    with pytest.raises(BadInput) as caught:
        open_exported(foreign(tmp_path, exported, weight), engine)(noise(1, 8, 8))
    assert "\n" not in str(caught.value)


def test_facts_go_to_text_and_back(exported):
    facts = open_exported(exported().onnx).facts
    assert Facts.from_json(facts.to_json(), "there") == facts
