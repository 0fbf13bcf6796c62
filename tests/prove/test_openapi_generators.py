"""What generators make of /openapi.json, used against a server: openapi-python-client, openapi-typescript, FastMCP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from support import ROOT

BIN = os.path.dirname(sys.executable)
NODE_BIN = os.path.join(ROOT, "build", "generators", "node_modules", ".bin")  # tests/prove/run puts them there


def _description(server: Any, path: Any) -> str:
    path.write_text(server.get("/openapi.json")[1])
    return str(path)


@pytest.fixture(scope="module")
def generated(server, tmp_path_factory) -> Any:
    """The client that openapi-python-client makes, importable."""
    folder = tmp_path_factory.mktemp("generated")
    command = [os.path.join(BIN, "openapi-python-client"), "generate", "--meta", "none"]
    command += ["--path", _description(server, folder / "openapi.json"), "--output-path", str(folder / "made")]
    environment = dict(os.environ, PATH=BIN + os.pathsep + os.environ["PATH"], PYTHONWARNINGS="default")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Warning" not in said.replace("ruff is not in PATH", ""), said
    sys.path.insert(0, str(folder))
    try:
        import made
        import made.api.default.execute
        import made.api.default.health
        import made.models

        yield made
    finally:
        sys.path.remove(str(folder))


def test_a_generated_python_client_runs_scripts(generated, start_server) -> None:
    """Also against a server with other limits than the one that it was made from."""
    running = start_server(rate_per_day=7, rate_per_minute=100, max_runs=2, code_chars=5000)
    with generated.Client(base_url=running.url) as client:
        execute, models = generated.api.default.execute, generated.models
        photo = models.Attachment(filename="a.txt", content_base_64=base64.b64encode(b"hello").decode())
        code = "#" * 3000 + "\nopen('b.txt', 'w').write(open('a.txt').read().upper())"
        answer = execute.sync_detailed(
            client=client, body=models.Request(code, attachments=[photo], return_files=["*"])
        )
        assert answer.status_code == 200 and isinstance(answer.parsed, models.Success)
        details = answer.parsed.execution_details
        assert details.success and details.output_files["b.txt"].content_base64 == base64.b64encode(b"HELLO").decode()
        assert [(file.path, file.size_bytes) for file in details.files_written] == [("b.txt", 5)]
        assert answer.parsed.user_info.daily_quota_limit == 7
        refused = execute.sync(client=client, body=models.Request("import os"))
        assert isinstance(refused, models.ForbiddenImportError) and refused.error_details.modules == ["os"]
        wrong = execute.sync(client=client, body=models.Request(""))
        assert isinstance(wrong, models.ValidationError)
        assert generated.api.default.health.sync(client=client).max_runs == 2


PROGRAM = """
import type { components, paths } from './description';
type Success = components['schemas']['Success'];
type Body = paths['/execute']['post']['requestBody']['content']['application/json'];
const body: Body = { code: 'print(1)', attachments: [{ filename: 'a', content_base_64: '' }], return_files: ['**'] };
function told(answer: Success | components['schemas']['Error']): string {
  if (answer.status === 'error') return answer.error_details.message;
  const left: number | null | undefined = 'ip_address' in answer.user_info ? answer.user_info.requests_remaining_today : undefined;
  return answer.execution_details.stdout + answer.execution_details.files_written.map((file) => file.path) + left;
}
export { body, told };
"""
WRONG = "import type { paths } from './description';\nexport const body: paths['/execute']['post']['requestBody']['content']['application/json'] = { cod: 1 };\n"


def test_typescript_checks_programs_against_generated_types(server, tmp_path) -> None:
    command = [os.path.join(NODE_BIN, "openapi-typescript"), _description(server, tmp_path / "openapi.json")]
    done = subprocess.run([*command, "-o", str(tmp_path / "description.ts")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, program, right in (("good.ts", PROGRAM, True), ("wrong.ts", WRONG, False)):
        (tmp_path / name).write_text(program)
        check = [os.path.join(NODE_BIN, "tsc"), "--strict", "--noEmit", "--skipLibCheck", str(tmp_path / name)]
        found = subprocess.run(check, capture_output=True, text=True)
        assert (found.returncode == 0) == right, found.stdout
        assert right or "'cod' does not exist" in found.stdout


def test_fastmcp_imports_it_and_calls_it(server) -> None:
    import httpx2
    from fastmcp import Client, FastMCP

    description = json.loads(server.get("/openapi.json")[1])

    async def main() -> Any:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            imported = FastMCP.from_openapi(openapi_spec=description, client=http)
            async with Client(imported) as client:
                names = {tool.name for tool in await client.list_tools()}
                return names, await client.call_tool("execute", {"code": "print(6 * 7)"})

    names, result = asyncio.run(main())
    assert names == {"execute", "page", "about", "health", "metrics", "openapi"}
    assert result.structured_content["execution_details"]["stdout"] == "42\n"
