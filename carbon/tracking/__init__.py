"""The context manager around a training, and the thread behind it that measures."""
