"""Data sets in tars, parquet files and lists: the same images in the same order give the same run, bit for bit."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data_sets import make_data, make_model, tiny
from tests.training.test_run import assert_same_end, train_in_pieces
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.folders import domain_files
from unpaired.data.prepare.shards import prepare_shards
from unpaired.data.sources import StoredImage
from unpaired.data.sources.tar import TarArchive
from unpaired.imaging.images import read_image
from unpaired.training import train


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("archives") / "data")


@pytest.fixture(scope="module")
def shards(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "data"
    prepare_shards(out, folders, images=2)
    return out


@pytest.fixture(scope="module")
def plain(folders, tmp_path_factory):
    return train(tiny(folders), tmp_path_factory.mktemp("plain") / "run")


def parquet(path, files, group=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array([0] * len(rows))})
    pq.write_table(table, path, row_group_size=group)


def as_parquet(root, folders):
    """As Hugging Face lays a data set out: data/trainA-00000-of-00001.parquet."""
    for part in ("trainA", "trainB", "testA", "testB"):
        parquet(root / f"data/{part}-00000-of-00001.parquet", domain_files(folders, part))
    return root


def as_lists(root, folders, suffix):
    root.mkdir()
    for part in ("trainA", "trainB", "testA", "testB"):
        lines = [str(path) for path in domain_files(folders, part)]
        if suffix == ".csv":
            lines = ["weight,path", *(f"1,{line}" for line in lines)]
        (root / f"{part}{suffix}").write_text("# a comment\n" * (suffix == ".txt") + "\n".join(lines) + "\n")
    return root


def pixels(paths):
    return [read_image(path).pixels for path in paths]


def test_shards_hold_the_same_images_in_the_same_order(folders, shards):
    assert sorted(path.name for path in (shards / "trainA").iterdir()) == ["00000.tar", "00001.tar", "00002.tar"]
    for part in ("trainA", "trainB", "testA", "testB"):
        files, packed = domain_files(folders, part), domain_files(shards, part)
        assert [path.name for path in packed] == [path.name for path in files]
        assert all((a == b).all() for a, b in zip(pixels(files), pixels(packed), strict=True))
        with tarfile.open(packed[0].archive.path) as tar:  # a plain tar that any WebDataset reader takes
            assert tar.extractfile(files[0].name).read() == files[0].read_bytes()


def test_training_on_shards_equals_training_on_folders_bit_for_bit(plain, shards, tmp_path):
    assert_same_end(train(tiny(shards), tmp_path / "run"), plain)


def test_training_on_parquet_equals_training_on_folders_bit_for_bit(plain, folders, tmp_path):
    assert_same_end(train(tiny(as_parquet(tmp_path / "data", folders)), tmp_path / "run"), plain)


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_training_on_lists_equals_training_on_folders_bit_for_bit(plain, folders, tmp_path, suffix):
    assert_same_end(train(tiny(as_lists(tmp_path / "data", folders, suffix)), tmp_path / "run"), plain)


def test_a_run_on_shards_resumes_exactly_and_readers_do_not_matter(plain, shards, tmp_path, monkeypatch):
    experiment = tiny(shards, data__workers=3, data__cache_gb=0)
    assert_same_end(train_in_pieces(experiment, tmp_path / "run", [2, 1], monkeypatch), plain)


def test_shards_of_shards_and_of_lists_are_the_same_shards(folders, shards, tmp_path):
    prepare_shards(tmp_path / "again", shards, images=2)
    prepare_shards(tmp_path / "listed", as_lists(tmp_path / "lists", folders, ".txt"), images=2)
    for part in ("trainA", "testB"):
        for shard in (shards / part).iterdir():
            for other in ("again", "listed"):
                assert (tmp_path / other / part / shard.name).read_bytes() == shard.read_bytes()


def test_every_command_takes_shards(folders, shards, tmp_path, capsys):
    model = make_model(tmp_path / "model")
    assert run(["check", str(shards)]) == 0
    said = capsys.readouterr().out
    assert "trainA  6 images" in said and "ignored" not in said
    assert run(["evaluate", str(model), str(shards), "--out", str(tmp_path / "a.json")]) == 0
    assert run(["evaluate", str(model), str(folders), "--out", str(tmp_path / "b.json")]) == 0
    a, b = ((tmp_path / name).read_text() for name in ("a.json", "b.json"))
    assert a.split('"recipe"')[0] == b.split('"recipe"')[0]  # every number of both directions
    assert run(["prepare", "shards", str(folders), str(tmp_path / "packed"), "--images", "4"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("testA 3, testB 3, trainA 6, trainB 5")


def test_what_the_manifest_says_is_taken_along(folders, tmp_path):
    (tmp_path / "data").mkdir()
    for part in ("trainA", "trainB"):
        (tmp_path / "data" / part).symlink_to(folders / part)
    (tmp_path / "data/dataset.json").write_text('{"format": 1, "name": "mine", "aligned": true, "counts": {"x": 1}}')
    manifest = prepare_shards(tmp_path / "out", tmp_path / "data")
    assert manifest.facts["name"] == "mine" and manifest.facts["aligned"] is True
    assert dict(manifest.counts) == {"trainA": 6, "trainB": 5}


# What is not right is named


def test_bad_images_in_a_shard_are_named_with_their_shard(folders, tmp_path):
    make_tar(tmp_path / "data/trainA/00000.tar", {"good.png": png(), "bad.png": b"not an image"})
    for part in ("trainB", "testA", "testB"):
        make_tar(tmp_path / f"data/{part}/00000.tar", {"good.png": png()})
    found = [(f.path, f.reason) for f in examine(tmp_path / "data").findings if f.severity == "refused"]
    assert found == [("trainA/00000.tar/bad.png", "unreadable")]
    with pytest.raises(BadInput, match=r"1 image cannot be used: trainA/00000\.tar/bad\.png"):
        train(tiny(tmp_path / "data"), tmp_path / "run")


def png(side=40):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_tar(path, files, mode="w", kinds=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.type = (kinds or {}).get(name, tarfile.REGTYPE)
            entry.linkname = "/etc/passwd" if entry.issym() else ""
            tar.addfile(entry, io.BytesIO(content))


@pytest.mark.promise("hostile weights and archives")
def test_names_that_lead_out_of_a_shard_lead_nowhere(tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(png())
    names = {str(outside): png(), "../outside.png": png(), ".hidden.png": png(), "link.png": b"", "a/in.png": png()}
    make_tar(tmp_path / "x.tar", names, kinds={"link.png": tarfile.SYMTYPE})
    assert TarArchive(tmp_path / "x.tar").names() == ["a/in.png"]
    with pytest.raises(BadInput, match="not in its archive"):
        read_image(StoredImage(TarArchive(tmp_path / "x.tar"), "../outside.png"))


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_compressed_tar_is_refused(tmp_path, mode):
    make_tar(tmp_path / "x.tar", {"a.png": png()}, mode)
    with pytest.raises(BadInput, match=r"x\.tar: not a whole, plain tar .*`unpaired prepare shards` makes them"):
        TarArchive(tmp_path / "x.tar").names()


def test_a_shard_that_was_cut_short_is_named(tmp_path):
    make_tar(tmp_path / "trainA/x.tar", {"a.png": png(), "b.png": png(200)})
    whole = (tmp_path / "trainA/x.tar").read_bytes()
    (tmp_path / "trainA/x.tar").write_bytes(whole[:8000])
    with pytest.raises(BadInput, match=r"x\.tar"):
        pixels(domain_files(tmp_path, "trainA"))


@pytest.mark.promise("hostile weights and archives")
def test_a_shard_that_claims_more_than_it_holds_is_refused_without_taking_memory(tmp_path):
    make_tar(tmp_path / "x.tar", {"a.png": png()})
    content = bytearray((tmp_path / "x.tar").read_bytes())
    content[124:136] = b"77777777777\0"  # eight gigabytes
    content[148:156] = b"        "
    content[148:156] = b"%06o\0 " % sum(content[:512])
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(BadInput):
        archive = TarArchive(tmp_path / "x.tar")
        pixels([StoredImage(archive, name) for name in archive.names()])


def test_images_of_more_than_eight_bits_are_read_at_their_depth_from_parquet(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    folders = tmp_path / "trainA"
    folders.mkdir()
    Image.fromarray(ramp).save(folders / "deep.png")
    parquet(tmp_path / "packed/trainA/x.parquet", [folders / "deep.png"])
    (image,) = domain_files(tmp_path / "packed", "trainA")
    read = read_image(image).pixels
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., 0], ramp)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"label": [1]}, "expected one column of images, or one called image, found label"),
        ({"a": [b"1"], "b": [b"2"]}, "expected one column of images, or one called image, found a, b"),
    ],
)
def test_a_parquet_file_without_a_column_of_images_is_named(tmp_path, table, words):
    (tmp_path / "trainA").mkdir()
    pq.write_table(pa.table(table), tmp_path / "trainA/x.parquet")
    with pytest.raises(BadInput, match=words):
        pixels(domain_files(tmp_path, "trainA"))


def test_what_is_no_parquet_is_named(tmp_path):
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainA/x.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(BadInput, match=r"x\.parquet: not a readable parquet file"):
        domain_files(tmp_path, "trainA")


@pytest.mark.slow
def test_without_pyarrow_the_extra_is_named(folders, tmp_path):
    as_parquet(tmp_path / "data", folders)
    code = "import sys; sys.modules['pyarrow'] = None\nfrom unpaired.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "check", tmp_path / "data"], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'unpaired[shards]'" in done.stderr


def test_missing_files_of_a_list_are_named_at_once_and_so_are_those_named_twice(folders, tmp_path):
    good = domain_files(folders, "trainA")[0]
    (tmp_path / "trainA.txt").write_text(f"{good}\nnot/here.png\nnor/there.png\n")
    with pytest.raises(BadInput, match=r"trainA\.txt: 2 of 3 files are missing: .*not/here\.png, .*nor/there\.png"):
        domain_files(tmp_path, "trainA")
    (tmp_path / "trainA.txt").write_text(f"{good}\n{good}\n")
    with pytest.raises(BadInput, match="named more than once"):
        domain_files(tmp_path, "trainA")
