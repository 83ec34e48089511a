"""What `unpaired export` writes, and that it keeps nothing which translates otherwise than the network."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import unpaired.export as module
from tests.data_sets import make_model
from tests.export.conftest import ARCHITECTURES, noise
from unpaired.checkpoints.bundle import load_bundle, save_bundle
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.experiment import build_method
from unpaired.export import export, graph
from unpaired.export.graph import PixelGraph
from unpaired.export.openvino import write_openvino
from unpaired.export.pt2 import write_pt2
from unpaired.export.verify import five_shapes, similarity
from unpaired.imaging.images import read_image, to_array
from unpaired.inference.runtimes import open_exported
from unpaired.inference.runtimes.bundles import torch_runtime
from unpaired.inference.runtimes.torch import pad_to_multiple

SHAPES = [(1, 32, 32), (1, 33, 50), (3, 40, 21), (2, 5, 7), (1, 3, 40), (1, 2, 3)]


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


# What is written translates as the network does


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_the_network_at_any_size_and_batch(exported, name, engine):
    kept = exported(name)
    there = open_exported(kept.onnx, engine)
    for shape in SHAPES:
        images = noise(*shape)
        np.testing.assert_allclose(there(images), kept.network(images), atol=1e-3, err_msg=str(shape))


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 33, 50), (1, 3, 40), (2, 9, 8), (1, 8, 33), (1, 1, 1)])
@pytest.mark.parametrize("multiple", [4, 32])
def test_the_graph_pads_as_the_translator_does(shape, multiple):
    class Same(torch.nn.Identity):
        pass

    network = Same()
    network.size_multiple, network.min_size = multiple, 2 * multiple
    pixels = PixelGraph(network)
    seen = []
    network.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    levels = torch.rand(*shape, 3) * 255
    torch.testing.assert_close(pixels(levels), levels)  # padded, cut back and scaled both ways
    images = levels.permute(0, 3, 1, 2) * (2 / 255) - 1
    torch.testing.assert_close(seen[0], pad_to_multiple(images, multiple, 2 * multiple))


def test_the_file_tells_all_that_translating_needs(exported):
    kept = exported()
    model = onnx.load(kept.onnx)
    (facts,) = [json.loads(entry.value) for entry in model.metadata_props if entry.key == "unpaired"]
    assert facts == {
        "direction": "AtoB",
        "channels_in": 3,
        "channels_out": 3,
        "precision": "fp32",
        "values_a": "",
        "values_b": "",
        "nodata": None,
        "size_multiple": 4,
        "min_size": 8,
        "experiment": "smoke",
        "step": 7,
        "bundle_sha256": file_sha256(kept.bundle),
        "domains": ["A", "B"],
        "value_range": [0, 255],
        "layout": "NHWC",
        "format": 1,
    }
    for value, name in ((model.graph.input[0], "image"), (model.graph.output[0], "translation")):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert (value.name, dims) == (name, ["batch", "height", "width", 3])
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    onnx.checker.check_model(model, full_check=True)


def test_the_file_names_no_path_of_the_machine_that_wrote_it(exported):
    content = exported().onnx.read_bytes()
    for path in (sys.prefix, module.__file__.rpartition("/unpaired/")[0], str(exported().bundle.parent)):
        assert path.encode() not in content


LOAD = """
import sys, json, numpy, torch
extra = {"unpaired.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
for name in sys.argv[2:]:
    numpy.save(name + ".out.npy", program(torch.from_numpy(numpy.load(name))).numpy())
print(json.loads(extra["unpaired.json"])["direction"])
"""


@pytest.mark.parametrize("name", ["resnet", "unet resize"])
def test_a_pt2_is_the_network_in_a_program_that_knows_only_torch_and_holds_nothing_pickled(exported, name, tmp_path):
    kept = exported(name)
    file = export(kept.bundle, tmp_path / "model.pt2", "pt2")
    for number, shape in enumerate(SHAPES):
        np.save(tmp_path / f"{number}.npy", (noise(*shape).transpose(0, 2, 3, 1) + 1) * np.float32(127.5))
    inputs = [str(tmp_path / f"{number}.npy") for number in range(len(SHAPES))]
    code = ["-W", "ignore", "-c", LOAD, str(file), *inputs]
    done = subprocess.run([sys.executable, *code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "AtoB"), done.stderr
    for name, shape in zip(inputs, SHAPES, strict=True):
        output = np.load(f"{name}.out.npy").transpose(0, 3, 1, 2) / 127.5 - 1
        np.testing.assert_allclose(output, kept.network(noise(*shape)), atol=1e-3)
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    weights = json.loads(parts["model/data/weights/model_weights_config.json"])["config"]
    assert weights and not any(weight["use_pickle"] for weight in weights.values())
    assert not any(content[:2] == b"PK" or content[:1] == b"\x80" for content in parts.values())


def test_coarser_arithmetic_is_smaller_and_similar_on_training_images(data, tmp_path):
    bundle = smooth_model(tmp_path, data)
    network, sizes = torch_runtime(load_bundle(bundle), "BtoA"), {}
    decoded_images = [to_array(read_image(path).pixels) for path in sorted((data / "testB").iterdir())]
    for precision in ("fp32", "bf16", "int8"):
        file = export(bundle, tmp_path / "out", "openvino", precision, "BtoA")
        sizes[precision] = file.with_suffix(".bin").stat().st_size
        there = open_exported(file)
        assert there.label == f"openvino {precision}" and there.facts.precision == precision
        assert similarity(there, network, decoded_images) > {"fp32": 0.9999, "bf16": 0.99, "int8": 0.95}[precision]
    assert sizes["fp32"] > 1.9 * sizes["bf16"] > 2.5 * sizes["int8"] / 1.5
    assert names(tmp_path / "out") == sorted(
        f"BtoA{which}.{part}" for which in ("", "-bf16", "-int8") for part in ("bin", "xml")
    )


def smooth_model(folder, data):
    """Weights as training starts from, with the path to the data: not so steep that rounding decides."""
    bundle = make_model(folder / "run", data__root=str(data), method__generator__width=8)
    experiment = load_bundle(bundle).experiment
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_bundle(bundle, experiment, build_method(experiment), step=7)
    return bundle


# What is wrong is not kept


def assert_nothing_kept(folder, capsys, *words):
    """Nothing but what was there before, and one line that says why."""
    said = capsys.readouterr().err
    complaint = [line for line in said.splitlines() if line.startswith("unpaired:")]
    assert len(complaint) == 1 and "not kept" in complaint[0], said
    assert all(word in complaint[0] for word in words), complaint
    assert names(folder) == []


def heavier(path):
    """Every weight of an ONNX file one percent larger."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_exporter_that_changes_the_weights_by_a_percent_is_caught(exported, tmp_path, capsys, monkeypatch, format):
    def broken(graph, facts, path):
        path.write_bytes(exported().onnx.read_bytes())  # what the sound exporter wrote of this bundle
        heavier(path)

    monkeypatch.setattr(module, "write_onnx", broken)
    assert run(["export", str(exported().bundle), str(tmp_path / "out"), "--format", format]) == 2
    assert_nothing_kept(tmp_path / "out", capsys, "differs from torch by", "over 0.001")


def test_a_pt2_with_other_weights_is_caught(exported, tmp_path, capsys, monkeypatch):
    def broken(graph, facts, path):
        with torch.no_grad():
            for weight in graph.parameters():
                weight *= 1.01
        write_pt2(graph, facts, path)

    monkeypatch.setattr(module, "write_pt2", broken)
    assert run(["export", str(exported().bundle), str(tmp_path / "out"), "--format", "pt2"]) == 2
    assert_nothing_kept(tmp_path / "out", capsys, "pt2 fp32 differs from torch by")


def test_a_graph_that_pads_otherwise_is_caught_by_the_odd_shapes(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(graph, "_source", lambda side, grown, mirrored: torch.arange(grown).clamp(max=side - 1))
    assert run(["export", str(exported().bundle), str(tmp_path / "out"), "--format", "onnx"]) == 2
    assert_nothing_kept(tmp_path / "out", capsys, "differs from torch by")


def test_int8_without_its_ranges_is_caught(data, tmp_path, capsys, monkeypatch):
    """Ranges from black images are the ranges of nothing."""
    bundle = smooth_model(tmp_path / "model", data)

    def broken(onnx, facts, decoded_images, path):
        write_openvino(onnx, facts, [np.full_like(image, -1) for image in decoded_images], path)

    monkeypatch.setattr(module, "write_openvino", broken)
    args = ["export", str(bundle), str(tmp_path / "out"), "--format", "openvino", "--precision", "int8"]
    assert run(args) == 2
    assert_nothing_kept(tmp_path / "out", capsys, "mean SSIM to fp32 of", "below 0.97")


def test_an_earlier_file_survives_an_export_that_fails(exported, tmp_path, monkeypatch):
    target = tmp_path / "model.onnx"
    target.write_bytes(exported().onnx.read_bytes())

    def broken(graph, facts, path):
        path.write_bytes(target.read_bytes())
        heavier(path)

    monkeypatch.setattr(module, "write_onnx", broken)
    with pytest.raises(BadInput, match="not kept"):
        export(exported().bundle, target, "onnx")
    assert names(tmp_path) == ["model.onnx"]
    assert target.read_bytes() == exported().onnx.read_bytes()


@pytest.mark.parametrize("multiple", [4, 32, 256])
def test_the_five_shapes_are_odd_batched_not_square_and_smaller_than_the_multiple(multiple):
    shapes = five_shapes(multiple, max(8, multiple))
    assert len(set(shapes)) == 5
    assert any(height % 2 and width % 2 for _, height, width in shapes)
    assert any(batch > 1 for batch, _, _ in shapes) and any(height != width for _, height, width in shapes)
    assert any(height < multiple and width < multiple for _, height, width in shapes)
    assert any(height % multiple == width % multiple == 0 for _, height, width in shapes)


# What is asked for wrongly


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["out", "--format", "onnx", "--precision", "int8"], "onnx is offered in fp32"),
        (["out", "--format", "pt2", "--precision", "int8"], "pt2 is offered in fp32, bf16"),
        (["out.xml", "--format", "onnx"], "makes a file that ends in .onnx"),
        (["out.bin", "--format", "openvino"], "makes a file that ends in .xml"),
        (["out", "--format", "openvino", "--precision", "int8"], "--data"),
        (["out", "--format", "openvino", "--precision", "bf16", "--data", "nowhere"], "--data"),
    ],
)
def test_what_cannot_be_exported_is_said_before_work_starts(exported, tmp_path, capsys, args, words):
    out, *flags = args
    assert run(["export", str(exported().bundle), str(tmp_path / out), *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("unpaired: ") and said.count("\n") == 1 and words in said
    assert names(tmp_path) == []


def test_a_missing_package_is_named_with_the_way_to_get_it(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(BadInput, match=r"pip install 'unpaired\[export\]'"):
        export(exported().bundle, tmp_path / "out", "onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    facts = replace(open_exported(exported().onnx).facts, precision="bf16")
    with pytest.raises(BadInput, match=r"pip install 'unpaired\[openvino\]'"):
        write_openvino(exported().onnx, facts, [], tmp_path / "model.xml")
    assert [path.name for path in tmp_path.rglob("*.*")] == []
