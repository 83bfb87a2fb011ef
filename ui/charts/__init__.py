"""Charts as pure functions: a data frame in, an Altair chart out, nothing fetched."""
