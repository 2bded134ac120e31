"""The table of file contents: what is read again, and what is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from rppbench.files import content_table
from rppbench.files.content_table import ContentTable


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The places that are read; files count as settled at once."""
    places: list[object] = []
    read = content_table._read

    def watched(place: content_table.Place) -> content_table.Seen:
        places.append(place)
        return read(place)

    monkeypatch.setattr(content_table, "_read", watched)
    monkeypatch.setattr(content_table, "SETTLED_NS", -(10**18))
    return places


def digest(content: bytes) -> bytes:
    return sha256(content).digest()


def touch_back(path: Path, change: Callable[[], object]) -> None:
    """Make a change and set the file's times back."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_only_what_may_have_changed_is_read_again(tmp_path: Path, reads: list[object]) -> None:
    table, folder = ContentTable(tmp_path / "cache"), tmp_path / "data"
    folder.mkdir()
    paths = [folder / name for name in ("a", "b", "c", "d", os.fsdecode(b"\xff.png"))]
    for path in paths:
        path.write_bytes(b"old " + os.fsencode(path.name)[-1:])
    texts = list(map(str, paths))
    first = table.look(texts)
    assert {text: seen[0] for text, seen in first.items()} == {
        str(path): digest(path.read_bytes()) for path in paths
    }
    assert sorted(map(str, reads)) == sorted(texts)
    reads.clear()
    assert table.look(texts) == first
    assert reads == []
    paths[0].write_bytes(b"new a")
    touch_back(paths[1], lambda: paths[1].write_bytes(b"new b"))
    (tmp_path / "other").write_bytes(b"new c")
    touch_back(paths[2], lambda: os.replace(tmp_path / "other", paths[2]))
    paths[3].unlink()
    second = table.look(texts)
    assert [second[text][0] for text in texts] == [
        *(digest(b"new " + name) for name in (b"a", b"b", b"c")),
        b"",
        digest(b"old g"),
    ]
    assert sorted(map(str, reads)) == sorted(texts[:4])


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path, reads: list[object]) -> None:
    table = ContentTable(tmp_path / "cache")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image").write_bytes(name.encode())
        os.utime(tmp_path / name / "image", ns=(0, 0))
    folder, link = tmp_path / "folder", tmp_path / "two" / "link"
    folder.symlink_to(tmp_path / "one")
    link.symlink_to(tmp_path / "one" / "image")
    through = str(folder / "image")
    assert table.look([through, str(link)])[through][0] == digest(b"one")
    folder.unlink()
    folder.symlink_to(tmp_path / "two")
    link.unlink()
    link.symlink_to(tmp_path / "two" / "image")
    seen = table.look([through, str(link)])
    assert {content for content, _ in seen.values()} == {digest(b"two")}


def test_parts_of_a_file_have_digests_of_their_own(tmp_path: Path, reads: list[object]) -> None:
    table, path = ContentTable(tmp_path / "cache"), tmp_path / "0.tar"
    path.write_bytes(b"abcdefgh")
    places: list[content_table.Place] = [(str(path), 0, 3), (str(path), 3, 3), str(path)]
    contents = [digest(b"abc"), digest(b"def"), digest(b"abcdefgh")]
    assert [table.look(places)[place][0] for place in places] == contents
    reads.clear()
    assert [table.look(places)[place][0] for place in places] == contents
    assert reads == []
    touch_back(path, lambda: path.write_bytes(b"abcdeFgh"))
    assert [table.look(places)[place][0] for place in places] == [
        digest(b"abc"),
        digest(b"deF"),
        digest(b"abcdeFgh"),
    ]


def test_a_file_that_was_written_just_now_may_change_unnoticed_and_is_read_again(
    tmp_path: Path, reads: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within one tick of the clock give a file the same times."""
    monkeypatch.setattr(content_table, "SETTLED_NS", 2 * 10**9)
    table, path = ContentTable(tmp_path / "cache"), tmp_path / "image"
    path.write_bytes(b"one")
    assert table.look([str(path)]) == {str(path): (digest(b"one"), None)}
    assert table.look([str(path)]) == {str(path): (digest(b"one"), None)}
    assert len(reads) == 2
    assert list(table.changed([(str(path), (digest(b"one"), None))])) == []
    assert list(table.changed([(str(path), (digest(b"two"), None))])) == [str(path)]


def test_trust_and_since(tmp_path: Path, reads: list[object]) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"one")
    cache = tmp_path / "cache"
    trusting = ContentTable(cache, trust=True)
    assert trusting.look([str(path)])[str(path)][0] == digest(b"one"), "read if never seen"
    path.write_bytes(b"two")
    assert trusting.look([str(path)])[str(path)][0] == digest(b"one")
    assert ContentTable(cache).look([str(path)])[str(path)][0] == digest(b"two")
    reads.clear()
    anew = ContentTable(cache, since=time.time())
    for _ in range(2):
        assert anew.look([str(path)])[str(path)][0] == digest(b"two")
    assert len(reads) == 1


def test_several_processes_may_use_it_and_none_needs_it(
    tmp_path: Path, reads: list[object]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    texts = [str(folder / f"{number}") for number in range(40)]
    for text in texts:
        Path(text).write_text(text)
    expected = {text: digest(text.encode()) for text in texts}
    results: list[dict[object, bytes]] = []

    def look() -> None:
        seen = ContentTable(tmp_path / "cache").look(texts)
        results.append({place: content for place, (content, _) in seen.items()})

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 6
    reads.clear()
    (tmp_path / "file").write_text("a file, not a folder")
    nowhere = ContentTable(tmp_path / "file" / "below")
    assert {place: content for place, (content, _) in nowhere.look(texts).items()} == expected
    assert len(reads) == 40


def test_a_kept_list_says_which_entries_differ(tmp_path: Path) -> None:
    table = ContentTable(tmp_path)
    digests = [digest(b"%d" % number) for number in range(4)]
    table.keep_list("all", digests)
    assert table.differing("all", digests) == []
    assert table.differing("all", [*digests[:2], b"", digests[0]]) == [2, 3]
    assert table.differing("all", digests[:3]) is None
    assert table.differing("none", digests) is None
