"""Stops on request, held back while a library imports."""

import signal

import pytest

from unpaired.core.errors import Stopped
from unpaired.core.signals import held_back, stop_on_request


def test_a_stop_that_is_held_back_comes_at_the_end_whatever_happened_inside():
    for error in (None, RuntimeError("half of a module")):
        done = []
        with pytest.raises(Stopped, match="stopped"), stop_on_request(), held_back():
            signal.raise_signal(signal.SIGINT)
            done.append(True)
            if error:
                raise error
        assert done


def test_a_second_signal_ends_the_process_at_once():
    with pytest.raises(SystemExit) as caught, stop_on_request(), held_back():
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
