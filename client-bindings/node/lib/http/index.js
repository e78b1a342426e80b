'use strict';

// Any Node handler of `(req, res)` over the queue: docs/express.md.

const { loadRoutes } = require('./routes');
const { serve } = require('./serve');

module.exports = { serve, loadRoutes };
