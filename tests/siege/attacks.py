"""What the besiegers throw: odd bytes, paths and addresses."""

from __future__ import annotations

import random
import socket
from itertools import islice, product

from tests.corpus import encoded
from tests.data_sets import shapes

PATHS = ("etc/passwd", "proc/self/environ", "{secret}", "windows/win.ini", "root/.ssh/id_rsa")
CLIMBS = (
    *("/", "../", "../../../../../../", "..\\..\\..\\", "....//....//", "%2e%2e%2f", "%252e%252e%252f", "..%2f..%2f"),
    *(
        "..%5c",
        "..%c0%af",
        "/./",
        "//",
        "file:///",
        "\\\\127.0.0.1\\share\\",
        "~/",
        "..;/",
        "%00/",
        "./../",
        "///etc/../",
    ),
)
SUFFIXES = ("", "%00.png", "\0.png", "/.", "?x.png", "#.png")
ADDRESSES = (
    "127.0.0.1:{port}",
    "localhost:{port}",
    "[::1]:{port}",
    "0x7f000001:{port}",
    "2130706433:{port}",
    "0:{port}",
)
SCHEMES = (
    "http://{}/x.png",
    "https://{}/",
    "ftp://{}/",
    "gopher://{}/_x",
    "//{}/x",
    "http://a@{}/",
    "dict://{}/",
    "jar:http://{}!/",
)


def traversals(secret: str) -> list[str]:
    """Paths to files that a server must not open, in many spellings."""
    spelled = (climb + path + suffix for suffix, climb, path in product(SUFFIXES, CLIMBS, PATHS))
    return [text.replace("{secret}", secret.lstrip("/")) for text in islice(spelled, 250)]


def addresses(port: int) -> list[str]:
    """Addresses that a server must not connect to."""
    return [scheme.format(address.format(port=port)) for scheme, address in product(SCHEMES, ADDRESSES)] + [
        f"http://127.0.0.1:{port}/%0d%0aX-Injected:1",
        f"data:image/png;base64,http://127.0.0.1:{port}/",
    ]


def form(rng: random.Random) -> tuple[bytes, bytes]:
    """A content type and a body, each nearly a form with an image."""
    boundary = rng.choice([b"b", b"-" * 70, b"\xff", b'"', b"b b", b""])
    image = encoded(shapes("A", rng.randrange(5)), "PNG")
    name = rng.choice([b'name="image"', b"name=image", b'name="image', b"", b'name="' + b"a" * 9000 + b'"'])
    extra = rng.choice([b'; filename="a.png"', b"; filename*=utf-8''%ff", b'; filename="../../x"', b""])
    head = b"Content-Disposition: form-data; " + name + extra + rng.choice([b"\r\n\r\n", b"\n\n", b"\r\n", b"\0"])
    part = b"--" + boundary + rng.choice([b"\r\n", b"\n", b""]) + head + image + b"\r\n"
    body = part * rng.choice([1, 1, 1, 2, 300]) + rng.choice([b"--" + boundary + b"--\r\n", b"", b"--"])
    return b"multipart/form-data; boundary=" + boundary, mutated(body, rng)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, dropped or doubled; half of the time none."""
    content = bytearray(data)
    for _ in range(rng.choice([0, 0, 1, 5, 50])):
        at = rng.randrange(len(content) or 1)
        content[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
    return bytes(content)


def request(rng: random.Random) -> bytes:
    """An HTTP request as bytes, often wrong."""
    kind, body = form(rng)
    length = rng.choice([len(body), len(body), len(body), len(body) + 10, max(0, len(body) - 10), -1, 10**12])
    framing = rng.choice([b"Content-Length: %d\r\n" % length] * 4 + [b"Transfer-Encoding: chunked\r\n", b""])
    line = rng.choice(
        [b"POST /translate HTTP/1.1\r\n"] * 8 + [b"POST /translate HTTP/9\r\n", b"\0\0\0\r\n", b"PRI * HTTP/2.0\r\n"]
    )
    return line + b"Host: localhost\r\nContent-Type: " + kind + b"\r\n" + framing + b"\r\n" + body


def exchange(address: tuple[str, int], data: bytes, wait: float) -> bytes:
    """What a server says to bytes, within `wait` seconds."""
    said = b""
    try:
        with socket.create_connection(address, timeout=wait) as connection:
            connection.sendall(data)
            while piece := connection.recv(65536):
                said += piece
    except OSError:  # closed on us, or silent
        pass
    return said
