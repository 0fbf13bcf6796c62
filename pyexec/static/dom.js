// Small helpers for the page: making elements, writing numbers, copying text. Nothing here knows what pyexec is.

// Return a new element. Properties go in as they are (`className`, `textContent`, `onclick`); `attributes` are set as
// attributes; children are nodes or text. Text never becomes HTML.
export function el(tag, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function byId(id) {
  return document.getElementById(id);
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

// 8388608 → "8 MB", as the contract counts them: 1 MB is 1024 × 1024 bytes.
export function bytes(number) {
  if (number < 1024) return count(number, 'byte');
  const [unit, size] = number < 1024 ** 2 ? ['KB', 1024] : ['MB', 1024 ** 2];
  return `${Number((number / size).toPrecision(3)).toLocaleString('en')}\u00a0${unit}`;
}

export function seconds(number) {
  if (number < 0.9995) return `${Number((number * 1000).toPrecision(3))}\u00a0ms`;
  return `${Number(number.toPrecision(3))}\u00a0s`;
}

// A time to wait: 42 → "42 s", 4000 → "1 h 7 min".
export function wait(number) {
  if (number <= 90) return `${number} s`;
  const minutes = Math.ceil(number / 60);
  return minutes <= 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Put text on the clipboard; return whether it worked. Without HTTPS only the old way exists.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

// Return a button that copies text and says for a moment whether it did.
export function copyButton(text, label) {
  const button = el('button', { type: 'button', className: 'quiet', textContent: 'Copy', attributes: { 'aria-label': label } });
  button.onclick = async () => {
    button.textContent = (await copy(text)) ? 'Copied' : 'Not copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1600);
  };
  return button;
}

function copyTheOldWay(text) {
  const focused = document.activeElement;
  const area = el('textarea', { value: text, className: 'off-screen', attributes: { 'aria-hidden': 'true' } });
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (focused) focused.focus({ preventScroll: true });
  return done;
}

// Return a blob's content as Base64.
export function base64Of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// Characters as Python counts them: code points, not UTF-16 units.
export function codePoints(text) {
  const pairs = text.match(/[\ud800-\udbff][\udc00-\udfff]/g);
  return text.length - (pairs ? pairs.length : 0);
}
