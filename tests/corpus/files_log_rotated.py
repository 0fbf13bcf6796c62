# deletes
import logging
import logging.handlers
from pathlib import Path

handler = logging.handlers.RotatingFileHandler("app.log", maxBytes=60, backupCount=2)
handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
log = logging.getLogger("app")
log.addHandler(handler)
for number in range(9):
    log.warning("event number %d", number)
handler.close()
print({path.name: len(path.read_text().splitlines()) for path in sorted(Path(".").glob("app.log*"))})
