"""Small DICOM and NIfTI files, made by hand."""

from __future__ import annotations

import nibabel
import numpy as np
from nibabel.openers import Opener
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def dicom(path, numbers, syntax=ExplicitVRLittleEndian, **elements):
    """Write stored numbers (h, w), (n, h, w) or (h, w, 3) as a DICOM file; `elements` set or, as None, remove some."""
    numbers = np.asarray(numbers)
    colour = numbers.ndim == 3 and numbers.shape[2] == 3
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, "1.2.3.4.1"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.1", "1.2.3.4", "1.2.3.9"
    data.PatientID, data.PatientName, data.Modality = "P7", "Doe^Jane", "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient, data.ImageOrientationPatient = [-10, -20, 30.5], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness, data.InstanceNumber = [0.5, 0.75], 2, 1
    data.Rows, data.Columns = numbers.shape[:2] if colour or numbers.ndim == 2 else numbers.shape[1:]
    if numbers.ndim == 3 and not colour:
        data.NumberOfFrames = len(numbers)
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    bits = 8 * numbers.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(numbers.dtype.kind == "i")
    data.WindowCenter, data.WindowWidth = 40, 400
    for word, value in elements.items():
        if value is None:
            delattr(data, word)
        else:
            setattr(data, word, value)
    content = numbers.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


def nifti(path, voxels, affine=None, slope=None, intercept=None):
    """Write stored numbers (i, j, k) as a NIfTI file; `slope` and `intercept` are written beside them."""
    image = nibabel.Nifti1Image(np.zeros_like(voxels), np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm", "sec")
    if slope is not None:
        image.header.set_slope_inter(slope, intercept)
    image.header["descrip"] = b"scanner"
    with Opener(str(path), "wb") as file:
        image.header["vox_offset"], image.header["magic"] = 352, b"n+1"
        file.write(image.header.binaryblock + b"\0" * 4 + np.asarray(voxels).tobytes("F"))
    return path
