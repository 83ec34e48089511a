import hashlib
import signal
import subprocess
import sys
import time

import pytest

from tests.data.prepare.server import (
    endless,
    good,
    no_ranges,
    redirect_to,
    serving,
    stalls_after,
    status,
    trickles,
    truncated_at,
)
from unpaired.core.errors import BadInput
from unpaired.data.prepare.download import Limits, Refused, WrongHash, download

CONTENT = bytes(range(256)) * 800
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Limits(timeout=5, attempts=3, pause=0.001)


def fetch(server, folder, sha256: str | None = SHA256, limits=HASTY):
    return download(f"{server.base}/set.zip", folder / "set.zip", sha256, limits)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_whole_named_and_hashed(tmp_path):
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path, sha256=None) == SHA256
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert files(tmp_path) == ["set.zip"]


def test_what_from_where_and_how_large_is_said_before_it_starts(tmp_path, capsys):
    with serving(CONTENT) as server:
        fetch(server, tmp_path)
        assert f"downloading set.zip from {server.base}/set.zip (0.2 MB)" in capsys.readouterr().err


@pytest.mark.parametrize("trouble", [status(500), status(503), truncated_at(70_000), truncated_at(0)])
def test_a_server_that_fails_twice_is_asked_again(tmp_path, trouble):
    with serving(CONTENT, trouble, trouble) as server:
        assert fetch(server, tmp_path) == SHA256
        assert len(server.paths) == 3


def test_a_truncated_answer_is_continued_where_it_ended(tmp_path):
    with serving(CONTENT, truncated_at(70_000)) as server:
        fetch(server, tmp_path)
        assert server.ranges == [None, "bytes=70000-"]


def test_a_stalled_connection_is_given_up_and_continued(tmp_path):
    with serving(CONTENT, stalls_after(70_000, seconds=1.5)) as server:
        assert fetch(server, tmp_path, limits=Limits(timeout=0.3, pause=0.001)) == SHA256
        assert server.ranges == [None, "bytes=70000-"]


def test_a_part_from_an_earlier_run_is_continued(tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:1000])
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path) == SHA256
        assert server.ranges == ["bytes=1000-"]
    assert files(tmp_path) == ["set.zip"]


def test_a_part_that_is_whole_already_is_only_verified(tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path) == SHA256
        assert len(server.paths) == 1


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT + b"more")
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path, sha256=None) == SHA256


def test_a_part_of_another_version_is_thrown_away(tmp_path):
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path) == SHA256
        assert server.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("have", [0, 1000])
def test_a_range_nobody_asked_for_is_not_written(tmp_path, have):
    def from_ten(handler, content):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 10-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - 10))
        handler.end_headers()
        handler.wfile.write(content[10:])

    (tmp_path / "set.zip.part").write_bytes(CONTENT[:have])
    with serving(CONTENT, from_ten) as server:
        assert fetch(server, tmp_path, sha256=None) == SHA256


def test_a_server_without_ranges_sends_the_file_from_its_beginning(tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:1000])
    with serving(CONTENT, otherwise=no_ranges) as server:
        assert fetch(server, tmp_path) == SHA256
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_connection_that_drops_often_but_advances_is_never_given_up(tmp_path):
    def twenty_kilobytes(handler, content):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : start + 20_000])

    with serving(CONTENT, otherwise=twenty_kilobytes) as server:
        assert fetch(server, tmp_path) == SHA256
        assert len(server.paths) > HASTY.attempts


def test_a_server_that_always_truncates_is_given_up_and_the_part_kept(tmp_path):
    with serving(CONTENT, otherwise=truncated_at(5000)) as server:
        with pytest.raises(BadInput, match="gave up after 3 attempts.*5000 of 204800 bytes"):
            fetch(server, tmp_path)
    assert files(tmp_path) == ["set.zip.part"]


def test_nobody_listening_is_bad_input(tmp_path):
    with serving(CONTENT) as server:
        pass
    with pytest.raises(BadInput, match="gave up.*refused"):
        fetch(server, tmp_path)


def test_the_wrong_file_is_refused_and_removed(tmp_path):
    with serving(b"something else") as server:
        with pytest.raises(
            WrongHash, match=f"expected SHA-256 {SHA256}, found {hashlib.sha256(server.content).hexdigest()}"
        ):
            fetch(server, tmp_path)
    assert files(tmp_path) == []


def test_a_file_that_is_there_and_agrees_is_not_fetched_again(tmp_path):
    (tmp_path / "set.zip").write_bytes(CONTENT)
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path) == SHA256
        assert server.paths == []


def test_a_damaged_file_that_is_there_is_replaced(tmp_path):
    (tmp_path / "set.zip").write_bytes(CONTENT[:-1])
    with serving(CONTENT) as server:
        assert fetch(server, tmp_path) == SHA256
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_not_asked_again(tmp_path, code):
    with serving(CONTENT, otherwise=status(code)) as server:
        with pytest.raises(Refused, match=str(code)) as caught:
            fetch(server, tmp_path)
        assert caught.value.status == code
        assert len(server.paths) == 1
    assert files(tmp_path) == []


def test_a_redirect_to_another_http_address_is_followed(tmp_path):
    with serving(CONTENT) as elsewhere, serving(b"", redirect_to(f"{elsewhere.base}/there.zip")) as server:
        assert fetch(server, tmp_path) == SHA256
        assert elsewhere.paths == ["/there.zip"]


@pytest.mark.parametrize("scheme", ["file://", "ftp://127.0.0.1", "data:,"])
def test_a_redirect_away_from_http_is_refused(tmp_path, scheme):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with serving(b"", otherwise=redirect_to(f"{scheme}{secret}")) as server:
        with pytest.raises(BadInput, match=scheme.partition(":")[0]):
            fetch(server, tmp_path)
    assert files(tmp_path) == ["secret"]


@pytest.mark.parametrize("url", ["file:///set.zip", "ftp://127.0.0.1/x.zip", "data:,x", "set.zip", "http://[bad/x.zip"])
def test_only_http_addresses_are_taken(tmp_path, url):
    with pytest.raises(BadInput):
        download(url, tmp_path / "set.zip")
    assert files(tmp_path) == []


def test_a_file_over_the_cap_is_refused_before_it_is_read(tmp_path):
    with serving(CONTENT) as server:
        with pytest.raises(BadInput, match="at most 0.1 MB, found 0.2 MB"):
            fetch(server, tmp_path, limits=Limits(max_bytes=100_000))
    assert files(tmp_path) == []


def test_an_endless_answer_is_cut_off_at_the_cap(tmp_path):
    with serving(CONTENT, otherwise=endless) as server:
        with pytest.raises(BadInput, match="at most 1.0 MB"):
            fetch(server, tmp_path, limits=Limits(max_bytes=1_000_000))
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    with serving(CONTENT) as server, pytest.raises(BadInput, match="cannot be written"):
        fetch(server, tmp_path / "file")


@pytest.mark.slow
def test_a_run_killed_in_the_middle_is_finished_by_the_next(tmp_path):
    target, part = tmp_path / "set.zip", tmp_path / "set.zip.part"
    with serving(CONTENT, trickles(piece=10_000, seconds=0.05), good) as server:
        code = "from unpaired.data.prepare.download import *; import sys; download(sys.argv[1], Path(sys.argv[2]))"
        process = subprocess.Popen(
            [sys.executable, "-c", code, f"{server.base}/set.zip", str(target)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = part.stat().st_size
        assert 0 < left < len(CONTENT) and not target.exists()
        assert fetch(server, tmp_path) == SHA256
        assert server.ranges == [None, f"bytes={left}-"]
