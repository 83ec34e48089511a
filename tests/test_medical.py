"""DICOM and NIfTI: values in their units, geometry and scaling kept, hostile files refused before they are decoded."""

from __future__ import annotations

import contextlib
import gzip
import struct
import sys
import tracemalloc
from dataclasses import replace

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from imagecodecs import jpeg2k_encode
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from tests.data_sets import make_model, tiny
from tests.medical_images import dicom, nifti
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.data.masks import by_name
from unpaired.data.prepare.folders import prepare_folders
from unpaired.data.sources.folder import image_names
from unpaired.experiment import with_settings
from unpaired.imaging.images import encode_image, read_image, write_image
from unpaired.imaging.kinds import suffix_of
from unpaired.imaging.page_writers import write_pages
from unpaired.imaging.pages import open_pages, read_header
from unpaired.imaging.pixels import DecodedImage
from unpaired.inference import Options, translate_files
from unpaired.training import train

RAMP = np.arange(24 * 20, dtype=np.uint16).reshape(24, 20)
VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def with_values(path, pixels):
    """The file at `path` with other pixels, as `translate` would write it."""
    return encode_image(replace(read_image(path), pixels=np.asarray(pixels), nodata=None), ".dcm")


def reread(data):
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))


def test_hounsfield_units_are_read_and_written_through_slope_and_intercept(tmp_path):
    decoded = read_image(dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=2, RescaleIntercept=-1024, BitsStored=12))
    assert decoded.pixels.dtype == np.int16 and decoded.pixels[0, :3, 0].tolist() == [-1024, -1022, -1020]
    written = reread(with_values(tmp_path / "a.dcm", decoded.pixels + np.int16(41)))
    assert written.pixel_array[0, :3].tolist() == [20, 22, 22]  # 41 / 2 is 20.5: to the even step
    assert (written.RescaleSlope, written.RescaleIntercept, written.BitsStored) == (2, -1024, 12)
    assert (written.WindowCenter, written.WindowWidth) == (40, 400)


def test_values_that_the_stored_numbers_cannot_hold_change_these_and_not_the_values(tmp_path):
    source = dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=1, RescaleIntercept=-1024, BitsStored=12)
    values = np.full((24, 20, 1), 3072, np.int16)  # 4095 - 1024 is the largest
    written = reread(with_values(source, values))
    assert (written.RescaleSlope, written.RescaleIntercept, written.BitsStored) == (1, 0, 16)
    assert written.PixelRepresentation == 1 and (written.pixel_array == 3072).all()
    floats = np.linspace(-1, 2, 480, dtype=np.float32).reshape(24, 20, 1)
    path = tmp_path / "floats.dcm"
    path.write_bytes(with_values(source, floats))
    np.testing.assert_allclose(read_image(path).pixels, floats, atol=3 / 65535 / 2 * 1.01)
    assert "WindowCenter" not in pydicom.dcmread(path)


def test_signed_inverted_and_colour_pixels(tmp_path):
    signed = read_image(dicom(tmp_path / "s.dcm", RAMP.astype(np.int16) - np.int16(7)))
    assert signed.pixels.dtype == np.int16 and signed.pixels[0, 0, 0] == -7
    eight = np.array([[0, 10], [200, 255]], np.uint8)
    source = dicom(tmp_path / "m1.dcm", eight, PhotometricInterpretation="MONOCHROME1")
    inverted = read_image(source)
    assert inverted.pixels[..., 0].tolist() == [[255, 245], [55, 0]]
    again = reread(encode_image(inverted, ".dcm"))
    assert again.PhotometricInterpretation == "MONOCHROME1" and (again.pixel_array == eight).all()
    units = dicom(tmp_path / "hu.dcm", RAMP, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=-1024)
    assert read_image(units).pixels[0, :2, 0].tolist() == [-1024, -1023]
    colour = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    decoded = read_image(dicom(tmp_path / "c.dcm", colour))
    np.testing.assert_array_equal(decoded.pixels, colour)
    np.testing.assert_array_equal(reread(encode_image(decoded, ".dcm")).pixel_array, colour)
    ybr = np.full((2, 2, 3), (76, 85, 255), np.uint8)  # red by ITU-R BT.601
    red = read_image(dicom(tmp_path / "y.dcm", ybr, PhotometricInterpretation="YBR_FULL")).pixels
    assert np.abs(red.astype(int) - (255, 0, 0)).max() <= 2
    with pytest.raises(BadInput, match=r"cannot hold 3 channels of uint8; choose .tif"):
        encode_image(replace(inverted, pixels=np.zeros((2, 2, 3), np.uint8)), ".dcm")


def test_bits_beyond_those_stored_are_no_part_of_the_value(tmp_path):
    overlay = RAMP | np.uint16(0x8000)
    assert read_image(dicom(tmp_path / "o.dcm", overlay, BitsStored=12, HighBit=11)).pixels.max() == RAMP.max()


def test_pixel_padding_is_no_data_with_either_sign(tmp_path):
    numbers = RAMP.astype(np.int16)
    numbers[:2] = -2000
    elements = {"RescaleSlope": 1, "RescaleIntercept": -24}
    source = dicom(tmp_path / "p.dcm", numbers, syntax=ImplicitVRLittleEndian, PixelPaddingValue=-2000, **elements)
    decoded = read_image(source)
    assert decoded.nodata.value == -2024 and decoded.nodata.where[:2].all() and not decoded.nodata.where[2:].any()
    assert decoded.pixels.min() == 40 - 24
    data = Dataset()
    data.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    unsigned = pydicom.dcmread(source)
    unsigned["PixelPaddingValue"] = data["PixelPaddingValue"]
    unsigned.save_as(tmp_path / "u.dcm")
    assert read_image(tmp_path / "u.dcm").nodata.value == -2024


def test_a_derived_image_keeps_patient_and_geometry_and_has_identifiers_of_its_own(tmp_path):
    source = dicom(tmp_path / "a.dcm", RAMP, SeriesDescription="thorax")
    before, decoded = pydicom.dcmread(source), read_image(source)
    decoded = replace(decoded, about=replace(decoded.about, derived="unpaired 1: AtoB by model"))
    after, other = (
        reread(encode_image(each, ".dcm")) for each in (decoded, replace(decoded, pixels=decoded.pixels + 1))
    )
    for word in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient"):
        assert after[word] == before[word]
    for word in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Modality", "SOPClassUID"):
        assert after[word] == before[word]
    assert after.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert (
        after.DerivationDescription == "unpaired 1: AtoB by model" and after.SeriesDescription == "thorax (translated)"
    )
    assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert after.SeriesInstanceUID == other.SeriesInstanceUID != before.SeriesInstanceUID
    assert len({before.SOPInstanceUID, after.SOPInstanceUID, other.SOPInstanceUID}) == 3
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID and after.SOPInstanceUID.is_valid
    assert encode_image(decoded, ".dcm") == encode_image(decoded, ".dcm")


def test_every_frame_has_its_own_slope(tmp_path):
    groups = []
    for slope in (1, 3):
        item, group = Dataset(), Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = slope, -10, "US"
        group.PixelValueTransformationSequence = [item]
        groups.append(group)
    source = dicom(tmp_path / "e.dcm", np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups)
    assert read_header(source).pages == 2
    with open_pages(source) as pages:
        assert [page.pixels[0, 2, 0] for page in pages] == [2 - 10, 6 - 10]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"syntax": JPEGLosslessSV1}, "DICOM compressed by JPEG Lossless, .* which needs a decoder"),
        ({"syntax": DeflatedExplicitVRLittleEndian}, r"compressed as a whole \(Deflated Explicit VR Little Endian\)"),
        ({"syntax": "1.2.840.10008.1.2.4.100"}, "DICOM compressed by MPEG2 Main Profile .*, which is not read"),
        ({"Rows": None}, r"DICOM without an image \(CT Image Storage\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "16 bits, 1 samples in PALETTE COLOR"),
        ({"Rows": 60_000, "Columns": 60_000}, "60000x60000 is over the limit"),
        ({"NumberOfFrames": 2_000_000}, "2000000 slices that unpack to"),
        ({"Rows": 240}, "damaged"),
        ({"RescaleSlope": 0}, "damaged .slope 0"),
    ],
)
def test_what_is_not_read_is_named_before_it_is_decoded(tmp_path, change, reason):
    syntax = change.pop("syntax", None)
    source = dicom(tmp_path / "a.dcm", RAMP, **change)
    if syntax:
        usual, other = pydicom.uid.ExplicitVRLittleEndian.encode(), str(syntax).encode()
        data = source.read_bytes()
        at = data.index(b"UI" + struct.pack("<H", 20) + usual)  # the transfer syntax, its length and that of the group
        other += b"\0" * (len(other) % 2)
        data = data[:at] + b"UI" + struct.pack("<H", len(other)) + other + data[at + 24 :]
        (length,) = struct.unpack_from("<I", data, 140)
        source.write_bytes(data[:140] + struct.pack("<I", length + len(other) - 20) + data[144:])
    with pytest.raises(BadInput, match=reason):
        read_image(source)


def test_run_length_compression_is_read_and_a_compressed_frame_of_another_size_is_not(tmp_path):
    source = dicom(tmp_path / "a.dcm", RAMP)
    packed = pydicom.dcmread(source)
    packed.compress(RLELossless)
    packed.save_as(tmp_path / "rle.dcm")
    decoded = read_image(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(decoded.pixels[..., 0], RAMP)
    assert not reread(encode_image(decoded, ".dcm")).file_meta.TransferSyntaxUID.is_compressed
    for side, reason in ((24, ""), (96, "a compressed frame is not the size that the header says")):
        jpeg = pydicom.dcmread(dicom(tmp_path / "j.dcm", RAMP))
        stream = jpeg2k_encode(np.zeros((side, 20), np.uint16), codecformat="j2k", reversible=True)
        jpeg.PixelData = pydicom.encaps.encapsulate([stream])
        jpeg["PixelData"].VR, jpeg["PixelData"].is_undefined_length = "OB", True
        jpeg.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        jpeg.save_as(tmp_path / "j.dcm")
        if reason:
            with pytest.raises(BadInput, match=reason):
                read_image(tmp_path / "j.dcm")
        else:
            assert (read_image(tmp_path / "j.dcm").pixels == 0).all()


def test_an_element_that_cannot_be_written_is_left_out_and_named(tmp_path):
    content = dicom(tmp_path / "a.dcm", RAMP, PatientSex="F", PatientAge="033Y").read_bytes()
    sex = b"\x10\x00\x40\x00CS\x02\x00F "
    assert content.count(sex) == 1
    (tmp_path / "bad.dcm").write_bytes(content.replace(sex, b"\x10\x00\x40\x00UL\x02\x00F "))
    decoded = read_image(tmp_path / "bad.dcm")
    assert decoded.about.dropped(".dcm") == ("DICOM element (0010,0040) (of a wrong type)",)
    assert reread(encode_image(decoded, ".dcm")).PatientAge == "033Y"


def test_a_volume_is_a_stack_of_axial_slices_seen_from_below(tmp_path):
    source = nifti(tmp_path / "v.nii", VOXELS, slope=2.0, intercept=-1024)  # axes to the right, the front and the head
    with open_pages(source) as pages:
        assert pages.layout.count == 6
        page = pages.read(1)
    assert page.pixels.dtype == np.int16 and page.pixels.shape == (5, 4, 1)
    assert page.pixels[0, 0, 0] == 2 * VOXELS[3, 4, 1] - 1024  # the patient's right at the left, the front on top
    sagittal = np.array([[0, 0, 2.0, 0], [-3.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 0, 1]])  # to the back, up, the right
    with open_pages(nifti(tmp_path / "s.nii", VOXELS, sagittal)) as pages:
        assert pages.layout.count == 5
        page = pages.read(2)
    np.testing.assert_array_equal(page.pixels[..., 0], VOXELS[:, 2, ::-1])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_keeps_affine_units_type_and_scaling(tmp_path, suffix):
    affine = np.array([[0, 0, 2.0, 5], [-3.0, 0.1, 0, 7], [0, 4.0, 0, -9], [0, 0, 0, 1]])
    source = nifti(tmp_path / f"v{suffix}", VOXELS, affine, 2.0, -1024.0)
    with open_pages(source) as pages:
        pixels = [replace(page, pixels=page.pixels + np.int16(2)) for page in pages]
        write_pages(iter(pixels), pages.layout, tmp_path / f"out{suffix}")
    before, after = nibabel.load(source), nibabel.load(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(np.asarray(after.dataobj.get_unscaled()), VOXELS + 1)
    assert (after.dataobj.slope, after.dataobj.inter, after.get_data_dtype()) == (2.0, -1024.0, np.int16)
    assert after.header.get_xyzt_units() == ("mm", "sec")
    with open_pages(source) as pages:
        floats = [replace(page, pixels=page.pixels / np.float32(8)) for page in pages]
        write_pages(iter(floats), pages.layout, tmp_path / f"f{suffix}")
    after = nibabel.load(tmp_path / f"f{suffix}")
    assert after.header.get_data_dtype() == np.float32
    np.testing.assert_array_equal(after.get_fdata(), (2 * VOXELS - 1024.0) / 8)


def test_voxels_that_are_not_numbers_have_no_data(tmp_path):
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    decoded = read_image(nifti(tmp_path / "v.nii", voxels))
    assert np.argwhere(decoded.nodata.where).tolist() == [[4, 3]] and decoded.pages == 6


def test_volumes_are_refused_by_their_header_and_unpacked_no_further(tmp_path):
    bomb = gzip.compress(nifti(tmp_path / "v.nii", VOXELS).read_bytes() + bytes(2**24))
    assert len(bomb) < 2**16
    tracemalloc.start()
    assert read_image(bomb).pixels.shape == (5, 4, 1)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
    head = bytearray((tmp_path / "v.nii").read_bytes())
    struct.pack_into("<4h", head, 40, 3, 30_000, 30_000, 2)
    with pytest.raises(BadInput, match="30000x30000 is over the limit"):
        read_image(gzip.compress(bytes(head)))
    struct.pack_into("<5h", head, 40, 4, 4, 5, 3, 2)
    with pytest.raises(BadInput, match=r"NIfTI of 4 dimensions \(4x5x3x2\)"):
        read_image(bytes(head))
    struct.pack_into("<5h", head, 40, 3, 4, 5, 7, 1)
    with pytest.raises(BadInput, match="damaged"):
        read_image(gzip.compress(bytes(head)))
    struct.pack_into("<4hh", head, 40, 3, 4, 5, 2, 1)
    struct.pack_into("<h", head, 70, 128)  # RGB
    with pytest.raises(BadInput, match="NIfTI of RGB"):
        read_image(bytes(head))


@pytest.mark.parametrize("suffix", [".dcm", ".nii"])
def test_a_damaged_header_ends_in_one_line_or_in_an_image_that_can_be_written_again(tmp_path, suffix):
    source = dicom(tmp_path / "a.dcm", RAMP) if suffix == ".dcm" else nifti(tmp_path / "v.nii", VOXELS[..., :1])
    whole, rng, read = source.read_bytes(), np.random.default_rng(0), 0
    end = whole.index(b"\xe0\x7f\x10\x00") if suffix == ".dcm" else 352
    for _ in range(30):
        data = bytearray(whole)
        data[int(rng.integers(132 if suffix == ".dcm" else 0, end))] = int(rng.integers(256))
        with contextlib.suppress(BadInput):
            decoded = read_image(bytes(data))
            again = read_image(encode_image(decoded, suffix))
            np.testing.assert_array_equal(again.pixels, decoded.pixels)
            read += 1
    assert 5 < read < 30


def test_files_are_recognised_by_content_and_a_uid_is_no_suffix(tmp_path):
    (tmp_path / "in").mkdir()
    dicom(tmp_path / "in/1.2.840.113619", RAMP)
    nifti(tmp_path / "in/v.nii.gz", VOXELS)
    index = dicom(tmp_path / "in/DICOMDIR", RAMP, SOPClassUID="1.2.840.10008.1.3.10")
    assert b"DICM" in index.read_bytes()[:132]
    (tmp_path / "in/notes.csv.gz").write_bytes(gzip.compress(b"a,b"))
    assert image_names(tmp_path / "in") == ["1.2.840.113619", "v.nii.gz"]
    with pytest.raises(BadInput, match="it is a gzip archive"):
        suffix_of((tmp_path / "in/notes.csv.gz").read_bytes())
    with pytest.raises(BadInput, match="NIfTI header|takes its geometry from a .dcm file"):
        write_image(DecodedImage(RAMP[..., None]), tmp_path / "a.dcm")


def test_slices_named_by_their_uid_have_masks_of_their_own():
    names = ["1.2.840.1", "1.2.840.2", "p/v.nii.gz"]
    assert by_name(names, {name: name for name in names}) == names
    assert by_name(names, {f"{name}.png": name for name in names[:2]} | {"p/v.tif": names[2]}) == names


@pytest.mark.parametrize(("name", "package"), [("a.dcm", "pydicom"), ("v.nii.gz", "nibabel")])
def test_without_the_extra_one_line_names_it(tmp_path, monkeypatch, name, package):
    source = dicom(tmp_path / name, RAMP) if package == "pydicom" else nifti(tmp_path / name, VOXELS)
    for module in [each for each in sys.modules if each.startswith((package, "unpaired.imaging.dicom"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "unpaired.imaging.nifti", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadInput, match=rf"needs {package}; pip install 'unpaired\[medical\]'"):
        read_image(source)


def test_patients_stay_on_one_side_of_the_split(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for number in range(12):
            numbers = RAMP + np.uint16(100 * number + (side == "b"))
            dicom(tmp_path / side / f"{number}.dcm", numbers, PatientID=f"P{number % 4}")
    prepare_folders(tmp_path / "data", tmp_path / "a", tmp_path / "b")
    patients = {
        part: {int(path.stem) % 4 for side in "AB" for path in (tmp_path / f"data/{part}{side}").iterdir()}
        for part in ("train", "test")
    }
    assert patients["test"] and not patients["train"] & patients["test"]
    assert examine(tmp_path / "data").folders["trainA"].kinds == {"1 channel, 16-bit": 9}


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    ranges = {"data.range_a": "-1000,1000,int16", "data.range_b": "-1000,1000,int16"}
    return Translator.load(make_model(tmp_path_factory.mktemp("ct"), 1, 1, **ranges))


def test_a_series_is_translated_slice_by_slice_into_one_new_series(ct, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        place = {"ImagePositionPatient": [0, 0, 2.5 * number], "SOPInstanceUID": f"1.2.3.4.{number + 1}"}
        dicom(tmp_path / f"in/{number}", RAMP + np.uint16(500), RescaleSlope=1, RescaleIntercept=-1024, **place)
    translate_files(ct, str(tmp_path / "in"), tmp_path / "out")
    slices = [pydicom.dcmread(tmp_path / f"out/{number}") for number in range(3)]
    assert [each.ImagePositionPatient[2] for each in slices] == [0, 2.5, 5]
    assert len({each.SeriesInstanceUID for each in slices}) == 1 < len({each.SOPInstanceUID for each in slices}) == 3
    assert slices[0].DerivationDescription == ct.derived and "AtoB by smoke at step" in ct.derived
    right = ct.translate_decoded(read_image(tmp_path / "in/0")).pixels[..., 0]
    assert right.dtype == np.int16 and right.std() > 0
    np.testing.assert_array_equal(slices[0].pixel_array - 1024.0, right)


@pytest.mark.parametrize("kind", ["multi-frame", ".nii.gz"])
def test_a_volume_is_translated_into_a_volume(ct, tmp_path, kind):
    voxels = (np.arange(24 * 20 * 3) % 900).reshape(24, 20, 3).astype(np.int16)
    if kind == "multi-frame":
        source = dicom(tmp_path / "v.dcm", np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    else:
        source = nifti(tmp_path / f"v{kind}", voxels)
    (target,) = translate_files(ct, str(source), tmp_path / "out")
    with open_pages(source) as before, open_pages(target) as after:
        assert before.layout.count == after.layout.count == 3
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new.pixels, ct.translate_decoded(old).pixels)
    (tiff,) = translate_files(ct, str(source), tmp_path / "v.tif")
    assert read_image(tiff).pages == 3


def units(a="-1000,1000,int16", b="-1000,1000,int16"):
    return {"data.range_a": a, "data.range_b": b}


@pytest.mark.parametrize("kind", [".dcm", ".nii.gz"])
def test_a_translation_is_not_rounded_to_the_steps_of_its_source(tmp_path, kind):
    """CT in steps of half a unit into MR of 0 to 1."""
    model = Translator.load(make_model(tmp_path / "model", 1, 1, **units("-1024,1000,float32", "0,1,float32")))
    if kind == ".dcm":
        source = dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=0.5, RescaleIntercept=-1024)
    else:
        source = nifti(tmp_path / f"a{kind}", VOXELS, slope=0.5, intercept=-1024)
    (target,) = translate_files(model, str(source), tmp_path / "out")
    with open_pages(source) as before, open_pages(target) as after:
        right, found = [model.translate_decoded(page).pixels for page in before], [page.pixels for page in after]
    np.testing.assert_allclose(found, right, atol=1e-4)
    assert np.std(right) > 1e-3


def test_padding_costs_no_precision_and_stays_marked(tmp_path):
    numbers = RAMP + np.uint16(1000)
    numbers[:4] = 24  # -1000 of padding in units
    source = dicom(tmp_path / "a.dcm", numbers, RescaleSlope=1, RescaleIntercept=-1024, PixelPaddingValue=24)
    values = np.linspace(0, 1, 480, dtype=np.float32).reshape(24, 20, 1)
    values[:4] = -1000
    (tmp_path / "out.dcm").write_bytes(with_values(source, values))
    found = read_image(tmp_path / "out.dcm")
    np.testing.assert_allclose(found.pixels[4:], values[4:], atol=1 / 65534)
    assert found.nodata.where[:4].all() and not found.nodata.where[4:].any()


def test_padding_is_a_range_where_the_header_has_its_limit(tmp_path):
    numbers = np.where(RAMP < 60, RAMP, RAMP + np.uint16(2000))
    decoded = read_image(dicom(tmp_path / "a.dcm", numbers, PixelPaddingValue=0, PixelPaddingRangeLimit=59))
    np.testing.assert_array_equal(decoded.nodata.where, RAMP < 60)


def test_pixels_without_data_stay_marked_where_the_new_type_lacks_their_value(tmp_path):
    model = Translator.load(make_model(tmp_path / "model", 1, 1, **units("-1000,1000,int16", "5,725,uint16")))
    numbers = RAMP.astype(np.int16)
    numbers[:4] = -2000
    source = dicom(tmp_path / "a.dcm", numbers, PixelPaddingValue=-2000)
    (target,) = translate_files(model, str(source), tmp_path / "out")
    found = read_image(target)
    assert found.pixels.dtype == np.uint16 and found.nodata.where[:4].all() and not found.nodata.where[4:].any()


def test_window_and_unit_of_one_domain_do_not_pass_for_those_of_another(tmp_path):
    for name, ranges, kept in (("same", units(), True), ("other", units(b="0,1000,int16"), False)):
        model = Translator.load(make_model(tmp_path / name, 1, 1, **ranges))
        source = dicom(tmp_path / f"{name}.dcm", RAMP.astype(np.int16), RescaleType="HU")
        (target,) = translate_files(model, str(source), tmp_path / f"out-{name}")
        written = pydicom.dcmread(target)
        assert ("WindowCenter" in written) == ("RescaleType" in written) == kept


def test_a_slice_without_data_passes_through_and_is_no_training_image(tmp_path):
    mr = Translator.load(make_model(tmp_path / "model", 1, 1, **units("-1000,1000,float32", "0,1,float32")))
    voxels = np.random.default_rng(0).normal(0, 300, (24, 20, 3)).astype(np.float32)
    voxels[:, :, 0] = np.nan
    source = nifti(tmp_path / "v.nii", voxels)
    (target,) = translate_files(mr, str(source), tmp_path / "out")
    with open_pages(target) as pages:
        empty, *others = pages
    assert empty.nodata.where.all() and all(each.nodata is None and each.pixels.std() > 0 for each in others)
    with pytest.raises(BadInput, match="no pixel has data"):
        mr.domain_in.read(source)


def test_a_volume_of_masks_has_one_for_every_slice(ct, tmp_path):
    voxels = (np.arange(24 * 20 * 3) % 900).reshape(24, 20, 3).astype(np.int16)
    mask = np.zeros((24, 20, 3), np.uint8)
    mask[2:10, 3:9, 1], mask[:, :, 2] = 1, 1
    source = nifti(tmp_path / "v.nii", voxels)
    for name, used in (("same", mask), ("fewer", mask[:, :, :2])):
        (tmp_path / name).mkdir()
        nifti(tmp_path / name / "v.nii", used)
    (target,) = translate_files(ct, str(source), tmp_path / "out", Options(mask=tmp_path / "same"))
    with open_pages(source) as before, open_pages(target) as after:
        changed = [(old.pixels != new.pixels).any(axis=2) for old, new in zip(before, after, strict=True)]
    with open_pages(tmp_path / "same/v.nii") as pages:
        inside = [page.pixels[..., 0] > 0 for page in pages]
    assert not changed[0].any() and changed[1].any() and changed[2].mean() > 0.9
    assert not (changed[1] & ~inside[1]).any()
    with pytest.raises(BadInput, match="has 2 pages, v.nii 3; give one page, or as many"):
        translate_files(ct, str(source), tmp_path / "none", Options(mask=tmp_path / "fewer"))


def test_a_mask_does_not_mix_two_units_in_a_file(tmp_path):
    model = Translator.load(make_model(tmp_path / "model", 1, 1, **units("-1000,1000,int16", "5,725,uint16")))
    source = dicom(tmp_path / "a.dcm", RAMP.astype(np.int16))
    write_image(DecodedImage(np.full((24, 20, 1), 255, np.uint8)), tmp_path / "m.png")
    with pytest.raises(BadInput, match="turns int16 into uint16, values of another kind"):
        translate_files(model, str(source), tmp_path / "out", Options(mask=tmp_path / "m.png"))


def test_files_that_name_no_patient_belong_to_the_patient_of_their_folder(tmp_path, capsys):
    for side in "ab":
        for number in range(24):
            folder = tmp_path / side / f"case{number % 6}"
            folder.mkdir(parents=True, exist_ok=True)
            known = number < 6 and side == "a"
            numbers = RAMP + np.uint16(100 * number + (side == "b"))
            dicom(folder / f"{number}.dcm", numbers, PatientID=f"p{number % 6}" if known else "")
    prepare_folders(tmp_path / "data", tmp_path / "a", tmp_path / "b")
    parts = {
        part: {int(path.stem) % 6 for side in "AB" for path in (tmp_path / f"data/{part}{side}").rglob("*.dcm")}
        for part in ("train", "test")
    }
    assert parts["test"] and not parts["train"] & parts["test"]
    (tmp_path / "c").mkdir()
    for number in range(8):
        dicom(tmp_path / f"c/{number}.dcm", RAMP + np.uint16(7 * number), PatientID="P1" if number == 0 else "")
    prepare_folders(tmp_path / "data2", tmp_path / "c", tmp_path / "b")
    assert "7 of 32 files name no patient and stand in no sub-folder, as" in capsys.readouterr().err


def test_a_translation_has_the_type_of_the_other_domain_also_at_full_scale(tmp_path):
    for side, low, high, dtype in (("A", -1000, 1000, np.int16), ("B", 0, 60000, np.uint16)):
        for part in ("train", "test"):
            (tmp_path / f"data/{part}{side}").mkdir(parents=True)
            for k in range(3):
                ramp = np.linspace(low, high, 36 * 36).reshape(36, 36) * (1 - 0.01 * k)
                tifffile.imwrite(tmp_path / f"data/{part}{side}/{k}.tif", np.rint(ramp).astype(dtype))
    changes = {"data.channels_a": 1, "data.channels_b": 1, "optim.steps": 1}
    run = train(with_settings(tiny(tmp_path / "data"), changes), tmp_path / "run")
    there = Translator.load(run)
    assert there(np.zeros((16, 16), np.int16)).dtype == np.uint16
    assert there.to("BtoA")(np.zeros((16, 16), np.uint16)).dtype == np.int16
    assert there.to("BtoA").domain_in.range_of(np.dtype(np.uint8)).white == 255
