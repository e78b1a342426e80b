'use strict';

const { AsyncResource } = require('node:async_hooks');
const { IncomingMessage, OutgoingMessage, ServerResponse } = require('node:http');

const { RequestBody, aborted } = require('./body');
const { RequestHead } = require('./head');
const { Reply } = require('./reply');
const { RequestSocket } = require('./socket');

const storeHeader = OutgoingMessage.prototype._storeHeader;
// Without it `drain` is told, but `writableNeedDrain` stays true.
const kNeedDrain = Object.getOwnPropertySymbols(new ServerResponse({ method: 'GET' }))
  .find((symbol) => symbol.description === 'kNeedDrain');

/**
 * Runs a handler on a request of the queue, with the objects that `node:http` would give it.
 * @returns a promise that resolves when the answer has gone, or will never go
 */
function exchange(handler, request) {
  const head = new RequestHead(request.headers.latin1, request.endpoint);
  const socket = new RequestSocket(head);
  const req = incoming(socket, request, head);
  const res = new ServerResponse(req);
  const reply = new Reply(request, res);
  socket.req = req;
  socket.body = new RequestBody(request, req);
  socket.reply = reply;
  req.res = res;

  // Express gives a response another prototype: what is changed must be the object's own.
  res._storeHeader = storeHead;
  socket.on('close', onSocketClose);
  socket.on('drain', onDrain);
  res.assignSocket(socket);
  res.on('prefinish', onPrefinish);
  res.on('finish', onFinish);
  request.onCancel((reason) => reply.cancelled(reason));

  // A context of its own: AsyncLocalStorage.enterWith must not reach other requests.
  new AsyncResource('VERTEILTREQUEST', SCOPE).runInAsyncScope(run, undefined, handler, req, res);
  return reply.over;
}

const SCOPE = { requireManualDestroy: true };

function run(handler, req, res) {
  try {
    const result = handler(req, res);
    if (typeof result?.then === 'function') result.then(undefined, (error) => res.socket?.destroy(error));
  } catch (error) {
    res.socket?.destroy(error);
  }
}

function incoming(socket, request, head) {
  const req = new IncomingMessage(socket);
  req.httpVersionMajor = 1;
  req.httpVersionMinor = 1;
  req.httpVersion = '1.1';
  req.method = head.method;
  req.url = head.url;
  const { rawHeaders } = head;
  // The gateway takes it off, and without it nothing says that there is a body.
  const hasBody = !request.bodyEnded || request.firstChunk.length > 0;
  if (hasBody && !head.has('content-length')) rawHeaders.push('transfer-encoding', 'chunked');
  req._addHeaderLines(rawHeaders, rawHeaders.length);
  req.verteilt = request;
  return req;
}

/** The head goes with the reply: neither it nor sizes of chunks shall be among what the socket gets. */
function storeHead(firstLine, headers) {
  storeHeader.call(this, firstLine, headers);
  this._headerSent = true;
  this.chunkedEncoding = false;
}

function onPrefinish() {
  this.socket?.reply.end();
}

/** What the server of `node:http` does when a response has finished. */
function onFinish() {
  const { req, socket } = this;
  if (socket === null) return;
  socket.reply.finish();
  if (!req._consuming && !req._readableState.resumeScheduled) socket.body.drop();
  this.detachSocket(socket);
  process.nextTick(emitClose, this, socket);
}

function emitClose(res, socket) {
  if (!res._closed) {
    res.destroyed = true;
    res._closed = true;
    res.emit('close');
  }
  // A body that is still being read keeps its socket.
  if (socket.req.complete) socket.destroy();
}

function onSocketClose() {
  if (this._httpMessage === null) return;
  this.req.destroy(aborted(this.reply.failure));
}

function onDrain() {
  const res = this._httpMessage;
  if (res === null || res.finished || !res[kNeedDrain]) return;
  res[kNeedDrain] = false;
  res.emit('drain');
}

module.exports = { exchange };
