"""The models that come with the package."""

from __future__ import annotations


def models(*, json: bool = False) -> None:
    """List the models that come with unpaired.

    Every command that takes a model takes their names.

    Args:
        json: Print the index as JSON.

    Example:
        unpaired models
    """
    from dataclasses import asdict
    from json import dumps
    from textwrap import fill

    from unpaired.checkpoints.shipped import shipped_file, shipped_models
    from unpaired.core.progress import terminal_width

    found = shipped_models()
    if json:
        print(dumps({name: asdict(model) for name, model in found.items()}, indent=2))
        return
    for name, model in found.items():
        path, arrow = shipped_file(name), " → ".join(model.domains)
        megabytes = path.stat().st_size / 1e6 if path else 0.0
        line = f"{name}  {arrow}: {model.summary}; {model.size} px, {megabytes:.1f} MB, data: {model.licence}"
        print(fill(line, terminal_width(), subsequent_indent=" " * (len(name) + 2)))
