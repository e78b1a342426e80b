'use strict';

// Both faces of the package as users import it, by its name.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');

const folder = path.join(__dirname, '..');
const run = (code, ...flags) => execFileSync(process.execPath, [...flags, '-e', code], { cwd: folder, encoding: 'utf8' }).trim();

test('ES modules and CommonJS have the same names and one state', async () => {
  const required = require('verteilt');
  const imported = await import('verteilt');
  const names = Object.keys(imported).filter((name) => name !== 'default');
  assert.deepEqual(names.sort(), Object.keys(required).sort());
  for (const name of names) assert.equal(imported[name], required[name]);
  assert.equal(imported.default, required);
});

test('each face works alone, and lets the process end', () => {
  const check = "connect('verteilt://127.0.0.1:1').catch((error) => console.log(error.code, error instanceof VerteiltError))";
  assert.equal(run(`const { connect, VerteiltError } = require('verteilt'); ${check}`), 'CONNECT true');
  assert.equal(run(`import { connect, VerteiltError } from 'verteilt'; ${check}`, '--input-type=module'), 'CONNECT true');
});

test('types describe the package, for both faces', () => {
  const tsc = require.resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '--project', path.join(__dirname, 'types')], { stdio: 'pipe', encoding: 'utf8' });
});
