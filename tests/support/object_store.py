"""An object store on this machine, with S3's interface: moto's server, in a thread.

It keeps its objects when it is stopped and started again.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from hpsearch.workers.runs_place.objects import Objects
from hpsearch.workers.runs_place.place import RunsUrl


class ObjectStore:
    """A running store; ``environment`` is what its clients need."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start it, again at the same port."""
        from moto.server import ThreadedMotoServer  # takes half a second

        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "of-the-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def place(self, local: Path) -> RunsUrl:
        """Return a runs place in a new bucket.

        Args:
            local: The folder of what only one host needs.
        """
        bucket = f"test-{uuid4().hex}"
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="tester",
            aws_secret_access_key="of-the-tests",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=bucket)
        client.close()
        return RunsUrl(f"s3://{bucket}/team/runs", local)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse all credentials in the block."""
        self._checked_calls("0")
        try:
            yield
        finally:
            self._checked_calls("inf")

    def _checked_calls(self, after: str) -> None:
        request = urllib.request.Request(
            f"{self.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth",
            data=after.encode(),
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["status"] == "ok"


def names_in(place: RunsUrl) -> set[str]:
    """Return the names of all objects of trials: ``trial-0000/best.pt``."""
    found = Objects(place).sizes()
    return {"/".join(name.split("/")[2:]) for name in found}
