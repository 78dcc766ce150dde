"""The engine: submits the Job of a fleet, looks at it, scales it and deletes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from hpsearch.engines.engine import ENGINES, FleetWorker, Variables, problems_of_storage
from hpsearch.engines.kubernetes.job import CONTAINER, FLEET_LABEL, URI, PodSettings, job_of
from hpsearch.engines.kubernetes.kubectl import Kubectl, Refused
from hpsearch.engines.kubernetes.pods import Object, has_ended, is_leaving, workers_of
from hpsearch.errors import UserError
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.study_file.schema import Matching
from hpsearch.workers.runs_place.place import is_shared, parse_runs

#: The annotation of a Job with the digest of all that can't be changed while it exists.
_DIGEST = "hpsearch/digest"

#: The first version with all that the Job needs, switched on.
_OLDEST = (1, 29)

#: How long the workers of a Job that is replaced may take to leave.
_MOST_WAITING = "10m"

ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matching(
        r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        "a name of a Kubernetes object: lower-case letters, digits, hyphens and dots",
    ),
]
Memory = Annotated[
    str,
    Matching(
        r"^[1-9][0-9]*(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti)?$",
        "an amount of memory as Kubernetes writes it, as in 16Gi",
    ),
]
Folder = Annotated[str, Matching("^/.+", "an absolute path")]


@ENGINES.register("kubernetes")
class KubernetesEngine:
    """An elastic Indexed Job, whose pods are the workers."""

    def __init__(
        self,
        fleet: Fleet,
        storage: str,
        /,
        *,
        image: str,
        gpus: NonNegativeInt = 0,
        cpus: PositiveInt = 1,
        memory: Memory = "4Gi",
        device: str = "auto",
        namespace: ObjectName | None = None,
        context: str | None = None,
        queue: ObjectName | None = None,
        claim: ObjectName | None = None,
        mount: Folder = "/shared",
        secret: ObjectName = "hpsearch-database",
        env: Variables = {},  # noqa: B006 - never changed; a key's default must be JSON
        patch: Path | None = None,
    ) -> None:
        """Prepare a fleet; nothing is read or started.

        Args:
            fleet: The fleet.
            storage: The URL of the database; pods read theirs from the Secret.
            image: The image with hpsearch, as ``docker/Dockerfile`` makes it.
            gpus: NVIDIA GPUs of a worker.
            cpus: Cores of a worker, and threads of its trials.
            memory: The most memory of a worker, such as ``16Gi``.
            device: The device that a worker trains on; ``auto``: a GPU if its pod has one.
            namespace: The namespace; ``None``: that of kubectl's context.
            context: The context of kubectl's configuration; ``None``: the current one.
            queue: The LocalQueue of Kueue; ``None``: the cluster has no Kueue.
            claim: The PersistentVolumeClaim of the runs; ``None``: the runs are a URL.
            mount: The folder of the claim in pods; the runs are in it.
            secret: The Secret whose key ``uri`` contains the URL of the database.
            env: Further variables of workers.
            patch: A YAML file with a part of a Job, merged into the Job as by
                ``kubectl patch --type=strategic``: lists of named things are merged by name.
        """
        self._fleet = fleet
        self._storage = storage
        self._pods = PodSettings(
            image=image, gpus=gpus, cpus=cpus, memory=memory, device=device, queue=queue,
            claim=claim, mount=mount, secret=secret, env=env,
        )  # fmt: skip
        self._kubectl = Kubectl(context, namespace)
        self._patch = patch

    def check(self) -> list[str]:
        """Return what prevents the fleet from running; see ``Engine``."""
        problems = [*self._unsuitable(), *self._old_cluster(), *self._missing_objects()]
        try:
            self._kubectl.run("create", "--dry-run=server", "-f", "-", text=self.render())
        except Refused as error:
            if error.reason != "AlreadyExists":  # the last rule that a new Job can break
                problems.append(str(error))
        return problems

    def render(self) -> str:
        """Return the Job as YAML; the URL of the database isn't in it."""
        job = job_of(self._fleet, self._pods, self._storage)
        if self._patch is not None:
            job = json.loads(self._with_patch(job, Path(self._patch)))
        annotations = {_DIGEST: _digest(job), **job["metadata"].get("annotations", {})}
        return self._locally(job, json.dumps({"metadata": {"annotations": annotations}}), "yaml")

    def apply(self) -> None:
        """Create the Job, or change the number of its workers; see ``Engine``.

        A Job that has ended, or was created with other settings, is replaced.
        """
        if self._fleet.workers == 0:
            self.stop()
            return
        text = self.render()
        job = self._job()
        if job is not None:
            digest = job["metadata"].get("annotations", {}).get(_DIGEST)
            if f"{_DIGEST}: {digest}\n" in text and not (has_ended(job) or is_leaving(job)):
                self._scale(job)
                return
            # When it is gone, its workers have saved their checkpoints and left
            self._delete(wait=True)
        try:
            self._kubectl.run("create", "-f", "-", text=text)
        except Refused as error:
            if error.reason != "AlreadyExists":  # another launch was faster
                raise

    def look(self) -> list[FleetWorker]:
        """Return the workers, by number; see ``Engine``."""
        job = self._job()
        selector = f"--selector={FLEET_LABEL}={self._fleet.key}"
        pods = json.loads(self._kubectl.run("get", "pods", selector, "--output=json"))
        return workers_of(job, pods["items"])

    def stop(self) -> None:
        """Delete the Job: its pods get SIGTERM, and have two minutes to save a checkpoint."""
        self._delete(wait=False)

    def log(self, worker: int, *, follow: bool) -> Iterator[str]:
        """Yield the lines of a worker's newest pod.

        Raises:
            UserError: There is no such worker, or its pod hasn't started.
        """
        workers = {fleet_worker.number: fleet_worker for fleet_worker in self.look()}
        fleet_worker = workers.get(worker)
        if fleet_worker is None:
            raise UserError(
                f"a fleet's workers have the numbers 1 to {len(workers)}, but got {worker}"
                if workers
                else f"no worker of {self._fleet.key} exists in the cluster (any more)"
            )
        options = ("--follow",) if follow else ()
        yield from self._kubectl.lines(
            "logs", fleet_worker.native_id, f"--container={CONTAINER}", *options
        )

    def _unsuitable(self) -> Iterator[str]:
        """Yield what can run in no cluster."""
        yield from problems_of_storage(self._storage)
        runs, pods = self._fleet.runs, self._pods
        if is_shared(parse_runs(runs)):
            return
        if pods.claim is None:
            yield (
                "pods need a place for checkpoints that all of them reach, but the runs are the "
                f"folder {runs}, and the profile has no claim; set claim to the name of a "
                "PersistentVolumeClaim, or HPSEARCH_RUNS to a URL, such as s3://bucket/prefix"
            )
        elif not PurePosixPath(runs).is_relative_to(pods.mount):
            yield (
                f"the runs must be in {pods.mount}, where pods mount the claim {pods.claim}, but "
                f"they are {runs}; set HPSEARCH_RUNS to a folder in {pods.mount}, or mount in the "
                "profile to a folder that contains them"
            )

    def _old_cluster(self) -> Iterator[str]:
        version = json.loads(self._kubectl.run("version", "--output=json"))["serverVersion"]
        numbers = [int(re.sub(r"\D.*", "", version[part])) for part in ("major", "minor")]
        if tuple(numbers) < _OLDEST:
            yield (
                f"the cluster must have Kubernetes {'.'.join(map(str, _OLDEST))} or later, as "
                f"older ones ignore backoffLimitPerIndex, but it has {version['gitVersion']}"
            )

    def _missing_objects(self) -> Iterator[str]:
        secret, claim = self._pods.secret, self._pods.claim
        # The names only, so that no secret is in this process
        names = "found {{range $key, $value := .data}}{{$key}} {{end}}"
        keys = self._read("secret", secret, names)
        if keys is not None and URI not in keys.split():
            words = ("kubectl", *self._kubectl.options, "create", "secret", "generic", secret)
            yield (
                f"the Secret {secret} must contain the URL of the database under the key {URI}, "
                f"but there is {'no such key' if keys else 'no such Secret'}; create it: "
                f"{' '.join(words)} --from-file={URI}=FILE (one line: "
                "postgresql://user:PASSWORD@host/database)"
            )
        if claim is not None and self._read("pvc", claim, "found") == "":
            yield (
                f"claim must name a PersistentVolumeClaim of the namespace, but there is no "
                f"{claim}; create it with the access mode ReadWriteMany"
            )

    def _read(self, kind: str, name: str, template: str) -> str | None:
        """Return what a template makes of an object.

        Returns:
            Empty, if there is no such object; ``None``, if this user may not read it: the pods'
            may, so that isn't a problem.
        """
        try:
            return self._kubectl.run("get", kind, name, f"--output=go-template={template}")
        except Refused as error:
            if error.reason == "NotFound":
                return ""
            if error.reason == "Forbidden":
                return None
            raise

    def _job(self) -> Object | None:
        key = self._fleet.key
        output = self._kubectl.run("get", "job", key, "--ignore-not-found", "--output=json")
        job: Object | None = json.loads(output) if output else None
        return job

    def _scale(self, job: Object) -> None:
        counts = {"parallelism": self._fleet.workers, "completions": self._fleet.workers}
        if {name: job["spec"].get(name) for name in counts} != counts:
            change = f"--patch={json.dumps({'spec': counts})}"
            self._kubectl.run("patch", "job", self._fleet.key, "--type=merge", change)

    def _delete(self, *, wait: bool) -> None:
        # Foreground: the Job exists until its pods have ended
        waits = ("--wait=true", f"--timeout={_MOST_WAITING}") if wait else ("--wait=false",)
        options = ("--ignore-not-found", "--cascade=foreground", *waits)
        self._kubectl.run("delete", "job", self._fleet.key, *options)

    def _with_patch(self, job: dict[str, Any], path: Path) -> str:
        rule = "patch must name a YAML file with a part of a Job"
        try:
            written = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{rule}, but {path} can't be read on this machine: {error}") from None
        try:
            return self._locally(job, written, "json")
        except Refused as error:
            raise UserError(f"{rule}, but {path} can't be merged: {error.printed}") from None

    def _locally(self, job: dict[str, Any], change: str, form: str) -> str:
        """Return a Job with a change in YAML, merged by kubectl without a cluster."""
        options = ("--local", "--type=strategic", f"--patch={change}", f"--output={form}")
        return self._kubectl.run("patch", "-f", "-", *options, text=json.dumps(job))


def _digest(job: dict[str, Any]) -> str:
    """Return a digest of a Job without the number of its workers."""
    spec = {**job["spec"], "parallelism": None, "completions": None}
    text = json.dumps({**job, "spec": spec}, sort_keys=True)
    return f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
