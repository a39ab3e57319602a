"""What is printed: no orders to the terminal, and no end of the work if nobody reads it."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from harness.base import terminal
from harness.base.errors import HarnessError
from harness.base.messages import messages_to, note, visible, visible_lines
from harness.suite.naming import values

HOSTILE = {
    "escape": ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
    "line break": ("a\nerror: forged", r"a\nerror: forged"),
    "carriage return": ("a\rforged", r"a\rforged"),
    "turned text": ("\u202etxt.exe", r"\u202etxt.exe"),
    "isolated": ("\u2066a\u2069", r"\u2066a\u2069"),
    "one of C1": ("\x9b2J", r"\x9b2J"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "invisible": ("a\u200bb\xad", r"a\u200bb\xad"),
    "no UTF-8": ("a\udcff", r"a\udcff"),
    "tag": ("\U000e0041", r"\U000e0041"),
    "plain": ("für × σ 漢 😀", "für × σ 漢 😀"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_would_obey_is_escaped_wherever_it_is_printed(
    capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    assert visible(text) == shown
    assert str(HarnessError(f"{text}: not there", f"  {text}")) == f"{shown}: not there\n  {shown}"
    assert HarnessError("wrong:", f"  {text}", "  b").sentence == f"wrong: {shown}; b"
    noted: list[str] = []
    with messages_to(noted.append):
        note(text)
    assert noted == [shown]
    assert values({"model.objective": text}) == f"objective={shown}"
    kept = "\n" if "\n" in text else ""  # a text of several lines stays one
    terminal.echo(text)
    assert capsys.readouterr().out == (visible_lines(text) if kept else shown) + "\n"


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE.values()], ids=HOSTILE)
def test_tables_and_texts_of_rich_are_escaped_and_keep_their_colours(text: str) -> None:
    file = io.StringIO()
    console = terminal.console(file=file, force_terminal=True, width=200, color_system="standard")
    table = Table(text, title=Text(text))
    table.add_row(Text(text))
    table.add_row(f"x{text}", style="red")
    console.print(table)
    console.print(text, markup=False, highlight=False, style="bold")
    said = file.getvalue()
    assert "\x1b[31m" in said
    assert "\x1b[1m" in said
    rest = terminal.SEQUENCE.sub(b"", said.encode("utf-8", "surrogatepass")).decode("utf-8")
    assert all(c.isprintable() or c == "\n" for c in rest), rest


def test_a_pickled_error_says_the_same() -> None:
    import pickle

    error = HarnessError("one\x1b", "two")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "one\\x1b\ntwo"


PROGRAM = """
import sys, os
from pathlib import Path
from harness.base import terminal
with terminal.guarded():
    if sys.argv[1]:
        terminal.keep_going(Path(sys.argv[1]), "harness run s.yaml")
    console = terminal.console()
    try:
        for number in range(5):
            terminal.echo(f"line {number}")
            console.print(f"[red]text {number}[/red]")
            if number == 0:
                sys.stdin.readline()  # the reader has gone
        print("all done", flush=True)
        assert terminal.unread()
    except terminal.Unread as error:
        print("unread", error.reader_gone, error, file=sys.stderr)
        sys.exit(3)
"""


def without_a_reader(log: Path | str, output: int | None = None) -> tuple[int, str, str]:
    """Run the program; its reader goes after the first lines. Returns: exit code, what was read, standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    read = ""
    if process.stdout is not None:
        read = process.stdout.readline() + process.stdout.readline()
        process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(), read, said


def test_without_a_reader_a_run_goes_on_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "results" / "output.log"
    code, read, said = without_a_reader(log)
    assert code == 0
    assert read == "line 0\ntext 0\n"
    assert said == f"nobody reads the output any more (Broken pipe): the run goes on, and writes it to {log}\n"
    head, *rest = log.read_text().splitlines()
    assert "`harness run s.yaml`: nobody reads the output any more" in head
    assert rest == [f"{what} {n}" for n in range(1, 5) for what in ("line", "text")] + ["all done"]


def test_without_a_reader_another_command_ends() -> None:
    code, read, said = without_a_reader("")
    assert (code, read, said) == (3, "line 0\ntext 0\n", "unread True Broken pipe\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_is_no_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        code, _, said = without_a_reader(tmp_path / "log", full.fileno())
        assert code == 0
        assert said.startswith("nothing can be written to the output any more (No space left on device): the run goes")
        code, _, said = without_a_reader("", full.fileno())
    assert (code, said) == (3, "unread False No space left on device\n")


def test_closed_streams_leave_their_numbers_to_no_file() -> None:
    program = (
        "import os\nfrom harness.base import terminal\n"
        "with terminal.guarded():\n    terminal.echo('x')\n    number = os.open(os.devnull, os.O_RDONLY)\n"
        "os._exit(number)\n"
    )
    command = [sys.executable, "-c", program]
    closing = subprocess.run(command, check=False, preexec_fn=lambda: [os.close(n) for n in range(3)] and None)
    assert closing.returncode > 2


def test_a_terminal_that_is_gone_counts_as_no_reader() -> None:
    output = terminal._Output(0, "output")
    assert terminal._log is None
    with pytest.raises(terminal.Unread):
        terminal._lose(output, OSError(errno.EIO, "Input/output error"))
