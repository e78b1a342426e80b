'use strict';

const { readdir } = require('node:fs/promises');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const SOURCES = new Set(['.js', '.cjs', '.mjs']);

/**
 * Loads the routes of a folder into an Express application, or whatever has `use`: every source file of it, in
 * the order of names, exports a class (as `module.exports` or as its default). Each is made with a router of
 * its own and the service's context; a static `path` says where its router is mounted, `/` otherwise.
 *
 * @param app what the routers are mounted on
 * @param {string} folder
 * @param {{ Router: () => object, context?: object }} options
 * @returns the instances, in the order of their files
 */
async function loadRoutes(app, folder, { Router, context } = {}) {
  if (typeof Router !== 'function') throw new TypeError('loadRoutes needs { Router: express.Router }');
  const files = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isFile() && SOURCES.has(path.extname(entry.name)))
    .map((entry) => entry.name)
    .sort();
  const routes = [];
  for (const name of files) {
    const file = path.resolve(folder, name);
    const Routes = (await import(pathToFileURL(file).href)).default;
    if (typeof Routes !== 'function' || Routes.prototype === undefined) {
      throw new TypeError(`${file} exports no class; export one that takes a router and a context`);
    }
    const router = Router();
    routes.push(new Routes(router, context));
    app.use(Routes.path ?? '/', router);
  }
  return routes;
}

module.exports = { loadRoutes };
