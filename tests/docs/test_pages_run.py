"""Every block of README, CONTRIBUTING and docs/ is run, page by page, by a reader with tiny data."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import PAGES, PROJECT, all_commands, blocks, name
from tests.docs.reader import EXCUSED, SMALLER, Reader
from tests.docs.world import image, make_world, on_the_hub, small_presets
from tests.hub.server import hub_over

READERS_HAVE: dict[str, dict[str, str]] = {
    "README.md": {"photos": "photos", "paintings": "paintings"},
    "docs/applications/enhancement.md": {"datasets/flowers": "data"},
    "docs/applications/photos.md": {"datasets/monet2photo": "data"},
    "docs/applications/season.md": {"datasets/yosemite": "data"},
    "docs/applications/style.md": {"datasets/vangogh2photo": "data", "photos": "photos"},
    "docs/applications/transfiguration.md": {"datasets/horse2zebra": "data"},
    "docs/convert.md": {
        "checkpoints/horse2zebra_pretrained": "published",
        "checkpoints/mine": "checkpoints",
        "latest_net_G.pth": "published/latest_net_G.pth",
        "iter_80000.pth": "iter_80000.pth",
        "runs/mine": "run",
        "data": "data",
    },
    "docs/data.md": {"data": "data", "mixed": "data", "photos": "photos", "paintings": "paintings"}
    | {"photo-masks": "masks", "painting-masks": "masks"},
    "docs/evaluation.md": {"runs/earth": "run", "earth64": "data", "data": "data", "runs/mine": "run"}
    | {"pairs": "labels", "labels64": "labels", "runs/other": "run"},
    "docs/export.md": {"runs/earth": "run", "photos": "photos", "photo.jpg": "photo.jpg"},
    "docs/hub.md": {"runs/mine": "run", "data": "data", "photos": "photos"},
    "docs/huge-images.md": {"run": "run", "slide.tif": "slide.tif"},
    "docs/index.md": {"photos": "photos", "paintings": "paintings", "photo.jpg": "photo.jpg"},
    "docs/methods.md": {"data": "data", "photos": "photos", "pairs": "labels"},
    "docs/performance.md": {"runs/mine": "run"},
    "docs/presets.md": {"data": "data", "datasets/horse2zebra": "data"},
    "docs/scaling.md": {"runs/mine": "run", "photos": "photos"},
    "docs/serving.md": {
        "runs/earth": "run",
        "maps.safetensors": "model.safetensors",
        "bundle.safetensors": "model.safetensors",
    }
    | {"token.txt": "token.txt", "photo.jpg": "photo.jpg", "photo.png": "photo.png"},
    "docs/study.md": {"runs/maps": "run", "data": "data", "fakes/simgan": "data/trainB"},
    "docs/switching.md": {"datasets/maps": "data", "checkpoints/horse2zebra_pretrained": "published"},
    "docs/trackers.md": {"data": "data"},
    "docs/translate.md": {"photos": "photos", "masks": "masks", "photo.jpg": "photo.jpg"},
    "docs/tutorial.md": {"photos": "photos", "paintings": "paintings"},
    "docs/video.md": {"runs/mine": "run", "clip.mp4": "clip.mp4"},
}
"""What the reader of a page has before the first line: the place, and what of the world lies there."""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    with small_presets():
        return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def surroundings(world, tmp_path, monkeypatch):
    """Small presets, nothing that calls the world outside: trackers write here, the hub is a folder of this machine."""
    import huggingface_hub.constants as hub

    on_the_hub(tmp_path / "hub", world / "data")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with small_presets(), hub_over(tmp_path / "hub") as (address, _):
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(hub, "ENDPOINT", address)
        monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield


def provide(world: Path, page: str, folder: Path) -> None:
    """Put into `folder` what the reader of the page has."""
    for place, what in READERS_HAVE.get(page, {}).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (world / what).is_dir() else shutil.copy
        copy(world / what, folder / place)


def names_of_python() -> dict[str, Any]:
    shown = image()
    return {"__name__": "a page", "image": shown, **dict.fromkeys(("one", "two", "three"), shown)}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_a_page_can_be_followed_from_top_to_bottom(page, world, surroundings, tmp_path, monkeypatch):
    folder = tmp_path / "reader"
    folder.mkdir()
    provide(world, name(page), folder)
    monkeypatch.chdir(folder)
    with ExitStack() as end:
        reader = Reader(folder, world / "reproduction", names_of_python(), end)
        for block in blocks(page):
            reader.follow(block)


def test_no_block_is_hidden_from_the_tests():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
        assert len(fences) == 2 * len(blocks(page)), f"{name(page)}: a fence that is indented, or not closed"


@pytest.mark.parametrize("start", [*EXCUSED, *SMALLER])
def test_no_exception_is_stale(start):
    lines = [line for _, line in all_commands()]
    lines += [block.text for page in PAGES for block in blocks(page) if block.language]
    assert any(line.startswith(start) for line in lines), f"no line begins with {start!r} any more"


@pytest.mark.parametrize("page", READERS_HAVE)
def test_no_reader_of_a_page_that_is_gone(page):
    assert (PROJECT / page).is_file()


def test_a_line_of_an_unknown_kind_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```\nrm -rf out\n```\n")
    with ExitStack() as end, pytest.raises(AssertionError, match="neither run nor excused: rm -rf out"):
        Reader(tmp_path, tmp_path, {}, end).follow(blocks(page)[0])
