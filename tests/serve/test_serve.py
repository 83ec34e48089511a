"""The server as clients see it: a real process, real requests."""

from __future__ import annotations

import io
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.corpus import encoded, exif, hostile, png_header, scene, tiff
from tests.data_sets import make_model, shapes
from tests.serve.running import server
from unpaired import Translator
from unpaired.cli import run
from unpaired.imaging.images import DecodedImage, encode_image, read_image


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"one": make_model(folder / "one").parent, "gray": make_model(folder / "gray", 1, 3, seed=1)}


@pytest.fixture(scope="module")
def running(models):
    with server(models["one"], f"second={models['gray']}") as running:
        yield running


def png(number=0, side=None):
    decoded = shapes("A", number)
    return encoded(decoded.resize((side, side)) if side else decoded, "PNG")


IMAGES = {
    "a.png": png(),
    "a.jpg": encoded(shapes("A", 1), "JPEG"),
    "a.webp": encoded(shapes("A", 2), "WEBP", lossless=True),
    "a.bmp": encoded(shapes("A", 3), "BMP"),
    "deep.png": encode_image(DecodedImage(scene(1, dtype=np.uint16)), ".png"),
    "deep.tif": tiff(scene(2, dtype=np.uint16), photometric="rgb"),
    "float.tif": tiff(scene(3, dtype=np.float32), photometric="rgb"),
    "clear.png": encoded(shapes("A", 4).convert("RGBA"), "PNG"),
    "gray.png": encoded(shapes("A", 5).convert("L"), "PNG"),
    "turned.jpg": encoded(shapes("A", 6), "JPEG", exif=exif(6)),
}


# The same bits as `translate`


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_the_answer_is_the_file_that_translate_writes(running, models, tmp_path, name, direction):
    source, target = tmp_path / name, tmp_path / "out" / name
    source.write_bytes(IMAGES[name])
    assert run(["translate", str(models["one"]), str(source), str(target), "--direction", direction]) == 0
    answer = running.post(IMAGES[name], f"?direction={direction}")
    assert answer.status_code == 200, answer.text
    assert answer.content == target.read_bytes()


def test_a_form_gives_what_the_bare_body_gives(running):
    with running.client() as client:
        answer = client.post("/translate", files={"image": ("../../etc/passwd", IMAGES["a.png"], "text/html")})
    assert answer.status_code == 200
    assert answer.content == running.post(IMAGES["a.png"]).content


def test_models_are_told_apart_by_name_and_the_first_is_the_default(running):
    decoded = IMAGES["gray.png"]
    first, second = running.post(decoded, "?model=one"), running.post(decoded, "?model=second")
    assert first.content == running.post(decoded).content
    assert first.content != second.content
    listed = running.get("/models").json()["models"]
    assert [model["name"] for model in listed] == ["one", "second"]
    assert listed[1]["directions"]["AtoB"] == {"channels_in": 1, "channels_out": 3, "max_pixels": 16_777_216}


@pytest.mark.parametrize(
    ("format", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF"), ("bmp", "BMP")]
)
def test_another_format_can_be_asked_for(running, format, kind):
    answer = running.post(IMAGES["a.png"], f"?format={format}")
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == kind
    if format != "jpg":
        expected = read_image(running.post(IMAGES["a.png"]).content).pixels
        np.testing.assert_array_equal(read_image(answer.content).pixels, expected)


@pytest.mark.parametrize("name", ["large.png", "deep.png"])
def test_the_training_size_can_be_asked_for(running, models, tmp_path, name):
    source, target = tmp_path / name, tmp_path / "out" / name
    source.write_bytes(IMAGES.get(name) or png(side=100))
    assert run(["translate", str(models["one"]), str(source), str(target), "--scale", "train"]) == 0
    answer = running.post(source.read_bytes(), "?scale=train")
    assert answer.status_code == 200, answer.text
    assert answer.content == target.read_bytes()
    side = Translator.load(models["one"]).bundle.experiment.data.crop_size
    assert read_image(answer.content).pixels.shape == (side, side, 3)


def test_images_that_come_together_get_the_bits_they_get_alone(running):
    images = [png(number) for number in range(16)] + [png(number, 50) for number in range(16)]
    alone = [running.post(decoded).content for decoded in images]
    before = batches(running)
    for _ in range(2):  # batches of a size seen for the first time are checked, later ones are not
        with running.client() as client, ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda decoded: client.post("/translate", content=decoded), images))
        assert sum(answer.status_code == 200 for answer in together) > 20
        assert all(a.status_code == 503 or a.content == b for a, b in zip(together, alone, strict=True))
    count, images_in_them = (after - then for after, then in zip(batches(running), before, strict=True))
    assert images_in_them > 1.5 * count  # they did come together


def batches(running):
    """Batches and images in them, by /metrics."""
    lines = dict(line.rsplit(" ", 1) for line in running.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines["unpaired_batch_images_count"]), float(lines["unpaired_batch_images_sum"])


# What it refuses


def refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert all(word in detail for word in words), detail
    assert "\n" not in detail and "Traceback" not in detail


@pytest.mark.parametrize(("name", "content"), [case for case in hostile() if case[0] not in ("dot.png", "line.png")])
def test_hostile_images_are_refused_in_a_line(running, name, content):
    answer = running.post(content)
    if answer.status_code == 200:  # a file cut at its last byte may still be whole
        assert name.startswith("cut18"), name
    else:
        refused(answer, 422)


def test_pixels_are_counted_before_they_are_decoded(running):
    begun, before = time.monotonic(), running.worker.memory_info().rss
    refused(running.post(png_header(50_000, 50_000)), 422, "50000x50000", "limit of 16777216 pixels")
    assert time.monotonic() - begun < 5 and running.worker.memory_info().rss - before < 50e6


def test_an_image_that_needs_more_memory_than_allowed_is_refused_with_the_limit_that_was_told(models):
    with server(models["one"], "--memory-gb", "0.05") as small:
        limit = small.get("/models").json()["models"][0]["directions"]["AtoB"]["max_pixels"]
        assert any("within 0.1 GB and 120 s" in line for line in small.said), small.said
        assert 10_000 < limit < 1_500_000
        side = int(limit**0.5)
        assert small.post(png(side=side // 2)).status_code == 200
        refused(small.post(png(side=side + 32)), 413, f"{side + 32}x{side + 32}", f"up to {limit} pixels")
        scaled = small.post(png(side=side + 32), "?scale=train")  # the limit holds for what the network sees
        assert scaled.status_code == 200, scaled.text
        if hasattr(psutil, "RLIMIT_DATA"):  # more than that, and the images that wait, it cannot even ask for
            assert small.worker.rlimit(psutil.RLIMIT_DATA)[0] < small.worker.memory_info().data + 2e9


def test_what_is_asked_for_must_be_there(running):
    decoded = IMAGES["a.png"]
    refused(running.post(decoded, "?model=third"), 422, "one, second", "third")
    refused(running.post(decoded, "?direction=up"), 422, "direction")
    refused(running.post(decoded, "?format=gif"), 422, "format")
    refused(running.post(decoded, "?scale=half"), 422, "scale")
    refused(running.post(b""), 422, "empty")
    refused(running.post(decoded, headers={"Content-Type": "text/plain"}), 415, "text/plain")
    refused(running.post(IMAGES["clear.png"], "?format=jpg"), 422, ".jpg cannot hold")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"files": {"image": b"x"}}, 422),
        ({"data": {"image": "text"}, "files": {"other": b"x"}}, 400),
        ({"files": [("image", b"x"), ("image", b"y")]}, 400),
        ({"content": b"no boundary at all", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"--b\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
    ],
)
def test_odd_forms_are_refused(running, form, status):
    with running.client() as client:
        refused(client.post("/translate", **form), status, "image")


def raw(running, head, *pieces, wait=10.0):
    """What comes back for bytes as they are."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        answer = b""
        try:
            connection.sendall(head.replace(b"\n", b"\r\n"))
            for piece in pieces:
                connection.sendall(piece)
            while piece := connection.recv(65536):
                answer += piece
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
        return answer


HEAD = b"POST /translate HTTP/1.1\nHost: localhost\nContent-Type: image/png\n"


def test_a_body_over_the_limit_is_refused_by_its_header(running):
    begun = time.monotonic()
    answer = raw(running, HEAD + b"Content-Length: 10000000000\n\n", b"\x89PNG")
    assert answer.startswith(b"HTTP/1.1 413 ") and time.monotonic() - begun < 5
    answer = raw(running, HEAD + b"Expect: 100-continue\nContent-Length: 10000000000\n\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_over_the_limit_is_refused_while_it_comes_in(models):
    with server(models["one"], "--max-mib", 1) as running:
        before = psutil.Process(running.process.pid).memory_info().rss
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        answer = raw(running, HEAD + b"Transfer-Encoding: chunked\n\n", *[chunk] * 400)  # 25 MiB, never ended
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
        answer = raw(running, HEAD + b"Transfer-Encoding: chunked\n\n", *[chunk] * 20)
        assert answer.startswith(b"HTTP/1.1 413 ") and b"connection: close" in answer.lower()
        form = running.client().post("/translate", files={"image": bytes(2**21)})
        refused(form, 413, "1048576 bytes")
        assert psutil.Process(running.process.pid).memory_info().rss - before < 20e6
        assert running.post(IMAGES["a.png"]).status_code == 200


@pytest.mark.parametrize("length", [b"-1", b"1e9", b"0x10", b"5, 6", b"\xff"])
def test_lying_lengths_are_bad_requests(running, length):
    assert raw(running, HEAD + b"Content-Length: " + length + b"\n\n", b"12345").startswith(b"HTTP/1.1 400 ")


def test_headers_have_a_limit(running):
    begun = time.monotonic()
    answer = raw(running, HEAD + b"X-Long: " + b"a" * 70_000)  # never ended
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - begun < 5  # the limit of size, not of time


# Who may ask


def test_other_names_and_other_sites_pages_are_refused(running):
    refused(running.get("/models", headers={"Host": "evil.example"}), 421)
    refused(running.get("/models", headers={"Origin": "http://evil.example"}), 403)
    assert running.get("/models", headers={"Origin": running.url}).status_code == 200
    assert running.get("/models", headers={"Host": "localhost:1234"}).status_code == 200


def test_a_token_is_asked_for_where_one_is_set(models, tmp_path):
    secret = "a-token-of-more-than-16-characters"
    (tmp_path / "token").write_text(secret + "\n")
    with server(models["one"], "--token-file", tmp_path / "token") as running:
        for path in ("/models", "/metrics"):
            refused(running.get(path), 401, "Bearer")
            assert running.get(path, headers={"Authorization": f"Bearer {secret}"}).status_code == 200
        refused(running.post(IMAGES["a.png"]), 401)
        for wrong in ("Bearer", f"Bearer {secret}x", f"Basic {secret}", secret, "Bearer ünïcode"):
            refused(running.post(IMAGES["a.png"], headers={"Authorization": wrong.encode()}), 401)
        assert running.post(IMAGES["a.png"], headers={"Authorization": f"bearer {secret}"}).status_code == 200
        assert running.get("/health/ready").status_code == running.get("/").status_code == 200
    with server(models["one"], ready=False, UNPAIRED_TOKEN=secret) as running:
        refused(running.get("/models"), 401)


def test_it_listens_on_this_machine_only(running):
    connections = psutil.Process(running.process.pid).net_connections()
    assert {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_every_answer_binds_the_browser_to_this_server(running):
    for path in ("/", "/page.js", "/models", "/nothing", "/openapi.json", "/docs"):
        headers = running.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
    assert running.get("/redoc").status_code == 404
    assert "//" not in running.get("/docs").text.replace(f"{running.url}", "")  # nothing from elsewhere


# Starting


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["/nothing/here"], ["/nothing/here", "no such file"]),
        (["a/b=/tmp"], ["a/b", "letters"]),
        (["x=/tmp", "x=/tmp"], ["another model named x"]),
        (["x=/tmp", "--host", "203.0.113.7"], ["203.0.113.7", "cannot be listened on"]),
        (["x=/tmp", "--token-file", "/nothing"], ["/nothing", "token"]),
        (["x=/tmp", "--queue", "0"], ["queue", "more than 0"]),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(args, words, capsys):
    assert run(["serve", *args]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words) and said.count("\n") == 1, said


def test_without_a_model_and_without_one_in_the_package_there_is_nothing_to_serve(monkeypatch, capsys):
    monkeypatch.setattr("unpaired.serve.names.shipped_models", dict)
    assert run(["serve"]) == 2
    assert "at least one model" in capsys.readouterr().err


def test_a_short_token_is_refused(tmp_path, capsys):
    (tmp_path / "token").write_text("short\n")
    assert run(["serve", "x=/tmp", "--token-file", str(tmp_path / "token")]) == 2
    assert "16 or more" in capsys.readouterr().err


def test_an_address_in_use_is_told_in_a_line(running, models, capsys):
    assert run(["serve", str(models["one"]), "--port", running.url.rpartition(":")[2]]) == 2
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["not a number", "not a model"])
def test_a_model_that_cannot_translate_ends_the_server_before_it_is_ready(models, tmp_path, fault):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    bundle, bad = models["one"] / "bundle.safetensors", tmp_path / "bad.safetensors"
    with safe_open(bundle, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(bundle)
    next(iter(tensors.values()))[:] = float("nan")
    save_file(tensors, bad, metadata if fault == "not a number" else None)
    with server(bad, ready=False) as running:
        assert running.process.wait(60) == 2
    assert any("finite" in line or "NaN" in line or "not a bundle" in line for line in running.said)


def test_a_setting_that_is_none_is_refused(running):
    refused(running.post(IMAGES["a.png"], "?formt=png&directon=BtoA"), 422, "found 'directon'")


def test_what_an_answer_does_not_take_along_is_in_its_headers(running):
    bright = tiff(np.full((16, 16, 3), 7, np.float32), photometric="rgb")
    answer = running.post(bright)
    assert "values outside 0 to 1 (100% of the image, clipped)" in answer.headers["Unpaired-Not-Taken-Along"]
    assert "Unpaired-Not-Taken-Along" not in running.post(IMAGES["a.png"]).headers


def test_the_kind_of_every_format_is_named(running):
    answer = running.post(encoded(shapes("A", 0).convert("P"), "GIF"))
    assert answer.headers["Content-Type"] == "image/gif"


@pytest.mark.parametrize("port", ["99999", "-1", "80000000000"])
def test_a_port_that_is_none_is_refused(models, capsys, port):
    assert run(["serve", str(models["one"]), "--port", port]) == 2
    assert f"--port: expected 0 to 65535, found {port}" in capsys.readouterr().err
