"""The trail as the rest of mlopsctl uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.code import CodeTree, code_tree, without_secrets
from mlopsctl.audit.sharing import pull_trail
from mlopsctl.audit.trust import read_policy
from mlopsctl.canonical import digest_of
from mlopsctl.errors import EvidenceError
from mlopsctl.gitobjects import build_trees, object_id
from mlopsctl.types import Address, Digest, Entry, TreeFile

from .clone import Clone, result, run


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


def code_of(files: dict[str, bytes]) -> CodeTree:
    oid, trees = build_trees({name: TreeFile("100644", object_id("blob", body)) for name, body in files.items()})
    objects = [("tree", body) for body in trees.values()] + [("blob", body) for body in files.values()]
    return CodeTree(oid, tuple(objects))


def test_what_was_appended_is_found(clone: Clone) -> None:
    made = clone.trail.append("result", **result("model"), commit=clone.commit())
    trail = clone.trail
    assert trail.result(made.made_from) == made
    assert trail.latest("train.model") == made
    assert trail.with_output(made.outputs["model"]) == made
    assert trail.entry(made.id) == made
    assert trail.find(made.id[:8]) == made
    assert trail.result(Digest("sha256:00")) is None


def test_the_journal_is_part_of_the_trail_before_and_after_it_is_flushed(clone: Clone) -> None:
    trail = clone.trail
    made = trail.append("result", **result("model"), commit=clone.commit())
    assert clone.trail.entry(made.id) and not run(clone.folder, "notes", "--ref", "mlops", "list").count("\n")
    trail.flush()
    assert clone.trail.entry(made.id) and clone.verdict(full=True).ok
    assert made.id in {entry.id for entry in clone.trail.entries()}
    assert (clone.state / "journal/entries.jsonl").stat().st_size == 0


def test_stock_git_shows_the_entry(clone: Clone) -> None:
    made = clone.train("model")
    assert '"payloadType":"application/vnd.in-toto+json"' in run(
        clone.folder, "notes", "--ref", "mlops", "show", made.commit
    )


def test_seq_counts_up_and_parents_are_the_tips(clone: Clone) -> None:
    first, second = clone.train("a"), clone.train("b")
    assert (first.seq, second.seq) == (2, 3)
    assert second.parents == (first.id,)
    assert clone.trail.tips() == [second.id]


def test_of_two_results_the_older_is_in_force_until_superseded(clone: Clone) -> None:
    older, newer = clone.train("model"), clone.train("model")
    assert clone.trail.result(older.made_from) == older
    replaced = clone.train("model", supersedes=(older.id, newer.id))
    assert clone.trail.result(older.made_from) == replaced


def test_what_a_plan_expects_is_what_single_questions_answer(clone: Clone) -> None:
    """Read in one go, and asked anew as soon as anybody changed the trail: this process or another one."""
    names = ["one", "two", "three"]
    for name in [*names, "one", "two"]:
        clone.train(name)
    clone.train("three", supersedes=(clone.trail.latest("train.three").id,))  # type: ignore[union-attr]
    made = [result(name)["made_from"] for name in names]
    alone, together = clone.trail, clone.trail
    together.expect(Address("train", name) for name in names)
    assert [together.result(one) for one in made] == [alone.result(one) for one in made]
    other = clone.trail  # another process, as far as the index is concerned
    newer = other.append("result", **result("two"), commit=clone.commit(), supersedes=(alone.result(made[1]).id,))  # type: ignore[union-attr]
    assert alone.result(made[1]) != newer, "the first of two is still not superseded"
    own = other.append(
        "result",
        **result("one"),
        commit=clone.commit(),
        supersedes=[entry.id for entry in alone.entries("train.one", ("result",))],
    )
    assert together.result(made[0]) == own


def test_a_remembered_answer_lasts_until_the_trail_changes(clone: Clone) -> None:
    trail, other, asked = clone.trail, clone.trail, list[int]()

    def ask() -> int:
        asked.append(len(asked))
        return len(trail.entries())

    before = trail.remembered("how many", ask)
    assert trail.remembered("how many", ask) == before
    assert len(asked) == 1
    other.append("result", **result("more"), commit=clone.commit())
    assert trail.remembered("how many", ask) == before + 1


def test_what_ran_before_is_told_by_order_and_place(clone: Clone) -> None:
    """Not by the clocks, and not from another machine: its artifact never ran here."""

    def deploy(artifact: str, at: str, location: str) -> Entry:
        trail = clone.trail
        trail.clock = lambda: at
        ingredients = {"provider": "deployments/local", "inputs": {"artifact": ["dirhash:" + artifact * 64]}}
        return trail.append(
            "result",
            address="deployments.local",
            made_from=digest_of(ingredients),
            ingredients=ingredients,
            facts={"location": location},
            location=location,
        )

    first = deploy("1", "2026-11-03T00:00:00Z", "here")
    deploy("2", "2026-11-02T00:00:00Z", "there")
    now = deploy("3", "2026-11-01T00:00:00Z", "here")
    assert list(clone.trail.previous_deployments("deployments.local", now.observed())) == [first]
    assert list(clone.trail.previous_deployments("deployments.local", first.observed())) == []


def test_a_failure_is_history_and_no_result(clone: Clone) -> None:
    trail = clone.trail
    failed = trail.append("failure", **result("model"), commit=clone.commit())
    assert trail.result(failed.made_from) is None
    assert trail.latest("train.model", ("result", "failure")) == failed


def test_the_code_of_a_result_survives_gc_and_is_listed(clone: Clone) -> None:
    code = code_of({"train.py": b"print(1)\n", "lib/net.py": b"x = 1\n"})
    trail = clone.trail
    trail.append("result", **result("model"), commit=clone.commit(), code=code)
    trail.flush()
    run(clone.folder, "gc", "-q", "--prune=now")
    assert set(clone.trail.code_files(code.oid)) == {"train.py", "lib/net.py"}
    assert run(clone.folder, "cat-file", "blob", f"refs/notes/mlops:code/{code.oid}/train.py") == "print(1)"


def test_code_with_a_secret_is_refused(tmp_path: Path) -> None:
    class Files:
        def read(self, path: str, most: int | None = None) -> bytes:
            return b"key = 'AKIA" + b"ABCDEFGHIJKLMNOP'"

    body = Files().read("")
    with pytest.raises(EvidenceError) as caught:
        code_tree(Files(), {"a.py": TreeFile("100644", object_id("blob", body))})  # type: ignore[arg-type]
    assert caught.value.code == "MLO7120" and "a.py" in caught.value.message


def test_a_grant_that_was_taken_back_stays_taken_back(clone: Clone, tmp_path: Path) -> None:
    """Also where somebody who had not seen it wrote at the same time: the policy is that of before, and a newer one."""
    trust = clone.trail.entries()[0].facts["trust"]
    bob = {"key": new_key(tmp_path / "bob.pem").key, "roles": ["gate"]}
    trail = clone.trail
    trail.append("trust", facts={"trust": {**trust, "signers": {**trust["signers"], "bob": bob}}})
    trail.flush()
    unaware = clone.again(tmp_path / "unaware")
    run(unaware.folder, "fetch", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")
    unaware.trail.append("result", **result("unaware"))
    unaware.trail.flush()
    trail.append("trust", facts={"trust": trust})
    trail.flush()
    run(clone.folder, "remote", "add", "unaware", str(unaware.folder))
    assert pull_trail(clone.trail, "unaware").new == 1
    assert len(clone.trail.tips()) == 2
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None and "bob" not in policy.signers
    assert policy.digest != read_policy(trust).digest, "the same words, said at another place of the chain"
    clone.train("model")
    assert clone.verdict(full=True).ok


def test_no_entry_holds_a_secret(clone: Clone) -> None:
    secret = "ghp_" + "a" * 36
    with pytest.raises(EvidenceError) as caught:
        clone.trail.append("result", address="train.model", facts={"params": {"token": secret}})
    assert caught.value.code == "MLO7120" and secret not in caught.value.message
    assert len(clone.trail.entries()) == 1
    assert without_secrets(f"401 for {secret}, retry") == "401 for ***, retry"


def test_a_key_without_the_role_has_local_results_and_no_deployments(clone: Clone, tmp_path: Path) -> None:
    clone.train("model")
    tips = clone.trail.tips()
    path = tmp_path / "keys" / "eve.pem"
    clone.signer = new_key(path)
    os.environ["MLOPS_KEY"] = str(path)
    try:
        trail = clone.trail
        mine = trail.append("result", **result("own"), commit=clone.commit())
        trail.flush()
        assert not mine.trusted
        assert clone.trail.result(mine.made_from) == mine
        assert clone.trail.tips() == tips, "no shared entry will ever build on it"
        with pytest.raises(EvidenceError) as caught:
            trail.append("result", address="deployments.production")
        assert caught.value.code == "MLO7105"
    finally:
        del os.environ["MLOPS_KEY"]
    assert clone.trail.result(mine.made_from) is None, "another key's owner does not see it"
    verdict = clone.verdict(full=True)
    assert verdict.ok, "a key that was changed since breaks nothing"
    assert [(one.code, one.entry) for one in verdict.warnings] == [("MLO7171", mine.id)]


def test_what_an_expired_key_signs_stays_here(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the shared trail it would be a finding for everybody, and nothing could be built on it."""
    path = tmp_path / "keys" / "old.pem"
    old = new_key(path)
    trust = clone.trail.entries()[0].facts["trust"]
    signers = {**trust["signers"], "old": {"key": old.key, "roles": ["train", "deploy"], "until": "2020-01-01"}}
    clone.trail.append("trust", facts={"trust": {**trust, "signers": signers}})
    monkeypatch.setenv("MLOPS_KEY", str(path))
    clone.signer = old
    trail = clone.trail
    made = trail.append("result", **result("own"), commit=clone.commit())
    with pytest.raises(EvidenceError) as caught:
        trail.append("result", address="deployments.production")
    trail.flush()
    assert caught.value.code == "MLO7105" and "2020-01-01" in caught.value.message
    assert clone.verdict(full=True).ok
    assert not made.trusted and clone.trail.result(made.made_from) == made


def test_after_a_change_of_trust_the_next_entry_names_the_new_policy(clone: Clone, tmp_path: Path) -> None:
    trust = clone.trail.entries()[0].facts["trust"]
    bob = {"key": new_key(tmp_path / "bob.pem").key, "roles": ["gate"]}
    trail = clone.trail
    trail.append("trust", facts={"trust": {**trust, "signers": {**trust["signers"], "bob": bob}}})
    trail.append("result", **result("model"), commit=clone.commit())
    trail.flush()
    assert clone.verdict(full=True).ok


def test_an_entry_that_is_too_large_is_refused(clone: Clone) -> None:
    with pytest.raises(EvidenceError) as caught:
        clone.trail.append("result", address="train.model", facts={"rows": ["x" * 50] * 200})
    assert caught.value.code == "MLO7107"
    assert clone.verdict().ok


def test_a_trail_that_was_not_started_cannot_be_appended_to(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "empty")
    clone = Clone(tmp_path / "empty", "0" * 32)
    with pytest.raises(EvidenceError) as caught:
        clone.trail.append("result", address="train.model")
    assert caught.value.code == "MLO7106"


def test_reading_verified_entries_imports_no_cryptography(clone: Clone) -> None:
    made = clone.train("model")
    assert clone.verdict().ok
    program = (
        "import sys; from pathlib import Path; from mlopsctl.adapters.git import find_repo;"
        "from mlopsctl.cli.trail import open_trail;"
        f"repo = find_repo(Path({str(clone.folder)!r}));"
        f"trail = open_trail(repo, repo.common_dir / 'mlops', {clone.log!r});"
        f"assert trail.result({made.made_from!r}).id == {made.id!r};"
        "heavy = {'cryptography', 'numpy', 'model_signing', 'yaml', 'importlib.metadata'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_index_may_be_deleted_or_damaged(clone: Clone) -> None:
    made = clone.train("model")
    index = clone.state / "index.db"
    for damage in (lambda: index.unlink(), lambda: index.write_bytes(b"no database" * 100)):
        damage()
        for more in ("index.db-wal", "index.db-shm"):
            (clone.state / more).unlink(missing_ok=True)
        assert clone.trail.result(made.made_from) == made


def test_a_torn_line_of_the_journal_was_never_acknowledged(clone: Clone) -> None:
    journal = clone.state / "journal/entries.jsonl"
    made = clone.trail.append("result", **result("a"), commit=clone.commit())
    with journal.open("ab") as stream:
        stream.write(b'{"dsse":{"payl')
    trail = clone.trail
    again = trail.append("result", **result("b"), commit=made.commit)
    trail.flush()
    assert {made.id, again.id} <= {entry.id for entry in clone.trail.entries()}
    assert clone.verdict(full=True).ok


def test_a_kill_between_ref_and_journal_duplicates_nothing(clone: Clone) -> None:
    trail = clone.trail
    trail.append("result", **result("a"), commit=clone.commit())
    body = (clone.state / "journal/entries.jsonl").read_bytes()
    trail.flush()
    (clone.state / "journal/entries.jsonl").write_bytes(body)  # as if killed before it was emptied
    clone.trail.flush()
    assert len(clone.trail.entries()) == 2
    assert clone.verdict(full=True).ok
    assert sum(len(lines) for lines in clone.notes().values()) == 2


def test_entries_before_the_first_commit_hang_on_the_empty_tree(tmp_path: Path) -> None:
    from mlopsctl.audit.statement import EMPTY_TREE
    from mlopsctl.cli.trail import init_trail

    run(tmp_path, "init", "-q", "fresh")
    clone = Clone(tmp_path / "fresh", "1" * 32)
    _, root, text = init_trail(clone.repo, clone.state, clone.log, clone.signer)
    assert list(clone.notes()) == [EMPTY_TREE]
    assert root.commit == "" and "signers:" in text
    assert clone.verdict().ok


def test_git_rearranging_the_notes_changes_nothing(clone: Clone) -> None:
    made = clone.train("model")
    run(
        clone.folder,
        "notes",
        "--ref",
        "mlops",
        "add",
        "-m",
        "hello",
        run(clone.folder, "hash-object", "-w", "--stdin", data=b"x"),
    )
    run(clone.folder, "notes", "--ref", "mlops", "remove", run(clone.folder, "hash-object", "--stdin", data=b"x"))
    clone.train("next")
    assert clone.trail.entry(made.id)
    assert {code for code, _ in clone.codes(full=True)} == {"MLO7030"}, "only the foreign note that was removed"


def test_twenty_writers_in_one_clone_lose_nothing(clone: Clone) -> None:
    commit = clone.commit()
    program = (
        "import sys; from pathlib import Path; from mlopsctl.adapters.git import find_repo;"
        "from mlopsctl.cli.trail import open_trail;"
        f"repo = find_repo(Path({str(clone.folder)!r}));"
        f"trail = open_trail(repo, repo.common_dir / 'mlops', {clone.log!r});"
        "me = sys.argv[1];"
        f"[trail.append('result', address='train.w' + me, facts={{'n': n}}, commit={commit!r}) for n in range(5)];"
        "trail.flush()"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(n)]) for n in range(20)]
    assert [worker.wait() for worker in workers] == [0] * 20
    assert len(clone.trail.entries()) == 101
    assert clone.verdict(full=True).ok


def test_a_trial_is_seen_by_trials_only(clone: Clone) -> None:
    trail = clone.trail
    made = trail.append("trial", **result("model"), commit=clone.commit())
    assert trail.trial(made.made_from) == made
    assert trail.result(made.made_from) is None
    assert trail.latest("train.model") is None
    assert trail.with_output(made.outputs["model"]) is None
    again = trail.append("trial", **result("model"), commit=clone.commit())
    trail.append("trial", **{**result("model"), "status": "crashed"}, commit=clone.commit())
    assert trail.trial(made.made_from) == again, "the newest that came to an end"
    assert clone.verdict(full=True).ok


def test_a_trial_replaces_nothing_and_is_none_of_a_deployment(clone: Clone) -> None:
    made = clone.train("model")
    with pytest.raises(ValueError, match="replaces nothing"):
        clone.trail.append("trial", **result("model"), supersedes=(made.id,))
    with pytest.raises(ValueError, match="deploys nothing"):
        clone.trail.append("trial", address="deployments.local", made_from="", ingredients={})
    with pytest.raises(ValueError, match="fingerprint"):
        clone.trail.append("trial", **{**result("model"), "ingredients": {"provider": "train/other"}})
