"""How long the command line takes to answer; other work on the machine would be measured with it."""

import subprocess
import sys

import pytest

SHARE = 0.6
"""Of the processor time that importing torch alone takes on the same machine; 0.2 to 0.45 on machines seen so far."""
HELP = (
    "import sys, time; from unpaired.cli import run\n"
    "try: run(sys.argv[1:])\nexcept SystemExit: pass\n"
    "print(time.process_time(), 'torch' in sys.modules, file=sys.stderr)"
)
TORCH = "import sys, time, torch; print(time.process_time(), True, file=sys.stderr)"


def seconds(program, *argv):
    """Processor time of a fresh process, whether it loaded torch, and what it printed."""
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, check=False)
    spent, torch_loaded = done.stderr.split()
    return float(spent), torch_loaded == "True", done.stdout


@pytest.mark.parametrize("argv", [["train", "--help"], ["train", "earth", "--help"], ["train", "earth", "--help-all"]])
def test_help_takes_a_moment_and_loads_no_torch(argv):
    helped, imported = float("inf"), float("inf")
    for _ in range(6):  # the least of several, in turn: other programs only ever add time
        spent, torch_loaded, said = seconds(HELP, *argv)
        assert not torch_loaded and "--data" in said
        helped, imported = min(helped, spent), min(imported, seconds(TORCH)[0])
        if helped < SHARE * imported:
            break
    assert helped < SHARE * imported
