'use strict';

// Heads of HTTP messages as a queue carries them, and back: docs/http.md.

const { HEADER_BYTES_MAX } = require('../protocol/limits');

// What belongs to one connection, and stays behind.
const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-connection', 'te', 'trailer', 'transfer-encoding',
  'upgrade',
]);

/** What a pair may take more in a header block than as a line. */
const PAIR_BYTES_MORE = 8;
const COLON = 0x3a;
const ABOVE_ASCII = /[\x80-\xff]/;

/**
 * The head of a request. Header values are those of `node:http`: a character a byte.
 *
 * A service that asks another one may leave the method and the path to the endpoint: `GET /items/4?full=1`.
 */
class RequestHead {
  method;
  url;
  rawHeaders = [];
  remote = '';
  encrypted = false;

  /** @param flat names and values in turn */
  constructor(flat, endpoint) {
    let path, query;
    let forwarded = -1;
    for (let at = 0; at < flat.length; at += 2) {
      const name = flat[at];
      const value = flat[at + 1];
      if (name.charCodeAt(0) !== COLON) {
        if (name === 'x-forwarded-for') forwarded = this.rawHeaders.length + 1;
        if (name === 'x-forwarded-proto') this.encrypted = false;
        this.rawHeaders.push(name, value);
        continue;
      }
      switch (name) {
        case ':method': this.method = value; break;
        case ':path': path = value; break;
        case ':query': query = value; break;
        case ':host': this.rawHeaders.push('host', value); break;
        case ':scheme': this.encrypted = value === 'https'; break;
        case ':remote': this.remote = value; break;
        default: // Others are for those who ask `request.headers` for them.
      }
    }
    if (path === undefined) {
      const space = endpoint.indexOf(' ');
      this.method ??= space < 0 ? 'POST' : endpoint.slice(0, space);
      path = space < 0 ? '/' : endpoint.slice(space + 1);
    }
    this.method ??= 'POST';
    this.url = query === undefined ? path : `${path}?${query}`;
    if (forwarded >= 0 && this.remote !== '') this.#beforeTheGateway(forwarded);
  }

  /**
   * Whoever is behind a proxy that the gateway trusts sees what it would see without a gateway: the proxy's
   * connection, and in `x-forwarded-for` who came before the proxy. So frameworks are told of proxies in their own
   * way, such as `trust proxy` of Express.
   */
  #beforeTheGateway(at) {
    const { rawHeaders } = this;
    const chain = rawHeaders[at];
    const last = chain.lastIndexOf(',');
    this.remote = chain.slice(last + 1).trim();
    if (last >= 0) rawHeaders[at] = chain.slice(0, last);
    else rawHeaders.splice(at - 1, 2);
  }

  has(name) {
    const { rawHeaders } = this;
    for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at] === name) return true;
    return false;
  }
}

/**
 * Status and headers of an answer, from the head that `node:http` would have written to a socket:
 * `HTTP/1.1 200 OK`, then `Name: value` lines, each ended by CR LF.
 * Null if they are too large.
 * @param encoding `utf8`, or `latin1`: a character a byte
 */
function answerHead(text, encoding) {
  const headers = [];
  const asText = encoding === 'utf8' || !ABOVE_ASCII.test(text);
  let at = text.indexOf('\r\n') + 2;
  for (;;) {
    const end = text.indexOf('\r\n', at);
    if (end <= at) break;
    const colon = text.indexOf(': ', at);
    const name = text.slice(at, colon).toLowerCase();
    if (!HOP_BY_HOP.has(name)) {
      const value = text.slice(colon + 2, end);
      headers.push([name, asText ? value : Buffer.from(value, 'latin1')]);
    }
    at = end + 2;
  }
  const most = Buffer.byteLength(text) + headers.length * PAIR_BYTES_MORE;
  return most > HEADER_BYTES_MAX ? null : { status: +text.slice(9, 12), headers };
}

/** `192.0.2.1:5000`, `[2001:db8::1]:5000`, or an address without its port. */
function splitAddress(remote) {
  const match = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(remote);
  if (!match) return { address: remote || undefined, port: undefined };
  return { address: match[1] ?? match[2], port: match[3] === undefined ? undefined : +match[3] };
}

module.exports = { RequestHead, answerHead, splitAddress };
