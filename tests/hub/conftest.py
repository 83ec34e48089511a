"""A hub on this machine for the tests of models and of data sets."""

import pytest

from tests.hub.server import hub_over


@pytest.fixture
def faults():
    """What becomes of the hub's next answers to a Range: see `Handler.faults`."""
    return []


@pytest.fixture
def hub(tmp_path, monkeypatch, faults):
    """A hub over tmp_path/hub; the requests it has seen."""
    import huggingface_hub.constants as settings

    (tmp_path / "hub").mkdir()
    with hub_over(tmp_path / "hub", faults) as (address, seen):
        monkeypatch.setattr(settings, "ENDPOINT", address)
        monkeypatch.setattr(
            settings, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(settings, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        yield seen
