'use strict';

// Values, references and patterns of the scenarios.

const assert = require('node:assert/strict');

const LARGE = 1000;

/** n bytes of which the i-th is i mod 251. */
function bytesOf(count) {
  const bytes = Buffer.allocUnsafe(count);
  for (let at = 0; at < count; at++) bytes[at] = at % 251;
  return bytes;
}

/** A body of a scenario as what is sent. */
function toBody(value) {
  if (value === undefined) return undefined;
  return typeof value === 'string' ? value : bytesOf(value.$bytes);
}

/** Bytes as a scenario writes them. */
function fromBody(bytes) {
  if (bytes.length <= LARGE) return bytes.toString('utf8');
  return bytes.equals(bytesOf(bytes.length)) ? { $bytes: bytes.length } : { $other: bytes.length };
}

/** Replaces `=NAME.FIELD` and `{i}`, deep inside. */
function resolve(value, kept, i) {
  if (typeof value === 'string') {
    if (value.startsWith('=')) return lookUp(value.slice(1), kept);
    return i === undefined ? value : value.replaceAll('{i}', `${i}`);
  }
  if (Array.isArray(value)) return value.map((one) => resolve(one, kept, i));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolve(one, kept, i)]));
  }
  return value;
}

function lookUp(path, kept) {
  const [name, ...fields] = path.split('.');
  assert.ok(kept.has(name), `nothing was kept as ${name}`);
  let value = kept.get(name).value;
  for (const field of fields) value = value[field];
  assert.notEqual(value, undefined, `${path} was not kept`);
  return value;
}

/** Throws where the value is not as the pattern says. */
function match(found, pattern, where = 'the result') {
  if (Array.isArray(pattern)) {
    assert.ok(Array.isArray(found), `${where} is no list: ${show(found)}`);
    assert.equal(found.length, pattern.length, `${where} has another length: ${show(found)}`);
    pattern.forEach((one, at) => match(found[at], one, `${where}.${at}`));
  } else if (pattern !== null && typeof pattern === 'object') {
    const [key] = Object.keys(pattern);
    if (key?.startsWith('$')) matchSpecial(found, key, pattern[key], where);
    else for (const [field, one] of Object.entries(pattern)) match(found?.[field], one, `${where}.${field}`);
  } else if (typeof pattern === 'number' || typeof found === 'number') {
    assert.equal(`${found}`, `${pattern}`, where);
  } else {
    assert.equal(found, pattern, where);
  }
}

function matchSpecial(found, key, value, where) {
  const text = `${where}: ${show(found)} is not ${key} ${show(value)}`;
  if (key === '$min') assert.ok(found >= value, text);
  else if (key === '$max') assert.ok(found <= value, text);
  else if (key === '$above') assert.ok(found > value, text);
  else if (key === '$length') assert.equal(found.length, value, text);
  else if (key === '$bytes') assert.deepEqual(found, { $bytes: value }, text);
  else if (key === '$not') assert.throws(() => match(found, value), undefined, text);
  else if (key === '$any_order') assert.ok(inAnyOrder(found, value), text);
  else throw new Error(`no such pattern: ${key}`);
}

function inAnyOrder(found, patterns) {
  const left = [...found];
  for (const pattern of patterns) {
    const at = left.findIndex((one) => {
      try {
        match(one, pattern);
        return true;
      } catch {
        return false;
      }
    });
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

function show(value) {
  return JSON.stringify(value) ?? `${value}`;
}

module.exports = { toBody, fromBody, resolve, match };
