"""Tables of pictures: columns that are found, parts, groups, and rows that are refused by line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data import prepare as preparing
from hpsearch.training.data.place import DataRoot
from hpsearch.training.data.prepare import image_names, prepare
from hpsearch.training.data.sources.table import table
from hpsearch.training.data.sources.table_columns import Columns, find_columns

CLASSES = ("cat", "dog", "eel")


@pytest.fixture
def place(root: Path) -> DataRoot:
    return DataRoot(root=root)


@pytest.fixture
def photos(tmp_path, pictures) -> Path:
    """30 pictures of 4x6 pixels, 00.png to 29.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        Image.fromarray(pictures(4, 6, 3, seed=number)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def save(tmp_path):
    def save(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding=encoding, newline="")
        return path

    return save


def rows(count: int = 30, first: int = 0) -> list[list[str]]:
    return [[f"{n:02}.png", CLASSES[n % 3]] for n in range(first, first + count)]


def text(header: str, lines: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    return end.join([header, *(delimiter.join(line) for line in lines)]) + end


@pytest.mark.parametrize(
    ("header", "file", "label"),
    [
        ("image_id,dx", "image_id", "dx"),
        ("id,has_cactus", "id", "has_cactus"),
        (",filename,label", "filename", "label"),
        ("lesion_id,image_id,dx,dx_type,age,sex,localization", "image_id", "dx"),
        ("Image Index,Finding Labels,Follow-up #,Patient ID", "Image Index", "Finding Labels"),
        ("image_name,patient_id,sex,diagnosis,benign_malignant,target", "image_name", "target"),
        ("id_code,diagnosis", "id_code", "diagnosis"),
        ("imageId,className", "imageId", "className"),
        ("label,file", "file", "label"),
        ("a,b", None, None),
        ("id,x,y2", "id", None),
    ],
)
def test_columns_are_found_by_common_names(header, file, label):
    found = find_columns(header.split(","))
    assert (found.file, found.label) == (file, label)


def test_columns_are_found_by_their_values():
    found = find_columns(["where", "what"], [["a/1.png", "cat"], ["a/2.JPG", "dog"]])
    assert (found.file, found.label) == ("where", "what")
    header = ["image", "MEL", "NV", "age"]
    lines = [["1", "1.0", "0.0", "7"], ["2", "0", "1", "8"]]
    assert find_columns(header, lines).one_hot == ("MEL", "NV")
    assert find_columns(header, [*lines, ["3", "1", "1", "9"]]).one_hot == ()
    split = ["image", "label", "set"]
    assert find_columns(split, [["1", "cat", "Train"], ["2", "dog", "x"]]).split == "set"
    assert find_columns(split, [["1", "cat", "A"], ["2", "dog", "B"]]).split is None
    given = find_columns(split, (), Columns(file="label", label="image"))
    assert (given.file, given.label) == ("label", "image")


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "end"),
    [
        ("labels.csv", ",", "utf-8", "\n"),
        ("labels.csv", ";", "utf-8-sig", "\r\n"),
        ("labels.tsv", "\t", "utf-8", "\n"),
        ("labels.txt", "\t", "utf-16", "\r\n"),
        ("LABELS.CSV", "|", "utf-8", "\n"),
    ],
)
def test_a_table_is_read_as_programs_write_it(photos, save, place, name, delimiter, encoding, end):
    lines = [*rows(), [" ", " "]]
    lines[0][1] = '"  cat "'
    path = save(text(f"file{delimiter}class", lines, delimiter, end), name, encoding)
    source = table(place, path=path, images_path=photos)
    images = source.train.read()
    assert source.class_names == CLASSES
    assert images.labels.tolist() == [n % 3 for n in range(30)]
    assert images.groups is None
    assert source.validation is source.test is None
    for number in (0, 29):
        assert np.array_equal(images.images[number], Image.open(photos / f"{number:02}.png"))
    assert source.notes == (
        "columns found in " + name + ": 'file' (file names), 'class' (classes)",
    )


def test_a_label_may_contain_anything_in_quotes(photos, save, place):
    lines = [['"00.png"', '"a ""b"", c\u2028d"'], ['"01.png"', '"e\nf"'], ["02.png", "g"]]
    source = table(place, path=save(text("file,label", lines)), images_path=photos)
    assert source.class_names == ('a "b", c\u2028d', "e\nf", "g")
    path = save(text("file,label", [*lines, ["x", "g"]]))
    with pytest.raises(DataError, match=r"\(line 6: x\)"):  # a row begins in its first line
        table(place, path=path, images_path=photos)


def test_numbers_are_in_their_order(photos, save, place):
    lines = [[f"{n:02}", str(n % 3 * 5)] for n in range(30)]
    source = table(place, path=save(text("id,level", lines)), images_path=photos)
    assert source.class_names == ("0", "5", "10")


def test_a_zip_gives_what_a_folder_gives(photos, save, place, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in photos.iterdir():
            packed.write(file, f"photos/{file.name}")
    path = save(text("file,label", rows()))

    def prepared(images_path):
        settings = {"path": str(path), "images_path": str(images_path), "test_fraction": 0.2}
        config = DataConfig(source=Component("table", settings), input_size=8)
        test = preparing.test_images(config, root=place.root)
        return prepare(config, split_seed=1, root=place.root), test, config

    (folder, test, config), (zipped, test_of_zip, _) = map(prepared, (photos, archive))
    assert folder.data_hash == zipped.data_hash
    assert folder.split_hash == zipped.split_hash
    assert folder.cache_folder != zipped.cache_folder
    assert all(np.array_equal(*pair) for pair in zip(test, test_of_zip, strict=True))
    assert len(folder.images) == 24
    assert len(test[0]) == 6
    (name,) = image_names(config, [0], split_seed=1, root=place.root).values()
    assert name in {file.name for file in photos.iterdir()}


def test_parts_are_those_of_the_split_column(photos, save, place):
    lines = [[*row, ("train", "Valid", "TEST")[n // 10]] for n, row in enumerate(rows())]
    source = table(place, path=save(text("file,label,split", lines)), images_path=photos)
    parts = [source.train, source.validation, source.test]
    assert [len(part.read().labels) for part in parts if part] == [10, 10, 10]
    assert source.test is not None
    assert source.test.name_of is not None
    assert source.test.name_of(0) == "20.png"


def test_parts_may_be_tables_of_their_own(photos, save, place):
    paths = [save(text("file,label", rows(10, n)), f"{n}.csv") for n in (0, 10, 20)]
    source = table(place, path=paths[0], val_path=paths[1], test_path=paths[2], images_path=photos)
    assert source.validation is not None
    assert source.test is not None
    assert source.validation.read().labels.tolist() == [n % 3 for n in range(10, 20)]
    assert source.test.files[0] == paths[2]
    with pytest.raises(DataError, match=r"00\.png is a training and a validation picture"):
        table(place, path=paths[0], val_path=paths[0], images_path=photos)
    with pytest.raises(DataError, match="test_fraction sets test pictures aside"):
        table(place, path=paths[0], test_path=paths[2], test_fraction=0.2, images_path=photos)


def test_test_labels_stay_closed_until_the_end(photos, save, place):
    """Their rows are there, but nobody looks at their labels before the final evaluation."""
    lines = [[*row, "test" if n > 20 else "train"] for n, row in enumerate(rows())]
    lines[25][1], lines[27][1] = "", "unheard"
    source = table(place, path=save(text("file,label,split", lines)), images_path=photos)
    assert source.class_names == CLASSES
    assert len(source.train.read().labels) == 21
    assert source.test is not None
    with pytest.raises(DataError, match=r"no label in 1 row \(line 27\) and an unknown label in 1"):
        source.test.read()


def test_groups_are_a_column(photos, save, place):
    lines = [[*row, f"p{n // 3}"] for n, row in enumerate(rows())]
    path = save(text("file,label,patient_id", lines))
    source = table(place, path=path, images_path=photos)
    assert source.train.read().groups is None
    assert "give group: patient_id" in source.warnings[0]
    grouped = table(place, path=path, images_path=photos, group="patient_id", test_fraction=0.2)
    assert grouped.test is not None
    train, test = (part.read() for part in (grouped.train, grouped.test))
    assert train.groups is not None
    assert test.groups is not None
    assert len(np.unique(train.groups)) + len(np.unique(test.groups)) == 10
    assert grouped.warnings == ()
    lines = [[*row, "train" if n else "val"] for n, row in enumerate(lines)]
    path = save(text("file,label,patient_id,split", lines))
    with pytest.raises(DataError, match=r"no group may be in two parts, but 1 are among .*: p0"):
        table(place, path=path, images_path=photos, group="patient_id")


def test_groups_are_found_in_file_names(photos, save, place):
    path = save(text("file,label", rows()))
    settings = {"path": path, "images_path": photos}
    grouped = table(place, **settings, group_pattern=r"^(.)", test_fraction=0.4)
    assert grouped.test is not None
    train, test = (part.read().groups for part in (grouped.train, grouped.test))
    assert train is not None
    assert test is not None
    assert len(np.unique(train)) + len(np.unique(test)) == 3, "names begin with 0, 1 and 2"
    with pytest.raises(DataError, match="no match of group_pattern in 20 rows"):
        table(place, **settings, group_pattern="^2")
    with pytest.raises(DataError, match="must be a regular expression"):
        table(place, **settings, group_pattern="(")
    with pytest.raises(DataError, match="both group and group_pattern"):
        table(place, **settings, group="label", group_pattern="^2")


def test_classes_may_be_columns_of_zeros_and_ones(photos, save, place):
    lines = [[f"{n:02}", *("1.0" if n % 3 == k else "0.0" for k in range(3))] for n in range(30)]
    path = save(text("image,eel,cat,dog", lines))
    source = table(place, path=path, images_path=photos)
    assert source.class_names == ("cat", "dog", "eel")
    assert source.train.read().labels[:3].tolist() == [2, 0, 1]
    assert "'eel', 'cat', 'dog' (a class each)" in source.notes[0]
    lines[4][1:3] = ["1", "1"]
    path = save(text("image,eel,cat,dog", lines))
    with pytest.raises(DataError, match=r"no single 1 in 1 row \(line 6: 1, 1, 0\.0\)"):
        table(place, path=path, images_path=photos, one_hot=["eel", "cat", "dog"])


def test_rows_that_cant_be_used_are_listed_by_line(photos, save, place):
    lines = rows()
    for number in range(3, 9):
        lines[number][0] = f"gone{number}"
    lines[12][0] = ""
    with pytest.raises(DataError) as raised:
        table(place, path=save(text("file,label", lines)), images_path=photos)
    message = str(raised.value)
    assert (
        "no such picture in 7 rows (line 5: gone3; line 6: gone4; line 7: gone5; and 4 more)"
        in message
    )
    assert "photos contains 30 pictures, such as 00.png" in message


def test_labels_are_checked_against_given_classes(photos, save, place):
    lines = rows()
    lines[7][1], lines[9][1] = "", "Dog"
    path = save(text("file,label", lines))
    with pytest.raises(DataError, match=r"no label in 1 row \(line 9\); correct"):
        table(place, path=path, images_path=photos)
    with pytest.raises(DataError, match=r"\(line 9\) and an unknown label in 1 row \(line 11: Dog"):
        table(place, path=path, images_path=photos, class_names=["dog", "cat", "eel"])
    lines[7][1] = "cat"
    source = table(place, path=save(text("file,label", lines)), images_path=photos)
    assert "differ only in upper and lower case: Dog, dog" in source.warnings[0]


def test_a_row_may_be_repeated_but_not_contradicted(photos, save, place):
    lines = [*rows(), rows()[2]]
    source = table(place, path=save(text("file,label", lines)), images_path=photos)
    assert len(source.train.read().labels) == 30
    assert source.warnings[0] == "left out, since they repeat other rows of labels.csv: 1 row"
    lines.append([lines[2][0], "dog"])
    with pytest.raises(DataError, match=r"\(line 33: 02\.png is in line 4 with other values\)"):
        table(place, path=save(text("file,label", lines)), images_path=photos)


def test_several_labels_in_one_value_are_noted(photos, save, place):
    lines = rows()
    lines[4][1] = "cat|dog"
    source = table(place, path=save(text("file,label", lines)), images_path=photos)
    assert source.warnings[0].startswith("1 label of several classes, such as cat|dog,")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "has none", id="empty"),
        pytest.param("file,label\n", "has none", id="a header only"),
        pytest.param(
            "00.png,cat\n01.png,dog\n", "the first row .* names of its col", id="no header"
        ),
        pytest.param("what,who,why\n1,2,3\n", "table.file must name the column", id="no file"),
        pytest.param("file,who,why\n1,2,3\n", "table.label must name the col", id="no label"),
        pytest.param("file,label,label\n1,a,b\n", "'label' is there or used twice", id="two alike"),
        pytest.param('file,label\n00.png,"cat\n', "begins in line 2 can't", id="an open quote"),
        pytest.param('f,l\na,b\n"c"d,e\n', "begins in line 3 can't", id="after a quote"),
        pytest.param("file,label\n00.png\n", "line 2 has 1; .* a comma", id="too few"),
        pytest.param("file,label\n00.png,a,b\n", "line 2 has 3", id="too many"),
        pytest.param("file,label\n00.png,a\0\n", "line 2 .* contains a NUL", id="NUL"),
        pytest.param(f"file,label\n{'x' * 200_000},a\n", "field larger", id="a huge value"),
        pytest.param("file,label\n00.png,cat\n01.png,cat\n", "two classes, .*only cat", id="one"),
        pytest.param(
            text("file,label", [[row[0], f"{n}.5"] for n, row in enumerate(rows())]),
            "classes must repeat, but .* 30 values in 30 rows",
            id="measurements",
        ),
        pytest.param(
            text("file,label,split", [[*row, "test"] for row in rows()]),
            "'split' .* marks only test",
            id="no training",
        ),
        pytest.param(
            text("file,label,split", [[*row, "train"] for row in rows()]).replace("train", "x", 1),
            r"an unknown part in 1 row \(line 2: x\)",
            id="an unknown part",
        ),
    ],
)
def test_a_table_that_cant_be_used_is_refused(photos, save, place, content, says):
    with pytest.raises(DataError, match=says):
        table(place, path=save(content), images_path=photos)


def test_another_encoding_is_refused_by_line(photos, save, place):
    lines = [*rows(), ["00.png", "süß"]]
    with pytest.raises(DataError, match=r"UTF-8, but line 32 of .* contains the byte 0xfc"):
        table(place, path=save(text("file,label", lines), encoding="latin-1"), images_path=photos)


@pytest.mark.parametrize("given", [{"label": "Klasse"}, {"group": "who"}, {"one_hot": ["a", "b"]}])
def test_a_given_column_must_be_there(photos, save, place, given):
    path = save(text("file,label", rows()))
    with pytest.raises(DataError, match=r"isn't one; the columns of .* are 'file', 'label'"):
        table(place, path=path, images_path=photos, **given)


def test_a_table_must_be_a_table(tmp_path, place):
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "b.csv").mkdir()
    for name, says in (
        ("a.xlsx", "but got"),
        ("b.csv", "isn't a file"),
        ("c.csv", "doesn't exist"),
    ):
        with pytest.raises(DataError, match=rf"table\.path must be a table.*{says}"):
            table(place, path=tmp_path / name)


def test_a_parquet_table_gives_what_csv_gives(photos, save, place, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "id": list(range(10, 30)),
        "level": [n % 3 for n in range(10, 30)],
        "thumbnail": [b"\0"] * 20,
    }
    path = tmp_path / "labels.parquet"
    parquet.write_table(arrow.table(columns), path)
    source = table(place, path=path, images_path=photos)
    assert source.class_names == ("0", "1", "2")
    assert source.train.read().labels.tolist() == columns["level"]
    parquet.write_table(arrow.table({**columns, "id": [None, 77, *range(12, 30)]}), path)
    with pytest.raises(DataError, match=r"no such picture in 2 rows \(row 1; row 2: 77\)"):
        table(place, path=path, images_path=photos)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"labels\.parquet must be a Parquet file, but can't"):
        table(place, path=path, images_path=photos)
