"""Two environments as one."""
