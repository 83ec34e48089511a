"""TFRecord files, written here byte by byte as TensorFlow writes them."""

from __future__ import annotations

import io
import struct

import pytest

from tests.data_sets import shapes
from unpaired.core.errors import BadInput
from unpaired.data.folders import domain_files
from unpaired.data.prepare.folders import prepare_folders
from unpaired.data.sources import RecordArchive
from unpaired.data.sources.tfrecord import image_of, masked_crc
from unpaired.imaging.images import read_image


def test_the_checksum_is_the_masked_crc_of_the_format():
    crc = 0xE3069283  # of "123456789", RFC 3720
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def field(number, data):
    size, length = len(data), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def example(**features):
    """A `tf.train.Example` of byte strings, and a number as Kaggle's painter set has none but others do."""
    entries = [
        field(1, field(1, name.encode()) + field(2, field(1, field(1, data)))) for name, data in features.items()
    ]
    number = field(1, field(1, b"label") + field(2, field(3, b"\x08\x07")))
    return field(1, number + b"".join(entries))


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def encoded(domain, number, kind="JPEG"):
    buffer = io.BytesIO()
    shapes(domain, number).save(buffer, kind)
    return buffer.getvalue()


def write(path, domain, numbers):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(example(target=b"x", image=encoded(domain, number))) for number in numbers))
    return path


def test_records_are_parts_of_a_data_set_in_their_order(tmp_path):
    write(tmp_path / "trainA/monet00-2.tfrec", "A", [3, 1])
    write(tmp_path / "trainA/monet01-1.tfrec", "A", [2])
    files = domain_files(tmp_path, "trainA")
    assert [file.read(2**20) for file in files] == [encoded("A", number) for number in (3, 1, 2)]
    assert str(files[1]).endswith("trainA/monet00-2.tfrec/00000001.jpg")
    assert read_image(files[1]).pixels.shape == (36, 40, 3)


def test_prepare_splits_the_images_of_records(tmp_path):
    write(tmp_path / "monet/a.tfrec", "A", range(6))
    write(tmp_path / "photo/b.tfrec", "B", range(4))
    prepare_folders(tmp_path / "data", tmp_path / "monet", tmp_path / "photo", test_share=0.25, group="none")
    content = {side: {path.read_bytes() for path in tmp_path.glob(f"data/*{side}/**/*.jpg")} for side in "AB"}
    assert content["A"] == {encoded("A", number) for number in range(6)}
    assert content["B"] == {encoded("B", number) for number in range(4)}


@pytest.mark.parametrize("place", [0, 9, 40, -2])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path, place):
    path = write(tmp_path / "a.tfrec", "A", [0])
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(BadInput, match="not a whole, uncompressed TFRecord|checksum differs"):
        RecordArchive(path).read("00000000.jpg", 2**20)


def test_a_file_that_was_cut_short_is_named(tmp_path):
    path = write(tmp_path / "a.tfrec", "A", [0, 1])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match=r"a\.tfrec: not a whole, uncompressed TFRecord file"):
        RecordArchive(path).names()


def test_an_example_without_an_image_says_what_it_has():
    with pytest.raises(BadInput, match=r"without the feature image or .* \(byte strings found: target\)"):
        image_of(example(target=b"x"))
    with pytest.raises(BadInput, match="not a tf.train.Example"):
        image_of(b"\xff" * 20)
