"""The site of the documents in a real browser: phones, tables of images, light and dark, previous and next."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.docs.site import build_site

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_site(tmp_path_factory.mktemp("site"))


def test_no_page_scrolls_sideways_on_a_phone(open_page, site):
    page = open_page((site / "index.html").as_uri(), **PHONE)
    for path in sorted(site.rglob("*.html")):
        if path.is_relative_to(site / "source") or path.name == "404.html":
            continue
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name


def test_images_in_tables_stay_whole_on_a_phone(open_page, site, tmp_path):
    text = (site / "data.html").read_text(encoding="utf-8")
    cells = "".join(f'<td><img src="images/earth.png" alt="{k}"></td>' for k in range(3))
    (site / "cells.html").write_text(text.replace("</article>", f"<table><tr>{cells}</tr></table></article>"))
    page = open_page((site / "cells.html").as_uri(), **PHONE)
    for image in page.locator("td img").all():
        shape = image.evaluate("i => [i.naturalWidth / i.naturalHeight, i.clientWidth / i.clientHeight, i.clientWidth]")
        assert shape[0] == pytest.approx(shape[1], rel=0.03) and 80 <= shape[2] <= 390
        assert image.evaluate(
            "i => i.getBoundingClientRect().right <= i.closest('td').getBoundingClientRect().right + 1"
        )


def test_the_home_page_installs_starts_and_leads_on(open_page, site):
    page = open_page((site / "index.html").as_uri())
    for heading in ("Install", "Quick start"):
        assert page.get_by_role("heading", name=heading).is_visible()
    assert "pip install" in page.locator("article").inner_text()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ten minutes on Earth")
    page.get_by_role("link", name="Previous").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("unpaired")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_follows_the_system_in_light_and_dark(open_page, site, scheme):
    page = open_page((site / "index.html").as_uri(), color_scheme=scheme)
    red, *_ = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red > 200) == (scheme == "light")
