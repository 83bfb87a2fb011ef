"""A report of a study: charts, tables, and one page that holds all of it and works offline."""
