"""Flicker of a translated clip with and without smoothing: a still scene under a light that changes.

    python -m benchmarks.flicker MODEL IMAGE

A camera that never moves: the image, brighter and darker as clouds pass, grain on top. One JSON line.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from unpaired import Translator
from unpaired.imaging.images import Pixels, read_image
from unpaired.inference.video import translate_video

FRAMES, SMOOTH = 40, (0.0, 0.5, 0.8, 0.9, 0.95)


def main() -> None:
    """Make the clip once, translate it with each decay."""
    model, image = Path(sys.argv[1]), Path(sys.argv[2])
    translator = Translator.load(model, "AtoB", "torch")
    levels = {}
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stderr(io.StringIO()):
        clip = make_clip(Path(root) / "clip.mkv", read_image(image).pixels)
        for smooth in SMOOTH:
            out = Path(root) / f"out{smooth}.mkv"
            levels[smooth] = round(translate_video(translator, clip, out, smooth=smooth).levels, 3)
    print(json.dumps({"case": "flicker", "frames": FRAMES, "levels_by_smooth": levels}))


def make_clip(path: Path, pixels: Pixels) -> Path:
    """A quarter of the scene changes its light from frame to frame; the rest stands still."""
    import av

    rng = np.random.default_rng(0)
    height, width, _ = pixels.shape
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=20)
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        for number in range(FRAMES):
            frame = pixels.astype(np.float32)
            frame[: height // 2, : width // 2] *= 0.55 + 0.45 * np.sin(0.9 * number) ** 2 + rng.normal(0, 0.03)
            shown = av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(shown))
        out.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
