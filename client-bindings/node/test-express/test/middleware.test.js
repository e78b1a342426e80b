// Unchanged middleware: the same application, served by Node's own server and over the queue, answers alike.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import bodyParser from 'body-parser';
import compression from 'compression';
import cookieParser from 'cookie-parser';
import cors from 'cors';
import express4 from 'express4';
import express5 from 'express5';
import { rateLimit } from 'express-rate-limit';
import session from 'express-session';
import { body, matchedData, validationResult } from 'express-validator';
import helmet from 'helmet';
import morgan from 'morgan';
import passport from 'passport';
import { BasicStrategy } from 'passport-http';
import swaggerUi from 'swagger-ui-express';

import { Site } from '../support/site.js';
import { ask, askBoth } from '../support/client.js';
import { until } from '../support/until.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };
const post = (headers, body) => ({ method: 'POST', headers, body });
const long = JSON.stringify({ text: 'ä queue '.repeat(4000) });

/** `requests`: path, options, the status that direct Express gives, and what else must be true of the answer. */
const CASES = [
  {
    name: 'body-parser',
    make(express) {
      const app = express();
      const echo = (req, res) => res.json({ is: Buffer.isBuffer(req.body) ? req.body.toString('hex') : req.body });
      app.post('/json', bodyParser.json(), echo);
      app.post('/form', bodyParser.urlencoded({ extended: true }), echo);
      app.post('/raw', bodyParser.raw({ type: '*/*' }), echo);
      app.post('/text', bodyParser.text(), echo);
      app.post('/own', express.json({ limit: '1kb' }), echo);
      return app;
    },
    requests: [
      ['/json', post(JSON_TYPE, '{"a":[1,{"b":"ü"}]}'), 200, /"b":"ü"/],
      ['/json', post({ ...JSON_TYPE, 'content-encoding': 'gzip' }, gzipSync(long)), 200, /queue/],
      ['/json', post({ ...JSON_TYPE, 'transfer-encoding': 'chunked' }, '{"chunked":true}'), 200, /chunked/],
      ['/json', post(JSON_TYPE, '{"a":'), 400],
      ['/json', post({ ...JSON_TYPE, 'content-encoding': 'gzip' }, 'no gzip'), 400],
      ['/json', post({ ...JSON_TYPE, 'content-encoding': 'unheard' }, '{}'), 415],
      ['/json', post({ 'content-type': 'application/json; charset=klingon' }, '{}'), 415],
      ['/json', post({ 'content-type': 'text/plain' }, '{}'), 200],
      ['/json', post(JSON_TYPE), 200],
      ['/form', post(FORM_TYPE, 'a[b]=1&c=x+y&c=z'), 200, /"b":"1"/],
      ['/form', post({ ...FORM_TYPE, 'content-encoding': 'gzip' }, gzipSync('q=1')), 200, /"q":"1"/],
      ['/raw', post({ 'content-type': 'application/octet-stream' }, Buffer.from([0, 255, 128])), 200, /00ff80/],
      ['/raw', post({ 'content-type': 'x/y', 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(50_000, 7))), 200, /0707/],
      ['/text', post({ 'content-type': 'text/plain; charset=iso-8859-1' }, Buffer.from('\xe4', 'latin1')), 200, /ä/],
      ['/own', post(JSON_TYPE, long), 413],
    ],
  },
  {
    name: 'cors',
    make: (express) => express().use(cors({ origin: /example\.org$/, credentials: true, maxAge: 60 })).get('/', (req, res) => res.send('x')),
    requests: [
      ['/', { headers: { origin: 'https://example.org' } }, 200],
      ['/', { headers: { origin: 'https://example.com' } }, 200],
      ['/', {
        method: 'OPTIONS',
        headers: { origin: 'https://example.org', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-a' },
      }, 204],
    ],
  },
  {
    name: 'helmet',
    make: (express) => express().use(helmet()).get('/', (req, res) => res.send('<p>safe</p>')),
    requests: [['/', {}, 200, /safe/], ['/missing', {}, 404]],
  },
  {
    name: 'compression',
    make(express) {
      const app = express().use(compression({ threshold: 100 }));
      app.get('/long', (req, res) => res.type('text').send('again and '.repeat(1000)));
      app.get('/short', (req, res) => res.send('no'));
      app.get('/stream', (req, res) => {
        res.type('text');
        for (let line = 0; line < 500; line++) res.write(`line ${line}\n`);
        res.flush();
        res.end('last');
      });
      return app;
    },
    requests: [
      ['/long', { headers: { 'accept-encoding': 'gzip' } }, 200],
      ['/long', { headers: { 'accept-encoding': 'br' } }, 200],
      ['/long', { headers: { 'accept-encoding': 'deflate' } }, 200],
      ['/long', {}, 200, /again/],
      ['/long', { method: 'HEAD', headers: { 'accept-encoding': 'gzip' } }, 200],
      ['/short', { headers: { 'accept-encoding': 'gzip' } }, 200, /no/],
      ['/stream', { headers: { 'accept-encoding': 'gzip' } }, 200],
      ['/stream', {}, 200, /line 499/],
    ],
  },
  {
    name: 'cookie-parser',
    make(express) {
      const app = express().use(cookieParser('secret'));
      app.get('/', (req, res) => res.json({ plain: req.cookies, signed: req.signedCookies }));
      app.get('/set', (req, res) => res.cookie('a', '1 2').cookie('b', { c: 3 }, { signed: true, httpOnly: true }).clearCookie('d').end());
      return app;
    },
    requests: [
      ['/', { headers: { cookie: 'a=1%202; j=j:{"x":1}; s=s:v.nonsense' } }, 200, /"a":"1 2"/],
      ['/', { headers: { cookie: ['a=1', 'b=2'] } }, 200],
      ['/set', {}, 200],
    ],
  },
  {
    name: 'express-validator',
    make(express) {
      const app = express().use(express.json());
      app.post('/', body('mail').isEmail().normalizeEmail(), body('age').isInt({ min: 18 }).toInt(), (req, res) => {
        const result = validationResult(req);
        if (!result.isEmpty()) return res.status(422).json(result.array());
        return res.json(matchedData(req));
      });
      return app;
    },
    requests: [
      ['/', post(JSON_TYPE, '{"mail":"A@Example.org","age":"20"}'), 200, /"age":20/],
      ['/', post(JSON_TYPE, '{"mail":"nobody","age":3}'), 422, /age/],
    ],
  },
  {
    name: 'swagger-ui-express',
    make(express) {
      const document = { openapi: '3.0.0', info: { title: 'Shop', version: '1' }, paths: {} };
      return express().use('/docs', swaggerUi.serve, swaggerUi.setup(document));
    },
    requests: [
      ['/docs/', {}, 200, /swagger/i],
      ['/docs/swagger-ui-init.js', {}, 200, /Shop/],
      ['/docs/swagger-ui.css', {}, 200],
      ['/docs/swagger-ui-bundle.js', { headers: { range: 'bytes=100-299' } }, 206],
      ['/docs/favicon-32x32.png', {}, 200],
    ],
  },
  {
    name: 'passport with HTTP Basic',
    make(express) {
      const own = new passport.Passport();
      own.use(new BasicStrategy((name, password, done) => done(null, password === 'sesame' && { name })));
      const app = express().use(own.initialize());
      app.get('/', own.authenticate('basic', { session: false }), (req, res) => res.json(req.user));
      return app;
    },
    requests: [
      ['/', {}, 401],
      ['/', { headers: { authorization: `Basic ${btoa('ali:sesame')}` } }, 200, /ali/],
      ['/', { headers: { authorization: `Basic ${btoa('ali:wrong')}` } }, 401],
    ],
  },
  {
    name: 'errors, redirects and no route',
    make(express) {
      const app = express();
      app.get('/throw', () => { throw Object.assign(new Error('teapot'), { status: 418, expose: true }); });
      app.get('/later', (req, res, next) => setImmediate(next, Object.assign(new Error('late'), { status: 503 })));
      app.get('/go', (req, res) => res.redirect('/there?a=1'));
      app.get('/nothing', (req, res) => res.status(204).send('ignored'));
      app.get('/same', (req, res) => res.send('etag'));
      app.use((error, req, res, next) => { res.status(error.status).send(error.message); });
      return app;
    },
    requests: [
      ['/throw', {}, 418, /teapot/],
      ['/later', {}, 503, /late/],
      ['/go', {}, 302],
      ['/nothing', {}, 204],
      ['/same', { headers: { 'if-none-match': 'W/"4-K9BvzfLP4YOvQTOZDSVTmJ8zx2M"' } }, 200],
      ['/same', { method: 'HEAD' }, 200],
      ['/missing', { method: 'DELETE' }, 404],
    ],
  },
];

let site;
before(async () => { site = await Site.start(); });
after(() => site.stop());

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  describe(version, () => {
    for (const { name, make, requests } of CASES) {
      test(name, async () => {
        const urls = await site.both(() => make(express));
        for (const [path, options, status, content] of requests) {
          const [direct, overQueue] = await askBoth(urls, path, options);
          assert.equal(direct.status, status, `${path}: ${direct.body.slice(0, 200)}`);
          if (content) assert.match(Buffer.from(direct.body, 'latin1').toString(), content);
          assert.deepEqual(overQueue, direct, path);
        }
      });
    }

    test('a fresh answer is not sent again', async () => {
      const urls = await site.both(() => express().get('/', (req, res) => res.send('fresh')));
      const { headers: { etag } } = await ask(urls[0], '/');
      const [direct, overQueue] = await askBoth(urls, '/', { headers: { 'if-none-match': etag } });
      assert.equal(direct.status, 304);
      assert.deepEqual(overQueue, direct);
    });

    test('express-session', async () => {
      const make = () => {
        let made = 0;
        const app = express().use(session({
          secret: 'secret', resave: false, saveUninitialized: false, genid: () => `session-${++made}`,
        }));
        app.get('/', (req, res) => {
          req.session.views = (req.session.views ?? 0) + 1;
          res.json(req.session.views);
        });
        app.get('/out', (req, res) => req.session.destroy(() => res.send('bye')));
        return app;
      };
      const urls = await site.both(make);
      const [first] = await askBoth(urls, '/');
      const cookie = first.fields.find((field) => field.startsWith('set-cookie:')).slice(12).split(';')[0];
      for (const [path, body] of [['/', '2'], ['/', '3'], ['/out', 'bye'], ['/', '1']]) {
        const [direct, overQueue] = await askBoth(urls, path, { headers: { cookie } });
        assert.equal(direct.body, body);
        assert.deepEqual(overQueue, direct);
      }
    });

    test('express-rate-limit', async () => {
      const make = () => express()
        .use(rateLimit({ windowMs: 3_600_000, limit: 2, standardHeaders: 'draft-8', legacyHeaders: true }))
        .get('/', (req, res) => res.send('in'));
      const urls = await site.both(make);
      // Seconds until the window ends depend on when it began.
      const still = (answer) => ({
        ...answer,
        fields: answer.fields.map((field) => field.replace(/(t=|reset: |retry-after: )\d+/, '$1')),
      });
      for (const status of [200, 200, 429]) {
        const [direct, overQueue] = await askBoth(urls, '/');
        assert.equal(direct.status, status);
        assert.deepEqual(still(overQueue), still(direct));
      }
    });

    test('morgan', async () => {
      const lines = { direct: [], queue: [] };
      const make = (into) => express()
        .use(morgan(':remote-addr :method :url HTTP/:http-version :status :res[content-length] :referrer :user-agent',
          { stream: { write: (line) => into.push(line) } }))
        .get('/hello', (req, res) => res.send('hello'));
      const urls = [await site.direct(make(lines.direct)), await site.overQueue(make(lines.queue))];
      const headers = { 'user-agent': 'tester', referer: 'http://example.org/' };
      for (const path of ['/hello?a=1', '/none']) await askBoth(urls, path, { headers });
      await until(() => lines.direct.length === 2 && lines.queue.length === 2, 'a line for each request');
      assert.match(lines.direct[0], /^127\.0\.0\.1 GET \/hello\?a=1 HTTP\/1\.1 200 5 http:\/\/example.org\/ tester$/m);
      assert.deepEqual(lines.queue, lines.direct);
    });
  });
}
