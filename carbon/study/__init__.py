"""Scaling studies: every strategy on every number of workers, several times, under one study."""
