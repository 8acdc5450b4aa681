"""A module's text, taken apart into what it defines and what each of these names.

What lives here: functions, classes and constants of one module with their digests and uses (ast). What does not:
following uses from module to module (`code_identity.py`).
"""

import ast
import hashlib
from collections.abc import Callable, Iterator, Sequence
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
        settings: what it reads of something that is called `profile`.
    """

    digest: str
    uses: frozenset[Name]
    settings: frozenset[str]


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
        settings: set[str] = set()
        for statement in statements:
            nodes = list(ast.walk(statement))
            local = dict(self.bindings)
            for node in nodes:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    local.update(_bindings(node, self.name))
            bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
            free = _free_names(statement)
            settings |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_profile(node.value)}
            for node in nodes:
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node.value) in free:
                    uses.update(self._attribute(local, node.value.id, node.attr))
                elif isinstance(node, ast.Name) and id(node) in free and id(node) not in bases:
                    uses.update(self._named(local, node.id))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    files.update(filter(None, [self._content(self.name, node.value)]))
                for annotation in _annotations(node):
                    uses.update(self._quoted(local, annotation))
        text = "\n".join(self._text(statement) for statement in statements)
        return Unit(sha256("\n".join([text, *sorted(files)])), frozenset(uses), frozenset(settings))

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


def _is_profile(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name == "profile"


def _free_names(statement: ast.stmt) -> set[int]:
    """Return the identities of the names in a statement that are no parameters or variables of its functions."""
    visitor = _Scopes()
    visitor.visit(statement)
    return visitor.free


class _Scopes(ast.NodeVisitor):
    """Tells names of the module from those of functions; imports within functions count as names of the module."""

    def __init__(self) -> None:
        self.free: set[int] = set()
        self._bound: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if not any(node.id in names for names in self._bound):
            self.free.add(id(node))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        annotations = [each.annotation for each in _parameters(node.args) if each.annotation is not None]
        outside = [*node.decorator_list, *_defaults(node.args), *annotations, *([node.returns] if node.returns else [])]
        for each in outside:
            self.visit(each)
        self._within({*(each.arg for each in _parameters(node.args)), *_variables(node.body)}, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for each in _defaults(node.args):
            self.visit(each)
        self._within({each.arg for each in _parameters(node.args)}, [node.body])

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        targets = {name for each in node.generators for name in _stored(each.target)}
        self.visit(node.generators[0].iter)  # the first is evaluated outside
        self._within(targets, list(ast.iter_child_nodes(node)))

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815 - names of ast

    def _within(self, names: set[str], nodes: Sequence[ast.AST]) -> None:
        self._bound.append(names)
        for each in nodes:
            self.visit(each)
        self._bound.pop()


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*named, *(each for each in (arguments.vararg, arguments.kwarg) if each is not None)]


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [each for each in (*arguments.defaults, *arguments.kw_defaults) if each is not None]


def _variables(body: Sequence[ast.AST]) -> set[str]:
    """Return the names that a function's body binds, not those of functions, classes and comprehensions within it."""
    found: set[str] = set()
    todo, outside = list(body), set[str]()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Global):
            outside.update(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            todo += ast.iter_child_nodes(node)
    return found - outside


def _stored(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


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
