'use strict';

// Frames as `protocol/golden` writes them, to and from bytes.

const fs = require('node:fs');
const path = require('node:path');
const { Inflow } = require('../lib/connection/inflow');
const { TYPE, FRAME_NAME, FRAME_MESSAGE } = require('../lib/protocol/frame_types');
const { encode, decode } = require('../lib/protocol/message');
const { Outbox } = require('../lib/protocol/outbox');
const { Reader } = require('../lib/protocol/reader');
const { MESSAGES } = require('../lib/protocol/schema');

const GOLDEN = path.join(__dirname, '../../../protocol/golden');
const ENUMS = enumsOfTheSchema();

function enumsOfTheSchema() {
  const text = fs.readFileSync(path.join(GOLDEN, '../proto/verteilt.proto'), 'utf8');
  return Object.fromEntries([...text.matchAll(/^\s*([A-Z][A-Z_]+) = (\d+);/gm)].map(([, name, number]) => [name, Number(number)]));
}

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function fields(name) {
  return MESSAGES[name].map((row) => {
    const [, key, type] = row.split(' ');
    return { key, type: type.replace(/[*?]$/, ''), list: type.endsWith('*'), optional: type.endsWith('?') };
  });
}

/** The canonical JSON of a message as this client has messages. */
function fromJson(name, json) {
  const message = {};
  for (const { key, type, list, optional } of fields(name)) {
    const found = Object.keys(json).find((one) => camel(one) === key);
    const value = found === undefined ? undefined : json[found];
    if (value === undefined || value === null) message[key] = optional ? undefined : null;
    else message[key] = list ? value.map((one) => fromScalar(type, one)) : fromScalar(type, value);
  }
  return message;
}

function fromScalar(type, value) {
  if (MESSAGES[type]) return fromJson(type, value);
  if (type === 'bytes') return Buffer.from(value, 'base64');
  if (type === 'enum') return typeof value === 'number' ? value : ENUMS[value];
  if (type === 'uint64') {
    const wide = BigInt(value);
    return wide > BigInt(Number.MAX_SAFE_INTEGER) ? wide : Number(wide);
  }
  return value;
}

/** A message as canonical JSON, but for enums, which stay numbers. */
function toJson(name, message) {
  const json = {};
  for (const { key, type, list } of fields(name)) {
    const value = message[key];
    if (value === undefined || value === null) continue;
    json[snake(key)] = list ? value.map((one) => toScalar(type, one)) : toScalar(type, value);
  }
  return json;
}

function toScalar(type, value) {
  if (MESSAGES[type]) return toJson(type, value);
  if (type === 'bytes') return value.toString('base64');
  return type === 'uint64' ? `${value}` : value;
}

/** A frame of JSON as bytes. */
function writeFrame({ type, type_number: number, flags = 0, correlation = '0', message, payload = '', payload_hex: hex }) {
  const out = new Outbox();
  const kind = number ?? TYPE[type];
  out.begin(kind, BigInt(correlation));
  if (FRAME_MESSAGE[kind]) encode(out, FRAME_MESSAGE[kind], fromJson(FRAME_MESSAGE[kind], message ?? {}));
  out.endMessage();
  out.end(hex === undefined ? Buffer.from(payload, 'utf8') : Buffer.from(hex, 'hex'));
  const bytes = Buffer.concat(out.take());
  bytes[5] = flags;
  return bytes;
}

/** Takes bytes as they come and calls back with each frame. */
function frameReader(onFrame) {
  const inflow = new Inflow((type, flags, correlation, buf, start, end, frameEnd) => {
    const name = FRAME_MESSAGE[type];
    const message = name ? decode(new Reader().over(buf, start, end), name) : null;
    onFrame({ type, flags, correlation, message, payload: Buffer.from(buf.subarray(end, frameEnd)) });
  });
  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      const taken = bytes.copy(inflow.room(), 0, at);
      at += taken;
      inflow.came(taken);
    }
  };
}

/** A frame that came, as JSON. */
function frameToJson({ type, flags, correlation, message, payload }) {
  return {
    type: FRAME_NAME[type] ?? `${type}`,
    flags,
    correlation: `${correlation}`,
    message: message === null ? null : toJson(FRAME_MESSAGE[type], message),
    payload: payload.toString('utf8'),
    payload_hex: payload.toString('hex'),
  };
}

module.exports = { GOLDEN, fromJson, fromScalar, writeFrame, frameReader, frameToJson };
