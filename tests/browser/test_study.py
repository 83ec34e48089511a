"""The study in a real browser, from the first click to the table of results."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.data_sets import shapes
from tests.serve.running import server
from unpaired.cli import run
from unpaired.imaging.images import read_image
from unpaired.serve.study import open_study

LATE = {"timeout": 60_000}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study in which the real images are the red discs; seen for 50 ms, all else as in the paper."""
    folder = tmp_path_factory.mktemp("study")
    for name, domain in (("real", "A"), ("ours", "B")):
        (folder / name).mkdir()
        for number in range(12):
            shapes(domain, number % 8).resize((96, 96)).rotate(number).save(folder / name / f"{number}.png")
    images = [folder / "study", folder / "real", f"ours={folder / 'ours'}"]
    assert run(["study", "prepare", *map(str, images), "--exposure-ms", "50", "--seed", "4"]) == 0
    return folder / "study"


@pytest.fixture(scope="module")
def running(folder):
    with server(folder, command="study serve", ready=False) as running:
        yield running


@pytest.fixture(scope="module")
def real(folder):
    """The names of real images: a participant who never errs."""
    return {name for pair in open_study(folder).pairs["ours"] for name in pair[:1]}


def where(page, real):
    """left or right, whichever the real image is on."""
    name = re.search(r"([0-9a-f]{24})\.png", page.locator("#left-image").get_attribute("src"))[1]
    return "left" if name in real else "right"


def take(page, choose, first=0, last=56):
    """Answer trials; `choose(number)` presses what it will."""
    for number in range(first, last):
        expect(page.locator("#progress")).to_have_js_property("value", number, **LATE)
        expect(page.get_by_role("button", name="Left is real")).to_be_enabled(**LATE)
        choose(number)
        if number < 10:
            expect(page.get_by_role("button", name="Next")).to_be_focused(**LATE)
            assert re.match("Right.|No: the (left|right) one was real.", page.get_by_role("alert").first.inner_text())
            page.keyboard.press("Enter")


def table(page, running):
    """The row of the results' page, by the link that the server printed."""
    link = next(line for line in running.said if "results" in line).split()[-1]
    page.goto(link)
    return [cell.inner_text() for cell in page.get_by_role("row").nth(1).locator("th,td").all()]


def test_all_trials_by_keyboard_with_a_reload_and_then_the_table(open_page, running, folder, real):
    page = open_page(f"{running.url}/?code=anna")
    expect(page.get_by_role("heading", name="Which image is real?")).to_be_visible()
    expect(page.get_by_role("button", name="Begin")).to_be_focused(**LATE)
    page.keyboard.press("Enter")

    def keys(number):  # wrong in the first 5 scored trials
        side = where(page, real)
        fooled = page.evaluate("() => document.querySelector('#count').textContent") in FOOLED
        page.keyboard.press({"left": "ArrowLeft", "right": "ArrowRight"}[side if not fooled else OTHER[side]])

    take(page, keys, last=30)
    expect(page.locator("#progress")).to_have_js_property("value", 30, **LATE)
    page.reload()
    expect(page.get_by_text("You have answered 30 of 56.")).to_be_visible(**LATE)
    page.get_by_role("button", name="Go on").click()
    take(page, keys, first=30)
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible(**LATE)
    page.reload()
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible(**LATE)  # one session per participant

    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    mine = [line for line in lines if line["code"] == "anna" and line["event"] == "answer"]
    assert [line["trial"] for line in mine] == list(range(56))
    assert all(45 <= line["shown_ms"] for line in mine)
    assert np.median([line["shown_ms"] for line in mine]) < 200
    wrong = sum(line["kind"] == "scored" and line["choice"] != line["real"] for line in mine)
    assert wrong >= 3
    assert table(page, running)[:2] == ["ours", f"{100 * wrong / 40:.1f}"]


FOOLED = {f"{number} of 46" for number in range(1, 6)}
OTHER = {"left": "right", "right": "left"}


def test_a_phone_and_a_participant_who_does_not_look(open_page, running, folder, real, capsys):
    page = open_page(running.url, **PHONE)
    page.get_by_role("button", name="Begin").tap()

    def tap(number):
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("button", name="Left is real" if where(page, real) == "right" else "Right is real").tap()

    take(page, tap)
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible(**LATE)
    assert run(["study", "results", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["ours"]
    assert found["excluded"] == 1


def test_a_code_of_another_form_is_named_with_the_form_expected(open_page, running):
    page = open_page(f"{running.url}/?code=M%C3%BCller%201")
    problem = page.locator("#problem")
    expect(problem).to_contain_text("The participant code 'Müller 1' cannot be used", **LATE)
    expect(problem).to_contain_text("expected 4 to 64 letters, digits, hyphens or underscores")
    page.wait_for_timeout(1000)
    expect(problem).not_to_contain_text("cannot be reached")
    with running.client() as client:
        refused = client.post("/session", json={"code": "abc"})
        assert refused.status_code == 422 and "4 to 64 letters" in refused.json()["detail"]


def test_nothing_tells_the_real_image_before_the_answer(running):
    with running.client() as client:
        begun = client.post("/session", json={"code": "curious"}).json()
        assert set(begun) == {"code", "exposure_ms", "practice", "done", "trials", "next"}
        assert set(begun["next"]) == {"left", "right", "practice"}
        answers = [
            client.get(f"/images/{begun['next'][side]}.png", headers={"Accept": "*/*"}).headers for side in OTHER
        ]
        assert (
            len({tuple((k, v) for k, v in each.items() if k not in ("content-length", "date")) for each in answers})
            == 1
        )
        for wrong in ("../study", "..%2fstudy", "study", "0" * 24):
            assert client.get(f"/images/{wrong}.png").status_code == 404
        assert client.get("/results").status_code == client.get("/results?key=guess").status_code == 403
        assert client.post("/session", json={"code": "../x"}).status_code == 422
        late = {"code": "curious", "trial": 5, "choice": "left", "shown_ms": 1, "answered_ms": 1}
        assert client.post("/answer", json=late).status_code == 409
        assert client.post("/answer", json=late | {"code": "nobody"}).status_code == 404


def test_the_stored_images_are_those_shown(running, folder):
    name = open_study(folder).pairs["ours"][0][0]
    shown = read_image(running.get(f"/images/{name}.png").content).pixels
    np.testing.assert_array_equal(shown, read_image(folder / "images" / f"{name}.png").pixels)
