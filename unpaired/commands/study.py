"""The paper's perceptual study, prepared, served and evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction

from unpaired.core.errors import BadInput


def study_prepare(
    out: Annotated[Path, Positional],
    real: Annotated[Path, Positional],
    fakes: Annotated[tuple[str, ...], Positional],
    *,
    seed: int = 0,
    exposure_ms: int = 1000,
    practice: int = 10,
    scored: int = 40,
    checks: int = 6,
) -> None:
    """Make the folder of a real-or-fake study from real images and those of each algorithm.

    Args:
        out: Folder to make.
        real: Folder of real images.
        fakes: For each algorithm NAME=FOLDER of its images.
        seed: Decides order and sides.
        exposure_ms: How long a pair is shown, in milliseconds.
        practice: First trials, with feedback, not scored.
        scored: Scored trials.
        checks: Trials with an obvious fake among the scored ones; who fails them is left out.
    """
    from unpaired.serve.study import prepare_study

    folders = {name: Path(folder) for name, _, folder in (each.partition("=") for each in fakes)}
    wrong = [each for each in fakes if not all(each.partition("="))]
    if wrong or len(folders) < len(fakes):
        raise BadInput(f"fakes: expected NAME=FOLDER with different names, found {' '.join(wrong or fakes)}")
    study = prepare_study(
        out,
        real,
        folders,
        seed,
        exposure_ms=exposure_ms,
        practice=practice,
        scored=scored,
        checks=checks,
    )
    for name, pairs in study.pairs.items():
        again = "" if len(pairs) >= practice + scored else f"; of {practice + scored} trials some show a pair again"
        print(f"{name}: {len(pairs)} pairs{again}")
    print(f"unpaired study serve {out}")


def study_serve(
    study: Annotated[Path, Positional],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    hosts: Annotated[tuple[str, ...], UseAppendAction] = (),
) -> None:
    """Serve a study as a web page; stopped and served again, it goes on.

    Args:
        study: Folder made by `study prepare`.
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: TCP port; 0 takes a free one.
        hosts: Name that participants use for this server, where not this machine's own; may be repeated.
    """
    try:
        from unpaired.serve.study.run import serve_study
    except ModuleNotFoundError as error:
        raise BadInput(f"study: needs {error.name}; pip install 'unpaired[serve]'") from error
    serve_study(study, host, port, hosts)


def study_results(study: Annotated[Path, Positional], *, json: bool = False) -> None:
    """How often each algorithm's fakes were taken for real, with intervals.

    Args:
        study: Folder made by `study prepare`; it may be served meanwhile.
        json: Print JSON.
    """
    from json import dumps

    from unpaired.serve.study import results

    found = results.study_results(study)
    print(dumps(results.as_json(found), indent=2) if json else results.text(found))
