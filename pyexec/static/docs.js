// The parts of the documentation that come from the server: its address, limits, modules and layers.

import { bytes, copyButton, count, el, seconds } from './dom.js';

// A limit's name in GET /about → its name here, how to write it; shown in this order.
const number = (value) => (value === null ? 'no limit' : value.toLocaleString('en'));
const LIMITS = {
  rate_per_minute: ['Runs a minute, per caller', number],
  rate_per_day: ['Runs a day (UTC), per caller', number],
  max_runs: ['Scripts running at once, on the whole server', number],
  wall_s: ['Time a script may run', seconds],
  code_chars: ['Code', (value) => count(value, 'character')],
  stdin_bytes: ['Standard input', bytes],
  attachments: ['Attachments', number],
  attachment_bytes: ['Size of an attachment', bytes],
  return_files: ['Names of files to return', number],
  returned_file_bytes: ['Size of a returned file', bytes],
  output_bytes: ['stdout, and stderr, before they are cut off', bytes],
  memory_bytes: ['Memory, beyond the loaded libraries', bytes],
  workdir_bytes: ['The script’s directory', bytes],
  workdir_files: ['Files in it', number],
  processes: ['Child processes of an admin’s script', number],
  threads: ['Threads of a script', number],
};

// The address of this service, however it is reached, without a slash at the end.
export const BASE_URL = new URL('.', location.href.split('#')[0]).href.replace(/\/$/, '');

// Return what GET /about and GET /health say; if one doesn't answer, its part stays empty.
export async function askServer() {
  const [about, health] = await Promise.all([json('about'), json('health')]);
  return { limits: {}, modules: [], libraries: health.libraries || {}, ...about, health };
}

async function json(path) {
  try {
    const answer = await fetch(path, { cache: 'no-store' });
    const body = await answer.json();
    return body.status === 'error' ? {} : body;
  } catch {
    return {};
  }
}

// Put this page's address, colours and copy buttons into the examples. Needs no server.
export function prepareDocs() {
  for (const node of document.querySelectorAll('.base-url')) node.textContent = BASE_URL;
  for (const block of document.querySelectorAll('.sample')) {
    const code = block.querySelector('code');
    const text = code.textContent;
    block.prepend(el('div', { className: 'sample-head' }, el('span', { textContent: block.dataset.title }), copyButton(text, `Copy: ${block.dataset.title}`)));
  }
}

// Fill in what the server said about itself.
export function fillDocs(server) {
  for (const node of document.querySelectorAll('[data-limit]')) fillLimit(node, server.limits);
  showHealth(server);
  fillLimits(server.limits);
  fillModules(server);
  fillLayers(server);
  fillDangers(server.health.dangers || {});
}

// Part of a sentence that names a limit; shown once the limit is known.
function fillLimit(node, limits) {
  const value = limits[node.dataset.limit];
  if (value === undefined) return;
  const [, write] = LIMITS[node.dataset.limit];
  node.querySelector('b').textContent = node.dataset.plain === undefined ? write(value) : number(value);
  node.hidden = false;
}

function showHealth({ health, version = health.version }) {
  const place = document.getElementById('health');
  const ready = health.status === 'ok';
  place.className = `health ${ready ? 'ready' : 'down'}`;
  place.textContent = ready ? `Ready · Python ${health.python}` : health.status ? 'Not ready for runs' : 'State unknown';
  if (version) document.getElementById('version').textContent = ` ${version}`;
}

function fillLimits(limits) {
  const known = Object.keys(LIMITS).filter((name) => typeof limits[name] === 'number');
  if (!known.length) return;
  const rows = known.map((name) => [LIMITS[name][0], LIMITS[name][1](limits[name])]);
  replace('limits-list', el('table', {},
    el('thead', {}, el('tr', {}, headCell('What'), headCell('At most'))),
    el('tbody', {}, ...rows.map(([name, value]) => el('tr', {}, rowHead(name), el('td', { className: 'number', textContent: value }))))));
}

function fillModules({ modules, libraries, data = {} }) {
  if (!modules.length) return;
  const installed = modules.filter((name) => libraries[name]);
  const standard = modules.filter((name) => !libraries[name]).sort((a, b) => a.localeCompare(b));
  const names = Object.fromEntries(Object.entries(data).map(([name, path]) => [path, `PYEXEC_DATA_${name}`]));
  const paths = Object.keys(names);
  replace('modules-list',
    installed.length ? el('h3', { textContent: 'Libraries' }) : null,
    installed.length ? moduleList(installed, libraries) : null,
    el('h3', { textContent: 'Standard library' }),
    moduleList(standard, {}),
    paths.length ? el('h3', { textContent: 'Data, read-only' }) : null,
    moduleList(paths, names));
}

function moduleList(names, versions) {
  return el('ul', { className: 'names' }, ...names.map((name) => el('li', {},
    el('code', { textContent: name }),
    versions[name] ? el('span', { className: 'muted', textContent: ` ${versions[name]}` }) : null)));
}

function fillLayers({ layers }) {
  if (!layers) return;
  const on = layers.filter((row) => row.on);
  const off = layers.filter((row) => !row.on);
  replace('layers-list',
    el('p', {}, `${count(on.length, 'layer is', 'layers are')} on:`),
    el('dl', { className: 'layers' }, ...on.flatMap(layerRow)),
    off.length ? el('p', {}, 'Not on:') : null,
    off.length ? el('dl', { className: 'layers off' }, ...off.flatMap(layerRow)) : null);
}

function layerRow({ name, detail }) {
  return [el('dt', { textContent: layerName(name) }), el('dd', { textContent: detail || '' })];
}

function layerName(name) {
  return name.replaceAll('_', ' ');
}

function fillDangers(dangers) {
  const rows = Object.entries(dangers);
  if (!rows.length) return;
  replace('dangers-list', el('table', {},
    el('thead', {}, el('tr', {}, headCell('Danger'), headCell('Stopped by each of'))),
    el('tbody', {}, ...rows.map(([danger, layers]) => el('tr', {},
      rowHead(danger), el('td', { textContent: layers.map(layerName).join(', ') }))))));
}

function headCell(text) {
  return el('th', { scope: 'col', textContent: text });
}

function rowHead(text) {
  return el('th', { scope: 'row', textContent: text });
}

function replace(id, ...children) {
  document.getElementById(id).replaceChildren(...children.filter(Boolean));
}
