"""Kernel facilities, one per module, spoken to through ``ctypes`` alone."""
