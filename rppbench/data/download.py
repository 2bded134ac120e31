"""Downloads over HTTP: resumed after a broken connection, checked against digests.

An incomplete file never has the final name. torchvision's own helper starts over after every broken
connection, so it is only used for Google Drive, whose download pages it can get past.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rppbench import __version__
from rppbench.contracts.dataset import ReportProgress, SourceFile
from rppbench.errors import UsageError

BLOCK = 2**20
TIMEOUT = 60.0
"""Seconds without a byte before the connection counts as broken."""
TRIES = 5
"""Failures in a row, without a byte received, that end a download; the part received is kept."""
PAUSE = 1.0
"""Seconds before the second try; doubled for each further try."""
RESERVE = 2**28
"""Bytes of a disk that must stay free."""
DRIVE = "drive:"


class FetchError(UsageError):
    """A file that could not be fetched, and why."""


def fetch(address: str, to: Path, report: ReportProgress) -> None:
    """Fetch a file, or the rest of it if an earlier call left a part.

    Raises FetchError, and UsageError if the disk is too small.
    """
    if to.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    if address.startswith(DRIVE):
        _from_drive(address.removeprefix(DRIVE), to)
        return
    if urlsplit(address).scheme not in ("http", "https"):
        raise FetchError(f"{address}: only http and https addresses are fetched")
    failures = 0
    while True:
        before = _size(_part(to))
        try:
            _continue(address, to, report)
        except HTTPError as error:
            if error.code < 500:
                raise FetchError(f"{address}: {error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error.reason if isinstance(error, URLError) else error) or repr(error)
        else:
            os.replace(_part(to), to)
            _facts(to).unlink(missing_ok=True)
            return
        failures = 1 if _size(_part(to)) > before else failures + 1
        if failures >= TRIES:
            kept = _size(_part(to))
            raise FetchError(
                f"{address}: {reason}; {kept:,} bytes are kept; the same command "
                "continues from there"
            )
        time.sleep(PAUSE * 2 ** (failures - 1))


def verify(file: Path, source: SourceFile) -> None:
    """FetchError unless a file has the known digests of its source."""
    for name in ("md5", "sha256"):
        wanted = getattr(source, name)
        if not wanted:
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, name).hexdigest()
        if not digest.startswith(wanted.lower()):
            raise FetchError(f"{file.name} has the {name} {digest}, not {wanted}")


def check_space(folder: Path, needed: int, what: str) -> None:
    """UsageError if the disk of `folder` does not have `needed` bytes to spare."""
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise UsageError(
            f"{what} needs {needed / 2**30:.2f} GiB in {folder}, where {free / 2**30:.2f} GiB are "
            f"free ({RESERVE / 2**30:.2f} GiB are kept free); name another folder with --to"
        )


def _continue(address: str, to: Path, report: ReportProgress) -> None:
    """Fetch the rest over one connection; OSError or HTTPException if it breaks.

    The bytes received until then are kept.
    """
    part, have = _part(to), _size(_part(to))
    headers = {"User-Agent": f"rppbench/{__version__}", "Accept-Encoding": "identity"}
    known = _read_facts(to)
    mark = known.get("mark")
    if have and mark and known.get("address") == address:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    else:  # without a mark the rest may belong to another version of the file
        have = 0
    try:
        response = urlopen(Request(address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the part is as long as the file, or longer
            part.unlink(missing_ok=True)
            raise ConnectionError("the file changed while it was fetched") from error
        raise
    with response:
        have = have if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else 0
        if response.headers.get_content_type() == "text/html":
            raise FetchError(f"{address}: answered with a web page instead of a file")
        check_space(to.parent, total - have, to.name)
        facts = {"address": address, "mark": _mark(response.headers)}
        _facts(to).write_text(json.dumps(facts), encoding="utf-8")
        with part.open("ab" if have else "wb") as out:
            while block := response.read(BLOCK):
                if not total:
                    check_space(to.parent, len(block), to.name)
                out.write(block)
                have += len(block)
                report(have, total)
    if have < total:
        raise ConnectionError(f"the connection broke after {have:,} of {total:,} bytes")


def _mark(headers: Any) -> str | None:
    """The server's identifier of this content; a weak tag does not promise the same bytes."""
    tag = headers.get("ETag")
    return headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag


def _from_drive(identity: str, to: Path) -> None:
    page = f"https://drive.google.com/file/d/{identity}/view"
    try:
        import gdown  # noqa: F401
    except ImportError:
        raise FetchError(
            f"{to.name} is on Google Drive, which needs gdown: pip install 'rppbench[data]'; or "
            f"fetch {page} yourself and name the file with --from"
        ) from None
    from rppbench import torchvision_shim  # noqa: F401, I001  before torchvision
    from torchvision.datasets.utils import download_file_from_google_drive

    part = _part(to)
    part.unlink(missing_ok=True)
    try:
        download_file_from_google_drive(identity, os.fspath(part.parent), part.name)
    except Exception as error:  # gdown raises errors of any class, mostly for quotas
        raise FetchError(f"{to.name}: {error}\nsee {page}; --from names your own copy") from error
    os.replace(part, to)


def _part(to: Path) -> Path:
    return to.with_name(f"{to.name}.partial")


def _facts(to: Path) -> Path:
    return to.with_name(f"{to.name}.facts")


def _read_facts(to: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        facts = json.loads(_facts(to).read_text(encoding="utf-8"))
        if isinstance(facts, dict):
            return facts
    return {}


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size
    return 0
