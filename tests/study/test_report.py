"""The page: every figure, valid, in need of nothing else; and in a real browser."""

import base64
import dataclasses
import functools
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from equildm.study import FIGURES, FINDINGS, LossCurve, Price, write_report

VOID = {"img", "meta", "link", "br", "source"}


class Page(HTMLParser):
    """Tags that open and close in order, and what they ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.tags = [], [], [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs)
        self.links += [v for k, v in attrs.items() if k in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def images_of(row):
    random = np.random.default_rng(row.width)
    return random.integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)


def few(study):
    """Rows of one model and one sampler: most figures are left out."""
    rows = [row for row in study if row.width == 16 and not row.method and row.sampler == "ddim"]
    return rows[:6]


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    losses = [
        LossCurve(name, distilled, np.arange(1, 101), 1 / np.sqrt(np.arange(1, 101)))
        for name, distilled in (("c016", False), ("c016-lcm", True))
    ]
    options = {"about": ["made & checked"], "images_of": images_of, "losses": losses}
    write_report(folder, study, title="A <study>", **options)
    return folder


def test_the_page_is_whole_and_asks_for_nothing(folder):
    text = (folder / "index.html").read_text()
    page = Page(text)
    assert "script" not in page.tags and "iframe" not in page.tags
    assert all(link.startswith("data:") for link in page.links)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[^\"]*", "", text))
    assert "A &lt;study&gt;" in text and "made &amp; checked" in text
    assert text.count("For a budget of") == 5


def test_every_figure_is_there_and_is_an_image(folder):
    images = Page((folder / "index.html").read_text()).images
    names = {*FIGURES, "images", "guidance-images", "student-images", "losses", "paper"}
    assert {path.stem for path in folder.glob("*.png")} == names
    assert len(images) == len(names) and all(image["alt"] for image in images)
    for image in images:
        data = base64.b64decode(image["src"].partition("base64,")[2])
        with Image.open(io.BytesIO(data)) as image_file:
            pixels = np.asarray(image_file.convert("RGB"))
        assert pixels.std() > 5 and min(pixels.shape[:2]) > 60


def test_every_finding_has_its_verdict_and_rule(folder):
    text = (folder / "index.html").read_text()
    for finding in FINDINGS:
        assert finding.where in text and html.escape(finding.rule) in text
    assert text.count('class="reproduced"') >= 10 and '<td class="not">' not in text


def test_a_narrow_screen_hides_nothing(folder):
    """Panels stand below each other, and each cell of a table names its column."""
    text = (folder / "index.html").read_text()
    assert text.count('<source media="(max-width: 600px)"') >= 5
    cells = re.findall(r"<td[^>]*>", text)
    assert cells and all("data-name=" in cell for cell in cells)


def test_students_stand_beside_their_models(folder):
    text = (folder / "index.html").read_text()
    assert "c064lcm (ddim)" in text and "<th>1 step</th>" in text
    rows = re.findall(r"<td[^>]*>(c\d+lcm) \(ddim\)</td>(.*?)</tr>", text)
    worth = {name: re.findall(r">([^<]+)</td>", cells) for name, cells in rows[-3:]}
    assert set(worth) == {"c016lcm", "c032lcm", "c064lcm"}  # the last of the two tables
    for student, model, steps in worth.values():
        assert float(student) < float(model) and 4 < float(steps) < 16


def test_a_table_with_less_says_what_is_missing(study, tmp_path):
    text = write_report(tmp_path, few(study)).read_text()
    Page(text)
    assert text.count("holds no rows for this figure") >= 3 and "No images were saved" in text
    with pytest.raises(ValueError, match="one reference"):
        write_report(tmp_path, [])
    diverged = [dataclasses.replace(row, fid=float("inf")) for row in study[:4]]
    with pytest.raises(ValueError, match="every model diverged"):
        write_report(tmp_path / "nothing", diverged)
    assert not (tmp_path / "nothing").exists()


def test_figures_count_guidance_as_the_report_does(study, tmp_path, monkeypatch):
    seen, twice = {}, Price(counting="twice")
    for name, (heading, draw) in FIGURES.items():

        def spy(*args, name=name, **options):
            seen[name] = args[1:], options

        monkeypatch.setitem(FIGURES, name, (heading, functools.wraps(draw)(spy)))
    text = write_report(tmp_path, study, price=twice).read_text()
    counted = {"training", "cost", "samplers", "distilled", "laws"}  # the others show no cost
    assert {name for name, call in seen.items() if call == ((twice,), {})} == counted
    assert all(call == ((), {}) for name, call in seen.items() if name not in counted)
    assert "guidance counted twice" in text


def test_a_budget_that_pays_for_nothing_is_answered_so(study, tmp_path, monkeypatch):
    monkeypatch.setattr("equildm.study.report.FIGURES", {})
    text = write_report(tmp_path, few(study), budgets=(1e-6, 1.0)).read_text()
    assert text.count("For a budget of") == 1
    assert text.count("A budget of 1e-06 GFLOP an image pays for nothing") == 1


@pytest.mark.slow  # starts a browser
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(folder, tmp_path, width):
    """All images decoded, nothing wider than the window, nothing on the console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium: apt-get install chromium")
    # The page itself has no script. A copy gets one that measures it, and an iframe of the width
    # asked for, since a headless window is never as narrow as a phone.
    page = (folder / "index.html").read_text()
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "frame.html").write_text(
        "<body><pre></pre><script>const f=document.createElement('iframe');"
        f"f.style='width:{width}px;height:900px;border:0';"
        "f.onload=()=>{const d=f.contentDocument;"
        "document.querySelector('pre').textContent='RESULT'+JSON.stringify({"
        "images:[...d.images].map(i=>[i.naturalWidth,i.getBoundingClientRect().width]),"
        "page:d.documentElement.scrollWidth,window:f.contentWindow.innerWidth,"
        "font:parseFloat(f.contentWindow.getComputedStyle(d.body).fontSize)})+'END'};"
        "f.src='page.html';document.body.append(f);</script>"
    )
    done = subprocess.run(
        [
            browser,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--allow-file-access-from-files", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"),
            *("--window-size=1400,1000", "--dump-dom", (tmp_path / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    result = re.search(r"RESULT(\{.*?\})END", done.stdout)
    assert result, done.stdout[-2000:] + done.stderr[-2000:]
    seen = json.loads(result.group(1))
    assert seen["window"] == width
    assert len(seen["images"]) == len(FIGURES) + 5
    assert all(natural > 0 and 0 < wide <= width for natural, wide in seen["images"])
    assert seen["page"] <= width  # wide tables scroll by themselves
    assert seen["font"] >= 14
