// One process a core: an application in several processes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Site } from '../support/site.js';
import { ask } from '../support/client.js';
import { until } from '../support/until.js';

let site;
before(async () => { site = await Site.start(); });
after(() => site.stop());

test('an application in two processes, of which one dies and comes again', async () => {
  await site.run(process.execPath, [fileURLToPath(new URL('../support/instances.js', import.meta.url)), site.url]);
  const url = `${site.gateway}/several`;
  const answered = async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(url, '/')));
    return new Set(answers.filter(({ status }) => status === 200).map(({ body }) => JSON.parse(body)));
  };
  await until(async () => (await answered()).size === 2, 'answers of both');
  await ask(url, '/die', { method: 'GET' });
  await until(async () => (await answered()).size === 2, 'answers of both again');
});
