// The objects that handlers get: those of node:http, with the events in its order.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { finished } from 'node:stream/promises';

import { connect } from 'verteilt';

import { Site } from '../support/site.js';
import { ask, askBoth } from '../support/client.js';
import { until } from '../support/until.js';

let site;
before(async () => { site = await Site.start(); });
after(() => site.stop());

/** Asks the same both ways of a handler, whose `log` must be the same, too. */
async function alike(make, path = '/', options = {}) {
  const logs = [];
  const handlers = [0, 1].map((way) => {
    logs[way] = [];
    return make((...line) => logs[way].push(line.join(' ')));
  });
  const urls = [await site.direct(handlers[0]), await site.overQueue(handlers[1])];
  const [direct, overQueue] = await askBoth(urls, path, options);
  assert.deepEqual(overQueue, direct);
  await until(() => logs[0].length === logs[1].length, 'the same number of events');
  // What still comes would come in the next turns.
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.deepEqual(logs[1], logs[0]);
  return { answer: overQueue, log: logs[1] };
}

const EVENTS = { req: ['data', 'end', 'close', 'aborted', 'error'], res: ['prefinish', 'finish', 'close', 'error', 'drain'] };

function watch(log, req, res) {
  for (const event of EVENTS.req) req.on(event, () => log('req', event));
  for (const event of EVENTS.res) res.on(event, () => log('res', event));
}

test('objects of node:http', async () => {
  let seen;
  const url = await site.overQueue((req, res) => {
    seen = {
      message: req instanceof http.IncomingMessage,
      response: res instanceof http.ServerResponse,
      version: req.httpVersion,
      socket: req.socket === res.socket && req.connection === req.socket,
      remote: [req.socket.remoteAddress, req.socket.remoteFamily, typeof req.socket.remotePort],
      encrypted: req.socket.encrypted,
      readable: req.socket.readable,
      complete: req.complete,
      url: req.url,
      method: req.method,
      host: req.headers.host,
      lists: req.headersDistinct['x-list'],
      joined: req.headers['x-list'],
      context: req.verteilt.remainingMs() > 0,
    };
    res.end();
  });
  await ask(url, '/a%20b?c=d', { headers: { 'x-list': ['1', '2'], host: 'shop.example.org:81' } });
  assert.deepEqual(seen, {
    message: true, response: true, version: '1.1', socket: true, remote: ['127.0.0.1', 'IPv4', 'number'], encrypted: false,
    readable: true, complete: true, url: '/a%20b?c=d', method: 'GET', host: 'shop.example.org:81', lists: ['1', '2'],
    joined: '1, 2', context: true,
  });
});

test('events of an answer that is there at once', async () => {
  const { log } = await alike((log) => (req, res) => {
    watch(log, req, res);
    req.resume();
    req.on('end', () => res.end('done', () => log('written')));
  }, '/', { method: 'POST', body: 'some' });
  assert.deepEqual(log, ['req data', 'req end', 'res prefinish', 'res finish', 'written', 'res close', 'req close']);
});

test('events of a request whose body nobody reads', async () => {
  await alike((log) => (req, res) => {
    for (const event of ['finish', 'close']) res.on(event, () => log('res', event));
    req.on('end', () => log('req end'));
    res.end('unread');
  }, '/', { method: 'POST', body: Buffer.alloc(100_000) });
});

test('answers without a body', async () => {
  for (const status of [204, 304]) {
    await alike(() => (req, res) => {
      res.statusCode = status;
      res.setHeader('etag', '"1"');
      res.end('not sent');
    });
  }
  await alike(() => (req, res) => {
    res.setHeader('content-length', 5);
    res.end('12345');
  }, '/', { method: 'HEAD' });
});

test('headers in all their forms', async () => {
  const forms = [
    (res) => res.writeHead(200, { 'X-One': 'a', 'Set-Cookie': ['a=1', 'b=2'] }),
    (res) => res.writeHead(200, 'Fine', ['X-Flat', '1', 'X-Flat', '2']),
    (res) => res.setHeader('X-A', '1').setHeader('X-B', ['2', '3']).writeHead(203, { 'X-A': 'over' }),
    (res) => res.appendHeader('X-A', '1').appendHeader('X-A', '2').removeHeader('X-B'),
    (res) => res.setHeader('X-Latin', 'caf\xe9'),
    (res) => { res.sendDate = false; },
    (res) => { res.writeContinue(); res.writeProcessing(); res.setHeader('X-After', 'hints'); },
  ];
  for (const form of forms) {
    for (const body of ['text', Buffer.from('bytes')]) {
      await alike((log) => (req, res) => {
        form(res);
        log(JSON.stringify(res.getHeaders()), res.headersSent);
        res.end(body);
        log(res.headersSent, res.writableEnded);
      });
    }
  }
});

test('misuse fails as it does with a socket', async () => {
  await alike((log) => (req, res) => {
    const attempt = (what) => { try { what(); } catch (error) { log(error.code); } };
    res.on('error', (error) => log('error', error.code));
    attempt(() => res.setHeader('bad name', '1'));
    attempt(() => res.setHeader('x', 'a\nb'));
    attempt(() => res.writeHead(1000));
    res.write('a');
    attempt(() => res.setHeader('late', '1'));
    attempt(() => res.writeHead(200));
    attempt(() => res.write(5));
    res.end('b');
    res.write('after the end', (error) => log('written', error.code));
  });
});

test('a head that is flushed arrives before its body', async () => {
  let finish;
  const url = await site.overQueue((req, res) => {
    res.writeHead(201, { 'x-early': 'yes' });
    res.flushHeaders();
    finish = () => res.end('late');
  });
  const request = http.get(url, { agent: false });
  const [response] = await once(request, 'response');
  assert.deepEqual([response.statusCode, response.headers['x-early']], [201, 'yes']);
  finish();
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'late');
});

test('a handler that fails', async () => {
  const errors = [];
  const onError = (error) => errors.push(error.message);
  const thrown = await site.overQueue(() => { throw new Error('thrown'); }, { onError });
  const rejected = await site.overQueue(async () => { throw new Error('rejected'); }, { onError });
  const destroyed = await site.overQueue((req, res) => res.destroy(new Error('destroyed')), { onError });
  for (const url of [thrown, rejected, destroyed]) {
    const { status, body } = await ask(url, '/');
    assert.equal(status, 500);
    assert.doesNotMatch(body.toString(), /thrown|rejected|destroyed/);
  }
  assert.deepEqual(errors, ['thrown', 'rejected', 'destroyed']);
});

test('headers that are too large fail their request only', async () => {
  const errors = [];
  const url = await site.overQueue((req, res) => {
    if (req.url !== '/small') res.setHeader('x-large', 'x'.repeat(70_000));
    if (req.url === '/stream') res.write('piece');
    else res.end('whole');
  }, { onError: (error) => errors.push(error.code) });
  assert.equal((await ask(url, '/whole')).status, 500);
  assert.equal((await ask(url, '/stream')).status, 500);
  assert.equal((await ask(url, '/small')).body.toString(), 'whole');
  assert.deepEqual(errors, ['HEADERS_TOO_LARGE', 'HEADERS_TOO_LARGE']);
});

test('a response that breaks off is not taken for a whole one', async () => {
  let response;
  const url = await site.overQueue((req, res) => {
    res.write('half');
    response = res;
  });
  const request = http.get(url, { agent: false });
  const [answer] = await once(request, 'response');
  await once(answer, 'data');
  response.destroy();
  await assert.rejects(answer.toArray(), { code: 'ECONNRESET' });
});

test('a client that leaves aborts the request', async () => {
  const logs = [];
  let reason;
  const make = (log) => (req, res) => {
    for (const event of ['end', 'close', 'aborted']) req.on(event, () => log.push(`req ${event} ${req.destroyed}`));
    req.on('error', (error) => log.push(`req error ${error.code} ${error.message}`));
    for (const event of ['finish', 'close', 'error']) res.on(event, () => log.push(`res ${event} ${res.destroyed}`));
    req.socket.on('close', () => log.push('socket close'));
    req.verteilt?.signal.addEventListener('abort', () => { reason = req.verteilt.signal.reason; });
    log.arrived = true;
  };
  for (const way of ['direct', 'overQueue']) {
    const log = [];
    logs.push(log);
    const request = http.get(await site[way](make(log)), { agent: false });
    request.on('error', () => {});
    await until(() => log.arrived, 'the request');
    request.destroy();
    await until(() => log.length >= 5, 'all events');
  }
  assert.ok(logs[0].includes('req error ECONNRESET aborted'), logs[0].join());
  assert.deepEqual([...logs[1]], [...logs[0]]);
  assert.equal(reason.code, 'CANCELLED');
});

test('a client that leaves in the middle of an answer closes it', async () => {
  let closed = false;
  const url = await site.overQueue((req, res) => {
    const timer = setInterval(() => res.write('tick\n'), 5);
    res.on('close', () => {
      clearInterval(timer);
      closed = res.destroyed && !res.writableFinished;
    });
  });
  const request = http.get(url, { agent: false });
  const [response] = await once(request, 'response');
  await once(response, 'data');
  request.destroy();
  await until(() => closed, 'close');
});

test('stream.finished works on both', async () => {
  const done = [];
  const url = await site.overQueue((req, res) => {
    finished(res).then(() => done.push('res'));
    finished(req.resume()).then(() => done.push('req'));
    res.end('x');
  });
  await ask(url, '/', { method: 'POST', body: 'y' });
  await until(() => done.length === 2, 'both ends');
});

test('a timeout of the socket is told to whoever listens', async () => {
  const url = await site.overQueue((req, res) => {
    req.setTimeout(5, () => {
      res.statusCode = 408;
      res.end('too slow');
    });
  });
  assert.equal((await ask(url, '/')).status, 408);
});

test('what one request enters in AsyncLocalStorage does not reach another', async () => {
  const storage = new AsyncLocalStorage();
  const url = await site.overQueue((req, res) => {
    const before = storage.getStore();
    storage.enterWith(req.url);
    setImmediate(() => res.end(`${before} ${storage.getStore()}`));
  });
  const answers = await Promise.all([1, 2, 3, 4].map((n) => ask(url, `/${n}`)));
  assert.deepEqual(answers.map(({ body }) => body.toString()), ['undefined /1', 'undefined /2', 'undefined /3', 'undefined /4']);
});

test('another service asks without a gateway, and a handler asks another service', async () => {
  const client = await connect(site.url);
  await site.overQueue((req, res) => res.end(`${req.method} ${req.url} ${req.socket.remoteAddress}`), { service: 'inner' });
  await site.overQueue(async (req, res) => {
    const answer = await req.verteilt.call('inner', { endpoint: 'GET /items/4?full=1' });
    res.end(await answer.body.text());
  }, { service: 'outer' });
  const answer = await client.request('outer', { endpoint: 'POST /' });
  assert.equal(await answer.body.text(), 'GET /items/4?full=1 undefined');
  await client.close();
});
