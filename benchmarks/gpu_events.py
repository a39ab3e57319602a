"""How a child of ``benchmarks/gpu.py`` tells what it does, and how it ends with its parent.

Events are lines of JSON on a pipe of their own, so that whatever libraries print disturbs nothing:
``{"items": [names]}``, ``{"begin": name}``, ``{"end": name, "result": {…}}``, ``{"over": part}``.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any


def tell(event: dict[str, Any]) -> None:
    """Tell the parent."""
    os.write(int(os.environ["HARNESS_GPU_EVENTS"]), json.dumps(event).encode() + b"\n")


def wanted(name: str, request: dict[str, Any]) -> bool:
    """Whether the run is about this item."""
    words = request["words"]
    return not words or any(word in name for word in words)


def end_with_parent() -> None:
    """End at once, with all that was started from here, when the parent is gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(os.getpgid(0), signal.SIGKILL)  # a session of its own: see Child

    threading.Thread(target=watch, daemon=True).start()
