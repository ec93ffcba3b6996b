"""Every way to tamper with a trail that we know of, each found by its code and naming the entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import Signer, key_file, load_signer, new_key
from mlopsctl.audit import dsse, verify
from mlopsctl.audit.dsse import encode, pae
from mlopsctl.audit.entry import read_line
from mlopsctl.audit.sharing import pull_trail, push_trail
from mlopsctl.audit.trust import one_signer, read_policy
from mlopsctl.types import Entry

from .clone import Clone, Notes, forged, line_id, payload_of, run, signed, with_payload


@pytest.fixture(autouse=True, params=[dsse.FEW, 0], ids=["few lines", "many lines"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read: of many lines the usual ones are read by another parser, from the first one on."""
    monkeypatch.setattr(verify, "FEW", request.param)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Three results, one commit each."""
    clone = Clone.start(tmp_path / "repo")
    for name in ("first", "middle", "last"):
        clone.train(name)
    return clone


@pytest.fixture
def entries(clone: Clone) -> list[Entry]:
    return clone.trail.entries()


@pytest.fixture
def stranger(tmp_path: Path) -> Signer:
    path = tmp_path / "keys" / "owner.pem"
    return new_key(path)


def test_an_untouched_trail_is_fine(clone: Clone) -> None:
    verdict = clone.verdict(full=True)
    assert verdict.ok and not verdict.warnings
    assert (verdict.entries, len(verdict.tips), verdict.freshness, verdict.root) == (4, 1, "anchored", "pinned")


def test_a_field_is_edited(clone: Clone, entries: list[Entry]) -> None:
    line = clone.line(entries[2].id)
    payload = payload_of(line)
    payload["predicate"]["mlopsctl_entry"]["facts"]["opset"] = 18
    edited = with_payload(line, json.dumps(payload, separators=(",", ":"), sort_keys=True).encode())
    new = clone.replace(entries[2].id, edited)
    assert ("MLO7011", new) in clone.codes()
    assert clone.trail.result(entries[2].made_from) is None


def test_a_field_is_edited_and_signed_with_an_unknown_key(clone: Clone, entries: list[Entry], stranger: Signer) -> None:
    new = clone.replace(entries[2].id, forged(clone.line(entries[2].id), stranger, status="better"))
    assert ("MLO7012", new) in clone.codes()


def test_a_middle_entry_is_edited_and_signed_with_a_trusted_key(clone: Clone, entries: list[Entry]) -> None:
    clone.replace(entries[2].id, forged(clone.line(entries[2].id), clone.signer, status="better"))
    found = clone.codes()
    assert ("MLO7022", entries[3].id) in found
    assert ("MLO7040", entries[3].id) in found


def test_the_last_entry_is_edited_and_signed_with_a_trusted_key(clone: Clone, entries: list[Entry]) -> None:
    clone.replace(entries[3].id, forged(clone.line(entries[3].id), clone.signer, status="better"))
    assert clone.codes() == {("MLO7040", entries[3].id)}


@pytest.mark.parametrize(("which", "named"), [(1, 2), (2, 3)])
def test_an_entry_is_dropped(clone: Clone, entries: list[Entry], which: int, named: int) -> None:
    clone.tamper(lambda notes: drop(notes, entries[which].id))
    assert ("MLO7022", entries[named].id) in clone.codes()


def test_the_root_is_dropped(clone: Clone, entries: list[Entry]) -> None:
    clone.tamper(lambda notes: drop(notes, entries[0].id))
    found = clone.codes()
    assert ("MLO7022", entries[1].id) in found
    assert ("MLO7027", "") in found
    assert clone.trail.result(entries[1].made_from) is None


def test_the_last_entry_is_dropped(clone: Clone, entries: list[Entry]) -> None:
    clone.tamper(lambda notes: drop(notes, entries[3].id))
    assert clone.codes() == {("MLO7040", entries[3].id)}


def test_a_later_commit_removes_an_entry(clone: Clone, entries: list[Entry]) -> None:
    clone.forget()
    clone.tamper(lambda notes: drop(notes, entries[3].id), orphan=False)
    assert clone.codes() == {("MLO7030", entries[3].id)}


def test_the_ref_is_rolled_back(clone: Clone, entries: list[Entry]) -> None:
    run(clone.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    assert clone.codes() == {("MLO7040", entries[3].id)}
    assert clone.trail.problems()


def test_the_ref_is_deleted(clone: Clone, entries: list[Entry]) -> None:
    run(clone.folder, "update-ref", "-d", "refs/notes/mlops")
    assert clone.codes() == {("MLO7027", ""), ("MLO7040", entries[3].id)}


def test_entries_are_cut_with_the_mark_and_the_remote_remembers(
    clone: Clone, entries: list[Entry], tmp_path: Path
) -> None:
    """A look at the shorter trail makes a new mark, which must not vouch for it."""
    run(tmp_path, "init", "-q", "--bare", "origin.git")
    run(clone.folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    push_trail(clone.trail, "origin")
    run(clone.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    clone.forget()
    clone.trail.tips()
    for _ in range(2):
        assert clone.codes() == {("MLO7041", entries[3].id)}
        assert clone.verdict().freshness == "unproven"
    pull_trail(clone.trail, "origin")
    assert clone.verdict().ok and clone.verdict().freshness == "anchored"


def test_without_an_anchor_the_verdict_says_so(clone: Clone, entries: list[Entry]) -> None:
    run(clone.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    clone.forget()
    verdict = clone.verdict()
    assert verdict.ok and verdict.freshness == "unproven"


def test_history_is_replaced_by_an_orphan_with_the_same_entries(clone: Clone) -> None:
    clone.tamper(lambda notes: None)
    assert clone.verdict().ok, "the chain lives in the entries: nothing of it was lost"


def test_notes_of_two_commits_are_swapped(clone: Clone, entries: list[Entry]) -> None:
    def swap(notes: Notes) -> None:
        a, b = entries[1].commit, entries[2].commit
        notes[a], notes[b] = notes[b], notes[a]

    clone.tamper(swap)
    assert {("MLO7020", entries[1].id)} <= clone.codes()


@pytest.mark.parametrize("other", ["0" * 40, "f" * 40], ids=["before", "behind"])
def test_a_note_is_copied_to_another_commit(clone: Clone, entries: list[Entry], other: str) -> None:
    clone.tamper(lambda notes: notes.update({other: notes[entries[3].commit]}))
    for full in (False, True):
        assert ("MLO7020", entries[3].id) in clone.codes(full=full)
    assert clone.trail.result(entries[3].made_from), "where it belongs, it counts"


def test_a_line_stands_twice(clone: Clone, entries: list[Entry]) -> None:
    clone.tamper(lambda notes: notes[entries[2].commit].append(notes[entries[2].commit][0]))
    assert clone.codes() == {("MLO7021", f"{entries[2].commit}:2")}


def test_signatures_are_stripped(clone: Clone, entries: list[Entry]) -> None:
    outer = json.loads(clone.line(entries[3].id))
    outer["dsse"]["signatures"] = []
    clone.replace(entries[3].id, json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    assert ("MLO7004", f"{entries[3].commit}:1") in clone.codes()


def test_signatures_are_swapped(clone: Clone, entries: list[Entry]) -> None:
    one, two = json.loads(clone.line(entries[2].id)), json.loads(clone.line(entries[3].id))
    two["dsse"]["signatures"] = one["dsse"]["signatures"]
    clone.replace(entries[3].id, json.dumps(two, separators=(",", ":"), sort_keys=True).encode())
    assert ("MLO7011", entries[3].id) in clone.codes()


def test_a_blob_is_truncated(clone: Clone, entries: list[Entry]) -> None:
    def cut(notes: Notes) -> None:
        notes[entries[3].commit][0] = notes[entries[3].commit][0][:-40]

    clone.tamper(cut)
    assert clone.codes() == {("MLO7001", f"{entries[3].commit}:1"), ("MLO7040", entries[3].id)}


def test_an_entry_of_another_log_is_slipped_in(clone: Clone, entries: list[Entry]) -> None:
    line = forged(clone.line(entries[3].id), clone.signer, log="0" * 32)
    clone.tamper(lambda notes: notes[entries[3].commit].append(line))
    assert clone.codes() == {("MLO7010", line_id(line))}


@pytest.mark.parametrize("address", ["deployments.x[../../y]", "deployments.../y", "train.\x1b[2J", "Train.model"])
def test_an_address_that_names_another_place(clone: Clone, entries: list[Entry], address: str) -> None:
    """State folders and logs are named by the address; a listing prints it."""
    line = forged(clone.line(entries[3].id), clone.signer, address=address, made_from="", ingredients={})
    clone.tamper(lambda notes: notes[entries[3].commit].append(line))
    assert clone.codes() == {("MLO7006", f"{entries[3].commit}:2")}


@pytest.mark.parametrize("field", ["log", "kind"])
def test_findings_hold_nothing_that_a_terminal_obeys(clone: Clone, entries: list[Entry], field: str) -> None:
    line = forged(clone.line(entries[3].id), clone.signer, **{field: "\x1b[2J", "parents": [entries[3].id], "seq": 5})
    clone.tamper(lambda notes: notes[entries[3].commit].append(line))
    verdict = clone.verdict()
    assert not verdict.ok and all(one.message.isprintable() for one in (*verdict.findings, *verdict.warnings))


def test_a_second_root(clone: Clone, entries: list[Entry]) -> None:
    line = forged(clone.line(entries[0].id), clone.signer, at="2020-01-01T00:00:00Z")
    clone.tamper(lambda notes: notes[entries[0].commit].append(line))
    assert clone.codes() == {("MLO7025", line_id(line))}
    assert clone.trail.result(entries[3].made_from) is not None, "the pinned root stands"


def test_a_second_root_where_none_is_pinned(
    clone: Clone, entries: list[Entry], stranger: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's root, with the stranger's keys, must not become the root because it came later and alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "colleague"))
    assert clone.verdict().root == "unpinned"
    trust = one_signer("owner", stranger.key)
    line = forged(clone.line(entries[0].id), stranger, facts={"trust": trust}, trust=read_policy(trust).digest)
    clone.tamper(lambda notes: notes[entries[0].commit].append(line), orphan=False)
    assert clone.codes() == {("MLO7025", line_id(line))}
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (clone.state / name).unlink(missing_ok=True)
    assert clone.trail.result(entries[3].made_from) is not None
    clone.forget()
    assert clone.trail.result(entries[3].made_from) is None, "without memory nobody can tell which one is right"
    assert ("MLO7025", line_id(line)) in clone.codes()


def test_a_backdated_entry_is_a_warning(clone: Clone, entries: list[Entry]) -> None:
    trail = clone.trail
    trail.clock = lambda: "2020-01-01T00:00:00Z"
    entry = trail.append("result", address="train.old", commit=entries[3].commit)
    trail.flush()
    verdict = clone.verdict()
    assert verdict.ok
    assert [(one.code, one.entry) for one in verdict.warnings] == [("MLO7029", entry.id)]


def test_the_trust_policy_is_rolled_back(clone: Clone, entries: list[Entry]) -> None:
    line = forged(clone.line(entries[3].id), clone.signer, trust="sha256:" + "0" * 64)
    clone.tamper(lambda notes: notes[entries[3].commit].append(line))
    assert clone.codes() == {("MLO7016", line_id(line))}


def test_the_algorithm_is_named_by_the_line(clone: Clone, entries: list[Entry]) -> None:
    outer = json.loads(clone.line(entries[3].id))
    outer["dsse"]["signatures"][0]["alg"] = "none"
    clone.replace(entries[3].id, json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    assert ("MLO7004", f"{entries[3].commit}:1") in clone.codes()


def test_the_payload_type_is_another(clone: Clone, entries: list[Entry]) -> None:
    outer = json.loads(clone.line(entries[3].id))
    outer["dsse"]["payloadType"] = "application/json"
    clone.replace(entries[3].id, json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    assert ("MLO7003", f"{entries[3].commit}:1") in clone.codes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b'"kind":', b'"kind": '),
        lambda text: text.replace(b'"opset":17', b'"opset":17,"opset":18'),
        lambda text: text.replace(b'"opset":17', b'"opset":17.0'),
        lambda text: text.replace(b'"opset":17', b'"opset":NaN'),
        lambda text: text.replace(b'"opset":17', b'"opset":12345678901234567890'),
        lambda text: text.replace(b"done", b"d\\u006fne"),
    ],
    ids=["space", "duplicate key", "float", "NaN", "big number", "escape"],
)
def test_json_in_a_second_spelling(clone: Clone, entries: list[Entry], spoil: object) -> None:
    payload = spoil(read_line(clone.line(entries[3].id)).payload)  # type: ignore[operator]
    clone.replace(entries[3].id, encode(payload, [(clone.signer.key_id, clone.signer.sign(pae(payload)))]))
    assert ("MLO7005", f"{entries[3].commit}:1") in clone.codes()


def test_a_signature_for_another_purpose(clone: Clone, entries: list[Entry]) -> None:
    """The same bytes, signed by the right key as something else: DSSE signs the type with them."""
    payload = read_line(clone.line(entries[3].id)).payload
    other = b"DSSEv1 16 application/json %d %s" % (len(payload), payload)
    for message in (other, payload):
        clone.replace(entries[3].id, encode(payload, [(clone.signer.key_id, clone.signer.sign(message))]))
        assert ("MLO7011", entries[3].id) in clone.codes()


@pytest.mark.parametrize("name", ["SHA1", "SHA512"])
def test_a_signature_with_another_hash(clone: Clone, entries: list[Entry], name: str) -> None:
    """The key decides the algorithm; a weaker one by the same key is no signature."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    payload = read_line(clone.line(entries[3].id)).payload
    key = serialization.load_pem_private_key(key_file("owner").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    weak = key.sign(pae(payload), ec.ECDSA(getattr(hashes, name)()))
    clone.replace(entries[3].id, encode(payload, [(clone.signer.key_id, weak)]))
    assert ("MLO7011", entries[3].id) in clone.codes()


def test_a_hint_at_another_key(clone: Clone, entries: list[Entry], stranger: Signer) -> None:
    """The key id only helps to find the key: it chooses none."""
    record = read_line(clone.line(entries[3].id))
    clone.replace(entries[3].id, encode(record.payload, [(stranger.key_id, record.signatures[0][1])]))
    assert ("MLO7012", entries[3].id) in clone.codes()


def test_a_bundle_beside_a_keys_signature_proves_nothing(clone: Clone, entries: list[Entry]) -> None:
    record = read_line(clone.line(entries[3].id))
    clone.replace(entries[3].id, encode(record.payload, list(record.signatures), {"sigstore": {"x": "y"}}))
    assert ("MLO7011", entries[3].id) in clone.codes()


@pytest.mark.parametrize("material", [{}, {"other": 1}, {"sigstore": "x" * 70000}], ids=["empty", "unknown", "large"])
def test_material_of_another_form(clone: Clone, entries: list[Entry], material: Any) -> None:
    record = read_line(clone.line(entries[3].id))
    clone.replace(entries[3].id, encode(record.payload, list(record.signatures), material))
    assert {code for code, name in clone.codes() if name == f"{entries[3].commit}:1"} <= {"MLO7001", "MLO7007"}
    assert ("MLO7040", entries[3].id) in clone.codes()


def test_a_policy_is_put_back_after_a_change_of_trust(clone: Clone, entries: list[Entry], stranger: Signer) -> None:
    """An entry written after the change that names the policy before it: the grant that was taken back is used."""
    trust = payload_of(clone.line(entries[0].id))["predicate"]["mlopsctl_entry"]["facts"]["trust"]
    bob = {"key": stranger.key, "roles": ["train"]}
    with_bob = {**trust, "signers": {**trust["signers"], "bob": bob}}
    trail = clone.trail
    trail.append("trust", facts={"trust": with_bob})
    granted = trail.ledger.policy_in_force()
    trail.append("trust", facts={"trust": trust})
    trail.flush()
    tip = clone.trail.entries()[-1]
    assert granted is not None
    line = forged(
        clone.line(entries[3].id), stranger, signer="bob", trust=granted.digest, parents=[tip.id], seq=tip.seq + 1
    )
    clone.tamper(lambda notes: notes[entries[3].commit].append(line), orphan=False)
    assert clone.codes() == {("MLO7016", line_id(line))}


def test_subjects_other_than_the_outputs(clone: Clone, entries: list[Entry]) -> None:
    payload = payload_of(clone.line(entries[3].id))
    payload["subject"][1]["digest"] = {"sha256": "0" * 64}
    line = signed(json.dumps(payload, separators=(",", ":"), sort_keys=True).encode(), clone.signer)
    clone.replace(entries[3].id, line)
    assert ("MLO7028", f"{entries[3].commit}:1") in clone.codes()


def test_a_data_key_cannot_attest_a_model(clone: Clone, entries: list[Entry]) -> None:
    """The role is that of the address, so the fingerprint must belong to the address."""
    other = forged(clone.line(entries[3].id), clone.signer, address="data.digits", parents=[entries[3].id], seq=5)
    bent = forged(
        clone.line(entries[3].id), clone.signer, made_from=entries[2].made_from, parents=[entries[3].id], seq=5
    )
    clone.tamper(lambda notes: notes[entries[3].commit].extend([other, bent]))
    assert clone.codes() == {("MLO7032", line_id(other)), ("MLO7032", line_id(bent))}


def test_only_a_result_supersedes_a_result(clone: Clone, entries: list[Entry]) -> None:
    """A key for halts could otherwise take a model out of force, by an entry about it that is no result."""
    trail = clone.trail
    trail.append("halt", address=entries[3].address, commit=entries[3].commit, supersedes=[entries[3].id])
    trail.flush()
    assert clone.trail.result(entries[3].made_from) == entries[3]


def test_a_code_tree_is_taken_out(clone: Clone, entries: list[Entry]) -> None:
    from .test_trail import code_of

    trail = clone.trail
    entry = trail.append("result", address="train.coded", commit=entries[3].commit, code=code_of({"train.py": b"1\n"}))
    trail.flush()
    assert clone.verdict().ok
    clone.tamper(lambda notes: None)  # the attacker's tree has notes only
    assert clone.codes() == {("MLO7050", entry.id)}


def test_a_code_tree_is_exchanged(clone: Clone, entries: list[Entry]) -> None:
    from .test_trail import code_of

    trail = clone.trail
    code = code_of({"train.py": b"1\n"})
    entry = trail.append("result", address="train.coded", commit=entries[3].commit, code=code)
    trail.flush()
    empty = run(clone.folder, "mktree", data=b"")
    folder = run(clone.folder, "mktree", data=f"040000 tree {empty}\t{code.oid}\n".encode())
    listing = run(clone.folder, "ls-tree", "refs/notes/mlops").splitlines()
    others = [line for line in listing if not line.endswith("\tcode")]
    tree = run(clone.folder, "mktree", data="\n".join([*others, f"040000 tree {folder}\tcode", ""]).encode())
    commit = run(clone.folder, "commit-tree", tree, "-p", "refs/notes/mlops", "-m", "x")
    run(clone.folder, "update-ref", "refs/notes/mlops", commit)
    assert clone.codes() == {("MLO7050", entry.id)}


def test_a_damaged_object_is_named(clone: Clone, entries: list[Entry]) -> None:
    oid = run(clone.folder, "rev-parse", f"refs/notes/mlops:{entries[3].commit[:2]}/{entries[3].commit[2:]}")
    path = clone.folder / ".git/objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Exception, match=oid[:12]) as caught:
        clone.verdict(full=True)
    assert getattr(caught.value, "code", "") == "MLO7031"


def test_a_change_of_trust_below_the_threshold(clone: Clone, entries: list[Entry], stranger: Signer) -> None:
    trust = payload_of(clone.line(entries[0].id))["predicate"]["mlopsctl_entry"]["facts"]["trust"]
    key = stranger.key
    more = {**trust, "signers": {**trust["signers"], "mallory": {"key": key, "roles": ["deploy"]}}}
    line = forged(clone.line(entries[3].id), stranger, kind="trust", parents=[entries[3].id], seq=5,
                  facts={"trust": more}, address="", outputs={}, ingredients={})  # fmt: skip
    clone.tamper(lambda notes: notes[entries[3].commit].append(line))
    assert ("MLO7017", line_id(line)) in clone.codes()


def test_a_key_outside_its_role_and_an_expired_one(clone: Clone, entries: list[Entry], tmp_path: Path) -> None:
    bob, old = new_key(tmp_path / "bob.pem"), new_key(tmp_path / "old.pem")
    trust = payload_of(clone.line(entries[0].id))["predicate"]["mlopsctl_entry"]["facts"]["trust"]
    more = {
        **trust,
        "signers": {
            **trust["signers"],
            "bob": {"key": bob.key, "roles": ["gate"]},
            "old": {"key": old.key, "roles": ["train"], "until": "2020-01-01"},
        },
    }
    grant = forged(clone.line(entries[3].id), clone.signer, kind="trust", parents=[entries[3].id], seq=5,
                   facts={"trust": more}, address="", outputs={}, ingredients={})  # fmt: skip
    after = {"trust": read_policy(more, [read_policy(trust).digest]).digest, "parents": [line_id(grant)], "seq": 6}
    by_bob = forged(clone.line(entries[3].id), bob, signer="bob", **after)
    by_old = forged(clone.line(entries[3].id), old, signer="old", **after)
    stale = forged(clone.line(entries[3].id), clone.signer, parents=[line_id(grant)], seq=6)
    clone.tamper(lambda notes: notes[entries[3].commit].extend([grant, by_bob, by_old, stale]))
    assert clone.codes() == {("MLO7013", line_id(by_bob)), ("MLO7014", line_id(by_old)), ("MLO7016", line_id(stale))}


def test_notes_prune_removes_what_hangs_on_dropped_commits(clone: Clone, entries: list[Entry]) -> None:
    run(clone.folder, "reset", "-q", "--hard", "HEAD~1")
    run(clone.folder, "reflog", "expire", "--expire=now", "--all")
    run(clone.folder, "gc", "-q", "--prune=now")
    run(clone.folder, "notes", "--ref", "mlops", "prune")
    assert {("MLO7030", entries[3].id), ("MLO7040", entries[3].id)} <= clone.codes()


def test_reordered_lines_pass(clone: Clone, entries: list[Entry]) -> None:
    trail = clone.trail
    for name in ("a", "b", "c"):
        trail.append("result", address=f"train.{name}", commit=entries[3].commit)
    trail.flush()
    clone.tamper(lambda notes: notes[entries[3].commit].reverse())
    assert clone.verdict().ok


def test_an_entry_is_valid_if_any_line_that_carries_it_verifies(clone: Clone, entries: list[Entry]) -> None:
    line = clone.line(entries[3].id)
    outer = json.loads(line)
    outer["dsse"]["signatures"][0]["sig"] = json.loads(clone.line(entries[2].id))["dsse"]["signatures"][0]["sig"]
    bad = json.dumps(outer, separators=(",", ":"), sort_keys=True).encode()
    for order in ([bad, line], [line, bad]):
        clone.tamper(lambda notes, order=order: notes.update({entries[3].commit: order}))  # type: ignore[misc]
        assert clone.verdict(full=True).ok
    clone.tamper(lambda notes: notes.update({entries[3].commit: [line]}))
    assert clone.verdict().ok
    clone.tamper(lambda notes: notes.update({entries[3].commit: [line, bad]}), orphan=False)
    assert clone.trail.result(entries[3].made_from), "a line that came later takes nothing back"


def test_the_private_key_is_not_in_the_repository(clone: Clone) -> None:
    secret = load_signer(key_file("owner")).path.read_bytes().split(b"\n")[1]
    for path in clone.folder.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


def drop(notes: Notes, entry: str) -> None:
    for note in notes:
        notes[note] = [line for line in notes[note] if line_id(line) != entry]
