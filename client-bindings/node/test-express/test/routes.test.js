// Routes that a service finds in a folder.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import express4 from 'express4';
import express5 from 'express5';
import { loadRoutes } from 'verteilt';

import { Site } from '../support/site.js';
import { ask } from '../support/client.js';

const folder = fileURLToPath(new URL('../fixtures/routes', import.meta.url));

let site;
before(async () => { site = await Site.start(); });
after(() => site.stop());

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  test(`${version}: every file of the folder is mounted`, async () => {
    const app = express();
    const context = { name: 'catalog', prices: { 4: 250 } };
    const routes = await loadRoutes(app, folder, { Router: express.Router, context });
    assert.deepEqual(routes.map((route) => route.constructor.name), ['Health', 'Items']);
    const url = await site.overQueue(app);
    assert.equal((await ask(url, '/health')).body.toString(), 'catalog');
    assert.deepEqual(JSON.parse((await ask(url, '/items/4')).body), { id: '4', price: 250 });
  });
}

test('a file without a class is named', async () => {
  const empty = await mkdtemp(path.join(tmpdir(), 'verteilt-routes-'));
  await writeFile(path.join(empty, 'broken.cjs'), 'module.exports = { get() {} };');
  await assert.rejects(loadRoutes(express5(), empty, { Router: express5.Router }), /broken\.cjs exports no class/);
  await rm(empty, { recursive: true });
});
