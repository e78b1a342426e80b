/// <reference types="node" />
import { EventEmitter } from 'node:events';

export * from './http/index';

/** Bytes, or a string that is sent as UTF-8. */
export type Data = string | Uint8Array;
/** What is sent as it is read. */
export type DataStream = AsyncIterable<Data> | Iterable<Data>;
export type HeaderValue = string | number | bigint | boolean | Uint8Array;
export type HeadersInit =
  | HeaderBlock
  | Iterable<readonly [string, HeaderValue]>
  | { readonly [name: string]: HeaderValue | readonly HeaderValue[] | undefined };
export type Durability = 'memory' | 'disk';

/** Everything that can go wrong. */
export class VerteiltError extends Error {
  constructor(code: string, message: string, details?: {
    number?: number; retryable?: boolean; retryAfterMs?: number; cause?: unknown;
  });
  /** A code of the protocol (`NO_WORKER`), or one of this client's own (`CLOSED`). */
  readonly code: string;
  /** The code's number on the wire; 0 for those of this client. */
  readonly number: number;
  /** The same call, unchanged, may succeed later. */
  readonly retryable: boolean;
  /** Wait at least so long; 0: no advice. */
  readonly retryAfterMs: number;
  /** Of DEADLINE_EXCEEDED and the like: who held the request. */
  readonly holder?: { service: string; version: string; instance: string };
}

/** Headers in their order, with names that may repeat. */
export class HeaderBlock implements Iterable<[string, string]> {
  constructor(init?: HeadersInit);
  static from(init?: HeadersInit): HeaderBlock;
  readonly size: number;
  /** The first value of a name, whatever its case. */
  get(name: string): string | undefined;
  getAll(name: string): string[];
  has(name: string): boolean;
  [Symbol.iterator](): Iterator<[string, string]>;
  /** Pairs of a name and bytes. */
  readonly raw: [string, Buffer][];
  /** Names and values in turn, each byte of a value a character. */
  readonly latin1: string[];
  /** The last value of each name, by its name in lower case. */
  toObject(): Record<string, string>;
}

/** A body on its way in. */
export interface Body extends AsyncIterable<Buffer> {
  /** The next piece, null at the end. */
  read(): Promise<Buffer | null>;
  bytes(): Promise<Buffer>;
  text(): Promise<string>;
  json(): Promise<any>;
  /** Nothing more of it is wanted. */
  cancel(): void;
}

export interface ConnectOptions {
  signal?: AbortSignal;
  /** In the broker's logs; at most 200 bytes. */
  name?: string;
  namespace?: string;
  authentication?: { scheme: string; data: Uint8Array };
  /** One attempt to connect: 5,000. */
  connectTimeoutMs?: number;
  /** How long the first connection is tried for: 0, one attempt. */
  connectWaitMs?: number;
  /** Every call but pushes and settlings: 30,000. */
  requestTimeoutMs?: number;
  closeTimeoutMs?: number;
  /** Bytes of pushes that may be unanswered: 8 MiB, at least 2 MiB. */
  pushBytesMax?: number;
  reconnect?: { delayFirstMs?: number; delayMaxMs?: number; deadlineMs?: number };
}

export function connect(url?: string, options?: ConnectOptions): Promise<Client>;

export interface ClientEvents {
  connected: [{ epoch: number | bigint; brokerId: string; serverVersion: string; capabilities: string[] }];
  disconnected: [Error];
  reconnecting: [{ attempt: number; delayMs: number }];
  closed: [Error];
}

export class Client extends EventEmitter {
  private constructor();
  on<E extends keyof ClientEvents>(event: E, listener: (...details: ClientEvents[E]) => void): this;
  once<E extends keyof ClientEvents>(event: E, listener: (...details: ClientEvents[E]) => void): this;
  off<E extends keyof ClientEvents>(event: E, listener: (...details: ClientEvents[E]) => void): this;

  readonly connected: boolean;
  readonly gatewayId: string;
  readonly queues: Queues;
  readonly topics: Topics;

  push(queue: string, body?: Data | null, options?: PushOptions): Promise<Pushed>;
  pushBatch(queue: string, bodies: readonly (Data | null)[], options?: PushOptions): Promise<Pushed[]>;
  subscribe(queue: string, options?: SubscribeOptions): Subscription;
  reserve(queue: string, options?: { max?: number; waitMs?: number; signal?: AbortSignal }): Promise<Job[]>;
  work(queue: string, options: WorkOptions & InInstances, handler: (job: Job) => unknown): Promise<Running>;
  work(queue: string, options: WorkOptions, handler: (job: Job) => unknown): Promise<Worker>;

  request(service: string, options?: RequestOptions): Promise<Response>;
  /** Of durability disk: resolves when the broker has it on its disk. */
  detach(service: string, options?: Omit<RequestOptions, 'durability'>): Promise<{ requestId: string; known: boolean }>;
  /** What came of a request of durability disk. */
  result(requestId: string, options?: { waitMs?: number; signal?: AbortSignal }): Promise<Result>;
  serve(
    service: string,
    options: ServeOptions & InInstances,
    handler: (request: Request) => ReplyInit | void | PromiseLike<ReplyInit | void>,
  ): Promise<Running>;
  serve(
    service: string,
    options: ServeOptions,
    handler: (request: Request) => ReplyInit | void | PromiseLike<ReplyInit | void>,
  ): Promise<Service>;
  services(options?: { service?: string; signal?: AbortSignal }): Promise<ServiceStats[]>;
  trace(requestId: string, options?: { signal?: AbortSignal }): Promise<TracedRequest[]>;

  /** Takes nothing new, waits for what is under way, says goodbye. */
  close(options?: { timeoutMs?: number }): Promise<void>;
}

/** In children of this process, supervised: the script runs again in each, and comes to this call there. */
export interface InInstances {
  instances: 'cores' | number;
  /** How long a child may go on when it drains: 10,000. */
  graceMs?: number;
}

/** What runs here, or in children. */
export interface Running {
  readonly ended: Promise<Error | null>;
  drain(options?: { graceMs?: number }): Promise<unknown>;
  /** Of children only. */
  readonly pids?: number[];
  readonly restarts?: number;
}

// ---- requests

export interface RequestOptions {
  endpoint?: string;
  headers?: HeadersInit;
  body?: Data | DataStream | null;
  /** Only workers of this version. */
  version?: string;
  /** Until the reply must have begun: 30,000. */
  deadlineMs?: number;
  signal?: AbortSignal;
  durability?: Durability;
  /** 32 hexadecimal digits, new for each request. Of durability disk the same id is the same request. */
  id?: string;
  /** Of durability disk, at most 32 bytes: the same for what is the same request. */
  fingerprint?: Data;
}

export interface Response {
  readonly requestId: string;
  readonly status: number;
  readonly headers: HeaderBlock;
  readonly body: Body;
  /** Of durability disk: the request had been accepted before it was sent. */
  readonly replayed: boolean;
}

/** Kept by the broker for a time. */
export type Result = { requestId: string; leftMs: number } & (
  | { state: 'pending' }
  | { state: 'replied'; status: number; headers: HeaderBlock; body: Body }
  | { state: 'failed'; error: VerteiltError }
);

export interface ReplyInit {
  status?: number;
  headers?: HeadersInit;
  body?: Data | null;
}

export interface ServeOptions {
  /** Requests held at one time: 64. */
  concurrency?: number;
  creditBytes?: number;
  version?: string;
  instance?: string;
  endpoints?: string[];
  metadata?: HeadersInit;
  host?: string;
  signal?: AbortSignal;
  onError?(error: unknown, request: Request): void;
}

export type Health = 'healthy' | 'unhealthy' | 'draining';

export interface Service {
  readonly name: string;
  readonly instance: string;
  readonly health: Health;
  readonly inFlight: number;
  /** null if its end was asked for. */
  readonly ended: Promise<VerteiltError | null>;
  setHealth(health: Health): Promise<void>;
  /** Gives how many requests were left after `graceMs` (10,000). */
  drain(options?: { graceMs?: number }): Promise<number>;
  close(): Promise<void>;
}

export interface ForwardOptions {
  endpoint?: string;
  headers?: HeadersInit;
  body?: Data | DataStream | null;
  version?: string;
}

/** A request that this process serves. */
export interface Request {
  readonly id: string;
  readonly gatewayId: string;
  readonly service: string;
  readonly version: string;
  readonly endpoint: string;
  readonly forwards: number;
  /** Of durability disk which run this is, from 1; else 0. */
  readonly attempt: number;
  readonly client: Client;
  /** Grows with each lease. */
  readonly token: number | bigint;
  readonly headers: HeaderBlock;
  /** Milliseconds since 1970. */
  readonly deadline: number;
  remainingMs(): number;
  readonly signal: AbortSignal;
  onCancel(callback: (error: VerteiltError) => void): void;
  readonly body: Body;
  readonly firstChunk: Buffer;
  /** `firstChunk` is all of the body. */
  readonly bodyEnded: boolean;
  /** The next piece behind `firstChunk`, null at the end. */
  read(): Promise<Buffer | null>;
  readonly replied: boolean;
  reply(status: number, headers?: HeadersInit | null, body?: Data | null): Promise<boolean>;
  replyStart(status: number, headers?: HeadersInit | null): ReplyStream;
  forward(service: string, options?: ForwardOptions): Promise<void>;
  call(service: string, options?: RequestOptions): Promise<Response>;
}

export interface ReplyStream {
  readonly writable: boolean;
  readonly closed: boolean;
  /** true: there is room for more; false: nobody wants it. */
  write(chunk: Data): Promise<boolean>;
  ready(): Promise<boolean>;
  end(chunk?: Data | null): Promise<boolean>;
  fail(): void;
}

export interface ServiceStats {
  service: string;
  waiting: number;
  waitingBytes: number;
  refused: number;
  expired: number;
  cancelled: number;
  instancesLeftOut: number;
  instances: InstanceStats[];
}

export interface InstanceStats {
  instance: string;
  version: string;
  endpoints: string[];
  host: string;
  process: number;
  startedMs: number;
  health: Health;
  metadata: [string, string][];
  creditRequests: number;
  inFlight: number;
  /** 1xx or none, 2xx, 3xx, 4xx, 5xx and above. */
  replies: number[];
  forwarded: number;
  expired: number;
  cancelled: number;
  broken: number;
  /** Entry i counts the times below 2^i microseconds that are in no entry before. */
  waitUs: number[];
  runUs: number[];
}

export interface TracedRequest {
  requestId: string;
  parentRequestId: string | null;
  gatewayId: string;
  timeUs: number;
  steps: {
    kind: 'accepted' | 'waiting' | 'started' | 'forwarded' | 'replied' | 'ended' | 'returned' | 'unknown';
    atUs: number;
    service: string;
    version: string;
    instance: string;
    endpoint: string;
    /** The status of a reply, or the number of an error. */
    number: number;
  }[];
}

// ---- jobs

export interface PushOptions {
  /** Higher first. */
  priority?: number;
  delayMs?: number;
  /** Runs in all: 20. */
  attempts?: number;
  leaseMs?: number;
  durability?: Durability;
  headers?: HeadersInit;
  /** How long the answer is waited for: without an end. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface Pushed {
  /** A decimal number. */
  id: string;
  durability: 'memory' | 'disk' | 'replicated';
  /** The broker had taken it before, and did not take it again. */
  duplicate: boolean;
}

export interface Job {
  readonly id: string;
  readonly queue: string;
  /** Which run this is, from 1. */
  readonly attempt: number;
  /** Grows with each lease: a fencing number. */
  readonly token: bigint;
  readonly leaseMs: number;
  readonly headers: HeaderBlock;
  readonly body: Buffer;
  readonly signal: AbortSignal;
  readonly isSettled: boolean;
  text(): string;
  json(): any;
  ack(): Promise<void>;
  nack(options?: { delayMs?: number }): Promise<void>;
  release(): Promise<void>;
  touch(leaseMs?: number): Promise<void>;
  keepAlive(): void;
}

export interface SubscribeOptions {
  /** Most jobs held unfinished: 64. */
  credit?: number;
  creditBytes?: number;
  signal?: AbortSignal;
}

export interface Subscription extends AsyncIterable<Job> {
  readonly queue: string;
  readonly open: boolean;
  readonly ready: Promise<void>;
  next(): Promise<Job | null>;
  setCredit(credit: number): Promise<void>;
  close(): Promise<void>;
}

export interface WorkOptions {
  /** Jobs at one time: 64. */
  concurrency?: number;
  creditBytes?: number;
  /** How long handlers may go on when it drains: 30,000. */
  graceMs?: number;
  signal?: AbortSignal;
  onError?(error: unknown, job: Job): void;
}

export interface WorkCounts {
  done: number;
  failed: number;
  lost: number;
  settledByHandler: number;
  released: number;
}

export interface Worker {
  readonly queue: string;
  readonly inFlight: number;
  readonly counts: WorkCounts;
  readonly ended: Promise<Error | null>;
  drain(options?: { graceMs?: number }): Promise<WorkCounts>;
}

export type JobState = 'scheduled' | 'ready' | 'leased' | 'failed' | 'dead';

export interface QueueStats {
  queue: string;
  paused: boolean;
  scheduled: number;
  ready: number;
  leased: number;
  waiting: number;
  done: number;
  failed: number;
  dead: number;
  cancelled: number;
  expired: number;
  pushed: number;
  subscriptions: number;
}

export interface PeekedJob {
  id: string;
  state: JobState;
  priority: number;
  attempts: number;
  attemptsMax: number;
  dueMs: number;
  bodyBytes: number;
  headers: HeaderBlock;
  body: Buffer;
}

export interface Queues {
  list(options?: { signal?: AbortSignal }): Promise<QueueStats[]>;
  stats(queue: string, options?: { signal?: AbortSignal }): Promise<QueueStats>;
  peek(queue: string, options?: { state?: JobState; max?: number; signal?: AbortSignal }): Promise<PeekedJob[]>;
  pause(queue: string, options?: { signal?: AbortSignal }): Promise<void>;
  resume(queue: string, options?: { signal?: AbortSignal }): Promise<void>;
  purge(queue: string, options?: { signal?: AbortSignal }): Promise<number>;
}

// ---- topics

export interface Retention {
  retentionMs?: number;
  /** Of each partition. */
  retentionBytes?: number;
}

export interface PublishOptions {
  key?: Data | null;
  partition?: number;
  headers?: HeadersInit;
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface Published {
  partition: number;
  offset: number;
  duplicate: boolean;
}

export interface ConsumeOptions {
  /** Default: `latest`; of a group `earliest`, where it has no position yet. */
  from?: 'earliest' | 'latest' | { offset: number } | { timeMs: number } | { time: Date };
  group?: string;
  partitions?: number[];
  /** Records on their way and not handed out: 4,096. */
  credit?: number;
  creditBytes?: number;
  signal?: AbortSignal;
}

export interface TopicRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timeMs: number;
  /** So many before this one were dropped by retention. */
  readonly skipped: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: HeaderBlock;
  text(): string;
  json(): any;
}

export interface Consumer extends AsyncIterable<TopicRecord> {
  readonly topic: string;
  readonly group: string | null;
  readonly open: boolean;
  readonly partitions: number[];
  next(): Promise<TopicRecord | null>;
  commit(place: { partition: number; offset: number }, options?: { signal?: AbortSignal }): Promise<void>;
  close(): Promise<void>;
}

export interface TopicStats {
  topic: string;
  partitions: number;
  retentionMs: number;
  retentionBytes: number;
  records: number;
  bytes: number;
  published: number;
  subscriptions: number;
  groups: number;
  firstOffsets: number[];
  nextOffsets: number[];
  partitionBytes: number[];
}

export interface GroupStats {
  group: string;
  members: number;
  lag: number;
  partitions: number[];
  offsets: number[];
  lags: number[];
}

export interface Topics {
  create(topic: string, options?: Retention & { partitions?: number; signal?: AbortSignal }): Promise<void>;
  setRetention(topic: string, options?: Retention & { signal?: AbortSignal }): Promise<void>;
  delete(topic: string, options?: { signal?: AbortSignal }): Promise<void>;
  list(options?: { signal?: AbortSignal }): Promise<TopicStats[]>;
  stats(topic: string, options?: { signal?: AbortSignal }): Promise<TopicStats>;
  groups(topic: string, options?: { signal?: AbortSignal }): Promise<GroupStats[]>;
  publish(topic: string, value?: Data | null, options?: PublishOptions): Promise<Published>;
  publishBatch(
    topic: string,
    records: readonly (Data | (PublishOptions & { value?: Data | null }))[],
    options?: PublishOptions,
  ): Promise<Published[]>;
  consume(topic: string, options?: ConsumeOptions): Promise<Consumer>;
}
