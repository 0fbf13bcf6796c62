import atexit
import logging
import logging.handlers
import sys

stream = logging.StreamHandler(sys.stdout)
memory = logging.handlers.MemoryHandler(100, target=stream)
logger = logging.getLogger("kept")
logger.addHandler(memory)
atexit.register(print, "registered after logging's own, so it comes first")
logger.warning("this is written when logging is shut down")
