'use strict';

const { isUtf8 } = require('node:buffer');
const { ProtocolError } = require('../errors');

/**
 * Reads protobuf primitives out of a buffer. One object is moved over every message of a connection.
 *
 * A 64-bit number that is safe as a JavaScript number is one, any other is a bigint: so each value has
 * one form, and Map finds it again.
 */
class Reader {
  constructor() {
    this.buf = null;
    this.pos = 0;
    this.end = 0;
  }

  /** From here on it reads `buf` from `start` up to `end`. */
  over(buf, start, end) {
    this.buf = buf;
    this.pos = start;
    this.end = end;
    return this;
  }

  varint() {
    const { buf } = this;
    let byte = this.#byte(buf);
    if (byte < 128) return byte;
    let low = byte & 127;
    for (let shift = 7; shift < 28; shift += 7) {
      byte = this.#byte(buf);
      low |= (byte & 127) << shift;
      if (byte < 128) return low;
    }
    let middle = 0;
    let high = 0;
    for (let shift = 0; shift < 28 && byte > 127; shift += 7) {
      byte = this.#byte(buf);
      middle |= (byte & 127) << shift;
    }
    for (let shift = 0; shift < 14 && byte > 127; shift += 7) {
      byte = this.#byte(buf);
      high |= (byte & 127) << shift;
    }
    if (byte > 127 || high > 255) throw new ProtocolError('a number has more than 64 bits');
    if (high === 0 && middle < 0x2000000) return middle * 0x10000000 + low;
    return (BigInt(high) << 56n) | (BigInt(middle) << 28n) | BigInt(low);
  }

  #byte(buf) {
    if (this.pos >= this.end) throw new ProtocolError('a message ends in the middle of a field');
    return buf[this.pos++];
  }

  /** The end of a field that begins with its length. */
  delimited() {
    const length = this.varint32();
    return this.#checked(this.pos + length);
  }

  varint32() {
    const value = this.varint();
    return typeof value === 'number' ? value : Number(BigInt.asUintN(32, value));
  }

  #checked(end) {
    if (!(end <= this.end)) throw new ProtocolError('a field is longer than its message');
    return end;
  }

  string() {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    if (start === end) return '';
    const string = this.buf.utf8Slice(start, end);
    if (string.includes('\ufffd') && !isUtf8(this.buf.subarray(start, end))) {
      throw new ProtocolError('a string is no UTF-8');
    }
    return string;
  }

  /** 16 bytes of an id as a string of as many characters below 256. */
  latin1() {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    return start === end ? '' : this.buf.latin1Slice(start, end);
  }

  /** A copy: what the reader moves over is used again. */
  bytes() {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    return copy(this.buf, start, end);
  }

  /** Passes over a field that this client does not know. */
  skip(wireType) {
    if (wireType === 0) this.varint();
    else if (wireType === 2) this.pos = this.delimited();
    else if (wireType === 1) this.pos = this.#checked(this.pos + 8);
    else if (wireType === 5) this.pos = this.#checked(this.pos + 4);
    else throw new ProtocolError(`a field has the wire type ${wireType}`);
  }
}

const EMPTY = Buffer.alloc(0);

function copy(buf, start, end) {
  if (start === end) return EMPTY;
  const bytes = Buffer.allocUnsafe(end - start);
  buf.copy(bytes, 0, start, end);
  return bytes;
}

module.exports = { Reader, EMPTY, copy };
