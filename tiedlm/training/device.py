"""The machine a run is made on: its device, precision, processor and memory."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from tiedlm.errors import InputError


@dataclass(frozen=True)
class Runtime:
    """The device, and the precision of matrix products and what lies between them; weights are always fp32."""

    device: str
    precision: str

    @property
    def product_dtype(self) -> torch.dtype:
        """Of matrix products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def autocast(self) -> torch.amp.autocast_mode.autocast:
        """The context of every forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.product_dtype == torch.bfloat16)


def resolve_runtime(device: str, precision: str) -> Runtime:
    """Turn `auto` into what this machine has.

    Raises:
        InputError: a device was asked for that this machine lacks.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu or auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        if device == "cuda":
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            has_bf16 = torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if has_bf16 else "fp32"
    return Runtime(device, precision)


def start_device(device: str) -> None:
    """Let a GPU's libraries take what they take, if it is going to be used.

    Raises:
        InputError: as `resolve_runtime`.
    """
    torch.empty(1, device=resolve_runtime(device, "fp32").device)


def peak_memory_bytes(runtime: Runtime) -> int:
    """The largest memory so far: of the device on a GPU, resident in this process on a CPU."""
    if runtime.device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    # getrusage counts from the fork on, when this process was still its parent; but not every kernel tells VmHWM
    told = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.is_file() else None
    if told:
        return 1024 * int(told[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def processor(runtime: Runtime) -> str:
    """The name of what computes."""
    if runtime.device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """The memory of this machine, or of the container where its limit is lower; None where neither is told.

    Read are both versions of Linux control groups, at their root, where a container sees itself, and at our own group.
    """
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    own = root / "proc/self/cgroup"
    groups = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in own.read_text().split()} if own.is_file() else {}
    for controller, tree, name in (
        ("", "sys/fs/cgroup", "memory.max"),
        ("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ):
        for group in ("", groups.get(controller, "").strip("/")):
            limit = root / tree / group / name
            text = limit.read_text().strip() if limit.is_file() else ""
            found += [int(text)] if text.isdecimal() else []  # else it is "max"
    return min(found)
