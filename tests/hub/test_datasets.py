"""Data sets read on the hub piece by piece: the same run, bit for bit, as from folders, from any step on."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.data.test_archives import as_parquet, parquet
from tests.data_sets import make_data, tiny
from tests.hub.server import COMMIT, Handler, hub_over
from tests.processes import PROJECT
from tests.training.test_run import assert_same_end, kill_in_step, train_in_pieces
from unpaired.checkpoints.run_state import load_state
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.folders import Files, domain_files
from unpaired.data.pairing import UnpairedImages
from unpaired.data.selection import _digest
from unpaired.data.sources import hub as remote
from unpaired.data.sources import parquet as rows
from unpaired.experiment import read_experiment
from unpaired.imaging.values import Domain
from unpaired.training import train
from unpaired.training.loop import Run

NAME = "hf://datasets/ada/shapes"
OTHER = "f" * 40


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("streamed") / "data")


@pytest.fixture(scope="module")
def plain(folders, tmp_path_factory):
    return train(tiny(folders, optim__steps=3), tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture
def published(hub, folders, tmp_path):
    """The data set on the hub, trainA in two files; the folder that the hub serves."""
    root = tmp_path / "hub/datasets/ada/shapes"
    as_parquet(root, folders)
    files = domain_files(folders, "trainA")
    (root / "data/trainA-00000-of-00001.parquet").unlink()
    for k, some in enumerate((files[:4], files[4:])):
        parquet(root / f"data/trainA-{k:05}-of-00002.parquet", some)
    return root


def moved_on(root):
    """A new commit of the data set, in which the images of A are others."""
    shutil.copytree(root, root.with_name(f"{root.name}@{COMMIT}"))
    root.with_name(f"{root.name}.commit").write_text(OTHER)
    for k in range(2):
        shutil.copy(root / "data/testA-00000-of-00001.parquet", root / f"data/trainA-{k:05}-of-00002.parquet")
    remote._listing.cache_clear()  # as a new process would find it


def ranges(seen):
    return [line for line in seen if line.split()[-1][0].isdigit()]


def test_training_from_the_hub_resumed_equals_training_on_folders_bit_for_bit(
    published, plain, tmp_path, capsys, monkeypatch
):
    experiment = tiny(NAME, optim__steps=3, data__workers=2, data__cache_gb=0)
    assert_same_end(train_in_pieces(experiment, tmp_path / "run", [1, 1], monkeypatch), plain)
    assert read_experiment(tmp_path / "run/config.yaml").data.root == f"{NAME}@{COMMIT}"
    said = capsys.readouterr().err
    assert "datasets/ada/shapes: 5 files, " in said and f"at commit {COMMIT[:12]} of http://127.0.0.1" in said


def test_a_run_keeps_the_commit_it_began_with(published, plain, tmp_path, monkeypatch):
    experiment = tiny(NAME, optim__steps=3, runtime__save_every=1)
    kill_in_step(2, monkeypatch, experiment, tmp_path / "run")
    moved_on(published)
    assert_same_end(train(experiment, tmp_path / "run"), plain)
    other = train(experiment, tmp_path / "other")
    assert read_experiment(other / "config.yaml").data.root == f"{NAME}@{OTHER}"


def test_one_image_costs_its_row_group_and_a_kept_group_nothing(published, hub):
    files = domain_files(Path(NAME), "trainA")
    assert [path.name for path in files] == [f"{k:08}.png" for k in (0, 1, 2, 3, 0, 1)]
    store = UnpairedImages(tiny(NAME).data, 0).store
    del hub[:]
    store.read(files[2], Domain(3))
    (asked,) = ranges(hub)
    first, last = map(int, asked.split()[-1].split("-"))
    assert last - first < (published / "data/trainA-00000-of-00002.parquet").stat().st_size / 2
    store.read(files[3], Domain(3))  # the other image of that row group
    assert ranges(hub) == [asked]
    store.read(files[0], Domain(3))
    assert len(ranges(hub)) == 2


def test_a_file_is_read_in_the_thread_that_asks_and_never_in_arrows(published, hub, monkeypatch):
    threads, readinto = set(), remote.RemoteFile.readinto

    def noting(file, buffer):
        threads.add(threading.get_ident())
        return readinto(file, buffer)

    monkeypatch.setattr(remote.RemoteFile, "readinto", noting)
    store = UnpairedImages(tiny(NAME, data__cache_gb=0).data, 0).store
    files = domain_files(Path(NAME), "trainA")
    threads.clear()  # the footers are read side by side
    for file in files:
        store.read(file, Domain(3))
    assert threads == {threading.get_ident()}


def test_of_the_groups_read_last_as_many_are_kept_as_fit(published, hub, monkeypatch):
    monkeypatch.setattr(rows, "KEPT", 1)
    store = UnpairedImages(tiny(NAME, data__cache_gb=0).data, 0).store
    files = domain_files(Path(NAME), "trainA")
    del hub[:]
    for index in (0, 1, 2, 0):
        store.read(files[index], Domain(3))
    assert len(ranges(hub)) == 3  # the newest is always kept


def test_no_image_is_listed_or_fetched_before_it_is_needed(published, hub):
    data = UnpairedImages(tiny(NAME).data, 0)
    assert len(data.a) == 6 and all(isinstance(names, rows.RowNames) for _, names in data.a.parts)
    assert len(ranges(hub)) == 5 - 2  # the footers of trainA's two files and of trainB's
    assert list(data.a) == [data.a[k] for k in range(6)] == list(data.a[:])
    assert data.a[-1] == data.a[5]


def test_lists_take_files_on_the_hub_with_a_star_and_any_names_of_splits(published, folders, plain, tmp_path):
    for part, split in (("trainA", "photos"), ("trainB", "drawings")):
        for path in (published / "data").glob(f"{part}-*"):
            path.rename(path.with_name(path.name.replace(part, split)))
    root = tmp_path / "lists"
    root.mkdir()
    (root / "trainA.txt").write_text(f"# of ada\n{NAME}/data/photos-*.parquet\n")
    (root / "trainB.csv").write_text(f"path\n{NAME}@{COMMIT}/data/drawings-00000-of-00001.parquet\n")
    for part in ("testA", "testB"):
        shutil.copytree(folders / part, root / part)
    assert_same_end(train(tiny(root, optim__steps=3), tmp_path / "run"), plain)
    (root / "trainA.txt").write_text(f"{NAME}/data/images-*.parquet\n")
    with pytest.raises(BadInput, match=r"images-\*\.parquet: no \.parquet file of that name, found data/drawings-"):
        domain_files(root, "trainA")


def test_a_run_whose_list_leads_to_a_branch_that_moved_on_is_refused(published, folders, tmp_path):
    root = tmp_path / "lists"
    shutil.copytree(folders, root)
    (root / "trainA.txt").write_text(f"{NAME}/data/trainA-*\n")
    train(tiny(root, optim__steps=2), tmp_path / "run")
    moved_on(published)
    with pytest.raises(BadInput, match="no longer holds the images that .* began with"):
        train(tiny(root, optim__steps=2), tmp_path / "run")


def test_a_list_may_name_whole_archives_on_this_machine(folders, tmp_path):
    as_parquet(tmp_path / "elsewhere", folders)
    (tmp_path / "data").mkdir()
    archive = tmp_path / "elsewhere/data/trainA-00000-of-00001.parquet"
    (tmp_path / "data/trainA.txt").write_text(f"{archive}\n{folders / 'trainA/00.png'}\n")
    files = domain_files(tmp_path / "data", "trainA")
    assert [path.name for path in files] == [*(f"{k:08}.png" for k in range(6)), "00.png"]
    assert list(files.inside())[5:] == ["listed/trainA-00000-of-00001.parquet/00000005.png", "listed/00.png"]


def test_check_and_prepare_shards_read_all_of_it_when_asked_to(published, folders, plain, tmp_path, capsys):
    assert run(["check", NAME]) == 0
    assert "trainA  6 images, all 40x36" in capsys.readouterr().out
    assert run(["prepare", "shards", NAME, str(tmp_path / "here"), "--images", "4"]) == 0
    assert_same_end(train(tiny(tmp_path / "here", optim__steps=3), tmp_path / "run"), plain)


def test_the_command_line_in_a_process_of_its_own(published, folders, plain, tmp_path):
    (tmp_path / "home").mkdir()
    with hub_over(tmp_path / "hub") as (address, _):
        command = ["train", "smoke", "--data", NAME, "--out", str(tmp_path / "run"), "--steps", "3"]
        done = subprocess.run(
            [sys.executable, "-m", "unpaired", *command, "--runtime.precision", "fp32", "--runtime.threads", "1"],
            env={**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    (state, _), (expected, _) = load_state(tmp_path / "run"), load_state(plain)
    assert all(torch.equal(value, expected.tensors[key]) for key, value in state.tensors.items())
    assert not list((tmp_path / "home").rglob("*.parquet"))  # nothing is kept on disk


def test_the_names_used_have_one_hash_whether_they_are_listed_or_not(folders, tmp_path):
    as_parquet(tmp_path / "data", folders)
    a = domain_files(tmp_path / "data", "trainA")
    listed = Files(a.root, [(archive, list(names)) for archive, names in a.parts])
    assert _digest(a, a) == _digest(listed, listed) != _digest(a, listed[:2])
    assert _digest(a, a) == hashlib.sha256("\0".join([*a.inside(), *a.inside()]).encode()).hexdigest()


# What goes wrong


@pytest.fixture
def no_waiting(monkeypatch):
    """The seconds that were waited between tries."""
    waited = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=waited.append))
    return waited


def test_what_breaks_off_is_asked_for_again(published, hub, faults, plain, no_waiting, tmp_path):
    faults += ["whole", "cut", "busy", "whole", "cut", "cut", "cut"]
    assert_same_end(train(tiny(NAME, optim__steps=3), tmp_path / "run"), plain)
    assert not faults and len(no_waiting) == 5


def test_a_hub_that_is_gone_ends_the_run_with_one_line_and_the_same_command_goes_on(
    published, hub, faults, plain, no_waiting, tmp_path, capsys, monkeypatch
):
    experiment = tiny(NAME, optim__steps=3, data__cache_gb=0, runtime__save_every=1)
    monkeypatch.setattr(rows, "KEPT", 1)
    step = Run.step
    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", lambda *args: (step(*args), faults.extend(["cut"] * 100)))
        with pytest.raises(BadInput) as caught:
            train(experiment, tmp_path / "run")
    said = str(caught.value)
    assert "\n" not in said and "hf://datasets/ada/shapes@" in said and ".parquet: the hub cannot be reached" in said
    assert said.endswith("nothing is lost: run the same command again to resume")
    assert no_waiting == [1, 2, 4, 8, 8] and load_state(tmp_path / "run")[0].step == 1
    del faults[:]
    assert_same_end(train(experiment, tmp_path / "run"), plain)


def test_a_bad_image_stops_the_training_that_meets_it_with_its_name(published, folders, tmp_path):
    files = [*domain_files(folders, "trainA")][:3]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    parquet(published / "data/trainA-00000-of-00002.parquet", [*files, bad])
    with pytest.raises(BadInput, match=r"shapes@0123.*/data/trainA-00000-of-00002\.parquet/00000003\.png"):
        train(tiny(NAME), tmp_path / "run")
    found = [f.path for f in examine(Path(NAME)).findings if f.severity == "refused"]
    assert found == ["data/trainA-00000-of-00002.parquet/00000003.png"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"data__on_bad_image": "skip"}, "data.on_bad_image skip: needs"), ({"data__masks": True}, "data.masks: needs")],
)
def test_what_needs_every_image_first_is_refused(published, tmp_path, settings, words):
    with pytest.raises(BadInput, match=words):
        train(tiny(NAME, **settings), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf://datasets/ada/nothing", "datasets/ada/nothing: no such repository"),
        (f"{NAME}@{'a' * 40}", "datasets/ada/shapes: no such revision"),
        ("hf://ada/shapes", "expected hf://datasets/user/name"),
        ("hf://datasets/ada", "expected hf://datasets/user/name"),
        (f"{NAME}/elsewhere", "no images in .*trainA"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(published, tmp_path, capsys, name, words):
    assert run(["train", "smoke", "--data", name, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert re.search(words, said[-1]), said
    assert not (tmp_path / "run").exists()


def test_a_hub_that_takes_no_ranges_is_refused(published, hub, monkeypatch):
    plain = Handler._file

    def whole(self, file):
        del self.headers["Range"]
        return plain(self, file)

    monkeypatch.setattr(Handler, "_file", whole)
    with pytest.raises(BadInput, match=r"bytes with status 200; the hub must support ranges"):
        domain_files(Path(NAME), "trainA")


def test_names_on_the_hub_are_taken_apart():
    commit = "0123456789abcdef" * 2 + "01234567"
    assert remote.hub_path("hf://datasets/a/b") == remote.HubPath("a/b", "", "")
    assert remote.hub_path(f"hf:/datasets/a/b@{commit}/data/x.parquet") == remote.HubPath(
        "a/b", commit, "data/x.parquet"
    )
    converted = remote.hub_path("hf://datasets/a/b@refs/convert/parquet/default/train")
    assert converted == remote.HubPath("a/b", "refs/convert/parquet", "default/train")


def test_without_huggingface_hub_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['huggingface_hub'] = None\nfrom unpaired.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "smoke", "--data", NAME, "--out", tmp_path / "x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.endswith("pip install 'unpaired[hub]'\n")
