'use strict';

const { isIPv6 } = require('node:net');
const { Duplex } = require('node:stream');

const { splitAddress } = require('./head');

const OPTIONS = { decodeStrings: false, autoDestroy: false, highWaterMark: 64 * 1024 };

/**
 * What a request that came over the queue has where one that came over TCP has its `net.Socket`. It lives as
 * long as its request. What the response writes goes to `reply`, what the request reads comes from `body`.
 */
class RequestSocket extends Duplex {
  #address;
  #idle = null;

  constructor(head) {
    super(OPTIONS);
    this.head = head;
    this.reply = null;
    this.body = null;
    this.server = undefined;
    this.parser = null;
    this.timeout = 0;
    this.connecting = false;
    this.encrypted = head.encrypted;
    this._httpMessage = null;
    this._paused = false;
  }

  get remoteAddress() { return this.#remote.address; }
  get remotePort() { return this.#remote.port; }
  get remoteFamily() {
    const { address } = this.#remote;
    return address && (isIPv6(address) ? 'IPv6' : 'IPv4');
  }
  get #remote() { return this.#address ??= splitAddress(this.head.remote); }
  get localAddress() { return undefined; }
  get localPort() { return undefined; }
  get pending() { return false; }
  get readyState() { return this.destroyed ? 'closed' : 'open'; }
  get bytesRead() { return this.body.bytes; }
  get bytesWritten() { return this.reply.bytes; }

  address() { return {}; }
  setKeepAlive() { return this; }
  setNoDelay() { return this; }
  ref() { return this; }
  unref() { return this; }
  // A response that has ended takes its socket with it when it has gone.
  destroySoon() { if (!this._httpMessage?.finished) this.destroy(); }

  /** As in `net.Socket`: `timeout` is emitted when nothing was read or written for so many milliseconds. */
  setTimeout(ms, callback) {
    this.timeout = ms;
    clearTimeout(this.#idle);
    this.#idle = null;
    if (ms > 0) {
      if (callback) this.once('timeout', callback);
      this.#idle = setTimeout(() => this.#timedOut(), ms).unref();
    } else if (callback) {
      this.removeListener('timeout', callback);
    }
    return this;
  }

  /** Something was read or written. */
  touch() { this.#idle?.refresh(); }

  // A server of node:http does the same: whoever listens decides, and if nobody does the request ends.
  #timedOut() {
    const { req } = this;
    const heard = [this.emit('timeout'), req.emit('timeout', this), req.res.emit('timeout', this)];
    if (!heard.includes(true)) this.destroy();
  }

  // ServerResponse sends its body here. What comes before the head is an informational answer (100, 102,
  // 103), for which the queue has no place.
  write(chunk, encoding, callback) {
    if (this._httpMessage?._header) return super.write(chunk, encoding, callback);
    const done = typeof encoding === 'function' ? encoding : callback;
    if (done) process.nextTick(done);
    return true;
  }

  _write(chunk, encoding, callback) { this.reply.write([{ chunk, encoding }], callback); }
  _writev(chunks, callback) { this.reply.write(chunks, callback); }
  _final(callback) { callback(); }

  // IncomingMessage asks for more of its body by resuming its socket.
  resume() {
    this.body.pull();
    return this;
  }
  pause() { return this; }
  _read() {}

  _destroy(error, callback) {
    clearTimeout(this.#idle);
    this.reply.abandon(error);
    // An error that nobody listens for ends this request, not the process.
    callback(this.listenerCount('error') > 0 ? error : null);
  }
}

module.exports = { RequestSocket };
