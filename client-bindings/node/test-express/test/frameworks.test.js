// Other frameworks, whose applications are Node handlers too.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';

import Fastify from 'fastify';
import Koa from 'koa';

import { Site } from '../support/site.js';
import { askBoth } from '../support/client.js';

let site;
before(async () => { site = await Site.start(); });
after(() => site.stop());

async function same(urls, requests) {
  for (const [path, options, status] of requests) {
    const [direct, overQueue] = await askBoth(urls, path, options);
    assert.equal(direct.status, status, path);
    assert.deepEqual(overQueue, direct, path);
  }
}

test('Koa', async () => {
  const app = new Koa({ proxy: false });
  app.silent = true;
  app.use(async (context, next) => {
    await next();
    context.set('x-after', 'yes');
  });
  app.use(async (context) => {
    if (context.path === '/throw') context.throw(409, 'conflict');
    if (context.path === '/json') context.body = { ip: context.ip, query: context.query };
    if (context.path === '/stream') context.body = (async function* pieces() { yield 'a'; yield 'b'; }());
  });
  const handler = app.callback();
  await same(await site.both(() => handler), [
    ['/json?a=1', {}, 200], ['/throw', {}, 409], ['/none', {}, 404], ['/json', { method: 'HEAD' }, 200],
  ]);
});

test('Fastify', async () => {
  const app = Fastify();
  app.get('/item/:id', async (request) => ({ id: request.params.id, ip: request.ip }));
  app.post('/', { schema: { body: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } } } },
    async (request, reply) => reply.code(201).header('x-n', request.body.n).send(request.body));
  await app.ready();
  const json = { 'content-type': 'application/json' };
  await same(await site.both(() => app.routing), [
    ['/item/4', {}, 200],
    ['/', { method: 'POST', headers: json, body: '{"n":4}' }, 201],
    ['/', { method: 'POST', headers: json, body: '{}' }, 400],
    ['/none', {}, 404],
  ]);
});

test('a server of node:http', async () => {
  const make = () => http.createServer((req, res) => {
    res.writeHead(202, 'Taken', { 'X-Method': req.method });
    res.end(req.url);
  });
  const urls = await site.both(() => {
    const server = make();
    return (req, res) => server.emit('request', req, res);
  });
  await same(urls, [['/a?b', { method: 'PATCH' }, 202]]);
});
