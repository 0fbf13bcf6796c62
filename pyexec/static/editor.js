// A textarea as an editor for Python: colours behind it, line numbers beside it, and the usual keys.
//
// Only the textarea is edited, so that undo, input methods, spelling and screen readers work as in any textarea. Its own text is transparent; the same text shows in colour in a <pre> in the same grid cell. The
// two are as large as the text, and the box around them scrolls: so they can't drift apart.

import { highlight, highlighted } from './highlight.js';

const INDENT = 4;
const LONGEST_IN_COLOUR = 30000; // characters; longer scripts can't be run anyway, and would make typing slow
const OPENS_BLOCK = /[:([{]$/;
const ENDS_BLOCK = /^\s*(?:return|pass|break|continue|raise)\b/;

export class Editor {
  // Take over the elements inside `root`; `changed` is called after every change of the text.
  constructor(root, changed) {
    this.area = root.querySelector('textarea');
    this.paper = root.querySelector('.paper-text');
    this.gutter = root.querySelector('.gutter');
    this.changed = changed;
    this.leaving = false; // Esc was pressed: the next Tab leaves the editor
    this.area.addEventListener('input', () => {
      this.render();
      this.reveal();
    });
    this.area.addEventListener('keydown', (event) => this.key(event));
    this.area.addEventListener('beforeinput', (event) => this.newLine(event));
    this.area.addEventListener('blur', () => { this.leaving = false; });
    this.render();
  }

  get value() {
    return this.area.value;
  }

  set value(text) {
    this.area.value = text;
    this.area.setSelectionRange(0, 0);
    this.render();
  }

  // Redraw colours and line numbers.
  render() {
    const text = this.area.value;
    const nodes = text.length <= LONGEST_IN_COLOUR ? highlighted(text) : [document.createTextNode(text)];
    this.paper.replaceChildren(...nodes, '\n'); // without the line break an empty last line would have no height
    const lines = text.split('\n').length;
    if (lines !== this.lines) {
      this.lines = lines;
      this.gutter.textContent = Array.from({ length: lines }, (_, index) => index + 1).join('\n');
    }
    this.changed();
  }

  // Scroll to the caret. The browser does so too, but before the box has its new size.
  reveal() {
    const texts = document.createTreeWalker(this.paper, NodeFilter.SHOW_TEXT);
    let left = this.area.selectionEnd;
    let text = texts.nextNode();
    for (; left >= text.length && text !== this.paper.lastChild; text = texts.nextNode()) left -= text.length;
    const range = document.createRange();
    range.setStart(text, left);
    range.setEnd(text, left + 1);
    const caret = range.getBoundingClientRect();
    const box = this.area.closest('.editor');
    const { top, left: start, bottom, right } = box.getBoundingClientRect();
    const margin = caret.height;
    const over = (low, high, first, last) => (low < first ? low - first : Math.max(0, high - last));
    box.scrollTop += over(caret.top, caret.bottom, top + margin, bottom - margin);
    box.scrollLeft += over(caret.left, caret.left, start + this.gutter.offsetWidth + margin, right - margin);
  }

  // Select line `number` (from 1) and show it.
  goToLine(number) {
    const lines = this.area.value.split('\n');
    const line = Math.min(Math.max(number, 1), lines.length) - 1;
    const start = lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + lines[line].length);
    const box = this.area.closest('.editor');
    const height = this.area.scrollHeight / lines.length;
    box.scrollTo({ top: Math.max(0, (line + 0.5) * height - box.clientHeight / 2), left: 0 });
    box.scrollIntoView({ block: 'nearest' });
  }

  key(event) {
    if (event.isComposing) return;
    const left = this.leaving;
    if (event.key !== 'Shift') this.leaving = event.key === 'Escape';
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Tab' && !left) this.consume(event, () => (event.shiftKey ? this.outdent() : this.indent()));
    else if (event.key === 'Backspace' && !event.shiftKey) this.backspace(event);
  }

  consume(event, action) {
    event.preventDefault();
    action();
  }

  // Replace the text between two positions as if by typing, so that it can be undone.
  replace(start, end, text) {
    this.area.setSelectionRange(start, end);
    const command = text ? 'insertText' : 'delete';
    if (start === end && !text) return;
    if (!document.execCommand(command, false, text)) {
      this.area.setRangeText(text, start, end, 'end');
      this.render();
    }
  }

  lineStart(position) {
    return this.area.value.lastIndexOf('\n', position - 1) + 1;
  }

  // Indent a new line like the one before, and one step more after a colon or an open bracket.
  newLine(event) {
    if (event.inputType !== 'insertLineBreak' || event.isComposing || !event.cancelable) return;
    const { selectionStart: start, selectionEnd: end, value } = this.area;
    const lineStart = this.lineStart(start);
    const line = value.slice(lineStart, start);
    let depth = line.match(/^[ \t]*/)[0].length;
    if (OPENS_BLOCK.test(codeOf(value.slice(0, start), line))) depth += INDENT;
    else if (ENDS_BLOCK.test(line)) depth = Math.max(0, depth - INDENT);
    this.consume(event, () => this.replace(start, end, '\n' + ' '.repeat(depth)));
  }

  indent() {
    const { selectionStart: start, selectionEnd: end, value } = this.area;
    if (value.slice(start, end).includes('\n')) {
      this.changeLines((line) => (line ? ' '.repeat(INDENT) + line : line));
    } else {
      const column = start - this.lineStart(start);
      this.replace(start, end, ' '.repeat(INDENT - (column % INDENT)));
    }
  }

  outdent() {
    this.changeLines((line) => line.replace(/^(?:\t| {1,4})/, ''));
  }

  // The lines that the selection touches, except one that it only ends in front of.
  selectedLines() {
    const { selectionStart, selectionEnd, value } = this.area;
    const start = this.lineStart(selectionStart);
    const last = selectionEnd > selectionStart && value[selectionEnd - 1] === '\n' ? selectionEnd - 1 : selectionEnd;
    const stop = value.indexOf('\n', last);
    const end = stop < 0 ? value.length : stop;
    return { start, end, text: value.slice(start, end) };
  }

  changeLines(change) {
    const { start, end, text } = this.selectedLines();
    const { selectionStart, selectionEnd } = this.area;
    const before = text.split('\n');
    const after = before.map(change);
    if (after.join('\n') === text) return;
    this.replace(start, end, after.join('\n'));
    const firstMoved = after[0].length - before[0].length;
    const allMoved = after.join('\n').length - text.length;
    this.area.setSelectionRange(Math.max(start, selectionStart + firstMoved), Math.max(start, selectionEnd + allMoved));
  }

  // Within the indentation, go back a whole step.
  backspace(event) {
    const { selectionStart: start, selectionEnd: end, value } = this.area;
    const before = value.slice(this.lineStart(start), start);
    if (start !== end || before.length < 2 || before.trim() || before.includes('\t')) return;
    const step = before.length % INDENT || INDENT;
    if (step > 1) this.consume(event, () => this.replace(start - step, start, ''));
  }
}

// Return a line without its comment and trailing spaces; `source` ends with that line. Empty inside a string.
function codeOf(source, line) {
  if (source.length > LONGEST_IN_COLOUR) return line.trimEnd();
  const spans = highlight(source);
  while (spans.length && (spans[spans.length - 1][0] === 'comment' || !spans[spans.length - 1][1].trim())) spans.pop();
  if (!spans.length) return '';
  const [kind, text] = spans[spans.length - 1];
  return kind === 'string' ? '' : text.trimEnd();
}
