"""Too little memory and a lost device: one line each, with what to do."""

import pytest
import torch

from unpaired.config.networks import ResNetConfig, UNetConfig
from unpaired.core.errors import BadInput
from unpaired.methods import Batch
from unpaired.models import build_generator
from unpaired.models.resnet import checkpoint_blocks
from unpaired.training.device_faults import explained

IMAGES = torch.empty(4, 3, 256, 320)
RESNET = build_generator(ResNetConfig(width=2, blocks=1), 3, 3)


@pytest.mark.parametrize(
    ("accumulate", "advice"),
    [
        (
            1,
            "checkpoint_blocks true, or data.batch 2 with optim.accumulate 2, for the same gradient, or data.crop_size",
        ),
        (4, "checkpoint_blocks true, or data.crop_size 160"),
    ],
)
def test_too_little_memory_names_images_and_settings_that_fit(accumulate, advice):
    with pytest.raises(BadInput) as caught, explained(Batch(IMAGES, IMAGES), 7, accumulate, RESNET):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    message = str(caught.value)
    assert f"step 7 with {4 // accumulate} images of 320x256 px" in message and advice in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GiB)"),
        MemoryError(),
    ],
    ids=["cpu", "mps", "python"],
)
def test_too_little_memory_is_explained_on_every_device(error):
    with pytest.raises(BadInput, match="too little memory for step 7 .*checkpoint_blocks"):
        with explained(Batch(IMAGES, IMAGES), 7, 1, RESNET):
            raise error


def test_too_little_memory_for_a_recording_is_told_from_the_error_that_its_end_raises():
    with pytest.raises(BadInput, match="too little memory for step 4"), explained(Batch(IMAGES, IMAGES), 4, 1, RESNET):
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")


def test_a_lost_device_is_named_with_the_step_and_the_way_to_resume():
    with pytest.raises(BadInput, match=r"cpu failed at step 3 \(CUDA error: unspecified launch failure\);.*resumes"):
        with explained(Batch(IMAGES, IMAGES), 3, 1, RESNET):
            raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with ...")


def test_other_errors_pass():
    with pytest.raises(ValueError, match="mine"), explained(Batch(IMAGES, IMAGES), 1, 1, RESNET):
        raise ValueError("mine")


def test_blocks_are_named_only_where_there_are_some_that_are_kept():
    checkpointed, unet = build_generator(ResNetConfig(width=2, blocks=1), 3, 3), build_generator(UNetConfig(), 3, 3)
    checkpoint_blocks(checkpointed)
    for network in (checkpointed, unet):
        with pytest.raises(BadInput) as caught, explained(Batch(IMAGES, IMAGES), 7, 1, network):
            raise MemoryError
        assert "checkpoint_blocks" not in str(caught.value) and "set data.batch 2" in str(caught.value)
