"""What MkDocs does not do by itself: pages of other folders, links to them, equations, and examples in docstrings.

Pages stay readable where the repository is hosted: links are relative to files, equations stand between dollars.
"""

import importlib
import importlib.util
import logging
import os
import re
from html import unescape
from pathlib import Path, PurePosixPath
from textwrap import dedent
from typing import Any

import griffe
import typer
import typer.cli
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from segmend.cli import app

log = logging.getLogger("mkdocs.hooks")

ROOT = Path(__file__).parents[1]
NAMED = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the repository's root."""

LINK = re.compile(r"\]\(([^)\s:#]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """In the navigation, ``folder/*`` stands for all pages of a folder that have no line of their own."""
    docs = Path(config.docs_dir)

    def named(item: Any) -> set[str]:
        if isinstance(item, str):
            return {item}
        return set().union(*map(named, item if isinstance(item, list) else item.values()))

    def expanded(item: Any) -> list[Any]:
        if isinstance(item, dict):
            return [{title: value if isinstance(value, str) else all_of(value) for title, value in item.items()}]
        if not item.endswith("/*"):
            return [item]
        found = (path.relative_to(docs).as_posix() for path in docs.glob(f"{item}.md"))
        return sorted(set(found) - own, key=lambda name: (not name.endswith("/index.md"), name))

    def all_of(items: list[Any]) -> list[Any]:
        return [one for item in items for one in expanded(item)]

    own = named(config.nav)
    config.nav = all_of(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages from outside the folder."""
    logs = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/*/log.md"))
    for name in (*NAMED, *logs):
        level = InclusionLevel.INCLUDED if name in NAMED else InclusionLevel.NOT_IN_NAV
        target = None if name in logs else f"{name.removesuffix('.md').lower()}.html"  # README is no start page
        files.append(
            File(name, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=target, inclusion=level)
        )
    return files


def _described() -> str:
    """The commands with their options, as the program describes itself."""
    commands = typer.main.get_command(app)
    context = typer.Context(commands, info_name="segmend")
    text = typer.cli.get_docs_for_click(obj=commands, ctx=context, name="segmend")
    text = text[text.index("\n## ") :]  # after the title and the options of all commands: --help
    return re.sub(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+", "", text)  # lists of sentences that are cut short


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository become links to pages of the site; foldable parts are read as Markdown."""
    path = page.file.abs_src_path
    if path is None:
        return markdown

    def to_page(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(Path(path).parent / link[1]))
        for folder in (Path(config.docs_dir), ROOT):
            if target.is_relative_to(folder):
                uri = target.relative_to(folder).as_posix()
                if files.get_file_from_path(uri):
                    return f"]({os.path.relpath(uri, PurePosixPath(page.file.src_uri).parent)}{link[2] or ''})"
        return link[0]  # MkDocs reports it, if it leads nowhere

    parts = FENCED.split(markdown)
    for i in range(0, len(parts), 2):  # between blocks of code
        text = LINK.sub(to_page, parts[i]).replace("<details>", "<details markdown>")
        text = text.replace("<!-- commands -->", _described()) if "<!-- commands -->" in text else text
        parts[i] = re.sub(r"^<!--.*-->$", r"\n\g<0>\n", text, flags=re.MULTILINE)  # else what follows is HTML too
    return "".join(parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Equations become MathML, which browsers draw without a script. No public name may be missing."""
    folder, _, name = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder == "reference" and importlib.util.find_spec(f"segmend.{name}"):
        for public in getattr(importlib.import_module(f"segmend.{name}"), "__all__", ()):
            if not re.search(rf'id="segmend\.[\w.]*\b{public}"', html):
                log.warning("%s: segmend.%s.%s is missing", page.file.src_uri, name, public)
    return EQUATION.sub(_drawn, html)


def _drawn(equation: re.Match[str]) -> str:
    display = "block" if equation[1] == "div" else "inline"
    return f"<{equation[1]}>{convert(unescape(equation[2]), display=display)}</{equation[1]}>"


class Examples(griffe.Extension):
    """Examples of docstrings, doctests or what follows ``Example::``, as blocks of code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _fenced(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        self.on_object(obj=pkg)  # which is not called for the outermost module


def _fenced(text: str) -> str:
    text = re.sub(r" +# doctest: \+\w+$", "", text, flags=re.MULTILINE)
    for heading, language in (("Example::\n\n", "python"), ("Example:\n", "")):
        block = re.compile(rf"^{heading}((?:    .*\n?|\n)+)", re.MULTILINE)
        fence = f"```{language}\n{{}}\n```\n\n" if language else "{}\n\n"
        text = block.sub(lambda found, fence=fence: fence.format(dedent(found[1]).strip()), text)
    return re.sub(r"^>>> (?:.+\n?)+", "```pycon\n\\g<0>\n```\n", text, flags=re.MULTILINE)
