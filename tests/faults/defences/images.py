"""Image files from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.defences.mutation import Mutation
from tests.faults.mutate import always, body, never, uncaught

IMAGES = "tests/test_images.py"
HEADER = f"{IMAGES}::test_a_header_that_asks_for_too_much_is_refused_for_that"
NAMED = "tests/data/test_doctor.py::test_every_hostile_file_is_named_with_its_reason_and_no_other"
MEDICAL = "tests/test_medical.py::test_what_is_not_read_is_named_before_it_is_decoded"
USABLE = "tests/data/test_usable.py"


def images() -> Iterator[Mutation]:
    yield Mutation(
        "a medical image may unpack to any size",
        "unpaired.imaging.medical.check_shape",
        never("MAX_PAGES"),
        MEDICAL,
    )
    yield Mutation(
        "a deflated DICOM is inflated without a limit",
        "unpaired.imaging.dicom._read_header",
        never("DeflatedExplicitVRLittleEndian"),
        MEDICAL,
    )
    yield Mutation(
        "a compressed frame of a DICOM may have any size",
        "unpaired.imaging.dicom.DicomSlices._check_frame",
        never("found"),
        "tests/test_medical.py::test_run_length_compression_is_read_and_a_compressed_frame_of_another_size_is_not",
    )
    yield Mutation(
        "pixels are not counted before they are decoded",
        "unpaired.imaging.pixels.check_size",
        never("max_pixels"),
        f"{IMAGES}::test_the_pixel_limit_is_judged_by_the_header_in_every_format",
    )
    yield Mutation(
        "an image without pixels is decoded",
        "unpaired.imaging.pixels.check_size",
        never("height", nth=0),
        HEADER,
    )
    yield Mutation(
        "a TIFF may have any number of channels",
        "unpaired.imaging.tiff._check_tiff_size",
        never("MAX_CHANNELS"),
        HEADER,
    )
    yield Mutation(
        "a TIFF may unpack to any size",
        "unpaired.imaging.tiff._check_tiff_size",
        never("BYTES_PER_PIXEL"),
        HEADER,
    )
    yield Mutation(
        "a TIFF may lack the offsets of its strips",
        "unpaired.imaging.tiff._check_tiff_size",
        never("dataoffsets"),
        HEADER,
    )
    yield Mutation(
        "a TIFF's pages may lead in a circle",
        "unpaired.imaging.tiff_pages._is_described",
        never("at", "seen"),
        f"{IMAGES}::test_of_pages_that_lead_in_a_circle_or_fill_the_file_only_the_first_is_looked_at",
        seconds=30,
    )
    yield Mutation(
        "an image without data is decoded",
        "unpaired.imaging.pixels.marked",
        never("where", "all"),
        HEADER,
    )
    yield Mutation(
        "float images may hold infinite values",
        "unpaired.imaging.tiff.tiff_image",
        never("isinf"),
        "tests/data/test_ranges.py::test_a_value_for_no_data_may_be_given_and_an_image_without_data_is_refused",
    )
    yield Mutation(
        "a library's exceptions for damaged files are not caught",
        "unpaired.imaging.pixels.one_line_errors",
        uncaught("DAMAGE"),
        f"{IMAGES}::test_hostile_files_end_in_one_line_that_names_them_and_print_nothing",
    )
    yield Mutation(
        "pipes and folders are opened",
        "unpaired.imaging.images._content",
        never("S_ISREG"),
        f"{IMAGES}::test_what_is_no_regular_file_is_refused_without_being_opened",
        seconds=30,  # the read of a pipe never ends
    )
    yield Mutation("tiny images pass", "unpaired.data.looks.read_look", never("smallest"), NAMED)
    yield Mutation("empty files are opened", "unpaired.data.looks._file_fault", always("st_size"), NAMED)
    yield Mutation(
        "bad images do not stop a training",
        "unpaired.data.selection.select",
        never("bad", "on_bad_image"),
        f"{USABLE}::test_bad_images_stop_a_training_before_its_first_step_and_all_are_named",
    )
    yield Mutation(
        "a resumed run selects its images again",
        "unpaired.data.selection.select",
        never("begun"),
        f"{USABLE}::test_a_resumed_run_sees_the_list_it_began_with",
    )
    yield Mutation(
        "names are printed unescaped",
        "unpaired.core.errors.shown",
        body("return str(text)"),
        f"{IMAGES}::test_any_name_is_read_and_shown_on_one_printable_line",
    )
