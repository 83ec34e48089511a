"""The report of a run, and several runs side by side."""

from __future__ import annotations

from pathlib import Path

from unpaired.commands.arguments import File


def report(runs: tuple[Path, ...] = (), *, open: bool = False, out: File | None = None, device: str = "auto") -> None:
    """Write the report of a run, or compare several runs on one page.

    One run gets its `report.html` written again. Several are compared: their settings, numbers, validation curves and
    translations of the same test images.

    Args:
        runs: Folders of runs.
        open: Open the page in a browser.
        out: The page of a comparison; comparison.html unless given.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired report runs/mine runs/other --out comparison.html
    """
    from unpaired.core.errors import BadInput
    from unpaired.evaluation.report import write_comparison, write_report

    if not runs:
        raise BadInput("report: expected at least one run's folder")
    if len(runs) == 1 and out is not None:
        raise BadInput("report: --out names the page of a comparison; one run's report stands in its folder")
    if len(runs) == 1:
        page = write_report(runs[0], device=device)
    else:
        page = write_comparison(runs, out or Path("comparison.html"), device)
    print(page)
    if open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
