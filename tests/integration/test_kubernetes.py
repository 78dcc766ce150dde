"""The engine for Kubernetes, through the real kubectl: its Job, what it checks, what it sees."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.kubernetes import IMAGE, NAMESPACE, job_schema
from support.kubernetes_api import running_cluster

from hpsearch.engines import profiles
from hpsearch.engines.engine import ENGINES
from hpsearch.errors import UserError
from hpsearch.registry import Component
from hpsearch.search.ledger.fleets import Fleet
from hpsearch.study_file.diagnostics import StudyFileError

FLEET = Fleet(
    key="hpsearch-pods-1a2b3c4d-default", study="pods", engine="kubernetes", profile="default",
    settings={}, workers=2, runs="/shared/runs", data="/shared/data", lease_seconds=30.0,
    checkpoint_seconds=60.0,
)  # fmt: skip

POSTGRES = "postgresql://me:pass-word@db/search"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    with running_cluster(tmp_path / "cluster", monkeypatch) as running:
        running.add("secrets", "hpsearch-database", data={"uri": b64encode(b"x").decode()})
        running.add("persistentvolumeclaims", "hpsearch")
        yield running


def engine(fleet=FLEET, storage=POSTGRES, **settings):
    profile = {"image": IMAGE, "claim": "hpsearch", **settings}
    return ENGINES.build(Component("kubernetes", profile), fleet, storage)


def job_of(made):
    return YAML(typ="safe").load(made.render())


def pod_of(made):
    return job_of(made)["spec"]["template"]["spec"]


PATCH = """\
metadata: {annotations: {team: vision}}
spec:
  template:
    spec:
      nodeSelector: {gpu: a100}
      containers:
        - name: worker
          env: [{name: TORCH_HOME, value: /shared/torch}]
"""

SETTINGS = {
    "the defaults": {},
    "a GPU, a queue and a namespace": {
        "gpus": 1, "cpus": 4, "memory": "16Gi", "queue": "team-a", "namespace": NAMESPACE,
    },
    "variables that YAML or Kubernetes could read otherwise": {
        "env": {"A": "yes", "B": "1e3", "C": "$(A) $$ $", "D": "a: b #", "E": ""},
    },
    "a patch": {"patch": PATCH},
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_the_job_keeps_the_published_schema_and_clusters_take_it(cluster, tmp_path, settings):
    if "patch" in settings:
        (tmp_path / "pod.yaml").write_text(settings["patch"])
        settings = {**settings, "patch": str(tmp_path / "pod.yaml")}
    made = engine(**settings)
    assert [error.message for error in job_schema().iter_errors(job_of(made))] == []
    assert made.check() == []
    assert cluster.listed("jobs", {}, "") == []
    made.apply()
    submitted = cluster.job(FLEET.key)
    assert submitted["spec"] == job_of(made)["spec"]
    assert "pass-word" not in json.dumps(submitted)


def test_texts_reach_the_worker_as_they_are(cluster):
    env = SETTINGS["variables that YAML or Kubernetes could read otherwise"]["env"]
    engine(replace(FLEET, workers=1), env=env, claim=None).apply()
    (pod,) = cluster.wait_for(lambda: cluster.pods(), "pod")
    given = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
    assert given["C"] == "$$(A) $$$$ $$"  # Kubernetes makes one $ of two
    assert {key: given[key] for key in "ABDE"} == {key: env[key] for key in "ABDE"}


def test_what_the_profile_says_is_in_the_job(cluster):
    pod = pod_of(engine(gpus=2, cpus=4, memory="16Gi", secret="other", mount="/nfs"))
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    assert limits == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"}
    assert "--threads=4" in container["args"]
    assert pod["volumes"][0]["secret"]["secretName"] == "other"
    assert container["volumeMounts"][1]["mountPath"] == "/nfs"
    queued = job_of(engine(queue="team-a"))
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"


def test_runs_at_a_url_need_no_claim(cluster):
    made = engine(replace(FLEET, runs="s3://bucket/runs"), claim=None)
    assert made.check() == []
    assert [each["name"] for each in pod_of(made)["volumes"]] == ["database"]


def test_a_patch_is_merged_by_the_names_of_lists(cluster, tmp_path):
    (tmp_path / "pod.yaml").write_text(PATCH)
    plain, patched = engine(), engine(patch=str(tmp_path / "pod.yaml"))
    assert job_of(patched)["metadata"]["annotations"]["team"] == "vision"
    pod = pod_of(patched)
    assert pod["nodeSelector"] == {"gpu": "a100"}
    variables = [each["name"] for each in pod["containers"][0]["env"]]
    own = [each["name"] for each in pod_of(plain)["containers"][0]["env"]]
    assert sorted(variables) == sorted([*own, "TORCH_HOME"])


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "can't be read on this machine"), ("a: [", "can't be merged")],
)
def test_a_patch_that_cannot_be_used_is_named(cluster, tmp_path, text, told):
    path = tmp_path / "pod.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"part of a Job, but {path} {told}"):
        engine(patch=str(path)).check()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spec: {template: {spec: {nodeSelektor: a}}}", "nodeSelektor"),
        ("spec: {template: {spec: {restartPolicy: Always}}}", "restartPolicy: must be Never"),
    ],
)
def test_a_patch_that_makes_no_valid_job_is_refused_by_the_cluster(cluster, tmp_path, text, told):
    (tmp_path / "pod.yaml").write_text(text)
    (problem,) = engine(patch=str(tmp_path / "pod.yaml")).check()
    assert "the Kubernetes cluster refuses `kubectl create`" in problem
    assert told in problem


def problems_of(cluster, fleet=FLEET, storage=POSTGRES, **settings):
    return engine(fleet, storage, **settings).check()


def test_what_prevents_a_fleet_is_said_before_it_starts(cluster):
    (sqlite,) = problems_of(cluster, storage="sqlite:///hpsearch.db")
    assert "`hpsearch storage copy`" in sqlite
    (folder,) = problems_of(cluster, claim=None)
    assert "the runs are the folder /shared/runs, and the profile has no claim" in folder
    (outside,) = problems_of(cluster, replace(FLEET, runs="/home/me/runs"))
    assert "set HPSEARCH_RUNS to a folder in /shared" in outside
    (claim,) = problems_of(cluster, claim="hpserch")
    assert "there is no hpserch" in claim
    (secret,) = problems_of(cluster, secret="other", namespace=NAMESPACE)
    assert f"kubectl --namespace={NAMESPACE} create secret generic other --from-file=uri=" in secret
    cluster.add("secrets", "third", data={"url": ""})
    (key,) = problems_of(cluster, secret="third")
    assert "there is no such key" in key
    cluster.forbidden = {"secrets"}
    assert problems_of(cluster, secret="other") == []
    cluster.version = "v1.28.4"
    (old,) = problems_of(cluster)
    assert "Kubernetes 1.29 or later" in old
    assert "v1.28.4" in old
    assert cluster.listed("jobs", {}, "") == []


def test_a_namespace_that_is_missing_is_named(cluster):
    problems = problems_of(cluster, namespace="mll")
    assert 'namespaces "mll" not found' in problems[-1]


def test_without_kubectl_or_a_cluster_the_message_says_what_to_do(tmp_path, monkeypatch):
    with running_cluster(tmp_path / "cluster", monkeypatch):
        made = engine()
    with pytest.raises(UserError, match=r"connection to the server .* was refused") as refused:
        made.look()
    assert "kubectl cluster-info" in str(refused.value)
    with pytest.raises(UserError, match="context: prod"):
        engine(context="prod").look()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is none on PATH; install it"):
        made.check()


def test_why_a_worker_waits_is_told(cluster):
    cluster.nodes = {"node-a": 1}
    made = engine(replace(FLEET, workers=3), image="registry.example/hpsearch:1.3")
    made.apply()

    def reasons():
        seen = [each.reason for each in made.look()]
        return seen if all(seen) else None

    told = cluster.wait_for(reasons, "reasons")
    assert sum(each.startswith("ImagePullBackOff: ") for each in told) == 1
    assert sum(each.startswith("Unschedulable: 0/1 nodes are") for each in told) == 2
    assert {each.state for each in made.look()} == {"pending"}
    assert [each.number for each in made.look()] == [1, 2, 3]


def test_a_job_that_a_queue_holds_back_is_pending(cluster, tmp_path):
    (tmp_path / "pod.yaml").write_text("spec: {suspend: true}")  # as Kueue does
    made = engine(queue="team-a", patch=str(tmp_path / "pod.yaml"))
    made.apply()
    assert [(each.number, each.state, each.host) for each in made.look()] == [
        (1, "pending", None),
        (2, "pending", None),
    ]
    assert "suspended" in str(made.look()[0].reason)
    made.stop()
    cluster.wait_for(lambda: made.look() == [], "end")


def test_applied_twice_is_once_and_another_number_scales(cluster):
    cluster.nodes = {}
    made = engine()
    made.apply()
    first = cluster.job(FLEET.key)["metadata"]["uid"]
    made.apply()
    assert cluster.job(FLEET.key)["metadata"]["uid"] == first
    engine(replace(FLEET, workers=5)).apply()
    changed = cluster.job(FLEET.key)
    assert changed["metadata"]["uid"] == first
    assert (changed["spec"]["completions"], changed["spec"]["parallelism"]) == (5, 5)
    engine(replace(FLEET, workers=5), memory="8Gi").apply()  # a Job's pods can't be changed
    assert cluster.job(FLEET.key)["metadata"]["uid"] != first
    engine(replace(FLEET, workers=0), memory="8Gi").apply()
    cluster.wait_for(lambda: cluster.listed("jobs", {}, "") == [], "deleted Job")


def test_profiles_are_checked_and_paths_start_from_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    home = tmp_path / "config" / "hpsearch"
    home.mkdir(parents=True)
    (home / "engines.yaml").write_text("kubernetes: {default: {image: a, patch: pod.yaml}}")
    read = profiles.read_profile("kubernetes", ["gpus=1"])
    assert Path(read.settings["patch"]) == home / "pod.yaml"
    assert read.settings["gpus"] == 1
    (home / "engines.yaml").write_text(
        "kubernetes: {default: {memory: 16 GB, claim: Big, cpus: 0, imag: a}}"
    )
    with pytest.raises(StudyFileError) as wrong:
        profiles.read_profile("kubernetes")
    for key in ("memory", "claim", "cpus", "imag"):
        assert f"kubernetes.default.{key}" in str(wrong.value), key
