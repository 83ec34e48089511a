"""Archives from strangers, through `prepare NAME --url`: nothing is written outside, or kept."""

from __future__ import annotations

import pytest

from tests.data.prepare.server import serving
from tests.faults.child import below, command, wrong_with_refusal
from tests.faults.hostile_archives import archives

pytestmark = pytest.mark.promise("hostile weights and archives")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_archives_from_strangers_are_refused_and_leave_nothing(tmp_path, promise):
    files = dict(archives(str(tmp_path / "canary")))
    assert len(files) >= 25
    (tmp_path / "work").mkdir()
    wrong = []
    for name, content in files.items():
        with serving(content) as server:
            url = f"{server.base}/horse2zebra.zip"
            outcome = command(["prepare", "horse2zebra", tmp_path / "work" / "data", "--url", url])
        fault = wrong_with_refusal(outcome, len(content))
        kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]  # for a second try
        if fault or kept or below(tmp_path / "work") or (tmp_path / "canary").exists():
            wrong.append(f"{name}: {fault} {kept} {sorted(below(tmp_path / 'work'))}")
    assert wrong == []
    promise(f"{len(files)} archives")
