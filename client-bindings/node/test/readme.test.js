'use strict';

// The examples of the README, as they stand there, against a broker.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { startBroker } = require('./broker');

const FOLDER = path.join(__dirname, '..');

test('the examples of the README run and print what they say', async () => {
  const readme = fs.readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
  const [first, ...others] = [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
  assert.ok(others.length >= 4);
  const broker = await startBroker();
  try {
    const code = [first.replace('verteilt://127.0.0.1:7450', broker.url), ...others.map((block) => `{\n${block}}\n`), 'await client.close();\n'];
    const flags = ['--input-type=module', '--eval', code.join('')];
    const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd: FOLDER, timeout: 20000 });
    const expected = [...code.join('').matchAll(/\/\/ -> (.*)$/gm)].map(([, line]) => line);
    assert.deepEqual(stdout.trim().split('\n'), expected);
  } finally {
    await broker.remove();
  }
});
