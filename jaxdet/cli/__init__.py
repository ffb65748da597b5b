"""Command line: one file and one dataclass of flags per command; `jobs/` runs them."""
