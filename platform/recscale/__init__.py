"""Scaling-law studies for click-through-rate models: does bigger get better, and if not, is it embedding collapse?"""

__version__ = "0.1.0"
