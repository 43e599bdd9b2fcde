"""The site builds without a warning, and its links, formulas and docstrings hold."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

ROOT = Path(__file__).parents[2]
MAKING = ROOT / "docs" / "making"
pytest.importorskip("mkdocs")
pytest.importorskip("matplotlib")
sys.path.append(str(MAKING))
from docstrings import BLOCK, INLINE, shown  # noqa: E402
from formulas import mathml  # noqa: E402
from gallery import SHOWN  # noqa: E402
from links import faults  # noqa: E402
from pictures import PICTURES  # noqa: E402

from gflow.objectives import OBJECTIVES  # noqa: E402
from gflow.tasks.parts import BEHAVIOURS  # noqa: E402


def built(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The site without docstrings, which take half a minute: `make docs` builds those too."""
    environment = os.environ | {"GFLOW_DOCS_REFERENCE": "false", "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", str(folder), *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = built(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_strictly_and_every_link_leads_somewhere(site: Path) -> None:
    assert faults(site) == []
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert {"index.html", "reference/gflow.exact.html", "reference/gflow.objectives.html"} <= pages
    assert "repository/benchmarks/index.html" in pages  # linked to, and so a page
    for source in (ROOT / "docs").rglob("*.md"):
        assert str(source.relative_to(ROOT / "docs").with_suffix(".html")) in pages


@pytest.mark.slow
def test_it_opens_from_disk_and_is_searched_there(site: Path, browser: Any) -> None:
    for width in (1200, 400):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for page in ("index.html", "guides/causal.html", "gallery/environments.html"):
            browser.get((site / page).as_uri())
            script = "const e = document.documentElement; return e.scrollWidth - e.clientWidth"
            assert browser.execute_script(script) == 0, f"{page} is too wide for {width} pixels"
    browser.execute_script(
        "document.querySelector('[data-md-toggle=search]').click();"
        "const box = document.querySelector('input.md-search__input');"
        "box.focus(); box.value = 'trajectory balance';"
        "box.dispatchEvent(new Event('keyup', {bubbles: true}));"
    )
    found = "return document.querySelectorAll('li.md-search-result__item').length"
    for _ in range(300):
        if browser.execute_script(found):
            break
        time.sleep(0.1)
    assert browser.execute_script(found) > 3
    assert browser.get_log("browser") == []


def test_the_gallery_has_every_objective_and_behaviour() -> None:
    page = (ROOT / "docs" / "gallery" / "objectives.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert set(OBJECTIVES) - named == set()
    assert set(BEHAVIOURS) - named == set()


def test_pictures_are_small_described_and_drawn_by_a_command() -> None:
    """Each picture of a page has words for who does not see it, and a command that draws it."""
    shown = set()
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for words, link in re.findall(r"!\[(.*)\]\(([^)]+)\)", page.read_text()):
            assert len(words) > 10, (page, link)
            shown.add((page.parent / link).resolve())
    drawn = {ROOT / "docs" / "pictures" / f"{name}.png" for name in PICTURES}
    drawn |= {ROOT / "docs" / "pictures" / "gallery" / f"{name}.png" for name in SHOWN}
    drawn.add(ROOT / "docs" / "topics" / "which_objective.png")  # by the benchmark of that name
    assert shown == drawn == set((ROOT / "docs").rglob("*.png"))
    assert all(path.stat().st_size < 80_000 for path in drawn)


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h2 id="there">b</h2>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">fine</a><a href="b.html#gone">no</a><a href="c.html">no</a>'
        '<a href="https://example.org">elsewhere</a><a href="#me">no</a>'
        '<script src="https://example.org/x.js"></script><img src="none.png">'
    )
    assert faults(tmp_path) == [
        "a.html: fetches https://example.org/x.js from another host",
        "a.html: b.html#gone leads to no anchor of its page",
        "a.html: c.html leads to no page",
        "a.html: #me leads to no anchor of its page",
        "a.html: none.png leads to no page",
    ]


def plain(latex: str) -> str:
    """MathML without what it says to screen readers."""
    return re.sub(r' aria-label="[^"]*"', "", mathml(latex))


@pytest.mark.parametrize(
    ("latex", "inner"),
    [
        (r"F_i^2", "<msubsup><mi>F</mi><mrow><mi>i</mi></mrow><mrow><mn>2</mn></mrow></msubsup>"),
        (r"s'", "<msup><mi>s</mi><mrow><mo>′</mo></mrow></msup>"),
        (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"\frac{a}b", "<mfrac><mrow><mi>a</mi></mrow><mi>b</mi></mfrac>"),
        (r"\sqrt{-x}", "<msqrt><mrow><mo>−</mo><mi>x</mi></mrow></msqrt>"),
        (r"\sum_s", "<munder><mo>∑</mo><mrow><mi>s</mi></mrow></munder>"),
        (r"\text{a < b}", "<mtext>a&#160;&lt;&#160;b</mtext>"),
        (r"\mathbb{E}", '<mi mathvariant="normal">𝔼</mi>'),
        (r"\operatorname{sin}", '<mi mathvariant="normal">sin</mi>'),
    ],
)
def test_formulas(latex: str, inner: str) -> None:
    assert plain(latex) == f"<math><mrow>{inner}</mrow></math>"


def test_lines_of_a_formula_are_rows_aligned_at_their_signs() -> None:
    table = minidom.parseString(mathml(r"a &= b \\ c &= d", display=True)).documentElement
    assert table is not None
    assert table.getAttribute("display") == "block"
    assert table.getAttribute("aria-label") == r"a &= b \\ c &= d"
    rows = table.getElementsByTagName("mtr")
    assert [len(row.getElementsByTagName("mtd")) for row in rows] == [2, 2]


def test_what_a_formula_may_not_have() -> None:
    with pytest.raises(ValueError, match=r"\\foo, which docs/making/formulas.py does not know"):
        mathml(r"a + \foo")
    with pytest.raises(ValueError, match="ends too early"):
        mathml(r"\frac{a}")
    with pytest.raises(ValueError, match="ends too early"):
        mathml("{a")


def test_every_formula_of_the_package_is_understood() -> None:
    found = 0
    for folder in ("gflow", "envs", "objectives"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for formula in [m.group(2) for m in BLOCK.finditer(text)] + INLINE.findall(text):
                drawn = mathml(formula, display=True)
                assert minidom.parseString(drawn).getElementsByTagName("mrow"), (path, formula)
                found += 1
    assert found > 200


def test_docstrings_become_markdown() -> None:
    text = shown(
        "Of :class:`Policy`, with :math:`x`.\n\n"
        ".. math:: a\n"
        "          + b\n\n"
        "Then.\n\n"
        "Example:\n"
        "    >>> f(1)\n"
        "    [2]\n"
    )
    assert text.startswith("Of `Policy`, with <math")
    assert text.count("<math") == 2
    assert '<math display="block" aria-label="a + b">' in text
    assert "</div>\n\nThen." in text.replace("\n\n\n", "\n\n")
    assert "    ```pycon\n    >>> f(1)\n    [2]\n    ```" in text
