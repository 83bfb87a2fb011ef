"""Real training runs to measure: tasks, strategies and one loop that puts them together."""
