"""The command line: the one place that names both environments and objectives."""
