"""HTTP clients that not every machine has, and how they send."""

from __future__ import annotations

import json
import os
import subprocess

from servers import RunningServer


def test_node_in_pieces(server: RunningServer) -> None:
    program = """
const http = require("http");
const body = JSON.stringify({code: "print(len(input()))", stdin_data: "x".repeat(300000)});
const asked = http.request(process.argv[1] + "/execute",
    {method: "POST", headers: {"Content-Type": "application/json"}}, answer => {
  let text = "";
  answer.on("data", part => text += part);
  answer.on("end", () => console.log(text));
});
for (let place = 0; place < body.length; place += 9973) asked.write(body.slice(place, place + 9973));
asked.end();
"""
    done = subprocess.run(
        ["node", "-e", program, server.url], stdout=subprocess.PIPE, env=dict(os.environ, NO_COLOR="1"), timeout=60
    )
    details = json.loads(done.stdout.decode())["execution_details"]
    assert details["stdout"] == "300000\n"
