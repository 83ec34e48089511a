"""Two pieces of work at once: at the same time, on half of the threads, as the one who asked would do them."""

from threading import Barrier, current_thread

import pytest
import torch

from unpaired.core.parallel import both, sequential


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_both_are_under_way_at_the_same_time_with_half_of_the_threads_each():
    meeting = Barrier(2, timeout=10)

    def piece():
        meeting.wait()
        return current_thread(), torch.get_num_threads()

    (first, threads), (second, others) = both(piece, piece)
    assert first is not second and threads == others == 2
    assert torch.get_num_threads() == 4


def test_both_know_of_gradients_and_of_autocast():
    weight = torch.ones(2, 2, requires_grad=True)

    def piece():
        product = weight @ torch.ones(2, 2)
        return product.dtype, product.requires_grad

    for gradients in (False, True):
        for half in (False, True):
            with torch.set_grad_enabled(gradients), torch.autocast("cpu", torch.bfloat16, enabled=half):
                assert both(piece, piece) == ((torch.bfloat16 if half else torch.float32, gradients),) * 2


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_waits_for_the_other_and_gives_back_the_threads(which):
    ended = []

    def fails():
        raise ValueError("one")

    def takes_its_time():
        torch.ones(300, 300).mm(torch.ones(300, 300))
        ended.append(True)

    pieces = (fails, takes_its_time) if which == 0 else (takes_its_time, fails)
    with pytest.raises(ValueError, match="one"):
        both(*pieces)
    assert ended and torch.get_num_threads() == 4


def test_in_turn_one_follows_the_other_on_the_same_half_of_the_threads():
    def piece():
        return current_thread(), torch.get_num_threads()

    with sequential():
        assert both(piece, piece) == ((current_thread(), 2),) * 2
    with sequential(False):
        (_, threads), (other, others) = both(piece, piece)
    assert other is not current_thread() and threads == others == 2
