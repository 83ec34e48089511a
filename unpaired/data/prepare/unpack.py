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
from pathlib import Path, PurePosixPath

from unpaired.errors import BadInput

MAX_FILES = 100_000
MAX_BYTES = 20 * 10**9
MAX_RATIO = 100
"""Deflate alone reaches 1032; archives of photographs stay below 2, of drawings below 20."""
RATIO_COUNTS_FROM = 10**6
"""Bytes below which the ratio says nothing: a few blank images may shrink a thousandfold."""
CHUNK = 1 << 18
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DRIVE = re.compile(r"[A-Za-z]:")
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    struct.error,
    UnicodeError,
)
"""What zipfile raises on damaged archives."""


def unpack_zip(
    archive: Path, target: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES, max_ratio: int = MAX_RATIO
) -> list[str]:
    """Write every file of `archive` under the new folder `target`.

    Every name is judged before anything is written; sizes are counted while writing, headers being claims.

    Args:
        archive: A ZIP file, stored or deflated.
        target: Folder to make; it must not exist.
        max_files: Entries allowed, folders included.
        max_bytes: Bytes allowed, all files together.
        max_ratio: Times the size of the archive itself that the files may reach.

    Returns:
        The files' paths inside `target`, "/" between folders, sorted.

    Raises:
        BadInput: damaged, encrypted, over a bound, or holding anything but regular files inside the target;
            nothing of it remains.
    """
    if target.exists():
        raise BadInput(f"{target}: expected a folder that does not exist yet; remove it, or choose another")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, max_files)
            target.mkdir(parents=True)
            _write_all(opened, members, target, min(max_bytes, _by_ratio(archive, max_ratio)))
    except BadInput as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BadInput(f"{archive}: {error}; nothing of it was kept") from error
    except DAMAGE as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BadInput(f"{archive}: damaged, or no ZIP archive ({error}); nothing of it was kept") from error
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BadInput(f"{archive}: cannot be unpacked into {target} ({error.strerror or error})") from error
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return sorted(members)


def _by_ratio(archive: Path, max_ratio: int) -> int:
    return max(max_ratio * archive.stat().st_size, RATIO_COUNTS_FROM)


def _members(opened: zipfile.ZipFile, max_files: int) -> dict[str, zipfile.ZipInfo]:
    """Files by name, every entry judged."""
    entries = opened.infolist()
    if len(entries) > max_files:
        raise BadInput(f"expected at most {max_files} entries, found {len(entries)}")
    members = {}
    for entry in entries:
        _judge_name(entry)
        _judge_kind(entry)
        if not entry.is_dir():
            _judge_clash(entry, members)
            members[entry.orig_filename] = entry
    _judge_folders(members)
    return members


def _judge_name(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename  # as stored: zipfile cuts `filename` at a NUL and turns backslashes on Windows
    parts = name.removesuffix("/").split("/")
    if "\\" in name or any(ord(character) < 32 for character in name):
        raise BadInput(f"entry {name!r} has a backslash or control character in its name")
    if any(part in ("", ".", "..") or DRIVE.match(part) for part in parts):
        raise BadInput(f"entry {name!r} points out of the folder it is unpacked into")


def _judge_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        raise BadInput(f"entry {entry.filename!r} is a link, device or other special file; only regular files are taken")
    if entry.flag_bits & 0x1:
        raise BadInput(f"entry {entry.filename!r} is encrypted; unpack it yourself with its password")
    if entry.compress_type not in METHODS:
        raise BadInput(f"entry {entry.filename!r} uses compression method {entry.compress_type}; repack with deflate")


def _judge_clash(entry: zipfile.ZipInfo, members: dict[str, zipfile.ZipInfo]) -> None:
    if entry.orig_filename in members:
        raise BadInput(f"entry {entry.filename!r} is there twice")


def _judge_folders(members: dict[str, zipfile.ZipInfo]) -> None:
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


def _write_all(opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], target: Path, limit: int) -> None:
    written = 0
    for name, entry in members.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with opened.open(entry) as source, path.open("xb") as file:
            for chunk in _chunks(source):
                size += len(chunk)
                if written + size > limit:
                    raise BadInput(f"expected at most {limit} bytes unpacked, found more at {name!r}")
                file.write(chunk)
        if size != entry.file_size:
            raise BadInput(f"entry {name!r} says {entry.file_size} bytes and holds {size}")
        written += size


def _chunks(source: zipfile.ZipExtFile | object) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):  # type: ignore[attr-defined]
        yield chunk
