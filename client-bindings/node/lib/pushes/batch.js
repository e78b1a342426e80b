'use strict';

const { TYPE } = require('../protocol/frame_types');
const { encode } = require('../protocol/message');
const { BY_REFERENCE_BYTES } = require('../protocol/outbox');
const { BATCH_JOBS_MAX, PART_BYTES } = require('../protocol/limits');

/** A batch with so many bytes is closed: a frame that is larger saves nothing. */
const BATCH_BYTES = 256 * 1024;
/** What the lists of lengths and the maps around an entry cost, roughly. */
const ENTRY_BYTES = 64;

/**
 * Jobs or records that go in one frame, until they are answered. It gets its sequence when it is first
 * sent and is never cut anew, so that the broker knows it when it comes again.
 */
class Batch {
  /** @param target `{ name, options }` of jobs, `{ name, partition, topic: true }` of records */
  constructor(target) {
    this.target = target;
    this.parts = [];
    this.bodyLengths = [];
    this.headerLengths = [];
    this.keyLengths = [];
    this.entries = [];
    this.bytes = 0;
    this.cost = 0;
    this.hasHeaders = false;
    this.hasKeys = false;
    this.sequence = 0;
    this.refusals = 0;
    /** Parts of a body that does not fit into a frame. */
    this.upload = null;
    this.uploads = 0;
  }

  get isFull() {
    return this.bytes >= BATCH_BYTES || this.entries.length >= BATCH_JOBS_MAX;
  }

  /** Whether an entry of this size may come to those that are there. */
  takes(bytes) {
    return this.entries.length === 0 || (!this.isFull && this.cost + bytes <= PART_BYTES);
  }

  /** @param entry what is told the outcome: `done(result, index)`, `failed(error)` */
  add(entry, body, headers, key) {
    if (key !== null) {
      this.hasKeys = true;
      this.parts.push(key);
    }
    if (headers !== null) {
      this.hasHeaders = true;
      this.parts.push(headers);
    }
    this.parts.push(body);
    this.keyLengths.push(key === null ? 0 : key.length);
    this.headerLengths.push(headers === null ? 0 : headers.length);
    this.bodyLengths.push(body.length);
    const bytes = sizeOf(body, headers, key);
    this.bytes += bytes;
    this.cost += bytes + ENTRY_BYTES;
    this.entries.push(entry);
  }

  /** Bytes that take push credit, without those of an upload's parts. */
  get payloadBytes() {
    return this.upload === null ? this.bytes : this.bytes - this.upload.sent;
  }

  /** Writes the PUSH or the PUBLISH. */
  write(out, correlation, producer) {
    const { target } = this;
    const { sequence } = this;
    const headerLengths = this.hasHeaders ? this.headerLengths : null;
    out.begin(target.topic ? TYPE.PUBLISH : TYPE.PUSH, correlation);
    if (target.topic) {
      const keyLengths = this.hasKeys ? this.keyLengths : null;
      const partition = target.partition === null ? undefined : target.partition;
      encode(out, 'Publish', {
        topic: target.name, partition, producer, sequence, valueLengths: this.bodyLengths, keyLengths, headerLengths,
      });
    } else {
      const { upload } = this;
      encode(out, 'Push', {
        queue: target.name, options: target.options, producer, sequence,
        bodyLengths: upload === null ? this.bodyLengths : [this.bodyLengths[0] - upload.sent],
        headerLengths, upload: upload?.number, uploadParts: upload?.index,
      });
    }
    out.endMessage();
    this.#writePayload(out);
  }

  #writePayload(out) {
    const { parts } = this;
    const last = parts.length - 1;
    const end = this.upload === null ? parts[last] : parts[last].subarray(this.upload.sent);
    if (end.length >= BY_REFERENCE_BYTES) out.ensure(this.payloadBytes - end.length);
    else out.ensure(this.payloadBytes);
    for (let at = 0; at < last; at++) out.raw(parts[at]);
    out.end(end);
  }

  done(result) {
    for (let at = 0; at < this.entries.length; at++) this.entries[at].done(result, at);
  }

  failed(error) {
    for (const entry of this.entries) entry.failed(error);
  }
}

function sizeOf(body, headers, key) {
  return body.length + (headers === null ? 0 : headers.length) + (key === null ? 0 : key.length);
}

module.exports = { Batch, sizeOf, ENTRY_BYTES };
