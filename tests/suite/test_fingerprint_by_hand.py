"""The parts of the fingerprint: what is left of a source, what its names stand for, and a digest worked out by hand."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.base.errors import HarnessError
from harness.suite import fingerprint as module
from harness.suite.fingerprint import Code, fingerprint


def forget() -> None:
    """Files are read once per process; here they change."""
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


@pytest.fixture
def of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Code]]:
    """The code of a root in a package ``toy`` of these files."""
    monkeypatch.syspath_prepend(tmp_path)

    def code(root: str, **files: str) -> Code:
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / "toy" / f"{name.replace('__slash__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        forget()
        return fingerprint([root])

    yield code
    forget()


def sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def named(name: str, context: str) -> list[Any]:
    """The tree of a name: constants and identifiers are as Python writes them; no empty fields, no line numbers."""
    return ["Name", {"ctx": [context, {}], "id": f"'{name}'"}]


def assigned(name: str, value: Any) -> str:
    """The digest of the text of an assignment."""
    return sha([["Assign", {"targets": [named(name, "Store")], "value": value}]])


def test_a_digest_by_hand(of: Callable[..., Code]) -> None:
    found = of("toy.one:A", one="from math import pi\nB = 2\nA = B * pi\n")
    product = {"left": named("B", "Load"), "op": ["Mult", {}], "right": named("pi", "Load")}
    a, b = assigned("A", ["BinOp", product]), assigned("B", "2")
    # A definition: its text, the texts of what its names stand for here, and its names of other packages.
    definitions = [sha([a, [b], [["pi", "math.pi"]]]), sha([b, [], []])]
    assert found.digest == sha(sorted(definitions))
    assert found.parts == {"toy.one:A": a[:8], "toy.one:B": b[:8]}


def test_a_definition_that_uses_itself_by_hand(of: Callable[..., Code]) -> None:
    found = of("toy.one:A", one="A = A\n")
    text = assigned("A", named("A", "Load"))
    assert (found.digest, found.parts) == (sha([sha([text, [], []])]), {"toy.one:A": text[:8]})


# --- which definitions a root uses ----------------------------------------------------------------------------


def test_names_lead_through_modules_attributes_and_what_is_handed_on(of: Callable[..., Code]) -> None:
    found = of(
        "toy.main:main",
        main="""
            import toy.sub.leaf
            from toy import whole, handed, typed
            from .sub import leaf as other, B as renamed
            from . import sub
            import harness.base.errors
            def main():
                from toy.late import G
                toy.sub.leaf.A + count(whole) + handed.F.x.y + handed.m.J.z + other.C
                renamed + typed.H + sub.leaf.I + G
                return harness.base.errors.HarnessError
            def unused():
                return other.UNUSED
            """,
        sub__slash____init__="B = 1\nUNUSED = 1\n",
        sub__slash__leaf="A = 1\nC = D\nD = 1\nI = 1\nUNUSED = 1\n",
        whole="from .origin import UNUSED\nX = 1\nY = 2\n",
        handed="from .origin import E as F\nfrom . import origin as m\n",
        typed="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .origin import H\n",
        late="G = 1\n",
        origin="E = 1\nH = 1\nJ = 1\nUNUSED = 1\n",
    )
    assert set(found.parts) == {
        *("toy.main:main", "toy.sub.leaf:A", "toy.whole:X", "toy.whole:Y", "toy.origin:E", "toy.sub.leaf:C"),
        *("toy.sub.leaf:D", "toy.sub:B", "toy.origin:H", "toy.sub.leaf:I", "toy.late:G", "toy.origin:J"),
    }


def test_a_whole_module_and_a_definition_inside_of_a_class_as_roots(of: Callable[..., Code]) -> None:
    files = {"one": "A = 1\nclass B:\n    class Inner: ...\nrun()\n"}
    assert set(of("toy.one", **files).parts) == {"toy.one:A", "toy.one:B", "toy.one:0"}
    assert set(of("toy.one:B.Inner", **files).parts) == {"toy.one:B", "toy.one:0"}


@pytest.mark.parametrize("root", ["toy.nothing", "toy.nothing:A", "toy.one:B", "nowhere"])
def test_a_root_that_is_not_there_is_named(of: Callable[..., Code], root: str) -> None:
    with pytest.raises(HarnessError, match=root):
        of(root, one="A = 1\n")


def test_statements_for_their_effect_count_wherever_an_import_runs_them(of: Callable[..., Code]) -> None:
    found = of(
        "toy.deep.main:A",
        __init__="first()\nimport os\nsecond()\n",
        deep__slash____init__="third()\n",
        deep__slash__main="A = 1\ndef f():\n    import toy.far.effects\n",
        far__slash____init__="from ..again import X\n",
        far__slash__effects="fourth()\nUNUSED = 1\n",
        again="fifth()\nimport toy.far.effects\nX = 1\n",
        nobody="sixth()\n",
    )
    assert set(found.parts) == {
        *("toy.deep.main:A", "toy:0", "toy:1", "toy.deep:0", "toy.far.effects:0", "toy.again:0"),
    }


@pytest.mark.parametrize(
    ("decorator", "kept"),
    [
        ("@register", True),
        ("@kinds.register", True),
        ("@kinds.register(1)", True),
        ("@kinds.register(abs)", True),  # the name in the brackets is not the decorator's
        ("@functools.partial(register, 1)", True),
        ("@here", True),
        ("@functools.cache", False),
        ("@functools.lru_cache(maxsize=1)", False),
        ("@(lambda f: f)", False),
    ],
)
def test_a_definition_that_a_decorator_of_the_package_may_keep_is_one_with_an_effect(
    of: Callable[..., Code], decorator: str, kept: bool
) -> None:
    source = f"""
        import functools
        from . import kinds
        from .kinds import register
        def here(f): return f
        {decorator}
        def kept(): return 5
        A = 1
        """
    found = of("toy.one:A", one=source, kinds="def register(*f): ...\n")
    assert ("toy.one:0" in found.parts) == kept


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(): g = 1", {"f"}),
        ("async def f(): ...", {"f"}),
        ("class C:\n    x = 1", {"C"}),
        ("a = b = c.d", {"a", "b"}),
        ("a, (b, *c) = d", {"a", "b", "c"}),
        ("a: int = b", {"a"}),
        ("a += b", {"a"}),
        ("if a:\n    b = 1\nelif c:\n    d = 1\nelse:\n    def e(): ...", {"b", "d", "e"}),
        ("try:\n    a = 1\nexcept E:\n    b = 1\nelse:\n    c = 1\nfinally:\n    d = 1", {"a", "b", "c", "d"}),
        ("for a in b:\n    c = 1", {"c"}),
        ("with a:\n    b: int = 1", {"b"}),
        ("run(a)", set()),
        ("if a:\n    run(b)", set()),
    ],
)
def test_the_names_that_a_statement_binds(source: str, names: set[str]) -> None:
    assert module._bound(ast.parse(source).body[0]) == names


def test_names_are_read_with_the_longest_path_of_attributes() -> None:
    statements = ast.parse("a.b.c + d(e.f)\ng = a\n(h + i).j").body
    assert sorted(module._names(statements)) == [
        *(("a", []), ("a", ["b", "c"]), ("d", []), ("e", ["f"]), ("g", []), ("h", []), ("i", []))
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b.c", {"a": {"a"}, "a.b.c": {"a.b.c"}}),
        ("import a.b as x", {"x": {"a.b"}, "a.b": {"a.b"}}),
        ("import a", {"a": {"a"}}),
        ("from a.b import c, d as e", {"c": {"a.b.c"}, "e": {"a.b.d"}}),
        ("from . import x", {"x": {"p.q.x"}}),
        ("from .m import x", {"x": {"p.q.m.x"}}),
        ("from .. import x", {"x": {"p.x"}}),
        ("from ..m import x as y", {"y": {"p.m.x"}}),
        ("from a import x\ndef f():\n    from b import x", {"x": {"a.x", "b.x"}}),
    ],
)
def test_what_imports_bind_in_the_package_p_q(source: str, expected: dict[str, set[str]]) -> None:
    assert module._imports(ast.parse(source), "p.q") == expected


def test_a_package_s_own_init_imports_from_itself(of: Callable[..., Code]) -> None:
    found = of("toy.sub:A", sub__slash____init__="from .leaf import B\nA = B\n", sub__slash__leaf="B = 1\n")
    assert set(found.parts) == {"toy.sub:A", "toy.sub.leaf:B"}


def test_modules_with_those_above_them() -> None:
    assert module._with_parents("a.b.c") == ["a", "a.b", "a.b.c"]
    assert [module._skipped(name) for name in ("harness.cli", "harness.cli.main", "harness.zoo", "cli")] == [
        *(True, True, False, False)
    ]


def test_where_modules_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wide" / "both").mkdir(parents=True)
    for name in ("wide/__init__", "wide/both/__init__", "wide/both", "alone", "wide/leaf"):
        (tmp_path / f"{name}.py").touch()
    forget()
    assert module._locations("wide") == (tmp_path / "wide",)
    assert module._locations("alone") == (tmp_path / "alone",)
    assert module._locations("no_such_package") == ()
    assert module._file("wide") == tmp_path / "wide/__init__.py"
    assert module._file("wide.both") == tmp_path / "wide/both/__init__.py"  # as Python has it, before both.py
    assert module._file("wide.leaf") == tmp_path / "wide/leaf.py"
    assert module._file("alone") == tmp_path / "alone.py"
    assert module._file("wide.nothing") is None
    # A module that was run, and not imported, has no spec: it is where its file is.
    run = ModuleType("run_as_a_script")
    run.__file__ = str(tmp_path / "run_as_a_script.py")
    monkeypatch.setitem(sys.modules, "run_as_a_script", run)
    assert module._locations("run_as_a_script") == (tmp_path / "run_as_a_script",)
    monkeypatch.setitem(sys.modules, "without_a_file", ModuleType("without_a_file"))
    assert module._locations("without_a_file") == ()
    # One that is loaded is where it was loaded from, wherever another of its name is now.
    loaded = ModuleType("alone")
    loaded.__spec__ = importlib_spec("alone", tmp_path / "elsewhere.py")
    monkeypatch.setitem(sys.modules, "alone", loaded)
    forget()
    assert module._locations("alone") == (tmp_path / "elsewhere",)
    forget()


def importlib_spec(name: str, path: Path) -> Any:
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, None, origin=str(path))


# --- what is left of a source -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ('"""Words."""\na = "kept"\n"""Words of a."""', "a = 'kept'"),
        ("3\nf('kept')\nb.print(1)", "3\nf('kept')\nb.print(1)"),
        ("print(1)\nnote(2)\nnoted(3)", "noted(3)"),
        ("if a:\n    note(1)\n    b()\nelse:\n    c()", "if a:\n    b()\nelse:\n    c()"),
        ("if TYPE_CHECKING:\n    a = 1\nelse:\n    b: int = 2", "b = 2"),
        ("if typing.TYPE_CHECKING:\n    a = 1", ""),
        ("raise ValueError(f'{x} is bad') from error", "raise ValueError"),
        ("raise error", "raise error"),
        ("assert f(a, description='words'), 'words'", "assert f(a)"),
        ("def f(a: int, *, b: str = 1) -> int:\n    return a", "def f(a, *, b=1):\n    return a"),
        ("def f():\n    'Words.'", "def f():\n    pass"),
        ("a: int = f(1, description='words')", "a = f(1)"),
        ("class C:\n    a: int\n    b: int = 2", 'class C:\n    """a"""\n    b = 2'),
        ("a = Field(7, ge=1, summary='words', description=x)", "a = Field(7, ge=1)"),
        ("a = f(Value('words', better, 'words', digits=3), 'kept')", "a = f(Value(better), 'kept')"),
        ("a = m.Value('kept', digits=3)", "a = m.Value('kept', digits=3)"),
        (
            "class C:\n    summary = 'words'\n    paper = 'words'\n    def refusal(self): return 1\n    kept = 2",
            "class C:\n    kept = 2",
        ),
        (
            "class C:\n    summary = 'used'\n    paper = 'words'\n    def f(self):\n        return self.summary",
            "class C:\n    summary = 'used'\n\n    def f(self):\n        return self.summary",
        ),
        ("class C:\n    summary = 'words'", "class C:\n    pass"),
        ("class C:\n    noise_is_not_worse: Words = {'a': 'words'}\n    kept = 2", "class C:\n    kept = 2"),
        (
            "class MySettings(base.Settings):\n    a: int = 1\n    b = 2\n    @field_validator('a')\n"
            "    def check(cls, v): ...\n    def double(self):\n        return 2 * self.a",
            "class MySettings(base.Settings):\n\n    def double(self):\n        return 2 * self.a",
        ),
    ],
)
def test_what_is_left(source: str, left: str) -> None:
    assert ast.unparse(ast.fix_missing_locations(module._Stripped().visit(ast.parse(source)))) == left


def test_trees_as_plain_values() -> None:
    tree = ast.parse("import a\nfrom b import c\nf(1, x='y')")
    call = {
        "args": ["1"],
        "func": ["Name", {"ctx": ["Load", {}], "id": "'f'"}],
        "keywords": [["keyword", {"arg": "'x'", "value": "'y'"}]],
    }
    assert module._plain(tree) == ["Module", {"body": [["Expr", {"value": ["Call", call]}]]}]
    assert module._plain(ast.parse("return_ = None").body[0].value) == "None"  # type: ignore[attr-defined]


def test_hashes_do_not_depend_on_the_order_of_keys() -> None:
    assert module._hash({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a": [2], "b": 1}').hexdigest()
