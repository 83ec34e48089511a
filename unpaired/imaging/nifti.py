"""NIfTI volumes (one file, `.nii` or `.nii.gz`), by nibabel.

A volume is a stack of axial slices as radiologists see them: slice 0 is the lowest, rows run from the front to the
back, columns from the patient's right to the left. Axes are exchanged and mirrored to the nearest such order; no voxel
is interpolated, and writing restores the file's order.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from unpaired.core.errors import BadInput
from unpaired.imaging.medical import Numbers, check_shape
from unpaired.imaging.metadata import Metadata
from unpaired.imaging.pixels import DecodedImage, Pixels, marked

AXIAL = axcodes2ornt(("L", "P", "S"))
_LAST: dict[Any, NDArray] = {}
"""The voxels of the compressed file read last, so that its slices cost one decompression."""
_LOCK = threading.Lock()


@dataclass(frozen=True)
class NiftiOrigin:
    """The header of a NIfTI file."""

    header: Nifti1Header
    extension: bytes
    """What follows the header, up to the voxels."""
    stored: tuple[int, int, int]
    """Voxels along the file's axes."""
    to_axial: NDArray
    """Orientation transform, as nibabel has it."""
    dtype: np.dtype = np.dtype(np.uint8)
    """Of the values."""
    name = "NIfTI header"
    suffixes = (".nii", ".nii.gz")
    patient = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        width, height, count = self.axial(np.broadcast_to(np.uint8(0), self.stored)).shape
        return count, height, width

    def axial(self, voxels: NDArray) -> NDArray:
        """A view (columns, rows, slices) of voxels in the file's order."""
        return apply_orientation(voxels, self.to_axial)

    @property
    def numbers(self) -> Numbers:
        """What the stored numbers mean."""
        dtype = self.header.get_data_dtype()
        low, high = (0, 0) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        slope, intercept = self.header.get_slope_inter()
        return Numbers(low, high, 1.0 if slope is None else float(slope), float(intercept or 0))

    def in_other_units(self) -> NiftiOrigin:
        """The header for values of another domain: without a display window."""
        header = self.header.copy()
        header["cal_min"] = header["cal_max"] = 0
        return replace(self, header=header)

    def encode(self, slices: Sequence[Pixels], derived: str, suffix: str) -> bytes:
        """A NIfTI file with other voxels; stored type and scaling stay where they hold all values.

        Raises `BadInput` for more than one channel.
        """
        if slices[0].shape[2] != 1:
            raise BadInput(f"{suffix} holds one channel, not {slices[0].shape[2]}; choose .tif, or train with one")
        header, dtype = self.header.copy(), self.header.get_data_dtype()
        same = slices[0].dtype == self.dtype
        planes = [self.numbers.numbers(pixels[..., 0], dtype) for pixels in slices] if same else []
        if not planes or any(plane is None for plane in planes):
            planes, dtype = [pixels[..., 0] for pixels in slices], slices[0].dtype
            header.set_data_dtype(dtype)
            header.set_slope_inter(1, 0)
        if not same:
            header["cal_min"] = header["cal_max"] = 0  # a display window in other units
        header["descrip"] = derived.encode("ascii", "replace")[:79]
        voxels = np.empty(self.stored, dtype.newbyteorder(header.endianness), order="F")
        view = self.axial(voxels)
        for number, plane in enumerate(planes):
            view[:, :, number] = np.asarray(plane).T
        data = header.binaryblock + self.extension + voxels.tobytes("F")
        return gzip.compress(data, 6, mtime=0) if suffix == ".nii.gz" else data


class NiftiSlices:
    """The slices of an open NIfTI file."""

    def __init__(self, file: BinaryIO, compressed: bool, max_pixels: int) -> None:
        """Read the header; raises `BadInput` or one of `pixels.DAMAGE`."""
        self.file, self.compressed = file, compressed
        file.seek(0)
        content = self._content()
        head = content.read(4)
        kind = Nifti2Header if 540 in (int.from_bytes(head, "little"), int.from_bytes(head, "big")) else Nifti1Header
        try:
            header = kind(head + content.read(kind.sizeof_hdr - 4), check=False)
            shape, dtype, self.offset = header.get_data_shape(), header.get_data_dtype(), int(header["vox_offset"])
            header.get_slope_inter()
            orientation = io_orientation(header.get_best_affine())
        except HeaderDataError as error:
            raise BadInput(f"damaged ({error}); replace or remove it") from error
        stored = _three(tuple(int(side) for side in shape))
        if dtype.kind not in "iuf" or dtype.itemsize > 8:
            raise BadInput(f"NIfTI of {header.get_value_label('datatype')}, which is not read; save it as float32")
        if np.isnan(orientation).any():
            raise BadInput("damaged (NIfTI with axes that are not independent); replace or remove it")
        if not kind.sizeof_hdr <= self.offset <= 2**24:  # at most 16 MiB of extensions
            raise BadInput(f"damaged (NIfTI with voxels at byte {self.offset}); replace or remove it")
        extension = content.read(self.offset - kind.sizeof_hdr)
        self.origin = NiftiOrigin(header, extension, stored, ornt_transform(orientation, AXIAL))
        check_shape(self.origin.shape, dtype.itemsize, max_pixels)

    def read(self, number: int) -> DecodedImage:
        """One slice; raises `BadInput` or one of `pixels.DAMAGE`."""
        plane = np.ascontiguousarray(self.origin.axial(self._voxels())[:, :, number].T)
        pixels = self.origin.numbers.values(plane)[..., None]
        about = Metadata(origin=replace(self.origin, dtype=pixels.dtype))
        return marked(DecodedImage(pixels, about=about), math.nan)

    def _content(self) -> BinaryIO:
        return gzip.GzipFile(fileobj=self.file) if self.compressed else self.file  # pyright: ignore[reportReturnType]

    def _voxels(self) -> NDArray:
        """All voxels in the file's order; of a file that is not compressed they stay on disk."""
        dtype, count = self.origin.header.get_data_dtype(), math.prod(self.origin.stored)
        if isinstance(self.file, io.BytesIO):
            flat = np.frombuffer(self._unpacked(dtype.itemsize * count), dtype, count)
        elif not self.compressed:
            flat = np.memmap(self.file, dtype, "r", self.offset, (count,))
        else:
            state = os.fstat(self.file.fileno())
            key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            with _LOCK:
                if key not in _LAST:
                    _LAST.clear()
                    _LAST[key] = np.frombuffer(self._unpacked(dtype.itemsize * count), dtype, count)
                flat = _LAST[key]
        return flat.reshape(self.origin.stored, order="F")

    def _unpacked(self, size: int) -> bytes:
        """No more bytes than the header states, however many the file would unpack to; raises `BadInput` for fewer."""
        self.file.seek(0)
        content = self._content()
        content.read(self.offset)
        data = content.read(size)
        if len(data) < size:
            raise BadInput("damaged (NIfTI without all of its voxels); replace or remove it")
        return data


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The sides of one volume; raises `BadInput` for several volumes."""
    if math.prod(shape[3:]) != 1:
        raise BadInput(f"NIfTI of {len(shape)} dimensions ({'x'.join(map(str, shape))}); split it into volumes of 3")
    sides = (*shape[:3], 1, 1, 1)
    return sides[0], sides[1], sides[2]
