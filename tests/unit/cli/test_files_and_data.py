"""check, schema and data with the components that hpsearch has."""

from __future__ import annotations

import json
import os
import re
from urllib.error import URLError

import jsonschema
import numpy as np
import pytest
from PIL import Image

STUDY = """\
study: small
budget: {trials: 4, epochs_per_trial: 2}
data: {source: digits, input_size: {values: [8, 4]}}
model:
  mlp: {hidden: {values: [[8], [16]]}}
  dilated_cnn:
    conv1: {channels: 4, kernel_size: {values: [2, 7]}}
    conv2: {channels: 4, kernel_size: 1}
optimizer: {sgd: {lr: {values: [0.1, 0.01]}}}
sampler: grid
"""


@pytest.fixture
def study(here):
    (here / "small.yaml").write_text(STUDY)
    return "small.yaml"


def test_check_tells_what_there_is_to_search(hpsearch, study):
    told = hpsearch("check", "--study", study).out
    assert "small: valid\n" in told
    # 2 sizes x (2 dense nets + 2 kernels) x 2 learning rates
    assert "5 parameters (16 configurations), 4 trials of up to 2 epochs, sampler grid" in told
    assert re.search(r"\noptimizer\.sgd\.lr +0\.1, 0\.01 +choice\n", told)
    assert (
        "data digits: 1,154 training and 288 validation images, 10 classes, 1x4x4, 1x8x8\n" in told
    )
    # 16*8+8 + 8*10+10 of 4x4 pictures; 64*16+16 + 16*10+10 of 8x8 ones
    assert "model mlp: 226 to 1,210 parameters, up to 1,184 multiply-adds per image and " in told


def test_check_says_what_the_prior_can_judge_and_how_to_do_without(hpsearch, study):
    def told(*changes: str) -> tuple[list[str], dict[str, object]]:
        flags = [each for change in changes for each in ("--set", change)]
        out = hpsearch("check", study, *flags).out
        found = hpsearch("check", study, *flags, "--json").json["prior"]
        return [line for line in out.splitlines() if line.startswith("prior")], found

    two = "optimizer={sgd: {lr: {min: 0.01, max: 1}}, adagrad: {lr: {min: 0.01, max: 0.1}}}"
    (line,), found = told("search.prior=rule", "sampler=random", two)
    assert line.startswith(
        "prior rule: of 64 random points the best by a rule of thumb is tried, but for every 5th "
        f"trial; it can judge {100 * found['known'] / found['judged']:.0f} % of this space, "
        "but not optimizer adagrad; "
    )
    assert line.endswith("; `search: {prior: none}` switches it off")
    assert 0 < found["known"] < found["judged"] and found["is_used"]
    (line,), found = told("search.prior=v1", "sampler=random", two)
    assert "the best by a rule of thumb and recorded searches is tried" in line
    assert found["unknown"] == ["optimizer adagrad"] and found["by_rule_alone"] == []
    # One point after the other: nothing is left to choose
    (line,), found = told("search.prior=rule")
    assert "sampler grid never draws at random, so it has no effect" in line
    assert not found["is_used"]
    assert told("search.prior=none") == ([], None)


@pytest.mark.parametrize(
    ("old", "new", "where", "key", "says"),
    [
        ("{lr: {values: [0.1, 0.01]}}", "{lr: fast}", "small.yaml:9", "optimizer.sgd.lr", "fast"),
        ("study: small", "study: [small", "small.yaml:2", "", "this is not valid YAML"),
        ("digits", "{image_folder: {path: none}}", "small.yaml", "", "none doesn't exist"),
        ("values: [2, 7]", "values: [9]", "small", "", ""),
    ],
)
def test_check_as_json_says_what_is_wrong(hpsearch, here, study, old, new, where, key, says):
    assert old in STUDY
    (here / study).write_text(STUDY.replace(old, new))
    ran = hpsearch("check", study, "--json")
    told = ran.json
    if (where, key) == ("small", ""):  # one model of two can't be built: valid, and named
        assert (ran.code, told["valid"], told["problems"]) == (0, True, [])
        assert [each["name"] for each in told["impossible_models"]] == ["dilated_cnn"]
        return
    assert (ran.code, told["valid"], told["more_problems"]) == (2, False, 0)
    (problem,) = told["problems"]
    assert (problem["where"], problem["key"]) == (where, key)
    assert says in problem["message"]
    assert says in ran.err


def test_a_model_that_is_named_in_vain_comes_first(hpsearch, here):
    (here / "vain.yaml").write_text(
        "study: vain\nbudget: {trials: 4, epochs_per_trial: 2}\ndata: {source: digits}\n"
        "model: {lenet5: {}, mlp: {}}\noptimizer: {sgd: {lr: 0.1}}\n"
    )
    one, two = hpsearch("check", "vain.yaml").out.splitlines()[:2]
    assert one == "vain: valid"
    assert two.startswith(
        "warning: no configuration of model lenet5 can be built (1 tried): it needs images of "
        "32 x 32 pixels or more, but gets 8 x 8 (data.input_size: 32 scales them up). conv2: "
    )
    alone = hpsearch("check", "vain.yaml", "--set", "model=lenet5")
    assert (alone.code, alone.out.splitlines()[0]) == (
        2, "vain: read, but it can't be launched (see the end)",
    )  # fmt: skip
    assert "of model lenet5 can be built (1 tried): it needs images of 32 x 32" in alone.err
    large = hpsearch("check", "vain.yaml", "--set", "data.input_size=32", "--json").json
    assert (large["valid"], large["impossible_models"]) == (True, [])


def test_weights_that_cant_be_downloaded_take_their_model_away_and_no_other(
    hpsearch, here, monkeypatch
):
    """A study of nine models can be launched without a network."""

    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    monkeypatch.setenv("TORCH_HOME", str(here.parent / "torch"))
    (here / "two.yaml").write_text(
        "study: two\nbudget: {trials: 4, epochs_per_trial: 2}\n"
        "data: {source: digits, input_size: 32}\n"
        "model: {resnet18: {weights: imagenet}, mlp: {}}\noptimizer: {sgd: {lr: 0.1}}\n"
        "try_first: [{model: resnet18}]\n"
    )
    told = hpsearch("check", "two.yaml")
    assert told.code == 0, told.all
    assert told.out.splitlines()[1].startswith(
        "warning: no configuration of model resnet18 can be built (2 tried). weights: imagenet"
    )
    alone = hpsearch("check", "two.yaml", "--set", "model={resnet18: {weights: imagenet}}")
    assert (alone.code, "weights: none starts with random weights" in alone.err) == (2, True)


def test_check_names_what_cant_be_built_with_the_arithmetic(hpsearch, study):
    told = hpsearch("check", "--study", study, "--json").json
    reasons = {each["reason"] for each in told["infeasible"]}
    assert (
        "conv1: kernel 7 spans 7 pixels, but its input is 4 pixels high: "
        "floor((4 + 2*0 - 1*(7-1) - 1)/1) + 1 = -2; "
        "use a smaller kernel, less dilation, more padding or a larger input_size"
    ) in reasons
    assert told["points"] == 16
    # 16 configurations less those of kernel 7, and of kernel 2 on 4x4 pictures
    assert told["tried"] == 16
    assert len(told["infeasible"]) == 6
    assert set(told["infeasible"][0]["params"]) == {
        "data.input_size",
        "model",
        "model.dilated_cnn.conv1.kernel_size",
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            ("data.input_size=4", "model={dilated_cnn: {conv1: {kernel_size: 5}}}"),
            "error: study 'small': it must be possible to build at least one configuration, but "
            "no configuration of model dilated_cnn can be built (2 tried): it needs images of "
            "12 x 12 pixels or more, but gets 4 x 4 (data.input_size: 12 scales them up). conv1: "
            "kernel 5 spans 5 pixels, but its input is 4 pixels high",
            id="a kernel larger than the picture",
        ),
        pytest.param(
            (
                "try_first=[{data: {input_size: 4}, "
                "model: {dilated_cnn: {conv1: {kernel_size: 7}}}}]",
            ),
            "error: study 'small': try_first[0] must be a configuration that can be built, "
            "but conv1: kernel 7",
            id="an impossible first trial",
        ),
        pytest.param(
            ("optimizer.sgd.lr={min: 0.1, max: 0.2}",),
            "error: the grid sampler needs a finite number of values for every parameter, but "
            "optimizer.sgd.lr is a range without a step",
            id="a grid over a continuous range",
        ),
        pytest.param(
            ("data.source={fashion_mnist: {path: /nowhere}}",),
            "error: data.source.fashion_mnist.path must be a folder with",
            id="a missing data folder",
        ),
        pytest.param(
            ("optimizer.sgd.lrr=1", "budget.trials=0"),
            "--set optimizer.sgd.lrr=1",
            id="an unknown key",
        ),
    ],
)
@pytest.mark.parametrize("command", ["check", "launch"])
def test_what_cant_be_searched_is_refused_and_nothing_created(
    hpsearch, study, here, command, changes, says
):
    sets = [part for change in changes for part in ("--set", change)]
    ran = hpsearch(command, "--study", study, *sets)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert [path.name for path in here.iterdir()] == ["small.yaml"]


def test_the_schema_accepts_a_valid_study(hpsearch):
    validator = jsonschema.Draft202012Validator(hpsearch("schema").json)
    valid = {
        "study": "a",
        "budget": {"trials": 1, "epochs_per_trial": 1},
        "data": {"source": "digits"},
        "model": "mlp",
        "optimizer": "adam",
    }
    validator.validate(valid)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**valid, "modle": "mlp"})


def test_data_list_downloads_nothing(hpsearch, tmp_path):
    told = hpsearch("data", "list", "--json").json
    by_name = {source["name"]: source for source in told["sources"]}
    assert by_name["digits"]["here"] == "scikit-learn"
    assert by_name["cifar10"]["here"] == "not here yet"
    assert by_name["idx"]["here"] == "given by path"
    assert "path" in by_name["fashion_mnist"]["keys"]
    assert told["root"] == str(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_data_prepare_makes_every_size_of_a_study(hpsearch, study, tmp_path):
    prepared = hpsearch("data", "prepare", "--study", study, "--json").json
    assert [each["input_shape"] for each in prepared] == [[1, 8, 8], [1, 4, 4]]
    assert all(each["folder"].startswith(str(tmp_path / "data")) for each in prepared)


def test_data_prepare_takes_a_source(hpsearch):
    told = hpsearch("data", "prepare", "digits", "--input-size", "6").out
    assert told.startswith("digits 1x6x6: 1,154 training and 288 validation images, ")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param(
            "digit", "error: unknown data source 'digit'. Did you mean 'digits'?", id="typo"
        ),
        pytest.param(
            "idx", "error: source 'idx' needs path; write it in a study file", id="settings"
        ),
    ],
)
def test_data_prepare_refuses_what_it_cant_know(hpsearch, source, says):
    ran = hpsearch("data", "prepare", source)
    assert ran.code == 2
    assert says in ran.err


@pytest.mark.parametrize("copies", [0, 12])
def test_check_warns_of_pictures_that_were_saved_twice(hpsearch, here, copies):
    """A copy of each picture: half of the pairs or so come to lie on both sides of the split."""
    draw = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (here / "photos" / name).mkdir(parents=True)
        for number in range(12):
            picture = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            picture.save(here / "photos" / name / f"{number}.png")
            if number < copies:
                picture.save(here / "photos" / name / f"{number} (1).png")
    data = f"data={{source: {{image_folder: {{path: {here}/photos}}}}, validation: 0.5}}"
    (here / "own.yaml").write_text(
        "study: own\nbudget: {trials: 1, epochs_per_trial: 1}\n"
        "data: {source: digits}\nmodel: mlp\noptimizer: adam\n"
    )

    told = hpsearch("check", "--study", "own.yaml", "--set", data)
    as_json = hpsearch("check", "--study", "own.yaml", "--set", data, "--json").json

    warning = (
        rf"warning: (\d+) of the {12 + copies} validation images of data source image_folder are "
        r"also training images, pixel for pixel at 8x8: accuracy on them measures memory\."
    )
    found = re.search(warning, told.out)
    assert told.code == 0
    assert (found is not None) == (copies > 0) == bool(as_json["warnings"])
    if found is not None:
        assert as_json["sources"][0]["copies"] == int(found[1]) in range(1, 24)
        launched = hpsearch("launch", "--study", "own.yaml", "--set", data, "--workers", "0")
        assert found[0] in " ".join(launched.out.split())


def own_study(here, folder: str, **data) -> str:
    """Write a study of a folder of pictures, and return its name."""
    source = {"source": {"image_folder": {"path": folder}}, **data}
    (here / "own.yaml").write_text(
        "study: own\nbudget: {trials: 1, epochs_per_trial: 1}\n"
        f"data: {json.dumps(source)}\nmodel: mlp\noptimizer: adam\n"
    )
    return "own.yaml"


def test_check_lists_classes_with_their_images_and_what_was_left_out(hpsearch, here):
    for name, count in (("cats", 9), ("dogs", 12)):
        (here / "photos" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, count, 0)).save(
                here / "photos" / name / f"{number}.png"
            )
        (here / "photos" / name / "phone.HEIC").touch()
    study = own_study(here, "photos", validation=15)
    told = hpsearch("check", "--study", study)
    assert told.code == 0
    assert "\n  images per class: cats 9, dogs 12\n" in told.out
    left_out = "2 of 23 files below .*/photos are left out, because .* of pictures \\(2 .heic\\)"
    assert re.search(f"\nwarning: data source image_folder: {left_out}\n", told.out)
    assert (
        "warning: 15 of the 21 images of data source image_folder are validation images, so"
        in told.out
    )
    as_json = hpsearch("check", "--study", study, "--json").json
    assert as_json["sources"][0]["images_per_class"] == {"cats": 9, "dogs": 12}
    assert len(as_json["warnings"]) == 2
    prepared = hpsearch("data", "prepare", "--study", study)
    assert len(re.findall("\nwarning: ", prepared.out)) == 2


@pytest.mark.parametrize("command", ["check", "launch"])
def test_what_is_no_folder_of_classes_is_refused_by_every_command(hpsearch, here, command):
    for name in ("train", "test"):
        (here / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(here / "photos" / name / "0.png")
    ran = hpsearch(command, "--study", own_study(here, "photos"))
    assert ran.code == 2
    assert "photos must be classes, but test, train are names of parts" in ran.err
    os.mkfifo(here / "photos" / "train" / "x.png")
    for name in ("train", "test"):
        (here / "photos" / name).rename(here / "photos" / f"{name} cats")
    ran = hpsearch(command, "--study", own_study(here, "photos"))
    assert (ran.code, "x.png is a FIFO; remove or rename it" in ran.err) == (2, True)


@pytest.mark.parametrize("size", [100_000, {"values": [8, 100_000]}, {"min": 8, "max": 100_000}])
def test_an_input_size_that_is_a_typing_error_is_named_with_its_line(hpsearch, here, size):
    ran = hpsearch("check", "--study", own_study(here, "photos", input_size=size))
    assert ran.code == 2
    assert "own.yaml:3: data.input_size" in ran.err
    assert "must be at most 4096" in ran.err


def test_check_shows_the_priors_of_parameters_and_refuses_them_in_a_grid(hpsearch, study):
    lr = "optimizer.sgd.lr={min: 1e-4, max: 1, log: true, prior: 0.05, confidence: high}"
    size = "batch_size={values: [16, 32], prior: 32}"
    flags = ["--set", "sampler=random", "--set", lr, "--set", size]
    told = hpsearch("check", study, *flags).out
    assert re.search(
        r"\noptimizer\.sgd\.lr +0\.0001 \.\. 1 +log, float, prior 0\.05 \(high\)\n", told
    )
    assert re.search(r"\nbatch_size +16, 32 +choice, prior 32 \(medium\)\n", told)
    found = hpsearch("check", study, *flags, "--json").json["parameters"]
    assert found["optimizer.sgd.lr"] == {
        "low": 1e-4, "high": 1.0, "step": None, "log": True, "integer": False,
        "prior": 0.05, "confidence": "high",
    }  # fmt: skip
    assert found["batch_size"] == {"values": [16, 32], "prior": 32, "confidence": "medium"}
    refused = hpsearch("check", study, "--set", size)
    assert refused.code == 2
    assert "prior has no effect, but batch_size has one; remove prior and confidence" in refused.err
