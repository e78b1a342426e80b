'use strict';

const { MESSAGES } = require('./schema');
const { ProtocolError } = require('../errors');

// Any message by its table. What is sent or received for every request has code of its own, in
// `requests.js`.

const VARINT = 0;
const DELIMITED = 2;

const SCALARS = {
  uint32: { wire: VARINT, zero: 0, read: (reader) => reader.varint32(), write: (out, v) => out.varint(v) },
  uint64: { wire: VARINT, zero: 0, read: (reader) => reader.varint(), write: (out, v) => out.varint(v) },
  enum: { wire: VARINT, zero: 0, read: (reader) => reader.varint32(), write: (out, v) => out.varint(v) },
  bool: { wire: VARINT, zero: false, read: (reader) => reader.varint() !== 0, write: (out, v) => out.varint(v ? 1 : 0) },
  sint32: { wire: VARINT, zero: 0, read: readSigned, write: (out, v) => out.varint(v >= 0 ? v * 2 : -v * 2 - 1) },
  string: { wire: DELIMITED, zero: '', read: (reader) => reader.string(), write: (out, v) => out.text(v) },
  bytes: { wire: DELIMITED, zero: null, read: (reader) => reader.bytes(), write: (out, v) => out.bytes(v) },
};

const EMPTY = Buffer.alloc(0);

function readSigned(reader) {
  const value = reader.varint32();
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** The tables as what the two functions below walk over. */
const PLANS = new Map();
for (const name of Object.keys(MESSAGES)) PLANS.set(name, { fields: [], byNumber: [] });
for (const [name, rows] of Object.entries(MESSAGES)) {
  const plan = PLANS.get(name);
  for (const row of rows) {
    const [number, key, type] = row.split(' ');
    const bare = type.replace(/[*?]$/, '');
    const field = {
      number: Number(number),
      key,
      list: type.endsWith('*'),
      optional: type.endsWith('?'),
      scalar: SCALARS[bare] ?? null,
      message: SCALARS[bare] ? null : PLANS.get(bare),
      packed: SCALARS[bare]?.wire === VARINT && type.endsWith('*'),
      isBytes: bare === 'bytes',
    };
    field.tag = field.number * 8 + (field.packed || !field.scalar ? DELIMITED : field.scalar.wire);
    plan.fields.push(field);
    plan.byNumber[field.number] = field;
  }
}

/** Writes the message: fields of their default are left out. */
function encode(out, name, message) {
  write(out, PLANS.get(name), message);
}

function write(out, plan, message) {
  for (const field of plan.fields) {
    const value = message[field.key];
    if (value === undefined || value === null) continue;
    if (field.list) writeList(out, field, value);
    else if (field.message) writeNested(out, field, value);
    else if (field.optional || !isZero(field, value)) {
      out.varint(field.tag);
      field.scalar.write(out, value);
    }
  }
}

function isZero(field, value) {
  if (field.isBytes) return value.length === 0;
  return value === field.scalar.zero || value === 0n;
}

function writeList(out, field, values) {
  if (values.length === 0) return;
  if (field.packed) {
    out.varint(field.tag);
    const mark = out.openLength();
    for (const value of values) field.scalar.write(out, value);
    out.closeLength(mark);
    return;
  }
  for (const value of values) {
    if (field.message) {
      writeNested(out, field, value);
    } else {
      out.varint(field.tag);
      field.scalar.write(out, value);
    }
  }
}

function writeNested(out, field, value) {
  out.varint(field.tag);
  const mark = out.openLength();
  write(out, field.message, value);
  out.closeLength(mark);
}

/** Reads the message that `reader` stands on: every field is there, unknown ones are passed over. */
function decode(reader, name) {
  return read(reader, PLANS.get(name), reader.end);
}

function read(reader, plan, end) {
  const message = {};
  for (const field of plan.fields) {
    if (field.list) message[field.key] = [];
    else if (field.optional) message[field.key] = undefined;
    else if (field.message) message[field.key] = null;
    else message[field.key] = field.isBytes ? EMPTY : field.scalar.zero;
  }
  while (reader.pos < end) {
    const tag = reader.varint32();
    const field = plan.byNumber[tag >>> 3];
    if (tag >>> 3 === 0) throw new ProtocolError('a field has the number 0');
    if (field === undefined) reader.skip(tag & 7);
    else readField(reader, field, tag & 7, message);
  }
  if (reader.pos !== end) throw new ProtocolError('a field is longer than its message');
  return message;
}

function readField(reader, field, wire, message) {
  if (field.message) {
    if (wire !== DELIMITED) throw new ProtocolError(`${field.key} is no message`);
    const nested = read(reader, field.message, reader.delimited());
    if (field.list) message[field.key].push(nested);
    else message[field.key] = nested;
  } else if (field.list && field.packed && wire === DELIMITED) {
    const end = reader.delimited();
    const values = message[field.key];
    while (reader.pos < end) values.push(field.scalar.read(reader));
  } else if (wire !== field.scalar.wire) {
    throw new ProtocolError(`${field.key} has the wire type ${wire}`);
  } else if (field.list) {
    message[field.key].push(field.scalar.read(reader));
  } else {
    message[field.key] = field.scalar.read(reader);
  }
}

module.exports = { encode, decode };
