import pytest


@pytest.fixture(autouse=True)
def _this_machine_needs_no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
