"""Who holds the owner's key: writes another history under the pinned root, in which every signature verifies."""

from __future__ import annotations

import hashlib
from typing import Any

from mlopsctl.audit.entry import read_line
from mlopsctl.audit.statement import MEMBER, statement

from .clone import Clone, payload_of, signed


def forge_everything(clone: Clone) -> None:
    """Signs every entry after the root anew, with other figures, checkpoints with right digests among them."""
    lines = {read_line(line).id: line for some in clone.notes().values() for line in some}
    records = sorted((read_line(line) for line in lines.values()), key=lambda one: (one.seq, one.id))
    new_id: dict[str, str] = {}
    hashed: list[tuple[int, str, bytes]] = []
    notes: dict[str, list[bytes]] = {}
    for record in records:
        line = lines[record.id]
        if record.kind != "root":
            fields: dict[str, Any] = payload_of(line)["predicate"][MEMBER]
            fields["parents"] = sorted(new_id[parent] for parent in fields["parents"])
            if record.kind == "checkpoint":
                text = "".join(
                    f"{hashlib.sha512(payload).hexdigest()}  {entry}\n" for _, entry, payload in sorted(hashed)
                )
                fields["facts"] = {**fields["facts"], "sha512": hashlib.sha512(text.encode()).hexdigest()}
            else:
                fields["facts"] = {**fields.get("facts", {}), "opset": 21}
            line = signed(statement(fields, record.commit), clone.signer)
        after = read_line(line)
        new_id[record.id] = after.id
        hashed.append((after.seq, after.id, after.payload))
        notes.setdefault(record.commit, []).append(line)
    clone.write(notes)
