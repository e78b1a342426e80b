'use strict';

const { checkName, checkLabel } = require('../names');
const { HeaderBlock } = require('../headers');
const { isStream, pump } = require('./sending');
const { Outlet } = require('./outlet');
const { firstPart } = require('../protocol/requests');

/** `Incoming.forward`. */
function forward(request, service, options) {
  const { version = '', endpoint = request.endpoint } = options;
  const headers = options.headers === undefined ? request.headers : HeaderBlock.from(options.headers);
  let first;
  let rest = null;
  let restFromCaller = false;
  try {
    checkName(service);
    checkLabel(version, 'a version');
    checkLabel(endpoint, 'an endpoint');
    if (options.body === undefined) {
      if (request.bodyUntouched) {
        first = request.firstChunk;
        restFromCaller = request.inlet !== null;
      } else {
        // What was read is gone, what was not goes on.
        rest = request.body.begun ? request.body : readOf(request);
      }
    } else if (isStream(options.body)) {
      rest = options.body;
    } else {
      ({ first, rest } = firstPart(options.body, headers));
      if (rest !== null) rest = [rest];
    }
  } catch (error) {
    return Promise.reject(error);
  }
  const { ledger, token } = request;
  const outlet = rest === null ? null : new Outlet((bytes, more, broken) => ledger.replyPart(request, bytes, more, broken), 0);
  const message = { token, service, version, endpoint, headers, more: outlet !== null, restFromCaller };
  return ledger.forward(request, message, first, outlet).then(() => {
    if (outlet !== null) pump(rest, outlet);
  });
}

async function* readOf(request) {
  for (let chunk = await request.read(); chunk !== null; chunk = await request.read()) yield chunk;
}

module.exports = { forward };
