'use strict';

const { HEADER_BYTES } = require('./frame');

// Frames are written one behind another into a piece of memory, so that one write takes them all to
// the socket. A piece that was given away is not written to again: the next frames go behind it.
const PIECE_BYTES = 64 * 1024;
/** Payloads from here on are not copied but sent from where they are. */
const BY_REFERENCE_BYTES = 16 * 1024;
/** Strings up to here are written by a loop: quicker than a call into the runtime. */
const SHORT_TEXT = 40;

/** Frames on their way to the socket. */
class Outbox {
  constructor() {
    this.buf = Buffer.allocUnsafeSlow(PIECE_BYTES);
    /** What lies before has been taken. */
    this.taken = 0;
    /** Where the frame that is being written begins. */
    this.frame = 0;
    this.pos = 0;
    this.pieces = [];
    /** Bytes of finished frames that wait here. */
    this.waiting = 0;
  }

  /** Begins a frame; its message comes next. */
  begin(type, correlation) {
    this.frame = this.pos;
    this.ensure(HEADER_BYTES);
    const { buf, pos } = this;
    buf.writeUInt32LE(type, pos + 4);
    if (correlation < 0x100000000) {
      buf.writeUInt32LE(Number(correlation), pos + 8);
      buf.writeUInt32LE(0, pos + 12);
    } else {
      buf.writeBigUInt64LE(BigInt(correlation), pos + 8);
    }
    this.pos = pos + HEADER_BYTES;
  }

  /** The message is there; the payload comes next. */
  endMessage() {
    this.buf.writeUInt32LE(this.pos - this.frame - HEADER_BYTES, this.frame + 16);
  }

  /** The frame is whole. `body`: the end of the payload; must not be changed until it is sent. */
  end(body) {
    const { frame } = this;
    const length = body === undefined ? 0 : body.length;
    if (length > 0 && length < BY_REFERENCE_BYTES) {
      this.ensure(length);
      this.buf.set(body, this.pos);
      this.pos += length;
      this.buf.writeUInt32LE(this.pos - this.frame - 4, this.frame);
      this.waiting += this.pos - this.frame;
    } else {
      this.buf.writeUInt32LE(this.pos - frame - 4 + length, frame);
      this.waiting += this.pos - frame + length;
      if (length > 0) {
        this.pieces.push(this.buf.subarray(this.taken, this.pos), body);
        this.taken = this.pos;
      }
    }
    this.frame = this.pos;
  }

  /** The frame that was begun is not to be sent. */
  drop() {
    this.pos = this.frame;
  }

  /** Finished frames, in order; there are some. */
  take() {
    const { pieces } = this;
    if (this.pos > this.taken) pieces.push(this.buf.subarray(this.taken, this.pos));
    this.taken = this.pos;
    this.frame = this.pos;
    this.pieces = [];
    this.waiting = 0;
    return pieces;
  }

  /** Room for so many bytes, in one piece with the frame that was begun. */
  ensure(bytes) {
    if (this.pos + bytes <= this.buf.length) return;
    const { buf, frame } = this;
    if (frame > this.taken) this.pieces.push(buf.subarray(this.taken, frame));
    const begun = this.pos - frame;
    const size = begun + bytes <= PIECE_BYTES ? PIECE_BYTES : 2 * (begun + bytes);
    this.buf = Buffer.allocUnsafeSlow(size);
    buf.copy(this.buf, 0, frame, this.pos);
    this.taken = 0;
    this.frame = 0;
    this.pos = begun;
  }

  varint(value) {
    this.ensure(10);
    let rest = value;
    if (typeof rest === 'bigint') {
      while (rest > 0x1fffffffffffffn) {
        this.buf[this.pos++] = Number(rest & 127n) | 128;
        rest >>= 7n;
      }
      rest = Number(rest);
    }
    const { buf } = this;
    let { pos } = this;
    while (rest > 0x7fffffff) {
      buf[pos++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      buf[pos++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    buf[pos++] = rest;
    this.pos = pos;
  }

  /** A string in UTF-8 behind its length. */
  text(string) {
    const { length } = string;
    if (length <= SHORT_TEXT) {
      this.ensure(length + 1);
      const { buf, pos } = this;
      let at = pos + 1;
      let seen = 0;
      for (let i = 0; i < length; i++) {
        const code = string.charCodeAt(i);
        seen |= code;
        buf[at++] = code;
      }
      if (seen < 128) {
        buf[pos] = length;
        this.pos = at;
        return;
      }
    }
    const bytes = Buffer.byteLength(string);
    this.varint(bytes);
    this.ensure(bytes);
    this.pos += this.buf.utf8Write(string, this.pos);
  }

  /** Bytes behind their length; a string stands for characters below 256. */
  latin1(latin1) {
    this.varint(latin1.length);
    this.ensure(latin1.length);
    this.pos += this.buf.latin1Write(latin1, this.pos);
  }

  /** Bytes behind their length. */
  bytes(bytes) {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** Bytes as they are. */
  raw(bytes) {
    this.ensure(bytes.length);
    this.buf.set(bytes, this.pos);
    this.pos += bytes.length;
  }

  /** What follows, up to `closeLength`, stands behind its length. */
  openLength() {
    this.ensure(1);
    return this.pos++ - this.frame;
  }

  closeLength(mark) {
    let start = this.frame + mark;
    const length = this.pos - start - 1;
    if (length < 128) {
      this.buf[start] = length;
      return;
    }
    const more = length < 0x4000 ? 1 : length < 0x200000 ? 2 : 3;
    this.ensure(more);
    start = this.frame + mark;
    this.buf.copyWithin(start + 1 + more, start + 1, this.pos);
    const end = this.pos + more;
    this.pos = start;
    this.varint(length);
    this.pos = end;
  }
}

module.exports = { Outbox, BY_REFERENCE_BYTES };
