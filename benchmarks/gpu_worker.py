"""The process that runs the items of ``benchmarks/gpu.py``, part by part, as its parent asks for them.

A request is a line of JSON on stdin: ``{"part": name, "words": [what items' names hold, or none],
"done": [items], "until": seconds since the epoch}``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from gpu_events import end_with_parent, tell, wanted

EXPLAINED = 1500
"""Characters of an exception's message that go on; of a CUDA error the rest is advice to programmers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    chosen = parser.parse_args()
    end_with_parent()
    place = begun(chosen.device, chosen.folder / f"worker-{time.time_ns()}")
    for line in sys.stdin:
        serve(place, json.loads(line))


def begun(device: str, folder: Path) -> Any:
    """The place, once the process has taken a first step on it: from a cold disk that takes longer than any item may.

    Where there is no such device, or no torch, the process ends here and has said why.
    """
    since = time.perf_counter()
    import torch

    loaded = time.perf_counter()
    torch.set_num_threads(1)
    torch.zeros(1, device=device)
    on_device = time.perf_counter()
    from gpu_kit import Place, first_step

    place = Place(torch.device("cuda:0" if device == "cuda" else device), folder)  # as the harness resolves it
    with contextlib.suppress(Exception):  # the items will say what is wrong
        first_step(place)
    stepped = time.perf_counter()
    place.start.update({"torch": loaded - since, "device": on_device - loaded, "first step": stepped - on_device})
    return place


def serve(place: Any, request: dict[str, Any]) -> None:
    """Run the items of a part that are not done, and begin none when its time is over."""
    items = {name: item for name, item in parts()[request["part"]](place).items() if wanted(name, request)}
    tell({"items": list(items)})
    left = [name for name in items if name not in request["done"]]
    for number, name in enumerate(left):
        if time.time() > request["until"] and (number or request["done"]):
            break
        tell({"begin": name})
        tell({"end": name, "result": performed(items[name])})
        clean_up(place)
    tell({"over": request["part"]})


def parts() -> dict[str, Any]:
    """Part -> the function that lists its items."""
    import gpu_checks
    import gpu_measures

    return gpu_checks.PARTS | gpu_measures.PARTS


def performed(item: Any) -> dict[str, Any]:
    """What became of an item, whatever it was."""
    from gpu_kit import Skip

    began = time.perf_counter()

    def result(state: str, message: str = "", trace: str = "", rows: Any = ()) -> dict[str, Any]:
        seconds = round(time.perf_counter() - began, 3)
        return {"state": state, "message": message, "trace": trace, "seconds": seconds, "rows": list(rows)}

    try:
        found = item()
    except Skip as skip:
        return result("skipped", str(skip))
    except Exception as error:
        message = f"{type(error).__name__}: {error}"[:EXPLAINED]
        return result("failed", message, traceback.format_exc())
    rows = found.rows if found else []
    if wrong := [row.quantity for row in rows if not abs(row.value) < float("inf")]:
        return result("failed", f"{', '.join(wrong)} came out as no finite number")
    return result("passed", found.said if found else "", rows=rows)


def clean_up(place: Any) -> None:
    """Give back the item's memory. An error of the device poisons the process: then it ends, and a new one comes."""
    import torch

    from harness.trial.device import release

    try:
        release()
        assert float((torch.ones(8, device=place.device) * 2).sum()) == 16
    except Exception:
        traceback.print_exc()
        sys.exit("the device is of no use to this process any more")


if __name__ == "__main__":
    main()
