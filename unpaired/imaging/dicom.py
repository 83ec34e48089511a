"""DICOM files of one or several frames, by pydicom. Display windows are never applied."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import _get_jpg_parameters, pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEG2000TransferSyntaxes, RLELossless

from unpaired.core.errors import BadInput
from unpaired.imaging.dicom_header import DicomOrigin, numbers_of, padded, padding_of
from unpaired.imaging.medical import check_shape
from unpaired.imaging.metadata import NODATA, Metadata
from unpaired.imaging.pixels import DAMAGE, DecodedImage, marked
from unpaired.imaging.segments import jpeg2000_size

logging.getLogger("pydicom").addHandler(logging.NullHandler())  # else its doubts about odd files go to stderr
GRAY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


class DicomSlices:
    """The frames of an open DICOM file."""

    def __init__(self, file: BinaryIO, max_pixels: int) -> None:
        """Read the header; raises `BadInput` or one of `DAMAGE`."""
        self.file = file
        header, self.syntax = _read_header(file)
        lost = _remove_unwritable(header)
        if "Rows" not in header:
            raise BadInput(f"DICOM without an image ({UID(header.get('SOPClassUID', '')).name}); remove it")
        if "ModalityLUTSequence" in header:
            raise BadInput("DICOM with a modality look-up table, which is not read; save it with slope and intercept")
        shape = (int(header.get("NumberOfFrames") or 1), int(header.Rows), int(header.Columns))
        bits, samples = int(header.BitsAllocated), int(header.SamplesPerPixel)
        colours = str(header.PhotometricInterpretation)
        gray = samples == 1 and bits in (8, 16, 32) and 1 <= int(header.BitsStored) <= bits and colours in GRAY
        if not gray and (samples, bits, colours in COLOUR) != (3, 8, True):
            raise BadInput(f"DICOM of {bits} bits, {samples} samples in {colours}; save it as MONOCHROME2 or 8-bit RGB")
        check_shape(shape, samples * bits // 8, max_pixels)
        self.origin = DicomOrigin(header, shape)
        self.about = Metadata(origin=self.origin, lost=lost)

    def read(self, number: int) -> DecodedImage:
        """One frame; raises `BadInput` or one of `DAMAGE`."""
        header, about = self.origin.header, self.about
        self._check_frame(number)
        self.file.seek(0)
        try:
            numbers = pixel_array(self.file, index=number, correct_unused_bits=True)
        except BytesLengthException as error:
            raise BadInput(f"damaged ({error}); replace or remove it") from error
        if numbers.dtype.kind not in "iu":
            raise BadInput(f"DICOM of {numbers.dtype} pixels, which are not read; save it as whole numbers")
        if numbers.ndim == 3:
            return DecodedImage(numbers, about=about)
        pixels = padded(header, number, numbers_of(header, number).values(numbers)[..., None])
        about = replace(about, origin=replace(self.origin, dtype=pixels.dtype))
        padding = padding_of(header, number)
        if padding is None:
            return DecodedImage(pixels, about=about)
        about = replace(about, geo=((NODATA, 2, 0, repr(padding)),))
        return marked(DecodedImage(pixels, about=about), padding)

    def _check_frame(self, number: int) -> None:
        """Raise `BadInput` if a compressed frame states another size than the header."""
        if not self.syntax.is_encapsulated or self.syntax == RLELossless:
            return
        count, height, width = self.origin.shape
        data = get_frame(self._compressed, number, number_of_frames=count)
        if self.syntax in JPEG2000TransferSyntaxes:
            found = jpeg2000_size(data)
        else:
            stated = _get_jpg_parameters(data)
            found = tuple(stated.get(word) for word in ("height", "width", "components"))
        if found != (height, width, self.origin.header.SamplesPerPixel):
            raise BadInput("damaged (a compressed frame is not the size that the header says); replace or remove it")

    @cached_property
    def _compressed(self) -> bytes:
        self.file.seek(0)
        return dcmread(self.file).PixelData


def _read_header(file: BinaryIO) -> tuple[Dataset, UID]:
    """The elements before the pixels, and the transfer syntax."""
    try:
        file.seek(0)
        read_preamble(file, force=False)
        about = _read_file_meta_info(file)
        if "TransferSyntaxUID" not in about:
            raise BadInput("DICOM without a transfer syntax in its file header; save it as a Part 10 file")
        syntax = UID(about.TransferSyntaxUID)
        if syntax == DeflatedExplicitVRLittleEndian:  # pydicom would inflate it without a limit
            raise BadInput(f"DICOM compressed as a whole ({syntax.name}), which is not read; save it uncompressed")
        file.seek(0)
        header = Dataset(dcmread(file, stop_before_pixels=True))
    except (InvalidDicomError, BytesLengthException) as error:
        raise BadInput(f"damaged ({error}); replace or remove it") from error
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise BadInput(f"DICOM compressed by {syntax.name}, which is not read; save it uncompressed") from None
    if not decoder.is_available:
        advice = "pip install 'pylibjpeg[all]', or save it uncompressed"
        raise BadInput(f"DICOM compressed by {syntax.name}, which needs a decoder: {advice}")
    return header, syntax


def _remove_unwritable(header: Dataset) -> tuple[str, ...]:
    """Remove the elements that cannot be written again; returns their names."""
    lost = []
    for tag in list(header.keys()):
        place = DicomBytesIO()
        place.is_implicit_VR = place.is_little_endian = True
        try:
            write_dataset(place, Dataset({tag: header[tag]}))
        except (*DAMAGE, BytesLengthException):
            del header[tag]
            lost.append(f"DICOM element {tag} (of a wrong type)")
    return tuple(lost)
