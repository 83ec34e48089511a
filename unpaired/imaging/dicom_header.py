"""DICOM headers: what stored numbers mean, and files with other pixels.

A written file is a new instance in a new series of the same study, patient and frame of reference (PS3.3 C.7.6.1,
derived images).
"""

from __future__ import annotations

import copy
import hashlib
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from unpaired.core.errors import BadInput
from unpaired.imaging.medical import Numbers
from unpaired.imaging.pixels import Pixels

WINDOW = (
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    *("FrameVOILUTSequence", "RescaleType"),
)
"""Display and unit of the values; kept while these have the source's type."""
STALE = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingRangeLimit", "IconImageSequence"),
    *("MACParametersSequence", "DigitalSignaturesSequence", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""Elements that are wrong for other pixels."""


@dataclass(frozen=True)
class DicomOrigin:
    """The header of a DICOM file."""

    header: Dataset
    """Without pixels."""
    shape: tuple[int, int, int]
    dtype: np.dtype = np.dtype(np.uint8)
    """Of the values."""
    name = "DICOM header"
    suffixes = (".dcm",)

    @property
    def patient(self) -> str:
        """The patient's number."""
        return str(self.header.get("PatientID") or "")

    def in_other_units(self) -> DicomOrigin:
        """The header for values of another domain: without window and unit."""
        header = copy.deepcopy(self.header)
        _remove(header, WINDOW)
        return replace(self, header=header)

    def encode(self, slices: Sequence[Pixels], derived: str, suffix: str) -> bytes:
        """A DICOM file with other pixels.

        Stored type, slope and intercept stay where they hold all values; others that do replace them. Raises `BadInput`
        for more than one channel in a gray file, or other channels than 8-bit RGB.
        """
        header = copy.deepcopy(self.header)
        channels, dtype = slices[0].shape[2], slices[0].dtype
        same = (channels, dtype) == (header.SamplesPerPixel, self.dtype)
        if channels != 1 and not same:
            advice = "choose .tif, or train with --data.channels-a 1 --data.channels-b 1"
            raise BadInput(f"this .dcm cannot hold {channels} channels of {dtype}; {advice}")
        window = not same
        if channels == 1:
            data = _kept(header, slices) if same else None
            if data is None:
                window = window or header.PhotometricInterpretation == "MONOCHROME1"  # of inverted numbers
                data = _fresh(header, slices)
        else:
            _set_format(header, np.dtype(np.uint8), channels)
            data = b"".join(np.ascontiguousarray(pixels).tobytes() for pixels in slices)
        _remove(header, (*STALE, *WINDOW) if window else STALE)
        _derive(header, derived, data)
        return _written(header, data)


def numbers_of(header: Dataset, frame: int) -> Numbers:
    """Bits, sign, slope and intercept of one frame; raises `BadInput` for a slope of zero."""
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation) == 1
    low = -(1 << bits - 1) if signed else 0
    groups = [*_groups(header, frame), header]
    places = [each for group in groups for each in (*(group.get("PixelValueTransformationSequence") or []), group)]
    slope, intercept = (
        next((float(each[word].value) for each in places if each.get(word) not in (None, "")), usual)
        for word, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    has_unit = (slope, intercept) != (1, 0)  # Hounsfield units stay what they are, however they are displayed
    inverted = header.PhotometricInterpretation == "MONOCHROME1" and not has_unit
    return Numbers(low, low + (1 << bits) - 1, slope, intercept, inverted)


def padding_of(header: Dataset, frame: int) -> float | None:
    """The value of pixels without data (Pixel Padding Value)."""
    return _value_of(header, frame, "PixelPaddingValue")


def padded(header: Dataset, frame: int, values: Pixels) -> Pixels:
    """The values with that of padding in place of all up to Pixel Padding Range Limit."""
    padding, limit = padding_of(header, frame), _value_of(header, frame, "PixelPaddingRangeLimit")
    if padding is None or limit is None:
        return values
    low, high = sorted((padding, limit))
    return np.where((values >= low) & (values <= high), values.dtype.type(padding), values)


def _value_of(header: Dataset, frame: int, word: str) -> float | None:
    """The value of an element that holds a stored number; programs write it with either sign."""
    value = header.get(word)
    if value is None:
        return None
    whole = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    return float(numbers_of(header, frame).values(np.array([whole]).astype(_stored_type(header)))[0])


def _groups(header: Dataset, frame: int | None = None) -> Iterator[Dataset]:
    """The functional groups of a frame, its own before those of all; of every frame unless one is given."""
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    yield from own if frame is None else own[frame : frame + 1]
    yield from header.get("SharedFunctionalGroupsSequence") or []


def _stored_type(header: Dataset) -> np.dtype:
    return np.dtype(f"{'i' if header.PixelRepresentation == 1 else 'u'}{header.BitsAllocated // 8}")


def _kept(header: Dataset, slices: Sequence[Pixels]) -> bytes | None:
    """The slices as numbers of the source; None where these do not hold all values."""
    dtype, planes = _stored_type(header), []
    for frame, pixels in enumerate(slices):
        plane = numbers_of(header, frame).numbers(pixels, dtype)
        if plane is None:
            return None
        planes.append(plane.tobytes())
    return b"".join(planes)


def _fresh(header: Dataset, slices: Sequence[Pixels]) -> bytes:
    """The slices as numbers that hold all values: themselves if they are whole, else 65536 steps between extremes."""
    dtype, slope, intercept = slices[0].dtype, "1", "0"
    padding = padding_of(header, 0)
    if dtype.kind == "f":  # the number 0 is for padding
        known = [each if padding is None else each[each != padding] for each in slices]
        known = [each for each in known if each.size] or list(slices)
        low, high = min(float(each.min()) for each in known), max(float(each.max()) for each in known)
        step = (high - low) / 65534 or 1
        dtype, slope, intercept = np.dtype(np.uint16), f"{step:.9g}", f"{low - step:.9g}"
    _set_format(header, dtype, 1)
    _remove(header, ("RealWorldValueMappingSequence",))  # of other stored numbers
    places = [each for group in _groups(header) for each in group.get("PixelValueTransformationSequence") or []]
    for place in places or [header]:
        place.RescaleSlope, place.RescaleIntercept = slope, intercept
    limits = np.iinfo(dtype)
    planes = [(pixels.astype(np.float64) - float(intercept)) / float(slope) for pixels in slices]
    if padding is not None:
        number = padding if slices[0].dtype.kind != "f" and limits.min <= padding <= limits.max else limits.min
        for plane, pixels in zip(planes, slices, strict=True):
            plane[pixels == padding] = number
        del header.PixelPaddingValue
        header.add_new("PixelPaddingValue", "SS" if dtype.kind == "i" else "US", int(number))
    return b"".join(np.rint(plane).clip(limits.min, limits.max).astype(dtype).tobytes() for plane in planes)


def _set_format(header: Dataset, dtype: np.dtype, channels: int) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation = channels, "MONOCHROME2" if channels == 1 else "RGB"
    header.BitsAllocated = header.BitsStored = 8 * dtype.itemsize
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, int(dtype.kind == "i")
    if channels > 1:
        header.PlanarConfiguration = 0
    else:
        _remove(header, ("PlanarConfiguration",))
    if "PresentationLUTShape" in header:
        header.PresentationLUTShape = "IDENTITY"


def _remove(header: Dataset, words: Sequence[str]) -> None:
    inside = [each for group in _groups(header) for each in group.get("PixelValueTransformationSequence") or []]
    for place in (header, *_groups(header), *inside):
        for word in words:
            if word in place:
                del place[word]


def _derive(header: Dataset, derived: str, data: bytes) -> None:
    """New identifiers, which the same source, model and pixels give again, and where the pixels come from."""
    words = derived or "unpaired"

    def uid(*parts: object) -> str:
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(map(str, (words, *parts)))).int}"

    source = Dataset()
    instance = header.get("SOPInstanceUID") or uid("an instance without a UID")
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, instance
    for word, value in {
        "SourceImageSequence": [source],
        "SOPInstanceUID": uid(instance, hashlib.sha256(data).hexdigest()),
        "SeriesInstanceUID": uid(header.get("SeriesInstanceUID")),
        "ImageType": ["DERIVED", "SECONDARY", *list(header.get("ImageType") or [])[2:]],
        "DerivationDescription": words[:1024],
        "SeriesDescription": f"{header.get('SeriesDescription') or ''} (translated)".strip()[-64:],
    }.items():
        _remove(header, (word,))  # a damaged element would keep its type
        setattr(header, word, value)


def _written(header: Dataset, data: bytes) -> bytes:
    header.PixelData = data + b"\0" * (len(data) % 2)
    header["PixelData"].VR = "OB" if header.BitsAllocated == 8 else "OW"
    meta = header.file_meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    place = io.BytesIO()
    header.save_as(place, enforce_file_format=True)
    return place.getvalue()
