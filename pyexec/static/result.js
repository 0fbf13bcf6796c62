// What came back, as elements: a run's result, or an error with advice.
//
// A script's output is hostile: it enters the page only as text, and its files only as downloads, as images in four
// raster formats known by their first bytes, or as PDF. Never as HTML or SVG, which could run scripts here.

import { bytes, bytesOf, copyButton, count, el, seconds, wait } from './dom.js';

const LONGEST_SHOWN = 200000; // characters of output on the page; all of it can be downloaded
const LONGEST_TITLE = 300;
const LONGEST_PREVIEW = 4000; // characters of a returned text file
const SIGNALS = { 6: 'SIGABRT', 7: 'SIGBUS', 8: 'SIGFPE', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM', 31: 'SIGSYS' };
const MAGIC = [
  ['image/png', /^\x89PNG\r\n\x1a\n/],
  ['image/jpeg', /^\xff\xd8\xff/],
  ['image/gif', /^GIF8[79]a/],
  ['image/webp', /^RIFF[^]{4}WEBP/],
  ['application/pdf', /^%PDF-/],
];

let objectUrls = [];

function objectUrl(content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  objectUrls.push(url);
  return url;
}

// Release the files of the previous run.
export function forgetFiles() {
  objectUrls.forEach((url) => URL.revokeObjectURL(url));
  objectUrls = [];
}

// Return a description of any answer: { ok, title, parts }. `context` is { limits, code, names, goToLine }.
export function describe(answer, context) {
  const details = answer.execution_details;
  if (answer.status === 'success' && details) {
    return { ...verdict(details), parts: [hint(details), ...outputs(answer, context)] };
  }
  const { title, advice } = problem(answer, context);
  return { ok: false, title, parts: [el('div', { className: 'advice' }, ...advice), ...(details ? outputs(answer, context) : [])] };
}

// Return the line of a traceback that says what was wrong, '' if there is none.
function exception(stderr) {
  const lines = stderr.split('\n');
  const frame = lines.findLastIndex((line) => /^ +File "/.test(line));
  const found = frame < 0 ? '' : lines.slice(frame).find((line) => /^\w/.test(line)) || '';
  return found.length > LONGEST_TITLE ? `${found.slice(0, LONGEST_TITLE)}…` : found;
}

function verdict({ exit_code: code, stderr }) {
  const title = code === 1 && exception(stderr);
  if (title) return { ok: false, title };
  if (code === 0) return { ok: true, title: 'Finished' };
  if (code < 0) return { ok: false, title: `Killed by signal ${-code}${SIGNALS[-code] ? ` (${SIGNALS[-code]})` : ''}` };
  return { ok: false, title: `Ended with exit code ${code}` };
}

const FIELDS = { stdin_data: 'Standard input', attachments: 'Attachments', return_files: 'Files to return' };

// The server's advice, in the words of this page; that nothing was printed is said below.
function hint({ success, stdout, hint: text }) {
  if (!text || (success && !stdout)) return null;
  return advice(text.replace(/'(\w+)'/g, (quoted, name) => (FIELDS[name] ? `“${FIELDS[name]}”` : quoted)));
}

function advice(text) {
  return el('div', { className: 'advice' }, el('p', { textContent: text }));
}

function paragraph(...children) {
  return el('p', {}, ...children);
}

// ---- Errors ----

// Return the title and the advice for an error of the contract.
function problem({ error_details: error = {} }, { limits, code, goToLine }) {
  const { message = 'The server gave no reason.', modules = [] } = error;
  const words = paragraph(message);
  const nextDay = /daily/i.test(message);
  const known = {
    ValidationError: () => ['The request isn’t valid', [words]],
    ForbiddenImportError: () => [
      `Import not allowed: ${modules.join(', ')}`,
      [forbidden(modules), lineButton(importLine(code, modules), goToLine)],
    ],
    TimeoutError: () => [
      limits.wall_s ? `Ended after ${seconds(limits.wall_s)}, the time limit` : 'Ended at the time limit',
      [paragraph('Give it less to do, or look for a loop that never ends.')],
    ],
    ResourceLimitError: () => [`Ended at a limit: ${error.resource}`, [words]],
    AuthenticationError: () => ['The admin key is wrong', [paragraph('Correct it, or clear the field to run without it.')]],
    PayloadTooLarge: () => ['Too much to send', [words, paragraph('Attach smaller files, or shorten the standard input.')]],
    RateLimitExceeded: () => [
      nextDay ? 'No runs left today' : 'Too many runs in a minute',
      [words, nextDay ? paragraph('The count restarts at midnight UTC.') : null],
    ],
    ServerBusy: () => ['The server is busy', [words, paragraph('This didn’t count as a run.')]],
    InternalServerError: () => [
      'The server failed',
      [paragraph('This isn’t your script’s fault and didn’t count as a run. Try again. If it keeps failing, give whoever runs this server the id ', el('code', { textContent: error.id }), '.')],
    ],
  };
  const [title, children] = (known[error.type] || (() => [error.type || 'An error', [words]]))();
  return { title, advice: children };
}

function forbidden(modules) {
  return paragraph(
    `Public scripts may not import ${modules.length === 1 ? 'it' : 'them'}. `,
    el('a', { href: '#modules', textContent: 'See the modules they may import' }),
    ', or give the admin key if you have it.');
}

// Return the line of the first import of one of the modules, 0 if there is none.
function importLine(code, modules) {
  const names = modules.map((name) => name.replace(/[^\w.]/g, '').replaceAll('.', '\\.'));
  const statement = new RegExp(`^[^#]*(?:\\bimport\\b|\\bfrom\\b|__import__).*\\b(?:${names.join('|')})\\b`);
  return names.length ? code.split('\n').findIndex((line) => statement.test(line)) + 1 : 0;
}

function lineButton(line, goToLine) {
  return line ? el('button', { type: 'button', className: 'quiet', textContent: `Go to line ${line}`, onclick: () => goToLine(line) }) : null;
}

// Describe a failure that came before any answer from the server.
export function describeFailure(title, ...sentences) {
  return { ok: false, title, parts: [el('div', { className: 'advice' }, ...sentences.map((text) => paragraph(text)))] };
}

// Return an element that counts down and then calls `done`. `stop()` ends it early.
export function countdown(total, done) {
  const clock = el('span', { className: 'clock', textContent: wait(total) });
  const element = paragraph('You can run again in ', clock, '.');
  const end = performance.now() + total * 1000;
  const timer = setInterval(() => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (left > 0) {
      clock.textContent = wait(left);
      return;
    }
    clearInterval(timer);
    element.replaceChildren('You can run again now.');
    done();
  }, 250);
  return { element, stop: () => clearInterval(timer) };
}

// ---- Output ----

function outputs(answer, context) {
  const details = answer.execution_details;
  // What a pattern matched and didn't come back is named with all the others that were written.
  const files = Object.entries(details.output_files || {}).filter(([name, file]) => file.content_base64 !== undefined || context.names.includes(name));
  const here = files.map(([name]) => name.replace(/^(\.?\/+)+/, ''));
  const others = (details.files_written || []).filter(({ path }) => !here.includes(path));
  const silent = !details.stdout && !details.stderr;
  return [
    facts(details),
    details.stdout ? stream('stdout', details.stdout, details.stdout_truncated, context) : null,
    details.stderr ? stream('stderr', details.stderr, details.stderr_truncated, context) : null,
    silent ? el('p', { className: 'muted', textContent: 'Nothing was printed.' }) : null,
    files.length ? el('section', { className: 'files' }, el('h3', { textContent: 'Files' }), ...files.map(([name, file]) => fileCard(name, file))) : null,
    others.length ? el('p', { className: 'warning others', textContent: `Also written, and not returned: ${others.map(({ path, size_bytes: size }) => `${path} (${bytes(size)})`).join(', ')}${details.files_written_truncated ? ', …' : ''}` }) : null,
    rawAnswer(answer),
  ];
}

function facts(details) {
  const rows = [
    ['Exit code', details.exit_code === null ? 'none' : String(details.exit_code)],
    ['Time', seconds(details.execution_duration_sec)],
  ];
  return el('dl', { className: 'facts' }, ...rows.map(([name, value]) => (
    el('div', {}, el('dt', { textContent: name }), el('dd', { textContent: value })))));
}

function stream(name, text, truncated, { limits, goToLine }) {
  const url = objectUrl(text, 'text/plain;charset=utf-8');
  const line = name === 'stderr' ? lastLine(text) : 0;
  const shown = text.length > LONGEST_SHOWN ? text.slice(0, LONGEST_SHOWN) : text;
  return el('section', { className: `stream ${name}` },
    el('div', { className: 'stream-head' },
      el('h3', { textContent: name }),
      lineButton(line, goToLine),
      copyButton(text, `Copy ${name}`),
      el('a', { className: 'quiet', href: url, download: `${name}.txt`, textContent: 'Download', attributes: { 'aria-label': `Download ${name}` } })),
    el('pre', { tabIndex: 0, textContent: shown, attributes: { role: 'group', 'aria-label': name } }),
    shown === text ? null : el('p', { className: 'warning', textContent: `The first ${count(LONGEST_SHOWN, 'character')} are shown; the download has all ${text.length.toLocaleString('en')}.` }),
    truncated ? el('p', { className: 'warning', textContent: truncation(name, limits) }) : null);
}

function truncation(name, { output_bytes: limit }) {
  return `${name} was cut off${limit ? ` at ${bytes(limit)}` : ''}: the script printed more than the server keeps, and the rest is lost.`;
}

// Return the script's line that a traceback ends with, 0 if there is none.
function lastLine(text) {
  const lines = [...text.matchAll(/^ *File "(?:.*\/)?script\.py", line (\d+)/gm)];
  return lines.length ? Number(lines[lines.length - 1][1]) : 0;
}

function fileCard(name, file) {
  if (file.content_base64 === undefined) {
    const size = file.size_bytes === undefined ? '' : ` It has ${bytes(file.size_bytes)}.`;
    return el('article', { className: 'file failed' }, fileName(name), el('p', { className: 'warning', textContent: `${file.error}${size}` }));
  }
  const content = bytesOf(file.content_base64);
  const type = typeOf(content);
  const baseName = name.split('/').pop();
  const download = objectUrl(content, 'application/octet-stream');
  return el('article', { className: 'file' },
    el('div', { className: 'file-head' },
      fileName(name),
      el('span', { className: 'muted', textContent: bytes(content.length) }),
      el('span', { className: 'row' },
        type === 'application/pdf' ? pdfLink(content, name) : null,
        el('a', { className: 'button small', href: download, download: baseName, textContent: 'Download', attributes: { 'aria-label': `Download ${name}` } }))),
    type.startsWith('image/') ? picture(content, type, name) : null,
    type === 'text/plain' ? preview(content, name) : null);
}

function fileName(name) {
  return el('h4', {}, el('bdi', { textContent: name }));
}

// Return the type that the first bytes indicate, never one that could run a script in this page.
function typeOf(content) {
  const head = String.fromCharCode(...content.subarray(0, 16));
  const found = MAGIC.find(([, expression]) => expression.test(head));
  if (found) return found[0];
  return isText(content) ? 'text/plain' : 'application/octet-stream';
}

function isText(content) {
  if (content.length === 0 || content.includes(0)) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(content);
    return true;
  } catch {
    return false;
  }
}

function pdfLink(content, name) {
  return el('a', { className: 'button small', href: objectUrl(content, 'application/pdf'), target: '_blank', rel: 'noopener', textContent: 'Open', attributes: { 'aria-label': `Open ${name} in a new tab` } });
}

function picture(content, type, name) {
  const caption = el('figcaption', { className: 'muted' });
  const image = el('img', { alt: `Returned picture ${name}`, src: objectUrl(content, type) });
  image.onload = () => { caption.textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`; };
  image.onerror = () => {
    image.remove();
    caption.textContent = 'Your browser can’t show this picture. Download it instead.';
  };
  return el('figure', {}, image, caption);
}

function preview(content, name) {
  const text = new TextDecoder().decode(content);
  const shown = text.slice(0, LONGEST_PREVIEW);
  return el('div', {},
    el('pre', { tabIndex: 0, textContent: shown, attributes: { role: 'group', 'aria-label': `Content of ${name}` } }),
    shown === text ? null : el('p', { className: 'muted', textContent: 'Only the beginning is shown; the download has all of it.' }));
}

// The raw answer, for anyone writing a client; long contents are shortened.
function rawAnswer(answer) {
  const shorten = (key, value) => (typeof value === 'string' && value.length > 400 ? `${value.slice(0, 200)}… (${count(value.length, 'character')})` : value);
  const pre = el('pre', { tabIndex: 0, attributes: { role: 'group', 'aria-label': 'The answer as JSON' } });
  const details = el('details', { className: 'raw' }, el('summary', { textContent: 'The answer as JSON' }), pre);
  details.ontoggle = () => { pre.textContent = JSON.stringify(answer, shorten, 2); };
  return details;
}
