'use strict';

// Any Node handler of `(req, res)` over the queue: README.md beside `test-express` tells how.

const { loadRoutes } = require('./routes');
const { serve } = require('./serve');

module.exports = { serve, loadRoutes };
