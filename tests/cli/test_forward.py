"""The verbs audit impact and runs as a person types them, in a project and in a clone of the trail alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.cli.main import run as mlopsctl
from mlopsctl.types import Entry
from tests.audit.clone import Clone, run
from tests.audit.pipeline import made, pipeline, sha
from tests.cli.contract import follows

MANIFEST = "apiVersion: mlopsctl/v1\nproject: {{name: rows, log: '{log}'}}\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(MANIFEST.format(log=clone.log))
    run(clone.folder, "add", "-A")
    clone.commit()
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("MLOPS_KEY", str(clone.signer.path))
    return clone


@pytest.fixture
def entries(clone: Clone) -> dict[str, Entry]:
    return pipeline(clone)


class Said:
    """What a verb printed, and what it answered."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        answered = mlopsctl(words)
        said = self._capsys.readouterr()
        self.err = said.err
        assert answered == code, said.out + said.err
        return said.out

    def document(self, schema: str, *words: str, code: int = 0) -> Any:
        return follows(schema, self(*words, "--format", "json", code=code))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def test_impact_as_text_and_as_json(say: Said, entries: dict[str, Entry]) -> None:
    text = say("audit", "impact", "data.rows")
    assert "made from it: 6 entries" in text and "deployments.local at here  runs since" in text
    assert "from data.rows, train.model" in text
    said = say.document("audit-impact", "audit", "impact", "data.rows")
    assert [one["id"] for one in said["entries"]] == [entries["data"].id]
    assert said["deployments"][0]["until"] is None and said["quarantine"] is None and said["withdrawn"] == []
    assert len(say("audit", "impact", "data.rows", "-n", "2").splitlines()) < len(text.splitlines())


def test_a_withdrawal_and_its_end(say: Said, clone: Clone, entries: dict[str, Entry]) -> None:
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "consent ended")
    assert "mlopsctl halt local" in say.err
    (entry,) = clone.trail.entries(kinds=("withdraw",))
    assert entry.facts == {
        "what": "data.rows", "reason": "consent ended", "roots": [sha("rows"), f"entry:{entries['data'].id}"],
    }  # fmt: skip
    said = say.document("audit-impact", "audit", "impact", "train.model")
    assert said["withdrawn"] == []
    assert say.document("audit-impact", "audit", "impact", "data.rows")["withdrawn"][0]["entry"] == entry.id
    # Said twice it is recorded once.
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "again")
    assert "nothing is recorded" in say.err and len(clone.trail.entries(kinds=("withdraw",))) == 1
    say("audit", "impact", "--lift", entry.id[:12], "--reason", "they agreed again")
    assert say.document("audit-impact", "audit", "impact", "data.rows")["withdrawn"] == []
    say("audit", "impact", "--lift", entry.id[:12], "--reason", "twice", code=1)
    assert "MLO7257" in say.err
    assert clone.verdict().ok


def test_json_of_a_withdrawal_and_of_its_end(say: Said, clone: Clone, entries: dict[str, Entry]) -> None:
    said = say.document("audit-impact", "audit", "impact", "train.model", "--quarantine", "--reason", "bad")
    ended = json.loads(say("audit", "impact", "--lift", said["quarantine"], "--reason", "good", "--format", "json"))
    assert ended["lifted"] == said["quarantine"] and ended["entry"] == clone.trail.tips()[0]


def test_a_file_of_withdrawn_bytes_is_neither_served_nor_asked(say: Said, clone: Clone, tmp_path: Path) -> None:
    from mlopsctl.adapters.store import hash_folder

    model = tmp_path / "model"
    model.mkdir()
    (model / "model.onnx").write_bytes(b"weights")
    (clone.folder / "rows.csv").write_text("a\n1\n")
    trail = clone.trail
    digest = hash_folder(model)
    trail.append("result", **{**_entry("train.bytes"), "outputs": {"model": digest}}, commit=clone.repo.rev("HEAD"))
    trail.flush()
    say("audit", "impact", "train.bytes", "--quarantine", "--reason", "it leaks")
    for verb in (("serve", str(model)), ("serve", str(model / "model.onnx")), ("predict", str(model), "rows.csv")):
        say(*verb, code=4)
        assert "MLO7250" in say.err and "it leaks" in say.err
    (model / "model.onnx").write_bytes(b"other weights")
    say("predict", str(model), "rows.csv", code=1)
    assert "MLO7250" not in say.err


def _entry(address: str) -> dict[str, Any]:
    from mlopsctl.canonical import digest_of

    parts: dict[str, Any] = {"provider": address.partition(".")[0] + "/x", "spec": {}, "inputs": {}}
    return {"address": address, "status": "done", "ingredients": parts, "made_from": digest_of(parts)}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 64, "MLO7255"),
        (("data.rows", "--lift", "abcd", "--reason", "x"), 64, "MLO7255"),
        (("data.rows", "--quarantine"), 64, "MLO7256"),
        (("data.rows", "--reason", "x"), 64, "MLO7256"),
        (("data.rows", "--quarantine", "--reason", " "), 1, "MLO7252"),
        (("data.rows", "--format", "xml"), 64, "MLO6401"),
        (("data.none",), 1, "MLO7251"),
        (("--lift", "0000000", "--reason", "x"), 1, "MLO7104"),
    ],
)
def test_a_slip_withdraws_nothing(
    say: Said, clone: Clone, entries: dict[str, Entry], words: tuple[str, ...], code: int, told: str
) -> None:
    say("audit", "impact", *words, code=code)
    assert told in say.err and clone.trail.entries(kinds=("withdraw",)) == []


def test_too_many_roots_are_refused_with_a_way_out(say: Said, clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        made(clone, "data.rows", f"rows {number}")
    monkeypatch.setattr("mlopsctl.cli.audit_impact.MOST_ROOTS", 5)
    say("audit", "impact", "data.rows", "--every-version", "--quarantine", "--reason", "x", code=1)
    assert "MLO7254" in say.err and "signer:NAME" in say.err


def test_80_roots_fit_into_an_entry(say: Said, clone: Clone) -> None:
    trail = clone.trail
    roots = [f"entry:{number:064x}" for number in range(80)]
    assert trail.append("withdraw", facts={"what": "x" * 80, "roots": roots, "reason": "y" * 400}).id


def test_whoever_may_not_govern_withdraws_nothing(
    say: Said, clone: Clone, entries: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlopsctl.adapters.keys import new_key

    monkeypatch.setenv("MLOPS_KEY", str(new_key(tmp_path / "keys" / "eve.pem").path))
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "x", code=7)
    assert "MLO7105" in say.err and "govern" in say.err


def test_an_address_of_a_person_is_warned_of_and_a_secret_refused(
    say: Said, clone: Clone, entries: dict[str, Entry]
) -> None:
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "asked by ada@example.com")
    assert "ada@example.com" in say.err and "cannot forget" in say.err
    say("audit", "impact", "train.model", "--quarantine", "--reason", "token ghp_" + "a" * 36, code=7)
    assert "MLO7120" in say.err


def test_runs_as_tables_and_as_json(say: Said, entries: dict[str, Entry]) -> None:
    header, good, bad = say("runs", "ls").splitlines()
    assert header.split()[:4] == ["entry", "at", "by", "address"] and "accuracy" in header
    assert "0.9100" in good and "lr=0.05" in good and "it diverged" in bad and "failed" in bad
    said = say.document("runs", "runs", "ls", "--where", "gates.accuracy>0.9", "--sort", "gates.accuracy")
    assert [one["entry"] for one in said["runs"]] == [entries["train"].id]
    assert say.document("runs", "runs", "ls", "--sort", "params.lr", "-n", "1")["runs"][0]["params"] == {"lr": 5.0}
    first = say.document("runs", "runs", "ls", "--sort", "params.lr", "--reverse")["runs"][0]
    assert first["entry"] == entries["train"].id
    assert say("runs", "ls", "--where", "params.lr>100") == ""


def test_one_run_and_two_side_by_side(say: Said, entries: dict[str, Entry]) -> None:
    good, bad = entries["train"].id, entries["failed"].id
    text = say("runs", "show", good[:12])
    assert "measured:    accuracy 0.9100 [0.8800, 0.9400] on 100 rows, passed" in text
    assert "claimed:     accuracy 0.999  (by the training program, not measured)" in text
    assert say.document("run", "runs", "show", good)["entry"] == good
    table = say("runs", "compare", good[:12], bad[:12])
    assert (
        "params.lr" in table and "data.data" not in table and "data.data" in say("runs", "compare", "--all", good, bad)
    )
    said = say.document("runs-compare", "runs", "compare", good, bad)
    assert {"group": "params", "name": "lr", "values": [0.05, 5.0], "differs": True} in said["fields"]
    say("runs", "compare", good, code=64)
    assert "MLO7263" in say.err


def test_was_it_tried(say: Said, entries: dict[str, Entry]) -> None:
    assert entries["failed"].id[:12] in say("runs", "tried", "lr=5")
    assert say("runs", "tried", "lr=0.05", "seed=4", code=1) == "never tried: params.lr=0.05, seed=4\n"
    assert say.document("runs", "runs", "tried", "lr=0.05", "seed=3")["tried"] is True
    assert say.document("runs", "runs", "tried", "lr=6", code=1)["tried"] is False
    say("runs", "tried", "lr<6", code=64)
    assert "MLO7261" in say.err


def test_code_that_the_trail_keeps_is_compared_by_file(say: Said, clone: Clone) -> None:
    from mlopsctl.audit.code import code_tree
    from mlopsctl.canonical import digest_of

    ids = []
    for text in ("one", "two"):
        (clone.folder / "train.py").write_text(text)
        from mlopsctl.adapters.git import WorkTree

        tree = WorkTree(clone.repo, clone.folder)
        file = tree.file("train.py")
        assert file is not None
        code = code_tree(tree, {"train.py": file})
        fields = _entry("train.coded")
        parts = {**fields["ingredients"], "tree": "gitoid:" + code.oid}
        trail = clone.trail
        entry = trail.append(
            "result", **{**fields, "ingredients": parts, "made_from": digest_of(parts)}, code=code,
            commit=clone.repo.rev("HEAD"),
        )  # fmt: skip
        trail.flush()
        ids.append(entry.id)
    assert "code: train.py" in say("runs", "compare", *ids)


def test_it_all_works_in_a_clone_of_the_trail_alone(
    say: Said, clone: Clone, entries: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "clone", "-q", "--mirror", str(clone.folder), "mirror.git")
    monkeypatch.chdir(tmp_path / "mirror.git")
    run(tmp_path / "mirror.git", "remote", "remove", "origin")
    assert "made from it: 6 entries" in say("audit", "impact", "data.rows")
    assert "0.9100" in say("runs", "ls")
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "found at night")
    assert "found at night" in say("audit", "impact", "data.rows")


def test_strangers_words_move_no_cursor(say: Said, clone: Clone) -> None:
    made(clone, "train.odd", "odd", spec={"params": {"x": "\x1b[2J"}}, facts={"claimed": {"\x1b[31m": "1"}})
    entry = clone.trail.latest("train.odd")
    assert entry is not None
    clone.trail.append("withdraw", facts={"roots": [f"entry:{entry.id}"], "reason": "\x1b[2Jgone"})
    for words in (("runs", "ls"), ("runs", "show", entry.id), ("audit", "impact", "train.odd")):
        assert "\x1b" not in say(*words)
