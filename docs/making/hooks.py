"""Pages of the site that are made while it is built.

Two kinds: the reference, one page a room of the package, from its docstrings; and files of the
repository that pages link to (examples, benchmarks), so that no link leaves the site.
"""

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
SHOWN = {".py": "python", ".yaml": "yaml", ".json": "json", ".csv": "text", ".sh": "sh"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the reference and the files that pages link to."""
    config.nav = [_filled(entry, files, config) for entry in config.nav or []]
    for page in list(files.documentation_pages()):
        _follow(page, files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository lead to their pages."""
    return LINK.sub(lambda link: _inside(link, page.file, files), markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """The search's index as a script as well, for pages that are opened from disk."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text()}")


def rooms() -> dict[str, list[str]]:
    """The packages of gflow and the public modules of each, as they are imported."""
    found: dict[str, list[str]] = {}
    for top, name in (
        ("gflow", "gflow"),
        ("envs", "gflow.envs"),
        ("objectives", "gflow.objectives"),
    ):
        for folder, below, names in os.walk(ROOT / top):
            below[:] = sorted(b for b in below if (Path(folder) / b / "__init__.py").exists())
            below[:] = [b for b in below if not (Path(folder) / b).is_symlink()]
            room = ".".join([name, *Path(folder).relative_to(ROOT / top).parts])
            found[room] = sorted(
                n[:-3] for n in names if n.endswith(".py") and not n.startswith("_")
            )
    return dict(sorted(found.items()))


def _filled(entry: Any, files: Files, config: MkDocsConfig) -> Any:
    """An entry of the navigation; the reference gets its pages."""
    if not (isinstance(entry, dict) and "Reference" in entry):
        return entry
    parts: dict[str, list[Any]] = {"Engine": [], "Environments": [], "Objectives": []}
    whole = config.plugins["mkdocstrings"].config.enabled
    for room, modules in rooms().items():
        path = f"reference/{room}.md"
        named = [f"{room}.{module}" for module in modules] or [room]
        text = "\n\n".join([f"# {room}", *(f"::: {name}" for name in named if whole)])
        files.append(File.generated(config, path, content=text + "\n"))
        kind = (
            "Environments"
            if room.startswith("gflow.envs")
            else "Objectives"
            if room.startswith("gflow.objectives")
            else "Engine"
        )
        parts[kind].append({room: path})
    return {"Reference": [{kind: pages} for kind, pages in parts.items()]}


def _follow(page: File, files: Files, config: MkDocsConfig) -> None:
    """Adds pages for what a page links to outside the docs, and what those link to."""
    for link in LINK.finditer(page.content_string):
        source = _source(link.group(1), page)
        if source is None or files.get_file_from_path(_name(source)) is not None:
            continue
        text = (ROOT / source).read_text()
        suffix = source.suffix
        if suffix == ".ipynb":
            text = _notebook(source, text)
        elif suffix != ".md":
            fence = SHOWN.get(suffix, "text")
            text = f"# {source}\n\n````{fence}\n{text}````\n"
        made = File.generated(config, _name(source), content=text)
        files.append(made)
        if suffix == ".md":
            _follow(made, files, config)


def _notebook(source: Path, text: str) -> str:
    """A notebook as a page: its prose and its code, in order."""
    parts = []
    for cell in json.loads(text)["cells"]:
        inside = "".join(cell["source"])
        parts.append(inside if cell["cell_type"] == "markdown" else f"```python\n{inside}\n```")
    return "\n\n".join([*parts, f"*The notebook is `{source}`.*"]) + "\n"


def _source(link: str, page: File) -> Path | None:
    """The file of the repository that a page links to, if it is none of the site's."""
    if "://" in link or link.startswith(("/", "mailto:")):
        return None
    below = page.src_uri.removeprefix("repository/").removesuffix(".md") + ".md"
    start = "" if page.src_uri.startswith("repository/") else "docs"
    path = posixpath.normpath(posixpath.join(start, posixpath.dirname(below), link))
    if path.startswith("docs/") or not (ROOT / path).is_file():
        return None
    return Path(path)


def _name(source: Path) -> str:
    """Where the page of a file of the repository stands in the site."""
    return f"repository/{source}" if source.suffix == ".md" else f"repository/{source}.md"


def _inside(link: re.Match[str], page: File, files: Files) -> str:
    """A link as it stands in the site."""
    source = _source(link.group(1), page)
    here = posixpath.dirname(page.src_uri)
    if source is not None:
        return posixpath.relpath(_name(source), here) + (link.group(2) or "")
    if page.src_uri.startswith("repository/") and "://" not in link.group(1):
        below = posixpath.dirname(page.src_uri.removeprefix("repository/"))
        path = posixpath.normpath(posixpath.join(below, link.group(1)))
        if path.startswith("docs/"):
            return posixpath.relpath(path.removeprefix("docs/"), here) + (link.group(2) or "")
    return link.group(0)
