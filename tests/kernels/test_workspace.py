from threading import Thread

import torch
from torch.testing import assert_close

from unpaired.models.kernels.cpu.winograd import LARGE
from unpaired.models.kernels.cpu.workspace import MOST, Workspace


def test_a_place_is_used_again_by_whatever_fits():
    room, like = Workspace(), torch.empty(0)
    first = room.take("a", (4, 6), like)
    assert room.take("a", (2, 3), like).data_ptr() == first.data_ptr()
    assert room.take("b", (4, 6), like).data_ptr() != first.data_ptr()
    assert room.take("a", (4, 6), like.double()).dtype == torch.float64
    larger = room.take("a", (5, 6), like)
    assert larger.shape == (5, 6) and room.take("a", (4, 6), like).data_ptr() == larger.data_ptr()


def test_large_places_are_not_kept():
    room, like = Workspace(), torch.empty(0, dtype=torch.uint8)
    assert room.take("a", (MOST + 1,), like).shape == (MOST + 1,)
    assert not room.places
    room.take("a", (MOST,), like)
    assert len(room.places) == 1


def test_each_thread_has_its_own():
    room, found = Workspace(), []
    mine = room.take("a", (8,), torch.empty(0))
    other = Thread(target=lambda: found.append(room.take("a", (8,), torch.empty(0))))
    other.start()
    other.join()
    assert found[0].data_ptr() != mine.data_ptr()


def test_what_inference_took_training_may_write_to():
    def convolve():
        return LARGE.convolve(torch.ones(1, 10, 10, 2), torch.ones(3, 2, 3, 3))

    found = []

    def run():  # a thread of its own has no place yet
        with torch.inference_mode():
            found.append(convolve())
        found.append(convolve())

    other = Thread(target=run)
    other.start()
    other.join()
    assert_close(found[0], torch.full((1, 8, 8, 3), 18.0))
    assert torch.equal(found[0], found[1])


def test_a_result_of_a_single_tile_is_not_overwritten_by_the_next_layer():
    x, weight = torch.ones(1, 6, 6, 2), torch.ones(3, 2, 3, 3)
    first = LARGE.convolve(x, weight)
    LARGE.convolve(-x, weight)
    assert_close(first, torch.full((1, 4, 4, 3), 18.0))
