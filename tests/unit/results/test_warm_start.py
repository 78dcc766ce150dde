"""A table of runs against a study's space: what is read, what is asked, what is skipped and why."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import UnknownName, UserError
from hpsearch.results.warm_start.check import CheckedSource, ColumnMapping, as_number, check
from hpsearch.results.warm_start.csv_file import read_csv
from hpsearch.study_file.goals import Constraint, Goals, Objective
from hpsearch.study_file.space import Branch, Choice, Fixed, Group, Range, Space

GOALS = Goals(objective=Objective(metric="val_accuracy"), objectives=("val_accuracy",))

SPACE = Space(
    Group(
        {
            "data": Group({"input_size": Fixed(32)}),
            "model": Branch({"net": Group({"layers": Choice(([64], [128, 64]))})}),
            "optimizer": Branch(
                {
                    "sgd": Group(
                        {
                            "lr": Choice((0.001, 0.01, 0.1)),
                            "momentum": Range(low=0.6, high=0.9, step=0.05),
                            "nesterov": Fixed(False),
                        }
                    ),
                    "adam": Group({"lr": Range(low=1e-4, high=1e-2, log=True)}),
                }
            ),
            "batch_size": Range(low=8, high=128, step=8, integer=True),
        }
    )
)

HEADER = "Name,State,val_accuracy,config.lr,momentum,batch size,optimizer,layers"
NOTHING = ColumnMapping(mapped={}, common={}, values={})


def learn(
    tmp_path: Path, *lines: str, space=SPACE, goals=GOALS, epochs=30, **wish
) -> CheckedSource:
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return check(read_csv(path), space, goals, replace(NOTHING, **wish), epochs=epochs)


def refused(found: CheckedSource) -> dict[str, str]:
    return {row.place: row.refused for row in found.rows if row.refused is not None}


def test_names_are_found_where_they_mean_one_thing(tmp_path):
    found = learn(
        tmp_path,
        HEADER,
        'a,finished,0.81,0.01,0.7,32,SGD,"[128, 64]"',
        "b,finished,0.82,3e-4,,16,adam,[64]",
    )
    assert refused(found) == {}
    one, two = found.results
    assert dict(one.params) == {
        "model.net.layers": "[128,64]", "optimizer": "sgd", "optimizer.sgd.lr": 0.01,
        "optimizer.sgd.momentum": 0.7, "batch_size": 32,
    }  # fmt: skip
    assert type(one.params["batch_size"]) is int
    assert dict(two.params) == {
        "model.net.layers": "[64]", "optimizer": "adam", "optimizer.adam.lr": 3e-4,
        "batch_size": 16,
    }  # fmt: skip
    assert [lesson.values for lesson in found.results] == [(0.81,), (0.82,)]
    assert [row.place for row in found.rows] == ["line 2", "line 3"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a,crashed,0.8,0.01,0.7,32,sgd,[64]", "its run didn't finish: crashed"),
        ("a,finished,,0.01,0.7,32,sgd,[64]", "has no val_accuracy"),
        ("a,finished,nan,0.01,0.7,32,sgd,[64]", "has no val_accuracy, but 'nan'"),
        ("a,finished,-0.1,0.01,0.7,32,sgd,[64]", "val_accuracy must be in 0 to 1, but is -0.1"),
        ("a,finished,0.8,0.02,0.7,32,sgd,[64]", "optimizer.sgd.lr must be one of 0.001, 0.01, 0.1"),
        ("a,finished,0.8,0.01,0.72,32,sgd,[64]", "momentum must be in 0.6 to 0.9 in steps of"),
        ("a,finished,0.8,0.01,0.7,32.5,sgd,[64]", "batch_size must be in 8 to 128"),
        ("a,finished,0.8,0.01,0.7,big,sgd,[64]", "batch_size must be a number, but is 'big'"),
        ("a,finished,0.8,0.01,,32,sgd,[64]", "has no value for optimizer.sgd.momentum (--fix"),
        ("a,finished,0.8,0.01,0.7,32,rmsprop,[64]", "optimizer must be one of sgd, adam"),
        ("a,finished,0.8,0.01,0.7,32,sgd,[32]", "must be one of [64], [128,64], but is [32]"),
        ("a,finished,0.8,0.01,0.7,32,sgd", "has 7 cells, but the header has 8"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_trial_is_skipped_and_told(tmp_path, line, why):
    found = learn(tmp_path, HEADER, line, "b,finished,0.8,0.01,0.7,32,sgd,[64]")
    assert len(found.results) == 1
    assert why in refused(found)["line 2"]


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        (("83.91", "63.09"), "auto", [0.8391, 0.6309]),
        (("0.8391", "0.6309"), "auto", [0.8391, 0.6309]),
        (("0.8391", "1.0"), "auto", [0.8391, 1.0]),
        (("0.5", "0.9"), "percent", [0.005, 0.009]),
        (("83.91", "0.9"), "percent", [0.8391, 0.009]),
        (("83.91", "0"), "auto", [0.8391, 0.0]),
        (("83.91", "101"), "auto", [0.8391]),
        (("83.91", "0.9"), "share", [0.9]),
    ],
)
def test_percent_and_shares(tmp_path, values, unit, expected):
    lines = [f"{value},0.01,0.7,{8 * (n + 1)},sgd,[64]" for n, value in enumerate(values)]
    found = learn(tmp_path, "val_acc,lr,momentum,batch,optimizer,layers", *lines, unit=unit)
    assert [lesson.values[0] for lesson in found.results] == pytest.approx(expected)
    percent = "in percent" in " ".join(found.caveats)
    assert percent == (unit == "percent" or (unit == "auto" and float(values[0]) > 1))


def test_a_column_of_both_is_asked_for(tmp_path):
    lines = ("83.91,0.01,0.7,8,sgd,[64]", "0.9,0.01,0.7,16,sgd,[64]")
    with pytest.raises(UserError, match=r"has both 0\.9 and 83\.91; choose one with --unit"):
        learn(tmp_path, "val_acc,lr,momentum,batch,optimizer,layers", *lines)


def test_a_loss_is_taken_as_it_is(tmp_path):
    goals = Goals(objective=Objective(metric="val_loss"), objectives=("val_loss",))
    line = "2.5,0.01,0.7,8,sgd,[64]"
    found = learn(tmp_path, "val loss,lr,momentum,batch,optimizer,layers", line, goals=goals)
    assert found.results[0].values == (2.5,)


def test_two_columns_of_one_name_are_asked_for_where_they_differ(tmp_path):
    header = "val_accuracy,lr,config.lr,momentum,batch,optimizer,layers"
    assert len(learn(tmp_path, header, "0.8,0.01,0.01,0.7,8,sgd,[64]").results) == 1
    line = "0.8,0.01,0.1,0.7,8,sgd,[64]"
    with pytest.raises(UserError, match=r"'lr' and 'config\.lr' could be, and differ in line 2"):
        learn(tmp_path, header, line)
    found = learn(tmp_path, header, line, mapped={"config.lr": "optimizer.sgd.lr"})
    assert found.results[0].params["optimizer.sgd.lr"] == 0.1
    assert found.read_from["optimizer.sgd.lr"] == "config.lr"


def test_one_column_for_two_parameters_is_asked_for(tmp_path):
    conv = Group({"channels": Choice((16, 32))})
    space = Space(Group({"model": Group({"conv1": conv, "conv2": conv})}))
    with pytest.raises(UserError, match=r"could be model\.conv1\.channels and model\.conv2"):
        learn(tmp_path, "val_accuracy,channels", "0.8,16", space=space)
    found = learn(tmp_path, "val_accuracy,conv1.channels,model_conv2_channels", "0.8,16,32",
                  space=space)  # fmt: skip
    assert found.results[0].params == {"model.conv1.channels": 16, "model.conv2.channels": 32}


def test_what_the_study_fixes_must_be_the_same(tmp_path):
    header = "val_accuracy,lr,momentum,batch,optimizer,layers,nesterov,input_size"
    lines = ("0.8,0.01,0.7,8,sgd,[64],true,32", "0.8,0.01,0.7,8,sgd,[64],False,64")
    found = learn(tmp_path, header, *lines)
    assert len(found.results) == 1  # other data carry over
    assert "nesterov is fixed to False in this study, but is true" in refused(found)["line 2"]
    assert len(learn(tmp_path, header, *lines, mapped={"nesterov": ""}).results) == 2


def test_the_objective_is_asked_for(tmp_path):
    rest, line = "lr,momentum,batch,optimizer,layers", "0.01,0.7,8,sgd,[64]"
    with pytest.raises(UserError, match=r"--value COLUMN \(columns with numbers: 'score', 'lr'"):
        learn(tmp_path, f"score,{rest}", f"0.8,{line}")
    named = {"val_accuracy": "score"}
    assert len(learn(tmp_path, f"score,{rest}", f"0.8,{line}", values=named).results) == 1
    with pytest.raises(UserError, match="'val_acc' and 'valid_acc' could be"):
        learn(tmp_path, f"val_acc,valid_acc,{rest}", f"0.8,0.7,{line}")
    with pytest.raises(UnknownName, match="unknown column 'scores'"):
        learn(tmp_path, f"score,{rest}", f"0.8,{line}", values={"val_accuracy": "scores"})


def test_what_all_rows_have_in_common(tmp_path):
    line = "0.8,0.01,0.7,sgd,[64]"
    header = "val_accuracy,lr,momentum,optimizer,layers"
    found = learn(tmp_path, header, line, common={"batch_size": "64"})
    assert found.results[0].params["batch_size"] == 64
    assert (
        "batch_size must be in"
        in refused(learn(tmp_path, header, line, common={"batch_size": "7"}))["line 2"]
    )
    with pytest.raises(UnknownName, match="unknown parameter 'batchsize'"):
        learn(tmp_path, header, line, common={"batchsize": "7"})
    with pytest.raises(UnknownName, match=r"unknown parameter 'sgd\.lr'"):
        learn(tmp_path, header, line, mapped={"lr": "sgd.lr"})
    with pytest.raises(UnknownName, match="unknown column 'rate'"):
        learn(tmp_path, header, line, mapped={"rate": "optimizer.sgd.lr"})


def test_other_epochs_are_told(tmp_path):
    header = "val_accuracy,lr,momentum,batch,optimizer,layers,epochs"
    lines = ("0.8,0.01,0.7,8,sgd,[64],10", "0.8,0.01,0.7,16,sgd,[64],75")
    assert (
        "trained for 10 to 75 epochs, this study's trials for up to 30"
        in (learn(tmp_path, header, *lines).caveats[0])
    )
    assert learn(tmp_path, header, lines[0], epochs=10).caveats == []


def test_a_constraint_needs_its_figure(tmp_path):
    goals = replace(GOALS, constraints=(Constraint(name="parameters", sign="<=", bound=1000),))
    header = "val_accuracy,lr,momentum,batch,optimizer,layers"
    found = learn(tmp_path, header, "0.8,0.01,0.7,8,sgd,[64]", goals=goals)
    assert "has no parameters, which a constraint" in refused(found)["line 2"]
    found = learn(tmp_path, f"{header},parameters", "0.8,0.01,0.7,8,sgd,[64],3000", goals=goals)
    assert found.results[0].violations["parameters <= 1000"] > 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "must start with a line of column names"),
        (b"a,a\n1,2\n", "used twice: 'a'"),
        (b"PK\x03\x04\x14\x00\x08\x00,b\n", "must be a table as text.*save a spreadsheet as CSV"),
        (b"\xff\xfea\x00,\x00\xd8", "starts like UTF-16 text, but byte 6 is invalid"),
        (b"a;b\n0,5;1\n0.5;2\n", "column 'a' has both 0.5 and 0,5"),
        (b'a,b\n"1,2\n', "must be a CSV file"),
        (b"a,b\n" + b"1,2\n" * 10_001, "may have at most 10,000 rows"),
        (
            ",".join(map(str, range(2_001))).encode(),
            "may have at most 2,000 columns, but has 2,001",
        ),
        (
            ",".join(map(str, range(2_000))).encode() + b"\n" + (b"," * 1_998 + b",1\n") * 1_001,
            "may have at most 1,000 rows of 2,000 columns, but has more",
        ),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, data, says):
    path = tmp_path / "runs.csv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=says):
        read_csv(path)


GERMAN = [
    "Name;Status;val_accuracy;lr;batch size;Anmerkung",
    'größer;Complete;81,5 %;1,00E-04;1.024;"ein; zwei"',
    "a;COMPLETE;0,9;0,01;16;",
    "b;FAIL;;0,01;8;x",
]


@pytest.mark.parametrize(
    ("separator", "comma"), [(",", False), (";", True), ("\t", True), ("\t", False), (",", True)]
)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_spreadsheet_of_any_country(tmp_path, separator, comma, encoding, ends):
    """Whatever its separator, decimal sign, encoding and line ends: the same three runs."""
    cells = list(csv.reader(GERMAN, delimiter=";"))
    if not comma:
        swap = str.maketrans(",.", ".,")
        cells = [cells[0], *([c.translate(swap) for c in row] for row in cells[1:])]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=ends).writerows(cells)
    path = tmp_path / "runs.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    source = read_csv(path)
    assert [row.place for row in source.rows] == ["line 2", "line 3", "line 4"]
    one, two, three = source.rows
    assert (one.cells["Name"], one.cells["batch size"]) == ("größer", "1024")
    assert [as_number(one.cells[name]) for name in ("val_accuracy", "lr")] == [0.815, 1e-4]
    assert [as_number(two.cells[name]) for name in ("val_accuracy", "lr")] == [0.9, 0.01]
    assert (one.refused, two.refused) == (None, None)
    assert three.refused is not None and three.refused.startswith("its run didn't finish: FAIL")
    told = " ".join(source.caveats)
    assert ("decimal comma" in told, "Windows-1252" in told) == (comma, encoding == "cp1252")


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        # What separates is what divides every line alike, whatever else stands in a cell
        ("a;b, c\n1;2,5\n3;4\n", [{"a": "1", "b, c": "2.5"}, {"a": "3", "b, c": "4"}]),
        ("sep=;\na;b\n1;2\n", [{"a": "1", "b": "2"}]),
        ('"sep=;"\na;b\n1;2\n', [{"a": "1", "b": "2"}]),
        ("sep=;;;\na;b\n1;2\n", [{"a": "1", "b": "2"}]),
        ("a\n1\n", [{"a": "1"}]),
        # A list of two beside numbers with points is no number with a comma
        ('a,b\n0.5,"128,64"\n', [{"a": "0.5", "b": "128,64"}]),
        ('a,b\n0.5,"1,024"\n', [{"a": "0.5", "b": "1024"}]),
        # A program's own numbers in a German table
        ("a;b\n0,5;0.125\n", [{"a": "0.5", "b": "0.125"}]),
        ("a;b\n1\u202f024,5;-3\n", [{"a": "1024.5", "b": "-3"}]),
        ("a;b\n\u22120,5;1'024\n", [{"a": "-0.5", "b": "1024"}]),
        # A plain space between thousands, a percent sign in front, signs of other scripts
        ("a;b\n81,5 %;1 024\n", [{"a": "81.5 %", "b": "1024"}]),
        ("a;b\n%81,5;% 40\n", [{"a": "81.5%", "b": "40%"}]),
        ("a;b\n81\uff05;0\u066b5\n", [{"a": "81%", "b": "0.5"}]),
        ("a;b\n1,00E\u221203;1 2\n", [{"a": "1.00E-03", "b": "1 2"}]),
        ("a;b\n0,5;x\n" + ";\n" * 10_001, [{"a": "0.5", "b": "x"}]),
    ],
)  # fmt: skip
def test_numbers_and_separators(tmp_path, text, cells):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    assert [dict(row.cells) for row in read_csv(path).rows] == cells


def test_only_a_regular_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="must be a regular file"):
        read_csv(tmp_path / "pipe.csv")


REST = ",params.lr,params.momentum,params.batch_size,params.optimizer,params.layers"
SETTINGS = ',0.01,0.7,8,sgd,"[128, 64]"'


@pytest.mark.parametrize(
    ("header", "ended", "others"),
    [
        ("run_id,status,metrics.val_accuracy" + REST, "FINISHED", ["FAILED", "KILLED", "RUNNING"]),
        ("number,state,values_val_accuracy" + REST, "COMPLETE", ["PRUNED", "FAIL", "WAITING"]),
        ("Number,State,val_accuracy" + REST.replace("params.", "Param "), "COMPLETE", ["FAIL"]),
        (
            "Name,State,summary.val_acc" + REST.replace("params", "config"),
            "finished",
            ["crashed", "failed", "killed", "preempted"],
        ),
        ("study,state,value" + REST.replace("params.", ""), "complete", ["pruned", "failed"]),
        ("trial_id,status,val_acc" + REST.replace("params.", "config/"), "TERMINATED", ["ERROR"]),
    ],
)
def test_runs_of_every_tracker(tmp_path, header, ended, others):
    """A run that ended is learned from; one that did not isn't, whatever value it has."""
    lines = [f"a,{state},0.8{SETTINGS}" for state in (ended, *others)]
    found = learn(tmp_path, header, *lines)
    assert [lesson.values for lesson in found.results] == [(0.8,)]
    assert dict(found.results[0].params) == {
        "model.net.layers": "[128,64]", "optimizer": "sgd", "optimizer.sgd.lr": 0.01,
        "optimizer.sgd.momentum": 0.7, "batch_size": 8,
    }  # fmt: skip
    assert [why.split(" (")[0] for why in refused(found).values()] == [
        f"its run didn't finish: {state}" for state in others
    ]


def test_a_column_that_says_something_else_is_ignored_if_asked(tmp_path):
    header = "status,val_accuracy" + REST
    path = tmp_path / "runs.csv"
    path.write_text(f"{header}\ngood,0.8{SETTINGS}\n")
    (row,) = read_csv(path).rows
    assert row.refused == "its run didn't finish: good (--map status= ignores the column)"
    (row,) = read_csv(path, ignored=["status"]).rows
    assert row.refused is None


def test_a_value_without_a_name_is_told(tmp_path):
    header = "state,value" + REST
    found = learn(tmp_path, header, f"complete,0.8{SETTINGS}")
    assert found.read_from["val_accuracy"] == "value"
    assert "doesn't name the metric of 'value'; it is read as val_accuracy" in found.caveats[0]
    said = learn(tmp_path, header, f"complete,0.8{SETTINGS}", values={"val_accuracy": "value"})
    assert said.caveats == []
    named = learn(tmp_path, f"val_acc,{header}", f"0.7,complete,0.8{SETTINGS}")
    assert (named.results[0].values, named.caveats) == ((0.7,), [])


def test_a_percent_sign_says_what_a_cell_means(tmp_path):
    header = "val_accuracy,lr,momentum,batch,optimizer,layers"
    lines = ("81.5%,0.01,70%,8,sgd,[64]", "0.5%,0.01,0.7,8,sgd,[64]", "0.9,0.01,0.7,8,sgd,[64]")
    found = learn(tmp_path, header, *lines)
    assert [lesson.values[0] for lesson in found.results] == pytest.approx([0.815, 0.005, 0.9])
    assert found.results[0].params["optimizer.sgd.momentum"] == pytest.approx(0.7)


def test_a_file_of_a_spreadsheet(tmp_path):
    """A byte order mark, Windows' line ends, quoted cells and empty lines."""
    path = tmp_path / "runs.csv"
    path.write_bytes('\ufeff"val_accuracy","lr"\r\n"0.8","0.01"\r\n\r\n,\r\n'.encode())
    source = read_csv(path)
    assert source.columns == ["val_accuracy", "lr"]
    assert [(row.place, dict(row.cells)) for row in source.rows] == [
        ("line 2", {"val_accuracy": "0.8", "lr": "0.01"})
    ]
