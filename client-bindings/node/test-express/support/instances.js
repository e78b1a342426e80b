// An application in two processes; each tells its own number.

import express from 'express5';
import { serve } from 'verteilt';

const app = express();
app.get('/', (req, res) => res.json(process.env.VERTEILT_INSTANCE));
app.get('/die', () => process.exit(1));

await serve(app, { service: 'several', url: process.argv[2], instances: 2, concurrency: 1 });
if (process.env.VERTEILT_INSTANCE === undefined) console.log('listening on several');
