'use strict';
// The syntax of expressions: what stands between `{{` and `}}` becomes a tree. A port of common/expr; docs/expressions.md
// has the grammar, and its tables are run against this code (tests/expressions.test.js). Total and linear; what is wrong
// is an ExpressionError that names the place.

const DEPTH_MAX = 64;
const TEXT_MAX = 64 * 1024;
const {INT_MAX} = require('./values');

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const SYMBOLS = ['==', '!=', '<=', '>=', '//', ...'()[]{},:.|=<>+-*/%'];
const FOREIGN = [['&&', 'write `and`'], ['!', 'write `not`'], ['~', 'write `+`, or put both in one text']];
const KEYWORDS = new Set(['and', 'or', 'not', 'in', 'if', 'else', 'is']);
const CONSTANTS = new Map([['true', true], ['True', true], ['false', false], ['False', false], ['null', null],
  ['none', null], ['None', null]]);
const ESCAPES = {'\\': '\\', "'": "'", '"': '"', '/': '/', n: '\n', t: '\t', r: '\r', b: '\b', f: '\f'};

class ExpressionError extends Error {
  constructor(message, limit = '') {
    super(message);
    this.limit = limit;  // the budget that was spent, if one was
  }
}

function fail(offset, message, expected = '', hint = '') {
  const parts = [`${message} at column ${offset + 1}`, expected && 'expected ' + expected, hint];
  throw new ExpressionError(parts.filter(Boolean).join('; '));
}

// kind: literal, path, list, object, not, negate, and, or, compare, arithmetic, conditional, filtered.
function node(kind, begin) {
  return {kind, begin, end: begin, value: null, root: '', children: [], ops: [], keys: [], segments: [], filters: []};
}

// Appends [root, head] of all that the tree reads; the head is '' where a root is read whole or by a computed key.
function references(tree, out) {
  if (tree.kind === 'path' && tree.root !== '') {
    const first = tree.segments[0];
    out.push([tree.root, first && first.kind === 'name' ? first.name : '']);
  }
  for (const child of tree.children) references(child, out);
  for (const segment of tree.segments) for (const bound of segment.bounds) if (bound) references(bound, out);
  for (const call of tree.filters) for (const argument of call.arguments.values()) references(argument, out);
}

// Recursive descent, one method a level of precedence.
class Parser {
  constructor(text, offset, braces, filters) {
    if (Buffer.byteLength(text) > TEXT_MAX)
      fail(0, 'the text is too long for an expression', `at most ${TEXT_MAX} bytes`);
    Object.assign(this, {text, at: offset, end: offset, braces, opened: offset - 2, filters, depth: 0});
    this.advance();
  }

  // [tree, where the text goes on]
  run() {
    if (this.atEnd()) fail(this.begin, 'the expression is empty', 'a value');
    const root = this.expression();
    if (!this.atEnd()) this.unexpected('an operator or the end of the expression');
    return [root, this.braces ? this.begin + 2 : this.text.length];
  }

  // --- tokens: kind, token (as written), value, begin, end
  advance() {
    const text = this.text;
    this.lastEnd = this.end;
    let at = this.at;
    while (at < text.length && ' \t\n\r'.includes(text[at])) ++at;
    this.begin = at;
    if (at >= text.length) {
      Object.assign(this, {kind: 'end', token: '', end: at, at});
      return;
    }
    const name = this.match(NAME, at);
    if (name) Object.assign(this, {kind: 'name', token: name[0]});
    else if (text[at] >= '0' && text[at] <= '9') this.number(at);
    else if (text[at] === "'" || text[at] === '"') return this.string(at);
    else this.symbolToken(at);
    this.end = this.at = at + this.token.length;
  }

  match(pattern, at) {
    pattern.lastIndex = at;
    return pattern.exec(this.text);
  }

  symbolToken(at) {
    const text = this.text;
    if (text.startsWith('||', at)) fail(at, '`||` is not an operator', '', 'write `or`');
    const symbol = SYMBOLS.find((one) => text.startsWith(one, at));
    if (symbol !== undefined) return Object.assign(this, {kind: 'symbol', token: symbol});
    for (const [written, hint] of FOREIGN)
      if (text.startsWith(written, at)) fail(at, `\`${written}\` is not an operator`, '', hint);
    fail(at, `unexpected \`${text[at]}\``, '', "names with other characters are written ['like-this']");
  }

  number(at) {
    const found = this.match(NUMBER, at);
    Object.assign(this, {kind: 'number', token: found[0]});
    if (this.match(NAME, at + this.token.length))
      fail(at, 'a number runs into a name', '', "names that start with a digit are written ['1st']");
    if (found[1] || found[2]) {
      this.value = Number(this.token);
      if (!Number.isFinite(this.value)) fail(at, 'the number is out of range', 'a number that a 64-bit float can hold');
    } else {
      this.value = BigInt(this.token);
      if (this.value > INT_MAX) fail(at, 'the integer is out of range', `at most ${INT_MAX}`);
    }
  }

  string(begin) {
    const {text} = this;
    const quote = text[begin];
    let at = begin + 1;
    let out = '';
    while (at < text.length && text[at] !== quote) {
      if (text[at] === '\\') {
        const [piece, next] = this.escape(at);
        out += piece;
        at = next;
      } else {
        out += text[at++];
      }
    }
    if (at >= text.length) {
      if (this.braces) this.neverClosed();
      fail(begin, 'the string is never closed', 'a closing ' + quote);
    }
    Object.assign(this, {kind: 'string', value: out, end: at + 1, at: at + 1, token: text.slice(begin, at + 1)});
  }

  escape(begin) {
    const c = this.text[begin + 1] ?? '';
    if (Object.hasOwn(ESCAPES, c)) return [ESCAPES[c], begin + 2];
    if (c !== 'u')
      fail(begin, 'unknown escape in a string', String.raw`one of \\ \' \" \/ \n \t \r \b \f \uXXXX`,
        'a backslash itself is written \\\\');
    const code = this.hex4(begin + 2);
    const low = code >= 0xd800 && code <= 0xdbff && this.text.startsWith('\\u', begin + 6) ? this.hex4(begin + 8) : -1;
    if (low >= 0xdc00 && low <= 0xdfff) return [String.fromCharCode(code, low), begin + 12];
    if (code < 0 || (code >= 0xd800 && code <= 0xdfff))
      fail(begin, '\\u must name a character', 'four hex digits, or two such escapes that form a surrogate pair');
    return [String.fromCharCode(code), begin + 6];
  }

  hex4(at) {
    const digits = this.text.slice(at, at + 4);
    return /^[0-9a-fA-F]{4}$/.test(digits) ? parseInt(digits, 16) : -1;
  }

  symbol(spelled) {
    return this.kind === 'symbol' && this.token === spelled;
  }

  word(spelled) {
    return this.kind === 'name' && this.token === spelled;
  }

  accept(spelled) {
    if (!this.symbol(spelled) && !this.word(spelled)) return false;
    this.advance();
    return true;
  }

  expect(spelled) {
    if (!this.accept(spelled)) this.unexpected(`\`${spelled}\``);
  }

  atEnd() {
    return this.braces ? this.symbol('}') && this.text.startsWith('}', this.end) : this.kind === 'end';
  }

  neverClosed() {
    fail(this.opened, '`{{` is never closed', '`}}`', "two literal braces are written {{ '{{' }}");
  }

  unexpected(expected) {
    if (this.kind === 'end') {
      if (this.braces) this.neverClosed();
      fail(this.begin, 'the expression ends too early', expected);
    }
    const hints = {is: 'compare with ==, for example `x == null`', '=': 'write == to compare',
      '(': 'there are no functions; filters are written `value | name(...)`',
      '.': 'put what stands before the dot in parentheses'};
    fail(this.begin, `unexpected \`${this.token.slice(0, 64)}\``, expected,
      Object.hasOwn(hints, this.token) ? hints[this.token] : '');
  }

  // --- grammar, from the loosest to the tightest
  nested(parse) {
    if (++this.depth > DEPTH_MAX) fail(this.begin, 'the expression is nested too deeply', `at most ${DEPTH_MAX} levels`);
    const tree = parse();
    --this.depth;
    return tree;
  }

  close(tree) {
    tree.end = this.lastEnd;
    return tree;
  }

  expression() {
    return this.nested(() => {
      const value = this.disjunction();
      if (!this.word('if')) return value;
      this.advance();
      const tree = node('conditional', value.begin);
      tree.children = [this.disjunction(), value];
      if (!this.word('else')) this.unexpected('`else`');
      this.advance();
      tree.children.push(this.expression());
      return this.close(tree);
    });
  }

  // `operand (operator operand)*`; one operand alone is itself.
  chain(kind, operand, operators) {
    const first = operand.call(this);
    let operator = operators();
    if (operator === undefined) return first;
    const tree = node(kind, first.begin);
    tree.children.push(first);
    for (; operator !== undefined; operator = operators()) {
      tree.ops.push(operator);
      tree.children.push(operand.call(this));
    }
    return this.close(tree);
  }

  oneOf(...spelled) {
    return () => spelled.find((one) => this.accept(one));
  }

  disjunction() {
    return this.chain('or', this.conjunction, this.oneOf('or'));
  }

  conjunction() {
    return this.chain('and', this.negation, this.oneOf('and'));
  }

  negation() {
    return this.word('not') ? this.prefix('not', this.negation) : this.comparison();
  }

  prefix(kind, operand) {
    return this.nested(() => {
      const tree = node(kind, this.begin);
      this.advance();
      tree.children.push(operand.call(this));
      return this.close(tree);
    });
  }

  comparison() {
    const plain = this.oneOf('==', '!=', '<=', '<', '>=', '>', 'in');
    return this.chain('compare', this.sum, () => {
      const found = plain();
      if (found !== undefined || !this.word('not')) return found;
      this.advance();
      if (!this.accept('in')) this.unexpected('`in` after `not`');
      return 'not in';
    });
  }

  sum() {
    return this.chain('arithmetic', this.product, this.oneOf('+', '-'));
  }

  product() {
    return this.chain('arithmetic', this.filtered, this.oneOf('*', '//', '/', '%'));
  }

  filtered() {
    const subject = this.unary();
    if (!this.symbol('|')) return subject;
    const tree = node('filtered', subject.begin);
    tree.children.push(subject);
    while (this.accept('|')) tree.filters.push(this.filterCall());
    return this.close(tree);
  }

  unary() {
    return this.symbol('-') ? this.prefix('negate', this.unary) : this.postfix();
  }

  filterCall() {
    if (this.kind !== 'name') this.unexpected('the name of a filter');
    const {begin} = this;
    const filter = this.filters.get(this.token);
    if (filter === undefined) {
      const near = closest(this.token, [...this.filters.keys()]);
      fail(begin, `unknown filter \`${this.token.slice(0, 64)}\``, 'one of the filters',
        near === undefined ? '' : `did you mean \`${near}\`?`);
    }
    this.advance();
    const call = {filter, end: this.lastEnd, arguments: new Map()};
    if (this.accept('(')) {
      while (!this.symbol(')')) {
        this.argument(call);
        if (!this.accept(',')) break;
      }
      this.expect(')');
    }
    call.end = this.lastEnd;
    for (let i = 0; i < filter.required; ++i)
      if (!call.arguments.has(i))
        fail(begin, `\`${filter.name}\` needs its argument \`${filter.parameters[i]}\``, filter.signature());
    return call;
  }

  argument(call) {
    const {filter} = call;
    const {begin} = this;
    let place = call.arguments.size;
    const rest = this.text.slice(this.at).trimStart();
    if (this.kind === 'name' && rest.startsWith('=') && !rest.startsWith('==')) {
      place = filter.parameters.indexOf(this.token);
      if (place < 0)
        fail(begin, `\`${filter.name}\` has no argument \`${this.token.slice(0, 64)}\``, filter.signature());
      this.advance();
      this.expect('=');
    } else if (call.arguments.size > 0 && [...call.arguments.keys()].at(-1) + 1 !== place) {
      fail(begin, 'a plain argument follows a named one', filter.signature());
    }
    if (place >= filter.parameters.length) fail(begin, 'too many arguments', filter.signature());
    if (call.arguments.has(place)) fail(begin, 'an argument is given twice', filter.signature());
    call.arguments.set(place, this.expression());
  }

  postfix() {
    let base = this.primary();
    while (this.symbol('.') || this.symbol('[')) {
      if (base.kind !== 'path') {
        const path = node('path', base.begin);
        path.children.push(base);
        base = path;
      }
      base.segments.push(this.segment());
      this.close(base);
    }
    return base;
  }

  segment() {
    const segment = {kind: 'name', begin: this.begin, end: this.begin, name: '', bounds: []};
    if (this.accept('.')) {
      if (this.kind !== 'name') this.unexpected("a name; other keys are written ['like-this'], indexes [0]");
      segment.name = this.token;
      this.advance();
    } else {
      this.expect('[');
      this.subscript(segment);
      this.expect(']');
    }
    segment.end = this.lastEnd;
    return segment;
  }

  subscript(segment) {
    const first = this.symbol(':') ? null : this.expression();
    if (this.accept(':')) {
      segment.kind = 'slice';
      segment.bounds = [first, this.symbol(']') ? null : this.expression()];
    } else if (first.kind === 'literal' && typeof first.value === 'string') {
      segment.name = first.value;
    } else {
      segment.kind = 'index';
      segment.bounds = [first];
    }
  }

  primary() {
    if (this.kind === 'number' || this.kind === 'string') return this.literal(this.value);
    if (this.kind === 'name') {
      if (CONSTANTS.has(this.token)) return this.literal(CONSTANTS.get(this.token));
      if (!KEYWORDS.has(this.token)) {
        const path = node('path', this.begin);
        path.root = this.token;
        this.advance();
        return this.close(path);
      }
    } else if (this.symbol('(')) {
      const {begin} = this;
      this.advance();
      const inner = this.expression();
      this.expect(')');
      return Object.assign(inner, {begin, end: this.lastEnd});
    } else if (this.symbol('[')) {
      return this.list();
    } else if (this.symbol('{')) {
      return this.object();
    }
    return this.unexpected('a value');
  }

  literal(value) {
    const tree = node('literal', this.begin);
    tree.value = value;
    this.advance();
    return this.close(tree);
  }

  list() {
    const tree = node('list', this.begin);
    this.advance();
    while (!this.symbol(']')) {
      tree.children.push(this.expression());
      if (!this.accept(',')) break;
    }
    this.expect(']');
    return this.close(tree);
  }

  object() {
    const tree = node('object', this.begin);
    this.advance();
    while (!this.symbol('}')) {
      if (this.kind !== 'string') this.unexpected('a key in quotes');
      if (tree.keys.includes(this.value)) fail(this.begin, 'the key stands in the object twice');
      tree.keys.push(this.value);
      this.advance();
      this.expect(':');
      tree.children.push(this.expression());
      if (!this.accept(',')) break;
    }
    this.expect('}');
    return this.close(tree);
  }
}

// Edit distance with neighbours swapped as one edit.
function distance(a, b) {
  const rows = [Array.from({length: b.length + 1}, (_, i) => i)];
  for (let i = 1; i <= a.length; ++i) {
    const row = [i];
    for (let j = 1; j <= b.length; ++j) {
      let best = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, rows[i - 2][j - 2] + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}

// The candidate that a slip of the fingers could have meant; undefined: none is close.
function closest(word, candidates) {
  if (word.length > 32) return undefined;
  let best;
  let nearest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of [...candidates].sort()) {
    const away = distance(word, candidate);
    if (away < nearest) [nearest, best] = [away, candidate];
  }
  return best;
}

module.exports = {ExpressionError, Parser, references};
