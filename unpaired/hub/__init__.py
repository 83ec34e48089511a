"""Models on the Hugging Face hub, or in a folder laid out like one: pushed with a card, pulled with a check.

Nothing is fetched unless its name begins with `hub:` or `pull` is called; then it is said what, from where and how
large.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from unpaired.checkpoints.bundle import BUNDLE, load_bundle, write_bundle
from unpaired.config import DIRECTIONS
from unpaired.core.errors import BadInput, shown
from unpaired.core.files import file_sha256, write_text, written_whole
from unpaired.core.safe_text import read_json, read_text
from unpaired.data.manifest import read_manifest
from unpaired.data.sources.hub import hub_errors, huggingface
from unpaired.experiment import with_root
from unpaired.hub.card import card

__all__ = ["fetch", "is_hub", "pull", "push"]

PREFIX = "hub:"
CARD, SUMS = "README.md", "SHA256SUMS"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
MAX_BYTES = 4 * 1024**3
"""Largest bundle fetched."""


def is_hub(model: object) -> bool:
    """Whether a model's name leads to the hub."""
    return str(model).startswith(PREFIX)


def push(model: Path, repo: str, licence: str, *, private: bool = False, limits: str | None = None) -> str:
    """Publish a bundle with its card, hash, numbers and samples; returns where it is.

    `model` is a run, whose evaluation and samples go along, or a bundle. `repo` is user/name on the hub, or a folder:
    a path that begins with . or /. `licence` is that of the weights, an identifier that the hub knows, e.g. cc-by-4.0.
    A repository made for it may be `private`; `limits` are known limitations, for the card.

    Raises:
        BadInput: not a model, not a name, or the hub refuses.
    """
    folder = _is_folder(repo)
    if not folder and not NAME.match(repo):
        raise BadInput(f"{shown(repo)}: expected user/name, or a folder that begins with . or /")
    with tempfile.TemporaryDirectory() as place:
        staged = Path(place)
        _stage(model, staged, Path(repo).name if folder else repo, licence, limits)
        if folder:
            _copy(sorted(staged.iterdir()), Path(repo))
            return str(Path(repo))
        with hub_errors(repo):
            api = huggingface().HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo, folder_path=staged, commit_message="Model and card").commit_url)


def pull(repo: str, out: Path) -> Path:
    """Fetch a bundle and its card into the folder `out`, whole or not at all; returns the bundle.

    Raises:
        BadInput: no such model, a hash that differs from its card, or not a bundle.
    """
    if (out / BUNDLE).exists():
        raise BadInput(f"{out / BUNDLE}: exists already; choose another folder or remove it")
    bundle = fetch(repo)
    _copy([path for name in (BUNDLE, CARD, SUMS) if (path := bundle.parent / name).is_file()], out)
    return out / BUNDLE


def fetch(repo: str) -> Path:
    """The bundle of `hub:user/name[@revision]`, from the cache where it is the same; its hash checked each time.

    Raises:
        BadInput: no such model, larger than the limit, or a hash that differs from its card.
    """
    name = str(repo).removeprefix(PREFIX)
    if _is_folder(name):
        return _checked(Path(name) / BUNDLE)
    name, _, revision = name.partition("@")
    if not NAME.match(name):
        raise BadInput(f"{shown(repo)}: expected hub:user/name, hub:user/name@revision, or hub:./folder")
    with hub_errors(name):
        hub = huggingface()
        about = hub.HfApi().model_info(name, revision=revision or None, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in about.siblings or []}
        if BUNDLE not in sizes:
            raise BadInput(f"{name}: holds no {BUNDLE} (found {', '.join(sorted(sizes)[:8])}); not a model of unpaired")
        if sizes[BUNDLE] > MAX_BYTES:
            raise BadInput(f"{name}: {sizes[BUNDLE]:,} bytes is over the limit of {MAX_BYTES:,}")
        size, place = sizes[BUNDLE] / 1e6, hub.constants.ENDPOINT
        print(f"{name}: {BUNDLE}, {size:.1f} MB, from {place} at {about.sha[:12]}", file=sys.stderr, flush=True)
        for file in (CARD, SUMS):
            if file in sizes:
                hub.hf_hub_download(name, file, revision=about.sha)
        return _checked(Path(hub.hf_hub_download(name, BUNDLE, revision=about.sha)))


def _stage(model: Path, staged: Path, repo: str, licence: str, limits: str | None) -> None:
    """Lay out the repository: of the author's machine no path goes along."""
    bundle = load_bundle(model)
    root = Path(bundle.experiment.data.root)
    dataset = read_manifest(root) if root.is_dir() and bundle.experiment.data.root else {}
    name = str(dataset.get("name") or root.name)
    experiment = with_root(bundle.experiment, name)
    start = Path(experiment.optim.start).name
    bundle = replace(bundle, experiment=replace(experiment, optim=replace(experiment.optim, start=start)))
    write_bundle(staged / BUNDLE, bundle)
    report = model / "evaluation.json"
    evaluation = read_json(report) if report.is_file() else None
    samples = _samples(model, staged)
    write_text(staged / CARD, card(repo, bundle, licence, evaluation, dataset, samples, limits))
    write_text(staged / SUMS, f"{file_sha256(staged / BUNDLE)}  {BUNDLE}\n")


def _samples(model: Path, staged: Path) -> list[str]:
    """Copy the last grid of each direction; the names of the copies."""
    names = []
    for direction in DIRECTIONS:
        grids = sorted((model / "samples").glob(f"step-*_{direction}.png")) if model.is_dir() else []
        if grids:
            names.append(f"samples_{direction}.png")
            shutil.copyfile(grids[-1], staged / names[-1])
    return names


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        with written_whole(folder / file.name) as part:
            shutil.copyfile(file, part)


def _checked(bundle: Path) -> Path:
    """The file, where its content has the hash that stands beside it."""
    sums = bundle.parent / SUMS
    for path in (bundle, sums):
        if not path.is_file():
            raise BadInput(f"{path}: not there; expected what `unpaired push` made")
    said = {line.split()[-1]: line.split()[0] for line in read_text(sums, 10_000).splitlines() if line.strip()}
    found = file_sha256(bundle)
    if said.get(BUNDLE) != found:
        raise BadInput(f"{bundle}: SHA-256 {found[:16]}..., but {SUMS} says {str(said.get(BUNDLE))[:16]}...; not used")
    return bundle


def _is_folder(repo: str) -> bool:
    return repo.startswith((".", "/"))
