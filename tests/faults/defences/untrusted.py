"""Weights, archives and text files from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.defences.mutation import Mutation
from tests.faults.mutate import drop, never, replace

TENSORS = "tests/test_tensorfile.py"
FOREIGN = "tests/test_torch_pickle.py"
RUNS = "tests/faults/test_runs.py"
TEXTS = "tests/test_texts.py"
UNPACK = "tests/data/prepare/test_unpack.py"


def weights() -> Iterator[Mutation]:
    yield from _safetensors()
    yield from _networks()
    yield from _pickles()
    yield from _run_files()


def _safetensors() -> Iterator[Mutation]:
    fill = f"{TENSORS}::test_tensors_fill_the_file_one_after_another"
    size = f"{TENSORS}::test_a_tensor_that_its_bytes_do_not_make_is_refused"
    yield Mutation(
        "a header may have any length",
        "unpaired.core.safetensors_file.read_header",
        never("MAX_HEADER"),
        f"{TENSORS}::test_a_header_longer_than_any_of_ours_is_refused_before_it_is_parsed",
    )
    yield Mutation(
        "a header may be longer than its file",
        "unpaired.core.safetensors_file.read_header",
        never("length", "size"),
        f"{TENSORS}::test_a_header_longer_than_the_file_is_refused",
    )
    yield Mutation(
        "tensors may overlap or leave gaps", "unpaired.core.safetensors_file._check_filled", never("begin"), fill
    )
    yield Mutation(
        "bytes may follow the last tensor",
        "unpaired.core.safetensors_file._check_filled",
        never("size"),
        f"{fill}[more behind]",
    )
    yield Mutation(
        "a tensor's bytes need not make its shape", "unpaired.core.safetensors_file._spec", never("itemsize"), size
    )
    yield Mutation(
        "shapes may be negative, true or of any rank", "unpaired.core.safetensors_file._spec", never("MAX_RANK"), size
    )
    yield Mutation(
        "tensors may change while they are used",
        "unpaired.core.safetensors_file.read_tensors",
        drop("call", "clone"),
        f"{TENSORS}::test_tensors_read_have_memory_of_their_own",
    )


def _networks() -> Iterator[Mutation]:
    transformer = "tests/features/test_extractors.py::test_a_transformer_that_is_not_what_its_settings_say_is_refused"
    yield Mutation(
        "weights need not fit their settings",
        "unpaired.core.safetensors_file.check_fit",
        never("wrong", nth=0),
        "tests/test_checkpoint.py::test_what_is_no_whole_bundle_is_refused_in_one_line[wrong shapes]",
    )
    yield Mutation(
        "a segmenter's settings are not bounded",
        "unpaired.evaluation.segmenter._draft",
        never("MOST"),
        "tests/faults/test_weights.py::test_no_segmenter_from_a_stranger_is_used",
    )
    yield Mutation(
        "a transformer's missing weights are drawn at random",
        "unpaired.features.transformer.load_transformer",
        never("missing_keys"),
        f"{transformer}[renamed-clip]",
    )
    yield Mutation(
        "a transformer's settings take any memory",
        "unpaired.features.transformer._check_size",
        never("asked", "there"),
        f"{transformer}[missing-clip]",
    )
    yield Mutation(
        "settings may ask for networks of any size",
        "unpaired.experiment.build_method",
        never("MAX_PARAMETERS"),
        f"{RUNS}::test_settings_from_a_stranger_start_no_training[width-large]",
    )


def _pickles() -> Iterator[Mutation]:
    yield Mutation(
        "other tools' weights are unpickled as they are",
        "unpaired.core.torch_pickle._unpickled",
        replace("keyword", "weights_only", by="False"),
        f"{FOREIGN}::test_code_in_a_file_never_runs",
    )
    yield Mutation(
        "other tools' weights may unpack to any size",
        "unpaired.core.torch_pickle._check_archive",
        never("ZIP_STORED"),
        f"{FOREIGN}::test_an_archive_that_unpacks_to_more_than_its_size_is_refused_unread",
    )
    yield Mutation(
        "a tensor may claim more than its file holds",
        "unpaired.core.torch_pickle._owned",
        never("element_size"),
        f"{FOREIGN}::test_a_shape_larger_than_the_file_is_refused",
    )


def _run_files() -> Iterator[Mutation]:
    resumed = f"{RUNS}::test_a_run_from_a_stranger_is_not_resumed"
    yield Mutation(
        "a run writes through links",
        "unpaired.training.run_folder.open_folder",
        never("is_symlink"),
        f"{resumed}[link-metrics.jsonl]",
    )
    yield Mutation(
        "a link in place of a temporary file is followed",
        "unpaired.core.files.written_whole",
        drop("statement", "unlink", nth=0),
        f"{RUNS}::test_a_link_in_the_way_of_a_file_being_written_is_not_followed",
    )
    yield Mutation(
        "a manifest may name files elsewhere",
        "unpaired.checkpoints.run_state._check_entries",
        drop("operand", "Path"),
        f"{RUNS}::test_what_a_run_does_not_rely_on_is_passed_over_and_never_followed[state-files-device]",
        seconds=30,
    )
    yield Mutation(
        "a history may hold any number",
        "unpaired.methods.history.History.load",
        drop("operand", "isfinite"),
        f"{resumed}[state-history-nan]",
    )


def archives() -> Iterator[Mutation]:
    yield Mutation(
        "names may lead out of the folder",
        "unpaired.data.prepare.unpack._check_name",
        never("DRIVE"),
        f"{UNPACK}::test_a_name_that_leads_outside_is_refused[../evil]",
    )
    yield Mutation(
        "names may hold backslashes and control characters",
        "unpaired.data.prepare.unpack._check_name",
        never("ord"),
        f"{UNPACK}::test_a_backslash_or_control_character_is_refused",
    )
    yield Mutation(
        "links and devices are unpacked",
        "unpaired.data.prepare.unpack._check_kind",
        never("kind"),
        f"{UNPACK}::test_a_link_that_poses_as_a_folder_is_refused",
    )
    yield Mutation(
        "encrypted archives are unpacked",
        "unpaired.data.prepare.unpack._check_kind",
        never("flag_bits"),
        f"{UNPACK}::test_an_encrypted_archive_is_refused_with_that_reason",
    )
    yield Mutation(
        "names may collide where upper and lower case are the same",
        "unpaired.data.prepare.unpack._check_clashes",
        never("folded", "seen"),
        f"{UNPACK}::test_names_that_collide_are_refused",
    )
    yield Mutation(
        "any number of files is unpacked",
        "unpaired.data.prepare.unpack._members",
        never("entries", "max_files"),
        f"{UNPACK}::test_more_entries_than_allowed_are_refused",
    )
    yield Mutation(
        "a list of files of any length is read",
        "unpaired.data.prepare.unpack._check_directory",
        never("ENTRY_AT_MOST"),
        f"{UNPACK}::test_a_list_of_files_too_long_for_memory_is_refused_unread",
    )
    yield Mutation(
        "an archive may unpack to any multiple of its size",
        "unpaired.data.prepare.unpack._bound",
        replace("call", "max", by="10**12"),
        f"{UNPACK}::test_a_bomb_is_refused_by_its_ratio",
    )
    yield Mutation(
        "sizes in headers are not compared",
        "unpaired.data.prepare.unpack._write_all",
        never("before", "written"),
        f"{UNPACK}::test_a_header_that_lies_about_the_size_is_refused",
    )
    yield Mutation(
        "files unpacked before an error stay",
        "unpaired.data.prepare.unpack._whole_or_nothing",
        drop("statement", "rmtree"),
        f"{UNPACK}::test_a_flipped_bit_is_refused_and_files_written_before_it_removed",
    )
    yield Mutation(
        "names in a shard may lead out of it",
        "unpaired.data.sources.tar._read_index",
        drop("operand", "unsafe"),
        "tests/data/test_archives.py::test_names_that_lead_out_of_a_shard_lead_nowhere",
    )


def texts() -> Iterator[Mutation]:
    yield Mutation(
        "texts may have any length",
        "unpaired.core.safe_text.read_text",
        never("most"),
        f"{TEXTS}::test_a_text_is_read_up_to_its_length_and_not_beyond",
    )
    yield Mutation(
        "lines may have any length",
        "unpaired.core.safe_text.json_lines",
        never("MAX_LINE"),
        f"{TEXTS}::test_a_line_of_a_log_is_bounded_and_named",
    )
    yield Mutation(
        "texts may be nested to any depth",
        "unpaired.core.safe_text._shallow",
        never("inside", "left"),
        f"{TEXTS}::test_nesting_is_bounded",
    )
    yield Mutation(
        "a name may be given twice",
        "unpaired.core.safe_text._once",
        never("values", "pairs"),
        f"{TEXTS}::test_a_name_given_twice_is_refused",
    )
    yield Mutation(
        "YAML may refer to itself",
        "unpaired.core.safe_text._WithoutReferences.compose_node",
        never("AliasEvent"),
        f"{TEXTS}::test_references_are_refused",
    )
    yield Mutation(
        "YAML may make any object",
        "unpaired.core.safe_text._WithoutReferences",
        replace("base", "SafeLoader", by="yaml.UnsafeLoader"),
        f"{TEXTS}::test_only_plain_types_come_out_of_yaml",
    )
