"""Suite files that are wrong, beside those of ``test_suite.MALFORMED``: a table, and nothing that checks it.

A case is what stands in the file: the sections that it leaves out are those of ``GOOD``, above it. Bytes are a whole
file.
"""

from __future__ import annotations

GOOD = {
    "suite": "suite: s\n",
    "data": "data: digits\n",
    "base": "base: {model: dcgan}\n",
    "evaluate": "evaluate: {metrics: [fid]}\n",
}


def content(case: str | bytes) -> bytes:
    """The file of a case."""
    if isinstance(case, bytes):
        return case
    given = {line.partition(":")[0] for line in case.splitlines()}
    return ("".join(text for key, text in GOOD.items() if key not in given) + case).encode("utf-8", "surrogatepass")


AXIS = list(range(1, 101))
WHOLE = "".join(GOOD.values())
SPACE = "search: {n_trials: 1, space: {model.latent: "
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} {{{', '.join(f'k{i}: *{a}' for i in range(9))}}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

NAMES = [
    # of suites: they become folders
    *("../../x", "..", ".", "/", "/etc/passwd", "a/b", "a\\b", "..\\..\\x", "~", "~root", "a b", " s", "s.", "s.yaml"),
    *(".hidden", "-rf", "_x", "a:b", "a*", "a?", "a|b", "<script>", "$HOME", "`id`", "$(id)", "%2e%2e", "a;b", "a&b"),
    *(
        "con",
        "nul",
        "aux",
        "prn",
        "com1",
        "lpt9",
        "CON",
        "Con",
        "con.txt",
        "mlflow",
        "optuna",
        "cache",
        "work",
        "results",
    ),
    *("artifacts", "smoke", "published", "baselines"),
    *("S", "é", "ｓ", "ѕ", "s\u200b", "s\u202e", "ß", "İ", "\U0001f600", "٣", "x" * 65, "x" * 100_000, "s\\n", "s\\0"),
    *("s\\t", "\\e[31m", ""),
]

VALUES = {
    # what no number of steps can be
    "train: {steps: %s}\n": [
        *("-1", "0", "0.5", ".inf", "-.inf", ".nan", ".NaN", "1e999", "'5'", "five", "true", "null", "[]"),
        *(
            "{}",
            "[5]",
            "0x",
            "1_000",
            "9" * 18,
            "9" * 19,
            "9" * 100_000,
            "2024-01-01",
            "12:30:00",
            "!!int 5",
            "5 steps",
        ),
        *("٣", "５", "0b11", "+-1", "--1", "1,000", "~"),
    ],
    # what no rate can be
    "base: {model: {name: dcgan, generator_rate: %s}}\n": [
        *(
            "-1",
            "0",
            "2",
            ".inf",
            ".nan",
            ".NAN",
            "1e400",
            "1e-400",
            "fast",
            "'0.1'",
            "false",
            "[0.1]",
            "{a: 1}",
            "null",
        ),
    ],
    # what no time can be
    "run: {time_limit: %s}\n": [
        *("0", "-0.0", "-1", ".inf", "1e309", "soon", "'9'", "true", "[1]", "9" * 200_000 + ".5")
    ],
}

CASES: dict[str, str | bytes] = {
    **{f"name {name[:20]!r}": f'suite: "{name}"\n' for name in NAMES},
    **{f"{text.split('%')[0]}{value[:20]}": text % value for text, values in VALUES.items() for value in values},
    # keys and names, mistyped
    **{
        f"section {wrong}": f"{wrong}: {{}}\n"
        for wrong in ("trian", "Train", "TRAIN", "sed", "matix", "evalute", "basе", "ｄata", "compere", "expects")
    },
    "key with a colon": '"train:": {}\n',
    "empty key": '"": 1\n',
    "key of blanks": '"  ": 1\n',
    "null as key": "~: 1\n",
    "number as key": "1: 1\n",
    "truth as key": "true: 1\n",
    "merge key": "base: &b {model: dcgan}\ntrain: {<<: *b}\n",
    "endless key": f'? "{"k" * 200_000}"\n: 1\n',
    "key with a line break": '"a\\nb": 1\n',
    "key that clears the screen": '"\\e[2Jx": 1\n',
    "key that turns the text": '"\u202egpj.exe": 1\n',
    "key with a null": '"a\\0b": 1\n',
    "dunder key": "__class__: {}\n",
    "pydantic's key": "model_config: {}\n",
    "name instead of suite": "name: s\n",
    "computed key": "combinations: []\n",
    "model of another kind": "base: {model: ema}\n",
    "trick of another kind": "base: {model: dcgan, tricks: [dcgan]}\n",
    "metric of another kind": "evaluate: {metrics: [digits]}\n",
    "data of another kind": "data: fid\n",
    "model by path": "base: {model: ../models/gan}\n",
    "model by module": "base: {model: os.system}\n",
    "model as text of a call": "base: {model: \"__import__('os').system('id')\"}\n",
    "look-alike model": "base: {model: dсgan}\n",
    "endless model": f"base: {{model: {'x' * 100_000}}}\n",
    "base class as model": "base: {model: Model}\n",
    "private module as model": "base: {model: _conditional}\n",
    "null model": "base: {model: null}\n",
    "empty model": "base: {model: ''}\n",
    "nameless model": "base: {model: {}}\n",
    "model named by a list": "base: {model: {name: [dcgan]}}\n",
    "unknown setting": "base: {model: {name: dcgan, latnet: 3}}\n",
    "private setting": "base: {model: {name: dcgan, __init__: 3}}\n",
    "setting of a null": "base: {model: {name: dcgan, latent: null}}\n",
    "setting too large": "base: {model: {name: dcgan, latent: 100000000000}}\n",
    "architecture as a number": "base: {model: {name: dcgan, architecture: 5}}\n",
    "architecture of tricks": "base: {model: {name: dcgan, architecture: {name: ema}}}\n",
    "architecture with a bad width": "base: {model: {name: dcgan, architecture: {width: wide}}}\n",
    "architecture that does not serve": "data: ring\nbase: {model: {name: gan, architecture: dcgan}}\n",
    "tricks as a mapping": "base: {model: dcgan, tricks: {ema: 1}}\n",
    "tricks as text": "base: {model: dcgan, tricks: ema}\n",
    "tricks in tricks": "base: {model: dcgan, tricks: [[ema]]}\n",
    "null trick": "base: {model: dcgan, tricks: [null]}\n",
    "thousands of tricks": f"base: {{model: dcgan, tricks: [{', '.join(f'ema{i}' for i in range(9000))}]}}\n",
    "the same trick thousands of times": f"base: {{model: dcgan, tricks: [{'ema, ' * 9000}]}}\n",
    "tricks that conflict": "base: {model: dcgan, tricks: [one_sided_label_smoothing, two_sided_label_smoothing]}\n",
    "base as text": "base: dcgan\n",
    "data as a list": "data: [digits]\n",
    "data with a class that is not there": "data: {name: digits, classes: [10]}\n",
    "data with a class twice": "data: {name: digits, classes: [1, 1]}\n",
    "data with no classes": "data: {name: digits, classes: []}\n",
    "data with a negative limit": "data: {name: digits, limit: -5}\n",
    # folders
    "folder that is not there": "data: {name: folder, path: /nowhere/at/all}\n",
    "folder of devices": "data: {name: folder, path: /dev}\n",
    "folder of the system": "data: {name: folder, path: /proc}\n",
    "folder that is a file": "data: {name: folder, path: /dev/null}\n",
    "folder above": "data: {name: folder, path: ../../../../../../../../nowhere}\n",
    "folder with an endless name": f"data: {{name: folder, path: /{'x' * 100_000}}}\n",
    "folder with a null": 'data: {name: folder, path: "/tmp/\\0"}\n',
    "folder of nobody": "data: {name: folder, path: ~nobody_of_that_name/x}\n",
    "folder without end": "data: {name: folder, path: ''}\n",
    "folder of huge images": "data: {name: folder, path: /tmp, size: 100000}\n",
    "folder on an axis": "matrix: {data.path: [/nowhere/a, /nowhere/b]}\ndata: {name: folder}\n",
    # sections of another type
    **{
        f"{section} as {value}": f"{section}: {value}\n"
        for section in ("train", "run", "matrix", "compare", "search")
        for value in ("5", "text", "[1, 2]", "true")
    },
    "exclude as a mapping": "exclude: {where: {}}\n",
    "expect as a mapping": "expect: {metric: fid}\n",
    "question as a list": "question: [why]\n",
    "question as a number": "question: 5\n",
    "endless question": f"question: {'x' * 20_000}\n",
    "question that rings": 'question: "\\a"\n',
    "question with half a pair": 'question: "\\ud83d"\n',
    # seeds
    "seeds of text": "seeds: [zero]\n",
    "huge seed": "seeds: [4294967296]\n",
    "half a seed": "seeds: [0.5]\n",
    "seed of nothing": "seeds: [null]\n",
    "thousands of seeds": f"seeds: {list(range(9000))}\n",
    "thousands of wrong seeds": f"seeds: [{'x, ' * 9000}]\n",
    "negative number of seeds": "seeds: -3\n",
    "seeds as a mapping": "seeds: {n: 3}\n",
    "endless seeds": "seeds: .inf\n",
    # matrices
    "matrix of a number": "matrix: {model: 5}\n",
    "matrix of null": "matrix: {model: null}\n",
    "axis of nulls": "matrix: {model: [null, null]}\n",
    "axis of nothing": 'matrix: {"": [1]}\n',
    "axis of dots": 'matrix: {"...": [1]}\n',
    "axis with a dot at its end": 'matrix: {"model.": [1]}\n',
    "axis into the suite": "matrix: {suite: [a, b]}\n",
    "axis into the seeds": "matrix: {seeds: [1, 2]}\n",
    "axis into a class": "matrix: {model.__class__: [1]}\n",
    "axis into a text": "matrix: {model.name.x: [1]}\n",
    "axis of mixed types": "matrix: {train.steps: [1, '1', 1.5, null, [], {}]}\n",
    "axis of equal numbers": "matrix: {train.steps: [1, 1]}\n",
    "axis of infinities": "matrix: {model.beta1: [.inf, -.inf, .nan]}\n",
    "axis without end": '? matrix\n: ? "' + "model" + ".a" * 100_000 + '"\n  : [1]\n',
    "deep axis": 'matrix: {"' + "model" + ".a" * 200 + '": [1]}\n',
    "axis of deep values": f"matrix: {{model.latent: [{'[' * 25}{']' * 25}]}}\n",
    "thousands of axes": "matrix:\n" + "".join(f"  model.a{i}: [1]\n" for i in range(3000)),
    "thousands of empty axes": "matrix:\n" + "".join(f"  model.a{i}: []\n" for i in range(4500)),
    "thousands of wrong axes": "matrix:\n" + "".join(f"  modle{i}: [1]\n" for i in range(3000)),
    "33 axes": "matrix:\n" + "".join(f"  model.a{i}: [1]\n" for i in range(33)),
    "product without end": "matrix:\n" + "".join(f"  model.a{i}: {AXIS}\n" for i in range(30)),
    "10 000 wrong cells": f"matrix: {{model.latent: {[-i for i in AXIS]}, model.beta1: {[i + 2 for i in AXIS]}}}\n",
    "10 000 cells of no model": f"base: {{model: dcgn}}\nmatrix: {{model.latent: {AXIS}, model.beta1: {AXIS}}}\n",
    "10 000 cells without data": f"data: null\nmatrix: {{model.latent: {AXIS}, train.steps: {AXIS}}}\n",
    "100 exclusions of 10 000 cells": f"matrix: {{model.latent: {AXIS}, train.steps: {AXIS}}}\nexclude:\n"
    + "".join(f"- {{where: {{model.latent: {i}}}, reason: x}}\n" for i in AXIS),
    "100 orders of 10 000 cells": f"matrix: {{model.latent: {AXIS}, train.steps: {AXIS}}}\nexpect:\n"
    + "- {metric: fid, source: x, order: [{model.latent: 1}, {model.latent: 2}, {model.latent: 3}]}\n" * 100,
    # exclude, search, compare, expect
    "exclude nothing": "matrix: {tricks: [[], [ema]]}\nexclude: [{where: {}, reason: x}]\n",
    "exclude without a reason": "matrix: {tricks: [[], [ema]]}\nexclude: [{where: {tricks: []}, reason: ''}]\n",
    "exclude by a number": "exclude: [5]\n",
    "exclude by null": "exclude: [null]\n",
    "search of nothing": "search: {}\n",
    "search in an empty space": "search: {n_trials: 1, space: {}}\n",
    "search without trials": "search: {n_trials: 0, space: {model.latent: {type: int, low: 8, high: 9}}}\n",
    "search with endless trials": "search: {n_trials: .inf, space: {model.latent: {type: int, low: 8, high: 9}}}\n",
    "unknown range": SPACE + "{type: normal}}}\n",
    "range without type": SPACE + "{low: 1, high: 2}}}\n",
    "range upside down": SPACE + "{type: int, low: 9, high: 8}}}\n",
    "range of one": SPACE + "{type: int, low: 8, high: 8}}}\n",
    "range of infinities": SPACE + "{type: float, low: -.inf, high: .inf}}}\n",
    "range of nan": SPACE + "{type: float, low: .nan, high: 1}}}\n",
    "range of text": SPACE + "{type: int, low: a, high: b}}}\n",
    "range of fractions": SPACE + "{type: int, low: 0.5, high: 9.5}}}\n",
    "range with log of zero": SPACE + "{type: float, low: 0, high: 1, log: true}}}\n",
    "range with log and step": SPACE + "{type: float, low: 1, high: 2, log: true, step: 1}}}\n",
    "range with a negative step": SPACE + "{type: int, low: 1, high: 2, step: -1}}}\n",
    "choice among none": SPACE + "{type: categorical, choices: []}}}\n",
    "choice among lists": SPACE + "{type: categorical, choices: [[1]]}}}\n",
    "deep space": 'search: {n_trials: 1, space: {"' + "model" + ".a" * 200 + '": {type: int, low: 1, high: 2}}}\n',
    "thousands of parameters": "search:\n  n_trials: 1\n  space:\n"
    + "".join(f"    model.a{i}: {{type: int, low: 1, high: 2}}\n" for i in range(1000)),
    "unknown sampler": SPACE + "{type: int, low: 8, high: 9}}, sampler: grid}\n",
    "sampler with a negative seed": SPACE + "{type: int, low: 8, high: 9}}, sampler: {name: tpe, seed: -1}}\n",
    "unknown pruner": SPACE + "{type: int, low: 8, high: 9}}, pruner: scissors}\n",
    "pruner of nothing": SPACE + "{type: int, low: 8, high: 9}}, pruner: {every: 0}}\n",
    "objective of no metric": SPACE + "{type: int, low: 8, high: 9}}, objective: {metric: kid}}\n",
    "objective sideways": SPACE + "{type: int, low: 8, high: 9}}, objective: {direction: sideways}}\n",
    "compare on a number": "compare: {metric: 5}\n",
    "negative delta": "compare: {delta: -1}\n",
    "delta of nan": "compare: {delta: .nan}\n",
    "baseline as text": "compare: {baseline: dcgan}\n",
    "baseline that is none": "compare: {baseline: {model: dcgan}}\n",
    "names as a list": "names: [plain]\n",
    "a name for nothing": "names: {plain: {}}\n",
    "a name for a number": "names: {plain: 5}\n",
    "an empty name": 'names: {"": {model: dcgan}}\n',
    "a name with a blank at its end": 'names: {"plain ": {model: dcgan}}\n',
    "an endless name": f"names: {{{'x' * 61}: {{model: dcgan}}}}\n",
    "a name that turns the text": 'names: {"\\u202Enalp": {model: dcgan}}\n',
    "thousands of names": f"names: {{{', '.join(f'n{i}: {{model: gan}}' for i in range(5000))}}}\n",
    "expect of a number": "expect: [5]\n",
    "expect the infinite": "expect: [{metric: fid, at_most: .inf, source: x}]\n",
    "expect nan": "expect: [{metric: fid, value: .nan, tolerance: 1, source: x}]\n",
    "expect in an order of numbers": "expect: [{metric: fid, order: [1, 2], source: x}]\n",
    "endless source": f"expect: [{{metric: fid, at_most: 1, source: {'x' * 2000}}}]\n",
    # evaluate
    "evaluate null": "evaluate: null\n",
    "metrics as text": "evaluate: {metrics: fid}\n",
    "metrics as a mapping": "evaluate: {metrics: {fid: 1}}\n",
    "thousands of metrics": f"evaluate: {{metrics: [{', '.join(f'fid{i}' for i in range(9000))}]}}\n",
    "samples without end": "evaluate: {samples: 10000000000, metrics: [fid]}\n",
    "features by path": "evaluate: {features: ../../../etc/passwd, metrics: [fid]}\n",
    "features by number": "evaluate: {features: 5, metrics: [fid]}\n",
    "unknown split": "evaluate: {split: validation, metrics: [fid]}\n",
    "metric with a bad setting": "evaluate: {metrics: [{name: kid, subsets: 0}]}\n",
    "metric of points for images": "evaluate: {metrics: [high_quality_modes]}\n",
    # YAML itself
    "tab": "train:\n\tsteps: 5\n",
    "tab after a dash": "seeds:\n-\t- 1\n",
    "wrong indentation": "train:\n  steps: 5\n threads: 1\n",
    "duplicate section": "train: {}\ntrain: {}\n",
    "duplicate key in a list": "exclude: [{reason: a, reason: b}]\n",
    "alias bomb": LAUGHS,
    "alias bomb of lists": "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9) if a else 1}]\n"
        for a, b in zip(["", *"abcdefgh"], "abcdefghi", strict=True)
    ),
    "text that is repeated thousands of times": "base: {model: {name: dcgan, k0: &a '"
    + "y" * 170_000
    + "', "
    + ",".join(f"k{i}: *a" for i in range(1, 4900))
    + "}}\n",
    "text repeated inside lists": f"a: &a ['{'y' * 60_000}']\nb: &b [*a, *a]\nc: [*b, *b, *b]\n",
    "text repeated as keys": f"a: &a {{{'y' * 1000}: 1}}\nb: [{'*a, ' * 2000}]\n",
    "long text in a thousand wrong cells": f"base: {{model: {{name: dcgan, k: '{'y' * 170_000}'}}}}\n"
    + f"matrix: {{model.latent: {AXIS}, model.beta1: {AXIS}}}\n",
    "ten million trials": f"seeds: 1000\nmatrix: {{model.latent: {AXIS}, train.steps: {AXIS}}}\n",
    "ten thousand million trials": f"seeds: 1000\nmatrix: {{model.latent: {AXIS}}}\n"
    + SPACE.replace("n_trials: 1", "n_trials: 100000").replace("model.latent", "model.beta1")
    + "{type: float, low: 0, high: 0.9}}}\n",
    "cycle": "matrix: &m {tricks: [[*m]]}\n",
    "cycle through a list": "seeds: &s [1, *s]\n",
    "alias before its anchor": "question: *later\nsuite: &later s\n",
    "alias as key": "suite: &s s\n*s : 1\n",
    "tag that constructs": "question: !!python/object/apply:os.system ['id']\n",
    "tag of one's own": "question: !evil x\n",
    "tag by a handle": b"%TAG ! tag:evil,2000:\n---\nsuite: !x y\n",
    "set": "seeds: !!set {1, 2}\n",
    "unclosed quote": "question: 'why\n",
    "unclosed brace": "train: {steps: 5\n",
    "bracket too many": "seeds: [1]]\n",
    "unknown escape": 'question: "\\q"\n',
    "two documents": "---\nsuite: t\n",
    "directive of the future": "%YAML 3.0\n---\nquestion: x\n",
    "merge conflict": "<<<<<<< HEAD\nseeds: 1\n=======\nseeds: 2\n>>>>>>> other\n",
    "brackets without end": "seeds: " + "[" * 100_000 + "\n",
    "braces without end": "train: " + "{a: " * 50_000 + "\n",
    "dashes without end": "seeds:\n" + "- " * 100_000 + "\n",
    "questions without end": "? " * 100_000 + "\n",
    "anchors without end": "".join(f"a{i}: &b{i} x\n" for i in range(15_000)),
    "blank lines without end": "\n" * 200_000 + "x",
    "comment without end": "#" + "x" * 250_000 + "\nquestion: [\n",
    "text without end": "question: |\n" + " x\n" * 60_000 + "y",
    "escapes without end": 'question: "' + "\\u0041" * 40_000 + "\n",
    # no text at all
    "nothing": b"",
    "blanks": b"   \n\n  ",
    "only a marker": b"---\n",
    "only a mark of order": b"\xef\xbb\xbf",
    "null": b"null\n",
    "number": b"42\n",
    "list": b"- suite: s\n",
    "text": b"suite\n",
    "null bytes": b"\0" * 1000,
    "null byte at the end": WHOLE.encode() + b"\0",
    "UTF-16 with its mark": WHOLE.encode("utf-16"),
    "UTF-16 without": WHOLE.encode("utf-16-le"),
    "UTF-32": WHOLE.encode("utf-32"),
    "latin-1": WHOLE.encode() + "question: für\n".encode("latin-1"),
    "overlong UTF-8": WHOLE.encode() + b"question: \xc0\xaf\n",
    "surrogates in UTF-8": WHOLE.encode() + b"question: \xed\xa0\x80\n",
    "UTF-7": b"+AHMAdQBpAHQAZQ-: s\n",
    "two marks of order": b"\xef\xbb\xbf\xef\xbb\xbf" + WHOLE.encode(),
    "mark of order in the middle": WHOLE.encode() + b"question: \xef\xbb\xbfx\n",
    "escape characters": WHOLE.encode() + b"question: \x1b[31mred\n",
    "delete character": WHOLE.encode() + b"question: \x7f\n",
    "only carriage returns": WHOLE.replace("\n", "\r").encode() + b"trian: 1\r",
    "line separators": "trian: 1\u2028x: 2\u2029".encode(),
    "every byte": bytes(range(256)) * 16,
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
    "ELF": b"\x7fELF" + bytes(100),
    "pickle": b"\x80\x04\x95cos\nsystem\n(S'id'\ntR.",
    "SQLite": b"SQLite format 3\0" + bytes(100),
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "JSON in lines": b'{"suite": "s"}\n{"suite": "t"}\n',
    "TOML": b'suite = "s"\n[train]\nsteps = 5\n',
    "Python": b"import os\nos.system('id')\n",
    "50 MB of one line": b"question: " + b"x" * 50_000_000,
    "50 MB of brackets": b"[" * 50_000_000,
    "50 MB of lines": b"- x\n" * 12_500_000,
    "50 MB of zeroes": bytes(50_000_000),
}
