"""Video files by PyAV (FFmpeg): frames as upright SDR images, streams for translated ones, sound and containers."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.core.files import written_whole
from unpaired.imaging.hdr import LUMA, UNTAGGED, WideColours, rgb_of
from unpaired.imaging.images import DecodedImage, Pixels
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.page_writers import write_pages
from unpaired.imaging.pixels import Layout

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

HD_LINES = 720
"""Untagged videos of so many lines are read as BT.709, smaller ones as BT.601, as players do."""
BT601 = 5
FULL_RANGE = 2
"""Of Y'CbCr, by FFmpeg's number."""
BT709 = 1
"""In which the output's colours are written, and said to be, by the numbers of ITU-T H.273."""
USUAL = ("libx264", {"crf": "17", "bf": "0"})
CODECS = {".webm": ("libvpx-vp9", {"crf": "24", "b": "0"}), ".gif": ("ffv1", {})}
"""Codec and its settings by the suffix of the output, unless the usual one."""
MUXERS = {".mkv": "matroska", ".m4v": "mp4", ".ts": "mpegts", ".mts": "mpegts", ".mpg": "mpeg", ".ogv": "ogg"}
"""FFmpeg's names of containers that are not the suffix itself."""


def require_av() -> Any:
    """The module of PyAV; raises BadInput if it is not installed."""
    try:
        import av
        from av import logging
    except ImportError as error:
        raise BadInput("videos need PyAV: pip install 'unpaired[video]'") from error
    logging.set_level(logging.PANIC)  # errors are raised, in one line
    return av


def upright(frame: VideoFrame, colours: WideColours | None = None) -> Pixels:
    """(h, w, 3) of uint8 in SDR, turned as a player would turn it; wide colours are converted to BT.709."""
    if colours:
        pixels = _sdr(frame, colours)
    else:
        matrix = int(frame.colorspace)
        if matrix == UNTAGGED:
            matrix = BT709 if frame.height >= HD_LINES else BT601
        pixels = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def wide_colours(stream: Any) -> WideColours | None:
    """The HDR or wide-gamut colours of a stream; None where it is SDR."""
    context = stream.codec_context
    return WideColours.of(int(context.color_trc), int(context.color_primaries), int(context.colorspace))


def _sdr(frame: VideoFrame, colours: WideColours) -> Pixels:
    """(h, w, 3) of uint8 in BT.709; the matrix is applied here, since that of swscale is off by two 10-bit levels."""
    if frame.format.is_rgb:
        return colours.to_sdr(frame.to_ndarray(format="rgb48le").astype(np.float32) / 65535)
    if colours.matrix not in LUMA:
        raise BadInput(f"{colours} in {frame.format.name} is tagged as RGB; correct the tag of its matrix")
    matrix = colours.matrix  # the same on both sides: only the bits and the subsampling change
    deep = frame.reformat(format="yuv444p16le", src_colorspace=matrix, dst_colorspace=matrix)
    ycbcr = deep.to_ndarray(channel_last=True)
    full = int(frame.color_range) == FULL_RANGE
    return colours.to_sdr(rgb_of(ycbcr, colours.matrix, full, frame.format.components[0].bits))


def encodable(av: Any, pixels: Pixels, like: VideoFrame, codec: str) -> VideoFrame:
    """A translated frame in BT.709 and the codec's layout, at the time of the frame it comes from."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(format=_format(codec, pixels), dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, frame.time_base = like.pts, like.time_base
    return frame


def _format(codec: str, pixels: Pixels) -> str:
    if codec == "ffv1":
        return "bgr0"
    even = pixels.shape[0] % 2 == 0 and pixels.shape[1] % 2 == 0
    return "yuv420p" if even else "yuv444p"


def video_stream(out: Any, codec: str, options: dict[str, str], pixels: Pixels, like: Any) -> Any:
    """A stream of `out` for frames of the size of `pixels`, with the rate and clock of the stream `like`."""
    stream = out.add_stream(codec, rate=like.average_rate or Fraction(25), options=options)
    stream.height, stream.width = pixels.shape[:2]
    stream.pix_fmt = _format(codec, pixels)
    stream.time_base = stream.codec_context.time_base = like.time_base
    if codec != "ffv1":
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
    return stream


def check_sound(av: Any, container: InputContainer, target: Path) -> None:
    """Raise BadInput unless the container of `target` takes the sound as it is; print what else is left out."""
    probe = target.with_name(f".{target.name}.probe")
    try:
        with av.open(str(probe), "w", format=_muxer(av, target)) as out:
            fitting = out.supported_codecs
    finally:
        probe.unlink(missing_ok=True)
    for stream in container.streams.audio:
        if stream.codec_context.name not in fitting and stream.codec_context.codec.canonical_name not in fitting:
            name = stream.codec_context.name
            raise BadInput(f"{target}: {target.suffix} does not take sound in {name} as it is; choose .mkv")
    others = [stream.type for stream in container.streams if stream.type not in ("audio", "video")]
    others += ["video"] * (len(container.streams.video) - 1)
    if others:
        print(f"left out of {target}: {', '.join(sorted(others))} streams", file=sys.stderr)


def _muxer(av: Any, target: Path) -> str:
    name = MUXERS.get(target.suffix.lower(), target.suffix.lower().removeprefix("."))
    if name not in av.formats_available:
        raise BadInput(f"{target}: no container of this name; choose .mp4, .mov, .mkv or .webm")
    return name


def join(av: Any, source: Path, segments: list[Path], target: Path) -> None:
    """Write one file of all segments and the sound of `source`, in the order of time."""
    if target.suffix.lower() == ".gif":
        write_pages(_gif_frames(av, segments), Layout(len(segments), "animation"), target)
        return
    muxer = _muxer(av, target)
    with written_whole(target) as part, av.open(str(part), "w", format=muxer) as out, av.open(str(source)) as sound:
        with av.open(str(segments[0])) as first:
            video = out.add_stream_from_template(first.streams.video[0])
            video.time_base = first.streams.video[0].time_base
        audio = {stream.index: out.add_stream_from_template(stream) for stream in sound.streams.audio}
        out.metadata.update(sound.metadata)
        frames = ((packet, video) for packet in _packets(av, segments))
        heard = (packet for packet in sound.demux(*sound.streams.audio) if packet.dts is not None) if audio else ()
        sounds = ((packet, audio[packet.stream.index]) for packet in heard)
        for packet, stream in heapq.merge(frames, sounds, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = stream
            out.mux(packet)


def _gif_frames(av: Any, segments: list[Path]) -> Iterator[DecodedImage]:
    """The frames of all segments, each shown until the next; the last one as long as the one before."""
    before, duration = None, 0.0
    for path in segments:
        with av.open(str(path)) as segment:
            for frame in segment.decode(video=0):
                now = DecodedImage(frame.to_ndarray(format="rgb24")), float(frame.pts * frame.time_base) * 1000
                if before is not None:
                    duration = now[1] - before[1]
                    yield replace(before[0], about=Metadata(duration=duration))
                before = now
    if before is not None:
        yield replace(before[0], about=Metadata(duration=duration))


def _packets(av: Any, segments: list[Path]) -> Iterator[Any]:
    for path in segments:
        with av.open(str(path)) as segment:
            yield from (packet for packet in segment.demux(video=0) if packet.dts is not None)
