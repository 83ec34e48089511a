"""The web page in a real browser, from the image picked to the file on the disk."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.data_sets import make_model, shapes
from tests.serve.running import server
from unpaired.cli import run

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
LATE = {"timeout": 60_000}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [make_model(folder / "one").parent, make_model(folder / "two", seed=1).parent]


@pytest.fixture(scope="module")
def running(models):
    with server(*models, "--max-pixels", 40_000) as running:
        yield running


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(("one.png", "two.jpg", "deep in the woods.tif")):
        shapes("A", number).save(tmp_path / name)
    return tmp_path


def ready(page):
    expect(page.get_by_role("status")).to_have_text("2 models are ready", **LATE)
    return page


def card(page, name):
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=name, exact=True))


def download(page, name, path):
    link = card(page, name).get_by_role("link", name=re.compile("^Download"))
    expect(link).to_be_visible(**LATE)
    with page.expect_download() as started:
        link.click()
    started.value.save_as(path)
    return started.value.suggested_filename


def translated(models, source, target, direction):
    assert run(["translate", str(models), str(source), str(target), "--direction", direction]) == 0
    return target.read_bytes()


def test_what_is_downloaded_is_what_translate_writes(open_page, running, models, images, tmp_path):
    page = ready(open_page(running.url))
    page.get_by_label("Model").select_option("two")
    page.get_by_role("radio", name="B → A").check()
    names = ["one.png", "two.jpg", "deep in the woods.tif"]
    page.locator("#files").set_input_files([images / name for name in names])
    for name in names:
        stem, _, suffix = name.rpartition(".")
        assert download(page, name, tmp_path / "got" / name) == f"{stem}_BtoA.{suffix}"
        expected = translated(models[1], images / name, tmp_path / "expected" / name, "BtoA")
        assert (tmp_path / "got" / name).read_bytes() == expected
    expect(card(page, "one.png")).to_contain_text("40 × 36")
    expect(card(page, "deep in the woods.tif")).to_contain_text("cannot show this kind of file")


def test_a_slider_shows_before_and_after_and_is_moved_by_keys(open_page, running, images):
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files(images / "one.png")
    slider = page.get_by_role("slider", name="Before and after of one.png")
    expect(slider).to_have_value("50", **LATE)
    edge = page.locator(".line").bounding_box()["x"]
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "60 % before, 40 % after")
    assert page.locator(".line").bounding_box()["x"] > edge + 10
    for image in ("one.png, before", "one.png, after"):
        assert page.get_by_alt_text(image).evaluate("image => image.naturalWidth") == 40


def test_the_keyboard_alone_is_enough(open_page, running, models, images, tmp_path):
    page = ready(open_page(running.url))
    page.on("filechooser", lambda _: None)  # asked for before one opens, or the browser may keep it to itself
    reached = []

    def tab_to(name):
        for _ in range(20):
            page.keyboard.press("Tab")
            label = page.evaluate(
                "() => document.activeElement.value + ' ' + document.activeElement.textContent.trim()"
            )
            reached.append(label)
            if name in label:
                return
        raise AssertionError(f"{name!r} is not among {reached}")

    tab_to("AtoB")
    page.keyboard.press("ArrowRight")
    tab_to("Choose images")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(images / "one.png")
    expect(page.get_by_role("link", name="Download one_BtoA.png")).to_be_visible(**LATE)
    tab_to("Download")
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    started.value.save_as(tmp_path / "got.png")
    expected = translated(models[0], images / "one.png", tmp_path / "expected.png", "BtoA")
    assert (tmp_path / "got.png").read_bytes() == expected
    tab_to("Remove")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.get_by_role("button", name="Choose images")).to_be_focused()


def test_a_phone_shows_all_without_scrolling_sideways(open_page, running, images):
    page = ready(open_page(running.url, **PHONE))
    page.locator("#photo").set_input_files(images / "two.jpg")
    expect(card(page, "two.jpg").get_by_role("link")).to_be_visible(**LATE)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for button in page.get_by_role("button").all() + page.get_by_role("link", name="Download").all():
        box = button.bounding_box()
        assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_a_image_is_dropped_or_taken_by_the_camera(open_page, running, images):
    page = ready(open_page(running.url, permissions=["camera"]))
    content = (images / "one.png").read_bytes()
    transfer = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
           data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" })); return data; }""",
        list(content),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(card(page, "dropped.png").get_by_role("link")).to_be_visible(**LATE)
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Take the photo").click()
    photo = page.get_by_role("article").filter(has_text=re.compile(r"photo_\d\d-\d\d-\d\d\.jpg"))
    expect(photo.get_by_role("alert")).to_contain_text("over the limit of 40000 pixels", **LATE)
    photo.get_by_role("button", name="Shrink and translate").click()
    expect(photo.get_by_role("link", name=re.compile("^Download"))).to_be_visible(**LATE)


def test_no_photo_is_taken_before_the_camera_has_shown_a_frame(open_page, running):
    """A camera that gives a frame only when told: a canvas whose stream has no rate of its own."""
    page = open_page(running.url)
    page.evaluate(
        """() => {
             const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
             globalThis.frame = () => {
               canvas.getContext("2d").fillRect(0, 0, 16, 16);
               globalThis.stream.getTracks()[0].requestFrame();
             };
             navigator.mediaDevices.getUserMedia = async () => (globalThis.stream = canvas.captureStream(0));
           }"""
    )
    ready(page)
    for photos in (1, 2):
        page.get_by_role("button", name="Take a photo").click()
        expect(page.get_by_role("button", name="Take the photo")).to_be_disabled()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Take a photo").click()
        page.evaluate("() => frame()")
        expect(page.get_by_role("button", name="Take the photo")).to_be_focused(**LATE)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name=re.compile("^Download photo_"))).to_have_count(photos, **LATE)


def test_another_direction_translates_every_image_again(open_page, running, models, images, tmp_path):
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files([images / "one.png", images / "two.jpg"])
    for name in ("one.png", "two.jpg"):
        expect(card(page, name).get_by_role("link", name=re.compile("AtoB"))).to_be_visible(**LATE)
    page.get_by_role("radio", name="B → A").check()
    assert download(page, "one.png", tmp_path / "got.png") == "one_BtoA.png"
    expected = translated(models[0], images / "one.png", tmp_path / "expected.png", "BtoA")
    assert (tmp_path / "got.png").read_bytes() == expected
    expect(card(page, "two.jpg").get_by_role("link", name=re.compile("BtoA"))).to_be_visible(**LATE)


def test_the_training_size_is_chosen_for_every_image(open_page, running, images):
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files(images / "one.png")
    expect(card(page, "one.png")).to_contain_text("40 × 36", **LATE)
    page.get_by_label("Size of the result").select_option("train")
    expect(card(page, "one.png")).to_contain_text("32 × 32", **LATE)


def test_before_and_after_are_aligned_where_the_result_has_other_proportions(open_page, running, images, tmp_path):
    """The answer is the image itself, squeezed, so that both ends of the slider must look the same."""
    page = ready(open_page(running.url))
    buffer = io.BytesIO()
    shapes("A", 0).resize((100, 200)).save(buffer, "PNG")
    shapes("A", 0).resize((400, 200)).save(images / "wide.png")
    page.route("**/translate*", lambda route: route.fulfill(body=buffer.getvalue(), content_type="image/png"))
    page.locator("#files").set_input_files(images / "wide.png")
    slider = page.get_by_role("slider", name="Before and after of wide.png")
    expect(slider).to_have_value("50", **LATE)
    page.evaluate("() => document.querySelectorAll('.line, .side').forEach(part => part.remove())")
    shots = []
    for value in ("0", "100"):
        slider.fill(value)
        shots.append(Image.open(io.BytesIO(page.locator(".compare").screenshot())).convert("RGB"))
    width, height = shots[0].size
    assert abs(width / height - 0.5) < 0.01
    assert np.abs(np.subtract(*(np.asarray(shot, np.float32) for shot in shots))).mean() < 4
    assert np.asarray(shots[0]).std() > 30


def test_all_results_come_in_one_archive(open_page, running, models, images, tmp_path):
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files([images / "one.png", images / "two.jpg"])
    page.locator("#files").set_input_files([images / "one.png"])  # the same name once more
    button = page.get_by_role("button", name="Download all")
    expect(button).to_be_enabled(**LATE)
    with page.expect_download() as started:
        button.click()
    started.value.save_as(tmp_path / "all.zip")
    assert started.value.suggested_filename == "translations.zip"
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["one_AtoB (2).png", "one_AtoB.png", "two_AtoB.jpg"]
        for name, stem in (("one.png", "one_AtoB.png"), ("one.png", "one_AtoB (2).png"), ("two.jpg", "two_AtoB.jpg")):
            assert archive.read(stem) == translated(models[0], images / name, tmp_path / "out" / name, "AtoB")


def test_the_api_page_is_readable_without_scripts(open_page, running):
    page = open_page(running.url)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="POST /translate")).to_be_visible(**LATE)
    assert page.locator("script").count() == 0
    text = page.inner_text("main")
    assert "AtoB, BtoA" in text and "curl --data-binary" in text and "More bytes than the limit" in text


def test_a_model_that_comes_with_the_package_shows_its_card(open_page, running):
    page = open_page(running.url)
    about = {"summary": "horses to zebras", "size": 64, "licence": "CC0", "example": True}
    names = {"A": "horses", "B": "zebras"}
    page.route(
        "**/models",
        lambda route: route.fulfill(
            json={
                "models": [{"name": "zebra", "directions": {"AtoB": {}, "BtoA": {}}, "domains": names, "about": about}],
                "max_bytes": 9,
                "max_pixels": 9,
            }
        ),
    )
    page.route("**/examples/zebra", lambda route: route.fulfill(body=shapes_jpeg(), content_type="image/jpeg"))
    page.reload()
    shown = page.get_by_role("complementary", name="What is translated")
    expect(shown).to_contain_text("horses to zebras", **LATE)
    expect(shown).to_contain_text("Trained at 64 px. Training data: CC0.")
    expect(page.get_by_role("radio", name="horses → zebras")).to_be_checked()
    expect(page.get_by_role("radio", name="zebras → horses")).to_be_visible()
    expect(shown.get_by_role("img", name="Examples of zebra: inputs and their translations")).to_be_visible()


def shapes_jpeg():
    buffer = io.BytesIO()
    shapes("A", 0).save(buffer, "JPEG")
    return buffer.getvalue()


def test_errors_say_what_is_wrong(open_page, running, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files(tmp_path / "notes.png")
    alert = card(page, "notes.png").get_by_role("alert")
    expect(alert).to_contain_text(
        'Not a JPEG, PNG, WEBP, TIFF, BMP, GIF, PPM, AVIF, HEIC, DICOM, NIfTI image (it begins with "no image")', **LATE
    )
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    shapes("A", 0).save(tmp_path / "fine.png")
    page.locator("#files").set_input_files(tmp_path / "fine.png")
    expect(page.get_by_role("button", name="Download all (1; 1 failed)")).to_be_enabled(**LATE)
    page.route("**/translate*", lambda route: route.abort())
    shapes("A", 0).save(tmp_path / "good.png")
    page.locator("#files").set_input_files(tmp_path / "good.png")
    expect(card(page, "good.png").get_by_role("alert")).to_contain_text("could not be reached", **LATE)
    page.unroute("**/translate*")
    card(page, "good.png").get_by_role("button", name="Try again").click()
    expect(card(page, "good.png").get_by_role("link")).to_be_visible(**LATE)


def test_everything_that_can_be_used_has_a_name(open_page, running, images):
    page = ready(open_page(running.url))
    page.locator("#files").set_input_files(images / "one.png")
    expect(card(page, "one.png").get_by_role("link")).to_be_visible(**LATE)
    tree = page.locator("body").aria_snapshot()
    assert re.search(r"- (button|link|slider|combobox|radio|textbox)\s*(:|$)", tree, re.M) is None, tree
    for name in ("Model", "Format of the result", "Direction", "Before and after of one.png", "Download one_AtoB.png"):
        assert name in tree


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(open_page, running, scheme):
    page = ready(open_page(running.url, color_scheme=scheme, reduced_motion="reduce"))
    colors = page.evaluate(
        """() => ["h1", "#status", ".hint", "#choose", "footer"].map(name => {
             const element = document.querySelector(name); let ground = element;
             while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
             return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor]; })"""
    )
    assert all(contrast(*pair) >= 4.5 for pair in colors), colors


def contrast(one, other):
    """WCAG 2.2's contrast ratio of two CSS colours."""

    def luminance(color):
        values = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
