// Bodies that stream: piece by piece, no faster than they are taken, in memory that does not grow with them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import express4 from 'express4';
import express5 from 'express5';

import { Site } from '../support/site.js';
import { ask } from '../support/client.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const LONG_MIB = 256;
/** What a body of that length may add to the memory of the process that streams it. */
const GROWTH_MAX = 96 * MIB;

let site;
let streamer;
before(async () => {
  site = await Site.start();
  await site.run(process.execPath, [fileURLToPath(new URL('../support/streamer.js', import.meta.url)), site.url]);
  streamer = `${site.gateway}/streamer`;
});
after(() => site.stop());

const memory = async () => JSON.parse((await ask(streamer, '/memory')).body);
const get = async (url) => (await once(http.get(url, { agent: false }), 'response'))[0];

function* pieces(mib) {
  const piece = Buffer.alloc(MIB / 16, 'piece ');
  for (let n = 0; n < mib * 16; n++) yield piece;
}

/** Sends a body of so many MiB and gives the response. */
async function send(path, mib) {
  const request = http.request(streamer + path, { method: 'POST', agent: false });
  const response = once(request, 'response');
  pipeline(Readable.from(pieces(mib)), request).catch(() => {});
  return (await response)[0];
}

test('a long body streams down in flat memory', async () => {
  const warm = await get(`${streamer}/down?pieces=160`);
  for await (const chunk of warm) assert.ok(chunk);
  const begin = await memory();
  let bytes = 0;
  for await (const chunk of await get(`${streamer}/down?pieces=${LONG_MIB * 16}`)) bytes += chunk.length;
  assert.equal(bytes, LONG_MIB * MIB);
  const growth = (await memory()) - begin;
  assert.ok(growth < GROWTH_MAX, `${growth} bytes more`);
});

test('a long body streams up in flat memory', async () => {
  await (await send('/up', 10)).toArray();
  const begin = await memory();
  const answer = JSON.parse(Buffer.concat(await (await send('/up', LONG_MIB)).toArray()));
  const hash = createHash('sha256');
  for (const piece of pieces(LONG_MIB)) hash.update(piece);
  assert.deepEqual(answer, { bytes: LONG_MIB * MIB, sha256: hash.digest('hex') });
  const growth = (await memory()) - begin;
  assert.ok(growth < GROWTH_MAX, `${growth} bytes more`);
});

test('a body streams both ways at the same time', async () => {
  const hash = createHash('sha256');
  for await (const chunk of await send('/echo', 32)) hash.update(chunk);
  const expected = createHash('sha256');
  for (const piece of pieces(32)) expected.update(piece);
  assert.equal(hash.digest('hex'), expected.digest('hex'));
});

test('an answer that nobody reads is not written on', async () => {
  const response = await get(`${streamer}/unread`);
  await once(response, 'readable');
  const written = async () => JSON.parse((await ask(streamer, '/written')).body);
  // It comes to rest: socket buffers and windows are full.
  let last = -1;
  await until(async () => {
    const before = last;
    last = await written();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return last > 0 && last === before;
  }, 'rest');
  assert.ok(last < 32 * MIB, `${last} bytes were written`);
  response.destroy();
});

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  test(`${version}: server-sent events arrive one by one`, async () => {
    let send;
    let left = false;
    const app = express().get('/events', (req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
      res.flushHeaders();
      send = (n) => res.write(`id: ${n}\ndata: event ${n}\n\n`);
      req.on('close', () => { left = true; });
    });
    const response = await get(`${await site.overQueue(app)}/events`);
    assert.equal(response.headers['content-type'], 'text/event-stream');
    for (let n = 1; n <= 5; n++) {
      send(n);
      const [chunk] = await once(response, 'data');
      assert.equal(chunk.toString(), `id: ${n}\ndata: event ${n}\n\n`);
    }
    assert.equal(left, false);
    response.destroy();
    await until(() => left, 'close');
  });
}

test('an upload that breaks off is not taken for a whole one', async () => {
  let seen;
  const url = await site.overQueue(async (req, res) => {
    try {
      for await (const chunk of req) assert.ok(chunk);
      seen = 'whole';
      res.end();
    } catch (error) {
      seen = error.code;
    }
  });
  const request = http.request(url, { method: 'POST', agent: false });
  request.on('error', () => {});
  request.write(Buffer.alloc(300_000));
  await until(() => request.socket && request.writableLength === 0, 'the first bytes to leave');
  request.destroy();
  await until(() => seen, 'the end');
  assert.equal(seen, 'ECONNRESET');
});

test('an answer ends the request: what is left of its body does not come', async () => {
  let seen;
  const url = await site.overQueue(async (req, res) => {
    res.end('early');
    try {
      for await (const chunk of req) assert.ok(chunk);
      seen = 'whole';
    } catch (error) {
      seen = error.code;
    }
  });
  const request = http.request(url, { method: 'POST', agent: false });
  request.on('error', () => {});
  request.write(Buffer.alloc(300_000));
  const [response] = await once(request, 'response');
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'early');
  await until(() => seen, 'the end');
  assert.equal(seen, 'ECONNRESET');
  request.destroy();
});

test('an answer of many megabytes in one piece', async () => {
  const finished = [];
  const whole = Buffer.alloc(5 * MIB, 'whole ');
  const [direct, overQueue] = await Promise.all((await site.both(() => (req, res) => {
    res.on('finish', () => finished.push('finish'));
    res.end(whole);
  })).map((url) => ask(url, '/')));
  assert.ok(direct.body.equals(whole));
  assert.ok(overQueue.body.equals(whole));
  assert.equal(overQueue.headers['content-length'], String(whole.length));
  await until(() => finished.length === 2, 'both finishes');
});
