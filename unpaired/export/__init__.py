"""Trained generators as files for other engines, each compared with the network before it is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch

from unpaired.checkpoints.bundle import Bundle, bundle_file, load_bundle
from unpaired.config import Direction
from unpaired.core.device import pick_device
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256, flush
from unpaired.data.manifest import names_of
from unpaired.export.calibration import training_images
from unpaired.export.graph import PixelGraph
from unpaired.export.onnx import write_onnx
from unpaired.export.openvino import write_openvino
from unpaired.export.pt2 import Written, write_pt2
from unpaired.export.verify import verify
from unpaired.imaging.images import Array
from unpaired.inference.runtimes import Facts, Precision, open_exported
from unpaired.inference.runtimes.bundles import torch_runtime
from unpaired.inference.runtimes.facts import OFFERED, SUFFIX, Format
from unpaired.models import Generator


def export(
    model: Path,
    out: Path,
    format: Format,
    precision: Precision = "fp32",
    direction: Direction | None = None,
    data: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Export one direction of a run or a bundle; returns the file, kept only if it translates as the network does.

    Args:
        model: A run's folder or a bundle.
        out: The file, ending as its format does (.onnx, .xml with a .bin beside it, .pt2), or a folder for it.
        format: See `OFFERED`.
        precision: fp32, or coarser and faster: bf16, int8.
        direction: The first that the model has, unless given.
        data: Data set whose training images bf16 and int8 are compared on; the one trained on, unless given.
        device: Where the network runs that the file is compared with; the export itself is traced on the CPU.

    Raises:
        BadInput: no such direction or combination, a package that is missing, or a file that failed its check;
            nothing is left then.
    """
    if precision not in OFFERED[format]:
        raise BadInput(f"--precision {precision}: {format} is offered in {', '.join(OFFERED[format])}")
    bundle = load_bundle(model)
    facts = _facts(bundle, model, direction, precision)
    ranges, held_back = [], []
    if precision != "fp32":
        ranges, held_back = training_images(bundle.experiment, data, facts.direction[0])
    network = bundle.translators[facts.direction]
    target = _target(out, format, facts)
    images = f", {len(ranges)} images" if ranges else ""
    print(f"exporting {facts.direction} of {model} to {format} {precision}{images}", file=sys.stderr, flush=True)
    with _kept_if_right(target) as part:
        _write(network, facts, format, ranges, part)
        exported = Written(part) if format == "pt2" else open_exported(part)
        found = verify(exported, torch_runtime(bundle, facts.direction, pick_device(device)), held_back)
        del exported  # lets go of the file, which is about to be renamed
    print(f"{target}: {found}", file=sys.stderr)
    return target


def _facts(bundle: Bundle, model: Path, direction: Direction | None, precision: Precision) -> Facts:
    chosen = bundle.choose(direction, model)
    network, data = bundle.translators[chosen], bundle.experiment.data
    channels_in, channels_out = bundle.channels(chosen)
    return Facts(
        direction=chosen,
        channels_in=channels_in,
        channels_out=channels_out,
        precision=precision,
        size_multiple=network.size_multiple,
        min_size=network.min_size,
        experiment=bundle.experiment.name,
        step=bundle.step,
        bundle_sha256=file_sha256(bundle_file(model)),
        domains=names_of(data),
        values_a=data.range_a,
        values_b=data.range_b,
        nodata=data.nodata,
    )


def _target(out: Path, format: Format, facts: Facts) -> Path:
    """The file itself: `out`, or a name in the folder `out`."""
    suffix = SUFFIX[format]
    if out.suffix.lower() == suffix and not out.is_dir():
        return out
    if out.suffix and not out.is_dir():
        raise BadInput(f"{out}: --format {format} makes a file that ends in {suffix}; name it so, or give a folder")
    return out / (facts.direction + f"-{facts.precision}" * (facts.precision != "fp32") + suffix)


def _write(network: Generator, facts: Facts, format: Format, ranges: Sequence[Array], path: Path) -> None:
    """A temporary folder, so that files that belong together are renamed together."""
    half = format == "pt2" and facts.precision == "bf16"
    graph = PixelGraph(deepcopy(network), torch.bfloat16 if half else torch.float32)
    if format == "pt2":
        write_pt2(graph, facts, path)
        return
    onnx = path.with_suffix(".onnx")
    write_onnx(graph, facts, onnx)
    if format == "openvino":
        write_openvino(onnx, facts, ranges, path)
        onnx.unlink()


@contextmanager
def _kept_if_right(target: Path) -> Iterator[Path]:
    """A place to write to; what is there afterwards takes its place beside `target`, unless something was wrong."""
    folder = target.with_name(f".{target.name}.part")
    shutil.rmtree(folder, ignore_errors=True)  # of an export that was killed
    folder.mkdir(parents=True)
    try:
        yield folder / target.name
        files = sorted(folder.iterdir(), key=lambda path: path.suffix == target.suffix)  # the file that names it last
        if len(files) > 1:
            target.unlink(missing_ok=True)  # rather none than an old description of new weights
        for path in files:
            flush(path)
            path.replace(target.with_name(path.name))
        flush(target.parent)
    except BadInput as error:
        raise BadInput(f"{target}: not kept; {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
