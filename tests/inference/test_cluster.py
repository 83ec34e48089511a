"""`translate --cluster`: the same images and the same report as one process, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.data_sets import make_model

ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
IMAGES, BAD = 60, 2
PATIENCE = 240.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("cluster") / "run")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A tree of small images of several sizes, two of them none."""
    root = tmp_path_factory.mktemp("images")
    for k in range(IMAGES):
        side = 16 + 4 * (k % 3)
        levels = np.random.default_rng(k).integers(0, 256, (side, 16, 3), np.uint8)
        path = root / f"{k % 4}" / f"{k:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(levels).save(path)
    for k in range(BAD):
        (root / f"bad{k}.png").write_text("no image")
    return root


@pytest.fixture(scope="module")
def alone(model, images, tmp_path_factory):
    """What one process makes of them."""
    out = tmp_path_factory.mktemp("alone")
    code, _ = unpaired("translate", model, images, out / "out", "--report", out / "report.jsonl")
    assert code == 2  # two files are no images
    return out


def unpaired(*words):
    done = subprocess.run(
        [sys.executable, "-m", "unpaired", *map(str, words)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=PATIENCE,
    )
    return done.returncode, done.stderr


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def report(path):
    """Its rows, with the translations named within their own folder."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {**row, "written": row["written"] and "/".join(Path(row["written"]).parts[-2:]).removeprefix("out/")}
        for row in rows
    ]


@pytest.fixture
def cluster():
    """Three nodes; `lose()` takes one away."""
    nodes = subprocess.Popen(
        [sys.executable, "-m", "tests.inference.ray_nodes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
    )
    assert nodes.stdin and nodes.stdout
    nodes.address = nodes.stdout.readline().strip()
    try:
        yield nodes
    finally:
        nodes.stdin.close()
        nodes.wait(60)
        nodes.stdout.close()


def test_a_node_an_actor_and_the_driver_are_lost_and_the_images_are_those_of_one_process(
    cluster, model, images, alone, tmp_path
):
    out, said = tmp_path / "out", tmp_path / "report.jsonl"
    words = ["translate", model, images, out, "--cluster", cluster.address, "--report", said]
    driver = subprocess.Popen([sys.executable, "-m", "unpaired", *map(str, words)], env=ENVIRONMENT)
    wait_for(out, 3, driver)
    kill_an_actor()
    wait_for(out, 10, driver)
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "lost\n"
    wait_for(out, 14, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait(60)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(before) < IMAGES  # killed midway, or this shows nothing
    code, stderr = unpaired(*words)
    assert code == 2 and f"{BAD} of {IMAGES + BAD} files could not be translated" in stderr
    assert contents(out) == contents(alone / "out")
    assert report(said) == report(alone / "report.jsonl")
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())  # what was there is not made again


def test_another_models_translations_are_not_taken_for_done(model, images, tmp_path):
    (tmp_path / ".unpaired.json").write_text('{"model_sha256": "other", "direction": "AtoB"}')
    code, stderr = unpaired("translate", model, images, tmp_path, "--cluster", "local")
    assert code == 2 and "holds translations of another model" in stderr


def test_a_cluster_that_is_not_there_is_said_in_one_line(model, images, tmp_path):
    code, stderr = unpaired("translate", model, images, tmp_path / "out", "--cluster", "127.0.0.1:9")
    assert code == 2 and stderr.count("\n") <= 2 and "no Ray cluster there" in stderr


def wait_for(out, count, driver):
    """Until so many images are there."""
    end = time.monotonic() + PATIENCE
    while len(list(out.rglob("*.png"))) < count:
        assert driver.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def kill_an_actor():
    actors = [each for each in psutil.process_iter(["cmdline"]) if "MapWorker" in " ".join(each.info["cmdline"] or [])]
    assert actors
    actors[0].kill()
