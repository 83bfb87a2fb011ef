"""What tracking costs and how right it is, ours beside the peers': `python -m benchmarks`."""
