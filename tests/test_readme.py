"""The README is short, its links lead somewhere, and its first example converges."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_it_is_short_and_its_links_and_targets_exist() -> None:
    assert len(TEXT.splitlines()) < 150
    links = re.findall(r"\]\(([\w./]+)\)", TEXT)
    assert len(links) > 40
    for name in links:
        assert (ROOT / name).exists(), name
    assert re.search(r"!\[.+\]\(docs/pictures/\w+\.png\)", TEXT), "a picture, described"
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", TEXT, re.MULTILINE)
    assert "docs" in targets
    for target in targets:
        assert f"\n{target}:" in makefile


def test_the_citation_is_of_this_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == declared["version"]
    assert cited["license"] == declared["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert "CITATION.cff" in TEXT


def test_every_page_of_the_docs_is_named() -> None:
    """Who has only the repository finds all of them."""
    made = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    missing = {page for page in made if page not in TEXT} - {"docs/index.md"}
    assert not missing, f"link {sorted(missing)} from README.md"


@pytest.mark.slow
def test_readme_example_converges() -> None:
    """The distance that the example prints is small."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        names: dict[str, object] = {}
        exec(code, names)
        assert names["trained"].metrics["tv"] < 0.1  # type: ignore[attr-defined]
    finally:
        torch.set_default_dtype(before)
