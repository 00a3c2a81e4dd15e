"""What every test shares: one thread, so that tests beside each other don't fight for cores."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # for runs in this process and for commands in processes of their own
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

torch.set_num_threads(1)
