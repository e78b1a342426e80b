/// <reference types="node" />
import { IncomingMessage, ServerResponse } from 'node:http';

import { Client, ConnectOptions, InInstances, Request, Running, ServeOptions, Service } from '../index';

declare module 'node:http' {
  interface IncomingMessage {
    /** The request of the queue, for asking other services and the like. Not there if it came over a socket. */
    verteilt?: Request;
  }
}

/** As a server of `node:http` takes it. What it returns is not used; a promise that rejects is a failure. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Options of `client.serve`, `concurrency` being 1,024 by default, and which service of which broker. */
export type HandlerOptions = ServeOptions & Partial<InInstances> & { service: string } & (
  | { url?: string; connection?: ConnectOptions; client?: undefined }
  | { client: Client; url?: undefined; connection?: undefined }
);

/** A handler that serves. */
export interface Serving {
  readonly client: Client;
  /** With `instances`, the children. */
  readonly service: Service | Running;
  /** Takes no more requests, waits for those in flight, at most `graceMs` (10,000); gives how many were left. */
  drain(options?: { graceMs?: number }): Promise<number>;
  /** The same at once. */
  close(): Promise<void>;
}

/** Serves HTTP requests that come over the queue with any handler, such as an Express application. */
export function serve(handler: Handler, options: HandlerOptions): Promise<Serving>;

/** Mounts the class of every source file of a folder on an application; gives the instances. */
export function loadRoutes<Router, Context = undefined>(
  app: { use(path: string, router: Router): unknown },
  folder: string,
  options: { Router: () => Router; context?: Context },
): Promise<object[]>;
