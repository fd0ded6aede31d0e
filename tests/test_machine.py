"""What the page says of the machine it runs on."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import psutil
import pynvml

from gptlab.ui.machine import Machine


def test_it_tells_what_the_system_tells_and_looks_seldom(monkeypatch):
    times = namedtuple("times", "user system idle iowait guest")
    looks = [times(10, 0, 100, 0, 5), times(13, 2, 104, 1, 6)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: looks.pop(0))
    here = Machine()
    first = here.load()
    assert first == here.load() and not looks  # once to begin counting, once to answer both
    assert first["cpu_percent"] == 50.0 and 0 < first["ram_used_bytes"] < first["ram_bytes"] == psutil.virtual_memory().total


def test_a_gpu_is_read_and_one_that_is_lost_is_not_an_error(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: "gpu")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda device: SimpleNamespace(used=3, total=8))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda device: SimpleNamespace(gpu=77))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", lambda device, kind: 61)
    assert Machine().load()["gpu"] == {"percent": 77, "used_bytes": 3, "bytes": 8, "celsius": 61}

    def lost(device):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lost)
    assert Machine().load()["gpu"] is None


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert Machine().load()["gpu"] is None
