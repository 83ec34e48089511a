"""The report in a real browser: sliders, the viewer, anchors, print and phones."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.data_sets import make_model
from tests.rule import INVERSE
from tests.test_report import NAMES, make_data, make_run
from unpaired.evaluation import evaluate
from unpaired.evaluation.report import write_comparison, write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    data = make_data(root / "data", NAMES)
    run = make_run(root / "run", data)
    return write_report(run, evaluate(INVERSE, data), data, INVERSE).as_uri()


def test_the_slider_through_training_moves_by_keyboard_and_mouse(open_page, report):
    page = open_page(report)
    strip, slider = page.locator(".time").first, page.locator(".slider").first
    assert strip.locator("figure:visible").count() == 1 and "450 steps" in strip.inner_text()
    slider.focus()
    slider.press("Home")
    assert "0 steps" in strip.inner_text() and slider.get_attribute("aria-valuetext") == "0 steps"
    slider.press("ArrowRight")
    assert "50 steps" in strip.inner_text()
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] - 4, "y": box["height"] / 2})
    assert "450 steps" in strip.inner_text()


def test_two_views_are_compared_by_keyboard_and_mouse(open_page, report):
    page = open_page(report)
    page.locator("figure.card button.enlarge").first.click()
    viewer, divider = page.locator("#viewer"), page.locator("#viewer input[type=range]")
    assert viewer.is_visible() and [o.inner_text() for o in viewer.locator("select").first.locator("option").all()] == [
        "input",
        "translation",
        "truth",
        "back again",
    ]
    divider.press("End")
    compare = viewer.locator(".compare")
    assert compare.evaluate("e => e.style.getPropertyValue('--at')") == "100%"
    box = compare.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 + 1, box["y"] + 20)
    page.mouse.up()
    assert abs(float(divider.input_value()) - 25) <= 2
    viewer.locator("select").nth(1).select_option(label="truth")
    sources = compare.locator("img").evaluate_all("images => images.map(image => image.alt)")
    assert sources[0].startswith("truth") and sources[1].startswith("input")
    page.keyboard.press("Escape")
    assert not viewer.is_visible()


def test_anchors_land_where_they_should(open_page, report):
    page = open_page(report)
    for name in ("images", "time", "curves"):
        page.locator(f'nav a[href="#{name}"]').click()
        deadline = time.monotonic() + 30  # scrolling is smooth
        while abs(page.locator(f"#{name}").evaluate("e => e.getBoundingClientRect().top")) >= 50:
            assert time.monotonic() < deadline, name
            page.wait_for_timeout(100)


def test_printing_shows_every_image(open_page, report):
    page = open_page(report)
    count = page.locator("main img").count()
    page.emulate_media(media="print")
    shown = page.locator("main img").evaluate_all(
        "images => images.filter(i => i.complete && i.naturalWidth && i.getBoundingClientRect().width > 0).length"
    )
    assert shown == count > 60
    assert not page.locator(".slider").first.is_visible()


def test_a_phone_shows_the_page_without_sideways_scrolling(open_page, report):
    page = open_page(report, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("figure.card button.enlarge").first.click()
    assert page.locator("#viewer").bounding_box()["width"] <= 360


def test_runs_side_by_side_fit_a_phone(open_page, tmp_path):
    data = make_data(tmp_path / "data", NAMES)
    runs = [make_run(tmp_path / name, data, optim={"lr": lr}) for name, lr in (("slow", 1e-4), ("fast", 2e-4))]
    for run in runs:
        make_model(run)
    page = open_page(write_comparison(runs, tmp_path / "out.html").as_uri(), viewport={"width": 390, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    views = page.locator(".views").first
    assert views.locator("img").count() == 4 and views.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_a_living_page_reloads_itself_but_not_while_images_are_compared(open_page, tmp_path):
    data = make_data(tmp_path / "data", NAMES[:3])
    run = make_run(tmp_path / "run", data)
    path = write_report(run, None, data, live=True)
    path.write_text(re.sub(r'data-refresh="\d+"', 'data-refresh="1"', path.read_text()))
    page = open_page(path.as_uri())
    (run / "metrics.jsonl").write_text(
        json.dumps({"step": 7, "total": 9, "losses": {"gan/G": 1.0}, "seconds": 7}) + "\n"
    )
    write_report(run, None, data, live=True)
    page.wait_for_selector("text=Step 7 of 9", timeout=30_000)
