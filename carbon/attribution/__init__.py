"""Which run, node, rank and devices a process is of, and which part of a shared host is its own."""
