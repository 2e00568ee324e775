"""The parameters cell that the tests of `dslab.book` use, and its values."""

CELL = """
seed: int = 0  # random seed [0..100]
device: str = "auto"  # where tensors live {auto,cpu,cuda,mps}
profile: str = "quick"  # how much to run {smoke,quick,full}
window: int = 16  # keys a query sees [1..64]
"""
VALUES = {"seed": 0, "device": "cpu", "profile": "quick", "window": 16}
