import hashlib
import json
import zipfile
from itertools import count

import pytest

from tests.data.prepare.images import png, tree
from tests.data.prepare.server import serving, status
from unpaired.core.errors import BadInput
from unpaired.data.manifest import MANIFEST, read_manifest
from unpaired.data.prepare import published
from unpaired.data.prepare.published import PUBLISHED, Counts, prepare_published

TINY = Counts(trainA=3, trainB=2, testA=2, testB=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test's own, and sets small enough for it."""
    for name in ("horse2zebra", "maps", "cityscapes"):
        monkeypatch.setitem(PUBLISHED, name, TINY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unpaired"


def archive(folder, counts=TINY, top="set/", named="{i}.png", extra=()):
    """The bytes of a set as published: images of one folder above the four."""
    path = folder / "source.zip"
    numbers = count()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{top}trainA/", b"")
        for name, size in zip(Counts._fields, counts, strict=True):
            for i in range(size):
                file.writestr(f"{top}{name}/{named.format(i=i, side=name[-1])}", png(next(numbers)))
        for name, data in extra:
            file.writestr(name, data)
    return path.read_bytes()


def test_a_set_is_fetched_unpacked_counted_and_described(tmp_path):
    content = archive(tmp_path)
    with serving(content) as server:
        manifest = prepare_published("horse2zebra", tmp_path / "out", server.base)
        assert server.paths == ["/horse2zebra.zip"]
        facts = read_manifest(tmp_path / "out")
        assert facts["source"] == {
            "url": f"{server.base}/horse2zebra.zip",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    assert facts["aligned"] is False
    assert facts["counts"] == TINY._asdict() == manifest.counts
    with zipfile.ZipFile(tmp_path / "source.zip") as file:
        sent = {n.removeprefix("set/"): file.read(n) for n in file.namelist() if not n.endswith("/")}
    arrived = tree(tmp_path / "out")
    del arrived[MANIFEST]
    assert arrived == sent


def test_what_does_not_belong_to_the_four_folders_is_left_out(tmp_path):
    extra = [("set/train/1.png", png(50)), ("set/trainA/.DS_Store", b"x"), ("__MACOSX/set/._1.png", b"x"), (".x", b"x")]
    with serving(archive(tmp_path, extra=extra)) as server:
        prepare_published("horse2zebra", tmp_path / "out", server.base)
    assert {name.partition("/")[0] for name in tree(tmp_path / "out")} == {*Counts._fields, MANIFEST}
    assert len(tree(tmp_path / "out")) == sum(TINY) + 1


def test_an_archive_without_a_top_folder_is_taken_too(tmp_path):
    with serving(archive(tmp_path, top="")) as server:
        assert prepare_published("horse2zebra", tmp_path / "out", server.base).counts == TINY._asdict()


def test_aligned_sets_get_the_same_names_on_both_sides(tmp_path):
    with serving(archive(tmp_path, Counts(2, 2, 2, 2), named="{i}_{side}.png")) as server:
        published.PUBLISHED["maps"] = Counts(2, 2, 2, 2)
        prepare_published("maps", tmp_path / "out", server.base)
    assert read_manifest(tmp_path / "out")["aligned"] is True
    for folder in Counts._fields:
        assert sorted(path.name for path in (tmp_path / "out" / folder).iterdir()) == ["0.png", "1.png"]


def test_an_aligned_set_whose_test_names_differ_is_refused(tmp_path):
    with serving(archive(tmp_path, named="{i}{side}.png")) as server:
        with pytest.raises(BadInput, match="same names in testA and testB.*0A; 0B; 1A; 1B"):
            prepare_published("maps", tmp_path / "out", server.base)
    assert not (tmp_path / "out").exists()


def test_test_images_that_are_trained_on_are_counted(tmp_path):
    with serving(archive(tmp_path, Counts(3, 2, 1, 2), extra=[("set/testA/twin.png", png(0))])) as server:
        prepare_published("horse2zebra", tmp_path / "out", server.base)
    assert read_manifest(tmp_path / "out")["test_images_also_in_train"] == {"A": 1, "B": 0}


def test_a_second_call_does_not_download_again(tmp_path, capsys):
    with serving(archive(tmp_path)) as server:
        prepare_published("horse2zebra", tmp_path / "one", server.base)
        prepare_published("horse2zebra", tmp_path / "two", server.base)
        assert len(server.paths) == 1
    assert "used again" in capsys.readouterr().err
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_another_archive_than_the_first_time_is_refused(tmp_path, cache):
    first = archive(tmp_path)
    second = archive(tmp_path, extra=[("set/note.txt", b"changed")])
    with serving(first) as server:
        prepare_published("horse2zebra", tmp_path / "one", server.base)
        for path in cache.glob("*/horse2zebra.zip"):
            path.unlink()
        server.content = second
        with pytest.raises(BadInput, match=f"expected SHA-256 {hashlib.sha256(first).hexdigest()}.*pins.json"):
            prepare_published("horse2zebra", tmp_path / "two", server.base)
    assert not (tmp_path / "two").exists()
    assert list(cache.glob("*/*")) == []


def test_a_cached_archive_that_was_damaged_is_downloaded_again(tmp_path, cache):
    with serving(archive(tmp_path)) as server:
        prepare_published("horse2zebra", tmp_path / "one", server.base)
        (kept,) = cache.glob("*/horse2zebra.zip")
        kept.write_bytes(kept.read_bytes()[:-1])
        prepare_published("horse2zebra", tmp_path / "two", server.base)
        assert len(server.paths) == 2
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("counts", [Counts(3, 2, 2, 1), Counts(4, 2, 2, 2), Counts(3, 2, 0, 2)])
def test_another_number_of_images_is_refused_and_forgotten(tmp_path, cache, counts):
    with serving(archive(tmp_path, counts)) as server:
        with pytest.raises(BadInput) as caught:
            prepare_published("horse2zebra", tmp_path / "out", server.base)
        for folder, want, have in zip(Counts._fields, TINY, counts, strict=True):
            told = f"{folder}: expected {want} images, found {have}" in str(caught.value)
            assert told == (want != have)
        assert not (tmp_path / "out").exists() and not (cache / "pins.json").exists()
        server.content = archive(tmp_path)  # the mirror is mended: nothing of the first attempt stands in the way
        prepare_published("horse2zebra", tmp_path / "out", server.base)


def test_an_unsafe_archive_leaves_nothing(tmp_path, cache):
    with serving(archive(tmp_path, extra=[("../../evil.png", png(9))])) as server:
        before = set(tree(tmp_path))
        with pytest.raises(BadInput, match="points out of the folder"):
            prepare_published("horse2zebra", tmp_path / "out", server.base)
    assert set(tree(tmp_path)) == before
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_before_anything_is_downloaded(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with serving(archive(tmp_path)) as server:
        with pytest.raises(BadInput, match="found one in use"):
            prepare_published("horse2zebra", tmp_path / "out", server.base)
        assert server.paths == []


@pytest.mark.parametrize(
    "suffix", ["/mirror", "/mirror/", "/mirror/horse2zebra.zip", "/mirror/horse2zebra.zip?key=secret"]
)
def test_a_mirror_is_a_folder_or_the_archive_itself_and_its_query_is_not_noted(tmp_path, suffix):
    with serving(archive(tmp_path)) as server:
        prepare_published("horse2zebra", tmp_path / "out", server.base + suffix)
        assert server.paths[0].partition("?")[0] == "/mirror/horse2zebra.zip"
    assert "secret" not in (tmp_path / "out" / MANIFEST).read_text()


def test_a_mirror_does_not_pass_for_the_original(tmp_path):
    with serving(archive(tmp_path)) as one, serving(archive(tmp_path, extra=[("set/x", b"")])) as two:
        prepare_published("horse2zebra", tmp_path / "one", one.base)
        prepare_published("horse2zebra", tmp_path / "two", two.base)
        assert len(two.paths) == 1
    sources = [read_manifest(tmp_path / name)["source"] for name in ("one", "two")]
    assert sources[0]["sha256"] != sources[1]["sha256"]


@pytest.mark.parametrize("code", [403, 404])
def test_cityscapes_withheld_tells_how_to_prepare_it(tmp_path, code):
    with serving(b"", otherwise=status(code)) as server:
        with pytest.raises(BadInput, match=f"{code}.*unpaired prepare cityscapes DATA --left DIR --labels DIR"):
            prepare_published("cityscapes", tmp_path / "out", server.base)
        with pytest.raises(BadInput, match=f"{code}") as caught:
            prepare_published("maps", tmp_path / "out", server.base)
        assert "cityscapes" not in str(caught.value)


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(tmp_path):
    with pytest.raises(
        BadInput, match="'horse2zebar' is no data set .*; did you mean horse2zebra.*facades, iphone2dslr_flower"
    ) as caught:
        prepare_published("horse2zebar", tmp_path / "out")
    assert all(name in str(caught.value) for name in PUBLISHED)
    with pytest.raises(BadInput) as caught:
        prepare_published("12345", tmp_path / "out")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("text", ["not json", "[]", '{"http://x": 1}'])
def test_a_broken_file_of_hashes_is_named(tmp_path, cache, text):
    cache.mkdir(parents=True)
    (cache / "pins.json").write_text(text)
    with serving(archive(tmp_path)) as server, pytest.raises(BadInput, match="pins.json: expected .*remove the file"):
        prepare_published("horse2zebra", tmp_path / "out", server.base)


def test_hashes_of_all_sources_are_kept_in_one_file(tmp_path, cache):
    content = archive(tmp_path)
    with serving(content) as one, serving(content) as two:
        prepare_published("horse2zebra", tmp_path / "one", one.base)
        prepare_published("horse2zebra", tmp_path / "two", two.base)
        sha256 = hashlib.sha256(content).hexdigest()
        expected = {f"{server.base}/horse2zebra.zip": sha256 for server in (one, two)}
    assert json.loads((cache / "pins.json").read_text()) == expected
    assert [path.name for path in cache.iterdir() if path.is_file()] == ["pins.json"]


def test_a_relative_cache_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert published.cache_folder() == tmp_path / ".cache" / "unpaired"
