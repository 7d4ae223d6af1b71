"""Starts processes, and holds those that read a stranger's files to limits of memory and processor time."""
