"""`translate --cluster`: many images on many machines, through Ray Data.

Tasks decode files, actors of one model each translate, other tasks encode. Every image is written beside its place and
renamed, so after a lost worker, node or driver the same command makes only what is missing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.checkpoints.bundle import bundle_file
from unpaired.config import Direction
from unpaired.core.errors import BadInput, naming
from unpaired.core.files import file_sha256, write_text
from unpaired.core.progress import progress
from unpaired.core.safe_text import read_json
from unpaired.imaging.images import DecodedImage, read_image, write_image
from unpaired.inference.files import Job, conclude, jobs_of, outcome_of
from unpaired.inference.translator import Translator

MARK = ".unpaired.json"
"""In the output folder: the model and direction of its images, so that another model's are not taken for done."""
DEVICES = ("auto", "cpu", "cuda", "mps")
Row = dict[str, Any]


def translate_on_cluster(
    model: Path,
    source: str,
    out: Path,
    direction: Direction | None = None,
    address: str = "local",
    batch: int = 1,
    device: str = "auto",
    report: Path | None = None,
) -> None:
    """Translate a folder or pattern by actors: one for each GPU of the cluster, or each second CPU where it has none.

    Every machine sees the paths of the model (a run, a bundle or an exported file), of the images and of `out`. The
    address is that of a running cluster, `auto` for the one this machine belongs to, or `local`. The device is auto,
    cpu, cuda or mps: auto takes the cluster's cards where it has some, and Ray gives each actor a card. The other
    arguments are those of `translate_files`. Raises BadInput if there is nothing to translate, no cluster at that
    address, no Ray or no such device, if `out` holds translations of another model, and if files could not be
    translated; the others are written.
    """
    if device not in DEVICES:
        raise BadInput(f"--device {device}: with --cluster expected {', '.join(DEVICES)}; Ray assigns the cards")
    jobs = jobs_of(source, out, None)
    direction = Translator.load(model, direction, device="cpu").direction  # refuses a wrong model in one line
    _claim(out, model, direction)
    missing = [job for job in jobs if not job.target.is_file()]
    failed: dict[str, str] = {}
    with progress(f"translating {direction}", len(jobs), len(jobs) - len(missing)) as advance:
        if missing:
            with _cluster(address):
                for row in _rows(missing, model, direction, batch, device):
                    failed |= {row["source"]: row["error"]} if row["error"] else {}
                    advance()
    conclude([outcome_of(job, failed.get(str(job.source))) for job in jobs], report)


def _claim(out: Path, model: Path, direction: Direction) -> None:
    mark = {"model_sha256": file_sha256(bundle_file(model)), "direction": direction}
    path = out / MARK
    out.mkdir(parents=True, exist_ok=True)
    if path.exists() and read_json(path) != mark:
        raise BadInput(f"{out}: holds translations of another model or direction; give another folder or empty it")
    write_text(path, json.dumps(mark) + "\n")


def _rows(jobs: list[Job], model: Path, direction: Direction, batch: int, device: str) -> Iterator[Row]:
    """What became of each job, as they finish."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpus = int(ray.cluster_resources().get("GPU", 0)) if device in ("auto", "cuda") else 0
    if device == "cuda" and not gpus:
        raise BadInput("--device cuda: the cluster has no GPU; use --device auto")
    actors = gpus or max(1, int(ray.cluster_resources().get("CPU", 2)) // 2)
    blocks = min(len(jobs), max(4 * actors, len(jobs) // 64))
    items = [{"source": str(job.source), "target": str(job.target)} for job in jobs]
    place = "cuda" if gpus else "cpu" if device == "auto" else device
    rows = (
        ray.data.from_items(items, override_num_blocks=blocks)
        .map(_decode, num_cpus=0.5)
        .map_batches(
            _Model,
            fn_constructor_args=(str(model), direction, batch, place),
            batch_size=max(4, batch),
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_gpus=1 if gpus else 0,
            num_cpus=0 if gpus else 1,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .map(_encode, num_cpus=0.5)
    )
    return iter(rows.iter_rows())


def _decode(row: Row) -> Row:
    """Read one file; the row of one that cannot be read says why."""
    try:
        return {**row, "image": read_image(Path(row["source"])), "error": ""}
    except BadInput as error:
        return {**row, "image": None, "error": str(error)}


class _Model:
    """One actor: a model in memory."""

    def __init__(self, model: str, direction: Direction, batch: int, device: str) -> None:
        self.translator, self.batch = Translator.load(model, direction, device=device), batch

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Translate the images of a batch; rows without one go through."""
        errors, arrays = [str(error) for error in rows["error"]], {}
        for k, decoded in enumerate(rows["image"]):
            if isinstance(decoded, DecodedImage):
                try:
                    arrays[k] = self.translator.prepare(decoded)
                except BadInput as error:
                    errors[k] = naming(rows["source"][k], error)
        column = np.empty(len(errors), object)  # np.array would try to join images into one array
        for k, image in zip(arrays, self.translator.batches(list(arrays.values()), self.batch), strict=True):
            column[k] = self.translator.finish(rows["image"][k], image)
        return {"source": list(rows["source"]), "target": list(rows["target"]), "image": column, "error": errors}


def _encode(row: Row) -> Row:
    """Write one translation."""
    decoded, error = row["image"], row["error"]
    if isinstance(decoded, DecodedImage):
        target = Path(row["target"])
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(decoded, target)
        except BadInput as refused:
            error = f"{row['source']}: {refused}"
    return {"source": row["source"], "error": error}


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Inside, Ray is connected; an earlier connection is kept."""
    try:
        import ray
    except ImportError as error:
        raise BadInput("translate --cluster needs Ray; pip install 'unpaired[cluster]'") from error
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what newer versions will do, without the warning
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise BadInput(f"--cluster {address}: no Ray cluster there ({words}); `ray start --head` begins one") from error
    try:
        yield
    finally:
        ray.shutdown()
        sys.stderr.flush()
