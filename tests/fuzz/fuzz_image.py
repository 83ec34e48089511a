"""Coverage-guided fuzzing of the image reader: anything but pixels or BadInput is a find.

python -m tests.fuzz.fuzz_image -max_total_time=600
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unpaired", "PIL", "tifffile"]):
    import tifffile  # noqa: F401, what the reader imports only when it is asked is not instrumented
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    from unpaired.core.errors import BadInput
    from unpaired.imaging.images import read_image

from tests import corpus

MOST = 2**20
"""Pixels: what is larger only takes time."""


def one(data: bytes) -> None:
    try:
        pixels = read_image(data, MOST).pixels
    except BadInput as error:
        assert str(error).isprintable(), str(error)
    else:
        assert pixels.ndim == 3 and pixels.dtype in ("uint8", "uint16", "float32")


def main() -> None:
    seeds = Path(tempfile.mkdtemp(prefix="fuzz-image-"))
    corpus.write_good(seeds, 10)
    for name, content in (*corpus.hostile(), *corpus.odd()):
        (seeds / name).write_bytes(content)
    atheris.Setup([sys.argv[0], "-max_len=65536", "-rss_limit_mb=2048", *sys.argv[1:], str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
