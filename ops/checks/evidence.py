"""With which key evidence is signed: its fingerprint is what its owner publishes."""

from collections.abc import Iterable, Mapping

from ops.checks.finding import Finding
from ops.connections import setting
from services.ledger.evidence import Signer


def check_evidence(environ: Mapping[str, str]) -> Iterable[Finding]:
    """Look at EVIDENCE_KEY, which the ledger signs with."""
    key = setting("EVIDENCE_KEY", environ)
    if key is None:
        yield Finding("evidence", "off: EVIDENCE_KEY is not set")
        return
    try:
        yield Finding("evidence", f"signed by the key {Signer(key).fingerprint}")
    except ValueError as problem:
        yield Finding("evidence", f"EVIDENCE_KEY {problem}", "correct it, for example with a file")
