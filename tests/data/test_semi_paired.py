"""A few aligned pairs mixed into unpaired training."""

import shutil

import pytest
import torch
from torch.testing import assert_close

from tests.data_sets import make_data, shapes, tiny
from tests.training.test_run import assert_same_end, lines, train_in_pieces
from unpaired.core.errors import BadInput
from unpaired.data.pairing import UnpairedImages
from unpaired.experiment import build_method
from unpaired.methods import compute_losses
from unpaired.training import train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = make_data(tmp_path_factory.mktemp("semi") / "data")
    for side in "AB":
        (root / f"pairs{side}").mkdir()
        for k in range(3):
            shapes("A", 40 + k).save(root / f"pairs{side}/{k:02}.png")  # B shows what A shows
    return root


def test_pairs_come_beside_the_unpaired_images_which_stay_as_they_were(data):
    plain, semi = (UnpairedImages(tiny(data, data__pairs=pairs).data, 0) for pairs in (0, 2))
    for step in range(12):
        batch, other = plain.batch(step), semi.batch(step)
        assert torch.equal(batch.x, other.x) and torch.equal(batch.y, other.y) and batch.pairs is None
        x, y = other.pairs
        assert x.shape == (2, 3, 32, 32) and torch.equal(x, y)  # one crop, one mirror
    assert not torch.equal(semi.batch(0).pairs[0], semi.batch(1).pairs[0])
    assert torch.equal(semi.batch(7).pairs[0], semi.batch(7).pairs[0])


def test_the_paired_term_is_the_distance_to_the_truth_both_ways(data):
    torch.manual_seed(0)
    method = build_method(tiny(data, method__paired_weight=3.0))
    x, y = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    terms, _ = compute_losses(method.paired_losses(x, y))
    assert_close(terms["paired/G"], 3 * (method.G(x) - y).abs().mean())
    assert_close(terms["paired/F"], 3 * (method.F(y) - x).abs().mean())
    assert build_method(tiny(data, method__paired_weight=0.0)).paired_losses(x, y) == []


@pytest.mark.slow
def test_the_term_is_there_only_where_pairs_are(data, tmp_path):
    with_pairs = train(tiny(data, data__pairs=1), tmp_path / "with")
    without = train(tiny(data), tmp_path / "without")
    assert all(line["losses"]["paired/F"] > 0 for line in lines(with_pairs))
    assert not any("paired/F" in line["losses"] for line in lines(without))


@pytest.mark.slow
def test_a_semi_paired_run_resumes_exactly(data, tmp_path, monkeypatch):
    experiment = tiny(data, data__pairs=1, data__workers=2)
    whole = train(experiment, tmp_path / "whole")
    assert_same_end(whole, train_in_pieces(experiment, tmp_path / "pieces", [2, 1], monkeypatch))


def test_pairs_that_are_none_are_named(data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    (root / "pairsB/01.png").unlink()
    with pytest.raises(BadInput, match="data.pairs: expected pairsA and pairsB .* 1 without a partner: 01"):
        train(tiny(root, data__pairs=1), tmp_path / "run")
    shutil.rmtree(root / "pairsA")
    with pytest.raises(BadInput, match="no images in .*pairsA"):
        train(tiny(root, data__pairs=1), tmp_path / "run")


@pytest.mark.parametrize("name", ["cut", "simgan"])
def test_methods_that_learn_nothing_from_pairs_refuse_them(data, name):
    with pytest.raises(BadInput, match=f"data.pairs: {name} learns nothing from pairs .* one of: cyclegan"):
        build_method(tiny(data, data__pairs=1, method__name=name))
