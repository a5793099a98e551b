"""Plugins from outside the project: a process for each, its limits, its end."""
