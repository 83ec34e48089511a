import stat
import struct
import warnings
import zipfile

import pytest

from unpaired.core.errors import BadInput
from unpaired.data.prepare.unpack import unpack_zip

pytestmark = pytest.mark.promise("hostile weights and archives")


def zipped(path, *entries, compress=zipfile.ZIP_DEFLATED):
    """An archive of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", compress) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # duplicate names are wanted here
        for name, data in entries:
            archive.writestr(name, data)
    return path


def special(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def patched(path, replace):
    """The archive with its bytes changed, as nobody's ZIP library would write it."""
    path.write_bytes(replace(path.read_bytes()))
    return path


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(tmp_path, archive, match, **bounds):
    before = below(tmp_path)
    with pytest.raises(BadInput, match=match):
        unpack_zip(archive, tmp_path / "target", **bounds)
    assert below(tmp_path) == before  # neither the target nor anything beside it


def test_files_and_folders_come_out_as_they_went_in(tmp_path):
    archive = zipped(
        tmp_path / "a.zip", ("set/", b""), ("set/trainA/2009-12-06 06:58.jpg", b"one"), ("set/é.jpg", b"2")
    )
    assert unpack_zip(archive, tmp_path / "t") == ["set/trainA/2009-12-06 06:58.jpg", "set/é.jpg"]
    assert (tmp_path / "t/set/trainA/2009-12-06 06:58.jpg").read_bytes() == b"one"
    assert (tmp_path / "t/set/é.jpg").read_bytes() == b"2"


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "//evil", "a//evil", "./evil", "C:/evil", "c:evil", "a/C:/evil", "..", "a/.."],
)
def test_a_name_that_leads_outside_is_refused(tmp_path, name):
    refused(tmp_path, zipped(tmp_path / "a.zip", ("good", b"1"), (name, b"2")), "points out of the folder")


@pytest.mark.parametrize("name", ["a\\..\\..\\evil", "..\\evil", "\\\\host\\evil", "line\nbreak"])
def test_a_backslash_or_control_character_is_refused(tmp_path, name):
    refused(tmp_path, zipped(tmp_path / "a.zip", ("good", b"1"), (name, b"2")), "backslash or control character")


def test_a_nul_in_a_name_is_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("good.jpgXexe", b"1"))
    refused(tmp_path, patched(archive, lambda data: data.replace(b"jpgXexe", b"jpg\0exe")), "control character")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path, kind):
    entries = [(special("link", kind | 0o777), b"/"), ("link/evil", b"2")]
    refused(tmp_path, zipped(tmp_path / "a.zip", *entries), "'link' is a link, device")


def test_a_link_that_poses_as_a_folder_is_refused(tmp_path):
    refused(tmp_path, zipped(tmp_path / "a.zip", (special("link/", stat.S_IFLNK | 0o777), b"/")), "is a link")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("a/x.jpg", "a/x.jpg", "there twice"),
        ("a/x.jpg", "A/X.JPG", "one file on many disks"),
        ("\u00e9.jpg", "e\u0301.jpg", "one file on many disks"),
        ("a", "a/x.jpg", "both a file and a folder"),
        ("a/x.jpg", "A", "both a file and a folder"),
    ],
)
def test_names_that_collide_are_refused(tmp_path, first, second, why):
    refused(tmp_path, zipped(tmp_path / "a.zip", (first, b"1"), (second, b"2")), why)


def test_more_entries_than_allowed_are_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", *((f"{i}.jpg", b"") for i in range(11)))
    refused(tmp_path, archive, "at most 10 entries, found 11", max_files=10)
    assert len(unpack_zip(archive, tmp_path / "target", max_files=11)) == 11


def test_a_list_of_files_too_long_for_memory_is_refused_unread(tmp_path):
    archive = zipped(tmp_path / "a.zip", *((f"{i}.jpg", b"") for i in range(100)))
    refused(tmp_path, archive, "at most 10 entries, found a list of them 5190 bytes long", max_files=10)


def test_more_bytes_than_allowed_are_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("1", b"x" * 600), ("2", b"x" * 401))
    refused(tmp_path, archive, "more than 1000 bytes", max_bytes=1000)


def test_a_bomb_is_refused_by_its_ratio(tmp_path):
    archive = zipped(tmp_path / "a.zip", *((f"{i}", bytes(1_000_000)) for i in range(5)))
    refused(tmp_path, archive, "100 times the archive's own size")


def test_entries_that_share_one_stream_are_refused(tmp_path):
    """An overlapping bomb: many directory entries, one compressed stream."""
    archive = zipped(tmp_path / "a.zip", ("0000", bytes(1_000_000)))
    data = archive.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    entries = b"".join(data[start:end].replace(b"0000", b"%04d" % i) for i in range(50))
    tail = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 50, 50, len(entries), start, 0)
    archive.write_bytes(data[:start] + entries + tail)
    refused(tmp_path, archive, "damaged")


@pytest.mark.parametrize("claim", [10, 2000])
def test_a_header_that_lies_about_the_size_is_refused(tmp_path, claim):
    archive = zipped(tmp_path / "a.zip", ("x", b"y" * 1000))
    lie = patched(archive, lambda data: data.replace(struct.pack("<I", 1000), struct.pack("<I", claim)))
    refused(tmp_path, lie, "damaged|says 2000 bytes and holds 1000")


def test_an_encrypted_archive_is_refused_with_that_reason(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("x", b"y"))
    locked = patched(archive, lambda d: d[:6] + b"\1" + d[7:].replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"))
    refused(tmp_path, locked, "'x' is encrypted")


def test_an_unusual_compression_is_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("x", b"y"), compress=zipfile.ZIP_LZMA)
    refused(tmp_path, archive, "compression method 14")


@pytest.mark.parametrize("size", [0, 10, 500, 1000])
def test_a_truncated_archive_is_refused(tmp_path, size):
    archive = zipped(tmp_path / "a.zip", ("x", bytes(range(256)) * 4), compress=zipfile.ZIP_STORED)
    refused(tmp_path, patched(archive, lambda data: data[:size]), "damaged, or no ZIP archive")


def test_a_flipped_bit_is_refused_and_files_written_before_it_removed(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("first", b"1" * 99), ("second", b"2" * 99), compress=zipfile.ZIP_STORED)
    refused(tmp_path, patched(archive, lambda data: data.replace(b"22", b"32", 1)), "damaged.*second")


def test_a_target_that_exists_is_left_alone(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("x", b"y"))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").write_text("kept")
    refused(tmp_path, archive, "does not exist yet")


def test_an_archive_that_is_missing_is_bad_input(tmp_path):
    refused(tmp_path, tmp_path / "none.zip", "No such file")
