"""What a YOLO class number means: the class lists that labelling programs write beside box files.

What lives here: reading `classes.txt` (labelImg), `obj.names` and `obj.data` (Darknet), `data.yaml` (ultralytics,
Roboflow) and `notes.json` (Label Studio), and finding the one that holds for a box file. What does not: the box files
themselves (`boxes.formats`), which file names are class lists (`intake.landing.box_names`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from olvf_assets.foundation.vocabulary import LEVELS, OTHER_VERTEBRAE, UNNAMED_BODY
from olvf_assets.intake.landing.box_names import DARKNET_DATA, JSON_LISTS, YAML_LISTS, is_class_list
from olvf_assets.intake.landing.texts import NotTextError, decoded
from olvf_assets.intake.sheets.words import word

LARGEST_LIST_BYTES = 1_000_000
LARGEST_CLASS = 10_000

Levels = Mapping[int, str]  # by class number: the lumbar ones, and other vertebrae that are told apart


class ClassListError(ValueError):
    """A class list cannot be read, or contradicts another (internal: `boxes` names the file)."""


@dataclass(frozen=True)
class ClassLists:
    """The class lists of a landing folder.

    The nearest list holds. Lists of other programs beside or above it must say the same.

    Attributes:
        shown: by real path (posix, relative), the path that messages may show.
        read: returns the content of a real path.
    """

    shown: Mapping[str, str]
    read: Callable[[str], bytes]
    _found: dict[str, Levels | None] = field(default_factory=dict)

    def levels(self, box_file: str) -> Levels | None:
        """Return the level of each class number of a box file, from the lists beside and above it; None without one.

        Raises:
            ClassListError: one of them cannot be read or lacks a level, or two say different things.
        """
        said: dict[str, Levels] = {}
        for folder in PurePosixPath(box_file).parents:
            for path in sorted(self.shown):
                if PurePosixPath(path).parent == folder and (levels := self._levels_of(path)) is not None:
                    said[path] = levels
        first = next(iter(said), "")
        for path, levels in said.items():
            if _lumbar(levels) != _lumbar(said[first]) and PurePosixPath(path).name != PurePosixPath(first).name:
                both = f"{self.shown[first]} and {self.shown[path]}"
                raise ClassListError(f"{both} give the classes different numbers; keep the one that is true")
        return said.get(first)

    def _levels_of(self, path: str) -> Levels | None:
        if path not in self._found:
            try:
                self._found[path] = self._read_list(path)
            except ClassListError as error:
                raise ClassListError(f"{self.shown[path]}: {error}") from None
        return self._found[path]

    def _read_list(self, path: str) -> Levels | None:
        name = PurePosixPath(path).name.casefold()
        content = self.read(path)
        if len(content) > LARGEST_LIST_BYTES:
            raise ClassListError(f"is larger than {LARGEST_LIST_BYTES} bytes; a class list is a few lines")
        try:
            text = decoded(content)
        except NotTextError as error:
            raise ClassListError(f"is no text ({error}); save it as UTF-8") from None
        if name == DARKNET_DATA:
            return self._list_named_by(path, text)
        if name in YAML_LISTS:
            return _levels(_yaml_names(text))
        return _levels(_json_names(text) if name in JSON_LISTS else _line_names(text))

    def _list_named_by(self, path: str, text: str) -> Levels | None:
        """Return the levels of the list that a Darknet `obj.data` names, which lies beside it or just below."""
        pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
        settings = {name.strip(): value.strip() for name, _, value in pairs}
        target = PurePosixPath(settings.get("names", "").replace("\\", "/"))
        beside = PurePosixPath(path).parent
        for each in (beside / target, beside / target.name):
            if str(each) in self.shown and is_class_list(each.name) and each.name.casefold() != DARKNET_DATA:
                return self._levels_of(str(each))
        if settings.get("classes", "5") != "5":
            raise ClassListError("the file of names that it speaks of is missing; add it beside this file")
        return None


def _line_names(text: str) -> dict[int, str]:
    """Return the names by number. An empty line within the list would move all that follow, so it counts."""
    return {number: line.strip() for number, line in enumerate(text.strip("\r\n").splitlines())}


def _yaml_names(text: str) -> dict[int, str]:
    import yaml

    try:
        said = yaml.load(text, Loader=_plain_loader())
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, AttributeError) as error:
        raise ClassListError(f"is not valid YAML without references ({type(error).__name__})") from None
    names = said.get("names") if isinstance(said, dict) else None
    if isinstance(names, list):
        return _named(enumerate(names))
    if isinstance(names, dict):
        return _named(names.items())
    raise ClassListError('has no list "names"; write names: [L1, L2, L3, L4, L5]')


def _plain_loader() -> type:
    """Return a YAML loader that builds plain values and follows no references, which could multiply without end."""
    import yaml

    class PlainLoader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("references are not followed")
            return super().compose_node(parent, index)

    return PlainLoader


def _json_names(text: str) -> dict[int, str]:
    try:
        said = json.loads(text)
        return _named((each["id"], each["name"]) for each in said["categories"])
    except (ValueError, RecursionError, TypeError, KeyError):
        raise ClassListError('is not what Label Studio writes: "categories" with "id" and "name"') from None


def _named(items: Any) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, name in items:
        if not str(number).isdecimal() or len(str(number)) > 6 or not isinstance(name, str):
            raise ClassListError("must give a whole number and a name for each class")
        if int(number) in names or int(number) > LARGEST_CLASS:
            raise ClassListError(f"gives a class number twice, or one above {LARGEST_CLASS}")
        names[int(number)] = name.strip()
    return names


def _levels(names: Mapping[int, str]) -> Levels:
    """Return the lumbar levels among the classes."""
    levels = {number: word("vertebra", name) for number, name in names.items()}
    missing = [level for level in LEVELS if list(levels.values()).count(level) != 1]
    if missing:
        what = f"{', '.join(missing)} must stand there once, spelled so"
        raise ClassListError(f"{what}; list L1 to L5, and other classes (T12, S1) where their numbers are")
    others = {name for name in (*OTHER_VERTEBRAE, UNNAMED_BODY) if list(levels.values()).count(name) == 1}
    return {number: level for number, level in levels.items() if level in LEVELS or level in others}


def _lumbar(levels: Levels) -> Levels:
    return {number: level for number, level in levels.items() if level in LEVELS}
