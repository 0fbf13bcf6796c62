# files: run.log
import logging

logging.basicConfig(filename="run.log", format="%(message)s", level=logging.INFO)
logging.info("one")
logging.getLogger("x").error("two")
print(logging.getLogger().handlers[0].level, logging.root.level)
