"""Loops that torch makes in many passes over memory, compiled by numba for one CPU core; they take float32 arrays only.

Every kernel has a twin of torch operations beside its caller, for other devices and precisions; tests hold the two
against each other. Compiled code is kept on disk: a machine pays for it once.
"""
