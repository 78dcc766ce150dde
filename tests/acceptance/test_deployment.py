"""docker/: no container engine runs here; each file is checked, and each service run without one.

The commands, health checks, variables and secrets of compose.yaml are taken from the file and run
on this machine, against a real Postgres with a password, volumes being folders.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from ruamel.yaml import YAML
from sqlalchemy.engine import make_url
from support.kubernetes import job_schema

import hpsearch
from hpsearch.cli.app import app

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE, GPU = DOCKER / "compose.yaml", DOCKER / "compose.gpu.yaml"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
STAGES = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)


def tool(name: str) -> str:
    """Return a program of the ``dev`` extra."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (the `dev` extra)")
    return found


def run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dockerfile_pleases_hadolint():
    run(tool("hadolint"), str(DOCKER / "Dockerfile"))


@pytest.mark.parametrize("file", [COMPOSE, GPU], ids=lambda path: path.name)
def test_a_compose_file_fits_the_specification(file):
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file))


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a top-level name out of the build."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    return f"!{path.removeprefix('./').rstrip('/')}" not in rules


def test_what_is_copied_exists_and_nothing_else_is_sent():
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {"pyproject.toml", "hpsearch", "studies", "README.md", "LICENSE"} == set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    for name in ("docker", "tests", ".git", "runs", "hpsearch.db", "docker/secrets"):
        assert ignored(name)
    names = {name for _, name in STAGES}
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= names
    assert set(re.findall(r"from=(\w+),", DOCKERFILE)) <= names
    assert {"cpu", "cuda"} <= names


def test_dependencies_come_before_code_and_name_extras_that_exist(tmp_path):
    for target in ("cpu", "cuda"):
        stage = DOCKERFILE.index(f" AS requirements-{target}\n")
        assert "COPY" not in DOCKERFILE[stage : DOCKERFILE.index("\n\n", stage)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    basis = project["dependencies"] + extras["postgres"] + extras["cloud"]
    assert requirements(tmp_path, "") == basis
    assert requirements(tmp_path, "onnx, wandb cloud") == basis + extras["onnx"] + extras["wandb"]
    assert [name for name in basis if name.startswith("torch")]
    with pytest.raises(subprocess.CalledProcessError) as raised:
        requirements(tmp_path, "onxn")
    assert "KeyError: 'onxn'" in raised.value.stderr


def requirements(folder: Path, extras: str) -> list[str]:
    """Return what the image installs with ``--build-arg EXTRAS=``."""
    assert 'ARG EXTRAS=""' in DOCKERFILE
    (line,) = re.findall(r"&& (EXTRAS=.+ > requirements\.txt) \\", DOCKERFILE)
    shutil.copy(ROOT / "pyproject.toml", folder)
    subprocess.run(
        ["bash", "-c", line.replace(" python ", f" {sys.executable} ", 1)],
        cwd=folder,
        env={**os.environ, "EXTRAS": extras},
        check=True,
        capture_output=True,
        text=True,
    )
    return (folder / "requirements.txt").read_text().splitlines()


def test_compose_hands_the_extras_to_the_build():
    for settings, extras in (({}, ""), ({"EXTRAS": "onnx"}, "onnx")):
        file = YAML(typ="safe").load(interpolated(COMPOSE.read_text(), settings))
        for name in ("study", "worker", "dashboard"):
            assert file["services"][name]["build"]["args"] == {"EXTRAS": extras}


def test_each_replica_gets_a_gpu_of_its_own():
    """Replicas are equal, so the device that they are given must not name one GPU."""
    file = YAML(typ="safe").load(interpolated(GPU.read_text(), {}))
    worker = file["services"]["worker"]
    understood(worker["command"])
    assert worker["command"][worker["command"].index("--device") + 1] == "free"
    (gpus,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert gpus["count"] == "all"  # each sees all of them, and claims one
    # The claims are files that all replicas see
    assert "data:/data" in YAML(typ="safe").load(COMPOSE.read_text())["x-hpsearch"]["volumes"]
    assert "HPSEARCH_DATA=/data" in DOCKERFILE


def test_the_images_run_as_somebody_without_rights():
    for target in ("cpu", "cuda"):
        start = DOCKERFILE.index(f" AS {target}\n")
        stage = DOCKERFILE[start:].partition("\nFROM ")[0]
        assert stage.rstrip().endswith("USER 10001:10001")
    assert not re.search(r"(?i)(password|token|secret)\s*=", DOCKERFILE)
    assert 'ENTRYPOINT ["hpsearch"]' in DOCKERFILE


def understood(words: list[str]) -> None:
    """Check that hpsearch takes a command line, without running it."""
    command = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("hpsearch", words)


def test_the_images_health_check_is_a_command():
    (listed,) = re.findall(r"HEALTHCHECK .*\\\n\s+CMD (\[.+\])", DOCKERFILE)
    program, *words = json.loads(listed)
    assert program == "hpsearch"
    understood(words)


PAGE = (ROOT / "docs" / "deployment.md").read_text()


COMMANDS = re.findall(r"^ *(?:exec )?hpsearch (.+)$", PAGE, re.MULTILINE)
COMPOSED = re.findall(r"^ *docker compose run --rm worker (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", [*COMMANDS, *COMPOSED])
def test_a_command_of_the_page_is_understood(line):
    line = re.sub(r"\$\w+|\$\{\w+\}", "1", line.partition(" > ")[0].removesuffix(" &"))
    understood(shlex.split(line, comments=True))


def test_the_pages_kubernetes_manifests_name_what_exists():
    blocks = re.findall(r"```yaml\n(apiVersion.+?)```", PAGE, flags=re.DOTALL)
    documents = [each for block in blocks for each in YAML(typ="safe").load_all(block)]
    kinds = {each["kind"] for each in documents}
    assert kinds == {"Job"}
    for each in documents:
        assert [error.message for error in job_schema().iter_errors(each)] == []
        pod = each["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            understood(container["args"])
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            for variable in container["env"]:
                assert variable["name"] in KNOWN
                if variable["value"].startswith("/"):
                    assert any(variable["value"].startswith(path) for path in paths)


#: The variables that hpsearch reads, as docs/commands.md lists them.
KNOWN = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE))


def test_every_variable_is_one_that_hpsearch_reads():
    described = "".join(
        path.read_text() for path in DOCKER.iterdir() if path.is_file() and path.name != ".env"
    )
    for name in set(re.findall(r"HPSEARCH_\w+", described + PAGE)):
        assert name in KNOWN, name


def interpolated(text: str, settings: Mapping[str, str]) -> str:
    """Put in ``${NAME:-default}`` as compose does; every name must be in .env.example."""
    offered = set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))

    def value(match: re.Match[str]) -> str:
        assert match[1] in offered, match[1]
        return settings.get(match[1], match[2])

    return re.sub(r"\$\{(\w+):-([^}]*)\}", value, text)


def test_the_example_settings_are_the_defaults():
    example = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    for file in (COMPOSE, GPU):
        for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", file.read_text()):
            assert example[name] == default


def test_own_pictures_are_mounted_where_the_page_says():
    file = YAML(typ="safe").load(interpolated(COMPOSE.read_text(), {"PICTURES": "/home/me/photos"}))
    for name in ("study", "worker"):
        assert "/home/me/photos:/pictures:ro" in file["services"][name]["volumes"]
    assert "image_folder: {path: /pictures," in PAGE


class Composition:
    """compose.yaml on this machine: ``postgres`` is a real server, volumes are folders."""

    def __init__(self, folder: Path, postgres: Any, **settings: str) -> None:
        self.folder = folder
        self.file = YAML(typ="safe").load(interpolated(COMPOSE.read_text(), settings))
        assert self.file["services"]["postgres"]["environment"]["POSTGRES_USER"] == "hpsearch"
        secrets = folder / "run" / "secrets"
        secrets.mkdir(parents=True)
        password = "p{0}%@/:w"
        (secrets / "postgres_password").write_text(f"{password}\n")
        (secrets / "dashboard_token").write_text("0123456789abcdef\n")
        self._server = postgres
        self.database = postgres.create()
        self.url = make_url(postgres.protect(self.database, password))

    def end(self) -> None:
        self._server.drop(self.database)

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.file["services"][name]
        return found

    def environment(self, name: str) -> dict[str, str]:
        """Return a service's variables, its paths below ``folder``."""
        service = self.service(name)
        mounted = [each.split(":")[1] for each in service["volumes"]]
        mounted += [f"/run/secrets/{secret}" for secret in service["secrets"]]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH")}
        image = dict(re.findall(r"\b([A-Z_]+)=(/(?:data|runs)\S*)", DOCKERFILE))
        for key, value in {**image, **service["environment"]}.items():
            if value.startswith("/"):
                assert any(value.startswith(place) for place in mounted), (key, value)
                clean[key] = f"{self.folder}{value}"
            else:
                clean[key] = value
        # The host `postgres` of the composed network, and its user.
        host = make_url(clean["HPSEARCH_STORAGE"])
        assert (host.host, host.password, host.database) == ("postgres", None, "hpsearch")
        clean["HPSEARCH_STORAGE"] = self.url._replace(password=None).render_as_string()
        # No home to write to: the containers' file systems are read-only.
        return {**clean, "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"}

    def start(self, name: str, *command: str) -> subprocess.Popen[str]:
        words = list(command) or self.service(name)["command"]
        words = [re.sub(r"^(?=/(?:runs|pictures)\b)", str(self.folder), each) for each in words]
        program = [sys.executable, "-m", "hpsearch", *words]
        if words[0] in ("python", "hpsearch"):
            program = [sys.executable, *(["-m"] if words[0] == "hpsearch" else [])]
            program += words if words[0] == "hpsearch" else words[1:]
        return subprocess.Popen(
            [part.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}") for part in program],
            cwd=self.folder,
            env=self.environment(name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    #: Where the dashboard listens here; the container's 8080 may be taken on this machine.
    port = 8080

    def healthy(self, name: str) -> None:
        """Run the service's health check."""
        kind, *words = self.service(name)["healthcheck"]["test"]
        assert kind == "CMD"
        process = self.start(name, *words)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output


@pytest.fixture
def composition(tmp_path: Path, postgres: Any) -> Iterator[Composition]:
    (tmp_path / "studies").mkdir()
    (tmp_path / "pictures").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "pictures" / "a.png")
    # As /studies/mine.yaml is seen in a container; the name of the study is read from it.
    study = (ROOT / "studies" / "quickstart.yaml").read_text()
    file = tmp_path / "studies" / "mine.yaml"
    file.write_text(re.sub(r"budget: \{.*\}", "budget: {trials: 2, epochs_per_trial: 1}", study))
    assert "trials: 2," in file.read_text()
    composed = Composition(tmp_path, postgres, STUDY=str(file), WORKERS="2")
    yield composed
    composed.end()


def test_the_services_finish_a_study(composition: Composition) -> None:
    services = composition.file["services"]
    assert services["study"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("worker", "dashboard"):
        after = services[name]["depends_on"]["study"]["condition"]
        assert after == "service_completed_successfully"

    study = composition.start("study")
    told, _ = study.communicate(timeout=240)
    assert study.returncode == 0, told
    assert "stored, and no worker was started" in told
    composition.healthy("worker")

    assert services["worker"]["deploy"]["replicas"] == 2
    workers = [composition.start("worker") for _ in range(2)]
    for worker in workers:
        told, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0, told  # so that `restart: on-failure` lets it rest
    assert list((composition.folder / "runs").rglob("best.pt"))
    assert (composition.folder / "data").is_dir()

    _get_the_winner_out(composition)
    status = composition.start("worker", "status", "--study", "quickstart", "--json")
    assert json.loads(status.communicate(timeout=240)[0])["trials"]["complete"] >= 1
    _check_dashboard(composition)


def _get_the_winner_out(composition: Composition) -> None:
    """The page's commands, and what `docker compose cp` takes out of the volume then."""
    (export,) = (line for line in COMPOSED if "--bundle" in line)
    (report,) = (line for line in COMPOSED if line.startswith("report"))
    for line in (export, report):
        process = composition.start("worker", *shlex.split(line))
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        # Without a writable cache it makes a temporary one each time, and says so
        assert "atplotlib" not in output
    for source, target in re.findall(r"docker compose cp dashboard:/(\S+) (\S+)", PAGE):
        assert (composition.folder / source).is_dir() and Path(source).name == target
    assert list((composition.folder / "data" / "matplotlib").glob("fontlist*.json"))
    model = hpsearch.load_model(composition.folder / "runs" / "best")
    assert model.predict(composition.folder / "pictures")[0].label in model.classes


def _check_dashboard(composition: Composition) -> None:
    words = composition.service("dashboard")["command"]
    assert words[words.index("--port") + 1] == "8080"
    assert composition.service("dashboard")["ports"] == ["127.0.0.1:8080:8080"]
    process = composition.start("dashboard", *["0" if word == "8080" else word for word in words])
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://0\.0\.0\.0:(\d+)/", line)
        assert found is not None, line
        composition.port = int(found[1])
        composition.healthy("dashboard")
        url = f"http://127.0.0.1:{found[1]}/api/studies"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url, timeout=240)
        request = urllib.request.Request(url, headers={"Authorization": "Bearer 0123456789abcdef"})
        with urllib.request.urlopen(request, timeout=240) as answer:
            (listed,) = json.load(answer)["study_summaries"]
        assert listed["study_name"] == "quickstart"
        process.terminate()  # as `docker compose stop` does
        process.communicate(timeout=240)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_composed_worker_without_its_database_is_unhealthy(composition: Composition) -> None:
    (composition.folder / "run" / "secrets" / "postgres_password").write_text("wrong")
    with pytest.raises(AssertionError, match="password authentication failed"):
        composition.healthy("worker")
