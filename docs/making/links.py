"""Follows every link and anchor of a built site, and finds what it would fetch from elsewhere.

python docs/making/links.py build/site
"""

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("source", "src"),
    ("iframe", "src"),
}


class _Reader(HTMLParser):
    """Collects what a page links to, what it fetches, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Reads one element."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            if (tag, name) in FETCHED:
                self.fetched.append(value)
            elif name in ("href", "src"):
                self.links.append(value)


def faults(site: Path) -> list[str]:
    """Links that lead nowhere and things fetched from other hosts, a line each.

    Args:
        site: Folder of the built pages.
    """
    found = []
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":
            continue  # its links are those of the site's address
        read = _page(page)
        where = page.relative_to(site)
        for link in read.fetched:
            if urlsplit(link).netloc:
                found.append(f"{where}: fetches {link} from another host")
        for link in [*read.links, *read.fetched]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{where}: {link} leads to no page")
            elif parts.fragment and target.suffix == ".html" and not _has(target, parts.fragment):
                found.append(f"{where}: {link} leads to no anchor of its page")
    return found


def _has(page: Path, fragment: str) -> bool:
    return unquote(fragment) in _page(page).anchors


@cache
def _page(page: Path) -> _Reader:
    read = _Reader()
    read.feed(page.read_text())
    return read


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    print("\n".join(wrong) or "Every link and anchor leads somewhere, and nothing is fetched.")
    sys.exit(bool(wrong))
