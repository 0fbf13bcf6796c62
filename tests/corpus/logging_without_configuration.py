import logging

logging.warning("a warning")
logging.info("not shown")
logging.getLogger("x").error("an error %s", {"a": 1})
logging.warning("wrong %d", "text")
