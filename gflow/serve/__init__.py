"""The runs of a folder in a browser on this machine: their pages, live curves, stop and resume."""
