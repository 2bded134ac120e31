"""Digests of a component's source: equal as long as the same code runs.

A digest covers the module of the component and every module of the same distribution that it
imports, directly or not, found in the text of the import statements. Comments, docstrings and
layout do not count, nor does the name or place of a file: in place of the modules' names stand
digests of their content. What is not found: modules that are imported by a name computed at run
time, and data files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path

DIGITS = 16
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
UNSEEN = ("ctx", "type_comment", "kind")
"""Fields of a syntax tree that do not change what runs."""

Find = Callable[[str], Path | None]
"""The file of an own module by its name; None for a module of others, or if there is no file."""


def source_digest(module: str, find: Find) -> str:
    """Digest of a module and all own modules that it imports; '' if it has no source file.

    Raises SyntaxError for text that is not Python, OSError for a file that cannot be read.
    """
    modules: dict[str, _Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in modules else find(name)
        if path is not None:
            modules[name] = _Module(name, path, find)
            waiting += modules[name].imports
    return _digest_of(modules.values()) if module in modules else ""


def modules_digest(names: Iterable[str], find: Find) -> str:
    """Digest of these modules, in any order, without what else they import."""
    paths = {name: find(name) for name in names}
    return _digest_of([_Module(name, path, find) for name, path in paths.items() if path])


def _digest_of(modules: Collection[_Module]) -> str:
    alone = {one.name: one.digest({}) for one in modules}
    parts = sorted({one.digest(alone) for one in modules})
    return sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]


def own_modules(names: Collection[str], folder: Path | None = None) -> Find:
    """Finds the modules of these top-level names without importing them.

    folder: a folder of sources (not of installed packages) whose modules are own ones too.
    """

    @cache
    def find(module: str) -> Path | None:
        top, *inner = module.split(".")
        if not top or (top not in names and folder is None):
            return None
        file = getattr(sys.modules.get(module), "__file__", None)
        path = Path(file) if file else _path(top, inner)
        if path is None or top in names:
            return path
        root = path.parents[len(inner) + (path.name == "__init__.py")]
        return path if root == folder else None

    return find


def _path(top: str, inner: Sequence[str]) -> Path | None:
    spec = PathFinder.find_spec(top)
    for name in inner:
        paths = spec.submodule_search_locations if spec else None
        spec = None if paths is None else PathFinder.find_spec(name, paths)
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


@dataclass
class _Module:
    """The syntax tree of a module, and the own modules that it names."""

    name: str
    path: Path
    find: Find
    targets: dict[str, str] = field(default_factory=dict)
    """Own modules by the names under which the text speaks of them: 'm' after `import a.b as m`."""

    @cached_property
    def tree(self) -> ast.Module | None:
        """None for a compiled module, whose bytes count instead."""
        content = self.path.read_bytes()
        return None if self.path.suffix != ".py" else ast.parse(content)

    @cached_property
    def imports(self) -> list[str]:
        """Own modules that are imported.

        A package that is only on the way to a module does not count: it often lists all components
        of a plugin, which would then change together.
        """
        names: list[str] = []
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    names.append(alias.name)
                    if self.find(alias.name) is not None:
                        self.targets[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    if self.find(inner) is not None:
                        names.append(inner)
                        self.targets[alias.asname or alias.name] = inner
                    else:
                        names.append(base)
        return [name for name in dict.fromkeys(names) if self.find(name) is not None]

    def _base(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module that names are imported from."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        drop = node.level - (self.path.name == "__init__.py")
        return ".".join([*package[: len(package) - drop], *filter(None, [node.module])])

    def digest(self, others: Mapping[str, str]) -> str:
        """Digest of the text, with the digests of other own modules in place of their names."""
        sha = sha256()
        assert self.imports is not None  # it fills `targets`
        if self.tree is None:
            sha.update(self.path.read_bytes())
        else:
            for text in self._canonical(self.tree, others):
                sha.update(text.encode("utf-8", "surrogatepass"))
        return sha.hexdigest()[:DIGITS]

    def _canonical(self, node: object, others: Mapping[str, str]) -> Iterator[str]:
        """The syntax tree as text, the same in every version of Python that has the same nodes."""
        if isinstance(node, list):
            imports = [one for one in node if isinstance(one, ast.Import | ast.ImportFrom)]
            yield from sorted({name for one in imports for name in self._imported(one, others)})
            yield "["
            for item in node:
                if not isinstance(item, ast.Import | ast.ImportFrom):
                    yield from self._canonical(item, others)
            yield "]"
            return
        if not isinstance(node, ast.AST):
            yield f"{type(node).__name__} {node!r};"
            return
        if isinstance(node, ast.Name | ast.Attribute) and (text := _dotted(node)) in self.targets:
            yield self._own(self.targets[text], others)
            return
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            if name in UNSEEN or value is None or value == []:
                continue
            if name == "body" and isinstance(node, DOCUMENTED):
                value = _without_docstring(value)
            yield f"{name}="
            yield from self._canonical(value, others)
        yield ")"

    def _imported(
        self, node: ast.Import | ast.ImportFrom, others: Mapping[str, str]
    ) -> Iterator[str]:
        """A text for each name that a statement imports, in which own modules are digests."""
        for alias in node.names:
            if isinstance(node, ast.Import):
                own = self._own(alias.name, others)
                yield own or f"import {alias.name} as {alias.asname};"
            else:
                base = self._base(node)
                own = self._own(f"{base}.{alias.name}", others)
                where = self._own(base, others) or base
                yield own or f"from {where} import {alias.name} as {alias.asname};"

    def _own(self, name: str, others: Mapping[str, str]) -> str:
        """The digest that stands for an own module; '' for a name that is none."""
        return f"<{others.get(name, 'own')}>" if self.find(name) is not None else ""


def _dotted(node: ast.expr) -> str:
    """'a.b.c' of a chain of attributes; '' for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)):
        return f"{start}.{node.attr}"
    return ""


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(ast.Constant(str())), *rest]:
            return rest
    return body
