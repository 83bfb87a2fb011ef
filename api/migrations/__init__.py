"""The steps from an empty database to the tables of `api.tables`, for Alembic.

`make migration TITLE="add budgets"` writes the next one from what the tables say by then.
"""
