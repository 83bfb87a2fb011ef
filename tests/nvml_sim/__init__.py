"""A stand-in for NVIDIA's driver library, whose GPUs draw exactly what a formula says."""
