"""How busy this machine is: processor, memory and, where there is one, the NVIDIA GPU. Looks at most every two seconds."""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil

LOOK_SECONDS = 2.0


class Machine:
    """Answers `load()` for any number of pages from one look."""

    def __init__(self):
        self._lock = threading.Lock()
        self._looked = -LOOK_SECONDS
        self._load: dict[str, Any] = {}
        self._gpu = _nvidia_gpu()
        self._times = psutil.cpu_times()  # since when to count; psutil.cpu_percent does so for each thread that asks

    def load(self) -> dict[str, Any]:
        """`cpu_percent ram_used_bytes ram_bytes`, and `gpu` (None, or `percent used_bytes bytes celsius`)."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                memory = psutil.virtual_memory()
                before, self._times = self._times, psutil.cpu_times()
                self._load = {"cpu_percent": _busy_percent(before, self._times), "ram_used_bytes": memory.total - memory.available,
                              "ram_bytes": memory.total, "gpu": self._gpu and self._gpu()}
                self._looked = time.monotonic()
            return self._load


def _busy_percent(before, now) -> float:
    """The share of the time between two looks in which the processor's cores worked."""
    spent = {name: getattr(now, name) - getattr(before, name) for name in now._fields if not name.startswith("guest")}
    idle, total = spent["idle"] + spent.get("iowait", 0.0), sum(spent.values())
    return 100 * (total - idle) / total if total > 0 else 0.0


def _nvidia_gpu():
    """What reads the first NVIDIA GPU; None where there is none, or no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError:
        return None

    def read() -> dict[str, Any] | None:
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            return {"percent": pynvml.nvmlDeviceGetUtilizationRates(device).gpu, "used_bytes": memory.used, "bytes": memory.total,
                    "celsius": pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU)}
        except pynvml.NVMLError:  # lost, or asleep
            return None

    return read
