# files: log.txt
import logging.config

logging.config.dictConfig(
    {
        "version": 1,
        "formatters": {"plain": {"format": "%(name)s %(levelname)s %(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": "log.txt", "mode": "w", "formatter": "plain"},
            "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "plain"},
        },
        "root": {"level": "INFO", "handlers": ["file", "console"]},
    }
)
logging.getLogger("part").info("told twice")
logging.getLogger("part").debug("not told")
