"""The objects below a prefix of an object store, through fsspec.

A put is atomic: readers see the whole object or none. Every error but a missing object is
``RunsUnreachable`` with a message for people, since a person or time can mend it: the server is
down, credentials have expired, the bucket was removed. Credentials come from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from hpsearch.errors import RunsUnreachable, UserError
from hpsearch.workers.runs_place.place import PACKAGES, RunsUrl

_T = TypeVar("_T")

#: Seconds until a server must accept a connection, and continue an answer. A worker that is told
#: to leave has 10 s, and its last checkpoint is one call of up to two tries.
CONNECT_SECONDS, READ_SECONDS = 3, 30

#: Arguments of fsspec's file systems. Other workers change the objects, so nothing is cached.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"mode": "standard", "total_max_attempts": 2},
        },
    },
    "gs": {"use_listings_cache": False},
}

#: Up to this size an object is sent in one request; fsspec's default sends large ones in parts,
#: and the parts of an interrupted transfer stay in the bucket.
_ONE_REQUEST = 5 * 2**30

#: s3fs's message for a missing bucket; that for a missing object is its name.
_NO_BUCKET = "bucket does not exist"

_INSTALL = {"s3": "'hpsearch[cloud]'", "gs": "gcsfs"}


class Objects:
    """The objects below a URL, named by their path below it.

    Args:
        place: The runs place.
        below: A path below it.

    Raises:
        UserError: The package for this kind of URL isn't installed.
    """

    def __init__(self, place: RunsUrl, below: str = "") -> None:
        self._place = place
        self._files = _file_system(place.protocol, os.getpid())
        root = place.url.partition("://")[2]
        self._root = f"{root}/{below}" if below else root

    def url(self, name: str = "") -> str:
        """Return the URL of an object, for messages."""
        whole = f"{self._place.protocol}://{self._root}"
        return f"{whole}/{name}" if name else whole

    def read(self, name: str) -> bytes:
        """Return the contents of an object.

        Raises:
            FileNotFoundError: There is no such object.
            RunsUnreachable: It can't be read now.
        """
        content: bytes = self._call("read", lambda: self._files.cat_file(self._path(name)))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a whole object, replacing the one that is there.

        Raises:
            RunsUnreachable: It can't be written now; the object is unchanged.
        """
        more = {"chunksize": _ONE_REQUEST} if self._place.protocol == "s3" else {}
        self._call("written", lambda: self._files.pipe_file(self._path(name), content, **more))

    def remove(self, name: str) -> None:
        """Remove an object; no effect if there is none.

        Raises:
            RunsUnreachable: It can't be removed now.
        """
        with suppress(FileNotFoundError):
            self._call("removed", lambda: self._files.rm_file(self._path(name)))

    def remove_all(self) -> None:
        """Remove every object below the URL.

        Raises:
            RunsUnreachable: They can't be removed now.
        """
        for name in self.sizes():
            self.remove(name)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return name -> bytes of the objects below a path; empty if there are none.

        Raises:
            RunsUnreachable: They can't be listed now.
        """
        start = self._path(below) if below else self._root
        entries: dict[str, dict[str, Any]] = self._call(
            "listed", lambda: self._files.find(start, detail=True)
        )
        return {
            path[len(self._root) + 1 :]: int(entry["size"] or 0)
            for path, entry in sorted(entries.items())
            # find also returns an object of exactly that name, and marks of empty folders
            if path.startswith(f"{start}/") and not path.endswith("/")
        }

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, what: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except Exception as error:
            # A missing object is no fault, but a bucket must exist
            missing = isinstance(error, FileNotFoundError)
            if missing and what in ("read", "removed") and _NO_BUCKET not in str(error):
                raise
            reason, is_refusal = _reason(error)
            if missing:
                bucket = self._root.partition("/")[0]
                reason = f"there is no bucket {bucket!r}; create it or name another one"
            unreachable = RunsUnreachable(
                f"objects in the runs place {self._place} can't be {what}: {reason}"
            )
            unreachable.refused = is_refusal or missing
            raise unreachable from error


def _reason(error: Exception) -> tuple[str, bool]:
    """Return why a call failed and what to do, and whether the store, or its client, refused it."""
    message = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return (
            "there are no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or give this machine a role"
        ), True
    if isinstance(error, PermissionError):
        return (
            f"the store refuses the credentials ({message}); they need the right to list, read, "
            "write and delete objects there"
        ), True
    return f"the store doesn't answer as it should ({type(error).__name__}: {message})", False


@cache
def _file_system(protocol: str, process: int) -> Any:
    """Return the file system of a protocol; each process has its own, with its own connections."""
    import fsspec

    try:
        files = fsspec.filesystem(protocol, skip_instance_cache=True, **_ARGUMENTS[protocol])
    except ImportError:
        raise UserError(
            f"a runs place {protocol}://... needs the package {PACKAGES[protocol]}, which isn't "
            f"installed; install it on every host with: pip install {_INSTALL[protocol]}"
        ) from None
    if protocol == "s3":
        # The number of calls: beside the tries of botocore, s3fs makes its own
        files.retries = 1
    return files
