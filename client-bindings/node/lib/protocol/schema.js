'use strict';

// The messages of protocol/proto/verteilt.proto: number, name and type of each field. A test compares
// them with the schema.
//
// `*`: a list; `?`: its being there means something.

const MESSAGES = {
  Hello: [
    '1 versionMin uint32', '2 versionMax uint32', '3 clientName string', '4 clientVersion string',
    '5 capabilities string*', '6 authentication Authentication', '7 namespace string', '8 session bytes',
    '9 heldIds uint64*', '10 heldTokens uint64*', '11 namesLeases bool',
  ],
  Authentication: ['1 scheme string', '2 data bytes'],
  Welcome: [
    '1 version uint32', '2 serverName string', '3 serverVersion string', '4 capabilities string*',
    '5 brokerId bytes', '6 epoch uint64', '7 limits Limits', '8 heartbeatMs uint32', '9 pushCredit uint64',
    '10 leasesHeld uint32',
  ],
  Limits: [
    '1 frameBytes uint32', '2 bodyBytes uint64', '3 headerBytes uint32', '4 batchJobs uint32',
    '5 nameBytes uint32',
  ],
  Goodbye: ['1 reason string'],
  Error: ['1 code uint32', '2 message string', '3 retryable bool', '4 retryAfterMs uint64'],
  PushCredit: ['1 bytes uint64'],
  JobOptions: [
    '1 priority sint32', '2 delayMs uint64', '3 attempts uint32', '4 leaseMs uint64', '5 durability enum',
    '6 uniqueKey bytes', '7 orderingKey bytes', '8 timeToLiveMs uint64', '9 keepResult bool',
  ],
  Push: [
    '1 queue string', '2 options JobOptions', '3 producer bytes', '4 sequence uint64',
    '5 bodyLengths uint32*', '6 headerLengths uint32*', '7 upload uint64', '8 uploadParts uint32',
  ],
  PushPart: ['1 upload uint64', '2 index uint32'],
  Headers: ['1 entries Header*'],
  Header: ['1 name string', '2 value bytes'],
  Pushed: ['1 results PushResult*', '2 credit uint64'],
  PushResult: [
    '1 correlation uint64', '2 firstId uint64', '3 count uint32', '4 durability enum', '5 duplicate bool',
  ],
  Subscribe: [
    '1 subscription uint64', '2 queue string', '3 creditJobs uint32', '4 creditBytes uint64',
  ],
  Unsubscribe: ['1 subscription uint64'],
  Reserve: ['1 queue string', '2 jobsMax uint32', '3 waitMs uint64'],
  Deliver: [
    '1 subscription uint64', '2 token uint64', '3 ids uint64*', '4 attempts uint32*', '5 leaseMs uint64*',
    '6 bodyLengths uint32*', '7 headerLengths uint32*', '8 lengthsToCome uint64*',
  ],
  DeliverPart: ['1 id uint64', '2 token uint64', '3 toCome uint64'],
  Settle: ['1 ids uint64*', '2 tokens uint64*'],
  Nack: ['1 ids uint64*', '2 tokens uint64*', '3 delayMs uint64?'],
  Touch: ['1 ids uint64*', '2 tokens uint64*', '3 leaseMs uint64'],
  Settled: ['1 refusedIds uint64*', '2 refusedCodes uint32*', '3 refusedTokens uint64*'],
  LeaseLost: ['1 ids uint64*', '2 tokens uint64*'],
  QueueStatsRequest: ['1 queue string', '2 after string'],
  QueueStatsReply: ['1 queues QueueStats*', '2 more bool'],
  QueueStats: [
    '1 queue string', '2 paused bool', '3 scheduled uint64', '4 ready uint64', '5 leased uint64',
    '6 waiting uint64', '7 done uint64', '8 failed uint64', '9 dead uint64', '10 cancelled uint64',
    '11 expired uint64', '12 pushed uint64', '13 subscriptions uint64',
  ],
  QueuePeek: ['1 queue string', '2 state enum', '3 jobsMax uint32'],
  QueuePeeked: ['1 jobs PeekedJob*'],
  PeekedJob: [
    '1 id uint64', '2 state enum', '3 priority sint32', '4 attempts uint32', '5 attemptsMax uint32',
    '6 dueMs uint64', '7 bodyBytes uint64', '8 bodyLength uint32', '9 headerLength uint32',
  ],
  QueuePause: ['1 queue string', '2 paused bool'],
  QueuePurge: ['1 queue string', '2 jobsMax uint32'],
  QueuePurged: ['1 jobs uint64', '2 more bool'],
  Checkpoint: [],
  CheckpointDone: ['1 lsn uint64'],
  Backup: [],
  BackupData: ['1 offset uint64'],
  BackupDone: ['1 lsn uint64', '2 bytes uint64'],
  TopicCreate: [
    '1 topic string', '2 partitions uint32', '3 retentionMs uint64', '4 retentionBytes uint64',
    '5 durability enum',
  ],
  TopicChange: ['1 topic string', '2 retentionMs uint64', '3 retentionBytes uint64'],
  TopicDelete: ['1 topic string'],
  Publish: [
    '1 topic string', '2 partition uint32?', '3 durability enum', '4 producer bytes', '5 sequence uint64',
    '6 valueLengths uint32*', '7 keyLengths uint32*', '8 headerLengths uint32*',
  ],
  Published: ['1 results PublishResult*', '2 credit uint64'],
  PublishResult: [
    '1 correlation uint64', '2 partition uint32', '3 firstOffset uint64', '4 count uint32',
    '5 durability enum', '6 duplicate bool',
  ],
  TopicSubscribe: [
    '1 subscription uint64', '2 topic string', '3 group string', '4 earliest bool?', '5 latest bool?',
    '6 offset uint64?', '7 timeMs uint64?', '8 creditRecords uint32', '9 creditBytes uint64',
    '10 partitions uint32*', '11 offsets uint64*',
  ],
  TopicAssigned: [
    '1 subscription uint64', '2 generation uint64', '3 partitions uint32*', '4 offsets uint64*',
    '5 ended bool',
  ],
  Records: [
    '1 subscription uint64', '2 partition uint32', '3 firstOffset uint64', '4 timesMs uint64*',
    '5 valueLengths uint32*', '6 keyLengths uint32*', '7 headerLengths uint32*', '8 skipped uint64',
  ],
  Consumed: ['1 subscription uint64', '2 partition uint32', '3 offset uint64', '4 commit bool'],
  TopicStatsRequest: ['1 topic string', '2 after string'],
  TopicStatsReply: ['1 topics TopicStats*', '2 more bool'],
  TopicStats: [
    '1 topic string', '2 partitions uint32', '3 retentionMs uint64', '4 retentionBytes uint64',
    '5 records uint64', '6 bytes uint64', '7 published uint64', '8 subscriptions uint64', '9 groups uint64',
    '10 firstOffsets uint64*', '11 nextOffsets uint64*', '12 partitionBytes uint64*',
  ],
  GroupStatsRequest: ['1 topic string', '2 after string'],
  GroupStatsReply: ['1 groups GroupStats*', '2 more bool'],
  GroupStats: [
    '1 group string', '2 members uint32', '3 lag uint64', '4 partitions uint32*', '5 offsets uint64*',
    '6 lags uint64*',
  ],
  Inbox: ['1 gatewayId bytes', '2 requestIds bytes*'],
  Request: [
    '1 service string', '2 version string', '3 requestId bytes', '4 gatewayId bytes', '5 deadlineMs uint64',
    '6 endpoint string', '7 durability enum', '8 headerLength uint32', '9 more bool',
    '10 parentRequestId bytes', '11 subscription uint64', '12 token uint64', '13 forwards uint32',
    '16 attempt uint32', '14 detach bool', '15 fingerprint bytes',
  ],
  RequestAccepted: ['1 requestId bytes', '2 known bool'],
  ResultRequest: ['1 requestId bytes', '2 waitMs uint64'],
  ResultReply: [
    '1 requestId bytes', '2 state enum', '3 leftMs uint64', '4 status uint32', '5 headerLength uint32',
    '6 code uint32', '7 message string', '8 service string',
  ],
  BodyPart: ['1 requestId bytes', '2 token uint64', '3 more bool', '4 abortCode uint32'],
  StreamCredit: ['1 requestId bytes', '2 token uint64', '3 bytes uint64'],
  Reply: [
    '1 requestId bytes', '2 token uint64', '3 status uint32', '4 headerLength uint32', '5 more bool',
    '6 replayed bool',
  ],
  Forward: [
    '1 token uint64', '2 service string', '3 version string', '4 endpoint string', '5 headerLength uint32',
    '6 more bool', '7 restFromCaller bool',
  ],
  RequestCancel: ['1 requestId bytes'],
  RequestEnded: [
    '1 requestId bytes', '2 token uint64', '3 code uint32', '4 message string', '5 service string',
    '6 version string', '7 instance string',
  ],
  Serve: [
    '1 subscription uint64', '2 service string', '3 version string', '4 instance string',
    '5 creditRequests uint32', '6 creditBytes uint64', '7 health enum', '8 endpoints string*',
    '9 host string', '10 process uint32', '11 startedMs uint64', '12 metadata Header*',
  ],
  Unserve: ['1 subscription uint64'],
  ServicesRequest: ['1 service string', '2 after string'],
  ServicesReply: ['1 services ServiceStats*', '2 more bool'],
  ServiceStats: [
    '1 service string', '2 waiting uint64', '3 waitingBytes uint64', '4 refused uint64', '5 expired uint64',
    '6 cancelled uint64', '7 instances InstanceStats*', '8 instancesLeftOut uint64',
  ],
  InstanceStats: [
    '1 instance string', '2 version string', '3 endpoints string*', '4 host string', '5 process uint32',
    '6 startedMs uint64', '7 health enum', '8 metadata Header*', '9 creditRequests uint32',
    '10 inFlight uint64', '11 replies uint64*', '12 forwarded uint64', '13 expired uint64',
    '14 cancelled uint64', '15 broken uint64', '16 waitUs uint64*', '17 runUs uint64*',
  ],
  TraceRequest: ['1 requestId bytes'],
  TraceReply: ['1 requests TracedRequest*'],
  TracedRequest: [
    '1 requestId bytes', '2 parentRequestId bytes', '3 gatewayId bytes', '4 timeUs uint64',
    '5 steps TraceStep*',
  ],
  TraceStep: [
    '1 kind enum', '2 atUs uint64', '3 service string', '4 version string', '5 instance string',
    '6 endpoint string', '7 number uint32',
  ],
};

const ENUMS = {
  Durability: { DEFAULT: 0, MEMORY: 1, DISK: 2, REPLICATED: 3 },
  JobState: {
    UNSPECIFIED: 0, SCHEDULED: 1, READY: 2, LEASED: 3, WAITING: 4, DONE: 5, FAILED: 6, DEAD: 7,
    CANCELLED: 8, EXPIRED: 9,
  },
  ResultState: { UNSPECIFIED: 0, PENDING: 1, REPLIED: 2, FAILED: 3 },
  Health: { UNSPECIFIED: 0, HEALTHY: 1, UNHEALTHY: 2, DRAINING: 3 },
  TraceKind: {
    UNSPECIFIED: 0, ACCEPTED: 1, WAITING: 2, STARTED: 3, FORWARDED: 4, REPLIED: 5, ENDED: 6, RETURNED: 7,
  },
};

module.exports = { MESSAGES, ENUMS };
