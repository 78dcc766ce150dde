"""Which storages are accepted, what the refusals say, and that no password is ever shown."""

from __future__ import annotations

import builtins
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpsearch.errors import StorageError
from hpsearch.search.database import storage_url
from hpsearch.search.database.schema_version import optuna_url
from hpsearch.search.database.storage import Database
from hpsearch.search.database.storage_url import (
    display_url,
    file_system_of,
    has_secret,
    mask,
    parse_url,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "drivername"),
    [
        pytest.param("postgresql://u@h/d", "postgresql+psycopg", id="no driver"),
        pytest.param("postgres://u@h/d", "postgresql+psycopg", id="the old name"),
        pytest.param("postgresql+psycopg://u@h/d", "postgresql+psycopg", id="the driver"),
    ],
)
def test_postgres_always_means_psycopg(url, drivername):
    assert parse_url(url).drivername == drivername


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("nonsense", "this one can't be parsed", id="no URL"),
        pytest.param("", "this one can't be parsed", id="empty"),
        pytest.param(f"postgresql://u:{SECRET}@h:x/d", "can't be parsed", id="port is no number"),
        pytest.param(f"mysql://u:{SECRET}@h/d", "must be SQLite or PostgreSQL", id="MySQL"),
        pytest.param(f"postgresql+pg8000://u:{SECRET}@h/d", "'postgresql+pg8000'", id="driver"),
        pytest.param(f"postgresql://u:a@{SECRET}@h/d", "write each @ of a password as %40", id="@"),
        pytest.param(f"postgresql://u:a?@{SECRET}@h/d", "with one @, before the host", id="?@"),
        pytest.param("sqlite+aiosqlite:///x.db", "'sqlite+aiosqlite'", id="async driver"),
        pytest.param("sqlite://", "must be a file that workers can share", id="in memory"),
        pytest.param("sqlite:///:memory:", "must be a file that workers can share", id=":memory:"),
        pytest.param(
            "sqlite:///x.db?mode=ro", "nothing else, as in sqlite:///hpsearch.db", id="mode"
        ),
        pytest.param("sqlite://host/x.db", "has the host 'host'", id="a host of SQLite"),
        pytest.param(f"sqlite:///{'x' * 300}.db", "File name too long", id="too long"),
        pytest.param("sqlite:///a\0b.db", "embedded null byte", id="NUL"),
        pytest.param("sqlite:///a\udce9.db", "can't be parsed", id="half a character"),
        pytest.param(f"postgresql://u:{SECRET}@h/d?bogus=1", "'bogus' isn't", id="option"),
        pytest.param(f"postgresql://u:{SECRET}@h/d?ssl_mode=x", "mean 'sslmode'", id="near one"),
        pytest.param(f"postgresql://u:{SECRET}@h/d?autocommit=1", "isn't", id="of the driver"),
        pytest.param(f"postgresql://u:{SECRET}@h/d?port=abc", "non-integer port", id="?port"),
        pytest.param(f"postgresql://u:{SECRET}@/d?host=a,b&port=1", "don't match", id="ports"),
        pytest.param("postgresql://u@h/d?sslmode=a&sslmode=b", "must be given once", id="twice"),
        pytest.param("sqlite:////no/such/x.db", "/no/such doesn't; create it first", id="folder"),
    ],
)
def test_refusals_say_the_rule_and_hide_the_password(url, message):
    with pytest.raises(StorageError) as caught:
        Database(url)
    assert message in str(caught.value)
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text


def test_a_bad_value_of_an_option_is_the_users_mistake():
    database = Database("postgresql://u@127.0.0.1:9/d?connect_timeout=soon")
    with pytest.raises(StorageError, match="bad value for connect_timeout"):
        database.read(lambda connection: None)


def test_options_of_the_url_are_kept_beside_ours():
    url = "postgresql://u@h/d?options=-c%20search_path%3Dmine&connect_timeout=3"
    connect_options = {}

    def connect(dialect, record, arguments, options):
        connect_options.update(options)
        raise StorageError("seen")

    database = Database(url)
    sa.event.listen(database.engine, "do_connect", connect)
    with pytest.raises(StorageError, match="seen"):
        database.read(lambda connection: None)
    assert connect_options["options"].startswith("-c search_path=mine -c timezone=UTC")
    assert connect_options["connect_timeout"] == "3"


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_url("sqlite:///~/mine.db").database == str(tmp_path / "mine.db")


def test_relative_sqlite_files_become_absolute(tmp_path, monkeypatch):
    # A worker started elsewhere must not open another file.
    monkeypatch.chdir(tmp_path)
    assert parse_url("sqlite:///hpsearch.db").database == str(tmp_path / "hpsearch.db")


@pytest.mark.parametrize(
    ("url", "password", "display"),
    [
        pytest.param(
            "postgresql://u:p%7Bw%7D@h/d", "p{w}", "postgresql+psycopg://u:***@h/d", id="{"
        ),
        pytest.param("postgresql://u:p{w}@h/d", "p{w}", "postgresql+psycopg://u:***@h/d", id="raw"),
        pytest.param("postgresql://u:a%40b@h/d", "a@b", "postgresql+psycopg://u:***@h/d", id="@"),
        pytest.param("postgresql://u@h/d", None, "postgresql+psycopg://u@h/d", id="none"),
    ],
)
def test_password_is_understood_and_masked(url, password, display):
    database = Database(url)
    assert database.url.password == password
    assert database.display_url == display


@pytest.mark.parametrize("key", ["password", "sslpassword", "oauth_client_secret"])
def test_a_secret_in_the_query_is_masked_too(key):
    url = parse_url(f"postgresql://u@h/d?{key}=a%40b&service=x&{key}=c")
    assert "a@b" not in display_url(url) and "a%40b" not in display_url(url)
    assert "service=x" in display_url(url)
    assert mask("a@b and a%40b and c", url) == "*** and *** and ***"
    assert has_secret(url)
    assert not has_secret(parse_url("postgresql://u@h/d?service=x"))


def test_mask_removes_the_password_from_other_peoples_messages():
    url = parse_url(f"postgresql://u:{SECRET}@h/d")
    assert mask(f"could not log in with {SECRET}", url) == "could not log in with ***"
    assert mask("no password here", parse_url("postgresql://u@h/d")) == "no password here"


def test_missing_driver_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_psycopg(name, *args, **kwargs):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)
    with pytest.raises(StorageError, match=r"pip install 'hpsearch\[postgres\]'") as caught:
        Database(f"postgresql://u:{SECRET}@h/d")
    assert SECRET not in str(caught.value)


# Fields: id parent major:minor root mount-point options - type source options
MOUNTS = """\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
30 22 0:40 / {root}/shared rw,relatime shared:1 - nfs4 server:/export rw
31 30 0:41 / {root}/shared/scratch rw - xfs /dev/vdb rw
32 22 0:42 / {root}/my\\040disk rw - fuse.sshfs me@host: rw
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with network mounts under tmp_path, as the kernel describes them."""
    for folder in ("shared/scratch", "shared/home", "my disk", "sharedlike", "local"):
        (tmp_path / folder).mkdir(parents=True)
    listing = tmp_path / "mountinfo"
    listing.write_text(MOUNTS.format(root=tmp_path))
    monkeypatch.setattr(storage_url, "_MOUNTS", listing)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        pytest.param("local", "ext4", id="only the root matches"),
        pytest.param("shared/home", "nfs4", id="below a mount point"),
        pytest.param("shared", "nfs4", id="the mount point itself"),
        pytest.param("shared/scratch", "xfs", id="the innermost mount counts"),
        pytest.param("sharedlike", "ext4", id="a longer name is another folder"),
        pytest.param("my disk", "fuse.sshfs", id="a space is written as \\040"),
    ],
)
def test_file_system_of(mounts, folder, kind):
    assert file_system_of(mounts / folder) == kind


@pytest.mark.parametrize("folder", ["shared/home", "my disk", "link"])
def test_sqlite_on_a_network_file_system_is_refused(mounts, folder):
    (mounts / "link").symlink_to(mounts / "shared/home")
    with pytest.raises(StorageError) as caught:
        Database(f"sqlite:///{mounts / folder / 'x.db'}")
    assert "must be on a local disk" in str(caught.value)
    assert "use a local path, or Postgres for several hosts" in str(caught.value)


def test_sqlite_on_a_local_disk_is_accepted(mounts):
    assert Database(f"sqlite:///{mounts / 'shared/scratch/x.db'}").is_sqlite


def test_unknown_file_system_is_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(storage_url, "_MOUNTS", tmp_path / "missing")
    assert file_system_of(tmp_path) == ""
    assert Database(f"sqlite:///{tmp_path / 'x.db'}").is_sqlite


@pytest.mark.parametrize("url", ["sqlite:////runs/{1}/x.db", "postgresql://u:p{0}w@h/d?a={x}"])
def test_braces_survive_optunas_formatting(url):
    """RDBStorage sends its URL through str.format (some SQLAlchemy versions leave braces in it)."""

    class Rendered:
        def render_as_string(self, hide_password):
            assert not hide_password
            return url

    database = Database("postgresql://u@h/d")
    database.url = Rendered()
    assert optuna_url(database).format(SCHEMA_VERSION=12) == url
