"""The defences behind docs/reliability.md, each taken out of a copy of the code to show that its test fails.

    python -m tests.faults.mutations            run all: each named test must fail; a line for each
    python -m tests.faults.mutations json shard only those whose promise, defence or test contains one of these words
    python -m tests.faults.mutations --table    the table of docs/reliability.md

torch is imported once and the process forks for each mutation, so that one takes little longer than its test.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.defences import mutations
from tests.faults.defences.mutation import Mutation

PROJECT = Path(__file__).parents[2]
WARM = """hypothesis imagecodecs jaxtyping jinja2 numpy PIL.Image pydantic pytest rich.progress
safetensors.torch scipy.linalg skimage.data tensorboardX tifffile torch._dynamo torch.distributed yaml""".split()
"""Imported before the forks; nothing of this package or its tests."""
OPTIONS = "-x -rf -m= --tb=line -p no:cacheprovider -p pytest_timeout".split()


def table() -> str:
    """All of them in Markdown, as docs/reliability.md holds them."""
    rows = ["| promise | defence taken out | test that fails |", "|---|---|---|"]
    for name, those in mutations().items():
        for each in those:
            path, _, test = each.test.partition("::")
            rows.append(f"| {name} | {each.defence} | `{Path(path).name}::{test}` |")
    return "\n".join(rows)


def noticed(copy: Path, mutation: Mutation) -> tuple[bool, str]:
    """Whether the named test fails without the defence; and the output of pytest."""
    path, text = mutation.mutated(copy)
    before = path.read_text(encoding="utf-8")
    compiled = Path(importlib.util.cache_from_source(str(path)))
    try:
        path.write_text(text, encoding="utf-8")
        compiled.unlink(missing_ok=True)
        code, output = _tested(copy, mutation)
    finally:
        path.write_text(before, encoding="utf-8")
        compiled.unlink(missing_ok=True)
    failed = any(line.startswith(f"FAILED {mutation.test}") for line in output.splitlines())
    return code == 1 and failed, output


def _tested(copy: Path, mutation: Mutation) -> tuple[int, str]:
    """pytest's exit code and output for one test of the copy, in a child of this warm process."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _child(copy, mutation, output.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _child(copy: Path, mutation: Mutation, output: int) -> None:
    import pytest

    code = 97
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "unpaired")]:
            del sys.modules[name]
        os.chdir(copy)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other plugins take longer to load than a test
        code = pytest.main([*OPTIONS, f"--timeout={mutation.seconds}", mutation.test])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _copy(place: Path) -> Path:
    """The code, its tests and what they read, without what git does not know."""
    for name in ("unpaired", "tests", "benchmarks", "examples", "docs"):
        shutil.copytree(PROJECT / name, place / name)
    for path in PROJECT.iterdir():
        if path.is_file():
            shutil.copy(path, place)
    return place


def main(words: list[str]) -> None:
    if words == ["--table"]:
        print(table())
        return
    for name in WARM:
        importlib.import_module(name)
    chosen = [
        (promise, each)
        for promise, those in mutations().items()
        for each in those
        if not words or any(word in f"{promise} {each.defence} {each.test}" for word in words)
    ]
    survived, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = _copy(Path(folder))
        for number, (promise, each) in enumerate(chosen, 1):
            start = time.monotonic()
            found, output = noticed(copy, each)
            result = f"{'noticed' if found else 'SURVIVED'} {time.monotonic() - start:.0f} s"
            print(f"{number}/{len(chosen)} {result}: {promise}: {each.defence}", flush=True)
            if not found:
                survived += 1
                print(output[-1500:], flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} defences noticed, {time.monotonic() - began:.0f} s")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main(sys.argv[1:])
