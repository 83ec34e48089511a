"""What it takes to import the package and to ask each command for its help, each in a process of its own.

    python -m benchmarks.startup [--repeats 5]

Processor seconds, which other programs hardly change, and seconds by the clock: the best of a few, files in the
system's cache. The last line is JSON with the slowest command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from unpaired.cli import COMMANDS


def taken(args: list[str], repeats: int) -> tuple[float, float]:
    """(processor seconds, seconds) of the interpreter with these arguments."""
    runs = []
    for _ in range(repeats):
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, *args], check=True, capture_output=True)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        runs.append((used, time.perf_counter() - start))
    return min(used for used, _ in runs), min(clock for _, clock in runs)


def main() -> None:
    """Measure every command's help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    helps = {name: ["-m", "unpaired", *name.split(), "--help"] for name in ["", *COMMANDS, "train earth"]}
    found = {name: taken(args, repeats) for name, args in {"import": ["-c", "import unpaired"], **helps}.items()}
    for name, (used, clock) in found.items():
        print(f"{name or '--help':<20} {used:6.2f} s  {clock:6.2f} s by the clock", file=sys.stderr)
    slowest = max(COMMANDS, key=lambda name: found[name][0])
    result = {"case": "startup", "slowest": slowest, "cpu_s": round(found[slowest][0], 3)}
    others = {"import_cpu_s": found["import"], "preset_help_cpu_s": found["train earth"]}
    print(json.dumps(result | {name: round(used, 3) for name, (used, _) in others.items()}))


if __name__ == "__main__":
    main()
