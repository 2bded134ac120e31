"""`rppbench data prepare`: from broken connections, by safe archives, to a set that checks out."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import signal
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.roots.coop_root import Make, split_of

from rppbench.cli import main
from rppbench.contracts.dataset import SourceFile
from rppbench.data import archives, download, prepare
from rppbench_datasets.coop.dtd import DescribableTextures

Files = dict[str, bytes]


def nothing(done: int, total: int) -> None:
    """A `ReportProgress` that shows nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Serves bytes from memory with ranges; drops the connection where it is log to."""

    def __init__(self, files: Files) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.drops: list[int] = []
        """Bytes after which the next answers break off."""
        self.asked: list[str | None] = []
        self.tag = '"one"'

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, span = self.server.files.get(self.path[1:]), self.headers.get("Range")
        self.server.asked.append(span)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if span and self.headers.get("If-Range") == self.server.tag:
            start = int(span.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.server.tag)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + self.server.drops.pop(0) if self.server.drops else len(content)
        self.wfile.write(content[start:stop])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Files], Server]]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    running: list[Server] = []

    def start(files: Files) -> Server:
        server = Server(files)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def tar(files: Files, mode: str = "w:gz", top: str = "") -> bytes:
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode=mode) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{top}{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()


def test_a_broken_connection_is_resumed(tmp_path: Path, serve: Callable[..., Server]) -> None:
    content = os.urandom(300_000)
    server = serve({"x": content})
    server.drops = [100_000, 50_000]
    download.fetch(server.url("x"), tmp_path / "x", nothing)
    assert (tmp_path / "x").read_bytes() == content
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert os.listdir(tmp_path) == ["x"]


def test_what_came_is_kept_for_the_next_time(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    server = serve({"x": b"0123456789"})
    server.drops = [4, 0]
    with pytest.raises(download.FetchError, match="4 bytes are kept"):
        download.fetch(server.url("x"), tmp_path / "x", nothing)
    assert not (tmp_path / "x").exists()
    server.drops = []
    download.fetch(server.url("x"), tmp_path / "x", nothing)
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve({"x": b"old old old"})
    monkeypatch.setattr(download, "TRIES", 1)
    server.drops = [5, 0]
    with pytest.raises(download.FetchError):
        download.fetch(server.url("x"), tmp_path / "x", nothing)
    server.drops, server.tag, server.files = [], '"two"', {"x": b"new"}
    download.fetch(server.url("x"), tmp_path / "x", nothing)
    assert (tmp_path / "x").read_bytes() == b"new"


def test_space_is_looked_at_first(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RESERVE", 2**60)
    with pytest.raises(Exception, match="are free"):
        download.fetch(serve({"x": b"1"}).url("x"), tmp_path / "x", nothing)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd"])
def test_only_the_web_is_fetched(address: str, tmp_path: Path) -> None:
    with pytest.raises(download.FetchError, match="only http"):
        download.fetch(address, tmp_path / "x", nothing)


def special(kind: bytes, name: str, target: str = "", mode: int = 0o644) -> bytes:
    """A tar of one empty member that may be a link or a device."""
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, mode
            archive.addfile(info)
        return out.getvalue()


def zipped(files: Files, mode: int = 0o100644) -> bytes:
    with io.BytesIO() as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        return out.getvalue()


OUT, LINK, KIND = "a path that leads out", "which leads out of its folder", "not a regular file"
HOSTILE = {
    "parent": (tar({"../out": b"1"}), OUT),
    "parent-folder": (special(tarfile.DIRTYPE, "../out"), OUT),
    "absolute": (tar({"/tmp/out": b"1"}), OUT),
    "windows": (zipped({"C:\\out": b"1"}), OUT),
    "backslash": (zipped({"a\\..\\..\\out": b"1"}), OUT),
    "zip-parent": (zipped({"a/../../out": b"1"}), OUT),
    "absolute-link": (special(tarfile.SYMTYPE, "a", "/etc"), LINK),
    "outside-link": (special(tarfile.SYMTYPE, "a/b", "../../out"), LINK),
    "inside-link": (special(tarfile.SYMTYPE, "a/b", "../c"), KIND),
    "absolute-hard-link": (special(tarfile.LNKTYPE, "a", "/etc/passwd"), LINK),
    "outside-hard-link": (special(tarfile.LNKTYPE, "a", "../../out"), LINK),
    "inside-hard-link": (special(tarfile.LNKTYPE, "a", "b"), KIND),
    "character-device": (special(tarfile.CHRTYPE, "a"), KIND),
    "block-device": (special(tarfile.BLKTYPE, "a"), KIND),
    "fifo": (special(tarfile.FIFOTYPE, "a"), KIND),
    "zip-symlink": (zipped({"a": b"/etc/passwd"}, 0o120777), KIND),
    "control": (tar({"a\n": b"1"}), "unprintable"),
    "file-as-folder": (tar({"a": b"1", "a/b": b"2"}), "cannot unpack"),
    "truncated": (tar({"a": os.urandom(9_000)})[:4_000], "is damaged"),
    "no-files": (tar({}), "holds no files"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_and_nothing_leaves_the_folder(
    name: str, tmp_path: Path
) -> None:
    archive, to = tmp_path / "archive", tmp_path / "deep" / "to"
    content, reason = HOSTILE[name]
    archive.write_bytes(content)
    with pytest.raises(archives.ArchiveError, match=reason):
        archives.unpack(archive, to, nothing)
    outside = [path for path in tmp_path.rglob("*") if to not in path.parents]
    assert {path.name for path in outside} == {"archive", "deep", "to"}
    assert not [path for path in to.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(
    "content", [special(tarfile.REGTYPE, "a", mode=0o6777), zipped({"a": b""}, 0o106777)]
)
def test_no_file_comes_out_with_special_rights(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(content)
    archives.unpack(tmp_path / "archive", tmp_path / "to", nothing)
    assert not (tmp_path / "to" / "a").stat().st_mode & 0o7111, "setuid, setgid, executable"


@pytest.mark.parametrize("pack", [zipped, tar])
def test_a_bomb_is_refused_before_it_fills_the_disk(
    pack: Callable[[Files], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SLACK", 1_000)
    archive = tmp_path / "bomb"
    archive.write_bytes(pack({"a": bytes(5_000_000)}))
    with pytest.raises(archives.ArchiveError, match="times its size"):
        archives.unpack(archive, tmp_path / "to", nothing)
    assert sum(p.stat().st_size for p in (tmp_path / "to").rglob("*") if p.is_file()) < 1_000_000


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBERS", 2)
    (tmp_path / "a").write_bytes(tar({"1": b"", "2": b"", "3": b""}))
    with pytest.raises(archives.ArchiveError, match="more than 2"):
        archives.unpack(tmp_path / "a", tmp_path / "to", nothing)


def test_names_of_all_alphabets_and_cases_come_out_as_they_are(tmp_path: Path) -> None:
    files = {"Größe/A.JPG": b"1", "größe/a.jpg": b"2", "猫/é.png": b"3"}
    for number, pack in enumerate((tar, zipped)):
        (tmp_path / "x").write_bytes(pack(files))
        to = tmp_path / str(number)
        archives.unpack(tmp_path / "x", to, nothing)
        assert {str(p.relative_to(to)): p.read_bytes() for p in to.rglob("*.*")} == files


@pytest.fixture
def textures(
    small: Make, tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A server that has the small DTD, which its facts now point to."""
    small("dtd")
    split = (tmp_path / "root/dtd" / DescribableTextures.split_file).read_bytes()
    with io.BytesIO() as out:
        Image.new("RGB", (9, 8)).save(out, "JPEG")
        picture = out.getvalue()
    rows = [row for rows in split_of("dtd").values() for row in rows]
    archive = tar({f"images/{path}": picture for path, _, _ in rows}, top="dtd/")
    server = serve({"dtd-r1.0.1.tar.gz": archive, DescribableTextures.split_file: split})
    digest = hashlib.md5(archive).hexdigest()
    sources = (
        SourceFile(server.url("dtd-r1.0.1.tar.gz"), "dtd/images", "dtd", "dtd", md5=digest),
        SourceFile(
            server.url(DescribableTextures.split_file), f"dtd/{DescribableTextures.split_file}"
        ),
    )
    monkeypatch.setattr(DescribableTextures, "sources", sources)
    return server


def test_prepare_fetches_unpacks_and_checks(textures: Server, tmp_path: Path) -> None:
    textures.drops = [700]
    assert main(["data", "prepare", "dtd", "--to", str(tmp_path / "new")]) == 0
    assert os.listdir(tmp_path / "new") == ["dtd"], "nothing else is left"
    assert main(["data", "prepare", "dtd", "--to", str(tmp_path / "new")]) == 0
    assert len(textures.asked) == 3, "what is there is not fetched again"


def test_an_interrupted_prepare_leaves_nothing_that_looks_complete_and_resumes(
    textures: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data", "prepare", "dtd", "--to", str(tmp_path / "new")]
    check = ["data", "check", "dtd", "--data", str(tmp_path / "new")]
    write, calls = archives._write, []

    def interrupted(*arguments: object) -> int:
        calls.append(1)
        if len(calls) == 20:
            signal.raise_signal(signal.SIGINT)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "_write", interrupted)
    assert main(words) == 130
    assert not (tmp_path / "new" / "dtd").exists()
    assert main(check) == 1
    assert main(words) == 0
    assert main(check) == 0
    assert len(textures.asked) == 2, "the archive was there already"


def test_a_wrong_digest_is_reported_and_the_file_not_used(
    textures: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    textures.files["dtd-r1.0.1.tar.gz"] = tar({"images/a/1.jpg": b"1"}, top="dtd/")
    assert main(["data", "prepare", "dtd", "--to", str(tmp_path / "new")]) == 1
    assert "has the md5" in capsys.readouterr().out
    assert not (tmp_path / "new" / "dtd" / "images").exists()


def test_an_existing_file_is_never_written_to(textures: Server, tmp_path: Path) -> None:
    kept = tmp_path / "new" / "dtd" / "images" / "banded" / "mine.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert main(["data", "prepare", "dtd", "--to", str(tmp_path / "new")]) == 1
    assert [path.name for path in (tmp_path / "new/dtd/images").rglob("*.*")] == ["mine.txt"]
    assert kept.read_text() == "mine"
    assert (tmp_path / "new/dtd" / DescribableTextures.split_file).is_file(), "it was lacking"


@pytest.mark.parametrize("form", ["named", "whole", "folder", "mirror"])
def test_prepare_takes_what_the_user_has(form: str, textures: Server, tmp_path: Path) -> None:
    have = tmp_path / "have"
    have.mkdir()
    archive = textures.files["dtd-r1.0.1.tar.gz"]
    (have / "x.bin").write_bytes(archive)
    place = have / "x.bin"
    if form == "named":
        place = place.rename(have / "dtd-r1.0.1.tar.gz")
    elif form == "folder":
        archives.unpack(place, have / "unpacked", nothing)
        place = have / "unpacked"
    elif form == "mirror":
        for name, content in textures.files.items():
            (have / name).write_bytes(content)
        place = have
    words = ["data", "prepare", "dtd", "--from", str(place), "--to", str(tmp_path / "new")]
    assert main(words) == 0
    assert len(textures.asked) == (0 if form == "mirror" else 1), "only what is lacking is fetched"


def test_a_digest_of_the_users_own_counts(textures: Server, tmp_path: Path) -> None:
    file = tmp_path / "dtd-r1.0.1.tar.gz"
    file.write_bytes(textures.files[file.name] + bytes(512))
    words = ["data", "prepare", "dtd", "--from", str(file), "--to", str(tmp_path / "new")]
    assert main(words) == 2, "not the known file"
    assert main([*words, "--sha256", "0" * 64]) == 2
    assert main([*words, "--sha256", hashlib.sha256(file.read_bytes()).hexdigest()]) == 0


def test_a_place_that_cannot_be_written_is_reported(
    textures: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["data", "prepare", "dtd", "--to", str(tmp_path / "file" / "x")]) == 2
    assert "cannot write below" in capsys.readouterr().err


def test_a_folder_with_a_link_out_of_it_is_refused(textures: Server, tmp_path: Path) -> None:
    (tmp_path / "have" / "images").mkdir(parents=True)
    (tmp_path / "have" / "images" / "x.jpg").symlink_to("/etc/passwd")
    words = ["data", "prepare", "dtd", "--from", str(tmp_path / "have")]
    assert main([*words, "--to", str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new" / "dtd").exists()


def test_known_addresses_are_those_of_torchvision() -> None:
    """Its files are read, not imported: that takes seconds."""
    from importlib.util import find_spec

    from support.roots.coop_root import KINDS

    spec = find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    texts = [path.read_text() for path in Path(spec.origin).parent.glob("datasets/*.py")]
    for name in ("caltech101", "oxford_pets", "food101", "sun397", "dtd", "eurosat"):
        first = KINDS[name].sources[0]
        assert any(first.md5 in text and first.filename in text for text in texts), name


def test_two_at_once_do_not_disturb_each_other(textures: Server, tmp_path: Path) -> None:
    with prepare._scratch(tmp_path, "dtd"):
        assert main(["data", "prepare", "dtd", "--to", str(tmp_path)]) == 2
