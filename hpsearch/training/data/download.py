"""Fetching a public set of images through torchvision, once for all processes."""

from __future__ import annotations

import http.client
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from hpsearch.training.data.content import temporary_name

#: A server that says nothing for this long is given up.
_SILENCE_SECONDS = 60.0


class DownloadFailed(Exception):
    """The network didn't give the files; the message is the reason."""


def fetch_once(target: Path, here: Callable[[], bool], fetch: Callable[[Path], None]) -> None:
    """Fill the folder ``target`` by ``fetch(temporary folder)``, unless ``here()`` says it is.

    Of several processes one downloads and the others wait; the files appear in ``target`` only
    when all of them are whole. Raises ``DownloadFailed``.
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
        # URLError is an OSError; torchvision tells a wrong checksum by RuntimeError.
        raise DownloadFailed(str(error)) from error


@contextmanager
def _patience() -> Iterator[None]:
    """torchvision opens its connections without a time limit: a dead one would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
