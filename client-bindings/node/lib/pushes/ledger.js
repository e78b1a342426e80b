'use strict';

const { ProtocolError, abortReason, deadline } = require('../errors');
const { backoffMs } = require('../connection/backoff');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { PART_BYTES, PRODUCER_WINDOW } = require('../protocol/limits');
const { newId, idToBytes } = require('../requests/ids');
const { Batch, sizeOf, ENTRY_BYTES } = require('./batch');

/** Between the oldest unanswered sequence and the newest, so that the broker knows all of them again. */
const SEQUENCES_OPEN_MAX = PRODUCER_WINDOW - 24;
/** Times an upload is begun again because its parts are gone. */
const UPLOADS_MAX = 8;

/**
 * Jobs and records from the call until the broker has them. Calls to the same queue with the same options
 * that are made in one turn of the event loop share a frame.
 */
class PushLedger {
  #driver;
  #bytesMax;
  #producer = idToBytes(newId());
  #sequence = 1;
  #credit = 0;
  /** Batches that still take entries, by their target's key. */
  #filling = new Map();
  /** Batches that wait to be sent, in order. */
  #queue = [];
  #sent = new Map();
  /** Batches of PUSH_PART frames, by correlation. */
  #parts = new Map();
  /** Sequences without an answer, in order. */
  #open = new Set();
  #unanswered = 0;
  #waiting = [];
  #hold = null;
  #gather = () => {
    this.#gathering = false;
    this.#write();
  };
  #gathering = false;

  constructor(driver, bytesMax) {
    this.#driver = driver;
    this.#bytesMax = bytesMax;
    driver.on(TYPE.PUSHED, (flags, correlation, reader) => this.#pushed(decode(reader, 'Pushed'), 'firstId'));
    driver.on(TYPE.PUBLISHED, (flags, correlation, reader) => this.#pushed(decode(reader, 'Published'), 'firstOffset'));
    driver.on(TYPE.PUSH_CREDIT, (flags, correlation, reader) => this.#grant(decode(reader, 'PushCredit').bytes));
  }

  get idle() {
    return this.#unanswered === 0 && this.#waiting.length === 0;
  }

  /**
   * Takes a job or a record; waits while too much is unanswered.
   * @param target see `Batch`; `target.key` is the same for those that may share a frame
   * @param map what the promise resolves with, of (result, index in its frame)
   */
  add(target, body, headers, key, map, { deadlineMs, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#driver.closing) throw this.#driver.closedError();
      if (signal?.aborted) throw abortReason(signal);
      const bytes = sizeOf(body, headers, key) + ENTRY_BYTES;
      const item = { target, body, headers, key, bytes, entry: { resolve, done: null, failed: reject } };
      item.entry.done = (result, index) => resolve(map(result, index));
      if (deadlineMs !== undefined || signal) this.#bound(item, reject, deadlineMs, signal);
      if (this.#waiting.length > 0 || (this.#unanswered > 0 && this.#unanswered + bytes > this.#bytesMax)) {
        this.#waiting.push(item);
      } else {
        this.#fill(item);
      }
    });
  }

  /** A deadline or a signal ends the wait; what is on its way may be taken all the same. */
  #bound(item, reject, deadlineMs, signal) {
    const { entry } = item;
    const giveUp = (error) => {
      const at = this.#waiting.indexOf(item);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(error);
    };
    const aborted = () => giveUp(abortReason(signal));
    const timer = deadlineMs === undefined ? undefined : setTimeout(() => giveUp(deadline('the push', deadlineMs)), deadlineMs);
    signal?.addEventListener('abort', aborted, { once: true });
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    };
    const { done, failed } = entry;
    entry.done = (result, index) => {
      over();
      done(result, index);
    };
    entry.failed = (error) => {
      over();
      failed(error);
    };
  }

  #fill({ target, body, headers, key, bytes, entry }) {
    this.#unanswered += bytes;
    let batch = this.#filling.get(target.key);
    if (batch !== undefined && !batch.takes(bytes)) {
      this.#close(target.key, batch);
      batch = undefined;
    }
    if (batch === undefined) {
      batch = new Batch(target);
      this.#filling.set(target.key, batch);
    }
    batch.add(entry, body, headers, key);
    if (batch.isFull) this.#close(target.key, batch);
    this.#schedule();
  }

  #close(key, batch) {
    this.#filling.delete(key);
    this.#queue.push(batch);
  }

  #schedule() {
    const { link } = this.#driver;
    if (this.#gathering || link === null) return;
    this.#gathering = true;
    link.beforeWrite.push(this.#gather);
    link.schedule();
  }

  /** Sends what credit and the window of sequences allow. */
  #write() {
    const driver = this.#driver;
    if (!driver.ready || this.#hold !== null) return;
    while (this.#credit > 0) {
      if (this.#queue.length === 0) {
        if (this.#filling.size === 0) return;
        for (const batch of this.#filling.values()) this.#queue.push(batch);
        this.#filling.clear();
      }
      const batch = this.#queue[0];
      if (batch.sequence === 0) {
        const [oldest = this.#sequence] = this.#open;
        if (this.#sequence - oldest >= SEQUENCES_OPEN_MAX) return;
        batch.sequence = this.#sequence++;
        this.#open.add(batch.sequence);
      }
      if (batch.bytes > PART_BYTES && !this.#upload(batch)) return;
      this.#queue.shift();
      const { link } = driver;
      const correlation = link.nextCorrelation();
      this.#credit -= batch.payloadBytes;
      batch.write(link.outbox, correlation, this.#producer);
      this.#sent.set(correlation, batch);
      link.schedule();
    }
  }

  /** Sends parts of the one body, as far as credit goes. True: the rest fits into the PUSH. */
  #upload(batch) {
    batch.upload ??= { number: this.#driver.nextNumber(), index: 0, sent: 0, error: null };
    const { upload } = batch;
    const body = batch.parts[batch.parts.length - 1];
    while (batch.payloadBytes > PART_BYTES) {
      if (this.#credit <= 0) return false;
      const { link } = this.#driver;
      const part = body.subarray(upload.sent, upload.sent + PART_BYTES);
      const correlation = link.nextCorrelation();
      link.send(TYPE.PUSH_PART, correlation, 'PushPart', { upload: upload.number, index: upload.index }, part);
      this.#parts.set(correlation, batch);
      this.#credit -= part.length;
      upload.index += 1;
      upload.sent += part.length;
    }
    return this.#credit > 0;
  }

  #pushed(message, first) {
    for (const result of message.results) {
      const batch = this.#sent.get(result.correlation);
      if (batch === undefined) throw new ProtocolError('what was not pushed is answered');
      if (result.count !== batch.entries.length) throw new ProtocolError('a push is answered with another number of jobs');
      this.#sent.delete(result.correlation);
      this.#finish(batch);
      result.first = result[first];
      batch.done(result);
    }
    this.#grant(message.credit);
    this.#driver.progress();
  }

  #finish(batch) {
    this.#open.delete(batch.sequence);
    this.#unanswered -= batch.cost;
    while (this.#waiting.length > 0) {
      const { bytes } = this.#waiting[0];
      if (this.#unanswered > 0 && this.#unanswered + bytes > this.#bytesMax) return;
      this.#fill(this.#waiting.shift());
    }
  }

  #grant(bytes) {
    this.#credit += Number(bytes);
    if (this.#queue.length > 0 || this.#filling.size > 0) this.#schedule();
  }

  ok(correlation) {
    return this.#parts.delete(correlation);
  }

  refused(correlation, error) {
    const uploading = this.#parts.get(correlation);
    if (uploading !== undefined) {
      this.#parts.delete(correlation);
      // The PUSH behind it is refused, too: this is why.
      if (uploading.upload) uploading.upload.error ??= error;
      return true;
    }
    const batch = this.#sent.get(correlation);
    if (batch === undefined) return false;
    this.#sent.delete(correlation);
    const { upload } = batch;
    batch.upload = null;
    const reason = (error.code === 'UPLOAD_UNKNOWN' && upload?.error) || error;
    const partsGone = reason.code === 'UPLOAD_UNKNOWN' && ++batch.uploads < UPLOADS_MAX;
    if (reason.retryable || partsGone) {
      this.#again(batch, partsGone ? 0 : reason.retryAfterMs);
    } else {
      this.#finish(batch);
      batch.failed(reason);
      this.#driver.progress();
    }
    return true;
  }

  /** It was not taken: it goes again, under its old sequence, after a pause. */
  #again(batch, retryAfterMs) {
    this.#queueAgain([batch]);
    const wait = Math.max(retryAfterMs, backoffMs(batch.refusals));
    batch.refusals += 1;
    clearTimeout(this.#hold);
    this.#hold = setTimeout(() => {
      this.#hold = null;
      this.#schedule();
    }, wait);
  }

  /** In the old order, before those that were never sent. */
  #queueAgain(batches) {
    const older = [...batches, ...this.#queue.filter((batch) => batch.sequence > 0)];
    older.sort((one, other) => one.sequence - other.sequence);
    this.#queue = [...older, ...this.#queue.filter((batch) => batch.sequence === 0)];
  }

  connected(welcome) {
    this.#credit = Number(welcome.pushCredit);
    this.#gathering = false;
    this.#schedule();
  }

  disconnected() {
    this.#queueAgain([...this.#sent.values()]);
    for (const batch of this.#queue) batch.upload = null;
    this.#sent.clear();
    this.#parts.clear();
    clearTimeout(this.#hold);
    this.#hold = null;
  }

  closing() {}

  failAll(error) {
    clearTimeout(this.#hold);
    const batches = [...this.#sent.values(), ...this.#queue, ...this.#filling.values()];
    this.#sent.clear();
    this.#queue = [];
    this.#filling.clear();
    for (const batch of batches) batch.failed(error);
    for (const { entry } of this.#waiting.splice(0)) entry.failed(error);
  }
}

module.exports = { PushLedger };
