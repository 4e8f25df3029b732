"""Let the site have what the pages link to outside docs/, which MkDocs alone would call broken.

A page links to a file of the repository by its relative path, as every reader of Markdown understands it. Here such a
file becomes a page below repository/: Markdown as it is, anything else as a listing. Links in those are followed too. A
folder is shown by its README.md if it has one, else it is named without a link. A link to what is not there is left as
it is, for MkDocs to find.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS, BELOW = "docs", "repository"
HOME, INDEX = "README.md", "index.md"  # the README is the first page
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file of the repository that a page links to, and for those in the navigation."""
    found = {one for one in _in_navigation(config.nav) if not one.startswith(f"{DOCS}/")}
    pages = [f"{DOCS}/{file.src_uri}" for file in files.documentation_pages()]
    to_read = [*pages, *sorted(found)]
    while to_read:
        page = to_read.pop()
        if not page.endswith(".md"):
            continue
        for target in _outside(page):
            if target not in found:
                found.add(target)
                to_read.append(target)
    named = set(_in_navigation(config.nav))
    for path in sorted(found):
        level = InclusionLevel.INCLUDED if path in named else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, _uri(path), content=_content(path), inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links to files of the repository into links to their pages."""
    here = _path(page.file.src_uri)
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(_relink(here), part) for part in parts)


def _relink(here: str) -> Callable[[re.Match[str]], str]:
    def link(found: re.Match[str]) -> str:
        label, target, anchor = found.groups()
        path = _resolved(here, target)
        if (REPOSITORY / path).is_dir() and not (REPOSITORY / path / "README.md").exists():
            return label
        if not (REPOSITORY / path).exists():
            return found[0]
        uri = posixpath.relpath(_uri(_shown(path)), posixpath.dirname(_uri(here)))
        return f"[{label}]({uri}{anchor or ''})"

    return link


def _outside(page: str) -> Iterator[str]:
    """The files outside docs/ that a page links to."""
    text = FENCE.sub("", (REPOSITORY / page).read_text())
    for _, target, _ in LINK.findall(text):
        path = _shown(_resolved(page, target))
        if not path.startswith(f"{DOCS}/") and (REPOSITORY / path).is_file():
            yield path


def _resolved(here: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(here), target))


def _shown(path: str) -> str:
    """What is shown for a path: of a folder, its README.md."""
    return f"{path}/README.md" if (REPOSITORY / path).is_dir() else path


def _uri(path: str) -> str:
    """Where a file of the repository is in the site's sources.

    docs/gpus.md is gpus.md, formulas/cpu.yaml is repository/formulas/cpu.yaml.md.
    """
    if path == HOME:
        return INDEX
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{BELOW}/{path}" if path.endswith(".md") else f"{BELOW}/{path}.md"


def _path(uri: str) -> str:
    """Which file of the repository a page of the site is made from; the other way round than `_uri`."""
    if uri == INDEX:
        return HOME
    if not uri.startswith(f"{BELOW}/"):
        return f"{DOCS}/{uri}"
    path = uri.removeprefix(f"{BELOW}/")
    return path if (REPOSITORY / path).exists() else path.removesuffix(".md")


def _content(path: str) -> str:
    text = (REPOSITORY / path).read_text()
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text}\n````\n"


def _in_navigation(entries: object) -> Iterator[str]:
    """The files of the repository that the navigation names."""
    if isinstance(entries, str) and (entries == INDEX or entries.startswith(f"{BELOW}/")):
        yield _path(entries)
    elif isinstance(entries, dict):
        for below in entries.values():
            yield from _in_navigation(below)
    elif isinstance(entries, list):
        for below in entries:
            yield from _in_navigation(below)
