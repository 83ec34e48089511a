"""Archives that nobody should trust, made by code: each a name and its bytes."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterator

Entry = tuple[str | zipfile.ZipInfo, bytes]


def zipped(*entries: Entry, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names that are there twice are wanted here
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def tarred(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(entry, io.BytesIO(b"evil"))
    return buffer.getvalue()


def crowded(entries: int) -> bytes:
    """Very many empty files."""
    local, central, offset = [], [], 0
    for number in range(entries):
        name = b"%07d" % number
        start = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
        local.append(b"PK\3\4" + start)
        about = struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, offset)
        central.append(b"PK\1\2" + about + name)
        offset += len(local[-1])
    listed = b"".join(central)
    count = min(entries, 0xFFFF)
    return b"".join(local) + listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), offset, 0)


def archives(canary: str) -> Iterator[tuple[str, bytes]]:
    """(name, content); `canary` is an absolute path that unpacking carelessly would write."""
    good: Entry = ("set/trainA/1.jpg", b"1")
    climb = "../" * 12
    for name, path in {
        "dot-dot": "../evil",
        "dot-dot-inside": "set/../../evil",
        "dot-dot-far": climb + canary.lstrip("/"),
        "absolute": canary,
        "double-slash": "/" + canary,
        "backslashes": "..\\..\\evil",
        "drive": "C:/evil",
        "dot": "./evil",
        "only-dots": "..",
        "line-break": "a\nb",
        "escape": "\x1b[2Jevil",
        "long": "a/" * 2000 + "x",
        "long-name": "a" * 5000,
    }.items():
        yield f"name-{name}", zipped(good, (path, b"evil"))
    yield "name-nul", zipped(good, ("evil.jpgXexe", b"1")).replace(b"jpgXexe", b"jpg\0exe")
    kinds = {"link": stat.S_IFLNK, "char": stat.S_IFCHR, "block": stat.S_IFBLK, "pipe": stat.S_IFIFO}
    for name, kind in {**kinds, "socket": stat.S_IFSOCK}.items():
        yield f"kind-{name}", zipped(good, (special("way", kind | 0o777), b"/"), ("way" + canary, b"evil"))
    yield "link-as-folder", zipped((special("way/", stat.S_IFLNK | 0o777), b"/"), ("way" + canary, b"evil"))
    yield "twice", zipped(good, good)
    yield "case", zipped(good, ("SET/TRAINA/1.JPG", b"2"))
    yield "unicode", zipped(("\u00e9.jpg", b"1"), ("e\u0301.jpg", b"2"))
    yield "file-and-folder", zipped(("a", b"1"), ("a/x", b"2"))
    yield "bomb", zipped(("zeros", bytes(5 * 10**7)))
    nested = zipped(("zeros", bytes(10**7)))
    yield "bomb-nested", zipped(*((f"{k}.zip", nested) for k in range(20)))
    bomb = zipped(("0000", bytes(10**7)))
    end = bomb.rindex(b"PK\5\6")
    start = struct.unpack("<I", bomb[end + 16 : end + 20])[0]
    listed = b"".join(bomb[start:end].replace(b"0000", b"%04d" % k) for k in range(500))
    tail = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 500, 500, len(listed), start, 0)
    yield "bomb-overlapping", bomb[:start] + listed + tail
    yield "crowd", crowded(150_000)
    yield "crowd-larger", crowded(400_000)
    yield "encrypted", _flagged(zipped(good), 1)
    yield "encrypted-strongly", _flagged(zipped(good), 0x41)
    for name, method in {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.items():
        yield f"method-{name}", zipped(good, compression=method)
    whole = zipped(*((f"set/trainA/{k}.jpg", bytes(range(256)) * 8) for k in range(20)))
    for percent in (0, 1, 30, 70, 99):
        yield f"cut-{percent:02}", whole[: len(whole) * percent // 100]
    yield "flipped", whole[:40] + bytes([whole[40] ^ 255]) + whole[41:]
    yield "lies-of-size", zipped(("x", b"y" * 1000)).replace(struct.pack("<I", 1000), struct.pack("<I", 2**31))
    yield "directory-outside", whole[:-6] + struct.pack("<I", 2**31) + whole[-2:]
    yield "tar", tarred(climb + canary.lstrip("/"))
    yield "tar-gz", tarred(canary, mode="w:gz")
    for name, kind in {"link": tarfile.SYMTYPE, "hard-link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}.items():
        yield f"tar-{name}", tarred("way", kind, canary)
    yield "html", b"<!DOCTYPE html><html>404 Not Found</html>"
    yield "wrong-counts", zipped(good, ("set/trainB/1.jpg", b"2"))


def _flagged(content: bytes, flag: int) -> bytes:
    """The archive with a flag in both places that tell of its first entry."""
    at = content.rindex(b"PK\1\2")
    content = content[:6] + struct.pack("<H", flag) + content[8:]
    return content[: at + 8] + struct.pack("<H", flag) + content[at + 10 :]
