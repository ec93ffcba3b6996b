"""The text for whoever is handed an exported folder."""

README = """\
# A signed trail of machine learning, for an auditor

This folder holds the whole audit trail of one project: who made which data version, model, measurement, artifact and
deployment, from what, and with whose key. It can be checked on a machine without the project and without a network.

| file | holds |
|---|---|
| `trail.json` | the log's id, its root entry, the newest entries, the policies in order; `missing` names signatures that whoever exported did not have |
| `notes/COMMIT` | the entries about one git commit, one a line, as git notes have them: each a DSSE envelope around an in-toto statement |
| `policies/DIGEST.json` | every trust policy that was in force: who may attest what |
| `keys/NAME-ID.pem` | the public key of every signer (`.pub`: an OpenSSH key, `.identity`: an identity known to Sigstore) |
| `code/TREE/` | the code that results were made from, as files; TREE is git's id of it |
| `signatures/SHA256.sig` | OpenSSF model signatures of models and artifacts |
| `artifacts/` | with `--artifacts`: the models and artifacts themselves, by digest |
| `SHA256SUMS` | the sha256 of every file here |

## Check it

    sha256sum --check --quiet SHA256SUMS
    mlopsctl audit verify --offline . --root ROOT --strict

Take ROOT, the id of the root entry, from the people who run the project, from a contract or from an earlier audit, and
not from this folder: whoever could replace the folder could replace its root as well. Without `--root` the verdict says
`root unpinned`: everything here fits together, and nothing says whose it is.

`mlopsctl audit log --offline .` and `mlopsctl audit trace deployments.NAME --offline .` read it. One entry can be checked
with git, openssl and coreutils only: see docs/verify-by-hand.md of mlopsctl.

## What it proves

An entry that somebody changed, without the key of a signer whom the policy of that time gave the role, is found, and so
is one that is missing in between. That nothing was left out at the end, nobody can see from the folder alone: compare
`tips` in `trail.json` with another clone, an anchor, or what you were shown before.
"""
