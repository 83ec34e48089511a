"""The progress bar in terminals of two sizes."""

from __future__ import annotations

import re
import sys

import pytest

from tests.terminal import in_terminal
from unpaired.core.progress import duration

LOSSES = "gan 0.61 cycle 2.10 identity 0.98 discriminator 0.35  12.2 images/s  KID 3.2 (best 3.1 at step 2000)"
WORK = f"""
import time
from unpaired.core.progress import progress
with progress("training", 123456, 123400) as advance:
    for _ in range(56):
        advance(note={LOSSES!r})
        time.sleep(0.02)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_the_bar_keeps_step_total_and_time_left_and_shortens_the_losses(columns, rows):
    code, lines = in_terminal([sys.executable, "-c", WORK], columns, rows)
    assert code == 0 and lines
    for line in lines:
        assert len(line) <= columns
        assert re.search(r"^training .*\d{6}/123456 .*(\d:\d\d:\d\d|-:--:--)", line)
    assert "123456/123456" in lines[-1]
    assert (LOSSES in lines[-1]) == (columns == 200)
    assert columns == 200 or re.search(r"gan 0\.61 .*…$", lines[-1].rstrip())


@pytest.mark.slow
def test_a_long_title_is_shortened_before_the_numbers():
    work = WORK.replace('"training"', "'evaluating on ' + '/a/long/folder' * 9")
    _, lines = in_terminal([sys.executable, "-c", work], 80, 24)
    assert all(len(line) <= 80 and "/123456 " in line for line in lines)


def test_durations_in_words():
    assert [duration(s) for s in (45, 185, 7800)] == ["45 s", "3 min 05 s", "2 h 10 min"]
