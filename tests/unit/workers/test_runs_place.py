"""What ``--runs`` may be: a folder, or a bucket and a prefix, and never a URL with a secret."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.registry import _registry
from support.commands import Ran

from hpsearch.errors import UserError
from hpsearch.workers.launch.launching import require_writable
from hpsearch.workers.runs_place import objects
from hpsearch.workers.runs_place.place import RunsUrl, is_shared, local_folder, parse_runs
from hpsearch.workers.trial.run_folder import RunFolder


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("runs", "runs"),
        ("/shared/runs", "/shared/runs"),
        ("file:///shared/my%20runs/", "/shared/my runs"),
        ("file://localhost/shared", "/shared"),
    ],
)
def test_a_folder_is_a_path_that_may_be_shared_or_not(text: str, path: str) -> None:
    assert parse_runs(text) == Path(path)
    assert parse_runs(Path(path)) == Path(path) == local_folder(parse_runs(text))
    assert not is_shared(parse_runs(text))


@pytest.mark.parametrize("url", ["s3://bucket", "s3://my-bucket/team_1/2026.11", "gs://bucket/a=b"])
def test_a_bucket_is_shared_for_sure(url: str) -> None:
    place = parse_runs(url + "/")
    assert str(place) == url
    assert is_shared(place)
    assert local_folder(place) == Path.cwd() / "runs"
    assert parse_runs(place) is place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("memory://runs", "memory:// was given"),
        ("https://bucket.example/runs", "https:// was given"),
        ("s3://", "isn't a bucket and a prefix"),
        ("s3://Bucket/x", "isn't a bucket and a prefix"),
        ("s3://bucket/../other", "isn't a bucket and a prefix"),
        ("s3://bucket//x", "isn't a bucket and a prefix"),
        ("s3://bucket/*", "isn't a bucket and a prefix"),
        ("file://host/folder", "has no path after three slashes"),
        ("file:///", "has no path after three slashes"),
    ],
)
def test_another_url_is_refused(text: str, why: str) -> None:
    with pytest.raises(UserError, match=r"must be a folder, s3://BUCKET/PREFIX, .*") as refused:
        parse_runs(text)
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["s3://key:hunter2@bucket/x", "s3://bucket/x?secret=hunter2"])
def test_a_secret_in_a_url_is_refused_and_not_shown(
    text: str, hpsearch: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_RUNS", text)
    ran = hpsearch("launch", "quickstart")
    assert ran.code == 2
    assert "set them in the environment" in ran.err and ran.err.count("\n") == 1
    assert "hunter2" not in ran.all
    assert list(Path.cwd().iterdir()) == [], "nothing was stored"


@pytest.mark.parametrize(("url", "package"), [("s3://bucket", "s3fs"), ("gs://bucket", "gcsfs")])
def test_a_missing_package_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    # What an earlier test has loaded
    monkeypatch.delitem(_registry, url.partition(":")[0], raising=False)
    objects._file_system.cache_clear()
    place = parse_runs(url)
    assert isinstance(place, RunsUrl)
    with pytest.raises(UserError, match=f"needs the package {package}.*pip install"):
        require_writable(place)


def test_file_urls_name_the_same_folder(tmp_path: Path) -> None:
    folder = RunFolder(parse_runs(f"file://{tmp_path}/my runs"), "digits", "0a1b2c3d")
    reference = folder.save(7, 1, 1, {"epoch": 1})
    assert (tmp_path / "my runs" / reference.key).is_file()
    usable = RunFolder(tmp_path / "my runs", "digits", "0a1b2c3d").newest_usable([reference])
    assert usable == (reference, {"epoch": 1})
