"""What is on each page, from top to bottom."""
