"""Charts of a study: pure functions from data frames to Altair charts."""
