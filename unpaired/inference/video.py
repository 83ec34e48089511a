"""Videos, frame by frame: a stopped translation resumes after the last whole segment.

Upright frames are encoded in segments, one after the other; at the end these are joined, and sound is copied.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unpaired.core.device import ieee_fp32
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256, written_whole
from unpaired.core.progress import Advance, progress
from unpaired.imaging.images import Array, DecodedImage, Pixels
from unpaired.inference import video_files
from unpaired.inference.huge import digest, translate_in_tiles
from unpaired.inference.moments import merged, moments
from unpaired.inference.options import Options
from unpaired.inference.scratch import Scratch, resumable
from unpaired.inference.tiling import translate_by
from unpaired.inference.translator import Translator
from unpaired.metrics.flicker import Flicker

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SEGMENT = 50
"""Frames of a segment: work that a killed process may have to do again."""
CUT = 40.0
"""Mean absolute change between frames, in 8-bit levels, taken for the next scene."""


@dataclass
class Smoothing:
    """InstanceNorm statistics that change slowly: s = decay * s + (1 - decay) * those of the frame."""

    decay: float
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Mean and variance by number of step."""

    def __call__(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """The statistics for one norm, whose plane is x, (1, c, h, w)."""
        mean, variance = merged(moments(x)[None])
        if number in self.kept:
            old = self.kept[number]
            mean, variance = (self.decay * a + (1 - self.decay) * b for a, b in zip(old, (mean, variance), strict=True))
        self.kept[number] = mean, variance
        return mean, variance


def translate_video(translator: Translator, source: Path, target: Path, *, smooth: float = 0.0) -> Flicker:
    """Translate one video by a model of three channels in and out; returns how much the result flickers.

    Time stamps are kept as they are, sound is copied, subtitles and other streams are named and left out. The same call
    resumes after the last whole segment. The suffix of `target` decides the container. `smooth` is the decay of the
    InstanceNorm statistics from frame to frame, 0 to below 1; 0 leaves each frame its own. Raises BadInput if the
    extra `video` is missing, a file cannot be read or written, its wide colours are not converted, or sound does not
    fit the container, and Stopped after Ctrl-C.
    """
    av = video_files.require_av()
    if not 0 <= smooth < 1:
        raise BadInput(f"smooth must be at least 0 and below 1, got {smooth}")
    if smooth:
        translator.layers  # noqa: B018, refused before any work
    if (translator.channels_in, translator.channels_out) != (3, 3):
        have = f"{translator.channels_in} to {translator.channels_out}"
        raise BadInput(f"{source}: videos need a model of 3 channels to 3, found {have}")
    if source.resolve() == target.resolve():
        raise BadInput(f"{target}: would overwrite the input; give another output")
    target.parent.mkdir(parents=True, exist_ok=True)
    bundle = translator.bundle
    model = digest(bundle.translators[translator.direction]) if bundle else translator.direction
    settings = [1, file_sha256(source), translator.runtime.label, model, smooth]
    try:
        with resumable(target, settings, BadInput, av.FFmpegError) as scratch:
            with av.open(str(source)) as container:
                if not container.streams.video:
                    raise BadInput(f"{source}: holds no video")
                video_files.check_sound(av, container, target)
                frames = _Frames(av, translator, container, scratch, smooth, target.suffix.lower())
                if frames.colours:
                    print(f"{source}: {frames.colours} is converted to SDR BT.709", file=sys.stderr)
                flicker = frames.run()
            video_files.join(av, source, sorted(scratch.folder.glob("*.nut")), target)
    except (BadInput, av.FFmpegError) as error:
        words = " ".join(str(error).split())
        raise BadInput(words if str(source) in words or str(target) in words else f"{source}: {words}") from error
    return flicker


class _Frames:
    """The frames of one video on their way into segments."""

    before: tuple[Pixels, Pixels] | None = None
    """The last frame and its translation."""

    def __init__(
        self, av: Any, translator: Translator, container: InputContainer, scratch: Scratch, smooth: float, suffix: str
    ) -> None:
        self.av, self.translator, self.container, self.scratch, self.suffix = av, translator, container, scratch, suffix
        self.stream = container.streams.video[0]
        self.colours = video_files.wide_colours(self.stream)
        self.smoothing = Smoothing(smooth) if smooth else None
        self.flicker = Flicker()

    def run(self) -> Flicker:
        """Make every segment that is not there yet."""
        stream = self.stream
        stream.thread_type = "AUTO"
        done = self._resume()
        total = stream.frames or int((stream.duration or 0) * (stream.time_base or 0) * (stream.average_rate or 0))
        with progress(f"translating {self.translator.direction}", max(total, 1), min(done * SEGMENT, total)) as advance:
            waiting: list[VideoFrame] = []
            for number, frame in enumerate(self.container.decode(stream)):
                if number < done * SEGMENT:
                    continue
                if frame.pts is None:  # a bare stream of frames, without a clock
                    frame.pts = round(number / (stream.average_rate or 25) / (stream.time_base or Fraction(1, 90_000)))
                waiting.append(frame)
                if len(waiting) == SEGMENT:
                    self._segment(done, waiting, advance)
                    done, waiting = done + 1, []
            if waiting:
                self._segment(done, waiting, advance)
            elif not done:
                raise BadInput("no frame could be decoded")
        return self.flicker

    def _segment(self, number: int, frames: list[VideoFrame], advance: Advance) -> None:
        path = self.scratch.folder / f"{number:06d}.nut"
        codec, options = video_files.CODECS.get(self.suffix, video_files.USUAL)
        with written_whole(path) as part, self.av.open(str(part), "w", format="nut") as out:
            made = None
            for frame in frames:
                pixels = self._translated(video_files.upright(frame, self.colours))
                if made is None:
                    made = video_files.video_stream(out, codec, dict(options), pixels, self.stream)
                for packet in made.encode(video_files.encodable(self.av, pixels, frame, codec)):
                    out.mux(packet)
                advance(1, f"flicker {self.flicker.levels:.2f}" if self.flicker.count else None)
            assert made is not None
            for packet in made.encode():
                out.mux(packet)
        self._remember(number)

    def _translated(self, pixels: Pixels) -> Pixels:
        if self.before and np.abs(pixels.astype(np.int16) - self.before[0]).mean() > CUT:
            self.before = None
            if self.smoothing:
                self.smoothing.kept.clear()
        decoded = DecodedImage(pixels)
        if self.smoothing:
            out = self.translator.finish(decoded, self._smoothed(self.translator.prepare(decoded))).pixels
        elif tile := Options().tiles(self.translator, *pixels.shape[:2]):
            out = translate_in_tiles(self.translator, decoded, self.scratch.folder, tile).pixels
        else:
            out = self.translator.translate_decoded(decoded).pixels
        if self.before:
            self.flicker.add(self.before[0], pixels, self.before[1], out)
        self.before = pixels, out
        return out

    def _smoothed(self, image: Array) -> Array:
        assert self.smoothing is not None
        with ieee_fp32(self.translator.device):
            return translate_by(self.translator.layers, torch.from_numpy(image)[None], self.smoothing)[0].numpy()

    def _remember(self, number: int) -> None:
        """What the next segment depends on, beside this one."""
        assert self.before is not None
        arrays = {"before": self.before[0], "out_before": self.before[1]}
        arrays["flicker"] = np.array([self.flicker.total, self.flicker.count])
        for step, (mean, variance) in (self.smoothing.kept if self.smoothing else {}).items():
            arrays[f"norm-{step}"] = np.stack([mean.numpy(), variance.numpy()])
        with written_whole(self.scratch.folder / f"{number:06d}.npz") as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _resume(self) -> int:
        """How many segments are there, whole; takes up the state behind the last of them."""
        done = 0
        while all((self.scratch.folder / f"{done:06d}{suffix}").exists() for suffix in (".nut", ".npz")):
            done += 1
        if not done:
            return 0
        with np.load(self.scratch.folder / f"{done - 1:06d}.npz") as arrays:
            self.before = arrays["before"], arrays["out_before"]
            self.flicker = Flicker(float(arrays["flicker"][0]), int(arrays["flicker"][1]))
            norms = [name for name in arrays.files if name.startswith("norm-")]
            if self.smoothing:
                pairs = {int(name.removeprefix("norm-")): torch.from_numpy(arrays[name]) for name in norms}
                self.smoothing.kept = {step: (pair[0], pair[1]) for step, pair in pairs.items()}
        return done
