"""A module's text, taken apart into what it defines and what each of these names.

What lives here: functions, classes and constants of one module with their digests and uses (ast). What does not:
following uses from module to module (`code_identity.py`).
"""

import ast
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

# Gives, for a module and a name in a text, the digest of the data file of that name beside it, if there is one.
Content = Callable[[str, str], str | None]
IsModule = Callable[[str], bool]


class Name(NamedTuple):
    """Something that a module defines, or the whole module where `name` is empty."""

    module: str
    name: str


@dataclass(frozen=True)
class Unit:
    """One function, class or constant of a module.

    Attributes:
        digest: of its text, without docstrings, comments and empty lines.
        uses: what it names, in this package or (with a module that is not ours) elsewhere.
    """

    digest: str
    uses: frozenset[Name]


class Module:
    """One module's text, taken apart."""

    def __init__(self, name: str, text: str, content: Content, is_module: IsModule) -> None:
        self.name, self._content, self._is_module = name, content, is_module
        self.tree, self.lines = ast.parse(text), text.splitlines()
        self.bindings: dict[str, Name] = {}
        self.statements: dict[str, list[ast.stmt]] = {}
        self.loose: list[ast.stmt] = []  # run when the module is imported, whatever is used of it
        for statement in self.tree.body:
            self._sort(statement)

    def _sort(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.bindings.update(_bindings(statement, self.name))
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for each in statement.body:
                self._sort(each)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.statements.setdefault(statement.name, []).append(statement)
        elif targets := _targets(statement):
            for target in targets:
                self.statements.setdefault(target, []).append(statement)
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            self.loose.append(statement)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """Return everything that the module defines, by name."""
        return {name: self._made([*statements, *self.loose]) for name, statements in self.statements.items()}

    @cached_property
    def whole(self) -> Unit:
        """Return the module as one unit, for whoever uses it by more than a name."""
        return self._made(self.tree.body)

    def _made(self, statements: list[ast.stmt]) -> Unit:
        uses: set[Name] = set()
        files: set[str] = set()
        for statement in statements:
            nodes = list(ast.walk(statement))
            local = dict(self.bindings)
            for node in nodes:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    local.update(_bindings(node, self.name))
            bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
            for node in nodes:
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    uses.update(self._attribute(local, node.value.id, node.attr))
                elif isinstance(node, ast.Name) and id(node) not in bases:
                    uses.update(self._named(local, node.id))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    files.update(filter(None, [self._content(self.name, node.value)]))
                for annotation in _annotations(node):
                    uses.update(self._quoted(local, annotation))
        text = "\n".join(self._text(statement) for statement in statements)
        return Unit(sha256("\n".join([text, *sorted(files)])), frozenset(uses))

    def _text(self, statement: ast.stmt) -> str:
        """Return the lines of a statement without docstrings, comments of their own line and empty lines."""
        first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
        left_out: set[int] = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
                left_out.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        kept = (
            (number, self.lines[number - 1].rstrip()) for number in range(first, (statement.end_lineno or first) + 1)
        )
        return "\n".join(
            line for number, line in kept if number not in left_out and line and not line.lstrip().startswith("#")
        )

    def _named(self, local: dict[str, Name], name: str) -> Iterator[Name]:
        if name in local:
            yield local[name]
        elif name in self.statements:
            yield Name(self.name, name)

    def _attribute(self, local: dict[str, Name], base: str, attribute: str) -> Iterator[Name]:
        bound = local.get(base)
        if bound is None:
            yield from self._named(local, base)
        elif not bound.name or self._is_module(f"{bound.module}.{bound.name}"):
            module = bound.module if not bound.name else f"{bound.module}.{bound.name}"
            yield Name(module, attribute)
        else:
            yield bound

    def _quoted(self, local: dict[str, Name], annotation: ast.expr) -> Iterator[Name]:
        """Yield what an annotation names in quotation marks."""
        for quoted in ast.walk(annotation):
            if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
                with suppress(SyntaxError):  # a word of a Literal
                    for node in ast.walk(ast.parse(quoted.value, mode="eval")):
                        if isinstance(node, ast.Name):
                            yield from self._named(local, node.id)


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
        yield node.annotation
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
        yield node.returns


def _bindings(statement: ast.Import | ast.ImportFrom, module: str) -> dict[str, Name]:
    if isinstance(statement, ast.ImportFrom):
        return {each.asname or each.name: Name(statement.module or module, each.name) for each in statement.names}
    found = {}
    for each in statement.names:
        if each.asname:
            found[each.asname] = Name(each.name, "")
        else:  # `import a.b` binds a, and whatever is used of it lies below
            found[each.name.split(".")[0]] = Name(each.name, "")
    return found


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        nodes = [node for target in statement.targets for node in ast.walk(target)]
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        nodes = list(ast.walk(statement.target))
    else:
        return []
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def sha256(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
