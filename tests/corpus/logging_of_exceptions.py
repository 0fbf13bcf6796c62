import logging
import sys

logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(levelname)s:%(name)s:%(funcName)s:%(lineno)d:%(message)s")


def work():
    try:
        [][0]
    except IndexError:
        logging.exception("it failed")
    logging.getLogger("a.b").warning("with a stack", stack_info=True)


work()
logging.getLogger("a").info("%s of %d", "one", 2)
logging.debug("at the top", stacklevel=1)
