"""Ten steps of a trainer in double precision, alone or as one of several processes; prints what it ends with.

python tests/training/equal_steps.py DATA NORM BATCH ACCUMULATE OUT.safetensors DEVICE
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.data_sets import tiny
from unpaired.data.pairing import Portion, UnpairedImages
from unpaired.experiment import build_method
from unpaired.methods import Batch
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer


def main(data: str, norm: str, batch: str, accumulate: str, out: str, device: str) -> None:
    settings = {
        "method__generator__norm": norm,
        "method__discriminator__norm": norm,
        "method__discriminator__layers": 2,
    }
    settings |= {"method__history": 0, "data__batch": int(batch), "optim__accumulate": int(accumulate)}
    settings |= {"runtime__device": device}
    experiment = tiny(Path(data), **settings)
    engine = Engine(experiment.runtime)
    with engine.processes.end_together():
        torch.manual_seed(0)
        trainer = Trainer(build_method(experiment).double(), experiment.optim, engine)
        part = Portion(engine.processes.index, engine.processes.count, int(accumulate))
        seen = []
        for k in UnpairedImages(experiment.data, 0, portion=part).batches(0, 10):
            trainer.train_step(Batch(engine.put(k.x.double()), engine.put(k.y.double()), weight=k.share))
            seen += [file.name for file in k.files[: len(k.x)] if k.share]
        print("seen", *seen)
        if engine.processes.first:
            save_file({key: v.contiguous() for key, v in trainer.state().items() if key.startswith("network/")}, out)
        engine.processes.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
