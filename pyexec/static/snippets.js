// A request as text: a curl command, a Python program, a link. Pure: no DOM, so that Node can test it.
//
// A request is { url, code, stdin, returnFiles, hasKey, attachments: [{ name, path, base64 }] }; an attachment too large
// to paste has base64 null and is read from its path. The admin key is never included.

const LONGEST_ARGUMENT = 100000; // characters; Linux takes 128 KiB in one argument of a command

// JSON to put between single quotes in a shell: apostrophes, which only occur inside strings, are escaped.
function quotableJson(value) {
  return JSON.stringify(value).replaceAll("'", '\\u0027');
}

function shellQuote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// Return a command for any POSIX shell, without comments: an interactive zsh would run them as commands.
export function curlCommand(request) {
  const head = [
    `curl -sS ${shellQuote(request.url)}`,
    "-H 'Content-Type: application/json'",
    ...(request.hasKey ? ['-H "Authorization: Bearer ${PYTHON_EXE_KEY:?is not set}"'] : []),
  ];
  const pieces = jsonPieces(request);
  if (pieces.length === 1 && pieces[0].json.length <= LONGEST_ARGUMENT) {
    return [...head, `--data-raw '${pieces[0].json}'`].join(' \\\n  ');
  }
  // printf is built into the shell, so its arguments may be of any length.
  const body = pieces.map((piece) => (
    piece.path === undefined ? `printf %s '${piece.json}'` : `base64 < ${shellQuote(`./${piece.path}`)} | tr -d '\\n'`));
  return `{ ${body.join('\n  ')}\n} | ${[...head, '--data-binary @-'].join(' \\\n  ')}`;
}

// Return the body in pieces: JSON, and files whose Base64 goes in between.
function jsonPieces({ code, stdin, returnFiles, attachments }) {
  const fields = { code, ...(stdin ? { stdin_data: stdin } : {}), ...(returnFiles.length ? { return_files: returnFiles } : {}) };
  if (!attachments.length) return [{ json: quotableJson(fields) }];
  const pieces = [];
  let json = `${quotableJson(fields).slice(0, -1)},"attachments":[`;
  attachments.forEach(({ name, path, base64 }, index) => {
    json += `${index ? ',' : ''}{"filename":${quotableJson(name)},"content_base_64":"`;
    if (base64 === null) {
      pieces.push({ json }, { path });
      json = '';
    } else json += base64;
    json += '"}';
  });
  return [...pieces, { json: `${json}]}` }];
}

// Return a Python program that uses requests.
export function pythonProgram(request) {
  const fromFiles = request.attachments.some(({ base64 }) => base64 === null);
  const fields = [
    '"code": code,',
    ...(request.stdin ? [`"stdin_data": ${pythonString(request.stdin)},`] : []),
    ...(request.attachments.length ? ['"attachments": [', ...request.attachments.map(pythonAttachment), '],'] : []),
    ...(request.returnFiles.length ? [`"return_files": [${request.returnFiles.map(pythonString).join(', ')}],`] : []),
  ];
  return `import base64
${request.hasKey ? 'import os\n' : ''}import sys
from pathlib import Path

import requests

code = ${pythonText(request.code)}
${fromFiles ? `

def base64_of(name):
    return base64.b64encode(Path(name).read_bytes()).decode("ascii")

` : ''}
answer = requests.post(
    ${pythonString(request.url)},
    json={
        ${fields.join('\n        ')}
    },${request.hasKey ? '\n    headers={"Authorization": "Bearer " + os.environ["PYTHON_EXE_KEY"]},' : ''}
    timeout=60,
).json()

if answer["status"] == "error":
    print(answer["error_details"]["message"], file=sys.stderr)
run = answer.get("execution_details", {})
print(run.get("stdout", ""), end="")
print(run.get("stderr", ""), end="", file=sys.stderr)
for name, file in run.get("output_files", {}).items():
    if "content_base64" in file:
        Path(Path(name).name).write_bytes(base64.b64decode(file["content_base64"]))
        print("Saved", Path(name).name, file=sys.stderr)
    else:
        print(name, file["error"], sep=": ", file=sys.stderr)
`;
}

function pythonAttachment({ name, path, base64 }) {
  const content = base64 === null ? `base64_of(${pythonString(path)})` : `"${base64}"`;
  return `    {"filename": ${pythonString(name)}, "content_base_64": ${content}},`;
}

// Every JSON string is a Python string of the same value.
function pythonString(text) {
  return JSON.stringify(text);
}

// Return a literal that reads like the text, if possible.
function pythonText(text) {
  const plain = !/[\u0000-\u0008\u000b-\u001f\u007f\ud800-\udfff]/u.test(text) && !text.includes("'''") && !/['\\]$/.test(text);
  if (!plain || !text.includes('\n')) return pythonString(text);
  return `${text.includes('\\') ? 'r' : ''}'''${text}'''`;
}

// Return the fragment of a link that carries a script, and its input if there is any.
export function toFragment({ code, stdin, returnFiles }) {
  const parts = [['code', code], ['stdin', stdin], ['return', returnFiles.join('\n')]];
  return `#${parts.filter(([, text]) => text).map(([name, text]) => `${name}=${toBase64Url(text)}`).join('&')}`;
}

// Return what such a fragment carries; null if it carries nothing, or is broken.
export function fromFragment(fragment) {
  const parts = new Map(fragment.replace(/^#/, '').split('&').map((part) => part.split('=')));
  if (!parts.has('code')) return null;
  try {
    const [code, stdin, names] = ['code', 'stdin', 'return'].map((name) => fromBase64Url(parts.get(name) || ''));
    return { code, stdin, returnFiles: names ? names.split('\n') : [] };
  } catch {
    return null;
  }
}

function toBase64Url(text) {
  const binary = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('');
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

function fromBase64Url(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
}
