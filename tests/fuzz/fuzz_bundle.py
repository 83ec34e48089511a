"""Coverage-guided fuzzing of the bundle's reader: anything but a bundle or BadInput is a find.

python -m tests.fuzz.fuzz_bundle -max_total_time=600
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unpaired", "json", "yaml"]):
    from unpaired.checkpoints.bundle import load_bundle
    from unpaired.core.errors import BadInput

from tests.data_sets import make_model
from tests.faults.hostile_weights import Good, weights

PLACE = Path(tempfile.mkdtemp(prefix="fuzz-bundle-"))


def one(data: bytes) -> None:
    path = PLACE / "bundle.safetensors"
    path.write_bytes(data)
    try:
        load_bundle(path)
    except BadInput as error:
        assert str(error).isprintable(), str(error)


def main() -> None:
    seeds = PLACE / "seeds"
    seeds.mkdir()
    model = make_model(PLACE / "good")
    (seeds / "good").write_bytes(model.read_bytes())
    for name, content in weights(Good.of(model), "true").items():
        if len(content) < 2**17:
            (seeds / name[:100]).write_bytes(content)
    atheris.Setup([sys.argv[0], "-max_len=131072", "-rss_limit_mb=2048", *sys.argv[1:], str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
