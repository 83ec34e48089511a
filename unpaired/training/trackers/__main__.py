"""The process of one tracker: reads lines of JSON from standard input, of which the first describes the run."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unpaired.experiment import flattened


class _WandB:
    """Weights & Biases, and trackio, which has the same interface; configured by their own environment variables."""

    def __init__(self, module: Any, start: Mapping[str, Any], **options: Any) -> None:
        self.module = module
        self.run = module.init(project=start["project"], config=start["settings"], resume="allow", **options)

    def log(self, step: int, values: dict[str, float]) -> None:
        self.module.log(values, step=step)

    def image(self, step: int, name: str, path: str) -> None:
        self.module.log({f"samples/{name}": self.module.Image(path)}, step=step)

    def finish(self) -> None:
        self.module.finish()


class _MLflow:
    """MLflow, at MLFLOW_TRACKING_URI."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        import mlflow

        self.client = mlflow.MlflowClient()
        found = self.client.get_experiment_by_name(start["project"])
        experiment = found.experiment_id if found else self.client.create_experiment(start["project"])
        before = self.client.search_runs([experiment], f"tags.unpaired = '{start['id']}'")
        tags = {"unpaired": start["id"]}
        self.run = (before[0] if before else self.client.create_run(experiment, tags=tags, run_name=start["id"])).info
        if not before:
            for key, value in flattened(start["settings"]).items():
                self.client.log_param(self.run.run_id, key, str(value)[:500])

    def log(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.run.run_id, metrics=metrics)

    def image(self, step: int, name: str, path: str) -> None:
        self.client.log_artifact(self.run.run_id, path, "samples")

    def finish(self) -> None:
        self.client.set_terminated(self.run.run_id)


def _open(name: str, start: Mapping[str, Any]) -> _WandB | _MLflow:
    if name == "mlflow":
        return _MLflow(start)
    if name == "trackio":
        import trackio  # pyright: ignore[reportMissingImports]

        return _WandB(trackio, start, name=start["id"])
    import wandb

    return _WandB(wandb, start, id=start["id"], name=start["id"], dir=start["run"])


def main(name: str) -> None:
    """Send the lines to the service until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the training, which then closes the pipe
    lines = map(json.loads, sys.stdin)
    tracker = _open(name, next(lines))
    for line in lines:
        if "image" not in line:
            tracker.log(line["step"], line["values"])
        elif Path(line["image"]).is_file():
            tracker.image(line["step"], line["name"], line["image"])
    tracker.finish()


if __name__ == "__main__":
    main(sys.argv[1])
