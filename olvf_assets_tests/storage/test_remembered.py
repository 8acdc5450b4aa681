import os
import time
from pathlib import Path

from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.remembered import RememberedFacts, Stamp

OLD = Stamp(10, 1_000_000_000, 1_000_000_000, 7)


class Finder:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, paths: list[str]) -> list[str | None]:
        self.asked += paths
        return [None if path == "nothing" else f"fact of {path}" for path in paths]


def remembered(file: Path) -> RememberedFacts:
    return RememberedFacts(ArtifactStore(file.parent), file.name, str)


def test_a_fact_is_found_once_as_long_as_size_time_and_inode_stay(tmp_path: Path) -> None:
    for stamp, again in ((OLD, []), (OLD._replace(size=11), ["a"]), (OLD._replace(mtime_ns=1), ["a"]),
                         (OLD._replace(ctime_ns=1), ["a"]), (OLD._replace(inode=8), ["a"])):  # fmt: skip
        file = tmp_path / f"{stamp}.parquet"
        assert remembered(file).facts([("a", OLD), ("b", OLD)], Finder()) == ["fact of a", "fact of b"]
        finder = Finder()
        assert remembered(file).facts([("b", OLD), ("a", stamp)], finder) == ["fact of b", "fact of a"]
        assert finder.asked == again


def test_what_could_not_be_found_or_has_just_changed_is_asked_again(tmp_path: Path) -> None:
    young = OLD._replace(ctime_ns=time.time_ns())  # copied just now, with the times of long ago
    for _ in range(2):
        finder = Finder()
        found = remembered(tmp_path / "f.parquet").facts([("nothing", OLD), ("new", young)], finder)
        assert found == [None, "fact of new"]
        assert finder.asked == ["nothing", "new"]


def test_a_file_of_the_future_is_remembered_whichever_of_its_times_lies_there(tmp_path: Path) -> None:
    future_ns = time.time_ns() + 10**17
    for stamp in (OLD._replace(mtime_ns=future_ns), OLD._replace(ctime_ns=future_ns)):
        facts = RememberedFacts(ArtifactStore(tmp_path), f"{stamp}.parquet", str)
        facts.facts([("a", stamp)], Finder())
        again = Finder()
        assert facts.facts([("a", stamp)], again) == ["fact of a"]
        assert again.asked == []


def test_a_file_with_the_times_of_the_one_before_it_is_looked_at_again(tmp_path: Path) -> None:
    """As rsync -a, cp -p and unzip leave it."""
    file = tmp_path / "film.dcm"
    stamps = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        os.utime(file, ns=(1_000_000_000, 1_000_000_000))
        stamps.append(Stamp.of(file.stat()))
    assert stamps[0].mtime_ns == stamps[1].mtime_ns
    assert stamps[0] != stamps[1]


def test_files_that_are_gone_are_forgotten_and_paths_are_kept_by_key_only(tmp_path: Path) -> None:
    facts = RememberedFacts(ArtifactStore(tmp_path), "f.parquet", lambda path: f"key{len(path)}")
    facts.facts([("Yamada", OLD), ("abc", OLD)], Finder())
    facts.facts([("abc", OLD), ("d", OLD)], Finder())
    finder = Finder()
    facts.facts([("Yamada", OLD)], finder)
    assert finder.asked == ["Yamada"]
    assert b"Yamada" not in (tmp_path / "f.parquet").read_bytes().replace(b"fact of Yamada", b"")


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    remembered(file).facts([("a", OLD), ("b", OLD)], Finder())
    whole = file.read_bytes()
    for torn in (b"", b"PAR1 and nothing else", whole[: len(whole) // 2], bytes(len(whole)), whole[:-8] + bytes(8)):
        file.write_bytes(torn)
        finder = Finder()
        assert remembered(file).facts([("a", OLD)], finder) == ["fact of a"]
        assert finder.asked == ["a"]
