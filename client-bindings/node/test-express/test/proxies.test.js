// Behind proxies that the gateway trusts an application sees what it would see without the gateway.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import express4 from 'express4';
import express5 from 'express5';

import { Site } from '../support/site.js';
import { ask, askBoth } from '../support/client.js';

let site;
before(async () => { site = await Site.start({ gateway: ['--trust-proxy', '127.0.0.0/8'] }); });
after(() => site.stop());

const about = (req, res) => res.json({
  ip: req.ip, ips: req.ips, protocol: req.protocol, secure: req.secure, hostname: req.hostname,
  remote: req.socket.remoteAddress, encrypted: req.socket.encrypted === true, chain: req.headers['x-forwarded-for'],
});

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  test(`${version}: \`trust proxy\` decides`, async () => {
    for (const trust of [false, true, 1, 2, 'loopback']) {
      const make = () => express().set('trust proxy', trust).get('/', about);
      const urls = await site.both(make);
      for (const headers of [
        {},
        { 'x-forwarded-for': '203.0.113.7' },
        { 'x-forwarded-for': '203.0.113.7, 198.51.100.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'shop.example.org' },
      ]) {
        // The host that both are asked for is the same.
        const [direct, overQueue] = await askBoth(urls, '/', { headers: { host: 'inner.example.org', ...headers } });
        assert.equal(direct.status, 200);
        assert.deepEqual(overQueue, direct, `${trust} ${JSON.stringify(headers)}`);
      }
    }
  });
}

test('what the gateway makes of it is there to be asked for', async () => {
  const url = await site.overQueue((req, res) => {
    const told = (name) => req.verteilt.headers.get(name);
    res.end(`${told(':scheme')} ${told(':remote')}`);
  });
  const answer = await ask(url, '/', { headers: { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https' } });
  assert.match(answer.body.toString(), /^https 203\.0\.113\.7/);
});
