"""What a benchmark runs on, and how much memory it has held."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def described() -> str:
    """Version of torch, threads, and the name of the device."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.machine()
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}"


def synchronize() -> None:
    """Wait for the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> float:
    """Most memory that this process has held so far, MB: of the GPU where there is one, else of the process (Linux)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    # Not getrusage: its maximum starts with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def forget_peak_memory() -> float:
    """Memory that this process holds now, MB; from here on `peak_memory` counts anew (Linux, or a GPU)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5: the high-water mark alone, proc(5)
    return peak_memory()
