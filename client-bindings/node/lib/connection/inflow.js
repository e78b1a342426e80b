'use strict';

const { ProtocolError, refused } = require('../errors');
const { HEADER_BYTES, LENGTH_MIN } = require('../protocol/frame');
const { FRAME_BYTES_MAX } = require('../protocol/limits');

const BUFFER_BYTES = 256 * 1024;
/** With less room than this a read would be small. */
const ROOM_MIN = 16 * 1024;

/**
 * What comes from the socket, cut into frames. The memory is used again and again: whoever keeps
 * something of a frame copies it.
 */
class Inflow {
  /** @param onFrame called with (type, flags, correlation, buffer, start of message, its end, end of frame) */
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.buf = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.start = 0;
    this.end = 0;
    this.frameBytesMax = FRAME_BYTES_MAX;
  }

  /** Where the next read goes. */
  room() {
    const { start, end, buf } = this;
    if (start === end) {
      this.start = 0;
      this.end = 0;
      if (buf.length > BUFFER_BYTES) this.buf = Buffer.allocUnsafeSlow(BUFFER_BYTES);
      return this.buf;
    }
    const needed = this.#frameLength();
    if (buf.length - end >= ROOM_MIN && start + needed <= buf.length) return buf.subarray(end);
    const size = Math.max(BUFFER_BYTES, needed + ROOM_MIN);
    this.buf = size <= buf.length ? buf : Buffer.allocUnsafeSlow(size);
    buf.copy(this.buf, 0, start, end);
    this.start = 0;
    this.end = end - start;
    return this.buf.subarray(this.end);
  }

  /** Bytes of the frame that has begun, as far as that is known. */
  #frameLength() {
    return this.end - this.start >= 4 ? this.buf.readUInt32LE(this.start) + 4 : HEADER_BYTES;
  }

  /** So many bytes were read into `room`. */
  came(bytes) {
    this.end += bytes;
    const { buf, end } = this;
    while (end - this.start >= 4) {
      const { start } = this;
      const length = (buf[start] | (buf[start + 1] << 8) | (buf[start + 2] << 16) | (buf[start + 3] << 24)) >>> 0;
      if (length < LENGTH_MIN) throw new ProtocolError(`a frame has the length ${length}`);
      if (length > this.frameBytesMax) throw refused(101, `a frame of ${length} bytes has come`);
      if (end - start < length + 4) return;
      const next = start + 4 + length;
      const message = start + HEADER_BYTES;
      const messageLength = buf.readUInt32LE(start + 16);
      if (messageLength > length - LENGTH_MIN) throw new ProtocolError('a message is longer than its frame');
      if (buf[start + 6] !== 0 || buf[start + 7] !== 0) throw new ProtocolError('reserved bytes are not 0');
      const low = (buf[start + 8] | (buf[start + 9] << 8) | (buf[start + 10] << 16) | (buf[start + 11] << 24)) >>> 0;
      const high = buf.readUInt32LE(start + 12);
      const correlation = high < 0x200000 ? high * 0x100000000 + low : buf.readBigUInt64LE(start + 8);
      this.start = next;
      this.onFrame(buf[start + 4], buf[start + 5], correlation, buf, message, message + messageLength, next);
    }
  }
}

module.exports = { Inflow };
