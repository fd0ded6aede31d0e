"""The arrows of DESIGN.md: who may import whom, what may be absent, and that every setting is read.

Imports are read from the syntax tree, so that one inside a function counts as much as one at the top of a file.
"""

import ast
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from gptlab.config import SECTIONS, all_settings

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "gptlab").rglob("*.py"))

ENGINE = {"config", "events", "data", "model", "train", "generate"}
# What each part may import of ours. A name with a dot allows that module alone.
MAY_IMPORT = {
    "__init__": set(),
    "values": set(),
    "config": {"values"},
    "processors": set(),
    "threads": set(),
    "memory": set(),
    "events": set(),
    "presets": {"config"},
    "data": {"config", "events"},
    "model": {"config"},
    "train": {"config", "events", "data", "model", "threads"},
    "generate": {"config", "model", "data.tokenizers", "threads"},
    "inspect": {"config", "model", "generate"},
    "runs": ENGINE | {"inspect", "memory", "presets", "threads"},
    "plots": {"events", "runs.history"},
    "exchange": ENGINE | {"inspect", "presets", "runs", "plots"},  # what is handed out and in is runs
    "cli": ENGINE | {"inspect", "exchange", "presets", "runs", "plots"},
    "__main__": {"cli", "memory", "processors"},
    "ui": ENGINE | {"inspect", "exchange", "presets", "runs", "plots", "cli"},
}
MAY_NOT_IMPORT = {"exchange": {"train.trainer"}, "ui": {"train.trainer"}}


def part(path: Path) -> str:
    """The row of the table a file belongs to: its folder in gptlab/, or its own name."""
    return path.relative_to(ROOT / "gptlab").parts[0].removesuffix(".py")


@lru_cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, at_top_only: bool = False) -> set[str]:
    """Dotted names of all modules that a file imports, absolute; names imported from a package count as its modules."""
    package = ".".join(path.relative_to(ROOT).parts[:-1])
    found = set()
    for node in top_level(tree(path)) if at_top_only else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[:len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def top_level(node: ast.AST):
    """What runs when the file is imported: everything but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from top_level(child)


def ours(path: Path) -> set[str]:
    """Modules of ours that a file imports, without "gptlab.", only those that exist."""
    names = {name.removeprefix("gptlab.") for name in imports(path) if name.startswith("gptlab.")}
    return {name for name in names for module in [ROOT / "gptlab" / Path(*name.split("."))]
            if module.with_suffix(".py").exists() or module.is_dir()}


def allowed(name: str, by: str) -> bool:
    top = name.split(".")[0]
    if any(name == no or name.startswith(no + ".") for no in MAY_NOT_IMPORT.get(by, ())):
        return False
    # "data.tokenizers" allows the module and naming its package on the way, not what else is in there.
    return top == by or top in MAY_IMPORT[by] or any(
        name == one or name.startswith(one + ".") or one.startswith(name + ".") for one in MAY_IMPORT[by] if "." in one)


def test_the_table_has_a_row_for_every_part():
    assert {part(path) for path in FILES} <= set(MAY_IMPORT)


def test_the_reader_of_imports_sees_all_kinds(tmp_path):
    """A check of the checker: relative, nested and aliased imports are all found."""
    path = ROOT / "gptlab" / "data" / "imaginary.py"
    sources = {"from ..model.gpt import GPT": "gptlab.model.gpt", "from . import sources": "gptlab.data.sources",
               "def f():\n    import gptlab.ui.form as x": "gptlab.ui.form", "from gptlab import ui": "gptlab.ui"}
    for source, name in sources.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules[__name__], "tree", lambda _: ast.parse(source))
            assert name in imports(path), source
            assert (name in imports(path, at_top_only=True)) == (not source.startswith("def"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_up_the_page_only(path):
    wrong = {name for name in ours(path) if not allowed(name, part(path))}
    assert not wrong, f"{part(path)} may import {sorted(MAY_IMPORT[part(path)])} of ours"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_gradio_is_the_pages_and_plotly_the_drawers(path):
    anywhere = {name.split(".")[0] for name in imports(path)}
    at_top = {name.split(".")[0] for name in imports(path, at_top_only=True)}
    if part(path) != "ui":
        assert "gradio" not in anywhere and "gradio_client" not in anywhere
    if part(path) not in ("ui", "plots"):
        assert "plotly" not in (at_top if part(path) == "cli" else anywhere)
    if part(path) == "cli":
        assert "gptlab.plots" not in imports(path, at_top_only=True), "drawing is imported by the command that draws"
    assert not {"pickle", "dill", "joblib", "marshal", "shelve"} & anywhere, "no pickle, anywhere"


def test_tabs_never_import_tabs():
    tabs = {path.stem for path in FILES if part(path) == "ui" and path.stem.endswith("_tab")}
    for path in FILES:
        if path.stem in tabs:
            assert not {name for name in ours(path) if name.removeprefix("ui.") in tabs - {path.stem}}, path


@pytest.mark.parametrize("module, absent", [("gptlab.cli", "gradio plotly"), ("gptlab.runs.jobs", "gradio plotly"),
                                            ("gptlab.config", "torch numpy gradio plotly tokenizers"),
                                            ("gptlab.events", "torch numpy gradio plotly tokenizers"),
                                            ("gptlab.presets", "torch numpy gradio plotly tokenizers"),
                                            ("gptlab.cli", "torch numpy pandas tokenizers transformers")])
def test_a_module_can_be_imported_without(module, absent):
    """The last row keeps `python -m gptlab --help` instant: nothing heavy is loaded before a command needs it."""
    block = f"import sys; sys.modules.update(dict.fromkeys({absent.split()!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


# Where a section's settings must be read for them to change what happens. Forms and checks don't count.
READERS = {"data": ("data",), "model": ("model",), "train": ("train", "runs"), "sample": ("generate", "runs")}


def attributes(node: ast.AST) -> set[str]:
    return {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Load)}


@lru_cache
def read_by(folder: str) -> set[str]:
    return set().union(*(attributes(tree(path)) for path in FILES if part(path) == folder))


def names_for(name: str) -> set[str]:
    """A setting's own name, and the properties of its config that resolve it (n_kv_head is read as kv_heads)."""
    section, _, short = name.partition(".")
    classes = {node.name: node for node in tree(ROOT / "gptlab" / "config.py").body if isinstance(node, ast.ClassDef)}
    return {short} | {node.name for node in classes[SECTIONS[section].__name__].body
                      if isinstance(node, ast.FunctionDef) and short in attributes(node)}


@pytest.mark.parametrize("name", [name for name, _ in all_settings()])
def test_no_dead_options(name):
    """Every setting that a form or the command line shows is read by the part of the engine it belongs to."""
    folders = READERS[name.partition(".")[0]]
    assert any(names_for(name) & read_by(folder) for folder in folders), f"nothing in {folders} reads it"
