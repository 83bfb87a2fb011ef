"""Meters: each answers how many joules a device has drawn since some fixed moment."""
