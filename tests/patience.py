"""How long a test waits for what has to come: whatever takes this long, hangs.

How quick something is, `benchmarks/` measure. A test fails for what is wrong, and never because the
machine had other things to do.
"""

PATIENCE_S = 600.0
