"""How fast and how small `topup reconcile --provider …` is: `make bench-reconcile`.

Fills books of its own with topups of one day, writes the provider's statement of it with some of
every difference, as CSV and as xlsx, and runs the command as an operator would, each time as a
process. Prints what it took and the most memory that the process ever had.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg

from ops.embedded import postgres_server
from services.ledger.migrations import migrate, shipped

TOPUP = Path(sys.executable).with_name("topup")
MIDNIGHT_MS = 1_795_413_600_000  # 2026-11-23 in America/Mexico_City
DAY_MS = 86_400_000
LACKING, OTHER_AMOUNT, TWICE = 7, 8, 9  # which of 10,000 are so on the statement
HEAD = ("distTransid", "transId", "targetMSISDN", "amount", "currency", "time", "status")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def main() -> None:
    """Run all of it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topups", type=int, default=1_000_000)
    topups = parser.parse_args().topups
    with tempfile.TemporaryDirectory() as name, postgres_server(Path(name) / "pg") as url:
        folder = Path(name)
        migrate(url, shipped(), say=lambda _text: None)
        fill(url, topups)
        named, bare, book = folder / "named.csv", folder / "bare.csv", folder / "named.xlsx"
        with ProcessPoolExecutor(1) as apart:  # a child's highest memory begins at its parent's
            apart.submit(write_files, named, bare, book, topups).result()
        print(f"{topups:,} topups, about as many lines; {os.cpu_count()} cores, load {load()}")
        run = Runs(url)
        run.shown("CSV", named)
        run.shown("CSV, three reports", named, "csv", "json", "html")
        run.shown("CSV without ids", bare)
        run.shown("xlsx", book)


def write_files(named: Path, bare: Path, book: Path, topups: int) -> None:
    """Write the statement in all its forms."""
    write_csv(named, statement(topups, named=True))
    write_csv(bare, statement(topups, named=False))
    write_xlsx(book, statement(topups, named=True))


class Runs:
    """Runs the command, each time in a process whose memory is measured."""

    def __init__(self, url: str) -> None:
        self._environ = {**os.environ, "DATABASE_URL": url, "TIMEZONE": "America/Mexico_City"}

    def shown(self, what: str, file: Path, *reports: str) -> None:
        """Run one and print what it took."""
        words = ["reconcile", "--provider", "LATCOM", "--file", str(file), "--day", "2026-11-23"]
        for kind in reports:
            words += ["--report", str(file.with_name(f"report.{kind}"))]
        started = time.monotonic()
        with (file.parent / "said").open("w+") as said:
            pid = os.posix_spawn(
                TOPUP, [str(TOPUP), *words], self._environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), 1)],
            )  # fmt: skip
            _, status, used = os.wait4(pid, 0)
            said.seek(0)
            if status or "matched" not in said.read():
                raise SystemExit(f"topup {' '.join(words)} ended with {status}")
        passed = time.monotonic() - started
        cpu_s, memory_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1_024
        size_mb = file.stat().st_size / 2**20
        print(
            f"{what:20} {size_mb:4.0f} MB  {passed:6.1f} s, {cpu_s:6.1f} s of them its own CPU, "
            f"{memory_mb:3.0f} MB at most",
            flush=True,
        )


def load() -> str:
    """Return what else this machine does."""
    return f"{os.getloadavg()[0]:.1f}"


def fill(url: str, topups: int) -> None:
    """Put the day's topups into the books."""
    insert = """
        COPY topups (topup_id, customer_id, phone, country, amount_minor, currency, provider,
                     product, accepted_at, digest, status, provider_reference, settled_at, seq)
        FROM STDIN
    """
    with psycopg.connect(url) as connection, connection.cursor().copy(insert) as copy:
        for number in range(topups):
            at = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(at_ms(number, topups) / 1_000))
            status = "failed" if number % 50 == 0 else "succeeded"
            status = "unresolved" if number % 1_000 == 1 else status
            copy.write_row((
                str(topup_id(number)), f"C{number % 50:03}", f"+52{phone(number)}", "MX",
                amount(number) * 100, "MXN", "LATCOM", "XOOM_10_MXN", at, b"", status,
                f"{number:020}" if status == "succeeded" else None, at, 1,
            ))  # fmt: skip


def statement(topups: int, *, named: bool) -> Iterator[tuple[str, ...]]:
    """Yield the lines: all but a few are as the books have them."""
    for number in range(topups):
        if number % 50 == 0 and number % 5_000:
            continue  # failed here, and not there; one in a hundred of them was paid
        special = number % 10_000
        if special == LACKING:
            continue
        paid = amount(number) + (10 if special == OTHER_AMOUNT else 0)
        again = 2 if special == TWICE else 1
        at = time.strftime(
            "%Y-%m-%d %H:%M:%S", time.gmtime((at_ms(number, topups) + 3_000) / 1_000 - 6 * 3_600)
        )
        for _ in range(again):
            yield (
                str(topup_id(number)) if named else "", f"{number:020}" if named else "",
                phone(number), f"{paid}.00", "MXN", at, "Success",
            )  # fmt: skip


def at_ms(number: int, topups: int) -> int:
    """Return when it was accepted: all day, evenly."""
    return MIDNIGHT_MS + number * (DAY_MS - 10_000) // topups


def topup_id(number: int) -> UUID:
    """Return its id, of UUID's version 7 as ours are."""
    random = number * 0x9E3779B97F4A7C15 & (1 << 62) - 1
    return UUID(int=(MIDNIGHT_MS << 80) | (7 << 76) | (2 << 62) | random)


def phone(number: int) -> str:
    """Return one of as many phones as there are topups."""
    return f"55{number:08}"


def amount(number: int) -> int:
    """Return pesos."""
    return 10 + 10 * (number % 2)


def write_csv(path: Path, lines: Iterator[tuple[str, ...]]) -> None:
    """Write them under their header."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        writer.writerows(lines)


def write_xlsx(path: Path, lines: Iterator[tuple[str, ...]]) -> None:
    """Write the least that is a workbook; texts are shared, as spreadsheets write them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        sheets = '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{LINK}">{sheets}</workbook>'
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" Type="{LINK}/worksheet" '
            'Target="worksheets/sheet1.xml"/></Relationships>',
        )
        texts: dict[str, int] = {}
        with book.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'<worksheet xmlns="{MAIN}"><sheetData>'.encode())
            sheet.write(row_of(1, HEAD, texts))
            for row, line in enumerate(lines, 2):
                sheet.write(row_of(row, line, texts))
            sheet.write(b"</sheetData></worksheet>")
        with book.open("xl/sharedStrings.xml", "w") as shared:
            shared.write(f'<sst xmlns="{MAIN}">'.encode())
            for text in texts:
                shared.write(f"<si><t>{text}</t></si>".encode())
            shared.write(b"</sst>")


def row_of(row: int, line: tuple[str, ...], texts: dict[str, int]) -> bytes:
    """Return one row; the amount is a number, the rest are texts."""
    cells = []
    for column, text in zip("ABCDEFG", line, strict=True):
        if column == "D" and row > 1:
            cells.append(f'<c r="{column}{row}"><v>{float(text):g}</v></c>')
        else:
            number = texts.setdefault(text, len(texts))
            cells.append(f'<c r="{column}{row}" t="s"><v>{number}</v></c>')
    return f'<row r="{row}">{"".join(cells)}</row>'.encode()


if __name__ == "__main__":
    main()
