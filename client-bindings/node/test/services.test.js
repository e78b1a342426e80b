'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test, before, after } = require('node:test');
const { connect } = require('../lib/index.js');
const { startBroker, within, until } = require('./broker');

let broker;
let client;
let other;
before(async () => {
  broker = await startBroker();
  client = await connect(broker.url, { name: 'worker' });
  other = await connect(broker.url, { name: 'caller' });
});
after(async () => {
  await client.close();
  await other.close();
  await broker.remove();
});

/** Serves until the test is over. */
async function serve(t, name, options, handler) {
  const service = await client.serve(name, options, handler);
  t.after(() => service.close());
  return service;
}

/** A promise and how to end it. */
function gate() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

test('a request goes there and back with its headers', async (t) => {
  await serve(t, 'echo', { version: '2', endpoints: ['say'] }, async (request) => {
    assert.equal(request.service, 'echo');
    assert.equal(request.version, '2');
    assert.equal(request.endpoint, 'say');
    assert.equal(request.forwards, 0);
    assert.equal(request.gatewayId, other.gatewayId);
    assert.ok(request.remainingMs() > 4000 && request.remainingMs() <= 5000);
    const name = request.headers.get('X-NAME');
    await request.reply(201, [['a', '1'], ['a', '2'], ['id', request.id]], `hello ${name} ${await request.body.text()}`);
  });
  const id = 'ab'.repeat(16);
  const options = { endpoint: 'say', version: '2', headers: { 'x-name': 'ü' }, body: 'body', deadlineMs: 5000, id };
  const response = await other.request('echo', options);
  assert.equal(response.status, 201);
  assert.equal(response.requestId, id);
  assert.deepEqual([...response.headers], [['a', '1'], ['a', '2'], ['id', id]]);
  assert.equal(await response.body.text(), 'hello ü body');
  await assert.rejects(other.request('echo', { version: '3' }), { code: 'NO_WORKER', number: 312, retryable: true });
});

test('what a handler returns is the answer; what it throws stays here', async (t) => {
  const failures = [];
  const onError = (error, request) => failures.push([error.message, request.endpoint]);
  await serve(t, 'returns', { onError }, (request) => {
    if (request.endpoint === 'sync') return { headers: { a: 'b' }, body: 'sync' };
    if (request.endpoint === 'throws') throw new Error('secret');
    if (request.endpoint === 'rejects') return Promise.reject(new Error('secret'));
    if (request.endpoint === 'headers') return { headers: { a: 'x'.repeat(70000) } };
    if (request.endpoint === 'large head') {
      request.replyStart(200, { a: 'x'.repeat(70000) }).end('body');
      return undefined;
    }
    if (request.endpoint === 'begins') {
      request.replyStart(200, {});
      throw new Error('begun');
    }
    return undefined;
  });
  const sync = await other.request('returns', { endpoint: 'sync' });
  assert.deepEqual([sync.status, sync.headers.get('a'), await sync.body.text()], [200, 'b', 'sync']);
  for (const endpoint of ['throws', 'rejects', 'headers', 'large head', 'begins', 'nothing']) {
    const response = await other.request('returns', { endpoint });
    assert.equal(response.status, 500, endpoint);
    assert.equal(response.headers.get('verteilt-error'), 'handler failed');
    assert.equal(await response.body.text(), '');
  }
  assert.deepEqual(failures.map(([, endpoint]) => endpoint), ['throws', 'rejects', 'headers', 'large head', 'begins', 'nothing']);
  assert.equal(failures[0][0], 'secret');
});

test('a request is answered once', async (t) => {
  const seen = gate();
  await serve(t, 'once', {}, async (request) => {
    await request.reply(200, undefined, 'first');
    seen.resolve([
      await request.reply(200).catch((error) => error.code),
      await request.forward('once').catch((error) => error.code),
      request.replied,
    ]);
  });
  const response = await other.request('once');
  assert.equal(await response.body.text(), 'first');
  assert.deepEqual(await within(seen.promise, 'the second reply'), ['ALREADY_REPLIED', 'ALREADY_REPLIED', true]);
});

test('large bodies go in parts, both ways', async (t) => {
  await serve(t, 'large', {}, async (request) => request.reply(200, { a: 'b' }, await request.body.bytes()));
  const body = Buffer.alloc(5 * 1024 * 1024, 'abcdefghi');
  const response = await other.request('large', { body, headers: { some: 'header' } });
  assert.ok(body.equals(await response.body.bytes()));
  const text = 'é'.repeat(800000);
  assert.equal(await (await other.request('large', { body: text })).body.text(), text);
});

test('streams go piece by piece in both directions at once', async (t) => {
  await serve(t, 'pieces', {}, async (request) => {
    const out = request.replyStart(200, { kind: 'stream' });
    for await (const chunk of request.body) await out.write(`<${chunk}>`);
    await out.end('.');
  });
  let heard = gate();
  async function* talk() {
    for (const word of ['one', 'two', 'three']) {
      yield word;
      // The next word is said when this one has come back.
      await within(heard.promise, word);
      heard = gate();
    }
  }
  const response = await other.request('pieces', { body: talk() });
  const pieces = [];
  for await (const chunk of response.body) {
    pieces.push(chunk.toString());
    heard.resolve();
  }
  assert.equal(pieces.join(''), '<one><two><three>.');
});

test('nobody is sent more than he reads', async (t) => {
  let written = 0;
  const stopped = gate();
  await serve(t, 'endless', {}, async (request) => {
    const out = request.replyStart(200);
    while (await out.write(Buffer.alloc(10000, 'x'))) written += 10000;
    stopped.resolve(request.signal.reason.code);
  });
  const response = await other.request('endless');
  await until('the window is full', () => written >= 64 * 1024);
  const filled = written;
  // One more request there and back: whatever the worker could send it has sent by then.
  await assert.rejects(other.request('nobody'), { code: 'NO_WORKER' });
  assert.ok(written < 512 * 1024 && written >= filled);
  let read = 0;
  for await (const chunk of response.body) {
    read += chunk.length;
    if (read > 1024 * 1024) break;
  }
  assert.equal(await within(stopped.promise, 'the end of the writer'), 'CANCELLED');
});

test('a body that breaks off is an error for who reads it', async (t) => {
  const seen = gate();
  await serve(t, 'breaks', { onError() {} }, async (request) => {
    if (request.endpoint === 'out') {
      const out = request.replyStart(200);
      await out.write('begin');
      // The head leaves with this turn, the break after it.
      await new Promise(setImmediate);
      out.fail();
      return;
    }
    await request.body.bytes().catch((error) => seen.resolve(error.code));
    await request.reply(400);
  });
  const response = await other.request('breaks', { endpoint: 'out' });
  await assert.rejects(response.body.bytes(), { code: 'BODY_BROKEN' });
  async function* broken() {
    yield 'begin';
    throw new Error('gone');
  }
  await assert.rejects(other.request('breaks', { body: broken() }), { code: 'BODY_BROKEN' });
  assert.equal(await within(seen.promise, 'the worker to notice'), 'BODY_BROKEN');
});

test('a caller that goes, and a deadline, end the handler\'s signal', async (t) => {
  let reasons = gate();
  let calls = 0;
  await serve(t, 'slow', {}, async (request) => {
    calls += 1;
    await once(request.signal, 'abort');
    request.onCancel((error) => reasons.resolve([request.signal.reason.code, error.code]));
    assert.equal(await request.reply(200), false);
  });
  const aborter = new AbortController();
  const request = other.request('slow', { signal: aborter.signal });
  await until('it runs', () => calls === 1);
  aborter.abort(new Error('changed my mind'));
  await assert.rejects(request, /changed my mind/);
  assert.deepEqual(await within(reasons.promise, 'the cancel'), ['CANCELLED', 'CANCELLED']);
  reasons = gate();
  await assert.rejects(other.request('slow', { deadlineMs: 50 }), (error) => {
    assert.equal(error.code, 'DEADLINE_EXCEEDED');
    assert.equal(error.holder.service, 'slow');
    return true;
  });
  assert.deepEqual(await within(reasons.promise, 'the deadline'), ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED']);
  await assert.rejects(other.request('slow', { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('a forwarded request keeps its id, its caller and its body', async (t) => {
  const rest = Buffer.alloc(2 * 1024 * 1024, 'r');
  async function* body() {
    yield rest;
  }
  await serve(t, 'front', {}, async (request) => {
    if (request.endpoint === 'refused') {
      await assert.rejects(request.forward('nobody'), { code: 'NO_WORKER' });
      return { status: 418, body: await request.body.bytes() };
    }
    if (request.endpoint === 'read') {
      const upper = (await request.body.text()).toUpperCase();
      await request.forward('back', { body: upper, headers: { by: 'front' }, endpoint: 'other' });
    } else {
      await request.forward('back');
    }
    return undefined;
  });
  await serve(t, 'back', {}, async (request) => {
    const { id, forwards, endpoint } = request;
    return { headers: { id, forwards, endpoint, by: request.headers.get('by') ?? '' }, body: await request.body.bytes() };
  });
  const straight = await other.request('front', { endpoint: 'straight', body: body(), headers: { by: 'caller' } });
  assert.equal(straight.headers.get('id'), straight.requestId);
  assert.deepEqual(['forwards', 'endpoint', 'by'].map((name) => straight.headers.get(name)), ['1', 'straight', 'caller']);
  assert.ok(rest.equals(await straight.body.bytes()));
  const read = await other.request('front', { endpoint: 'read', body: 'word' });
  assert.deepEqual([read.headers.get('by'), read.headers.get('endpoint'), await read.body.text()], ['front', 'other', 'WORD']);
  const refused = await other.request('front', { endpoint: 'refused', body: 'mine' });
  assert.deepEqual([refused.status, await refused.body.text()], [418, 'mine']);
});

test('a call has its parent\'s deadline, and ends with it', async (t) => {
  const ended = gate();
  await serve(t, 'parent', {}, async (request) => {
    const response = await request.call('child', { endpoint: request.endpoint, deadlineMs: 20000 });
    return { headers: { parent: request.id }, body: await response.body.text() };
  });
  await serve(t, 'child', {}, async (request) => {
    if (request.endpoint === 'wait') {
      request.onCancel((error) => ended.resolve(error.code));
      await ended.promise;
      return undefined;
    }
    return { body: JSON.stringify({ left: request.remainingMs() }) };
  });
  const response = await other.request('parent', { deadlineMs: 3000 });
  const { left } = await response.body.json();
  assert.ok(left <= 3000, `${left}`);
  const [own, made] = await other.trace(response.requestId);
  assert.deepEqual(own.steps.map((step) => step.kind), ['accepted', 'started', 'replied', 'ended']);
  assert.equal(made.parentRequestId, response.requestId);
  const aborter = new AbortController();
  const request = other.request('parent', { endpoint: 'wait', signal: aborter.signal });
  await until('the child runs', async () => (await other.services({ service: 'child' }))[0].instances[0].inFlight === 1);
  aborter.abort();
  await assert.rejects(request, { name: 'AbortError' });
  assert.equal(await within(ended.promise, 'the end of the child'), 'CANCELLED');
});

test('no more than `concurrency` at one time; health holds requests back', async (t) => {
  let running = 0;
  let most = 0;
  const service = await serve(t, 'narrow', { concurrency: 3, instance: 'a', metadata: { zone: 'b' } }, async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    return {};
  });
  await Promise.all(Array.from({ length: 50 }, () => other.request('narrow')));
  assert.ok(most > 1 && most <= 3, `${most}`);
  const [{ instances: [stats] }] = await other.services({ service: 'narrow' });
  assert.deepEqual([stats.instance, stats.health, stats.replies[1], stats.metadata], ['a', 'healthy', 50, [['zone', 'b']]]);
  await service.setHealth('unhealthy');
  await assert.rejects(other.request('narrow'), { code: 'NO_WORKER' });
  await service.setHealth('healthy');
  assert.equal((await other.request('narrow')).status, 200);
});

test('a service that drains finishes what it has and tells the others', async () => {
  const open = gate();
  let calls = 0;
  const service = await client.serve('drains', { concurrency: 2 }, async (request) => {
    calls += 1;
    if (request.endpoint === 'ends') await open.promise;
    else await once(request.signal, 'abort');
    return {};
  });
  const ends = other.request('drains', { endpoint: 'ends' });
  const hangs = other.request('drains', { endpoint: 'hangs' });
  await until('both run', () => calls === 2);
  const drained = service.drain({ graceMs: 300 });
  await until('it is gone', () => other.request('drains').then(() => false, (error) => error.code === 'NO_WORKER'));
  open.resolve();
  assert.equal((await ends).status, 200);
  assert.equal(await drained, 1);
  const stopped = await hangs;
  assert.equal(stopped.status, 503);
  assert.equal(stopped.headers.get('verteilt-error'), 'worker is stopping');
  assert.equal(await service.ended, null);
});

test('a signal drains its service', async () => {
  const aborter = new AbortController();
  const service = await client.serve('by-signal', { signal: aborter.signal }, () => ({}));
  assert.equal((await other.request('by-signal')).status, 200);
  aborter.abort();
  assert.equal(await within(service.ended, 'the end of the service'), null);
  await assert.rejects(other.request('by-signal'), { code: 'NO_WORKER' });
});

test('wrong arguments are refused here', async () => {
  for (const [name, options] of [
    ['UPPER', {}], ['', {}], ['ok', { deadlineMs: 0 }], ['ok', { endpoint: 'x'.repeat(201) }], ['ok', { body: 5 }],
    ['ok', { headers: { a: null } }], ['ok', { id: 'short' }], ['ok', { durability: 'stone' }],
  ]) {
    await assert.rejects(client.request(name, options), (error) => /^BAD_/.test(error.code), JSON.stringify([name, options]));
  }
  await assert.rejects(client.serve('ok', { concurrency: 0 }, () => {}), { code: 'BAD_ARGUMENT' });
  await assert.rejects(client.serve('ok', {}, 'no function'), { code: 'BAD_ARGUMENT' });
  await assert.rejects(connect('http://localhost'), { code: 'ADDRESS' });
  await assert.rejects(connect('verteilt://127.0.0.1:1'), { code: 'CONNECT', retryable: true });
});

test('thousands at once, each gets its own answer', async (t) => {
  await serve(t, 'many', { concurrency: 500 }, async (request) => {
    if (request.firstChunk[0] % 2) await new Promise(setImmediate);
    return { body: request.firstChunk };
  });
  const answers = await Promise.all(Array.from({ length: 5000 }, async (_, i) => (await other.request('many', { body: `${i}` })).body.text()));
  answers.forEach((answer, i) => assert.equal(answer, `${i}`));
});

test('a request of durability disk is kept, served once, and its result can be asked for', async (t) => {
  const id = 'cd'.repeat(16);
  const options = { durability: 'disk', body: 'x', headers: { a: 'b' }, id };
  const waiting = other.request('kept', options);
  // Nobody serves it yet, and the broker is killed with it.
  await until('it is accepted', () => other.result(id).then(({ state }) => state === 'pending', (error) => error.code !== 'REQUEST_UNKNOWN'));
  const { requestId, known } = await other.detach('kept', { body: 'y', headers: { a: 'c' } });
  assert.equal(known, false);
  await broker.restart();
  let runs = 0;
  await serve(t, 'kept', {}, async (request) => {
    runs += 1;
    assert.ok(request.attempt >= 1);
    return { status: 202, headers: { a: request.headers.get('a') }, body: await request.body.text() };
  });
  const response = await within(waiting, 'the answer');
  assert.deepEqual([response.status, response.headers.get('a'), await response.body.text()], [202, 'b', 'x']);
  const result = await other.result(requestId, { waitMs: 10000 });
  assert.deepEqual([result.state, result.status, result.headers.get('a'), await result.body.text()], ['replied', 202, 'c', 'y']);
  const again = await other.request('kept', options);
  assert.deepEqual([again.replayed, await again.body.text(), runs], [true, 'x', 2]);
  await assert.rejects(other.request('kept', { ...options, body: 'z' }), { code: 'REQUEST_MISMATCH' });
  await assert.rejects(other.result('ef'.repeat(16)), { code: 'REQUEST_UNKNOWN' });
  await assert.rejects(other.request('kept', { ...options, body: Buffer.alloc(2000000) }), { code: 'BODY_TOO_LARGE' });
});

test('a service lives through a restart of the broker, requests in flight do not', async () => {
  const begun = gate();
  const reason = gate();
  let hangs = true;
  const service = await client.serve('lives', {}, async (request) => {
    if (!hangs) return { body: 'again' };
    begun.resolve();
    request.onCancel((error) => reason.resolve(error.code));
    await reason.promise;
    return undefined;
  });
  const lost = other.request('lives');
  lost.catch(() => {});
  await begun.promise;
  const back = [once(client, 'connected'), once(other, 'connected')];
  await broker.restart();
  await assert.rejects(within(lost, 'the lost request'), { code: 'REQUEST_LOST', retryable: true });
  assert.equal(await within(reason.promise, 'the lost lease'), 'REQUEST_LOST');
  await within(Promise.all(back), 'the connections');
  hangs = false;
  const response = await until('it is served again', () => other.request('lives').catch((error) => {
    assert.equal(error.code, 'NO_WORKER');
    return null;
  }));
  assert.equal(await response.body.text(), 'again');
  await service.close();
});
