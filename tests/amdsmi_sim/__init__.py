"""A shared library in the place of ROCm's libamd_smi.so, for the package amdsmi to load."""
