"""The command line: a file and a dataclass of flags a command; `jobs/` holds what they do."""
