"""Runs as the tasks of a Ray cluster; the only place that imports Ray, which is an extra."""
