'use strict';

// The frames of protocol/golden, both ways, and those that must be refused.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Inflow } = require('../lib/connection/inflow');
const { HeaderBlock, writeHeaders } = require('../lib/headers');
const { TYPE, FRAME_MESSAGE } = require('../lib/protocol/frame_types');
const { encode, decode } = require('../lib/protocol/message');
const { Outbox } = require('../lib/protocol/outbox');
const { Reader } = require('../lib/protocol/reader');
const requests = require('../lib/protocol/requests');
const { GOLDEN: FOLDER, fromJson, fromScalar } = require('./frames');

/** Runs bytes through the inflow and gives the frames that came out, in pieces of `size`. */
function cut(bytes, size = bytes.length) {
  const frames = [];
  const inflow = new Inflow((type, flags, correlation, buf, start, end, frameEnd) => {
    const name = FRAME_MESSAGE[type];
    const message = name ? decode(new Reader().over(buf, start, end), name) : null;
    frames.push({ type, flags, correlation, message, payload: Buffer.from(buf.subarray(end, frameEnd)) });
  });
  for (let at = 0; at < bytes.length; ) {
    const taken = bytes.copy(inflow.room(), 0, at, at + size);
    at += taken;
    inflow.came(taken);
  }
  return frames;
}

const written = (out) => Buffer.concat(out.take());
const names = fs.readdirSync(FOLDER).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));

test('there are golden frames', () => assert.ok(names.length > 80, `${names.length}`));

for (const name of names) {
  const bytes = fs.readFileSync(path.join(FOLDER, `${name}.bin`));
  const json = JSON.parse(fs.readFileSync(path.join(FOLDER, `${name}.json`), 'utf8'));
  const messageName = FRAME_MESSAGE[json.type_number];
  const payload = Buffer.from(json.payload_hex, 'hex');

  test(`reads ${name}`, () => {
    for (const size of [bytes.length, 1, 7]) {
      const [frame, ...more] = cut(bytes, size);
      assert.equal(more.length, 0);
      assert.equal(frame.type, TYPE[json.type]);
      assert.equal(frame.type, json.type_number);
      assert.equal(frame.flags, json.flags);
      assert.equal(String(frame.correlation), json.correlation);
      assert.deepEqual(frame.payload, payload);
      if (messageName) assert.deepEqual(frame.message, fromJson(messageName, json.message));
    }
  });

  test(`writes ${name}`, () => {
    const out = new Outbox();
    out.begin(json.type_number, BigInt(json.correlation));
    if (messageName) encode(out, messageName, fromJson(messageName, json.message));
    out.endMessage();
    out.end(payload);
    const found = written(out);
    found[5] = json.flags;
    assert.deepEqual(found, bytes);
  });

  const own = ownWriter(json, payload);
  if (own) {
    test(`writes ${name} without tables`, () => {
      const out = new Outbox();
      own(out);
      const found = written(out);
      // What has no answer has no correlation, wherever the golden frame has one.
      if (json.type !== 'REQUEST' && json.type !== 'FORWARD') bytes.copy(found, 8, 8, 16);
      assert.deepEqual(found, bytes);
    });
  }
}

/** How the code for the frames of every request writes this one; nothing if a client does not send it. */
function ownWriter(json, payload) {
  const { type, message } = json;
  const latin1 = (base64) => Buffer.from(base64, 'base64').latin1Slice();
  const correlation = Number(json.correlation);
  const token = message && fromScalar('uint64', message.token ?? '0');
  const headers = message?.header_length ? HeaderBlock.fromBlock(payload.latin1Slice(0, message.header_length)) : undefined;
  const body = message?.header_length ? payload.subarray(message.header_length) : payload;
  // What is rare goes by the tables.
  if (type === 'REQUEST' && message.detach) return undefined;
  if (type === 'REQUEST' && message.token === '0') {
    const request = {
      ...fromJson('Request', message), id: latin1(message.request_id), parentId: latin1(message.parent_request_id), headers,
    };
    return (out) => requests.writeRequest(out, correlation, request, request.deadlineMs, body);
  }
  if (type === 'REPLY' && message.request_id === '') {
    return (out) => requests.writeReply(out, token, message.status, headers, body, message.more);
  }
  if (type === 'FORWARD') {
    return (out) => requests.writeForward(out, correlation, { ...fromJson('Forward', message), headers }, body);
  }
  if (type === 'BODY_PART') {
    return (out) => requests.writePart(out, latin1(message.request_id), token, message.more, message.abort_code, body);
  }
  if (type === 'STREAM_CREDIT') {
    return (out) => requests.writeCredit(out, latin1(message.request_id), token, fromScalar('uint64', message.bytes));
  }
  return null;
}

test('many frames in one piece of memory and across pieces', () => {
  const all = Buffer.concat(Array.from({ length: 40 }, () => names.map((name) => fs.readFileSync(path.join(FOLDER, `${name}.bin`)))).flat());
  const whole = cut(all, 64 * 1024);
  assert.equal(whole.length, names.length * 40);
  assert.deepEqual(cut(all, 4099), whole);
});

test('refuses what is malformed', () => {
  const folder = path.join(FOLDER, 'malformed');
  const files = fs.readdirSync(folder).filter((file) => file.endsWith('.json'));
  assert.ok(files.length > 5);
  for (const file of files) {
    const { error, closed, why } = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    const codes = { MALFORMED_FRAME: 'PROTOCOL', MALFORMED_MESSAGE: 'PROTOCOL', FRAME_TOO_LARGE: 'FRAME_TOO_LARGE' };
    // The others are about what a broker expects of a client.
    if (!closed || !(error in codes)) continue;
    const bytes = fs.readFileSync(path.join(folder, file.replace('.json', '.bin')));
    assert.throws(() => cut(bytes), { code: codes[error] }, `${file}: ${why}`);
  }
});

test('header blocks of every length keep what they hold', () => {
  for (const length of [0, 1, 30, 120, 125, 126, 127, 128, 129, 200, 5000, 16370, 16384, 20000, 60000]) {
    const pairs = [['x-long', 'v'.repeat(length)], ['x-é', 'ü€'], ['x-long', Buffer.from([0, 255])]];
    const out = new Outbox();
    requests.writeReply(out, 7, 200, pairs, Buffer.from('body'), true);
    const [frame] = cut(written(out));
    assert.equal(frame.message.more, true);
    const block = frame.payload.latin1Slice(0, frame.message.headerLength);
    const headers = HeaderBlock.fromBlock(block);
    assert.deepEqual(headers.getAll('X-Long'), ['v'.repeat(length), '\0\ufffd']);
    assert.deepEqual(headers.raw[2][1], Buffer.from([0, 255]));
    assert.equal(headers.get('x-é'), 'ü€');
    assert.equal(frame.payload.subarray(frame.message.headerLength).toString(), 'body');
  }
});

test('headers above the limit are refused and leave nothing behind', () => {
  const out = new Outbox();
  const send = (length) => requests.writeReply(out, 7, 200, { a: 'v'.repeat(length) }, undefined, false);
  assert.throws(() => send(70000), { code: 'HEADERS_TOO_LARGE', number: 202 });
  send(5);
  assert.equal(cut(written(out)).length, 1);
});

test('numbers of 64 bits keep all of them', () => {
  for (const value of [0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 35 + 1, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const out = new Outbox();
    out.begin(TYPE.CANCEL, 0);
    out.varint(value);
    out.end();
    const bytes = written(out);
    assert.equal(new Reader().over(bytes, 20, bytes.length).varint(), value);
  }
});

test('headers are given as an object, as pairs, or as headers', () => {
  const expected = [['a', '1'], ['b', '2'], ['b', '3']];
  const inits = [{ a: '1', b: ['2', 3] }, expected, new Map([['a', '1'], ['b', '2']]), HeaderBlock.from(expected)];
  assert.deepEqual([...new HeaderBlock(inits[0])], expected);
  assert.deepEqual([...new HeaderBlock(inits[1])], expected);
  assert.deepEqual([...new HeaderBlock(inits[2])], expected.slice(0, 2));
  assert.deepEqual([...new HeaderBlock(inits[3])], expected);
  assert.throws(() => new HeaderBlock({ a: {} }), { code: 'BAD_ARGUMENT' });
  const out = new Outbox();
  out.begin(1, 1);
  assert.equal(writeHeaders(out, undefined), 0);
});
