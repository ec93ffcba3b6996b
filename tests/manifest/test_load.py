"""What a manifest means, and what is said about one that means nothing. Providers here are those of small_house."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.errors import ManifestError
from mlopsctl.manifest import Manifest, load_manifest, topological
from mlopsctl.types import GUARD, Address, Need, Resource, Where
from tests.small_house import Train, small_house

MINIMAL = """\
# yaml-language-server: $schema=./.mlops/schema.json
apiVersion: mlopsctl/v1
project: {name: digits}
data:
  digits: {path: data/digits.csv, label: digit}
train:
  classifier: {run: python train.py}
gates:
  accuracy: {metric: accuracy, min: 0.93}
targets:
  cpu: {}
deployments:
  local: {target: cpu}
"""


@pytest.fixture(autouse=True, scope="module")
def _house() -> Iterator[None]:
    with small_house():
        yield


def load(text: str) -> Manifest:
    return load_manifest(text.encode())


def findings(text: str) -> list[ManifestError]:
    with pytest.raises(ManifestError) as caught:
        load(text)
    assert caught.value.exit_code == 3
    return [caught.value, *caught.value.others]


def only(text: str) -> ManifestError:
    found = findings(text)
    assert len(found) == 1, [f"{item.where} {item.message}" for item in found]
    return found[0]


# --- what it means -----------------------------------------------------------------------------------------


def test_the_minimal_manifest_is_six_resources_in_the_order_they_can_be_made() -> None:
    manifest = load(MINIMAL)
    assert [str(want.address) for want in manifest.resources] == [
        "data.digits",
        "train.classifier",
        "gates.accuracy",
        "gates.scan",
        "targets.cpu",
        "deployments.local",
    ]
    assert manifest.project.name == "digits"
    assert manifest.store is None
    assert manifest.resources[0].where == Where("mlops.yaml", 5, 3)


def test_model_and_data_may_be_left_out_where_only_one_exists() -> None:
    specs = {str(want.address): want.spec for want in load(MINIMAL).resources}
    assert specs["train.classifier"].data == "digits"
    assert specs["gates.accuracy"].model == "classifier"
    assert specs["deployments.local"].model == "classifier"


def test_the_built_in_scan_guards_the_deployment() -> None:
    deployment = load(MINIMAL).resources[-1]
    guards = [str(need.address) for need in deployment.needs if need.role == GUARD]
    assert guards == ["gates.accuracy", "gates.scan"]


def test_a_scan_of_ones_own_takes_the_place_of_the_built_in_one() -> None:
    text = MINIMAL.replace("gates:\n", "gates:\n  looked-through: {use: scan}\n")
    names = [want.address.name for want in load(text).resources if want.provider == "gates/scan"]
    assert names == ["looked-through"]


def test_each_of_several_models_has_a_scan() -> None:
    text = MINIMAL.replace("train:\n", "train:\n  ranker: {run: python rank.py}\n")
    text = text.replace("metric:", "model: ranker, metric:").replace("cpu: {}", "cpu: {model: ranker}")
    manifest = load(text)
    scans = {str(want.address): want.spec.model for want in manifest.resources if want.provider == "gates/scan"}
    assert scans == {"gates.scan[classifier]": "classifier", "gates.scan[ranker]": "ranker"}
    assert manifest.resources[-1].spec.model == "ranker", "the deployment's model is its target's"


def test_steps_that_make_files_are_no_models() -> None:
    text = MINIMAL.replace("train:\n", "train:\n  words: {run: python words.py, produces: files}\n")
    assert [str(want.address) for want in load(text).resources if want.provider == "gates/scan"] == ["gates.scan"]


def test_the_model_is_the_one_that_no_other_step_consumes() -> None:
    text = MINIMAL.replace("train:\n", 'train:\n  base: {run: "python base.py"}\n').replace(
        "run: python train.py}", 'run: "python train.py {train.base}"}'
    )
    specs = {str(want.address): want.spec for want in load(text).resources}
    assert specs["targets.cpu"].model == "classifier"


def test_the_digest_is_of_the_meaning() -> None:
    plain = load(MINIMAL).digest
    assert load("# a comment\n" + MINIMAL.replace("min: 0.93", "min:   0.930")).digest == plain
    assert load(MINIMAL.replace("{metric: accuracy, min: 0.93}", "{min: 0.93, metric: 'accuracy'}")).digest == plain
    assert load(MINIMAL.replace("0.93", "0.94")).digest != plain


def test_top_level_x_keys_are_ignored() -> None:
    assert len(load(MINIMAL + "x-notes: {anything: [goes, here]}\n").resources) == 6


def test_empty_sections_and_entries_are_allowed() -> None:
    assert load("apiVersion: mlopsctl/v1\nproject: {name: a}\ndata:\ngates: {}\n").resources == ()
    assert load(MINIMAL.replace("cpu: {}", "cpu:")).digest


def test_a_split_without_a_key_is_warned_about() -> None:
    assert "unstable under edits" in load(MINIMAL).warnings[0]
    assert load(MINIMAL).warnings[0].startswith("mlops.yaml:5:3: data.digits")
    for split in ("none", "{by: customer}", "{key: id}"):
        assert load(MINIMAL.replace("label: digit", f"label: digit, split: {split}")).warnings == ()


def test_variables_are_replaced_in_store_and_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_VAR_PORT", "9000")
    text = MINIMAL.replace("target: cpu", 'target: cpu, to: "127.0.0.1:${env:MLOPS_VAR_PORT}"')
    manifest = load("store: ../${env:MLOPS_VAR_STORE:-outputs}\n" + text)
    assert manifest.store == "../outputs"
    assert manifest.resources[-1].spec.to == "127.0.0.1:9000"
    assert manifest.digest == load("store: ../${env:MLOPS_VAR_STORE:-outputs}\n" + text).digest
    monkeypatch.setenv("MLOPS_VAR_PORT", "9001")
    elsewhere = load("store: ../${env:MLOPS_VAR_STORE:-outputs}\n" + text)
    assert manifest.digest != elsewhere.digest, "a plan saved for one place is not applied to another"


def test_a_version_this_one_satisfies_is_no_finding() -> None:
    assert load(MINIMAL + 'requires: ">=0.1, <99"\n')


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "says"),
    [
        ("cpu: {}", "cpu: {modle: classifier}", "MLO3013", "11:9", "did you mean 'model'?"),
        ("targets:", "tragets:", "MLO3013", "10:1", "did you mean 'targets'?"),
        ("target: cpu", "target: cup", "MLO3020", "13:19", "did you mean 'cpu'?"),
        ("target: cpu", "target: targets.cpu", "MLO3020", "13:19", "write target: cpu"),
        ("metric: accuracy, ", "", "MLO3015", "9:3", "What is measured"),
        ("min: 0.93", "min: high", "MLO3016", "9:37", "must be a number"),
        ("cpu: {}", "cpu: {use: tmv}", "MLO3029", "11:14", "did you mean 'tvm'?"),
        ("cpu: {}", "cpu: {use: openvino}", "MLO3019", "11:14", "not yet supported"),
        ("cpu: {}", "cpu: {quantize: int8}", "MLO3019", "11:9", "not yet supported"),
        ("cpu: {}", "cpu: 3", "MLO3016", "11:8", "a mapping of keys"),
        ("cpu: {}", "CPU: {}", "MLO3028", "11:3", "lower-case"),
        ("name: digits", "name: Digits", "MLO3017", "3:17", "must match"),
        ("name: digits", "name: digits, risk: high", "MLO3019", "3:25", "not yet supported"),
        ("mlopsctl/v1", "mlopsctl/v2", "MLO3027", "2:13", "reads mlopsctl/v1"),
        ("apiVersion: mlopsctl/v1\n", "", "MLO3015", "2:1", "begin with apiVersion"),
        (
            "project: {name: digits}",
            'requires: ">=99"\nproject: {name: d}',
            "MLO3027",
            "3:11",
            "requires mlopsctl >=99",
        ),
        ("project: {name: digits}", "requires: latest\nproject: {name: d}", "MLO3017", "3:11", "version bounds"),
        ("project: {name: digits}", "store: s3://b\nproject: {name: d}", "MLO3019", "3:8", "not yet supported"),
        ("project: {name: digits}", "store: {eu: a}\nproject: {name: d}", "MLO3019", "3:8", "several stores"),
        ("  accuracy:", "  scan:", "MLO3031", "9:3", "use: scan"),
        ("train.py}", "train.py {{out}}", "MLO3005", "", "quotes"),
        ("python train.py}", "'python train.py}", "MLO3003", "", "quotes"),
        ("python train.py", '"python train.py {uot}"', "MLO3021", "7:38", "did you mean 'out'?"),
        ("python train.py", '"python train.py {data.digit}"', "MLO3021", "7:38", "did you mean 'data.digits'?"),
        ("python train.py", '"python train.py {gates.accuracy}"', "MLO3038", "7:38", "comes after it"),
        ("python train.py", '"python train.py {targets.cpu}"', "MLO3038", "7:38", "comes after it"),
        ("python train.py", '"python train.py {data.digits.test}"', "MLO3038", "7:38", "write {data.digits}"),
        ("python train.py", '"python train.py {data.digits[val]}"', "MLO3038", "7:38", "the others are for gates"),
        ("python train.py", '"python train.py {data.digits:tset}"', "MLO3021", "7:38", "did you mean 'data.digits'?"),
        ("python train.py", '"python train.py {params.lr}"', "MLO3021", "7:38", "stands for nothing"),
        ("python train.py", '"python train.py {each.x}"', "MLO1050", "7:38", "stands for nothing"),
        ("python train.py", '"python -c print({)"', "MLO3021", "7:38", "write {{ or }}"),
        ("python train.py", "a && b", "MLO3022", "7:23", "write a list"),
        ("python train.py", "a; b", "MLO3022", "7:21", "write a list"),
        ("python train.py", "a | b", "MLO3022", "7:23", "into a script"),
        ("python train.py", "a > b", "MLO3022", "7:23", "{out}"),
        ("python train.py", "a 2>err", "MLO3022", "7:23", "{out}"),
        ("python train.py", "cat data/*.csv", "MLO3022", "7:25", "name the files"),
        ("python train.py", "a $MLOPS_OUT", "MLO3022", "7:23", "write {out}"),
        ("python train.py", "a $(date)", "MLO3022", "7:23", "placeholder"),
        ("python train.py", 'a "b', "MLO3022", "7:21", "close the quotation"),
        ("python train.py", "' '", "MLO3022", "7:21", "empty"),
        ("label: digit", "label: '${env:MLOPS_VAR_X}'", "MLO3023", "5:42", "only in 'store'"),
        ("target: cpu", "target: cpu, to: '${env:HOME}'", "MLO3023", "13:28", "begins with MLOPS_VAR_"),
        ("target: cpu", "target: cpu, to: '${env:MLOPS_VAR_NONE}'", "MLO3024", "13:28", "is not set"),
        ("label: digit", "label: AKIAABCDEFGHIJKLMNOP", "MLO3025", "5:42", "clear text"),
        ("label: digit", "label: 'https://me:hush@host/x'", "MLO3025", "5:42", "clear text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, code: str, place: str, says: str) -> None:
    text = MINIMAL.replace(old, new, 1)
    error = findings(text)[0]
    assert error.code == code, error.message
    assert says in error.message + " " + error.hint
    if place:
        assert str(error.where) == f"mlops.yaml:{place}"
        assert error.where and (error.line == text.split("\n")[error.where.line - 1] or code == "MLO3025")


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("run: python train.py", "run: python train.py, epochs: 3", "params: {epochs: …}"),
        ("run: python train.py", "cmd: python train.py", "write run:"),
        ("run: python train.py", "run: python train.py, deps: [a]", "references"),
        ("run: python train.py", "run: python train.py, outs: [a]", "{out}"),
        ("run: python train.py", "run: python train.py, metrics: metrics.json", "write a gate"),
        ("run: python train.py", "run: python train.py, matrix: {lr: [1]}", "write each:"),
        ("run: python train.py", "run: python train.py, schedule: daily", "cron"),
        ("data:\n", "stages: {}\ndata:\n", "'train:'"),
        ("data:\n", "environments: {}\ndata:\n", "one deployment each"),
        ("data:\n", "schedule: daily\ndata:\n", "cron"),
    ],
)
def test_habits_of_other_tools_get_the_right_spelling(old: str, new: str, hint: str) -> None:
    error = next(item for item in findings(MINIMAL.replace(old, new, 1)) if item.code == "MLO3014")
    assert hint in error.hint


def test_words_only_a_shell_knows_may_stand_in_quotes() -> None:
    assert load(MINIMAL.replace("python train.py", "\"python -c 'print(1 > 0 and 2 * 3)' '*.csv' --a=b&c\""))
    assert load(MINIMAL.replace("python train.py", '["python a.py", "python b.py {{literal}} {out}"]'))


def test_all_findings_come_at_once_in_the_order_of_the_file() -> None:
    text = MINIMAL.replace("cpu: {}", "cpu: {a: 1}").replace("label:", "lable:").replace("target: cpu", "target: x")
    assert [item.where.line for item in findings(text) if item.where] == [5, 11, 13]


def test_a_secret_is_never_shown() -> None:
    text = MINIMAL.replace("label: digit", "label: digit, password: hunter2, x: ghp_" + "a" * 36)
    shown = "".join(item.message + item.line + item.hint for item in findings(text))
    assert "hunter2" not in shown and "ghp_aaa" not in shown
    assert sum(item.code == "MLO3025" for item in findings(text)) == 2


def test_references_to_secrets_are_no_secrets() -> None:
    assert load(MINIMAL + 'x-notes: {token: "env:API_TOKEN", password: "file:/run/secrets/p", secret: ""}\n')


def test_several_models_must_be_told_apart() -> None:
    text = MINIMAL.replace("train:\n", "train:\n  ranker: {run: python rank.py}\n")
    found = findings(text)
    assert {item.code for item in found} == {"MLO3030"}
    assert "write model: ranker or model: classifier" in found[0].hint


def test_steps_that_wait_for_each_other_are_named() -> None:
    text = (
        MINIMAL.replace(
            "  classifier: {run: python train.py}\n",
            '  one: {run: "a {train.two}"}\n  two: {run: "a {train.one}"}\n',
        )
        .replace("metric:", "model: one, metric:")
        .replace("cpu: {}", "cpu: {model: one}")
    )
    error = only(text)
    assert error.code == "MLO3026"
    assert "train.one → train.two" in error.message or "train.two → train.one" in error.message
    assert error.where is not None


def test_topological_keeps_the_given_order_where_it_can() -> None:
    def step(name: str, *needs: str) -> Resource:
        edges = tuple(Need("base", Address("train", other), "model") for other in needs)
        return Resource(Address("train", name), "train/local", Train("x"), edges)

    found = topological([step("c", "b"), step("b"), step("a")])
    assert [want.address.name for want in found] == ["b", "a", "c"]


def test_a_list_is_no_manifest() -> None:
    assert only("- a\n").code == "MLO3009"


# --- whatever stands in the file, the answer is a manifest or findings -----------------------------------------


def answered(data: bytes) -> None:
    try:
        load_manifest(data)
    except ManifestError as error:
        assert error.code.startswith("MLO3") and error.where is not None and error.where.line >= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    answered(data)


_PIECES = ["{", "}", "[", "]", ":", " ", "\n", "\t", "- ", "&a ", "*a", "!!x ", "'", '"', "#", "|\n", "~", "1e9", "${", "{{", "\\",
           "use: command", "null", "? ", "%", "@", "<<: ", "\x00", "\ufeff", "é", "---\n", "path: ", "0x", ".nan"]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(MINIMAL)), st.integers(0, 6), st.sampled_from(_PIECES)), min_size=1, max_size=3
    )
)
def test_any_edit_of_a_manifest_is_answered(edits: list[tuple[int, int, str]]) -> None:
    text = MINIMAL
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    answered(text.encode())


def test_text_that_names_a_person_is_warned_about_because_entries_keep_it() -> None:
    for text in ("--owner jane@example.org", "--to /home/jane/x"):
        manifest = MINIMAL.replace("python train.py", f"python train.py {text}")
        assert any("goes into signed entries as it is written" in line for line in load(manifest).warnings)
    assert not any("signed entries" in line for line in load(MINIMAL).warnings)
