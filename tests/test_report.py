import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.data_sets import make_data as make_tiny_data
from tests.data_sets import make_model, tiny
from tests.rule import INVERSE, Rule
from unpaired import cli
from unpaired.core.errors import BadInput
from unpaired.evaluation import evaluate
from unpaired.evaluation.report import write_comparison, write_report
from unpaired.evaluation.report.curves import draw, draw_charts, short, smoothed, thinned, ticks
from unpaired.experiment import with_settings

HOSTILE = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a test asks of a page: its tags, with attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_data(root: Path, names: list[str], size: int = 32) -> Path:
    """Test images of noise and their negatives; the k-th is brighter the later it comes."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        pixels = (rng.integers(0, 100, (size, size, 3)) + 10 * k).astype(np.uint8)
        for part in ("train", "test"):
            save(root / f"{part}A" / f"{name}.png", pixels)
            save(root / f"{part}B" / f"{name}.png", 255 - pixels)
    return root


def log_line(step: int, **terms: float) -> str:
    seconds = step / 10
    return json.dumps(
        {"step": step, "epoch": 1, "lr": 2e-4, "images_per_second": 9, "seconds": seconds, "losses": terms}
    )


def make_run(root: Path, data: Path, **changes: object) -> Path:
    """The folder of a run: settings, a log and samples."""
    root.mkdir()
    settings = {"name": "tiny", "data": {"root": str(data), "batch": 1}, "method": {"name": "cyclegan"}}
    (root / "config.yaml").write_text(yaml.safe_dump({**settings, "runtime": {"seed": 7}, **changes}))
    names = ("gan/G", "gan/F", "discriminator/X", "discriminator/Y", "cycle/G", "cycle/F", "identity/F", "identity/G")
    lines = [log_line(step, **{name: 1 / step for name in names}) for step in range(10, 510, 10)]
    (root / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    for step in range(0, 500, 50):
        for direction in ("AtoB", "BtoA"):
            grid = np.full((66, 134, 3), step // 2, np.uint8)
            save(root / "samples" / f"step-{step:06d}_{direction}.png", grid)
    return root


NAMES = [f"place{k}" for k in range(10)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "data", NAMES)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """An evaluation of `INVERSE` on the same images."""
    return evaluate(INVERSE, make_data(tmp_path_factory.mktemp("judged"), NAMES))


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    return make_run(tmp_path / "run", data)


def test_the_page_stands_alone_and_asks_nothing_of_the_network(run, data, judged):
    page = Page(write_report(run, judged, data, INVERSE))
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value
    outside_images = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", page.source)
    assert not re.search(r"https?:|url\(|@import|//[a-z]", outside_images)
    assert not page.all("link")[1:]
    assert_only_its_own_script(page)


def assert_only_its_own_script(page):
    """One inline script, allowed by its hash alone."""
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    (policy,) = (tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.all("script") == [{}] and f"script-src 'sha256-{digest}'" in (policy or "")
    assert "fetch(" not in script and "XMLHttpRequest" not in script and "eval" not in script


def test_every_image_has_words_for_those_who_do_not_see_it_and_opens(run, data, judged):
    page = Page(write_report(run, judged, data, INVERSE))
    assert len(page.all("img")) > 60
    for image in page.all("img"):
        assert image["alt"]
        kind, _, content = (image["src"] or "").partition(";base64,")
        assert kind in ("data:image/png", "data:image/webp")
        Image.open(io.BytesIO(base64.b64decode(content))).load()
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == 5 and all(svg["aria-label"] for svg in charts)


def test_small_images_are_embedded_pixel_for_pixel(run, data):
    page = Page(write_report(run, None, data, INVERSE))
    sources = {image["alt"]: image["src"] for image in page.all("img")}
    content = (sources["translation, A to B: place5.png"] or "").partition(",")[2]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.array_equal(shown, np.asarray(Image.open(data / "testB" / "place5.png")))


def test_the_images_have_the_scale_of_the_evaluation(run, data):
    make_model(run)
    for scale, side in (("own", 48), ("train", 32)):
        larger = make_data(data.parent / scale, ["a", "b"], 48)
        judged = evaluate(run, larger, scale=scale)
        page = Page(write_report(run, judged, larger))
        shown = [image["width"] for image in page.all("img") if image["alt"].startswith(("input", "trans", "truth"))]
        assert set(shown) == {str(side)}, scale


def test_hostile_names_and_settings_are_shown_as_text(tmp_path):
    hostile = make_data(tmp_path / "data", [HOSTILE, "fine"])
    (hostile / "dataset.json").write_text(
        json.dumps({"format": 1, "name": HOSTILE, "aligned": True, "source": {"licence": HOSTILE}})
    )
    run = make_run(tmp_path / "run", hostile, name=f"{HOSTILE}</pre><script>alert(1)</script>")
    with (run / "metrics.jsonl").open("a") as log:
        log.write(log_line(510, **{f"gan/{HOSTILE}": 1.0}) + "\n" + log_line(520, **{f"gan/{HOSTILE}": 1.0}) + "\n")
    page = Page(write_report(run, evaluate(INVERSE, hostile), hostile, INVERSE))
    assert_only_its_own_script(page)
    assert all(image["src"] != "x" and "onerror" not in image for image in page.all("img"))
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert f"{HOSTILE}.png" in page.text and "<script>alert(1)</script>" in page.text


def test_the_numbers_stand_beside_the_baselines_with_a_verdict(run, data):
    off = Rule({"AtoB": lambda x: -x - 10 / 127.5, "BtoA": torch.neg})
    page = Page(write_report(run, evaluate(off, data), data, off))
    assert "better than every baseline" in page.text
    assert "10.0 to 10.0" in page.text and "copying the input" in page.text
    assert "95 % confidence interval" in page.text
    wrong = Rule({"AtoB": torch.ones_like})
    page = Page(write_report(run, evaluate(wrong, data), data, wrong))
    assert "behind" in page.text


def test_tables_have_headers_for_rows_and_columns(run, data, judged):
    page = Page(write_report(run, judged, data, INVERSE))
    scopes = [header["scope"] for header in page.all("th")]
    assert scopes.count("row") == 2 * 5 and scopes.count("col") == 2 * 6
    assert page.all("html")[0]["lang"] == "en"


def test_the_worst_and_the_best_are_those_of_the_evaluation(run, data):
    off = Rule({"AtoB": lambda x: -x * (1 + x.mean((1, 2, 3), keepdim=True)), "BtoA": torch.neg})
    result = evaluate(off, data)
    ranked = sorted(result["images"]["AtoB"], key=lambda image: image["mean_abs_error"])
    source = write_report(run, result, data, off).read_text()
    worst = source[source.index("The worst of A to B") : source.index("The best of A to B")]
    assert re.findall(r"alt=\"input, A to B: (\w+\.png)\"", worst) == [image["name"] for image in ranked[::-1][:4]]
    assert f"{ranked[-1]['mean_abs_error']:.1f} levels" in worst


def test_images_without_pairs_show_no_truth(run, data):
    page = Page(write_report(run, evaluate(INVERSE, data, paired="no"), data, INVERSE))
    assert not any("truth" in (image["alt"] or "") for image in page.all("img"))
    assert "The worst of A to B, by cycle error" in page.text


def test_samples_show_the_first_the_last_and_an_even_choice_between(run, data):
    page = Page(write_report(run, None, data, INVERSE))
    steps = [re.search(r"A to B after (\d+) steps", image["alt"] or "") for image in page.all("img")]
    assert [int(match[1]) for match in steps if match] == list(range(0, 500, 50))
    for step in range(500, 2000, 50):
        save(run / "samples" / f"step-{step:06d}_AtoB.png", np.zeros((66, 134, 3), np.uint8))
    page = Page(write_report(run, None, data, INVERSE))
    steps = [re.search(r"A to B after (\d+) steps", image["alt"] or "") for image in page.all("img")]
    shown = [int(match[1]) for match in steps if match]
    assert len(shown) == 12 and (shown[0], shown[-1]) == (0, 1950)
    assert {150, 200} >= {after - before for before, after in zip(shown, shown[1:], strict=False)}


def test_a_run_that_has_just_begun_has_a_page_that_says_what_is_missing(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("name: new\n")
    page = Page(write_report(run))
    for words in ("Not evaluated yet", "not at hand", "No samples yet", "Nothing logged yet"):
        assert words in page.text


def test_without_weights_or_test_images_the_page_says_why(run, data):
    assert "No test images: " in Page(write_report(run, None, data)).text  # no bundle in this run
    for path in (data / "testA").iterdir():
        path.unlink()
    assert "expected test images in" in Page(write_report(run, None, data, INVERSE)).text


def test_the_evaluation_kept_in_the_run_is_taken_unless_one_is_given(run, data, judged):
    (run / "evaluation.json").write_text(json.dumps(judged))
    assert "How the numbers were taken" in Page(write_report(run, None, data, INVERSE)).text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match="expected the settings of a run"):
        write_report(tmp_path)
    (tmp_path / "config.yaml").write_text("- a\n- list\n")
    with pytest.raises(BadInput, match="found .'a', 'list'"):
        write_report(tmp_path)


def test_a_line_that_the_trainer_is_still_writing_is_left_out_and_a_broken_one_is_named(run, data):
    log = run / "metrics.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"step": 510, "epo')
    assert "500" in Page(write_report(run, None, data, INVERSE)).text
    log.write_text("not json\n" + whole)
    with pytest.raises(BadInput, match="one JSON object a line"):
        write_report(run, None, data, INVERSE)


def test_large_images_do_not_make_a_large_page(tmp_path):
    data = make_data(tmp_path / "data", [f"p{k}" for k in range(16)], size=256)
    run = make_run(tmp_path / "run", data)
    noise = np.random.default_rng(0).integers(0, 100, (1546, 1030, 3)).astype(np.uint8)
    for path in (run / "samples").iterdir():  # noise is the worst that compression can meet
        Image.fromarray(noise).save(path, compress_level=0)
    scores = [{"name": f"p{k}.png", "mean_abs_error": float(k)} for k in range(16)]
    path = write_report(run, {"images": {"AtoB": scores, "BtoA": scores}}, data, INVERSE)
    assert path.stat().st_size < 6e6


def test_a_chart_draws_each_line_raw_and_smoothed_inside_its_axes():
    lines = {"one": [(k, 1 + k % 2) for k in range(100)], "two": [(k, 3.0) for k in range(100)]}
    svg = str(draw("Title <b>", lines, reference=0.25))
    assert svg.count('class="raw') == 2 and svg.count('class="smooth') == 2 and svg.count('class="reference"') == 1
    assert "<b>" not in svg and "Title &lt;b&gt;" in svg
    points = [
        tuple(map(float, point.split(","))) for group in re.findall(r'points="([^"]+)"', svg) for point in group.split()
    ]
    assert all(0 <= x <= 420 and 0 <= y <= 220 for x, y in points)


def test_charts_of_other_discriminators_do_not_claim_what_only_least_squares_mean():
    log = [json.loads(log_line(step, **{"discriminator/X": 1.0})) for step in (1, 2, 3)]
    assert any("0.25" in chart["note"] for chart in draw_charts(log))
    assert not any("0.25" in chart["note"] for chart in draw_charts(log, least_squares=False))


def test_values_that_are_not_finite_are_left_out_of_a_chart():
    log = [json.loads(log_line(step, **{"gan/G": value})) for step, value in [(1, 1.0), (2, float("nan")), (3, 2.0)]]
    assert "nan" not in str(draw_charts(log)[0]["svg"])


def test_ticks_are_round_numbers_from_zero():
    assert ticks(10) == [0, 2, 4, 6, 8, 10]
    assert ticks(4000) == [0, 1000, 2000, 3000, 4000]
    assert ticks(0.9) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert ticks(0) == [0]
    assert [short(value) for value in (0, 0.25, 4000, 0.0002, 120000)] == ["0", "0.25", "4000", "0.0002", "1.2e5"]


def test_smoothing_keeps_a_constant_and_the_mean_of_its_window():
    assert smoothed([2.0] * 50) == pytest.approx([2] * 50)
    assert smoothed([0.0, 1.0] * 40)[40] == pytest.approx(0.4)  # five of a window of 5: 0 1 0 1 0
    assert thinned([(k, 0) for k in range(5000)])[-1] == (4999, 0)


# While training, names of domains, and several runs


def test_the_page_of_a_living_run_reloads_itself_and_tells_the_time_left(run, data):
    lines = [json.dumps({**json.loads(log_line(step)), "total": 1000}) for step in range(100, 501, 100)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    page = Page(write_report(run, None, data, live=True))
    assert "Step 500 of 1,000, about 50 s left." in page.text  # 500 steps took 50 s
    assert [tag["data-refresh"] for tag in page.all("body")] == ["20"]
    assert "Shown when training ends." in page.text
    page = Page(write_report(run, None, data, INVERSE))
    assert page.all("body") == [{}] and "500 of 1,000" in page.text


def test_the_time_left_counts_the_last_stretch_of_a_resumed_run(run, data):
    steps = [(100, 90.0), (200, 180.0), (300, 10.0), (400, 20.0)]  # resumed at 200 on a faster machine
    lines = [json.dumps({**json.loads(log_line(step)), "seconds": s, "total": 1000}) for step, s in steps]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    page = Page(write_report(run, None, data, live=True))
    assert "Step 400 of 1,000, about 1 min 00 s left." in page.text  # 600 steps at 10 a second
    assert "3 min 20 s" in page.text  # 180 s and 20 s


def test_the_page_names_the_domains_the_device_and_the_command(run, data):
    (data / "dataset.json").write_text(json.dumps({"format": 1, "domains": {"A": "horses", "B": "zebras"}}))
    (run / "run.json").write_text(json.dumps({"device": "NVIDIA H100", "started": 0}))
    page = Page(write_report(run, None, data, INVERSE))
    for words in ("horses to zebras", "10 of horses", "NVIDIA H100", "1970-01-01 00:00 UTC", "--config", "-again"):
        assert words in page.text
    assert any("zebras to horses" in (image["alt"] or "") for image in page.all("img"))
    for legend in ("discriminator of zebras", "cycle, horses", "identity, zebras"):
        assert legend in page.text


def test_domains_of_one_name_stay_two_curves(run, data):
    (data / "dataset.json").write_text(json.dumps({"format": 1, "domains": {"A": "images", "B": "images"}}))
    page = Page(write_report(run, None, data, INVERSE))
    assert "images A to images B" in page.text and "discriminator of images B" in page.text


def test_every_image_keeps_its_place_and_is_there_in_print(run, data, judged):
    page = Page(write_report(run, judged, data, INVERSE))
    assert all(int(image["width"] or 0) > 0 and int(image["height"] or 0) > 0 for image in page.all("img"))
    assert not any("loading" in image for image in page.all("img"))


def test_runs_stand_side_by_side(tmp_path, data, judged):
    runs = [make_run(tmp_path / name, data, optim={"lr": lr}) for name, lr in (("slow", 1e-4), ("fast", 2e-4))]
    (runs[0] / "evaluation.json").write_text(json.dumps(judged))
    for seed, run in enumerate(runs):
        make_model(run, seed=seed)
    page = Page(write_comparison(runs, tmp_path / "comparison.html"))
    assert "optim.lr" in page.text and "0.0001" in page.text and "0.0002" in page.text
    assert "data.batch" not in page.text  # the same in both
    labels = [image["data-label"] for image in page.all("img")]
    assert labels[:4] == ["input", "slow", "fast", "truth"] and len(labels) == 2 * 6 * 4
    assert "100.00" in page.text  # the PSNR of the run that was evaluated
    assert_only_its_own_script(page)
    with pytest.raises(BadInput, match="at least two runs"):
        write_comparison(runs[:1], tmp_path / "one.html")
    with pytest.raises(BadInput, match="expected the settings of a run"):
        write_comparison([runs[0], data], tmp_path / "none.html")


def test_the_command_renews_one_report_or_compares_several(run, data, tmp_path, monkeypatch, capsys):
    make_model(run)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert cli.run(["report", str(run), "--open"]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n" and opened == [(run / "report.html").as_uri()]
    other = make_run(tmp_path / "other", data)
    make_model(other, seed=1)
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", str(run), str(other)]) == 0
    assert "2 runs side by side" in Page(tmp_path / "comparison.html").text
    assert cli.run(["report"]) == 2 and "at least one run" in capsys.readouterr().err
    assert cli.run(["report", str(run), "--out", "x.html"]) == 2
    assert "one run's report stands in its folder" in capsys.readouterr().err


def test_a_run_whose_settings_changed_does_not_claim_to_be_one_experiment(tmp_path):
    from unpaired.training import train

    experiment = tiny(make_tiny_data(tmp_path / "data"), optim__steps=2)
    run = train(experiment, tmp_path / "run", report=write_report)
    assert "The same training again" in (run / "report.html").read_text()
    changed = with_settings(experiment, {"optim.steps": 4, "optim.ema_decay": 0.9})
    train(changed, run, allow_config_change=True, report=write_report)
    page = Page(run / "report.html")
    assert "after step 2: " in page.text and "optim.ema_decay was 0.0 and is now 0.9" in page.text
    assert "The same training again" not in page.text and "this training had others before" in page.text
