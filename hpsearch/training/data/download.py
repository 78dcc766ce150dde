"""Fetching a public set of images through torchvision, once for all processes."""

from __future__ import annotations

import http.client
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from hpsearch.durable_files import temporary_name

#: The download fails if a server sends nothing for this long.
_SILENCE_SECONDS = 60.0


class DownloadFailed(Exception):
    """The files could not be downloaded; the message is the reason."""


def fetch_once(target: Path, here: Callable[[], bool], fetch: Callable[[Path], None]) -> None:
    """Download files into a folder, unless they are there.

    If several processes call this at once, one downloads and the others wait. The files appear in
    ``target`` only after all of them are complete.

    Args:
        target: The folder; it is created if needed.
        here: Whether ``target`` has the files.
        fetch: Downloads the files into the temporary folder that it gets.

    Raises:
        DownloadFailed: If the network fails, a checksum is wrong, or ``target`` can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f"{target.name}.lock"):
            if here():
                return
            work = temporary_name(target)
            try:
                work.mkdir()
                with _patience():
                    fetch(work)
                for file in sorted(item for item in work.rglob("*") if item.is_file()):
                    place = target / file.relative_to(work)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        # URLError is an OSError; torchvision raises RuntimeError for a wrong checksum.
        raise DownloadFailed(str(error)) from error


@contextmanager
def _patience() -> Iterator[None]:
    """Set a timeout for connections: torchvision sets none, so a dead one would never end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
