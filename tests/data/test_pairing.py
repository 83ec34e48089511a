import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data_sets import make_data, shapes
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.pairing import UnpairedImages
from unpaired.imaging.images import to_tensor


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Six images of A, five of B."""
    return make_data(tmp_path_factory.mktemp("pairing") / "data")


def open_data(root, seed=0, **settings):
    usual = {"root": str(root), "load_size": 20, "crop_size": 16, "workers": 0}
    return UnpairedImages(DataConfig(**(usual | settings)), seed)


def names(data, epoch):
    """The files of A and of B of one epoch, in order."""
    pairs = [data.pair(epoch, index) for index in range(data.length)]
    return [a.file.name for a, _, _ in pairs], [b.file.name for _, b, _ in pairs]


def assert_same(batches, others):
    batches, others = list(batches), list(others)
    assert len(batches) == len(others)
    for one, other in zip(batches, others, strict=True):
        assert one.files == other.files
        assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


@pytest.mark.parametrize(("a", "b", "length"), [(6, 5, 6), (3, 7, 7), (4, 4, 4), (1, 1, 1)])
def test_an_epoch_is_as_long_as_the_larger_folder(tmp_path, a, b, length):
    data = open_data(make_data(tmp_path, a, b))
    assert data.length == data.steps_per_epoch == length


def test_the_longer_folder_a_is_seen_once_each_epoch(root):
    data = open_data(root)
    for epoch in range(5):
        assert sorted(names(data, epoch)[0]) == [f"{k:02}.png" for k in range(6)]


def test_the_shorter_folder_a_is_repeated_evenly(tmp_path):
    data = open_data(make_data(tmp_path, a=3, b=8))
    for epoch in range(5):
        assert sorted(Counter(names(data, epoch)[0]).values()) == [2, 3, 3]


def test_b_is_drawn_uniformly_with_replacement(root):
    data = open_data(root)
    epochs = [names(data, epoch)[1] for epoch in range(200)]
    counts = Counter(name for epoch in epochs for name in epoch)
    assert len(counts) == 5 and sum(counts.values()) == 1200
    assert sum((count - 240) ** 2 / 240 for count in counts.values()) < 18.5  # 4 degrees of freedom, 1 in 1000
    distinct = sum(len(set(epoch)) for epoch in epochs) / 200
    assert distinct == pytest.approx(5 * (1 - 0.8**6), abs=0.2)  # 3.69; drawn without replacement it would be 5


def test_b_is_drawn_independently_of_a(root):
    """Each of the 30 pairings is met."""
    data = open_data(root)
    met = {pair for epoch in range(100) for pair in zip(*names(data, epoch), strict=True)}
    assert len(met) == 30


def test_epochs_differ_in_order_and_in_crops(root):
    data = open_data(root, flip=False)
    orders = {tuple(names(data, epoch)[0]) for epoch in range(20)}
    assert len(orders) > 15  # of 720
    crops = {}
    for epoch in range(20):
        for index in range(data.length):
            crop = data.pair(epoch, index)[0]
            crops.setdefault(crop.file.name, set()).add(crop.pixels.tobytes())
    assert min(map(len, crops.values())) > 8  # of 25 places


def test_the_seed_decides_everything(root):
    assert_same(open_data(root, seed=3).batches(0, 12), open_data(root, seed=3).batches(0, 12))
    assert names(open_data(root, seed=3), 0) != names(open_data(root, seed=4), 0)


def test_images_of_x_come_from_a_and_those_of_y_from_b(root):
    """A is blue with red, B gray with green: told apart by the mean of blue over green."""
    for batch in open_data(root, batch=2).batches(0, 6):
        x, y = batch.x.mean((0, 2, 3)), batch.y.mean((0, 2, 3))
        assert x[2] > x[1] + 0.1 and y[1] > y[2]
        assert [path.parent.name for path in batch.files] == ["trainA"] * 2 + ["trainB"] * 2
        assert batch.x.dtype == torch.float32 and -1 <= batch.x.min() and batch.x.max() <= 1


def test_the_last_batch_of_an_epoch_is_smaller(root):
    data = open_data(root, batch=4)
    assert data.steps_per_epoch == 2
    batches = list(data.batches(0, 4))
    assert [len(batch.x) for batch in batches] == [len(batch.y) for batch in batches] == [4, 2, 4, 2]
    for epoch in (0, 1):
        seen = [path.name for batch in batches[2 * epoch : 2 * epoch + 2] for path in batch.files[: len(batch.x)]]
        assert sorted(seen) == [f"{k:02}.png" for k in range(6)]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_number_of_workers_changes_nothing(root, workers, batch):
    plain = open_data(root, batch=batch).batches(0, 13)
    assert_same(open_data(root, batch=batch, workers=workers).batches(0, 13), plain)


@pytest.fixture(scope="module")
def whole(root):
    return list(open_data(root, batch=4).batches(0, 12))


@settings(max_examples=25, deadline=None)
@given(bounds=st.tuples(st.integers(0, 12), st.integers(0, 12)), workers=st.sampled_from([0, 2]))
def test_a_run_may_start_at_any_step(root, whole, bounds, workers):
    start, stop = sorted(bounds)
    assert_same(open_data(root, batch=4, workers=workers).batches(start, stop), whole[start:stop])


@pytest.mark.parametrize("cache_gb", [0.0, 2.5 * 20 * 20 * 3 / 1e9])
def test_the_cache_changes_no_pixel(root, cache_gb):
    """Off, and with room for two and a half images."""
    data = open_data(root, cache_gb=cache_gb)
    assert_same(data.batches(0, 13), open_data(root, cache_gb=4.0).batches(0, 13))
    assert len(data.store.kept) == (2 if cache_gb else 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_different_sizes_in_one_batch_are_refused_by_name(tmp_path, workers):
    root = make_data(tmp_path)
    shapes("A", 9).resize((48, 52)).save(root / "trainA/large.png")
    data = open_data(root, preprocess="none", batch=7, workers=workers)
    with pytest.raises(BadInput) as caught:
        list(data.batches(0, 1))
    message = str(caught.value)
    assert "data.batch" in message and "large.png 48x52" in message and "00.png 40x36" in message
    assert "\n" not in message
    assert len(list(open_data(root, preprocess="none").batches(0, 7))) == 7


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_broken_file_is_named_when_its_turn_comes(tmp_path, workers):
    root = make_data(tmp_path, a=6, b=1)
    broken = root / "trainA/03.png"
    broken.write_bytes(broken.read_bytes()[:70])
    data = open_data(root, workers=workers)
    seen = []
    with pytest.raises(BadInput, match="03.png"):
        for batch in data.batches(0, 6):
            seen.append(batch.files[0].name)
    assert seen == names_before(open_data(root, workers=workers), "03.png")
    assert not reading_threads()


def names_before(data, name):
    files = [data.a[k].name for k in torch.arange(len(data.a))]
    for path in data.a:
        shapes("A", 0).save(path)
    order = names(data, 0)[0]
    assert sorted(order) == sorted(files)
    return order[: order.index(name)]


def test_a_missing_file_is_named(tmp_path):
    data = open_data(make_data(tmp_path, a=1, b=1), workers=2)
    (tmp_path / "trainB/00.png").unlink()
    with pytest.raises(BadInput, match=r"trainB/00\.png.*No such file"):
        list(data.batches(0, 1))


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_no_thread_is_left_when_reading_stops_early(root):
    batches = open_data(root, workers=3).batches(0, 10_000)
    next(batches), next(batches)
    assert reading_threads()
    batches.close()
    assert not reading_threads()


def test_no_thread_is_left_when_the_reader_fails(root):
    with pytest.raises(ZeroDivisionError):
        for _ in open_data(root, workers=2).batches(0, 10_000):
            raise ZeroDivisionError
    assert not reading_threads()


def test_reading_ahead_is_bounded(root):
    """Ten thousand steps are not loaded at once."""
    data = open_data(root, workers=2)
    asked = []
    read = data.batch
    data.batch = lambda step: asked.append(step) or read(step)
    batches = data.batches(0, 10_000)
    next(batches)
    batches.close()
    assert 1 <= len(asked) <= 4


def test_a_gray_file_serves_a_domain_of_colour_and_the_other_way_round(tmp_path):
    root = make_data(tmp_path, a=1, b=1)
    Image.new("L", (40, 36), 200).save(root / "trainA/00.png")
    batch = open_data(root, channels_a=3, channels_b=1).batch(0)
    assert batch.x.shape == (1, 3, 16, 16) and batch.y.shape == (1, 1, 16, 16)
    torch.testing.assert_close(batch.x, torch.full_like(batch.x, 200 / 127.5 - 1))


def paired_folder(root, names_a, names_b):
    """B is A's image with its colours exchanged; every pixel tells its place."""
    for folder, names in (("trainA", names_a), ("trainB", names_b)):
        (root / folder).mkdir(parents=True)
        for name in names:
            pixels = np.random.default_rng(int(Path(name).stem)).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels if folder == "trainA" else 255 - pixels).save(root / folder / name)


def test_pairs_are_cropped_and_mirrored_alike(tmp_path):
    paired_folder(tmp_path, ["1.png", "2.png", "3.png"], ["3.png", "1.png", "2.png"])
    cfg = DataConfig(root=str(tmp_path), preprocess="crop", crop_size=8, batch=2, paired=True)
    images = UnpairedImages(cfg, seed=3)
    crops = []
    for step in range(8):
        batch = images.batch(step)
        torch.testing.assert_close(batch.x, -batch.y)
        crops.append(batch.x[0])
    assert len({tuple(crop.flatten().tolist()) for crop in crops}) > 4  # other crops and mirrors at every step


def test_pairs_of_different_names_are_refused_and_named(tmp_path):
    paired_folder(tmp_path, ["1.png", "2.png"], ["1.png", "3.png"])
    with pytest.raises(BadInput, match=r"same names, found 2 without a partner: 2, 3; set data.paired false"):
        UnpairedImages(DataConfig(root=str(tmp_path), paired=True), seed=0)


def save_depth(path, dtype):
    """An image of noise with the depth of `dtype`."""
    values = np.random.default_rng(0).random((20, 24)) * (1 if dtype == np.float32 else np.iinfo(dtype).max)
    Image.fromarray(values.astype(dtype)).save(path)


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint8, "png"), (np.uint16, "png"), (np.float32, "tiff")])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_is_scaled_and_mirrored_as_a_batch_has_the_numbers_of_images_one_by_one(tmp_path, dtype, suffix, layout):
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        for k in range(4):
            save_depth(tmp_path / f"train{side}/{k}.{suffix}", dtype)
    data = open_data(tmp_path, preprocess="crop", channels_a=1, channels_b=1, batch=4)
    batch = data.batch(0)
    crops = [data.pair(0, index)[0].pixels for index in range(4)]
    assert batch.a.pixels.numpy().dtype == dtype and len({crop.window.mirrored for crop in batch.a.crops}) == 2
    images = batch.a.on(torch.device("cpu"), layout)
    assert images.is_contiguous(memory_format=layout)
    assert torch.equal(images, torch.stack([to_tensor(crop) for crop in crops]))
    assert torch.equal(batch.x, images)


def test_files_of_several_depths_may_meet_in_a_batch(tmp_path):
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        for k, dtype in enumerate((np.uint8, np.uint16)):
            save_depth(tmp_path / f"train{side}/{k}.png", dtype)
    data = open_data(tmp_path, preprocess="crop", channels_a=1, channels_b=1, batch=2)
    for step in range(4):
        crops = [data.pair(step, index)[0].pixels for index in range(2)]
        torch.testing.assert_close(data.batch(step).x, torch.stack([to_tensor(crop) for crop in crops]))
