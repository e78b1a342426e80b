'use strict';

// The tables of this client against the schema, the document and the limits that they were taken from.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { CODES } = require('../lib/protocol/error_codes');
const { FRAMES } = require('../lib/protocol/frame_types');
const limits = require('../lib/protocol/limits');
const { MESSAGES, ENUMS } = require('../lib/protocol/schema');

const root = path.join(__dirname, '../../..');
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

test('messages are those of the schema', () => {
  const schema = read('protocol/proto/verteilt.proto').replace(/\/\/.*/g, '');
  const enums = new Set([...schema.matchAll(/^enum (\w+)/gm)].map(([, name]) => name));
  const expected = {};
  for (const [, name, text] of schema.matchAll(/^message (\w+) \{(?:\}|([\s\S]*?)^\})/gm)) {
    const oneof = /oneof \w+ \{([\s\S]*?)\}/.exec(text ?? '')?.[1] ?? '';
    const fields = (text ?? '').replace(/oneof \w+ \{/, ' ');
    expected[name] = [...fields.matchAll(/(repeated |optional )?(\w+) (\w+) = (\d+);/g)].map(([row, mark, type, field, number]) => {
      const suffix = mark === 'repeated ' ? '*' : mark === 'optional ' || oneof.includes(row) ? '?' : '';
      return `${number} ${camel(field)} ${enums.has(type) ? 'enum' : type}${suffix}`;
    });
  }
  assert.deepEqual(MESSAGES, expected);
  assert.deepEqual(Object.keys(ENUMS).sort(), [...enums].sort());
  for (const [name, values] of Object.entries(ENUMS)) {
    const prefix = `${name.replace(/(?<!^)([A-Z])/g, '_$1').toUpperCase()}_`;
    for (const [key, number] of Object.entries(values)) assert.match(schema, new RegExp(`\\b${prefix}${key} = ${number};`));
  }
});

test('frame types and codes are those of the document', () => {
  const document = read('docs/protocol.md');
  const types = [...document.matchAll(/^\| 0x([0-9A-F]{2}) \| ([A-Z_]+) \| \w+ \| (?:`(\w+)`)? ?\|/gm)];
  assert.deepEqual(FRAMES, types.map(([, hex, name, message]) => [parseInt(hex, 16), name, message ?? null]));
  const codes = [...document.matchAll(/^\| (\d{3}) \| ([A-Z_]+) \| (yes|no) \| (?:yes|) ?\| (.*) \|$/gm)];
  assert.deepEqual(CODES, codes.map(([, number, name, again, hint]) => [Number(number), name, again === 'yes', hint]));
});

test('limits are those of the protocol', () => {
  const source = read('protocol/src/limits.rs');
  const values = {};
  for (const [, name, expression] of source.matchAll(/^pub const (\w+): [\w&]+ = ([^"]*?);$/gm)) {
    const numbers = expression.replace(/_(?=\d)| as \w+/g, '').replace(/[A-Z][A-Z_]+/g, (other) => values[other]);
    assert.match(numbers, /^[\d\s*+-]+$/, name);
    values[name] = numbers.split(/\s*-\s*/).map((term) => term.split('*').reduce((product, factor) => product * Number(factor), 1))
      .reduce((difference, term) => difference - term);
  }
  for (const [name, value] of Object.entries(limits)) assert.equal(value, values[name], name);
});
