'use strict';

const net = require('node:net');
const { VerteiltError, ProtocolError, refused, fromErrorFrame } = require('../errors');
const { encode, decode } = require('../protocol/message');
const { TYPE, FRAME_NAME } = require('../protocol/frame_types');
const { HEARTBEATS_MISSED_MAX, HEARTBEAT_MS } = require('../protocol/limits');
const { Outbox } = require('../protocol/outbox');
const { Reader } = require('../protocol/reader');
const { Inflow } = require('./inflow');

/** Ticks within a heartbeat: silence is noticed to within half of one. */
const TICKS_A_HEARTBEAT = 2;

/**
 * One connection from its handshake to its end: frames in and out, heartbeats. Frames that are written
 * within one turn of the event loop leave in one write.
 */
class Link {
  /**
   * Connects and shakes hands, within `timeoutMs`.
   * @param onFrame (type, flags, correlation, reader, payload start, payload end)
   * @param onEnd (error) once, after the handshake was done
   */
  static open({ host, port, hello, timeoutMs, signal }, onFrame, onEnd) {
    return new Promise((resolve, reject) => {
      const link = new Link(onFrame, onEnd);
      const done = (error) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        if (error) {
          link.#finish(error);
          reject(error);
        } else {
          resolve(link);
        }
      };
      const aborted = () => done(signal.reason);
      const timer = setTimeout(() => done(connectError(host, port, `no answer within ${timeoutMs} ms`)), timeoutMs);
      signal?.addEventListener('abort', aborted, { once: true });
      link.#connect(host, port, hello, done);
    });
  }

  constructor(onFrame, onEnd) {
    this.outbox = new Outbox();
    this.correlation = 0;
    this.welcome = null;
    this.leaving = false;
    this.ended = null;
    /** Called before frames leave, for those who gather. */
    this.beforeWrite = [];
    this.#onFrame = onFrame;
    this.#onEnd = onEnd;
  }

  #onFrame;
  #onEnd;
  #handshake = null;
  #socket = null;
  #reader = new Reader();
  #inflow = new Inflow(this.#came.bind(this));
  #scheduled = false;
  #flush = () => this.#write();
  #pulse = null;
  #heard = true;
  #wrote = false;
  #silentTicks = 0;
  #drained = null;

  #connect(host, port, hello, done) {
    this.#handshake = done;
    const inflow = this.#inflow;
    const socket = net.connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: () => inflow.room(),
        callback: (bytes) => this.#read(bytes),
      },
    });
    this.#socket = socket;
    socket.once('connect', () => {
      const { outbox } = this;
      outbox.begin(TYPE.HELLO, this.nextCorrelation());
      encode(outbox, 'Hello', hello);
      outbox.endMessage();
      outbox.end();
      this.schedule();
    });
    socket.on('error', (error) => this.#lost(this.welcome ? brokeOff(error.message) : connectError(host, port, error.message, error)));
    socket.on('close', () => this.#lost(brokeOff('the broker closed the connection')));
    socket.on('drain', () => {
      const waiting = this.#drained;
      this.#drained = null;
      waiting?.forEach((resolve) => resolve());
    });
  }

  nextCorrelation() {
    return ++this.correlation;
  }

  /** Frames are in the outbox: they leave at the end of this turn of the event loop. */
  schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  /** Bytes that the socket has not taken. */
  get backlog() {
    return this.outbox.waiting + (this.#socket?.writableLength ?? 0);
  }

  /** Resolves when the socket takes more, or is gone. */
  drained() {
    if (this.ended || !this.#socket.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => (this.#drained ??= []).push(resolve));
  }

  /** A frame without a message. */
  sendEmpty(type, correlation) {
    this.outbox.begin(type, correlation);
    this.outbox.endMessage();
    this.outbox.end();
    this.schedule();
  }

  /** A frame by its table. */
  send(type, correlation, name, message, payload) {
    const { outbox } = this;
    outbox.begin(type, correlation);
    encode(outbox, name, message);
    outbox.endMessage();
    outbox.end(payload);
    this.schedule();
  }

  /** Sends all that waits, then ends the connection without calling anybody. */
  async goodbye(reason) {
    if (this.ended) return;
    this.send(TYPE.GOODBYE, 0, 'Goodbye', { reason });
    this.#write();
    this.#stop(new VerteiltError('CLOSED', 'the client is closed'));
    const socket = this.#socket;
    await new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), 1000);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.end();
      if (socket.destroyed) {
        clearTimeout(timer);
        resolve();
      }
    });
  }

  /** Gives the connection up. */
  fail(error) {
    this.#lost(error);
  }

  #write() {
    this.#scheduled = false;
    if (this.ended) return;
    const { beforeWrite } = this;
    if (beforeWrite.length > 0) {
      this.beforeWrite = [];
      for (const gather of beforeWrite) gather();
    }
    if (this.outbox.waiting === 0) return;
    this.#wrote = true;
    const pieces = this.outbox.take();
    const socket = this.#socket;
    if (pieces.length === 1) {
      socket.write(pieces[0]);
      return;
    }
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
  }

  #read(bytes) {
    this.#heard = true;
    if (this.ended) return true;
    try {
      this.#inflow.came(bytes);
    } catch (error) {
      this.#lost(error instanceof VerteiltError ? error : new ProtocolError(error.message));
      if (!(error instanceof VerteiltError)) throw error;
    }
    return true;
  }

  #came(type, flags, correlation, buf, start, end, frameEnd) {
    if (this.ended) return;
    const reader = this.#reader.over(buf, start, end);
    if (this.welcome !== null) this.#onFrame(type, flags, correlation, reader, end, frameEnd);
    else if (type === TYPE.WELCOME) this.#welcomed(decode(reader, 'Welcome'));
    else if (type === TYPE.ERROR) this.#lost(fromErrorFrame(decode(reader, 'Error')));
    else throw new ProtocolError(`${FRAME_NAME[type] ?? type} came instead of WELCOME`);
  }

  #welcomed(welcome) {
    if (welcome.version !== 1) throw new ProtocolError(`the broker chose version ${welcome.version}`);
    this.welcome = welcome;
    if (welcome.limits?.frameBytes) this.#inflow.frameBytesMax = welcome.limits.frameBytes;
    const every = (welcome.heartbeatMs || HEARTBEAT_MS) / TICKS_A_HEARTBEAT;
    this.#pulse = setInterval(() => this.#tick(every), every);
    const done = this.#handshake;
    this.#handshake = null;
    done(null);
  }

  #tick(every) {
    const missed = HEARTBEATS_MISSED_MAX * TICKS_A_HEARTBEAT;
    this.#silentTicks = this.#heard ? 0 : this.#silentTicks + 1;
    this.#heard = false;
    if (this.#silentTicks >= missed) {
      this.#lost(refused(108, `the broker has been silent for ${every * missed} ms`));
      return;
    }
    if (!this.#wrote) this.sendEmpty(TYPE.HEARTBEAT, 0);
    this.#wrote = false;
  }

  #lost(error) {
    if (this.ended) return;
    if (this.#handshake) {
      this.#handshake(error);
      return;
    }
    this.#finish(error);
    this.#onEnd(error);
  }

  #finish(error) {
    this.#stop(error);
    this.#socket?.destroy();
  }

  #stop(error) {
    this.ended ??= error;
    clearInterval(this.#pulse);
    const waiting = this.#drained;
    this.#drained = null;
    waiting?.forEach((resolve) => resolve());
  }
}

function connectError(host, port, reason, cause) {
  const text = `cannot connect to ${host}:${port}: ${reason}; check the address and that the broker runs`;
  return new VerteiltError('CONNECT', text, { retryable: true, cause });
}

function brokeOff(reason) {
  return new VerteiltError('CONNECT', `the connection broke: ${reason}`, { retryable: true });
}

module.exports = { Link };
