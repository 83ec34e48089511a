import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data_sets import make_data, make_model
from tests.rule import INVERSE, Rule
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.core.parallel import side_by_side
from unpaired.data.heldout import open_held_out, spread
from unpaired.evaluation import evaluate, table

LEVEL = 1 / 127.5
"""One 8-bit level in [-1, 1]."""


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def images(count: int, seed: int, size: int = 32) -> np.ndarray:
    """Colour images with levels from 20 to 235, blocks and noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(20, 200, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    return (blocks + rng.integers(0, 36, (count, size, size, 3))).astype(np.uint8)


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    """A data set whose domain B is the negative of A, under the same names."""
    for part, seed in (("train", 1), ("test", 2)):
        for k, pixels in enumerate(images(12, seed)):
            write(tmp_path / f"{part}A" / f"{k}.png", pixels)
            write(tmp_path / f"{part}B" / f"{k}.png", 255 - pixels)
    return tmp_path


def describe(data: Path, **facts: object) -> None:
    (data / "dataset.json").write_text(json.dumps({"format": 1, **facts}))


def test_a_translator_that_is_right_gets_the_best_of_every_number(negatives):
    result = evaluate(INVERSE, negatives)
    for direction in ("AtoB", "BtoA"):
        scores = result[direction]
        assert scores["mean_abs_error"] == 0 and scores["cycle_error"] == 0 and scores["swd"] == 0
        assert scores["psnr"] == 100 and scores["ssim"] == pytest.approx(1, abs=1e-5)
        assert result["intervals"][direction]["mean_abs_error"] == {
            "low": 0,
            "high": 0,
            "n": 12,
            "independent": 12,
        }


def test_an_error_of_ten_levels_is_reported_as_ten_levels_and_the_way_back_adds_its_own(negatives):
    off = Rule({"AtoB": lambda x: -x + 10 * LEVEL, "BtoA": lambda y: -y + 4 * LEVEL})
    result = evaluate(off, negatives)
    assert result["AtoB"]["mean_abs_error"] == pytest.approx(10)
    assert result["BtoA"]["mean_abs_error"] == pytest.approx(4)
    assert result["AtoB"]["cycle_error"] == pytest.approx(6)  # -(-x + 10) + 4 = x - 6
    assert [image["mean_abs_error"] for image in result["images"]["AtoB"]] == pytest.approx([10] * 12)


def test_every_number_of_the_model_and_of_the_baselines_has_an_interval_around_it(negatives):
    result = evaluate(INVERSE, negatives)
    for direction in ("AtoB", "BtoA"):
        assert result["intervals"][direction].keys() == result[direction].keys()
        for name, scores in result["baselines"][direction].items():
            spans = result["baseline_intervals"][direction][name]
            assert spans.keys() == scores.keys()
            assert all(spans[k]["low"] <= scores[k] <= spans[k]["high"] and spans[k]["n"] == 12 for k in scores)
            gaps = result["differences"][direction][name]
            assert gaps.keys() == scores.keys()
            for k, gap in gaps.items():
                assert gap["low"] - 1e-4 <= result[direction][k] - scores[k] <= gap["high"] + 1e-4 and gap["n"] == 12


def test_baselines_are_fitted_on_the_training_sets_only(tmp_path):
    half = np.indices((32, 32)).sum(0) % 2  # a chequerboard: half of the pixels of either level
    for folder, (low, high) in {"trainA": (0, 100), "trainB": (50, 250), "testA": (0, 100), "testB": (60, 240)}.items():
        write(tmp_path / folder / "0.png", np.where(half, high, low)[..., None].repeat(3, 2).astype(np.uint8))
    result = evaluate(Rule({"AtoB": torch.clone}), tmp_path, paired="yes")["baselines"]["AtoB"]
    assert result["copy"]["mean_abs_error"] == pytest.approx((60 + 140) / 2)
    assert result["mean_colour"]["mean_abs_error"] == pytest.approx(90)  # 150 against 60 and 240
    assert result["histogram_matching"]["mean_abs_error"] == pytest.approx(10)  # 50 and 250 against 60 and 240


def test_water_iou_is_pooled_over_the_images_and_uses_the_bounds_of_the_target(negatives):
    describe(negatives, aligned=True, water={"A": {"bluer_by": 8}, "B": {"bluer_by": 25}})
    for k in range(6, 12):
        for side in ("A", "B"):
            (negatives / f"test{side}" / f"{k}.png").unlink()
    for k in range(6):
        for side in ("A", "B"):
            path = negatives / f"test{side}" / f"{k}.png"
            pixels = np.full((32, 32, 3), 100, np.uint8)
            pixels[: 4 * (k + 1), :, 2] = 130 if side == "B" else 120  # sea: rows 0 to 4 (k + 1)
            path.unlink()
            write(path, pixels)
    less = Rule({"AtoB": lambda x: torch.where(torch.arange(32).view(1, 1, -1, 1) < 8, x + 20 * LEVEL * BLUE, x)})
    scores = evaluate(less, negatives)["AtoB"]
    # Made bluer by 20 + 20 levels: the first 8 rows, of which the first image has 4 as sea and gains 20 elsewhere.
    assert scores["water_iou"] == pytest.approx((4 + 8 * 5) / (4 * (1 + 2 + 3 + 4 + 5 + 6)))


BLUE = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)


def test_a_number_that_only_a_baseline_has_is_compared_with_nothing(tmp_path):
    gray = np.full((32, 32, 3), 100, np.uint8)
    for k in range(2):
        write(tmp_path / "testA" / f"{k}.png", gray + np.array([0, 0, 50], np.uint8))  # all of it blue
        write(tmp_path / "testB" / f"{k}.png", gray)  # no water in the truth, and none in the translation
    describe(tmp_path, aligned=True, water={"A": {"bluer_by": 20}, "B": {"bluer_by": 20}})
    result = evaluate(Rule({"AtoB": lambda x: torch.full_like(x, 0)}), tmp_path)
    assert result["baselines"]["AtoB"]["copy"]["water_iou"] == 0 and "water_iou" not in result["AtoB"]
    assert result["differences"]["AtoB"]["copy"].keys() == result["AtoB"].keys() - {"cycle_error"}


def test_one_direction_only_has_no_way_back(negatives):
    result = evaluate(Rule({"AtoB": torch.neg}), negatives)
    assert "BtoA" not in result and "cycle_error" not in result["AtoB"]


def test_images_that_are_not_pairs_get_no_paired_numbers_and_a_note_says_so(negatives):
    result = evaluate(INVERSE, negatives, paired="no")
    shown = {name for name in result["AtoB"] if not name.startswith("swd_")}
    assert shown == {"swd", "cycle_error"}
    assert result["recipe"]["aligned"] is False
    assert any("not taken for pairs (--paired no)" in note for note in result["recipe"]["notes"])


def test_alignment_is_told_by_the_manifest_before_the_names(negatives):
    assert open_held_out(negatives).decided == "names match one to one, and the images of a pair share their edges"
    describe(negatives, aligned=False)
    assert not open_held_out(negatives).aligned
    (negatives / "testB" / "5.png").rename(negatives / "testB" / "other.png")
    describe(negatives)
    assert not open_held_out(negatives).aligned
    describe(negatives, aligned=True)
    with pytest.raises(BadInput, match="dataset.json says .* names do not match one to one"):
        open_held_out(negatives)


def test_names_that_differ_by_the_domain_only_are_pairs(tmp_path):
    for side in ("A", "B"):
        for name in ("x", "y"):
            write(tmp_path / f"test{side}" / f"{name}_{side}.png", images(1, 0)[0])
    held_out = open_held_out(tmp_path)
    assert held_out.aligned and [path.name for path in held_out.b] == ["x_B.png", "y_B.png"]


def test_paired_yes_takes_other_names_in_order_when_there_are_as_many(negatives):
    for k in range(12):
        (negatives / "testB" / f"{k}.png").rename(negatives / "testB" / f"truth{k}.png")
    assert evaluate(INVERSE, negatives, paired="yes")["AtoB"]["mean_abs_error"] == 0
    (negatives / "testB" / "truth5.png").unlink()
    with pytest.raises(BadInput, match="12 and 11 images"):
        evaluate(INVERSE, negatives, paired="yes")


def test_the_recipe_names_what_the_numbers_depend_on(negatives):
    describe(negatives, name="negatives", aligned=True, sha256="abc")
    recipe = evaluate(INVERSE, negatives)["recipe"]
    assert (recipe["data_name"], recipe["data_sha256"], recipe["format"]) == ("negatives", "abc", 1)
    assert recipe["n"] == {"A": 12, "B": 12} and recipe["sizes"] == {"32x32": 24}
    assert recipe["swd"]["levels"] == [32, 16] and recipe["bootstrap"]["groups"] == {"A": None, "B": None}


def test_the_json_is_written_whole_and_says_what_was_returned(negatives, tmp_path):
    out = tmp_path / "deep" / "numbers.json"
    result = evaluate(INVERSE, negatives, out=out)
    assert json.loads(out.read_text()) == result
    assert [path.name for path in out.parent.iterdir()] == ["numbers.json"]


def test_the_same_evaluation_again_gives_the_same_numbers(negatives):
    off = Rule({"AtoB": lambda x: 0.7 * x.flip(3)})
    assert evaluate(off, negatives) == evaluate(off, negatives)


def test_images_of_many_sizes_are_judged_at_their_own(negatives):
    for k, (height, width) in enumerate([(40, 24), (17, 60)]):
        pixels = np.full((height, width, 3), 10 * k, np.uint8)
        write(negatives / "testA" / f"odd{k}.png", pixels)
        write(negatives / "testB" / f"odd{k}.png", 255 - pixels)
    result = evaluate(INVERSE, negatives)
    assert len(result["images"]["AtoB"]) == 14 and result["AtoB"]["mean_abs_error"] == 0
    assert [image["name"] for image in result["images"]["AtoB"]][-2:] == ["odd0.png", "odd1.png"]
    assert result["recipe"]["swd"]["levels"] == [17]


def test_a_truth_of_another_size_is_refused_by_name(negatives):
    write(negatives / "testB" / "3.png", np.zeros((16, 20, 3), np.uint8))
    with pytest.raises(BadInput, match=r"3\.png is 32x32 but its truth .*3\.png is 20x16"):
        evaluate(INVERSE, negatives)


def test_images_too_small_to_judge_are_refused_by_name(negatives):
    write(negatives / "testA" / "3.png", np.zeros((12, 32, 3), np.uint8))
    with pytest.raises(BadInput, match=r"testA/3\.png: expected at least 16 px a side, got 12"):
        evaluate(INVERSE, negatives, paired="no")


@pytest.mark.parametrize("missing", ["testA", "testB"])
def test_a_missing_test_folder_is_named_with_what_was_expected(negatives, missing):
    for path in (negatives / missing).iterdir():
        path.unlink()
    (negatives / missing).rmdir()
    with pytest.raises(BadInput, match=f"expected test images in .*testA and .*testB; no images in .*{missing}"):
        evaluate(INVERSE, negatives)


def test_without_training_sets_only_the_copy_is_a_baseline(negatives):
    (negatives / "trainA").rename(negatives / "elsewhere")
    result = evaluate(INVERSE, negatives)
    assert list(result["baselines"]["AtoB"]) == ["copy"]
    assert any("no trainA and trainB" in note for note in result["recipe"]["notes"])


def test_a_limit_is_spread_evenly_over_the_set(negatives):
    result = evaluate(INVERSE, negatives, limit=2)
    assert [image["name"] for image in result["images"]["AtoB"]] == ["11.png", "7.png"]
    assert spread([Path(str(k)) for k in range(10)], 3) == [Path("1"), Path("5"), Path("8")]
    with pytest.raises(BadInput, match="at least 1"):
        evaluate(INVERSE, negatives, limit=0)


def test_gray_to_colour_and_back_is_judged_with_the_channels_of_the_target(tmp_path):
    for part in ("train", "test"):
        for k, pixels in enumerate(images(3, 0)):
            gray = pixels[..., 0]
            write(tmp_path / f"{part}A" / f"{k}.png", gray)
            write(tmp_path / f"{part}B" / f"{k}.png", gray[..., None].repeat(3, 2))
    gray_to_colour = Rule({"AtoB": lambda x: x.expand(-1, 3, -1, -1)}, channels_in=1, channels_out=3)
    result = evaluate(gray_to_colour, tmp_path, paired="yes")
    assert result["AtoB"]["mean_abs_error"] == 0
    assert result["baselines"]["AtoB"]["copy"]["mean_abs_error"] == 0


def test_overlapping_tiles_of_a_globe_are_drawn_in_groups(tmp_path):
    names = [f"lat{lat:+06.2f}_lon{lon:+07.2f}" for lat in (1, 5, 40) for lon in (-70, 50)]
    for name, pixels in zip(names, images(6, 0), strict=True):
        write(tmp_path / "testA" / f"{name}.png", pixels)
        write(tmp_path / "testB" / f"{name}.png", pixels)
    describe(tmp_path, aligned=True, rule={"size": 64, "stride": 16, "globe_width": 1350})
    groups = open_held_out(tmp_path).groups("A")
    assert groups is not None and len(set(groups)) == 4  # two strips of longitude, two bands
    describe(tmp_path, aligned=True, rule={"size": 64, "stride": 64, "globe_width": 1350})
    assert open_held_out(tmp_path).groups("A") is None


def test_slices_of_a_patient_and_pages_of_a_file_are_drawn_in_groups(tmp_path):
    for name, pixels in zip(("p1/0", "p1/1", "p2/0"), images(3, 0), strict=True):
        write(tmp_path / "testA" / f"{name}.png", pixels)
        write(tmp_path / "testB" / f"{name}.png", pixels)
    assert open_held_out(tmp_path).groups("A") is None
    describe(tmp_path, aligned=True, groups={"testA/p1/0.png": "p1", "testA/p1/1.png": "p1", "testA/p2/0.png": "p2"})
    held_out = open_held_out(tmp_path)
    assert held_out.groups("A") == ["group p1", "group p1", "group p2"] and held_out.groups("B") is None
    assert held_out.independent == 2
    stack = [Image.fromarray(pixels) for pixels in images(3, 1)]
    stack[0].save(tmp_path / "testB/stack.tif", save_all=True, append_images=stack[1:])
    paged = open_held_out(tmp_path, paired="no", pages="all")
    groups = paged.groups("B")
    assert groups is not None and len(groups) == 6 and groups.count("testB/stack.tif") == 3 and paged.independent == 2


def test_the_table_shows_the_model_its_interval_and_the_baselines_in_aligned_columns(negatives):
    off = Rule({"AtoB": lambda x: -x + 10 * LEVEL})
    lines = table(evaluate(off, negatives)).splitlines()
    assert lines[0] == "A to B, 12 test images"
    assert lines[1].split("  ")[-1].strip() == "better"
    row = next(line for line in lines if line.startswith("mean error"))
    assert row.split()[3:7] == ["10.0", "10.0", "to", "10.0"] and row.endswith("lower")
    assert len({len(line) for line in lines[1:7] if line}) == 1


def test_the_table_names_the_domains_where_the_data_set_does(negatives):
    describe(negatives, aligned=True, domains={"A": "horses", "B": "zebras"})
    headings = [line for line in table(evaluate(INVERSE, negatives)).splitlines() if line.endswith("12 test images")]
    assert headings == ["horses to zebras, 12 test images", "zebras to horses, 12 test images"]


def test_the_table_of_few_images_has_no_interval_and_warns(negatives):
    text = table(evaluate(INVERSE, negatives, limit=9))
    assert "too few for an interval" in text and " to " not in text.split("Note:")[0].replace("A to B", "").replace(
        "B to A", ""
    )
    assert "9 independent test images: no intervals and no verdicts below 10" in text


def test_work_side_by_side_keeps_its_order_and_gives_back_the_threads():
    before = torch.get_num_threads()
    assert list(side_by_side(lambda k: k * k, range(20))) == [k * k for k in range(20)]
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda k: 1 // k, range(3)))
    assert torch.get_num_threads() == before


def test_at_the_scale_of_training_it_says_what_it_says_of_a_data_set_resized_by_hand(tmp_path):
    make_data(tmp_path / "own", test=4)  # 40 x 36 px
    model = make_model(tmp_path / "model")  # trained at 32 px
    for folder in ("trainA", "trainB", "testA", "testB"):
        for path in (tmp_path / "own" / folder).iterdir():
            small = Image.open(path).resize((32, 32), Image.Resampling.BICUBIC)
            write(tmp_path / "resized" / folder / path.name, np.asarray(small))
    found = evaluate(model, tmp_path / "own", paired="yes", scale="train")
    by_hand = evaluate(model, tmp_path / "resized", paired="yes")
    as_it_is = evaluate(model, tmp_path / "own", paired="yes")
    for part in ("AtoB", "BtoA", "intervals", "baselines", "differences", "images"):
        assert found[part] == by_hand[part] != as_it_is[part]
    assert found["recipe"]["sizes"] == {"32x32": 8} and found["recipe"]["resize"].startswith("both domains to the")
    assert as_it_is["recipe"]["sizes"] == {"40x36": 8} and as_it_is["recipe"]["scale"] == "own"
    assert evaluate(Translator.load(model, scale="train"), tmp_path / "own", paired="yes")["AtoB"] == found["AtoB"]


def test_images_far_larger_than_in_training_are_counted_in_a_note(tmp_path):
    model = make_model(tmp_path / "model")
    for k, pixels in enumerate(images(3, 1, 72)):
        write(tmp_path / "data/testA" / f"{k}.png", pixels)
        write(tmp_path / "data/testB" / f"{k}.png", pixels[:64, :64])
    advice = "3 images are over twice the training size (32x32); --scale train takes that size"
    assert advice in evaluate(model, tmp_path / "data", paired="no")["recipe"]["notes"]
    assert advice not in evaluate(model, tmp_path / "data", paired="no", scale="train")["recipe"]["notes"]
