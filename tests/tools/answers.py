"""What an answer says, from a result, without a server."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from pyexec.api import response
from pyexec.api.response import Context
from pyexec.config import Config
from pyexec.http1.answer import made_as_written


def document_of(result: Any, context: Context, config: Optional[Config] = None) -> Dict[str, Any]:
    """Return the body of the answer to a result, its length as announced."""
    answer = response.respond(result, context, config or Config.of())
    written = b"".join(made_as_written(answer.parts))
    assert len(written) == answer.length  # which is what Content-Length says
    return dict(json.loads(written.decode("utf-8")))
