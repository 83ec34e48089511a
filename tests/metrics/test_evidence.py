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
    ("metric", "model", "baselines", "text", "standing"),
    [
        (
            "mean_abs_error",
            (40, 44),
            {"copy": (45, 50), "mean_colour": (46, 47)},
            "better than every baseline",
            "ahead",
        ),
        (
            "mean_abs_error",
            (40, 46),
            {"copy": (45, 50), "mean_colour": (47, 48)},
            "about as good as copying the input",
            "even",
        ),
        ("mean_abs_error", (51, 55), {"copy": (45, 50), "mean_colour": (60, 61)}, "behind copying the input", "behind"),
        ("ssim", (0.5, 0.6), {"copy": (0.3, 0.49)}, "better than copying the input", "ahead"),
        ("ssim", (0.5, 0.6), {"copy": (0.3, 0.5)}, "about as good as copying the input", "even"),
        ("ssim", (0.1, 0.2), {"copy": (0.3, 0.5)}, "behind copying the input", "behind"),
    ],
)
def test_only_separated_intervals_make_a_verdict(metric, model, baselines, text, standing):
    scores = {rival: {metric: sum(ends) / 2} for rival, ends in baselines.items()}
    spans = {rival: {metric: span(*ends)} for rival, ends in baselines.items()}
    verdict = compare(metric, span(*model), scores, spans)
    assert (verdict.text, verdict.standing) == (text, standing)


def test_without_an_interval_there_is_no_verdict():
    scores, spans = {"copy": {"ssim": 0.1}}, {"copy": {"ssim": span(0.1, 0.1)}}
    few = {"n": 3, "independent": 3}
    assert compare("ssim", few, scores, spans).standing == "unknown"
    assert compare("ssim", few, scores, spans).text == ""
    unknown = {"copy": {"ssim": few}}
    assert compare("ssim", span(0.5, 0.6), scores, unknown).standing == "even"
    assert compare("ssim", span(0.5, 0.6), {}, {}).standing == "alone"
