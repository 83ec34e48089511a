import dataclasses
import json
import re

import pytest
import torch
import yaml

import unpaired
from unpaired import models
from unpaired.config import DataConfig, OptimConfig
from unpaired.core.errors import BadInput
from unpaired.data.prepare.published import PUBLISHED
from unpaired.experiment import (
    Experiment,
    build_method,
    flatten,
    from_dict,
    read_experiment,
    read_settings,
    to_dict,
    to_yaml,
    with_root,
    with_settings,
)
from unpaired.methods import METHODS, Batch, CycleGANConfig, compute_losses
from unpaired.models import PatchGANConfig, PixelGANConfig, ResNetConfig, UNetConfig
from unpaired.presets import PRESETS, preset

PAPER = sorted(set(PRESETS) & set(PUBLISHED))
PAINTINGS_AND_FLOWERS = {"monet2photo", "cezanne2photo", "ukiyoe2photo", "vangogh2photo", "iphone2dslr_flower"}
DEFAULT = Experiment(name="default")


def refused(settings, experiment=DEFAULT):
    """The one line that answers these settings."""
    with pytest.raises(BadInput) as caught:
        with_settings(experiment, settings, "flags")
    line = str(caught.value)
    assert line.startswith("flags: ") and "\n" not in line
    return line


# To text and back


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back_from_a_dictionary_json_and_yaml(name, tmp_path):
    experiment = PRESETS[name]()
    assert from_dict(to_dict(experiment)) == experiment
    assert from_dict(json.loads(json.dumps(to_dict(experiment)))) == experiment
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(experiment))
    assert read_experiment(path) == experiment
    assert with_settings(DEFAULT, flatten(experiment)) == experiment


def test_settings_unlike_every_default_come_back_too(tmp_path):
    experiment = Experiment(
        name="odd",
        data=DataConfig(root="a: folder, 'quoted' #1", flip=False, preprocess="scale_width", channels_b=1),
        method=CycleGANConfig(generator=UNetConfig(downs=6, dropout=True), discriminator=PixelGANConfig(norm="none")),
        optim=OptimConfig(lr=1e-5, discriminator_lr=3e-4, steps=7),
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(experiment))
    assert read_experiment(path) == experiment
    assert yaml.safe_load(path.read_text()) == {"format": 1} | to_dict(experiment)


def test_absent_settings_take_their_defaults():
    assert from_dict({}) == Experiment(name="custom")
    assert from_dict({"name": "n", "optim": {"lr": 1e-3}}) == Experiment(name="n", optim=OptimConfig(lr=1e-3))


def test_yaml_and_json_files_give_dotted_settings(tmp_path):
    text = {"settings.yaml": "optim: {lr: 2e-4, steps: 7}\ndata:\n  flip: no\n", "dotted.yaml": "optim.lr: 2e-4\n"}
    text["settings.json"] = '{"optim": {"lr": 0.0002, "steps": 7}, "data": {"flip": false}}'
    for name, content in text.items():
        (tmp_path / name).write_text(content)
    from_yaml, from_json = (read_settings(tmp_path / f"settings.{kind}") for kind in ("yaml", "json"))
    assert set(from_yaml) == {"optim.lr", "optim.steps", "data.flip"}
    assert with_settings(DEFAULT, from_yaml) == with_settings(DEFAULT, from_json)
    assert with_settings(DEFAULT, read_settings(tmp_path / "dotted.yaml")).optim.lr == 2e-4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"optim: {lr: 1", "not valid YAML or JSON"),
        (b"a: b: c", "not valid YAML or JSON"),
        (b"\xff\xfe\x00broken", "not text in UTF-8"),
        (b"- lr\n- steps\n", "expected settings as .* found .'lr', 'steps'"),
        (b"just words", "found 'just words'"),
        (b"", "found nothing"),
    ],
)
def test_a_file_that_holds_no_settings_is_named_in_one_line(tmp_path, content, words):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        read_settings(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_broken_json_a_missing_file_and_a_folder_are_named_in_one_line(tmp_path):
    (tmp_path / "settings.json").write_text("{'optim': 1}")
    with pytest.raises(BadInput, match=r"settings\.json: not valid YAML or JSON"):
        read_settings(tmp_path / "settings.json")
    with pytest.raises(BadInput, match=r"absent\.yaml: cannot be read \(No such file"):
        read_settings(tmp_path / "absent.yaml")
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory"):
        read_settings(tmp_path)


def test_a_wrong_setting_in_a_file_is_answered_with_the_files_name(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("name: x\noptim: {lr: -1}\n")
    with pytest.raises(BadInput, match=r"config\.yaml: optim\.lr must be positive"):
        read_experiment(path)


# Single settings


def test_text_is_converted_to_each_settings_own_type():
    changed = with_settings(
        DEFAULT,
        {
            "optim.lr": "1e-4",
            "optim.steps": "300",
            "data.flip": "false",
            "data.preprocess": "crop",
            "method.generator.blocks": "6",
            "method.identity_weight": "5",
        },
    )
    assert changed.optim == OptimConfig(lr=1e-4, steps=300)
    assert changed.data == DataConfig(flip=False, preprocess="crop")
    assert changed.method == CycleGANConfig(generator=ResNetConfig(blocks=6), identity_weight=5.0)
    assert type(changed.optim.lr) is float and type(changed.optim.steps) is int and changed.data.flip is False


def test_dashes_and_underscores_name_the_same_setting():
    dashed = with_settings(DEFAULT, {"method.identity-weight": 2, "data.crop-size": 64})
    assert dashed == with_settings(DEFAULT, {"method.identity_weight": 2, "data.crop_size": 64})
    assert dashed.method.identity_weight == 2 and dashed.data.crop_size == 64


def test_an_optional_setting_can_be_taken_back():
    given = with_settings(DEFAULT, {"optim.steps": 5, "optim.discriminator_lr": 1e-3})
    assert with_settings(given, {"optim.steps": None, "optim.discriminator_lr": None}) == DEFAULT


def test_the_word_none_is_a_value_where_the_setting_has_it_and_no_value_where_it_may_be_absent():
    changed = with_settings(
        DEFAULT,
        {
            "data.preprocess": "none",
            "method.generator.norm": "none",
            "method.discriminator.norm": "none",
            "data.root": "none",
            "optim.steps": "none",
            "optim.discriminator_lr": "null",
        },
    )
    assert changed.data.preprocess == changed.data.root == "none"
    assert changed.method.generator.norm == changed.method.discriminator.norm == "none"
    assert changed.optim.steps is None and changed.optim.discriminator_lr is None
    assert refused({"data.batch": "none"}).endswith("unable to parse string as an integer, got 'none'")
    assert refused({"data.crop_size": "none"}).endswith("WIDTHxHEIGHT as 512x256, got 'none'")


def test_settings_that_are_only_possible_together_are_changed_together():
    small = Experiment(name="small", data=DataConfig(load_size=36, crop_size=32))
    changed = with_settings(small, {"data.crop_size": 256, "data.load_size": 286})
    assert (changed.data.crop_size, changed.data.load_size) == (256, 286)


def test_the_experiment_given_is_left_as_it_was():
    before = to_dict(DEFAULT)
    with_settings(DEFAULT, {"optim.lr": 1, "method.generator.name": "unet"})
    assert to_dict(DEFAULT) == before


def test_with_root_changes_the_data_folder_only():
    assert with_root(DEFAULT, "there") == with_settings(DEFAULT, {"data.root": "there"})


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("optim.lrr", "optim.lr"),
        ("optim.stps", "optim.steps"),
        ("data.crop_sise", "data.crop_size"),
        ("method.identity", "method.identity_weight"),
        ("steps", "optim.steps"),
        ("generator.blocks", "method.generator.blocks"),
        ("optim", "optim.lr"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_nearest_one(key, nearest):
    assert refused({key: 1}) == f"flags: unknown setting {key}; did you mean {nearest}?"


def test_an_unknown_setting_like_no_other_is_answered_with_those_of_its_group():
    line = refused({f"optim.{'q' * 20}": 1})
    assert all(f"optim.{field.name}" in line for field in dataclasses.fields(OptimConfig))
    assert "data." not in line
    everything = refused({"q" * 20: 1})
    assert all(name in everything for name in flatten(DEFAULT))


def test_an_unknown_setting_with_a_line_break_is_shown_on_one_line():
    assert refused({"optim.l\nr": 1}).startswith("flags: unknown setting optim.l\\nr;")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"optim.lr": "fast"}, "optim.lr: input should be a valid number, .*got 'fast'"),
        ({"optim.lr": "a\nb"}, r"optim.lr: .*got 'a\\nb'"),
        ({"optim.lr": [1]}, r"optim.lr: .*got \[1\]"),
        ({"optim.steps": 1.5}, "optim.steps: input should be a valid integer, .*got 1.5"),
        ({"data.flip": "perhaps"}, "data.flip: input should be a valid boolean, .*got 'perhaps'"),
        ({"data.root": 5}, "data.root: input should be a valid string, got 5"),
        ({"data.batch": None}, "data.batch: input should be a valid integer, got None"),
        ({"data.crop_size": None}, "data.crop_size: expected a side as 256 or WIDTHxHEIGHT as 512x256, got None"),
    ],
)
def test_a_value_of_the_wrong_type_is_answered_with_setting_type_and_value(settings, line):
    assert re.fullmatch(f"flags: {line}", refused(settings))


@pytest.mark.parametrize(
    ("key", "value", "choices"),
    [
        ("data.preprocess", "squash", ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none")),
        ("runtime.precision", "fp16", ("auto", "fp32", "bf16")),
        ("method.adversarial", "lsgan", ("least-squares", "log-likelihood", "hinge")),
        ("method.generator.norm", "group", ("instance", "batch", "none")),
        ("method.generator.name", "resnt", ("resnet", "unet")),
        ("method.discriminator.name", "pacthgan", ("patchgan", "pixelgan")),
        ("method.name", "pixpix", tuple(METHODS)),
    ],
)
def test_a_value_outside_its_choices_is_answered_with_all_of_them(key, value, choices):
    line = refused({key: value})
    assert line.startswith(f"flags: {key}: ") and line.endswith(f"got {value!r}")
    assert all(repr(choice) in line for choice in choices)


def test_a_device_that_there_is_none_of_is_answered_with_the_kinds():
    line = refused({"runtime.device": "tpu"})
    assert line == "flags: runtime.device: expected auto, cpu, cuda, cuda:N or mps, found tpu"


@pytest.mark.parametrize(
    ("settings", "where", "value"),
    [
        ({"optim.lr": 0}, "optim.lr", "0"),
        ({"optim.lr": "nan"}, "optim.lr", "nan"),
        ({"optim.lr": "inf"}, "optim.lr", "inf"),
        ({"optim.discriminator_lr": -1}, "optim.discriminator_lr", "-1"),
        ({"optim.beta1": 1}, "optim.beta1", "1"),
        ({"optim.beta2": -0.1}, "optim.beta2", "-0.1"),
        ({"optim.epochs": -1}, "optim.epochs", "-1"),
        ({"optim.steps": 0}, "optim.steps", "0"),
        ({"optim.epochs": 0, "optim.decay_epochs": 0}, "optim.epochs + optim.decay_epochs", "0"),
        ({"data.batch": 0}, "data.batch", "0"),
        ({"data.channels_a": 0}, "data.channels_a", "0"),
        ({"data.workers": -1}, "data.workers", "-1"),
        ({"data.cache_gb": "nan"}, "data.cache_gb", "nan"),
        ({"data.crop_size": 300}, "data.crop_size", "300"),
        ({"data.crop_size": "512x256", "data.load_size": "572x0"}, "data.load_size", "0"),
        ({"runtime.seed": -1}, "runtime.seed", "-1"),
        ({"runtime.save_every": 0}, "runtime.save_every", "0"),
        ({"method.identity_weight": -1}, "method.identity_weight", "-1"),
        ({"method.identity_weight": "nan"}, "method.identity_weight", "nan"),
        ({"method.forward_cycle_weight": "inf"}, "method.forward_cycle_weight", "inf"),
        ({"method.history": -1}, "method.history", "-1"),
        ({"method.generator.width": 0}, "method.generator: width", "0"),
        ({"method.generator.blocks": -1}, "method.generator: blocks", "-1"),
        ({"method.generator.name": "unet", "method.generator.downs": 4}, "method.generator: downs", "4"),
        ({"method.discriminator.layers": 0}, "method.discriminator: width and layers", "0"),
        (
            {"method.discriminator.name": "pixelgan", "method.discriminator.width": 0},
            "method.discriminator: width",
            "0",
        ),
    ],
)
def test_a_value_out_of_range_is_answered_with_setting_and_value(settings, where, value):
    line = refused(settings)
    assert line.startswith(f"flags: {where} ")
    assert value in line.removeprefix(f"flags: {where} ")


def test_every_wrong_value_is_named_not_the_first_only():
    line = refused({"optim.lr": "fast", "data.flip": "perhaps"})
    assert "optim.lr" in line and "data.flip" in line


# Parts with a name


def test_another_generator_starts_from_that_networks_own_defaults():
    wide = with_settings(DEFAULT, {"method.generator.width": 7, "method.generator.norm": "batch"})
    changed = with_settings(wide, {"method.generator.name": "unet"})
    assert changed.method.generator == UNetConfig()
    assert changed.method.discriminator == DEFAULT.method.discriminator
    assert with_settings(wide, {"method.discriminator.name": "pixelgan"}).method == dataclasses.replace(
        wide.method, discriminator=PixelGANConfig()
    )


def test_naming_the_generator_it_has_keeps_its_settings():
    wide = with_settings(DEFAULT, {"method.generator.width": 7})
    assert with_settings(wide, {"method.generator.name": "resnet"}) == wide


def test_a_name_and_the_new_parts_settings_may_come_in_any_order():
    settings = {"method.generator.downs": "6", "method.generator.name": "unet", "method.generator.width": 8}
    expected = UNetConfig(downs=6, width=8)
    assert with_settings(DEFAULT, settings).method.generator == expected
    assert with_settings(DEFAULT, dict(reversed(settings.items()))).method.generator == expected


def test_settings_of_another_network_than_the_one_chosen_are_unknown():
    assert "unknown setting method.generator.downs" in refused({"method.generator.downs": 7})
    assert "unknown setting method.generator.blocks" in refused(
        {"method.generator.name": "unet", "method.generator.blocks": 6}
    )


@pytest.mark.parametrize(
    "part",
    [DEFAULT, DEFAULT.data, DEFAULT.method, DEFAULT.optim, DEFAULT.runtime, *(ResNetConfig(), UNetConfig())]
    + [PatchGANConfig(), PixelGANConfig()],
    ids=lambda part: type(part).__name__,
)
def test_settings_are_frozen_and_given_by_name(part):
    for field in dataclasses.fields(part):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field.name, None)
    with pytest.raises(TypeError):
        type(part)("by position")


def test_channels_that_identity_cannot_compare_are_refused_in_one_line():
    settings = {"data.channels_a": 1, "method.identity_weight": 5, "method.generator.width": 4}
    with pytest.raises(BadInput, match=r"^method\.identity_weight .*got 1 and 3; set --method\.identity-weight 0$"):
        build_method(with_settings(DEFAULT, settings))


# Presets


def on_meta(build):
    def built(*args, **settings):
        with torch.device("meta"):
            return build(*args, **settings)

    return built


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_and_can_take_a_step_on_images_of_its_size(name, monkeypatch):
    """On the meta device: every shape is computed, no number is."""
    for build in ("build_generator", "build_discriminator"):
        monkeypatch.setattr(f"unpaired.methods.twoway.{build}", on_meta(getattr(models, build)))
        monkeypatch.setattr(f"unpaired.methods.cut.{build}", on_meta(getattr(models, build)))
    experiment = preset(name)
    data, method = experiment.data, build_method(experiment).to("meta")
    sides = (data.batch, data.channels_a, data.crop_size, data.crop_size)
    x = torch.empty(sides, device="meta")
    y = torch.empty((sides[0], data.channels_b, *sides[2:]), device="meta")
    _, fakes = compute_losses(method.generator_losses(Batch(x, y)))
    assert {letter: fake.shape for letter, fake in fakes.items()} == (
        {"G": y.shape} if "BtoA" not in method.translators else {"G": y.shape, "F": x.shape}
    )
    losses, _ = compute_losses(method.discriminator_losses(Batch(x, y), fakes))
    assert all(loss.shape == () for loss in losses.values())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_called_by_its_name_and_says_how_to_run_it(name):
    assert preset(name).name == name
    assert f"unpaired train {name} --data" in (PRESETS[name].__doc__ or "")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_fresh_and_equal_value_each_time(name):
    assert preset(name) == preset(name)


CYCLEGANS = [name for name in PRESETS if isinstance(PRESETS[name]().method, CycleGANConfig)]


@pytest.mark.parametrize("name", [name for name in CYCLEGANS if name in (*PAPER, "cyclegan", "smoke")])
def test_every_published_preset_keeps_the_papers_lambda(name):
    method = preset(name).method
    assert method.forward_cycle_weight == method.backward_cycle_weight == 10


@pytest.mark.parametrize("name", CYCLEGANS)
def test_every_preset_keeps_the_form_and_optimiser_of_the_paper(name):
    method, optim = preset(name).method, preset(name).optim
    assert method.identity_weight in (0, method.forward_cycle_weight / 2)  # none, or half of lambda
    assert method.adversarial == "least-squares"
    assert (optim.lr, optim.discriminator_lr, optim.beta1, optim.beta2) == (2e-4, None, 0.5, 0.999)
    assert optim.epochs == optim.decay_epochs == (20 if name == "standard" else 100)  # half and half, also by steps


def test_cut_and_fastcut_have_the_authors_defaults():
    cut, fastcut = preset("cut"), preset("fastcut")
    for experiment in (cut, fastcut):
        data, optim, method = experiment.data, experiment.optim, experiment.method
        assert (data.load_size, data.crop_size, data.batch, data.flip) == (286, 256, 1, True)
        assert (optim.lr, optim.discriminator_lr, optim.beta1, optim.beta2) == (2e-4, None, 0.5, 0.999)
        assert method.generator == ResNetConfig(
            blocks=9, width=64, norm="instance", init="xavier", downsampling="blur", upsampling="blur"
        )
        assert method.discriminator == PatchGANConfig(layers=3, width=64, init="xavier", downsampling="blur")
        assert (method.adversarial, method.gan_weight) == ("least-squares", 1)
        assert (method.patches, method.temperature) == (256, 0.07)
    assert (cut.method.nce_weight, cut.method.identity, cut.method.flip_equivariance) == (1, True, False)
    assert (fastcut.method.nce_weight, fastcut.method.identity, fastcut.method.flip_equivariance) == (10, False, True)
    assert (cut.optim.epochs, cut.optim.decay_epochs) == (200, 200)
    assert (fastcut.optim.epochs, fastcut.optim.decay_epochs) == (150, 50)


def test_pix2pix_has_the_authors_defaults():
    experiment = preset("pix2pix")
    data, optim, method = experiment.data, experiment.optim, experiment.method
    assert data.paired and (data.load_size, data.crop_size, data.batch) == (286, 256, 1)
    assert (optim.epochs, optim.decay_epochs, optim.lr, optim.beta1) == (100, 100, 2e-4, 0.5)
    assert method.generator == UNetConfig(downs=8, width=64, norm="batch", dropout=True)
    assert method.discriminator == PatchGANConfig(layers=3, width=64, norm="batch")
    assert (method.adversarial, method.l1_weight, method.history) == ("log-likelihood", 100, 0)
    assert build_method(with_settings(experiment, {"method.generator.width": 2})).discriminators_first


@pytest.mark.parametrize("name", PAPER)
def test_presets_of_the_papers_sets_hold_the_published_settings(name):
    experiment = preset(name)
    small = name == "cityscapes"  # the paper trains it at 128 px, the others at 256
    assert experiment.optim == OptimConfig()
    assert experiment.data == (DataConfig(load_size=143, crop_size=128) if small else DataConfig())
    assert (experiment.data.load_size, experiment.data.crop_size) == ((143, 128) if small else (286, 256))
    assert experiment.data.preprocess == "resize_and_crop" and experiment.data.flip and experiment.data.batch == 1
    assert experiment.method.history == 50
    assert experiment.method.generator == ResNetConfig(blocks=6 if small else 9)
    assert experiment.method.discriminator == PatchGANConfig(width=64, layers=3, norm="instance")
    if name in PAINTINGS_AND_FLOWERS:
        assert experiment.method.identity_weight == 5  # Sec. 5.2


def test_without_a_preset_the_defaults_are_the_published_settings():
    assert DEFAULT.optim == OptimConfig(
        lr=2e-4, discriminator_lr=None, beta1=0.5, beta2=0.999, epochs=100, decay_epochs=100, steps=None
    )
    data = DEFAULT.data
    assert (data.load_size, data.crop_size, data.flip, data.batch) == (286, 256, True, 1)
    assert DEFAULT.method == CycleGANConfig(
        generator=ResNetConfig(width=64, blocks=9, norm="instance", dropout=False, padding="reflect"),
        discriminator=PatchGANConfig(width=64, layers=3, norm="instance"),
        adversarial="least-squares",
        forward_cycle_weight=10,
        backward_cycle_weight=10,
        identity_weight=0,
        history=50,
    )


def test_an_unknown_preset_is_answered_with_the_nearest_and_all():
    with pytest.raises(BadInput, match="^unknown preset smok; did you mean smoke[?] there are .*earth"):
        preset("smok")
    with pytest.raises(BadInput, match="^unknown preset zzzzz; there are .*smoke"):
        preset("zzzzz")


def test_a_config_of_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(preset("smoke")).replace("format: 1", "format: 2"))
    with pytest.raises(BadInput, match="format 2, this version reads 1; upgrade unpaired"):
        read_experiment(path)


def test_training_wants_an_experiment_not_its_name(tmp_path):
    with pytest.raises(BadInput, match="expected an experiment, as unpaired.presets.quick.. gives, found 'smoke'"):
        unpaired.train("smoke", data=tmp_path, out=tmp_path / "run")
