"""Images through a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from unpaired.config import Direction
from unpaired.core.errors import BadInput

if TYPE_CHECKING:
    from unpaired.inference.runtimes.facts import Precision
    from unpaired.inference.runtimes.formats import Format


def translate(
    model: Annotated[Path, Positional],
    input: Annotated[str, Positional],
    output: Annotated[Path, Positional],
    *,
    direction: Direction | None = None,
    batch: int = 1,
    mask: Path | None = None,
    feather: int = 0,
    tile: int | None = None,
    statistics: Literal["exact", "sampled"] = "exact",
    smooth: float = 0.0,
    layout: Literal["own", "official"] = "own",
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto",
    precision: Literal["fp32", "bf16", "int8"] | None = None,
    report: Path | None = None,
    cluster: str | None = None,
) -> None:
    """Translate an image, a folder (its tree is kept), a pattern or a video; own size, own name, own bit depth.

    Args:
        model: A run's folder, a bundle or an exported file.
        input: Image, folder, pattern or video; - for standard input.
        output: Folder, or the name of one image; - for standard output.
        direction: AtoB or BtoA; the first the model has unless given.
        batch: Images of one size that go through the network together.
        mask: Image, or folder of images named as the images; outside of what is light in it nothing is touched.
        feather: Pixels inside the mask's edge over which the translation fades in.
        tile: Side of tiles in pixels, for images too big for memory; from 4 million pixels 512 of itself.
        statistics: What the tiles share: exact, or sampled (of parts spread over the image: one pass, no disk).
        smooth: Of a video, from 0 to below 1: how slowly the statistics of the frames change, against flicker.
        layout: own names, or the official test.py's: images/STEM_real_A.png, STEM_fake_B.png and index.html.
        runtime: What computes; onnx and openvino export a bundle once, and auto then goes on with them.
        precision: bf16 and int8 (openvino) are faster and a little coarser; fp32 unless given.
        report: File for a line of JSON for each file: what was written of it, or why nothing was.
        cluster: Spread over a Ray cluster: its address, auto, or local; what is written already is left as it is.
    """
    from unpaired.inference import Options, Translator, translate_files
    from unpaired.inference.results import write_results

    if cluster is not None:
        from unpaired.inference.cluster import Plan, translate_on_cluster

        if mask or tile or smooth or layout == "official" or precision or runtime != "auto":
            others = "--mask, --tile, --smooth, --layout, --runtime or --precision"
            raise BadInput(f"translate --cluster: not together with {others}")
        translate_on_cluster(Path(model), input, Path(output), direction, Plan(cluster, batch=batch), report)
        return
    translator = Translator.load(model, direction, runtime, precision, make_export=_make_export)
    if layout == "official":
        write_results(translator, input, Path(output))
    else:
        translate_files(translator, input, output, Options(batch, mask, feather, tile, statistics, smooth, report))


def _make_export(model: Path, out: Path, format: Format, precision: Precision, direction: Direction) -> Path:
    from unpaired.export import export

    return export(model, out, format, precision, direction)
