import time
from pathlib import Path

from olvf_assets.foundation.remembered import RememberedFacts, Stamp

OLD = Stamp(10, 1_000_000_000, 7)


class Finder:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, paths: list[str]) -> list[str | None]:
        self.asked += paths
        return [None if path == "nothing" else f"fact of {path}" for path in paths]


def test_a_fact_is_found_once_as_long_as_size_time_and_inode_stay(tmp_path: Path) -> None:
    for stamp, again in ((OLD, []), (OLD._replace(size=11), ["a"]), (OLD._replace(mtime_ns=1), ["a"]),
                         (OLD._replace(inode=8), ["a"])):  # fmt: skip
        file = tmp_path / f"{stamp}.parquet"
        assert RememberedFacts(file, str).facts([("a", OLD), ("b", OLD)], Finder()) == ["fact of a", "fact of b"]
        finder = Finder()
        assert RememberedFacts(file, str).facts([("b", OLD), ("a", stamp)], finder) == ["fact of b", "fact of a"]
        assert finder.asked == again


def test_what_could_not_be_found_or_has_just_changed_is_asked_again(tmp_path: Path) -> None:
    young = Stamp(1, time.time_ns(), 1)
    for _ in range(2):
        finder = Finder()
        found = RememberedFacts(tmp_path / "f.parquet", str).facts([("nothing", OLD), ("new", young)], finder)
        assert found == [None, "fact of new"]
        assert finder.asked == ["nothing", "new"]


def test_files_that_are_gone_are_forgotten_and_paths_are_kept_by_key_only(tmp_path: Path) -> None:
    facts = RememberedFacts(tmp_path / "f.parquet", lambda path: f"key{len(path)}")
    facts.facts([("Yamada", OLD), ("abc", OLD)], Finder())
    facts.facts([("abc", OLD), ("d", OLD)], Finder())
    finder = Finder()
    facts.facts([("Yamada", OLD)], finder)
    assert finder.asked == ["Yamada"]
    assert b"Yamada" not in (tmp_path / "f.parquet").read_bytes().replace(b"fact of Yamada", b"")


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"PAR1 and nothing else")
    assert RememberedFacts(tmp_path / "f.parquet", str).facts([("a", OLD)], Finder()) == ["fact of a"]
