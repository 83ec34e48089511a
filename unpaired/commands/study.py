"""The paper's perceptual study, prepared, served and evaluated."""

from __future__ import annotations

from pathlib import Path

from unpaired.commands.arguments import Folder
from unpaired.core.errors import BadInput


def prepare(
    out: Folder,
    real: Folder,
    fakes: tuple[str, ...],
    *,
    seed: int = 0,
    exposure_ms: int = 1000,
    practice: int = 10,
    scored: int = 40,
    checks: int = 6,
) -> None:
    """Make a study in which people tell real from fake images.

    Args:
        out: Folder to make.
        real: Folder of real images.
        fakes: NAME=FOLDER of each algorithm's translations.
        seed: Seed of the order and the sides.
        exposure_ms: Milliseconds for which a pair is shown.
        practice: First trials, with feedback, not scored.
        scored: Scored trials.
        checks: Trials with an obvious fake among the scored ones; participants who fail them are left out.

    Example:
        unpaired study prepare study data/testB mine=out
    """
    from unpaired.serve.study import prepare_study

    folders = {name: Path(folder) for name, _, folder in (each.partition("=") for each in fakes)}
    wrong = [each for each in fakes if not all(each.partition("="))]
    if wrong or len(folders) < len(fakes):
        raise BadInput(f"fakes: expected NAME=FOLDER with different names, found {' '.join(wrong or fakes)}")
    settings = {"exposure_ms": exposure_ms, "practice": practice, "scored": scored, "checks": checks}
    study = prepare_study(out, real, folders, seed, **settings)
    for name, pairs in study.pairs.items():
        again = "" if len(pairs) >= practice + scored else f"; of {practice + scored} trials some show a pair again"
        print(f"{name}: {len(pairs)} pairs{again}")
    print(f"unpaired study serve {out}")


def serve(study: Folder, *, host: str = "127.0.0.1", port: int = 8000, hosts: tuple[str, ...] = ()) -> None:
    """Serve a study as a web page.

    After a stop the same command resumes it.

    Args:
        study: Folder made by `study prepare`.
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: TCP port; 0 takes a free one.
        hosts: Further name of this server; may be repeated.

    Example:
        unpaired study serve study
    """
    try:
        from unpaired.serve.study.run import serve_study
    except ModuleNotFoundError as error:
        raise BadInput(f"study: needs {error.name}; pip install 'unpaired[serve]'") from error
    serve_study(study, host, port, hosts)


def results(study: Folder, *, json: bool = False) -> None:
    """Show how often each algorithm's images were taken for real.

    Shares have 95 % confidence intervals.

    Args:
        study: Folder made by `study prepare`, served or not.
        json: Print JSON.

    Example:
        unpaired study results study
    """
    from dataclasses import asdict
    from json import dumps

    from unpaired.serve.study.results import study_results, text

    found = study_results(study)
    print(dumps({each.algorithm: asdict(each) for each in found}, indent=2) if json else text(found))
