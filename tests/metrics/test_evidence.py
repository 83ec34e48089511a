import pytest

from unpaired.metrics.bootstrap import Interval
from unpaired.metrics.evidence import FEW, FEWEST, TOO_FEW, as_span, compare, span_text, warning


def span(low, high):
    return {"low": low, "high": high, "n": 40, "independent": 40}


def test_below_ten_independent_images_an_interval_has_no_ends():
    assert (FEWEST, FEW) == (10, 30)
    assert as_span(Interval(1.0, 2.0, 297, 9)) == {"n": 297, "independent": 9}
    assert as_span(Interval(1.0, 2.0, 297, 10)) == {"low": 1, "high": 2, "n": 297, "independent": 10}
    assert span_text({"n": 1, "independent": 1}, 1) == TOO_FEW == "too few for an interval"
    assert span_text(span(1.25, 2), 1) == "1.2 to 2.0" and span_text(None, 1) == ""


@pytest.mark.parametrize(
    ("count", "words"), [(1, "no verdicts below 10"), (9, "no verdicts"), (10, "too narrow"), (29, "narrow")]
)
def test_few_images_carry_a_warning(count, words):
    images = "image:" if count == 1 else "images:"
    assert words in warning(count) and warning(count).startswith(f"{count} independent test {images}")


def test_thirty_images_carry_none():
    assert warning(30) == ""


@pytest.mark.parametrize(
    ("metric", "differences", "text", "standing"),
    [
        (
            "mean_abs_error",
            {"copy": (-9, -1), "mean_colour": (-6, -2)},
            "better than every baseline",
            "ahead",
        ),
        (
            "mean_abs_error",
            {"copy": (-4, 1), "mean_colour": (-6, -2)},
            "about as good as copying the input",
            "even",
        ),
        ("mean_abs_error", {"copy": (1, 9), "mean_colour": (-6, -2)}, "behind copying the input", "behind"),
        ("ssim", {"copy": (0.01, 0.2)}, "better than copying the input", "ahead"),
        ("ssim", {"copy": (0, 0.2)}, "about as good as copying the input", "even"),
        ("ssim", {"copy": (-0.2, -0.01)}, "behind copying the input", "behind"),
    ],
)
def test_only_a_difference_that_excludes_zero_makes_a_verdict(metric, differences, text, standing):
    scores = {baseline: {metric: 1.0} for baseline in differences}
    spans = {baseline: {metric: span(*ends)} for baseline, ends in differences.items()}
    verdict = compare(metric, scores, spans)
    assert (verdict.text, verdict.standing) == (text, standing)


def test_without_an_interval_there_is_no_verdict():
    scores, few = {"copy": {"ssim": 0.1}}, {"n": 3, "independent": 3}
    assert compare("ssim", scores, {"copy": {"ssim": few}}).standing == "unknown"
    assert compare("ssim", scores, {"copy": {"ssim": few}}).text == ""
    assert compare("ssim", scores, {}).standing == "unknown"
    more = {"mean_colour": {"ssim": span(0.1, 0.2)}, "copy": {"ssim": few}}
    assert compare("ssim", scores | {"mean_colour": {"ssim": 0}}, more).standing == "even"
    assert compare("ssim", {}, {}).standing == "alone"
