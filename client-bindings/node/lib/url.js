'use strict';

const { VerteiltError } = require('./errors');
const { checkName } = require('./names');
const { BROKER_PORT } = require('./protocol/limits');

/** `verteilt://host[:port][/namespace]` as its parts; the port is 7450 if none is named. */
function parseUrl(url) {
  const bad = (reason) => {
    const text = `\`${url}\` is no broker address: ${reason}; write it like verteilt://127.0.0.1:7450/namespace`;
    return new VerteiltError('ADDRESS', text);
  };
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw bad('it cannot be read');
  }
  if (parsed.protocol !== 'verteilt:') throw bad('it does not begin with verteilt://');
  if (parsed.hostname === '') throw bad('it names no host');
  if (parsed.username !== '' || parsed.password !== '') throw bad('it holds a user name or a password');
  if (parsed.search !== '' || parsed.hash !== '') throw bad('nothing comes behind the namespace');
  const namespace = parsed.pathname.replace(/^\//, '');
  if (namespace !== '') checkName(namespace);
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? BROKER_PORT : Number(parsed.port),
    namespace,
  };
}

module.exports = { parseUrl };
