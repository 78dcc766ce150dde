"""Fleets on Kubernetes, played through: the real kubectl, a made-up cluster, real workers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.commands import Ran
from support.kubernetes import IMAGE, Cluster
from support.kubernetes_api import running_cluster
from support.processes import _without_main_module
from support.sites import study_text

from hpsearch.engines.engine import FleetWorker
from hpsearch.engines.fleet_state import engine_of
from hpsearch.exit_codes import MORE_TO_DO, NODE_UNUSABLE, WRONG
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.events import EventKind, event_log
from hpsearch.search.ledger.fleets import fleets_of

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()

TRIALS, EPOCHS = 6, 4

STUDY = study_text("my_study", trials=TRIALS, epochs=EPOCHS)


class Site:
    """A person with a cluster, a Postgres, and a folder that pods share."""

    def __init__(
        self, folder: Path, cluster: Cluster, storage: str, hpsearch: Callable[..., Ran]
    ) -> None:
        self.cluster, self.storage = cluster, storage
        self.database = Database(storage)
        self._hpsearch = hpsearch
        self.folder = folder
        self.shared = folder / "shared"
        self.shared.mkdir()
        (folder / "my_study.yaml").write_text(STUDY)

    def write_profile(self, *, env: dict[str, str] = {}, **settings: str) -> None:  # noqa: B006
        data = {"HPSEARCH_DATA": str(self.folder.parent / "data")}
        profile = {"image": IMAGE, "claim": "hpsearch", "mount": str(self.shared),
                   "env": {**data, **env}, **settings}  # fmt: skip
        text = json.dumps({"kubernetes": {"default": profile}})
        (self.folder / "engines.yaml").write_text(text)

    def run(self, *arguments: str) -> Ran:
        with _without_main_module():
            return self._hpsearch(*arguments)

    def done(self, *arguments: str) -> str:
        ran = self.run(*arguments)
        assert ran.code == 0, ran.all
        return ran.out

    def launch(self, *more: str, workers: int) -> str:
        return self.done(
            "launch", "--study", "my_study.yaml", "--engine", "kubernetes", "--detach",
            "--workers", str(workers), "--checkpoint-interval", "0.001", *more,
        )  # fmt: skip

    def counts(self) -> queries.Counts:
        return queries.counts(self.database, self._stored().study_id)

    def events(self, kind: EventKind) -> int:
        log = event_log(self.database, self._stored().study_id)
        return sum(each.kind == kind for each in log)

    def _stored(self) -> studies.StoredStudy:
        return studies.find(self.database, "my_study")

    def wait_for_epochs(self, number: int) -> None:
        self.cluster.wait_for(lambda: self.counts().epochs_run >= number, f"{number} epochs")

    def workers(self) -> list[FleetWorker]:
        (fleet,) = fleets_of(self.database, self._stored())
        return engine_of(fleet, self.storage).look()

    def pod(self, index: int) -> str:
        """Return the name of the only pod of an index, as soon as it runs."""

        def running() -> list[str]:
            pods = self.cluster.pods(index)
            ready = [each for each in pods if each["status"].get("phase") == "Running"]
            return [each["metadata"]["name"] for each in ready]

        (name,) = self.cluster.wait_for(running, f"running pod of index {index}")
        return name

    def failures(self) -> tuple[int, int]:
        """Return the failures of worker 1 that count, and those that do not."""
        annotations = self.cluster.pods(0)[-1]["metadata"]["annotations"]
        prefix = "batch.kubernetes.io/job-index"
        return (
            int(annotations[f"{prefix}-failure-count"]),
            int(annotations[f"{prefix}-ignored-failure-count"]),
        )

    def wait_for_end(self) -> tuple[str, str]:
        """Return how the Job has ended, and why."""

        def conditions() -> list[dict[str, str]]:
            (job,) = self.cluster.listed("jobs", {}, "")
            return job["status"].get("conditions", [])

        (ended,) = self.cluster.wait_for(conditions, "end of the Job")
        return ended["type"], ended["reason"]

    def require_exact(self) -> None:
        """Check that every trial has its epochs, each once."""
        counts = self.counts()
        assert (counts.total, counts.complete) == (TRIALS, TRIALS)
        health = json.loads(self.done("doctor", "--study", "my_study", "--json"))
        assert (health["well"], health["checked"]["epochs"]) == (True, TRIALS * EPOCHS)


@pytest.fixture
def site(here, hpsearch, postgres, tmp_path, monkeypatch):
    storage = postgres.create()
    with running_cluster(tmp_path / "cluster", monkeypatch) as cluster:
        cluster.add("persistentvolumeclaims", "hpsearch")
        uri = b64encode(f"{storage}\n".encode()).decode()
        cluster.add("secrets", "hpsearch-database", data={"uri": uri})
        site = Site(here, cluster, storage, hpsearch)
        monkeypatch.setenv("HPSEARCH_STORAGE", storage)
        monkeypatch.setenv("HPSEARCH_RUNS", f"{site.shared}/runs")
        with closing(site.database):
            yield site
    postgres.drop(storage)


def test_a_study_ends_exactly_whatever_happens_to_its_pods(site):
    """Evicted, scaled up and down, drained: the study has its trials, and each epoch once."""
    first, second = site.shared / "first", site.shared / "second"
    first.touch()
    second.touch()
    waits = f"epoch_reported:1:{first},epoch_reported:2:{second}"
    site.write_profile(env={"HPSEARCH_WAIT_AT": waits})
    site.launch(workers=1)
    site.wait_for_epochs(1)

    site.cluster.evict(site.pod(0))
    told = site.done("scale", "--study", "my_study", "--workers", "2")
    assert "2 workers wanted for study my_study (before: 1)" in told
    first.unlink()
    # The evicted worker leaves after its epoch; the others wait after their second
    site.wait_for_epochs(1 + 2 * 2)
    seen = [(each.number, each.state, each.host, each.restarts) for each in site.workers()]
    assert seen == [(1, "running", "node-a", 1), (2, "running", "node-a", 0)]
    status = site.done("status", "--study", "my_study")
    assert "kubernetes:default: 2 of 2 workers running, 1 restart" in status

    site.done("scale", "--study", "my_study", "--workers", "1")
    surplus = site.pod(1)
    site.cluster.wait_for(
        lambda: [each.reason for each in site.workers()] == [None, "told to leave"], "leaving pod"
    )
    site.cluster.nodes["node-b"] = 8
    site.cluster.drain("node-a")
    second.unlink()
    assert site.wait_for_end() == ("Complete", "CompletionsReached")
    codes = sorted(each.wait() for each in site.cluster.processes.values())
    assert codes == [0, MORE_TO_DO, MORE_TO_DO, MORE_TO_DO]
    assert site.events(EventKind.RELEASED) == 3
    assert surplus not in {each["metadata"]["name"] for each in site.cluster.pods()}
    (worker,) = site.workers()
    assert (worker.state, worker.reason, worker.host) == ("ended", "exit code 0", "node-b")
    assert (worker.restarts, site.failures()) == (2, (0, 2))
    site.require_exact()


def test_an_old_worker_beside_its_copy_is_refused(site):
    """A node that is cut off goes on training, while Kubernetes has replaced its pod."""
    first, second = site.shared / "first", site.shared / "second"
    first.touch()
    second.touch()
    site.write_profile(env={"HPSEARCH_WAIT_AT": f"epoch_reported:1:{first},resumed:1:{second}"})
    site.launch("--lease", "4", workers=1)
    site.wait_for_epochs(1)
    old = site.pod(0)
    process = site.cluster.processes[old]
    process.send_signal(signal.SIGSTOP)  # the cut
    site.cluster.lose_node_of(old)
    first.unlink()
    # The copy takes over the trial when the lease is over, and waits before it continues
    site.cluster.wait_for(lambda: site.events(EventKind.LEASE_EXPIRED), "lease that is over")
    assert site.pod(0) != old
    process.send_signal(signal.SIGCONT)
    site.cluster.wait_for(lambda: site.events(EventKind.WRITE_REFUSED), "write that is refused")
    second.unlink()
    assert process.wait() == 0
    assert site.wait_for_end() == ("Complete", "CompletionsReached")
    assert site.failures() == (0, 1)
    site.require_exact()


def test_exit_codes_say_what_happens_next(site):
    """2 ends the Job; after 69 and 75 the worker is started again; 0 is the end."""
    site.cluster.add("secrets", "wrong", data={"uri": b64encode(b"postgres//db").decode()})
    site.write_profile(secret="wrong")
    site.launch(workers=2)
    assert site.wait_for_end() == ("Failed", "PodFailurePolicy")
    codes = {each.wait() for each in site.cluster.processes.values()}
    assert WRONG in codes
    assert len(site.cluster.processes) == 2  # no loop
    assert {each.state for each in site.workers()} == {"ended"}
    # That of its pod, or if the Job ended first, that of the other
    assert all("exit code 2" in str(each.reason) for each in site.workers())

    # The same launch with the right Secret replaces the Job. Two nodes can't train.
    ends = "".join(
        f"mkdir {site.shared}/{code} 2>/dev/null && exit {code}; "
        for code in (NODE_UNUSABLE, MORE_TO_DO)
    )
    script = json.dumps(f'{ends}exec hpsearch "$@"')
    (site.folder / "pod.yaml").write_text(f"""\
spec:
  template:
    spec:
      containers:
        - {{name: worker, command: [sh, -c, {script}, hpsearch]}}
""")
    site.write_profile(patch="pod.yaml")
    site.launch(workers=1)
    assert site.wait_for_end() == ("Complete", "CompletionsReached")
    codes = [each.wait() for each in site.cluster.processes.values()][2:]
    assert codes == [NODE_UNUSABLE, MORE_TO_DO, 0]
    (worker,) = site.workers()
    assert (worker.restarts, site.failures()) == (2, (1, 1))
    assert "stopped working on study my_study" in site.done("logs", "--study", "my_study")
    site.require_exact()


def test_the_page_of_kubernetes_runs_as_it_is_written(site):
    section = PAGE.split("## Kubernetes\n")[1].split("\n## ")[0]
    (profiles,) = re.findall(r"```yaml\n(kubernetes:.+?)```", section, flags=re.DOTALL)
    written = {"registry.example/hpsearch:cuda": IMAGE, "/shared": str(site.shared)}
    for old, new in written.items():
        assert old in profiles, old
        profiles = profiles.replace(old, new)
    (site.folder / "engines.yaml").write_text(profiles)
    (patch,) = re.findall(r"```yaml\n(spec:.+?)```", section, flags=re.DOTALL)
    (site.folder / "pod.yaml").write_text(patch)
    (site.folder / "storage").write_text(f"{site.storage}\n")
    site.cluster.delete("secrets", "hpsearch-database")
    site.cluster.nodes = {"node-a": 1}

    commands = re.findall(r"^    ((?:kubectl|hpsearch|export) .+)$", section, flags=re.MULTILINE)
    ran = []
    for command in commands:
        words = shlex.split(command, comments=True)
        match words:
            case ["export", setting]:
                assert setting.replace("/shared", str(site.shared)).startswith("HPSEARCH_RUNS=")
            case ["kubectl", *_]:
                subprocess.run(words, check=True, cwd=site.folder, capture_output=True)
            case ["hpsearch", *arguments]:
                if "logs" in arguments:  # as a person, who waits until it runs
                    site.pod(0)
                ran.append((arguments[0], site.done(*arguments)))
    assert [verb for verb, _ in ran] == ["launch", "launch", "status", "scale", "logs", "stop"]
    assert "kind: Job" in ran[0][1]
    assert "8 workers wanted on kubernetes:default" in ran[1][1]
    assert "pending (" in ran[2][1]
    site.cluster.wait_for(lambda: not site.cluster.pods(), "end of the pods")
    assert site.cluster.listed("jobs", {}, "") == []


def test_a_manifest_is_shown_without_a_password_and_nothing_is_submitted(site):
    site.write_profile()
    shown = site.run(
        "launch", "--study", "my_study.yaml", "--engine", "kubernetes", "--workers", "3",
        "--dry-run",
    )  # fmt: skip
    assert shown.code == 0, shown.all
    assert "parallelism: 3" in shown.out
    assert site.storage not in shown.out
    assert site.cluster.listed("jobs", {}, "") == []
    kubectl = shutil.which("kubectl")
    assert kubectl is not None
    checked = subprocess.run(
        [kubectl, "create", "--dry-run=client", "-f", "-", "-o", "json"],
        input=shown.out, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(checked.stdout)["spec"]["completions"] == 3
    refused = site.run(
        "launch", "--study", "my_study.yaml", "--engine", "kubernetes", "--workers", "3",
        "-E", "claim=other",
    )  # fmt: skip
    assert refused.code == 2
    assert "there is no other; create it" in refused.err
