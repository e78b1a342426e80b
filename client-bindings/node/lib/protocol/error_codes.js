'use strict';

// Every code of the protocol: its number, whether the same request may succeed later, what to do. A
// test compares them with docs/protocol.md.

const CODES = [
  [100, 'MALFORMED_FRAME', false,
    'The frame header contradicts itself; the sender has a bug or speaks another protocol.'],
  [101, 'FRAME_TOO_LARGE', false,
    'The frame is longer than the announced limit; send less in one frame, a large body in parts.'],
  [102, 'UNKNOWN_FRAME_TYPE', false,
    'This broker does not know the frame type; it is older than the client. The connection goes on.'],
  [103, 'MALFORMED_MESSAGE', false,
    'The message cannot be decoded (then the connection is closed), or its lists and lengths do not fit ' +
      'each other or the payload; the sender has a bug.'],
  [104, 'HANDSHAKE_EXPECTED', false,
    'The first frame must be HELLO.'],
  [105, 'HANDSHAKE_TIMEOUT', true,
    'HELLO did not come in time; connect again.'],
  [106, 'VERSION_UNSUPPORTED', false,
    'Client and broker have no protocol version in common; bring the older one up to date.'],
  [107, 'UNAUTHENTICATED', false,
    'The credentials are missing or wrong; correct them.'],
  [108, 'HEARTBEAT_MISSED', true,
    'Nothing came for two heartbeats; connect again.'],
  [109, 'CREDIT_EXCEEDED', false,
    'More was pushed than was granted; the client has a bug.'],
  [110, 'SESSION_REPLACED', false,
    'A newer connection has taken over this session; do not connect again with it.'],
  [111, 'SHUTTING_DOWN', true,
    'The broker is going down; connect again after a pause.'],
  [112, 'CONNECTION_LIMIT', true,
    'The broker has as many connections as it allows; connect again after a pause, or raise the limit.'],
  [113, 'UNSUPPORTED', false,
    'This broker knows the request or the option but does not serve it; look at its capabilities.'],
  [114, 'CANCELLED', false,
    'The client has cancelled this request itself; to a worker: the caller is gone.'],
  [115, 'UNEXPECTED_FRAME', false,
    'A client may not send this frame, or not now; the client has a bug.'],
  [200, 'BAD_NAME', false,
    'The name of the queue, topic, service or namespace breaks the rules for names; choose another.'],
  [201, 'BODY_TOO_LARGE', false,
    'The body is larger than the announced limit; keep it elsewhere and push a reference.'],
  [202, 'HEADERS_TOO_LARGE', false,
    'The header block is larger than the announced limit; move data into the body.'],
  [203, 'BATCH_TOO_LARGE', false,
    'No entry at all, or more in one frame than the announced limit; split the batch.'],
  [204, 'BAD_ARGUMENT', false,
    'A field is out of its bounds; the text says which. Correct the request.'],
  [205, 'SEQUENCE_TOO_OLD', false,
    'The sequence is behind the window in which doubles are known, so whether this push was taken ' +
      'cannot be told; ask the queue or push under a new sequence.'],
  [206, 'UPLOAD_UNKNOWN', false,
    'The parts of this upload are gone or a part is missing; send the body again under a new upload ' +
      'number.'],
  [207, 'UPLOAD_LIMIT', true,
    'Too many bytes are in unfinished uploads; try again after a pause.'],
  [300, 'QUEUE_UNKNOWN', false,
    'There is no such queue; it comes into being at its first push or reserve.'],
  [301, 'LEASE_LOST', false,
    'The lease has ended and the job may run elsewhere; drop what was done for it.'],
  [302, 'SUBSCRIPTION_UNKNOWN', false,
    'There is no such subscription on this connection.'],
  [303, 'QUEUE_LIMIT', false,
    'The broker has as many queues as it allows; use fewer queues, or raise the limit.'],
  [304, 'SUBSCRIPTION_EXISTS', false,
    'This subscription number already stands for another queue; choose another number.'],
  [305, 'SUBSCRIPTION_LIMIT', false,
    'The connection has as many subscriptions and waiting RESERVE as it may; end one or open another ' +
      'connection.'],
  [306, 'TOPIC_UNKNOWN', false,
    'There is no such topic; create it first.'],
  [307, 'TOPIC_EXISTS', false,
    'A topic of this name has other settings; change it, or choose another name.'],
  [308, 'TOPIC_LIMIT', false,
    'The broker has as many topics or partitions as it allows; use fewer, or raise the limit.'],
  [309, 'PARTITION_UNKNOWN', false,
    'The topic has no such partition; look at its numbers.'],
  [310, 'PARTITION_LOST', false,
    'Another member of the group has the partition now; drop what was read of it.'],
  [311, 'GROUP_LIMIT', false,
    'The topic has as many consumer groups as the broker allows; use fewer names.'],
  [312, 'NO_WORKER', true,
    'Nobody serves this name and version now; start a worker, or try again after a pause.'],
  [313, 'WORKER_LOST', true,
    'The worker that held the request is gone; whether it did the work is unknown. Send it again if it ' +
      'may run twice.'],
  [314, 'DEADLINE_EXCEEDED', true,
    'The request was not answered in time; the text says where it was. Allow more time, or more workers.'],
  [315, 'REQUEST_LOST', true,
    'The connection broke while the request or its reply was on its way; whether it was served is ' +
      'unknown. Send it again if it may run twice.'],
  [316, 'REQUEST_EXISTS', false,
    'A request with this id is open; ids are 16 random bytes, new for each request.'],
  [317, 'REQUEST_UNKNOWN', false,
    'The broker knows no such request; only recent ones are traced, and results are kept for a time.'],
  [318, 'REQUEST_LIMIT', true,
    'The client has as many requests open as it may; wait for replies.'],
  [319, 'SERVICE_LIMIT', false,
    'The broker has as many services or workers as it allows; use fewer, or raise the limit.'],
  [320, 'FORWARD_LIMIT', false,
    'The request was forwarded as often as it may be; services that forward in a circle are the usual ' +
      'cause.'],
  [321, 'STREAM_CREDIT_EXCEEDED', false,
    'More of a body was sent than its receiver had granted; the sender has a bug.'],
  [322, 'BODY_BROKEN', false,
    'The sender of a body broke it off before its end; drop what came of it.'],
  [323, 'INBOX_CLOSED', false,
    'The connection has no inbox, or another one has it now; send INBOX first.'],
  [324, 'REQUEST_MISMATCH', false,
    'Another request was accepted under this id before; a new request needs a new id.'],
  [400, 'BUSY', true,
    'The broker has more work than it can take on; try again after a pause.'],
  [401, 'MEMORY_FULL', true,
    'The memory for bodies of `memory` jobs is full; try again once some are done.'],
  [402, 'DISK_FULL', true,
    'The disk or the journal\'s share of it is full; work off jobs or add space, then try again.'],
  [500, 'STORE_FAILED', false,
    'Writing to the disk failed; whether the request took effect is unknown. The broker stops; push ' +
      'again under the same producer and sequence once it is back.'],
  [501, 'INTERNAL', false,
    'The broker has a bug; report it with its log.'],
];

/** By number and by name: `{ number, name, retryable, hint }`. */
const BY_NUMBER = new Map();
const BY_NAME = new Map();
for (const [number, name, retryable, hint] of CODES) {
  const code = Object.freeze({ number, name, retryable, hint });
  BY_NUMBER.set(number, code);
  BY_NAME.set(name, code);
}

module.exports = { CODES, BY_NUMBER, BY_NAME };
