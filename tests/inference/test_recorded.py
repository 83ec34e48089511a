"""Passes of the network on a device: recorded shapes, precision, and errors of the device in one line."""

import time
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from tests.data_sets import make_model
from unpaired.core.device import describe_device, free_bytes, ieee_fp32, one_line_device_errors, pick_device
from unpaired.core.errors import BadInput
from unpaired.inference import Translator
from unpaired.inference.options import tile_for
from unpaired.inference.runtimes.onnx import CPU, CUDA, providers
from unpaired.inference.runtimes.recorded import Recorded
from unpaired.inference.runtimes.torch import TorchRuntime
from unpaired.models.resnet import ResNetConfig, ResNetGenerator


def record_static(run, example):
    """A pass with static input and output buffers but without a graph: what `record_cuda` does, on any device."""
    static_in = torch.empty_like(example)
    static_out = run(static_in.copy_(example)).clone()

    def replay(images):
        static_in.copy_(images, non_blocking=True)
        return static_out.copy_(run(static_in))

    return replay


def image(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_shape_is_recorded_when_it_comes_again_and_gives_the_same_values():
    recordings = []

    def record(run, example):
        recordings.append(tuple(example.shape))
        return record_static(run, example)

    recorded = Recorded(lambda x: 2 * x + 1, record, most=2)
    for shape in ((1, 3, 4, 4), (1, 3, 4, 4), (1, 3, 4, 4), (2, 3, 4, 4)):
        for seed in range(2):
            x = image(*shape, seed=seed)
            assert torch.equal(recorded(x), 2 * x + 1)
    assert recordings == [(1, 3, 4, 4), (2, 3, 4, 4)]


def test_a_recorded_result_is_the_callers_own_and_not_the_static_buffer():
    recorded = Recorded(lambda x: 2 * x, record_static)
    first, second, third = (recorded(image(1, 3, 4, 4, seed=seed)) for seed in range(3))
    assert torch.equal(second, 2 * image(1, 3, 4, 4, seed=1)) and torch.equal(third, 2 * image(1, 3, 4, 4, seed=2))
    assert not torch.equal(first, second)


def test_the_cache_of_shapes_is_bounded_and_drops_the_one_unused_for_longest():
    recordings = []

    def record(run, example):
        recordings.append(example.shape[-1])
        return record_static(run, example)

    recorded = Recorded(lambda x: x + 1, record, most=2)
    for side in (1, 1, 2, 2, 1, 3, 3, 2, 2):  # 3 drops 2, the one unused for longest, which is then recorded again
        recorded(image(1, 1, 1, side))
    assert recordings == [1, 2, 3, 2]
    assert len(recorded.graphs) == 2


def test_a_network_replayed_from_static_buffers_translates_as_without_a_recorder():
    network = ResNetGenerator(ResNetConfig(width=4, blocks=1), 3, 3).eval()
    plain = TorchRuntime(network, 3, 3)
    replayed = TorchRuntime(network, 3, 3, record=record_static)
    for size in ((16, 16), (16, 16), (13, 18), (13, 18), (16, 16)):
        images = image(2, 3, *size, seed=size[0]).numpy()
        assert np.array_equal(replayed.submit(images)(), plain(images))


def test_fp32_turns_tf32_off_for_its_passes_and_leaves_the_setting_as_it_was():
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    with ieee_fp32():
        assert (convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == ("ieee", "ieee")
    assert (convolutions.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == before


class Failing(nn.Module):
    size_multiple, min_size = 1, 1

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), "too little memory for 3 images of 9x5"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), r"translate in tiles \(--tile 512\)"),
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "the device failed during 3 images of 9x5"),
    ],
)
def test_a_device_that_fails_is_one_line_with_the_size_and_what_helps(error, words):
    with pytest.raises(BadInput, match=words) as caught:
        TorchRuntime(Failing(error), 3, 3)(np.zeros((3, 3, 5, 9), np.float32))
    assert "\n" not in str(caught.value)


def test_other_errors_of_a_network_stay_what_they_are():
    with pytest.raises(RuntimeError, match="sizes of tensors"), one_line_device_errors(torch.device("cpu"), "", ""):
        raise RuntimeError("sizes of tensors must match")


def cards(monkeypatch, count, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch):
    cards(monkeypatch, 2, mps=True)
    assert str(pick_device()) == "cuda:0" and str(pick_device("cuda:1")) == "cuda:1"
    cards(monkeypatch, 0, mps=True)
    assert str(pick_device()) == "mps"
    cards(monkeypatch, 0)
    assert str(pick_device()) == "cpu" and describe_device(pick_device()).startswith("cpu, ")


def test_a_device_that_is_not_there_is_named_with_those_that_are(monkeypatch):
    cards(monkeypatch, 0)
    with pytest.raises(BadInput, match="--device: cuda was asked for, but this machine has cpu; use --device auto"):
        pick_device("cuda")
    with pytest.raises(BadInput, match="runtime.device: expected auto, cpu, cuda, cuda:N or mps, found gpu"):
        pick_device("gpu", "runtime.device")
    cards(monkeypatch, 2)
    with pytest.raises(BadInput, match="cuda:2 was asked for, but this machine has cuda:0, cuda:1"):
        pick_device("cuda:2")


def test_free_memory_is_less_than_the_machine_has():
    assert 10**7 < free_bytes() < 2**50


def test_onnx_runtime_takes_its_cuda_provider_where_it_has_one():
    assert providers("auto", [CPU]) == [CPU]
    assert providers("cpu", [CUDA, CPU]) == [CPU]
    assert providers("auto", [CUDA, CPU]) == [(CUDA, {"device_id": "0", "use_tf32": "0"}), CPU]
    assert providers("cuda:1", [CUDA, CPU])[0] == (CUDA, {"device_id": "1", "use_tf32": "0"})
    with pytest.raises(BadInput, match="no CUDA provider"):
        providers("cuda", [CPU])
    with pytest.raises(BadInput, match="runs on cpu or cuda"):
        providers("mps", [CUDA, CPU])


@pytest.mark.parametrize(("free_gb", "side"), [(0.5, 256), (4, 256), (8, 512), (16, 1024), (80, 2048), (200, 4096)])
def test_tiles_on_a_card_have_the_side_that_half_of_its_free_memory_holds(monkeypatch, free_gb, side):
    """At 4,096 bytes a pixel of a tile with its margin of 256: 8 GB hold (512 + 256)^2 of them, not (1024 + 256)^2."""
    monkeypatch.setattr("unpaired.inference.options.free_bytes", lambda device: int(free_gb * 1e9))
    assert tile_for(torch.device("cuda")) == side and tile_for(torch.device("cpu")) == 512


def test_tiles_and_smoothed_videos_take_one_copy_of_the_network_on_the_card(tmp_path, monkeypatch):
    translator = Translator.load(make_model(tmp_path / "run"), device="cpu")
    own = translator.bundle.translators["AtoB"]
    assert translator.layers is own
    placed = []
    monkeypatch.setattr(type(translator), "device", torch.device("cuda", 0))
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: placed.append(device) or self)
    translator = replace(translator)
    copy = translator.layers
    assert copy is not own and translator.layers is copy and placed == [torch.device("cuda", 0)]


def test_a_shape_that_does_not_fit_beside_the_graphs_of_others_gets_their_memory():
    def record(run, example):
        if example.shape[-1] == 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record_static(run, example)

    recorded = Recorded(lambda x: x + 1, record)
    for side in (4, 4, 8, 8):
        x = image(1, 1, 1, side)
        assert torch.equal(recorded(x), x + 1)
    assert not recorded.graphs


def test_two_recordings_never_happen_at_once():
    inside, most = [], []

    def record(run, example):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return record_static(run, example)

    def use(recorded):
        for side in range(1, 5):
            for _ in range(2):
                recorded(image(1, 1, 1, side))

    threads = [Thread(target=use, args=(Recorded(lambda x: x, record),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 12 and max(most) == 1
