"""Masks of training images: found, cropped with their image, refused where they do not fit, and learnt from."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.data.test_archives import make_tar, parquet
from tests.data_sets import HEIGHT, WIDTH, make_data, tiny
from tests.training.test_run import assert_same_end, lines, train_in_pieces
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.cli import run
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.folders import PixelStore, domain_files
from unpaired.data.pairing import Portion, UnpairedImages
from unpaired.data.prepare.folders import prepare_folders
from unpaired.data.prepare.shards import prepare_shards
from unpaired.data.selection import SKIPPED
from unpaired.experiment import build_method
from unpaired.imaging.images import read_image
from unpaired.methods import Batch
from unpaired.training import train
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

PARTS = ("trainA", "trainB", "testA", "testB", "masksA", "masksB")


def masked_data(root, **counts):
    """A data set whose images show in red where their mask is white."""
    make_data(root, **counts)
    for part, masks in (("trainA", "masksA"), ("trainB", "masksB")):
        (root / masks).mkdir()
        for k, path in enumerate(sorted((root / part).iterdir())):
            image = np.array(Image.open(path))
            inside = np.zeros(image.shape[:2], np.uint8)
            inside[4 : 20 + k, 6 + k : 30] = 255
            image[..., 0] = inside
            Image.fromarray(image).save(path)
            Image.fromarray(inside).save(root / masks / f"{path.stem}.bmp")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return masked_data(tmp_path_factory.mktemp("masks") / "data")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return train(tiny(data, data__masks=True), tmp_path_factory.mktemp("whole") / "run")


def batches(root, **settings):
    images = UnpairedImages(tiny(root, data__masks=True, data__batch=2, **settings).data, 0)
    return list(images.batches(0, 2 * images.steps_per_epoch))


@pytest.mark.parametrize("preprocess", ["crop", "none"])
def test_a_mask_is_cropped_and_mirrored_as_its_image(data, preprocess):
    for batch in batches(data, data__preprocess=preprocess):
        for images, mask in zip((batch.x, batch.y), batch.masks, strict=True):
            assert mask.shape == (len(images), 1, *images.shape[2:])
            assert torch.equal(mask[:, 0], (images[:, 0] > 0).float())


def test_a_mask_is_resized_as_its_image_and_stays_between_0_and_1(data):
    for batch in batches(data):
        for images, mask in zip((batch.x, batch.y), batch.masks, strict=True):
            assert float(mask.min()) == 0 and float(mask.max()) == 1
            assert ((mask[:, 0] > 0.5) == (images[:, 0] > 0)).float().mean() > 0.98


def test_resizing_a_mask_makes_no_value_beyond_those_it_has(tmp_path):
    values = np.full((36, 40), 100, np.uint8)
    values[10:20, 10:20] = 200
    Image.fromarray(values).save(tmp_path / "mask.png")
    pixels = PixelStore(DataConfig(load_size=60, crop_size=32)).read_mask(tmp_path / "mask.png")
    assert pixels.shape == (60, 60, 1) and pixels.min() == 100 and pixels.max() == 200
    assert len(np.unique(pixels)) > 2  # and its edges are soft


def test_the_images_are_those_of_training_without_masks(data):
    plain = UnpairedImages(tiny(data, data__batch=2).data, 0)
    for step, batch in enumerate(batches(data)):
        other = plain.batch(step)
        assert torch.equal(batch.x, other.x) and torch.equal(batch.y, other.y) and other.masks is None


def in_folders_of_their_own(root, data):
    shutil.copytree(data, root)
    (root / "masksA/deep/er").mkdir(parents=True)
    (root / "masksA/02.bmp").rename(root / "masksA/deep/er/02.bmp")


def in_lists(root, data):
    root.mkdir()
    for part in PARTS:
        (root / f"{part}.txt").write_text("\n".join(map(str, domain_files(data, part))))


def in_tars(root, data):
    prepare_shards(root, data, images=4)


def in_tars_beside_folders(root, data):
    shutil.copytree(data, root)
    shutil.rmtree(root / "masksB")
    make_tar(root / "masksB.tar", {path.name: path.read_bytes() for path in (data / "masksB").iterdir()})


def in_parquet(root, data):
    for part in PARTS:
        files = list(domain_files(data, part))
        for k, some in enumerate((files[:3], files[3:])):
            if some:
                parquet(root / f"data/{part}-{k:05}-of-00002.parquet", some)


@pytest.mark.parametrize("lay_out", [in_folders_of_their_own, in_lists, in_tars, in_tars_beside_folders, in_parquet])
def test_masks_are_found_in_every_form_that_a_part_can_have(data, tmp_path, lay_out):
    lay_out(tmp_path / "data", data)
    for one, other in zip(batches(tmp_path / "data"), batches(data), strict=True):
        assert torch.equal(one.x, other.x)
        assert all(map(torch.equal, one.masks, other.masks))
    assert examine(tmp_path / "data").ok


@pytest.mark.slow
def test_a_masked_run_resumes_exactly_and_readers_do_not_matter(data, whole, tmp_path, monkeypatch):
    experiment = tiny(data, data__masks=True, data__workers=3, data__cache_gb=0)
    assert_same_end(train_in_pieces(experiment, tmp_path / "pieces", [2, 1], monkeypatch), whole)
    assert all(line["losses"]["background/G"] > 0 for line in lines(whole))


def test_white_masks_without_the_background_term_train_the_same_weights(data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    for path in [*domain_files(root, "masksA"), *domain_files(root, "masksB")]:
        Image.new("L", (WIDTH, HEIGHT), 255).save(path)
    masked = train(tiny(root, data__masks=True, method__background_weight=0.0), tmp_path / "masked")
    plain = train(tiny(root), tmp_path / "plain")
    one, other = load_file(masked / BUNDLE), load_file(plain / BUNDLE)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def after_one_step(data, accumulate):
    """The weights after a step on a batch of four in so many parts, in double precision."""
    experiment = tiny(data, data__masks=True, data__batch=4, optim__accumulate=accumulate, method__history=0)
    torch.manual_seed(0)
    trainer = Trainer(build_method(experiment).double(), experiment.optim, Engine(experiment.runtime))
    batch = UnpairedImages(experiment.data, 0).batch(0)
    masks = tuple(mask.double() for mask in batch.masks)
    trainer.train_step(Batch(batch.x.double(), batch.y.double(), masks))
    return torch.cat([weight.detach().flatten() for weight in trainer.method.parameters()])


def test_masks_go_through_the_networks_in_parts_with_their_images(data):
    assert_close(after_one_step(data, accumulate=3), after_one_step(data, accumulate=1), rtol=0, atol=1e-9)


def test_masks_are_dealt_to_processes_with_their_images(data):
    cfg = tiny(data, data__masks=True).data
    (whole,) = UnpairedImages(cfg, 0, portion=Portion(0, 1, accumulate=5)).batches(0, 1)
    shares = [UnpairedImages(cfg, 0, portion=Portion(k, 5)).batch(0) for k in range(5)]
    for side in (0, 1):
        assert torch.equal(torch.cat([share.masks[side] for share in shares]), whole.masks[side])


# What is not right is named


@pytest.fixture
def broken(data, tmp_path):
    """One mask missing, one of another size, one that is none, one of two channels; and one that is nobody's."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    (root / "masksA/01.bmp").rename(root / "masksA/nobody.bmp")
    Image.new("L", (30, 36)).save(root / "masksA/03.bmp")
    (root / "masksB/00.bmp").write_bytes(b"no image")
    Image.new("LA", (40, 36)).save(root / "masksB/04.png")
    return root


def test_the_doctor_looks_at_masks_and_names_every_image_without_a_good_one(data, broken):
    assert examine(data).ok
    assert examine(data).folders["masksA"].images == 6
    found = {f.path: (f.reason, f.message) for f in examine(broken).findings if f.severity == "refused"}
    assert found.pop("trainB/00.png")[1].startswith("its mask masksB/00.bmp: ")
    assert found == {
        "trainA/01.png": ("mask", "no mask of its name in masksA"),
        "trainA/03.png": ("mask", "its mask masksA/03.bmp is 30x36, the image 40x36"),
    }


@pytest.mark.slow
def test_training_is_refused_with_all_of_them_named_or_leaves_them_out(broken, tmp_path):
    with pytest.raises(BadInput, match=r"3 images cannot be used: trainA/01\.png .*trainA/03\.png .*trainB/00\.png"):
        train(tiny(broken, data__masks=True), tmp_path / "run")
    train(tiny(broken, data__masks=True, data__on_bad_image="skip"), tmp_path / "run")
    assert '"trainA": 4' in (tmp_path / "run" / SKIPPED).read_text()
    train(tiny(broken), tmp_path / "plain")  # which asks for no masks


def test_a_mask_that_is_lost_or_changed_after_the_first_step_is_named(data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    cfg = tiny(root, data__masks=True, data__preprocess="crop").data
    images = UnpairedImages(cfg, 0)
    for path in domain_files(root, "masksA"):
        Image.new("L", (50, 50)).save(path)
    with pytest.raises(BadInput, match=r"masksA/.*\.bmp: no longer of the size of its image .*trainA"):
        images.batch(0)
    (root / "masksB/01.bmp").unlink()
    with pytest.raises(BadInput, match=r"data\.masks: expected masksB .* found none for .*trainB/01\.png"):
        UnpairedImages(cfg, 0)


def test_one_mask_is_not_taken_for_two_images_of_one_name_in_two_folders(data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    (root / "trainA/deep").mkdir()
    shutil.copy(root / "trainA/01.png", root / "trainA/deep/00.png")
    with pytest.raises(BadInput, match=r"trainA/deep/00\.png \(no mask of its name in masksA\)"):
        train(tiny(root, data__masks=True), tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method.name": "simgan"}, "data.masks: simgan takes no masks; set --method.name to one of: cyclegan"),
        (
            {"data.channels_a": 1, "method.identity_weight": 0},
            "data.masks: what is outside of a mask stays as it is, which needs equal channels, got 1 and 3",
        ),
    ],
)
def test_what_masks_cannot_do_is_refused_in_one_line(data, tmp_path, capsys, settings, words):
    flags = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    command = ["train", "smoke", "--data", str(data), "--out", str(tmp_path / "run"), "--data.masks", *flags]
    assert run(command) == 2 and not (tmp_path / "run").exists()
    said = capsys.readouterr().err.splitlines()
    assert words in said[-1]


def test_a_data_set_without_masks_says_so(tmp_path):
    with pytest.raises(BadInput, match="no images in .*masksA"):
        train(tiny(make_data(tmp_path / "data"), data__masks=True), tmp_path / "run")


# Preparing them


def test_prepared_folders_hold_the_masks_of_training_and_test_images(data, tmp_path):
    out, masks = tmp_path / "out", (data / "masksA", data / "masksB")
    manifest = prepare_folders(out, data / "trainA", data / "trainB", 0.34, masks=masks)
    assert manifest.counts == {"trainA": 4, "testA": 2, "trainB": 3, "testB": 2, "masksA": 6, "masksB": 5}
    for side in "AB":
        for path in domain_files(out, f"masks{side}"):
            assert path.read_bytes() == (data / f"masks{side}" / path.name).read_bytes()
    train(tiny(out, data__masks=True), tmp_path / "run")
    command = ["translate", str(tmp_path / "run"), str(out / "testA"), str(tmp_path / "done")]
    assert run([*command, "--mask", str(out / "masksA")]) == 0
    for path in domain_files(out, "testA"):
        outside = read_image(out / f"masksA/{path.stem}.bmp").pixels[..., 0] == 0
        before, after = (read_image(folder / path.name).pixels for folder in (out / "testA", tmp_path / "done"))
        assert (after[outside] == before[outside]).all() and outside.any()


def test_masks_that_do_not_fit_are_named_before_anything_is_prepared(broken, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(BadInput, match=r"--mask-a .*2 are missing or cannot be used: none for .*01\.png; .*03\.bmp is"):
        prepare_folders(out, broken / "trainA", broken / "trainB", masks=(broken / "masksA", None))
    with pytest.raises(BadInput, match="--mask-b .*expected a folder of masks"):
        prepare_folders(out, broken / "trainA", broken / "trainB", masks=(None, tmp_path / "nothing"))
    assert not out.exists()
