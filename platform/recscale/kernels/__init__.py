"""Loops that a library makes in many passes over memory, compiled by numba for a CPU.

Those of training take float32 arrays only, and each has a twin of torch operations beside its caller, for other devices
and precisions; that of text leaves to DuckDB what is not plain. Tests hold the two against each other. Compiled code is
kept on disk, where a machine pays for it once; numba notices changes of a kernel's own file, not of what kernels share
(threads, vectors, tiles, blocks, prefetch, groups): whoever changes that deletes the folder's `__pycache__`.
"""
