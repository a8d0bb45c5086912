"""Loops that a library makes in many passes over memory, compiled by numba for one CPU core.

Those of training take float32 arrays only, and each has a twin of torch operations beside its caller, for other devices
and precisions; that of text leaves to DuckDB what is not plain. Tests hold the two against each other. Compiled code is
kept on disk: a machine pays for it once.
"""
