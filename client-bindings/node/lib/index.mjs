// The ES module face: the CommonJS modules are the one instance of everything.
import verteilt from './index.js';

export const { connect, serve, loadRoutes, Client, HeaderBlock, VerteiltError } = verteilt;
export default verteilt;
