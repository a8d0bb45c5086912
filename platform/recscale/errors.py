"""The project's error tree: every error a user can cause is one of these three, with got / expected / what to do."""


class RecscaleError(Exception):
    """Base of every error that recscale raises on purpose; the command line prints it as one line and exits with 1."""


class ConfigError(RecscaleError):
    """A setting, a flag or a combination of them cannot be honoured."""


class DataError(RecscaleError):
    """Input data, a dataset folder or a stored result is missing, wrong, truncated or cannot be written."""


class TrialError(RecscaleError):
    """One trial could not be trained to its end; the study goes on without it."""
