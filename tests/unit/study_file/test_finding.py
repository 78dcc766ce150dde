"""Where study files are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import UnknownName, UserError
from hpsearch.study_file.loading import find_study, shipped_studies


def test_the_packaged_studies_are_known_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies = shipped_studies()
    assert {"quickstart", "cnn_dilation"} <= set(studies)
    assert find_study("quickstart") == studies["quickstart"]
    assert studies["quickstart"].is_file()


def test_studies_of_the_current_folder_are_found_but_none_passes_for_ours(tmp_path, monkeypatch):
    own = find_study("quickstart").read_text()
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    Path("studies/other.yaml").write_text("study: other")
    assert find_study("other") == Path("studies/other.yaml")
    Path("studies/quickstart.yaml").write_text(own)
    assert find_study("quickstart") == Path("studies/quickstart.yaml")
    Path("studies/quickstart.yaml").write_text("study: mine")
    with pytest.raises(UserError, match="'quickstart' must mean one study file, but studies/"):
        find_study("quickstart")
    assert "cnn_dilation" in shipped_studies()


@pytest.mark.parametrize("path", ["a.yaml", "a.yml", "folder/a", "./a"])
def test_a_path_is_taken_as_it_is(path):
    assert find_study(path) == Path(path)


def test_an_unknown_name_lists_what_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName) as caught:
        find_study("quickstrat")
    listed = ", ".join(shipped_studies())
    assert str(caught.value) == (
        f"unknown study 'quickstrat'. Did you mean 'quickstart'? Known: {listed}. You can also "
        "give the path of a .yaml file."
    )
