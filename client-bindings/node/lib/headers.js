'use strict';

const { VerteiltError, ProtocolError, badArgument } = require('./errors');
const { HEADER_BYTES_MAX } = require('./protocol/limits');
const { Outbox } = require('./protocol/outbox');

// An encoded header block is a message of pairs: name (1) and value (2), each pair in field 1. It is kept
// as a string in which each character stands for a byte: one call makes it, and parts of it cost nothing.

const FIELD_1 = 0x0a;
const FIELD_2 = 0x12;
const ABOVE_ASCII = /[\x80-\xff]/;

/** Headers in their order, with names that may repeat. Made from an object, from pairs, or from the wire. */
class HeaderBlock {
  #block;
  #flat;

  /** @param init an object (values may be lists), pairs, or other headers */
  constructor(init = undefined) {
    this.#block = '';
    this.#flat = flatten(init);
  }

  /** From the wire; see the top of the file. */
  static fromBlock(block) {
    const headers = new HeaderBlock();
    headers.#block = block;
    headers.#flat = null;
    return headers;
  }

  /** @returns {HeaderBlock} `init` itself if it is one */
  static from(init) {
    return init instanceof HeaderBlock ? init : new HeaderBlock(init);
  }

  /** Names and values in turn. Values are strings, or bytes where they were given as bytes. */
  get #entries() {
    this.#flat ??= parse(this.#block);
    return this.#flat;
  }

  get size() {
    return this.#entries.length / 2;
  }

  /** The first value of a name, whatever its case, as a string; undefined if there is none. */
  get(name) {
    const at = this.#find(name, 0);
    return at < 0 ? undefined : text(this.#entries[at + 1]);
  }

  /** All values of a name, whatever its case, in their order. */
  getAll(name) {
    const values = [];
    for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at + 2)) {
      values.push(text(this.#entries[at + 1]));
    }
    return values;
  }

  has(name) {
    return this.#find(name, 0) >= 0;
  }

  #find(name, from) {
    const entries = this.#entries;
    const { length } = name;
    let lower;
    for (let at = from; at < entries.length; at += 2) {
      const found = entries[at];
      if (found === name) return at;
      if (found.length !== length) continue;
      lower ??= name.toLowerCase();
      if (found.toLowerCase() === lower) return at;
    }
    return -1;
  }

  /** Pairs of strings; bytes that are no UTF-8 become U+FFFD, see `raw` and `latin1`. */
  *[Symbol.iterator]() {
    const entries = this.#entries;
    for (let at = 0; at < entries.length; at += 2) yield [entries[at], text(entries[at + 1])];
  }

  /** Pairs of a name and bytes. */
  get raw() {
    const pairs = [];
    const entries = this.#entries;
    for (let at = 0; at < entries.length; at += 2) pairs.push([entries[at], bytes(entries[at + 1])]);
    return pairs;
  }

  /** Names and values in turn, each byte of a value a character, as `rawHeaders` of `node:http` has them. */
  get latin1() {
    const flat = this.#entries.slice();
    for (let at = 1; at < flat.length; at += 2) {
      const value = flat[at];
      if (typeof value !== 'string') flat[at] = value.latin1Slice(0, value.length);
    }
    return flat;
  }

  /** The last value of each name, by its name in lower case. */
  toObject() {
    const object = {};
    for (const [name, value] of this) object[name.toLowerCase()] = value;
    return object;
  }

  /** The encoded block. */
  toBytes() {
    const out = new Outbox();
    out.begin(0, 0);
    const start = out.pos;
    this.writeTo(out);
    return Buffer.from(out.buf.subarray(start, out.pos));
  }

  /** Writes the block and gives its length in bytes. */
  writeTo(out) {
    if (this.#block !== '') {
      const { length } = this.#block;
      out.ensure(length);
      out.pos += out.buf.latin1Write(this.#block, out.pos);
      return length;
    }
    return writeEntries(out, this.#entries);
  }
}

/** Writes a header block from whatever stands for headers, and gives its length in bytes. */
function writeHeaders(out, init) {
  if (init === undefined || init === null) return 0;
  if (init instanceof HeaderBlock) return init.writeTo(out);
  return writeEntries(out, flatten(init));
}

function writeEntries(out, entries) {
  const begin = out.pos - out.frame;
  for (let at = 0; at < entries.length; at += 2) {
    const value = entries[at + 1];
    out.ensure(1);
    out.buf[out.pos++] = FIELD_1;
    const mark = out.openLength();
    out.ensure(1);
    out.buf[out.pos++] = FIELD_1;
    out.text(entries[at]);
    if (value.length > 0) {
      out.ensure(1);
      out.buf[out.pos++] = FIELD_2;
      if (typeof value === 'string') out.text(value);
      else out.bytes(value);
    }
    out.closeLength(mark);
  }
  const length = out.pos - out.frame - begin;
  if (length > HEADER_BYTES_MAX) {
    const reason = `the headers take ${length} bytes, the limit is ${HEADER_BYTES_MAX}; move data into the body`;
    throw new VerteiltError('HEADERS_TOO_LARGE', reason);
  }
  return length;
}

function flatten(init) {
  if (init === undefined || init === null) return [];
  if (typeof init !== 'object') throw badArgument('headers are an object, or pairs of name and value');
  const flat = [];
  if (typeof init[Symbol.iterator] === 'function') {
    for (const [name, value] of init) add(flat, name, value);
    return flat;
  }
  for (const name of Object.keys(init)) {
    const value = init[name];
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const one of value) add(flat, name, one);
    else add(flat, name, value);
  }
  return flat;
}

function add(flat, name, value) {
  if (typeof name !== 'string') throw badArgument('the name of a header is a string');
  if (typeof value === 'string') flat.push(name, value);
  else if (Buffer.isBuffer(value)) flat.push(name, value);
  else if (value instanceof Uint8Array) flat.push(name, Buffer.from(value.buffer, value.byteOffset, value.length));
  else if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') flat.push(name, String(value));
  else throw badArgument(`the value of the header \`${name}\` is a string or bytes`);
}

/** Values above ASCII stay bytes: only who asks knows what they mean. */
function parse(block) {
  const flat = [];
  const ascii = !ABOVE_ASCII.test(block);
  const at = { pos: 0 };
  while (at.pos < block.length) {
    expect(block.charCodeAt(at.pos++) === FIELD_1);
    const end = length(block, at) + at.pos;
    expect(end <= block.length);
    let name = '';
    let value = '';
    while (at.pos < end) {
      const tag = block.charCodeAt(at.pos++);
      const size = length(block, at);
      const part = block.slice(at.pos, at.pos + size);
      at.pos += size;
      expect(at.pos <= end);
      if (tag === FIELD_1) name = ascii ? part : utf8(part);
      else if (tag === FIELD_2) value = ascii || !ABOVE_ASCII.test(part) ? part : Buffer.from(part, 'latin1');
    }
    flat.push(name, value);
  }
  return flat;
}

function length(block, at) {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = block.charCodeAt(at.pos++);
    value |= (byte & 127) << shift;
    if (byte < 128) return value;
  }
  throw new ProtocolError('a header block cannot be read');
}

function expect(condition) {
  if (!condition) throw new ProtocolError('a header block cannot be read');
}

function utf8(latin1) {
  return ABOVE_ASCII.test(latin1) ? Buffer.from(latin1, 'latin1').toString('utf8') : latin1;
}

function text(value) {
  return typeof value === 'string' ? value : value.toString('utf8');
}

function bytes(value) {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}

module.exports = { HeaderBlock, writeHeaders };
