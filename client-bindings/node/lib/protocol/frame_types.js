'use strict';

// The type of a frame, byte 4 of its header, and the message that it carries. A test compares them
// with docs/protocol.md.

const FRAMES = [
  [0x01, 'HELLO', 'Hello'],
  [0x02, 'WELCOME', 'Welcome'],
  [0x03, 'HEARTBEAT', null],
  [0x04, 'GOODBYE', 'Goodbye'],
  [0x05, 'OK', null],
  [0x06, 'ERROR', 'Error'],
  [0x07, 'CANCEL', null],
  [0x08, 'PUSH_CREDIT', 'PushCredit'],
  [0x10, 'PUSH', 'Push'],
  [0x11, 'PUSHED', 'Pushed'],
  [0x12, 'PUSH_PART', 'PushPart'],
  [0x13, 'SUBSCRIBE', 'Subscribe'],
  [0x14, 'UNSUBSCRIBE', 'Unsubscribe'],
  [0x15, 'RESERVE', 'Reserve'],
  [0x16, 'DELIVER', 'Deliver'],
  [0x17, 'DELIVER_PART', 'DeliverPart'],
  [0x18, 'ACK', 'Settle'],
  [0x19, 'NACK', 'Nack'],
  [0x1a, 'RELEASE', 'Settle'],
  [0x1b, 'TOUCH', 'Touch'],
  [0x1c, 'SETTLED', 'Settled'],
  [0x1d, 'LEASE_LOST', 'LeaseLost'],
  [0x20, 'QUEUE_STATS', 'QueueStatsRequest'],
  [0x21, 'QUEUE_STATS_REPLY', 'QueueStatsReply'],
  [0x22, 'QUEUE_PEEK', 'QueuePeek'],
  [0x23, 'QUEUE_PEEKED', 'QueuePeeked'],
  [0x24, 'QUEUE_PAUSE', 'QueuePause'],
  [0x25, 'QUEUE_PURGE', 'QueuePurge'],
  [0x26, 'QUEUE_PURGED', 'QueuePurged'],
  [0x27, 'CHECKPOINT', 'Checkpoint'],
  [0x28, 'CHECKPOINT_DONE', 'CheckpointDone'],
  [0x2c, 'BACKUP', 'Backup'],
  [0x2d, 'BACKUP_DATA', 'BackupData'],
  [0x2e, 'BACKUP_DONE', 'BackupDone'],
  [0x30, 'TOPIC_CREATE', 'TopicCreate'],
  [0x31, 'PUBLISH', 'Publish'],
  [0x32, 'PUBLISHED', 'Published'],
  [0x33, 'TOPIC_SUBSCRIBE', 'TopicSubscribe'],
  [0x34, 'RECORDS', 'Records'],
  [0x35, 'CONSUMED', 'Consumed'],
  [0x36, 'TOPIC_ASSIGNED', 'TopicAssigned'],
  [0x37, 'TOPIC_CHANGE', 'TopicChange'],
  [0x38, 'TOPIC_DELETE', 'TopicDelete'],
  [0x39, 'TOPIC_STATS', 'TopicStatsRequest'],
  [0x3a, 'TOPIC_STATS_REPLY', 'TopicStatsReply'],
  [0x3b, 'GROUP_STATS', 'GroupStatsRequest'],
  [0x3c, 'GROUP_STATS_REPLY', 'GroupStatsReply'],
  [0x40, 'REQUEST', 'Request'],
  [0x41, 'BODY_PART', 'BodyPart'],
  [0x42, 'REPLY', 'Reply'],
  [0x43, 'FORWARD', 'Forward'],
  [0x44, 'REQUEST_ENDED', 'RequestEnded'],
  [0x45, 'REQUEST_CANCEL', 'RequestCancel'],
  [0x46, 'STREAM_CREDIT', 'StreamCredit'],
  [0x47, 'INBOX', 'Inbox'],
  [0x48, 'SERVE', 'Serve'],
  [0x49, 'UNSERVE', 'Unserve'],
  [0x4a, 'SERVICES', 'ServicesRequest'],
  [0x4b, 'SERVICES_REPLY', 'ServicesReply'],
  [0x4c, 'TRACE', 'TraceRequest'],
  [0x4d, 'TRACE_REPLY', 'TraceReply'],
  [0x4e, 'REQUEST_ACCEPTED', 'RequestAccepted'],
  [0x4f, 'RESULT', 'ResultRequest'],
  [0x50, 'RESULT_REPLY', 'ResultReply'],
];

/** Numbers by name: `TYPE.REQUEST`. */
const TYPE = Object.freeze(Object.fromEntries(FRAMES.map(([number, name]) => [name, number])));

/** Names and messages by number. */
const FRAME_NAME = [];
const FRAME_MESSAGE = [];
for (const [number, name, message] of FRAMES) {
  FRAME_NAME[number] = name;
  FRAME_MESSAGE[number] = message;
}

module.exports = { FRAMES, TYPE, FRAME_NAME, FRAME_MESSAGE };
