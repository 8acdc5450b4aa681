"""What a function is made of: its own text, that of everything of ours that it may call, and the libraries behind them.

What lives here: following names from function to function through the package's sources, and the digests of what was
met. What does not: taking a module apart (`code_units.py`), what the digests are used for (`made.py`).

Nothing is run or imported. A name stands for the function, class or constant that it names where it is used, whole: a
class counts with all its methods, an annotation like a call, a file that a text names and that lies beside the module
with its content. So what counts is never less than what is used, and sometimes more. Comments and docstrings do not
count.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from types import FunctionType
from typing import Any

from olvf_assets.foundation.code_kept import Found, KeptCode, file_beside, state_of
from olvf_assets.foundation.code_units import Module, Name, Unit, sha256
from olvf_assets.foundation.errors import OlvfError

PACKAGE = Path(__file__).resolve().parents[1]
DATA_SUFFIXES = (".yaml", ".csv", ".json", ".html", ".jinja", ".toml", ".sql", ".txt")
# What looks at code makes nothing: where it finds out another thing than before, the digests themselves are others.
# Nor does what decides where work runs: the same is made here and on a cluster, whatever the cluster's libraries.
LOOKING = (
    "foundation.code_identity", "foundation.code_kept", "foundation.code_units", "foundation.table_code",
    "foundation.engine",
)  # fmt: skip
PLAIN = (str, bytes, int, float, bool, type(None))


class UnknownCodeError(OlvfError):
    """A function cannot be followed to its text: it is built at run time from something that has no name."""


@dataclass(frozen=True)
class Made:
    """What a function is made of.

    Attributes:
        digests: by name, of everything of ours.
        libraries: the distributions behind it, with their versions.
        settings: what it may read of a profile, at the first level: seed, evaluation, ...
    """

    digests: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)

    def __or__(self, other: "Made") -> "Made":
        """Return what two functions are made of together."""
        settings = sorted({*self.settings, *other.settings})
        return Made(self.digests | other.digests, self.libraries | other.libraries, settings)

    def to_keep(self) -> Found:
        """Return what is kept of it for later processes: the arguments that make it."""
        return self.digests, self.libraries, self.settings


class Sources:
    """The texts of a package as they are now; what is changed on disk later is not seen.

    Args:
        folder: of the package.
        kept_in: a file for what is found out, for later processes; None: nothing is kept.
    """

    def __init__(self, folder: Path = PACKAGE, kept_in: Path | None = None) -> None:
        self.folder, self.package = folder, folder.name
        self._looking = tuple(f"{self.package}.{name}" for name in LOOKING)
        self._texts: dict[str, str] = {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            self._texts[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
        self._modules: dict[str, Module] = {}
        self._met: dict[Name, frozenset[Name]] = {}
        self._own = frozenset(self._texts)
        self.kept = KeptCode() if kept_in is None else KeptCode(kept_in, state_of(self._texts, self._data_files()))

    def of(self, function: Callable[..., Any]) -> Made:
        """Return what a function of the package is made of, values that it closes over included.

        Raises:
            UnknownCodeError: it closes over something that is neither plain nor a function of the package.
        """
        if not isinstance(function, FunctionType):
            raise UnknownCodeError(f"{function!r} is no plain function")
        names, values = set[Name](), list[str]()
        for each in _functions(function):
            names.add(Name(each.__module__, each.__qualname__.split(".")[0]))
            values += [
                f"{name}={_plain(value, each)}"
                for name, value in _closed_over(each)
                if not isinstance(value, FunctionType)
            ]
        key = sha256(repr([function.__module__, function.__qualname__, sorted(names), values]))
        ours = all(name.module in self._own for name in names)
        if ours and (known := self.kept.find(key)) is not None:
            return Made(*known)
        made = self._followed(function, names, values)
        if ours:
            self.kept.note(key, made.to_keep())
        return made

    def _followed(self, function: FunctionType, names: set[Name], values: list[str]) -> Made:
        for name in names:
            self._know(name.module)
        made = self.named(names)
        if values:
            made.digests[f"{function.__module__}:{function.__qualname__} closes over"] = sha256("\n".join(values))
        return made

    def named(self, names: Iterable[Name]) -> Made:
        """Return what functions, classes or constants of the package are made of."""
        met = frozenset[Name]().union(*(self._reached(name) for name in names))
        ours = sorted(name for name in met if self._is_ours(name.module))
        digests = {f"{each.module}:{each.name}": self._unit(each).digest for each in ours}
        tops = {name.module.split(".")[0] for name in met if not self._is_ours(name.module)}
        settings = {setting for each in ours for setting in self._unit(each).settings}
        return Made(digests, _versions(frozenset(tops)), sorted(settings))

    def defines(self, name: Name) -> bool:
        """Return whether a module of the package defines a name."""
        return name.module in self._texts and name.name in self._module(name.module).units

    def _reached(self, start: Name) -> frozenset[Name]:
        if start not in self._met:
            found, todo = {start}, [start]
            while todo:
                name = todo.pop()
                if self._is_ours(name.module):
                    new = {each for use in self._unit(name).uses for each in self._resolved(use)} - found
                    found |= new
                    todo += new
            self._met[start] = frozenset(found)
        return self._met[start]

    def _resolved(self, use: Name) -> Iterator[Name]:
        """Yield what a name stands for, followed through the modules that only pass it on."""
        if use.module.startswith(self._looking):
            return
        if not self._is_ours(use.module):
            yield use
        elif f"{use.module}.{use.name}" in self._texts:
            yield Name(f"{use.module}.{use.name}", "")
        elif use.name and (passed_on := self._module(use.module).bindings.get(use.name)) is not None:
            if use.name not in self._module(use.module).units:
                yield from self._resolved(passed_on)
            else:
                yield use
        else:
            yield use

    def _unit(self, name: Name) -> Unit:
        module = self._module(name.module)
        if name.name in module.units:
            return module.units[name.name]
        return module.whole

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            if name not in self._texts:
                raise UnknownCodeError(f"{name} is no module of {self.package}")
            self._modules[name] = Module(name, self._texts[name], self._content, self._texts.__contains__)
        return self._modules[name]

    def _is_ours(self, module: str) -> bool:
        return module in self._texts or module.startswith(self.package + ".")

    def _know(self, module: str) -> None:
        """Take the module of somebody's own table for one of the package."""
        file = getattr(sys.modules.get(module), "__file__", None)
        if module not in self._texts and file is not None:
            self._texts[module] = Path(file).read_text(encoding="utf-8")

    def _data_files(self) -> dict[str, bytes]:
        """Return what `_content` may come upon."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.name.endswith(DATA_SUFFIXES) and path.parent.name != "__pycache__"
        }

    def _content(self, module: str, name: str) -> str | None:
        """Return the digest of a data file of this name beside a module or above it; None if there is none."""
        if not name.endswith(DATA_SUFFIXES) or "/" in name or len(name) > 100:
            return None
        folder = self.folder.parent.joinpath(*module.split("."))
        for place in (folder, *folder.parents):
            if (place / name).is_file():
                return hashlib.sha256((place / name).read_bytes()).hexdigest()
            if place == self.folder:
                break
        return None


@lru_cache
def sources() -> Sources:
    """Return the texts of this program as they were when this process first asked for them."""
    return Sources(kept_in=file_beside(__file__))


def codes_of_functions(functions: Iterable[Callable[..., Any]]) -> list[Made]:
    """Return what each of some functions of the package is made of, and keep it for later processes."""
    codes = [sources().of(each) for each in functions]
    sources().kept.save()
    return codes


@lru_cache
def code_digest(function: str, *, without: tuple[str, ...] = (), libraries: bool = True) -> str:
    """Return the digest of what a function is made of, for whoever keeps what it made.

    Args:
        function: `module:name`; it is not imported.
        without: modules, with all that lies below them, whose text does not count.
        libraries: count the versions of the libraries behind it, too.

    Raises:
        UnknownCodeError: there is no such function.
    """
    if (known := sources().kept.find(function)) is not None:
        made = Made(*known)
    else:
        name = Name(*function.split(":"))
        if not sources().defines(name):
            raise UnknownCodeError(f"{function} is not there")
        made = sources().named([name])
        sources().kept.note(function, made.to_keep())
        sources().kept.save()
    counts = {
        key: digest
        for key, digest in made.digests.items()
        if not f"{key.split(':')[0]}.".startswith(tuple(f"{each}." for each in without))
    }
    versions = made.libraries if libraries else {}
    return sha256(repr((sorted(counts.items()), sorted(versions.items()))))


def _functions(function: FunctionType) -> Iterator[FunctionType]:
    """Yield a function and those that it closes over."""
    yield function
    for _, value in _closed_over(function):
        if isinstance(value, FunctionType):
            yield from _functions(value)


def _closed_over(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents


def _plain(value: object, function: FunctionType) -> str:
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"({', '.join(_plain(each, function) for each in value)})"
    if isinstance(value, dict):
        return _plain(sorted(value.items()), function)
    raise UnknownCodeError(f"{function.__module__}.{function.__qualname__} closes over a {type(value).__name__}")


@lru_cache
def _versions(tops: frozenset[str]) -> dict[str, str]:
    """Return the versions of the distributions that give these modules, and of all that they need themselves."""
    found: dict[str, str] = {}
    todo = [name for top in tops for name in _distributions().get(top, ())]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
        needed = (each for each in requires(name) or () if "extra ==" not in each)
        todo += [_canonical(each) for each in needed]
    return found


@lru_cache
def _distributions() -> dict[str, list[str]]:
    return {top: [_canonical(each) for each in names] for top, names in packages_distributions().items()}


def _canonical(requirement: str) -> str:
    name = ""
    for letter in requirement:
        if not (letter.isalnum() or letter in "-_."):
            break
        name += letter
    return name.lower().replace("_", "-").replace(".", "-")
