"""Training on two processes is training on one with the same global batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny_pack import write_pack

SCRIPT = Path(__file__).with_name("ddp_run.py")


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "pack")
    results = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.safetensors"
        command = [sys.executable, str(SCRIPT), str(pack), str(processes), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        results.append(load_file(out))
    one, two = results
    assert len(one["losses"]) == 4 and one["losses"].std() > 0
    for name, value in one.items():
        if name.endswith(("key.bias", "qkv.bias")):
            continue  # softmax forgets a key's bias: its gradient is rounding noise, which Adam makes a step
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}")
