"""What is picked where, and what is said about a GPU that lies idle."""

import os
import subprocess

import pytest
import torch

from gptlab.processors import SPINS, share_processors
from gptlab.train import device
from gptlab.train.device import gpu_note, pick_device, pick_precision


@pytest.fixture
def machine(monkeypatch):
    """Pretends to be a machine: machine(cuda=True, mps=False, smi="GPU 0: …", build="13.0")."""
    def pretend(cuda=False, mps=False, smi=None, build=None, code=0):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.version, "cuda", build)
        monkeypatch.setattr(device.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if smi is not None else None)
        monkeypatch.setattr(device.subprocess, "run",
                            lambda command, **_: subprocess.CompletedProcess(command, code, stdout=smi, stderr=""))
    return pretend


@pytest.mark.parametrize("cuda, mps, expected", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_fastest_there_is(machine, cuda, mps, expected):
    machine(cuda, mps)
    assert pick_device("auto") == expected
    assert pick_device("cpu") == "cpu"


def test_a_device_that_is_not_there_is_refused_with_what_to_set(machine):
    machine(smi="GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-1)")
    with pytest.raises(ValueError, match=r"'cuda'.*set train.device to auto.*pip install .*--index-url https://download"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="'mps'.*Apple GPU"):
        pick_device("mps")


def test_precision_is_what_the_device_computes_in(monkeypatch):
    assert pick_precision("auto", "cpu") == pick_precision("auto", "mps") == "fp32"
    assert pick_precision("bf16", "cpu") == "bf16"
    with pytest.raises(ValueError, match="'fp16'.*cpu.*auto"):
        pick_precision("fp16", "cpu")
    for bf16, capability, expected in [(True, (9, 0), "bf16"), (False, (7, 5), "fp16"), (False, (6, 1), "fp32")]:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        assert pick_precision("auto", "cuda") == expected


def test_an_idle_gpu_is_named_with_the_line_that_mends_it(machine):
    listed = "GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-1)"
    machine(smi=listed)
    assert f"torch=={torch.__version__.partition('+')[0]} --index-url" in gpu_note()
    machine(smi=listed, build="13.0")
    assert "driver" in gpu_note()


@pytest.mark.parametrize("there", [
    {"cuda": True, "smi": "GPU 0: in use"}, {}, {"smi": "No devices were found"}, {"smi": "GPU", "code": 9}])
def test_nothing_is_said_where_there_is_nothing_to_mend(machine, there):
    machine(**there)
    assert gpu_note() is None


def test_random_states_come_back():
    saved = device.random_states("cpu")
    expected = torch.rand(5)
    device.set_random_states("cpu", {**saved, "cuda": "AAAA"})  # a run that comes from a GPU
    assert torch.equal(torch.rand(5), expected)


def test_waiting_threads_sleep_soon_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    share_processors()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    share_processors()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
