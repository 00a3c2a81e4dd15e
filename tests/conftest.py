"""What every test shares: one thread, so that tests beside each other don't fight for cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
