// Python source to spans of text, each with a class name. Pure: no DOM, so that Node can test it.
//
// A hand-written lexer rather than one big expression, since f-strings nest. It accepts everything: half-typed source
// is the normal case in an editor.

const KEYWORDS = words(
  'and as assert async await break class continue def del elif else except finally for from global if import in is'
  + ' lambda nonlocal not or pass raise return try while with yield');
const CONSTANTS = words('True False None Ellipsis NotImplemented __name__ __file__ __doc__');
const BUILTINS = words(
  'abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex delattr'
  + ' dict dir divmod enumerate eval exec filter float format frozenset getattr globals hasattr hash help hex id input'
  + ' int isinstance issubclass iter len list locals map max memoryview min next object oct open ord pow print property'
  + ' range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip __import__');
const EXCEPTION = /^[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)$/;
const STRING_PREFIXES = words('r b u f t br rb fr rf tr rt').add('');

const SPACE = /[ \t\r\n\f]+/y;
const COMMENT = /#[^\n]*/y;
const STRING = /([A-Za-z]{0,2})("""|'''|"|')/y;
const NUMBER = /0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]?/y;
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const DECORATOR = /@[ \t]*[\p{L}_][\p{L}\p{N}_.]*/uy;
const SOFT_KEYWORD_LINE = /(?:match|case)[ \t]+[^\s=.,)\]:][^\n]*:[ \t]*(?:#[^\n]*)?(?=\n|$)/y;
const DEEPEST = 10; // nested f-strings; deeper ones get a single colour
const CONVERSION = /![rsa](?=[:}])/y;

function words(text) {
  return new Set(text.split(' '));
}

class Lexer {
  constructor(source) {
    this.source = source;
    this.at = 0;
    this.spans = [];
    this.nesting = 0;
    this.previous = ''; // the last token that was neither space nor comment
  }

  // Return what the expression matches here, or null.
  look(expression) {
    expression.lastIndex = this.at;
    return expression.exec(this.source);
  }

  // Move on to `end`; what is passed belongs to one span, joined to the one before if that has the same class.
  take(kind, end) {
    if (end === this.at) return;
    const text = this.source.slice(this.at, end);
    const last = this.spans[this.spans.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else this.spans.push([kind, text]);
    this.at = end;
  }

  startsLine() {
    const line = this.source.lastIndexOf('\n', this.at - 1) + 1;
    return this.source.slice(line, this.at).trim() === '';
  }

  // Lex code up to the end, or to where `ends` says so while no bracket is open.
  code(ends) {
    let depth = 0;
    while (this.at < this.source.length) {
      if (ends && ends(depth)) return;
      const character = this.source[this.at];
      if ('([{'.includes(character)) depth += 1;
      if (')]}'.includes(character)) depth -= 1;
      this.token();
    }
  }

  token() {
    let found;
    if ((found = this.look(SPACE))) return this.take('', this.at + found[0].length);
    if ((found = this.look(COMMENT))) return this.take('comment', this.at + found[0].length);
    if ((found = this.look(STRING)) && STRING_PREFIXES.has(found[1].toLowerCase())) return this.string(found);
    const before = this.previous;
    if (this.source[this.at] === '@' && this.startsLine() && (found = this.look(DECORATOR))) this.take('decorator', this.at + found[0].length);
    else if ((found = this.look(NAME))) this.take(this.kindOfName(found[0], before), this.at + found[0].length);
    else if ((found = this.look(NUMBER)) && found[0]) this.take('number', this.at + found[0].length);
    else found = [this.source[this.at]], this.take('', this.at + 1);
    this.previous = found[0];
  }

  kindOfName(name, before) {
    if (KEYWORDS.has(name)) return 'keyword';
    if (before === '.') return '';
    if (before === 'def' || before === 'class') return 'definition';
    if (CONSTANTS.has(name)) return 'number';
    if (BUILTINS.has(name) || EXCEPTION.test(name)) return 'builtin';
    if ((name === 'match' || name === 'case') && this.startsLine() && this.look(SOFT_KEYWORD_LINE)) return 'keyword';
    return '';
  }

  string([start, prefix, quote]) {
    const formatted = /[ft]/i.test(prefix);
    let end = this.at + start.length; // up to here the text is the string's own
    this.previous = quote;
    while (end < this.source.length) {
      const character = this.source[end];
      if (this.source.startsWith(quote, end)) {
        end += quote.length;
        break;
      }
      if (character === '\n' && quote.length === 1) break; // unclosed: the rest of the file isn't part of it
      if (character === '\\') end += 2;
      else if (formatted && character === '{' && this.source[end + 1] === '{') end += 2;
      else if (formatted && character === '{') {
        this.take('string', end);
        this.field(quote);
        end = this.at;
      } else end += 1;
    }
    this.take('string', Math.min(end, this.source.length));
  }

  // Lex `{expression!conversion:format}` inside an f-string.
  field(quote) {
    if (this.nesting === DEEPEST) return this.take('string', this.at + 1);
    this.nesting += 1;
    this.take('brace', this.at + 1);
    const stopped = () => this.source.startsWith(quote, this.at) || (quote.length === 1 && this.source[this.at] === '\n');
    this.code((depth) => stopped() || (depth <= 0 && (':}'.includes(this.source[this.at]) || this.look(CONVERSION) !== null)));
    if (this.look(CONVERSION)) this.take('brace', this.at + 2);
    if (this.source[this.at] === ':') {
      while (this.at < this.source.length && !stopped() && this.source[this.at] !== '}') {
        if (this.source[this.at] === '{') this.field(quote);
        else this.take('string', this.at + 1);
      }
    }
    if (this.source[this.at] === '}') this.take('brace', this.at + 1);
    this.nesting -= 1;
  }
}

// Return the source as [class name, text] pairs; joined, the texts are the source.
export function highlight(source) {
  const lexer = new Lexer(source);
  lexer.code(null);
  return lexer.spans;
}

// Return the nodes that show the source in colour.
export function highlighted(source) {
  return highlight(source).map(([kind, text]) => {
    if (!kind) return document.createTextNode(text);
    const span = document.createElement('span');
    span.className = `py-${kind}`;
    span.textContent = text;
    return span;
  });
}
