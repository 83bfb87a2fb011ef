"""Pure functions from reports to comparisons: no I/O, no clock."""
