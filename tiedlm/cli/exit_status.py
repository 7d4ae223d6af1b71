"""The exit statuses that a queue must know."""

AGAIN = 75
"""Stopped by SIGUSR1, and saved: the same command goes on. It is EX_TEMPFAIL of sysexits.h, "the user is invited to
retry"."""
