// The playground: the form, one run at a time, and copying a request to use it elsewhere.

import { base64Of, byId, bytes, codePoints, copy, count, el, seconds } from './dom.js';
import { BASE_URL, askServer, fillDocs, prepareDocs } from './docs.js';
import { Editor } from './editor.js';
import { EXAMPLES } from './examples.js';
import { countdown, describe, describeFailure, forgetFiles } from './result.js';
import { curlCommand, fromFragment, pythonProgram, toFragment } from './snippets.js';

const EXECUTE_URL = `${BASE_URL}/execute`;
const SMALL_FILE = 16 * 1024; // bytes; a larger attachment is not pasted into a command but read from its file
const LONGEST_LINK = 16000; // characters; what servers, chats and browsers pass on
const EVERYTHING = '**'; // all that the script wrote
const QUIET_MS = 200; // a run shorter than this shows no sign of waiting
const TICK_MS = 100;

const IDS = 'code stdin returns key picker files inputs inputs-summary counter run stop note result verdict progress outcome quota';
const page = Object.fromEntries(IDS.split(' ').map((id) => [id, byId(id)]));

let limits = {}; // as the server states them; others aren't checked here
let attachments = []; // { name, file, url }
let touched = false; // the user changed something since an example or link was loaded
let running = null; // the AbortController of the current run
let waiting = null; // the countdown on the page
let shown = null; // the script and its input that the result on the page is of

const editor = new Editor(byId('editor'), updateCounter);

// ---- The form ----

function returnFiles() {
  return page.returns.value.split('\n').map((name) => name.trim()).filter(Boolean);
}

function inputs() {
  return JSON.stringify([editor.value, page.stdin.value, attachments.map(({ name, file }) => [name, file.size, file.lastModified])]);
}

// Dim a result that is of another script than the one in the editor.
function dim() {
  page.result.classList.toggle('stale', shown !== null && shown !== inputs());
}

function form() {
  return { code: editor.value, stdin: page.stdin.value, returnFiles: returnFiles(), attachments };
}

// Fill in the form; while the note is shown, the user can get their own script back.
function load({ code, stdin = '', returnFiles: names = [], attachments: files = [] }, message) {
  const before = touched && editor.value.trim() ? form() : null;
  editor.value = code;
  page.stdin.value = stdin;
  page.returns.value = names.join('\n');
  attachments = files;
  touched = false;
  noExample();
  showAttachments();
  if (stdin || names.length || files.length) page.inputs.open = true;
  const undo = before && el('button', {
    type: 'button',
    className: 'quiet',
    textContent: 'Restore my script',
    onclick: () => {
      touched = false;
      load(before, 'Your script is restored.');
      touched = true;
    },
  });
  note(message, undo);
}

function noExample() {
  for (const button of document.querySelectorAll('.examples [aria-current]')) mark(button, 'current', false);
}

function note(text, extra = null) {
  page.note.replaceChildren(text, ...(extra ? [' ', extra] : []));
}

function updateCounter() {
  const used = codePoints(page.code.value);
  const most = limits.code_chars;
  const over = most !== undefined && used > most;
  page.counter.textContent = most === undefined ? count(used, 'character') : `${used.toLocaleString('en')} / ${most.toLocaleString('en')} characters`;
  page.counter.classList.toggle('over', over);
  mark(page.code, 'invalid', over);
}

function mark(control, state, on = true) {
  if (on) control.setAttribute(`aria-${state}`, 'true');
  else control.removeAttribute(`aria-${state}`);
}

function summarizeInputs() {
  const names = returnFiles().length;
  const parts = [
    page.stdin.value ? 'standard input' : '',
    attachments.length ? count(attachments.length, 'attachment') : '',
    names ? `${count(names, 'file')} to return` : '',
    page.key.value ? 'admin key' : '',
  ].filter(Boolean);
  page['inputs-summary'].textContent = parts.join(', ') || 'none';
}

// The user changed something, so that examples, links and errors no longer refer to what is there.
function touch(event) {
  mark(event.target, 'invalid', false);
  summarizeInputs();
  if (event.target === page.key || event.target === page.picker) return;
  touched = true;
  noExample();
  if (fromFragment(location.hash)) history.replaceState(null, '', location.pathname + location.search);
  updateCounter();
  dim();
}

// ---- Attachments ----

function attached(file) {
  return { name: file.name, file, url: file.type.startsWith('image/') && file.type !== 'image/svg+xml' ? URL.createObjectURL(file) : null };
}

// Add files from the picker or a drop; a file of the same name is replaced.
function addFiles(files) {
  const left = [];
  for (const file of files) {
    const kept = attachments.filter(({ name }) => name !== file.name);
    if (kept.length >= limits.attachments) left.push(`${file.name} (at most ${count(limits.attachments, 'file')})`);
    else if (file.size > limits.attachment_bytes) left.push(`${file.name} (${bytes(file.size)}, at most ${bytes(limits.attachment_bytes)})`);
    else attachments = [...kept, attached(file)];
  }
  touched = true;
  page.inputs.open = true;
  showAttachments();
  note(left.length ? `Not attached: ${left.join('; ')}.` : `Attached: ${files.map(({ name }) => name).join(', ')}.`);
}

function showAttachments() {
  dim();
  page.files.replaceChildren(...attachments.map(attachmentRow));
  page.files.hidden = !attachments.length;
  summarizeInputs();
}

function attachmentRow(attachment, index) {
  const name = el('input', {
    type: 'text',
    value: attachment.name,
    autocomplete: 'off',
    spellcheck: false,
    oninput: () => { attachment.name = name.value; },
    attributes: { 'aria-label': `Name of attachment ${index + 1}, as the script sees it` },
  });
  const remove = el('button', {
    type: 'button',
    className: 'quiet',
    textContent: 'Remove',
    onclick: () => removeAttachment(attachment),
    attributes: { 'aria-label': `Remove ${attachment.name}` },
  });
  return el('li', {},
    attachment.url ? el('img', { src: attachment.url, alt: '', className: 'thumbnail' }) : null,
    name, el('span', { className: 'muted size', textContent: bytes(attachment.file.size) }), remove);
}

function removeAttachment(attachment) {
  attachments = attachments.filter((other) => other !== attachment);
  touched = true;
  showAttachments();
  note(`Removed ${attachment.name}.`);
  page.picker.focus();
}

// Files may be dropped anywhere on the playground; elsewhere a drop does nothing, rather than leave the page.
function acceptDrops(zone) {
  const hasFiles = (event) => event.dataTransfer && event.dataTransfer.types.includes('Files');
  let depth = 0;
  const shown = (on) => zone.classList.toggle('dropping', on);
  zone.addEventListener('dragenter', (event) => { if (hasFiles(event)) shown((depth += 1) > 0); });
  zone.addEventListener('dragleave', (event) => { if (hasFiles(event)) shown((depth -= 1) > 0); });
  document.addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault(); });
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    shown((depth = 0) > 0);
    const items = [...event.dataTransfer.items].filter((item) => !(item.webkitGetAsEntry && item.webkitGetAsEntry()?.isDirectory));
    const files = items.map((item) => item.getAsFile()).filter(Boolean);
    if (!zone.contains(event.target)) return;
    if (files.length) addFiles(files);
    else note('Folders can’t be attached; choose files.');
  });
}

// ---- One run ----

// Return an obvious mistake, as [field, title, sentence], so that it costs no run; null if there is none.
function objection() {
  const used = codePoints(editor.value);
  const names = attachments.map(({ name }) => name);
  if (!editor.value.trim()) return ['code', 'There is no script', 'Write one, or choose an example above.'];
  if (used > limits.code_chars) {
    return ['code', 'The script is too long', `It has ${count(used, 'character')}; at most ${limits.code_chars.toLocaleString('en')} are allowed. Shorten it by ${(used - limits.code_chars).toLocaleString('en')}.`];
  }
  if (new Blob([page.stdin.value]).size > limits.stdin_bytes) return ['stdin_data', 'The standard input is too long', `At most ${bytes(limits.stdin_bytes)} is allowed.`];
  if (returnFiles().length > limits.return_files) return ['return_files', 'Too many files to return', `At most ${limits.return_files} can be returned.`];
  const bad = names.find((name) => !name || /[/\\]/.test(name));
  if (bad !== undefined) return ['attachments', 'An attachment needs a plain name', `“${bad}” isn’t a file name: it can’t be empty or contain a slash.`];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice) return ['attachments', 'Two attachments have the same name', `Rename one of the two called “${twice}”.`];
  return null;
}

async function requestBody() {
  const body = { code: editor.value };
  if (page.stdin.value) body.stdin_data = page.stdin.value;
  if (attachments.length) {
    body.attachments = await Promise.all(attachments.map(async ({ name, file }) => ({ filename: name, content_base_64: await base64Of(file) })));
  }
  const names = returnFiles();
  body.return_files = names.length < limits.return_files ? [...names, EVERYTHING] : names;
  if (page.key.value) body.api_key = page.key.value;
  return JSON.stringify(body);
}

async function run() {
  if (running) return;
  const wrong = objection();
  if (wrong) {
    const [field, title, sentence] = wrong;
    show(pointTo(field, describeFailure(title, sentence)));
    return;
  }
  running = new AbortController();
  const code = editor.value;
  const ran = inputs();
  const stopClock = startClock();
  const description = await outcomeOf(code, running.signal);
  stopClock();
  running = null;
  shown = ran;
  show(description);
}

// Send the request; return a description of what came back.
async function outcomeOf(code, signal) {
  let body;
  try {
    body = await requestBody();
  } catch {
    return describeFailure('An attachment can’t be read', 'It may have been changed, moved or removed since you attached it. Attach it again.');
  }
  let response;
  try {
    response = await fetch(EXECUTE_URL, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, signal, cache: 'no-store' });
    const answer = await response.json();
    return described(answer, response, code);
  } catch (error) {
    return failure(error, response);
  }
}

function described(answer, response, code) {
  showQuota(answer.user_info, response.headers.get('RateLimit') || '');
  forgetFiles();
  const description = describe(answer, { limits, code, names: returnFiles(), goToLine: (line) => editor.goToLine(line) });
  if (answer.error_details && answer.error_details.field) pointTo(answer.error_details.field, description);
  const after = Number(response.headers.get('Retry-After'));
  if (after > 0) {
    waiting = countdown(after, () => note('You can run again now.'));
    description.parts[0].append(waiting.element);
  }
  return description;
}

function failure(error, response) {
  if (error.name === 'AbortError') return describeFailure('Stopped', 'The script was ended. It counts as a run.');
  if (response && response.status === 413) return describeFailure('Too much to send', 'A proxy on the way to the server refused the request as too large. Attach smaller files, or shorten the standard input; whoever runs the server can raise the proxy’s limit.');
  if (response) return describeFailure('No answer from pyexec', `Something on the way to the server answered with HTTP status ${response.status}. Try again in a moment.`);
  if (!navigator.onLine) return describeFailure('You are offline', 'Your script is still here. Run it again when you are connected.');
  return describeFailure('The server can’t be reached', 'It may be restarting, or your connection may be gone. Your script is still here; try again in a moment.');
}

// Show that a script is running, once it has taken a while; return a function that ends this.
function startClock() {
  const started = performance.now();
  const { wall_s: limit } = limits;
  const clock = el('span', { className: 'clock', attributes: { 'aria-hidden': 'true' } });
  if (waiting) waiting.stop();
  note('');
  const begin = setTimeout(() => {
    page.run.setAttribute('aria-disabled', 'true');
    page.stop.hidden = false;
    page.verdict.className = 'verdict running';
    page.verdict.replaceChildren('Running… ', clock);
    page.outcome.replaceChildren();
    page.result.setAttribute('aria-busy', 'true');
    if (limit) page.progress.max = limit;
    page.progress.hidden = false;
  }, QUIET_MS);
  const tick = setInterval(() => {
    const passed = (performance.now() - started) / 1000;
    clock.textContent = elapsed(passed, limit);
    if (limit) page.progress.value = Math.min(passed, limit);
  }, TICK_MS);
  return () => {
    clearTimeout(begin);
    clearInterval(tick);
    page.progress.hidden = true;
    page.progress.removeAttribute('value');
    page.result.removeAttribute('aria-busy');
    page.run.removeAttribute('aria-disabled');
    if (document.activeElement === page.stop) page.run.focus();
    page.stop.hidden = true;
  };
}

function elapsed(passed, limit) {
  if (!limit) return `${passed.toFixed(1)} s`;
  return passed <= limit ? `${passed.toFixed(1)} s of ${seconds(limit)}` : `${seconds(limit)} limit reached; waiting for the answer`;
}

// Put a description into the result panel.
function show({ ok, title, parts }) {
  page.verdict.className = `verdict ${ok ? 'good' : 'bad'}`;
  dim();
  page.outcome.replaceChildren(...parts.filter(Boolean));
  page.verdict.replaceChildren(title, el('span', { className: 'off-screen', textContent: `. ${spoken()}` }));
  const box = page.verdict.getBoundingClientRect();
  if (box.top < 0 || box.bottom > innerHeight - 40) page.result.scrollIntoView({ block: 'start' });
}

function showQuota(user, rateLimit) {
  if (!user) return;
  const minute = /"minute";r=(\d+)/.exec(rateLimit);
  if (user.rate_limits_applied === false) page.quota.textContent = 'Admin: no rate limit';
  else if (user.daily_quota_limit) {
    const left = `${user.requests_remaining_today.toLocaleString('en')} of ${count(user.daily_quota_limit, 'run')} left today`;
    page.quota.textContent = minute ? `${left}, ${Number(minute[1]).toLocaleString('en')} this minute` : left;
  }
}

// The control of a request's field, as "attachments[0].filename".
function controlOf(field) {
  const name = field.replace(/[[.].*/, '');
  const controls = { code: page.code, stdin_data: page.stdin, return_files: page.returns, api_key: page.key };
  return controls[name] || (name === 'attachments' && page.files.querySelector('input')) || null;
}

// Mark the control of an invalid field, and add a button that goes there.
function pointTo(field, description) {
  const control = controlOf(field);
  if (!control) return description;
  mark(control, 'invalid');
  description.parts[0].append(el('button', {
    type: 'button',
    className: 'quiet',
    textContent: 'Go to the field',
    onclick: () => {
      if (page.inputs.contains(control)) page.inputs.open = true;
      control.focus();
    },
  }));
  return description;
}

// What a screen reader announces: the advice and the beginning of the output.
function spoken() {
  return [...page.outcome.querySelectorAll('.advice p, .stream pre')].map((part) => part.textContent.slice(0, 200)).join(' ');
}

// ---- Copying a request ----

async function takeAway(write, what) {
  const large = attachments.filter(({ file }) => file.size > SMALL_FILE);
  const request = {
    ...form(),
    url: EXECUTE_URL,
    hasKey: Boolean(page.key.value),
    attachments: await Promise.all(attachments.map(async ({ name, file }) => (
      { name, path: file.name, base64: file.size > SMALL_FILE ? null : await base64Of(file) }))),
  };
  const remarks = [
    large.length ? `It reads ${large.map(({ file }) => file.name).join(' and ')} from the directory where you run it.` : '',
    request.hasKey ? 'The admin key is not in it: set the variable PYTHON_EXE_KEY first.' : '',
  ].filter(Boolean);
  await offer(write(request), `Copied ${what}. ${remarks.join(' ')}`);
}

async function share() {
  const { code, stdin, returnFiles: names } = form();
  const full = toFragment({ code, stdin, returnFiles: names });
  const fits = full.length <= LONGEST_LINK;
  const fragment = fits ? full : toFragment({ code, stdin: '', returnFiles: names });
  if (fragment.length > LONGEST_LINK) {
    note('The script is too long for a link.');
    return;
  }
  const missing = [attachments.length ? 'attachments' : '', fits ? '' : 'standard input', page.key.value ? 'admin key' : ''].filter(Boolean);
  history.replaceState(null, '', fragment);
  await offer(location.href, `Copied a link to this script.${missing.length ? ` Not in it: ${missing.join(', ')}.` : ''}`);
}

// Copy text, or show it to be copied by hand if the browser doesn't allow that.
async function offer(text, message) {
  if (await copy(text)) {
    note(message);
    return;
  }
  byId('by-hand-text').value = text;
  byId('by-hand').showModal();
  byId('by-hand-text').select();
}

function openLink() {
  const shared = fromFragment(location.hash);
  if (shared) load(shared, 'This script came with the link. Read it before you run it.');
  else if (location.hash.startsWith('#code=')) note('The link is damaged; it has no readable script.');
}

// ---- Start ----

function showExamples(examples) {
  byId('examples').append(...examples.map((example) => el('li', {},
    el('button', { type: 'button', textContent: example.title, onclick: (event) => loadExample(example, event.currentTarget) }))));
}

async function loadExample(example, button) {
  const files = example.attach ? await example.attach() : [];
  if (fromFragment(location.hash)) history.replaceState(null, '', location.pathname + location.search);
  load({ ...example, attachments: files.map(attached) }, `Loaded “${example.title}”. It is ready to run.`);
  mark(button, 'current');
}

function listen() {
  const playground = byId('playground');
  playground.addEventListener('input', touch);
  playground.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  acceptDrops(playground);
  page.run.addEventListener('click', run);
  page.stop.addEventListener('click', () => running && running.abort());
  page.picker.addEventListener('change', () => {
    addFiles([...page.picker.files]);
    page.picker.value = '';
  });
  byId('copy-curl').addEventListener('click', () => takeAway(curlCommand, 'a curl command'));
  byId('copy-python').addEventListener('click', () => takeAway(pythonProgram, 'a Python program'));
  byId('copy-link').addEventListener('click', share);
  addEventListener('hashchange', openLink);
  // Coming back to this page, from the history or after a reload, restores the script but not the key.
  addEventListener('pagehide', () => { page.key.value = ''; });
  addEventListener('pageshow', () => {
    editor.render();
    summarizeInputs();
  });
}

async function start() {
  if (/Mac|iPhone|iPad/.test(navigator.platform)) byId('shortcut').textContent = '⌘ Enter';
  page.inputs.open = matchMedia('(min-width: 64rem)').matches;
  showExamples(EXAMPLES.filter(({ needs }) => !needs));
  listen();
  prepareDocs();
  if (!editor.value) {
    load(EXAMPLES[0], '');
    mark(document.querySelector('.examples button'), 'current');
  }
  openLink();
  const server = await askServer();
  limits = server.limits;
  showExamples(EXAMPLES.filter(({ needs }) => needs && needs.every((name) => server.modules.includes(name))));
  fillDocs(server);
  updateCounter();
  fillHints();
}

// Show the limits beside the inputs, once the server has stated them.
function fillHints() {
  if (limits.attachments && limits.attachment_bytes) byId('files-hint').textContent = `At most ${count(limits.attachments, 'file')}, ${bytes(limits.attachment_bytes)} each`;
  if (limits.rate_per_day && limits.rate_per_minute && !page.quota.textContent) page.quota.textContent = `${count(limits.rate_per_minute, 'run')} a minute, ${limits.rate_per_day.toLocaleString('en')} a day`;
  if (limits.return_files) byId('returns-hint').textContent = `One name or pattern a line; at most ${limits.return_files} files, what else it wrote included`;
}

start();
