"""What a machine keeps of an object store stays within its bound, and what is open stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olvf_assets.storage.node_cache import CacheLimitError, NodeCache


def put(cache: NodeCache, name: str, size: int, *, used_s: float) -> None:
    with cache.passing(name) as passing:
        passing.write_bytes(bytes(size))
        cache.take(passing, name, "mark")
    os.utime(cache.root / name, ns=(round(used_s * 1e9), (cache.root / name).stat().st_mtime_ns))


def names(cache: NodeCache) -> list[str]:
    return sorted(path.name for path in (cache.root / "work").rglob("*") if path.is_file())


def filled(root: Path, limit_bytes: int) -> NodeCache:
    cache = NodeCache(root, 10**9)
    for number, name in enumerate("abcdef"):
        put(cache, f"work/{name}", 100, used_s=1000 + number)
    cache.limit_bytes = limit_bytes
    return cache


@pytest.mark.parametrize(
    ("limit_bytes", "left"), [(600, "abcdef"), (599, "cdef"), (500, "cdef"), (250, "ef"), (100, ""), (0, "")]
)
def test_what_was_used_longest_ago_goes(tmp_path: Path, limit_bytes: int, left: str) -> None:
    cache = filled(tmp_path, limit_bytes)
    assert cache.make_room() == 6 - len(left)
    assert names(cache) == list(left)


def test_what_is_used_again_stays(tmp_path: Path) -> None:
    cache = filled(tmp_path, 500)
    cache.used("work/a")
    cache.make_room()
    assert names(cache) == ["a", "d", "e", "f"]
    assert cache.mark("work/a") == "mark"  # use does not make it another file
    assert cache.mark("work/b") is None


def test_what_this_process_holds_stays(tmp_path: Path) -> None:
    cache = filled(tmp_path, 100)
    cache.hold("work/b")
    cache.hold("work/d")
    assert NodeCache(tmp_path, 100).make_room() == 4  # by another process, as far as the kernel knows
    assert names(cache) == ["b", "d"]


def test_what_a_killed_process_held_may_go(tmp_path: Path) -> None:
    cache = filled(tmp_path, 100)
    script = (
        "import sys; from pathlib import Path; from olvf_assets.storage.node_cache import NodeCache\n"
        "cache = NodeCache(Path(sys.argv[1]), 100); cache.hold('work/b'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        cache.make_room()
        assert names(cache) == ["b"]
        other.kill()
    cache.make_room()
    assert names(cache) == ["b"]  # within the bound
    cache.limit_bytes = 99
    cache.make_room()
    assert names(cache) == []
    assert list((tmp_path / ".users").iterdir()) == []


def test_only_copies_go(tmp_path: Path) -> None:
    cache = filled(tmp_path, 0)
    own = tmp_path / "work" / "ultralytics" / "settings.json"
    own.parent.mkdir()
    own.write_text("{}")
    young, old = tmp_path / ".passing" / "young", tmp_path / ".passing" / "old"
    for each in (young, old):
        each.mkdir()
        (each / "film.png").write_text("half")
    os.utime(old, (time.time() - 200_000,) * 2)
    cache.make_room()
    assert own.exists()
    assert young.exists()
    assert not old.exists()


def test_room_is_made_while_files_come(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 1000)
    for number in range(50):
        put(cache, f"work/{number:02}", 100, used_s=1000 + number)
        assert sum(path.stat().st_size for path in (tmp_path / "work").iterdir()) <= 1000 + 100
    assert "49" in names(cache)


def test_a_copy_is_of_its_mark_only_while_it_is_untouched(tmp_path: Path) -> None:
    cache = filled(tmp_path, 10**6)
    assert cache.mark("work/a") == "mark"
    (tmp_path / "work" / "a").write_bytes(bytes(100))
    assert cache.mark("work/a") is None
    (tmp_path / ".marks" / "work" / "b").write_text("torn")
    assert cache.mark("work/b") is None
    assert cache.mark("work/none") is None


def test_the_bound_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NodeCache(tmp_path).limit_bytes == 20 * 2**30
    monkeypatch.setenv("OLVF_CACHE_GIB", "0.5")
    assert NodeCache(tmp_path).limit_bytes == 2**29
    monkeypatch.setenv("OLVF_CACHE_GIB", "much")
    with pytest.raises(CacheLimitError, match="OLVF_CACHE_GIB"):
        NodeCache(tmp_path)
