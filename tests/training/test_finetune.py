"""Training that starts from trained generators, its discriminators fresh."""

import pytest
import torch

from tests.data_sets import make_data, make_model, tiny
from tests.training.test_run import assert_same_end, train_in_pieces
from unpaired.checkpoints.bundle import BUNDLE, Bundle, load_bundle, write_bundle
from unpaired.checkpoints.run_state import load_state
from unpaired.core.errors import BadInput
from unpaired.experiment import build_method
from unpaired.training import train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("finetune") / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("trained"))


def weights(model, direction="AtoB"):
    return load_bundle(model).translators[direction].state_dict()


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def fresh(experiment, direction):
    torch.manual_seed(experiment.runtime.seed)
    return build_method(experiment).translators[direction].state_dict()


def test_during_the_warm_up_only_discriminators_learn(data, trained, tmp_path):
    experiment = tiny(
        data, optim__start=str(trained), optim__discriminator_warmup=6, method__generator__norm="instance"
    )
    run = train(experiment, tmp_path / "run")
    assert all(equal(weights(run, direction), weights(trained, direction)) for direction in ("AtoB", "BtoA"))
    torch.manual_seed(0)
    before = build_method(experiment).discriminators["D_Y"].state_dict()
    after, _ = load_state(run)
    assert after is not None
    assert all(
        not torch.equal(after.tensors[f"network/D_Y/{key}"], value)
        for key, value in before.items()
        if key.endswith("weight")
    )


def test_after_the_warm_up_the_generators_go_on_from_where_they_were(data, trained, tmp_path):
    run = train(tiny(data, optim__start=str(trained), optim__discriminator_warmup=5), tmp_path / "run")
    moved = [(weights(run)[key] - value).abs().max() for key, value in weights(trained).items()]
    assert 0 < max(moved) <= 2e-4 * 1.01  # one step of Adam


def test_the_running_average_starts_from_the_trained_generators_too(data, trained, tmp_path):
    settings = {"optim__start": str(trained), "optim__discriminator_warmup": 6, "optim__ema_decay": 0.9}
    run = train(tiny(data, **settings), tmp_path / "run")
    assert equal(weights(run), weights(trained))


def test_a_run_stopped_within_and_after_the_warm_up_ends_the_same(data, trained, tmp_path, monkeypatch):
    experiment = tiny(data, optim__start=str(trained), optim__discriminator_warmup=3)
    whole = train(experiment, tmp_path / "whole")
    assert_same_end(whole, train_in_pieces(experiment, tmp_path / "pieces", [2, 2], monkeypatch))


def test_of_a_bundle_with_one_direction_that_one_is_taken(data, trained, tmp_path):
    both = load_bundle(trained)
    write_bundle(tmp_path / "one", Bundle(both.experiment, {"BtoA": both.translators["BtoA"]}, 7))
    experiment = tiny(data, optim__start=str(tmp_path / "one"), optim__discriminator_warmup=6)
    run = train(experiment, tmp_path / "run")
    assert equal(weights(run, "BtoA"), weights(trained, "BtoA"))
    assert equal(weights(run, "AtoB"), fresh(experiment, "AtoB"))


def test_another_architecture_is_named_before_a_run_is_made(data, trained, tmp_path):
    expected = r"optim\.start: AtoB does not fit the generator: model\.1\.weight: expected \(8, 3, 7, 7\), found \(4, 3"
    with pytest.raises(BadInput, match=expected):
        train(tiny(data, optim__start=str(trained), method__generator__width=8), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_bundle_is_refused_with_the_way_to_make_one(data, tmp_path):
    (tmp_path / "net_G.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match="`unpaired convert` makes one"):
        train(tiny(data, optim__start=str(tmp_path / "net_G.pth")), tmp_path / "run")


def test_a_resumed_run_must_name_the_same_start_and_warm_up(data, trained, tmp_path):
    run = train(tiny(data, optim__start=str(trained)), tmp_path / "run")
    for other in (
        {},
        {"optim__start": str(run / BUNDLE)},
        {"optim__start": str(trained), "optim__discriminator_warmup": 1},
    ):
        with pytest.raises(BadInput, match="holds a run with other settings: optim"):
            train(tiny(data, **other), run)
