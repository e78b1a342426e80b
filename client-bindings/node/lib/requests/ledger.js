'use strict';

const { refused } = require('../errors');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { copy } = require('../protocol/reader');
const { Calling } = require('./calling');
const { Serving } = require('./serving');

/** Requests of both sides: frames that may be of either go to the one whose they are. */
class RequestLedger {
  constructor(driver, client) {
    this.calling = new Calling(driver);
    this.serving = new Serving(driver, client);
    driver.on(TYPE.BODY_PART, (flags, correlation, reader, start, end) => {
      const { requestId, token, more } = decode(reader, 'BodyPart');
      const bytes = copy(reader.buf, start, end);
      if (requestId.length === 0) this.serving.part(token, bytes, more);
      else this.calling.part(requestId.latin1Slice(), bytes, more);
    });
    driver.on(TYPE.STREAM_CREDIT, (flags, correlation, reader) => {
      const { requestId, token, bytes } = decode(reader, 'StreamCredit');
      if (requestId.length === 0) this.serving.granted(token, Number(bytes));
      else this.calling.granted(requestId.latin1Slice(), Number(bytes));
    });
    driver.on(TYPE.REQUEST_ENDED, (flags, correlation, reader) => {
      const ended = decode(reader, 'RequestEnded');
      const error = refused(ended.code, ended.message);
      if (ended.requestId.length === 0) this.serving.ended(ended.token, error);
      else this.calling.ended(ended.requestId.latin1Slice(), error, ended);
    });
  }

  get idle() {
    return this.calling.idle && this.serving.idle;
  }

  ok(correlation) {
    return this.serving.ok(correlation);
  }

  refused(correlation, error) {
    return this.serving.refused(correlation, error) || this.calling.refused(correlation, error);
  }

  connected() {
    this.serving.connected();
    this.calling.connected();
  }

  disconnected() {
    this.serving.disconnected();
    this.calling.disconnected();
  }

  /** No more requests are taken, those that are there may end. */
  closing() {
    this.serving.closing();
  }

  failAll(error) {
    this.calling.failAll(error);
    this.serving.failAll(error);
  }
}

module.exports = { RequestLedger };
