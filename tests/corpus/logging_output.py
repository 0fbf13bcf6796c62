import logging

logging.warning("before configuration")
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s:%(name)s:%(filename)s:%(lineno)d:%(message)s")
logging.getLogger("mine").debug("details %s", 5)
logging.error("bad", stack_info=True)
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("caught")
