"""Evidence of one sale: whole, signed, and refused once a single byte of it is another."""

import io
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.ledger.chain import content_of_row, follow
from services.ledger.evidence import (
    MANIFEST,
    NotEvidence,
    Signer,
    Verified,
    draw_signing_key,
    verify,
)
from services.ledger.excerpt import Excerpt, Link, Place
from shared.contracts.acts import Act
from shared.contracts.events import Evidence
from shared.contracts.peers import TopupRow
from shared.contracts.stories import BookedOutcome, BookedPosting, Dossier
from shared.contracts.tries import Tried, Try

AT_MS = 1_795_000_000_000
ID = "0195f000-0000-7000-8000-000000000001"
KEY = draw_signing_key()
SIGNER = Signer(KEY)


def posting(
    seq: int, line: int, debit: str, credit: str, amount_minor: int = 1_000
) -> BookedPosting:
    return BookedPosting(
        seq=seq, line=line, debit=debit, credit=credit, currency="MXN", amount_minor=amount_minor
    )


PAID = [
    posting(0, 1, "available", "held"),
    posting(1, 1, "held", "charged"),
    posting(1, 2, "cost", "payable"),
]


def dossier(postings: list[BookedPosting], status: str = "succeeded") -> Dossier:
    tried = Try(attempt=1, mode="send", answer="refused", raw={"status": "Fail"}, by="d#1")
    return Dossier(
        topup=TopupRow(
            topup_id=ID, customer_id="C1", phone="+525512345678", country="MX",
            amount_minor=1_000, currency="MXN", provider="LATCOM", product="XOOM_10_MXN",
            status=status, accepted_at_ms=AT_MS,
        ),
        outcomes=[
            BookedOutcome(
                seq=1, state="succeeded", reason=None, provider_reference="P1",
                evidence=Evidence(provider_reference="P1", raw={"status": "Success"}, attempt=2),
                tried=[Tried(at_ms=AT_MS, tried=tried)], entry="1-0",
                settled_at_ms=AT_MS, booked_at_ms=AT_MS,
            )
        ],
        postings=postings,
        set_aside=0,
    )  # fmt: skip


def row(seq: int, target: str) -> bytes:
    act = Act(id=f"i{seq}", at_ms=AT_MS, who="ana", act="topup.resolve", target=target, why="ü")
    return content_of_row(seq, act)


def excerpt(*targets: str, told_of: str = ID, first: int = 5) -> Excerpt:
    """Return a chain of acts behind the first four, of which only the sale's are told."""
    reached, links = bytes(32), []
    for seq, target in enumerate(targets, first):
        content = row(seq, target)
        digest = sha256(content)
        reached = follow(reached, digest.digest())
        told = (
            Link(content=content.decode()) if target == told_of else Link(digest=digest.hexdigest())
        )
        links.append(told)
    head = Place(4 + len(targets), reached.hex())
    return Excerpt(after=Place(4, bytes(32).hex()), links=links, head=head)


ACTS = excerpt(ID, "LATCOM", ID, "another's sale")
PACK = SIGNER.pack(dossier(PAID), ACTS, made_at_ms=AT_MS)


def broken(found: Verified) -> list[str]:
    return [str(check.example) for check in found.checks if check.broken]


def changed(name: str, content: bytes) -> bytes:
    """Return the pack with one file of it another."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PACK)) as old, zipfile.ZipFile(out, "w") as new:
        for one in old.namelist():
            new.writestr(one, content if one == name else old.read(one))
    return out.getvalue()


def content(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(PACK)) as packed:
        return packed.read(name)


def test_what_was_signed_is_whole() -> None:
    """By the file alone; the key's fingerprint is what doctor prints."""
    found = verify(PACK)
    assert broken(found) == []
    assert (found.topup_id, found.fingerprint) == (ID, SIGNER.fingerprint)


def test_a_stranger_verifies_it_with_what_every_machine_has(tmp_path: Path) -> None:
    """The very commands of its README."""
    (tmp_path / "sale.zip").write_bytes(PACK)
    zipfile.ZipFile(tmp_path / "sale.zip").extractall(tmp_path)
    said = ""
    for line in content("README").decode().splitlines():
        if line.startswith("  "):
            done = subprocess.run(
                line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            said += done.stdout
    assert "Signature Verified Successfully" in said
    assert "\nTrue\n" in said
    assert said.split()[-2] == SIGNER.fingerprint


def test_attempts_are_told_with_names() -> None:
    """Whoever reads it has no key to our arrays."""
    assert b'"answer": "refused"' in content("outcomes.json")
    assert b'"provider_reference": "P1"' in content("outcomes.json")


@pytest.mark.parametrize(
    "name",
    ["topup.json", "outcomes.json", "postings.json", "audit.json", "statement.json", "README"],
)
def test_a_changed_file_is_named(name: str) -> None:
    """Whatever it says now."""
    assert name in broken(verify(changed(name, content(name) + b" ")))


def test_a_new_manifest_does_not_help() -> None:
    """Only who has the key could sign it."""
    forged = content("topup.json").replace(b"1000", b"9000")
    lines = content(MANIFEST).replace(
        sha256(content("topup.json")).hexdigest().encode(), sha256(forged).hexdigest().encode()
    )
    assert MANIFEST in broken(verify(changed(MANIFEST, lines)))


@pytest.mark.parametrize(
    ("postings", "status"),
    [(PAID[:2], "succeeded"), ([*PAID[:2], posting(1, 2, "cost", "payable", 1)], "succeeded"),
     (PAID, "failed")],
)  # fmt: skip
def test_money_that_went_elsewhere_is_named(postings: list[BookedPosting], status: str) -> None:
    """Signed or not: the books must follow from the outcomes."""
    assert broken(verify(SIGNER.pack(dossier(postings, status), ACTS, made_at_ms=AT_MS))) != []


def test_acts_of_others_are_not_told() -> None:
    """What they did, and to what, is a digest; the sale's own can be read."""
    assert b"LATCOM" not in content("audit.json")
    assert b"another's sale" not in content("audit.json")
    assert content("audit.json").count(b"topup.resolve") == 2
    assert f"8:{ACTS.head.hash}".encode() in content("statement.json")


def test_a_sale_that_nobody_touched_states_the_head_alone() -> None:
    """Whole as well."""
    assert broken(verify(SIGNER.pack(dossier(PAID), excerpt(), made_at_ms=AT_MS))) == []


FORGED = {
    "changed": (0, Link(content=row(5, ID).decode().replace("ana", "ben"))),
    "of another sale": (0, Link(content=row(5, "another").decode())),
    "elsewhere": (2, Link(content=row(9, ID).decode())),
    "another digest": (1, Link(digest="00" * 32)),
    "no digest": (1, Link(digest="zz")),
    "nothing": (1, Link()),
    "no act": (2, Link(content="{")),
}


@pytest.mark.parametrize("how", FORGED)
def test_acts_that_do_not_lead_to_the_head_are_named(how: str) -> None:
    """Signed or not: nobody can put an act in, or make another of it, under the same head."""
    place, link = FORGED[how]
    links = [link if at == place else one for at, one in enumerate(ACTS.links)]
    forged = structs.replace(ACTS, links=links)
    assert broken(verify(SIGNER.pack(dossier(PAID), forged, made_at_ms=AT_MS))) != []


@pytest.mark.parametrize(
    "acts",
    [excerpt(ID, "another", told_of="another"), excerpt(ID, first=6)],
    ids=["whose", "where"],
)
def test_an_act_of_elsewhere_in_a_whole_chain_is_named(acts: Excerpt) -> None:
    """It leads to the head, but is about another sale, or is not at the place that it says."""
    found = verify(SIGNER.pack(dossier(PAID), acts, made_at_ms=AT_MS))
    assert [one for one in broken(found) if one.startswith("act ")] != []


@pytest.mark.parametrize("links", [ACTS.links[:-1], ACTS.links[1:]], ids=["last", "first"])
def test_acts_that_were_cut_off_are_missed(links: list[Link]) -> None:
    """The head says how many there are, and what they lead to."""
    cut = structs.replace(ACTS, links=links)
    found = verify(SIGNER.pack(dossier(PAID), cut, made_at_ms=AT_MS))
    assert broken(found) != []


@given(st.integers(0, len(PACK) - 1), st.integers(1, 255))
def test_no_byte_can_be_another(place: int, other: int) -> None:
    """Found wrong, or no evidence at all; where it still holds, only the zip's own dates differ."""
    damaged = bytearray(PACK)
    damaged[place] ^= other
    try:
        found = verify(bytes(damaged))
    except NotEvidence:
        return
    assert broken(found) or found == verify(PACK)


@given(st.integers(0, len(PACK) - 1))
def test_half_of_it_is_none(length: int) -> None:
    """As after a download that broke off."""
    with pytest.raises(NotEvidence):
        verify(PACK[:length])


@given(st.binary(max_size=200))
def test_other_files_are_none(data: bytes) -> None:
    """In one line, not in a traceback."""
    with pytest.raises(NotEvidence):
        verify(data)


@pytest.mark.parametrize(
    "text",
    ["", "secret", KEY[:60], KEY.replace("PRIVATE", "PUBLIC")],
    ids=["empty", "a word", "half", "public"],
)
def test_a_key_that_is_none_is_refused_with_how_to_make_one(text: str) -> None:
    """At the start, not when the first evidence is asked for."""
    with pytest.raises(ValueError, match="openssl genpkey -algorithm ed25519"):
        Signer(text)
