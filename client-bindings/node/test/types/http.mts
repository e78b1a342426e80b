// Compiled, never run: handlers over the queue.
import { connect, loadRoutes, serve, type Serving } from 'verteilt';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

const handler = async (req: IncomingMessage, res: ServerResponse) => {
  const answer = await req.verteilt?.call('pricing', { endpoint: 'GET /prices/4' });
  res.statusCode = answer?.status ?? 503;
  res.end(await answer?.body.text());
};
const serving: Serving = await serve(handler, { service: 'shop', url: 'verteilt://127.0.0.1:7450', concurrency: 8 });
const left: number = await serving.drain({ graceMs: 5 });
await serve(handler, { service: 'shop', client: await connect() });
await serve(handler, { service: 'shop', instances: 'cores', graceMs: 5 });
createServer(handler);
// @ts-expect-error which service?
await serve(handler, { url: 'verteilt://127.0.0.1' });
// @ts-expect-error one or the other
await serve(handler, { service: 'a', url: 'verteilt://127.0.0.1', client: serving.client });

interface Router { get(path: string): void }
declare const app: { use(path: string, router: Router): void };
declare const Router: () => Router;
const routes: object[] = await loadRoutes(app, 'routes', { Router, context: { name: 'shop' } });
export { left, routes };
