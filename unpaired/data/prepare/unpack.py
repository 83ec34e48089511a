"""Unpack an archive that nobody vouches for: regular files, inside the target, within bounds, or nothing."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from unpaired.core.errors import BadInput

MAX_FILES = 100_000
MAX_BYTES = 20 * 10**9
MAX_RATIO = 100
"""Deflate alone reaches 1032; archives of photographs stay below 2, of drawings below 20."""
RATIO_COUNTS_FROM = 10**6
"""Bytes below which the ratio is not checked: a few blank images may shrink a thousandfold."""
ENTRY_AT_MOST = 160
"""Bytes that an entry takes in the archive's list on average: 46, its name, and notes of the time."""
END_AT_MOST = 22 + 20 + 56 + 2**16
"""Bytes at the end of an archive among which its end is found, a comment included."""
CHUNK = 1 << 18
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DRIVE = re.compile(r"[A-Za-z]:")
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OverflowError, struct.error, UnicodeError)
"""Exceptions of zipfile for damaged archives."""


def unpack_zip(
    archive: Path, target: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES, max_ratio: int = MAX_RATIO
) -> list[str]:
    """Write every file of `archive`, stored or deflated, under the new folder `target`; returns their paths, sorted.

    Every name is checked before anything is written; sizes are counted while writing, headers being claims.

    Args:
        archive: A ZIP file.
        target: Folder to make; it must not exist.
        max_files: Entries allowed, folders included.
        max_bytes: Bytes allowed, all files together.
        max_ratio: Times the size of the archive itself that the files may reach.

    Raises:
        BadInput: damaged, encrypted, over a bound, or holding anything but regular files inside the target;
            nothing of it remains.
    """
    if target.exists():
        raise BadInput(f"{target}: expected a folder that does not exist yet; remove it, or choose another")
    try:
        _check_directory(archive, max_files)
        with _whole_or_nothing(target), zipfile.ZipFile(archive) as opened:
            members = _members(opened, max_files)
            target.mkdir(parents=True)
            _write_all(opened, members, target, _bound(archive, max_bytes, max_ratio))
    except BadInput as error:
        raise BadInput(f"{archive}: {error}; nothing of it was kept") from error
    except DAMAGE as error:
        raise BadInput(f"{archive}: damaged, or no ZIP archive ({error}); nothing of it was kept") from error
    except OSError as error:
        raise BadInput(f"{archive}: cannot be unpacked into {target} ({error.strerror or error})") from error
    return sorted(members)


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:  # Ctrl-C too
        shutil.rmtree(target, ignore_errors=True)
        raise


def _bound(archive: Path, max_bytes: int, max_ratio: int) -> tuple[int, str]:
    """The lower of the two bounds in bytes, and its name. The archive's size is a fact, its headers are claims."""
    by_ratio = max(max_ratio * archive.stat().st_size, RATIO_COUNTS_FROM)
    return min((max_bytes, "the most allowed"), (by_ratio, f"{max_ratio} times the archive's own size"))


def _check_directory(archive: Path, max_files: int) -> None:
    """Refuse a list of files too long to be read, which zipfile would take whole into memory, a kilobyte for each.

    The length of the list from the end of the archive, from the bytes that zipfile reads.
    """
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - END_AT_MOST))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    length = struct.unpack_from("<I", tail, at + 12)[0] if 0 <= at <= len(tail) - 22 else 0
    at = tail.rfind(b"PK\x06\x06")  # of ZIP64, whose own end stands before the other
    long = struct.unpack_from("<Q", tail, at + 40)[0] if 0 <= at <= len(tail) - 56 else 0
    length = long if length == 0xFFFFFFFF else length
    if length > max_files * ENTRY_AT_MOST:
        raise BadInput(f"expected at most {max_files} entries, found a list of them {length} bytes long")


def _members(opened: zipfile.ZipFile, max_files: int) -> dict[str, zipfile.ZipInfo]:
    """Files by name, every entry checked."""
    entries = opened.infolist()
    if len(entries) > max_files:
        raise BadInput(f"expected at most {max_files} entries, found {len(entries)}")
    members = {}
    for entry in entries:
        _check_name(entry)
        _check_kind(entry)
        if not entry.is_dir():
            if entry.orig_filename in members:
                raise BadInput(f"entry {entry.filename!r} is there twice")
            members[entry.orig_filename] = entry
    _check_clashes(members)
    return members


def _check_name(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename  # as stored: zipfile cuts `filename` at a NUL and turns backslashes on Windows
    parts = name.removesuffix("/").split("/")
    if "\\" in name or any(ord(character) < 32 for character in name):
        raise BadInput(f"entry {name!r} has a backslash or control character in its name")
    if any(part in ("", ".", "..") or DRIVE.match(part) for part in parts):
        raise BadInput(f"entry {name!r} points out of the folder it is unpacked into")


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        what = "a link, device or other special file"
        raise BadInput(f"entry {entry.filename!r} is {what}; only regular files are taken")
    if entry.flag_bits & 0x1:
        raise BadInput(f"entry {entry.filename!r} is encrypted; unpack it yourself with its password")
    if entry.compress_type not in METHODS:
        raise BadInput(f"entry {entry.filename!r} uses compression method {entry.compress_type}; repack with deflate")


def _check_clashes(members: dict[str, zipfile.ZipInfo]) -> None:
    """No two files share a name, and no file a folder's, where a disk takes upper and lower case for the same."""
    folders = {_folded(str(parent)) for name in members for parent in PurePosixPath(name).parents}
    seen: dict[str, str] = {}
    for name in members:
        folded = _folded(name)
        if folded in seen:
            raise BadInput(f"entries {seen[folded]!r} and {name!r} are one file on many disks")
        if folded in folders:
            raise BadInput(f"entry {name!r} is both a file and a folder")
        seen[folded] = name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _write_all(
    opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], target: Path, bound: tuple[int, str]
) -> None:
    limit, why = bound
    written = 0
    for name, entry in members.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = written
        with opened.open(entry) as source, path.open("xb") as file:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > limit:
                    raise BadInput(f"unpacks to more than {limit} bytes ({why})")
                file.write(chunk)
        if written - before != entry.file_size:
            raise BadInput(f"entry {name!r} says {entry.file_size} bytes and holds {written - before}")
