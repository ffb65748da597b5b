"""Implementations of the commands. Imported after the processes of a job have connected: imports may use devices."""
