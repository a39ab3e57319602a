"""One way from content to a digest, whose values are those that stores, files and other programs hold already."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from harness.base import digests

PACKAGE = Path(digests.__file__).parents[1]
NOT_OF_WHAT_IS_WRITTEN = {
    "base/digests.py": "here it is",
    "zoo/data/published.py": "MD5, as the publisher of the data states it",
}


def test_no_other_module_digests_what_is_written() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if "hashlib" in names or (isinstance(node, ast.Attribute) and node.attr in ("crc32", "adler32")):
                found.add(str(path.relative_to(PACKAGE)))
    assert found == NOT_OF_WHAT_IS_WRITTEN.keys()


def test_a_file_has_the_digest_that_sha256sum_gives(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 3)
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == digests.of_file(path) == digests.of_bytes(bytes(range(256)), bytes(range(256)) * 2)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ([1, {"b": 0.5, "a": "é"}], "8a45972f0964ea9b6145bbc95ea5b26e"),
        ([{"state": "done"}, {"fid": 12.345678901}], "c150ce2132f985c7b3d3b1dc05821402"),
    ],
)
def test_seals_are_those_of_stores_that_are_there(value: object, right: str) -> None:
    assert digests.seal(value) == right


def test_the_order_of_names_and_the_sign_of_zero_do_not_count() -> None:
    assert digests.of_value({"a": 0.0, "b": (1, 2)}) == digests.of_value({"b": [1, 2], "a": -0.0})
    assert digests.of_value([1, 2]) != digests.of_value([2, 1])
    assert digests.of_value([1]) != digests.of_value(["1"])


def test_a_text_of_any_characters_has_one() -> None:
    assert digests.of_text("\udcff") != digests.of_text("?")


def test_a_checksum_tells_a_line_that_was_cut_short() -> None:
    assert digests.checksum(b'{"kind":"end"}') == b"aae1e05b"
    assert digests.checksum(b'{"kind":"end"') != digests.checksum(b'{"kind":"end"}')
