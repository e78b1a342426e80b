'use strict';

const { ProtocolError } = require('../errors');
const { BY_REFERENCE_BYTES } = require('./outbox');
const { TYPE } = require('./frame_types');
const { PART_BYTES } = require('./limits');
const { writeHeaders } = require('../headers');

// The frames that every request needs, field by field and without an object between: the rest of the
// protocol goes by tables, in `message.js`.

const VARINT = 0;
const DELIMITED = 2;
const tag = (number, wire) => number * 8 + wire;

/** A REQUEST as its worker gets it. One object for all: read it before the next frame. */
const incoming = {
  id: '', gatewayId: '', deadlineMs: 0, endpoint: '', headerLength: 0, more: false, subscription: 0, token: 0, forwards: 0, attempt: 0,
};

function readRequest(reader) {
  const request = incoming;
  request.id = '';
  request.gatewayId = '';
  request.deadlineMs = 0;
  request.endpoint = '';
  request.headerLength = 0;
  request.more = false;
  request.subscription = 0;
  request.token = 0;
  request.forwards = 0;
  request.attempt = 0;
  while (reader.pos < reader.end) {
    const field = reader.varint32();
    switch (field) {
      case tag(3, DELIMITED): request.id = reader.latin1(); break;
      case tag(4, DELIMITED): request.gatewayId = reader.latin1(); break;
      case tag(5, VARINT): request.deadlineMs = Number(reader.varint()); break;
      case tag(6, DELIMITED): request.endpoint = reader.string(); break;
      case tag(8, VARINT): request.headerLength = reader.varint32(); break;
      case tag(9, VARINT): request.more = reader.varint() !== 0; break;
      case tag(11, VARINT): request.subscription = reader.varint(); break;
      case tag(12, VARINT): request.token = reader.varint(); break;
      case tag(13, VARINT): request.forwards = reader.varint32(); break;
      case tag(16, VARINT): request.attempt = reader.varint32(); break;
      default: reader.skip(field & 7);
    }
  }
  if (request.id.length !== 16) throw new ProtocolError('a request id is not 16 bytes');
  return request;
}

/** A REPLY as its caller gets it; one object for all. */
const reply = { id: '', status: 0, headerLength: 0, more: false, replayed: false };

function readReply(reader) {
  reply.id = '';
  reply.status = 0;
  reply.headerLength = 0;
  reply.more = false;
  reply.replayed = false;
  while (reader.pos < reader.end) {
    const field = reader.varint32();
    switch (field) {
      case tag(1, DELIMITED): reply.id = reader.latin1(); break;
      case tag(3, VARINT): reply.status = reader.varint32(); break;
      case tag(4, VARINT): reply.headerLength = reader.varint32(); break;
      case tag(5, VARINT): reply.more = reader.varint() !== 0; break;
      case tag(6, VARINT): reply.replayed = reader.varint() !== 0; break;
      default: reader.skip(field & 7);
    }
  }
  return reply;
}

/** REPLY of a worker. `body` fits into the frame, see `firstPart`. */
function writeReply(out, token, status, headers, body, more) {
  out.begin(TYPE.REPLY, 0);
  out.varint(tag(2, VARINT));
  out.varint(token);
  if (status !== 0) {
    out.varint(tag(3, VARINT));
    out.varint(status);
  }
  const mark = openHeaderLength(out, headers, tag(4, VARINT));
  flag(out, tag(5, VARINT), more);
  payload(out, headers, mark, body);
}

/** REQUEST of a caller. */
function writeRequest(out, correlation, request, deadlineMs, body) {
  out.begin(TYPE.REQUEST, correlation);
  text(out, tag(1, DELIMITED), request.service);
  text(out, tag(2, DELIMITED), request.version);
  out.varint(tag(3, DELIMITED));
  out.latin1(request.id);
  out.varint(tag(5, VARINT));
  out.varint(deadlineMs);
  text(out, tag(6, DELIMITED), request.endpoint);
  if (request.durability !== 0) {
    out.varint(tag(7, VARINT));
    out.varint(request.durability);
  }
  const mark = openHeaderLength(out, request.headers, tag(8, VARINT));
  flag(out, tag(9, VARINT), request.more);
  if (request.parentId !== '') {
    out.varint(tag(10, DELIMITED));
    out.latin1(request.parentId);
  }
  flag(out, tag(14, VARINT), request.detach);
  if (request.fingerprint !== null && request.fingerprint.length > 0) {
    out.varint(tag(15, DELIMITED));
    out.bytes(request.fingerprint);
  }
  payload(out, request.headers, mark, body);
}

/** FORWARD of a worker. */
function writeForward(out, correlation, forward, body) {
  out.begin(TYPE.FORWARD, correlation);
  out.varint(tag(1, VARINT));
  out.varint(forward.token);
  text(out, tag(2, DELIMITED), forward.service);
  text(out, tag(3, DELIMITED), forward.version);
  text(out, tag(4, DELIMITED), forward.endpoint);
  const mark = openHeaderLength(out, forward.headers, tag(5, VARINT));
  flag(out, tag(6, VARINT), forward.more);
  flag(out, tag(7, VARINT), forward.restFromCaller);
  payload(out, forward.headers, mark, body);
}

/** BODY_PART; `id` of a caller, or `token` of a worker. */
function writePart(out, id, token, more, abortCode, body) {
  out.begin(TYPE.BODY_PART, 0);
  side(out, id, token);
  flag(out, tag(3, VARINT), more);
  if (abortCode !== 0) {
    out.varint(tag(4, VARINT));
    out.varint(abortCode);
  }
  out.endMessage();
  out.end(body);
}

/** STREAM_CREDIT; `id` of a caller, or `token` of a worker. */
function writeCredit(out, id, token, bytes) {
  out.begin(TYPE.STREAM_CREDIT, 0);
  side(out, id, token);
  out.varint(tag(3, VARINT));
  out.varint(bytes);
  out.endMessage();
  out.end();
}

function side(out, id, token) {
  if (id !== '') {
    out.varint(tag(1, DELIMITED));
    out.latin1(id);
  } else {
    out.varint(tag(2, VARINT));
    out.varint(token);
  }
}

function text(out, field, value) {
  if (value === '') return;
  out.varint(field);
  out.text(value);
}

function flag(out, field, value) {
  if (!value) return;
  out.varint(field);
  out.varint(1);
}

// The length of the header block stands before it, and is known only when it is written. Nearly always
// it takes two bytes; where it does not, what is behind is moved.

function openHeaderLength(out, headers, field) {
  if (headers === undefined || headers === null) return -1;
  out.ensure(3);
  const mark = out.pos - out.frame;
  out.buf[out.pos] = field;
  out.pos += 3;
  return mark;
}

function payload(out, headers, mark, body) {
  out.endMessage();
  if (mark >= 0) {
    let length;
    try {
      length = writeHeaders(out, headers);
    } catch (error) {
      out.drop();
      throw error;
    }
    closeHeaderLength(out, mark, length);
  }
  if (typeof body === 'string') {
    // Short: longer ones were made bytes by `firstPart`.
    out.ensure(body.length * 3);
    out.pos += out.buf.utf8Write(body, out.pos);
    out.end();
  } else {
    out.end(body);
  }
}

function closeHeaderLength(out, mark, length) {
  let at = out.frame + mark + 1;
  if (length >= 128 && length < 0x4000) {
    out.buf[at] = (length & 127) | 128;
    out.buf[at + 1] = length >> 7;
    return;
  }
  const move = length === 0 ? -3 : length < 128 ? -1 : 1;
  out.ensure(1);
  at = out.frame + mark + 1;
  out.buf.copyWithin(at + 2 + move, at + 2, out.pos);
  const end = out.pos + move;
  if (length > 0) {
    out.pos = at;
    out.varint(length);
  }
  out.pos = end;
  out.buf.writeUInt32LE(out.buf.readUInt32LE(out.frame + 16) + move, out.frame + 16);
}

/**
 * What of a body goes into the first frame: a short string as it is, else bytes.
 * `rest` is what goes in parts, or null.
 */
function firstPart(body, headers) {
  if (body === undefined || body === null) return { first: undefined, rest: null };
  if (typeof body === 'string') {
    if (body.length * 3 < BY_REFERENCE_BYTES) return { first: body, rest: null };
    return firstPart(Buffer.from(body, 'utf8'), headers);
  }
  const most = PART_BYTES - (headers === undefined ? 0 : 64 * 1024);
  if (body.length <= most) return { first: body, rest: null };
  return { first: body.subarray(0, most), rest: body.subarray(most) };
}

module.exports = {
  readRequest, readReply, writeReply, writeRequest, writeForward, writePart, writeCredit, firstPart,
};
