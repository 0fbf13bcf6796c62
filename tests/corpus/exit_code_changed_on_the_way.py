try:
    raise SystemExit(1)
except SystemExit as wish:
    wish.code = "changed"
    raise
