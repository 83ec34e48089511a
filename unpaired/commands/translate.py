"""The translation of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from unpaired.commands.arguments import File
from unpaired.config import Direction, Scale
from unpaired.core.errors import BadInput


def translate(
    model: Path,
    input: str,
    output: Path,
    *,
    direction: Direction | None = None,
    at: int | None = None,
    batch: int = 1,
    mask: Path | None = None,
    feather: int = 0,
    tile: int | None = None,
    statistics: Literal["exact", "sampled"] = "exact",
    smooth: float = 0.0,
    scale: Scale = "own",
    layout: Literal["own", "official", "official-single"] = "own",
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto",
    precision: Literal["fp32", "bf16", "int8"] | None = None,
    device: str = "auto",
    report: File | None = None,
    cluster: str | None = None,
) -> None:
    """Translate images, folders, patterns and videos.

    Size, name, tree and bit depth are kept.

    Args:
        model: A run's folder, a bundle or an exported file.
        input: Image, folder, pattern or video; - for standard input.
        output: Folder, or the name of one image; - for standard output.
        direction: AtoB or BtoA; the model's first unless given.
        at: Use the run's kept checkpoint of this step.
        batch: Images of one padded size in a batch.
        mask: Image, or folder of images under the same names; only its light part is translated.
        feather: Pixels inside the mask's edge over which the translation fades in.
        tile: Side of tiles in pixels, for images too big for memory; 512 from 4 million pixels on unless given.
        statistics: Normalisation statistics of the tiles: exact, or sampled from parts of the image (faster).
        smooth: Of a video, 0 to below 1: decay of the running statistics of the frames, against flicker.
        scale: own size of each image, or train: that of training images, as in the official test.py.
        layout: own names, or those of the official test.py: images/STEM_real_A.png, STEM_fake_B.png and index.html;
            official-single: STEM_real.png, STEM_fake.png, as its --model test.
        runtime: Engine; onnx and openvino export a bundle once, and auto uses that export from then on.
        precision: bf16 and int8 (openvino) are faster and less accurate; bf16 on CUDA and fp32 elsewhere unless given.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.
        report: File of one line of JSON for each input: what was written, or why nothing was.
        cluster: Spread over a Ray cluster: its address, auto, or local; existing outputs are kept.

    Example:
        unpaired translate runs/mine photos out --direction AtoB
    """
    from unpaired.inference import Options, Translator, translate_files
    from unpaired.inference.results import write_results

    if at is not None:
        from unpaired.checkpoints.run_state import checkpoint_of  # needs torch, which an exported file does not

        model = checkpoint_of(model, f"step {at}", step=at)
    if cluster is not None:
        from unpaired.inference.cluster import translate_on_cluster

        if mask or tile or smooth or layout != "own" or scale != "own" or precision or runtime != "auto":
            others = "--mask, --tile, --smooth, --layout, --scale, --runtime or --precision"
            raise BadInput(f"translate --cluster: not together with {others}")
        translate_on_cluster(model, input, output, direction, cluster, batch, device, report)
        return
    translator = Translator.load(model, direction, runtime, precision, _make_export, device, scale)
    if layout != "own":
        write_results(translator, input, output, single=layout == "official-single")
    else:
        translate_files(translator, input, output, Options(batch, mask, feather, tile, statistics, smooth, report))


def _make_export(*arguments: Any) -> Path:
    from unpaired.export import export

    return export(*arguments)
