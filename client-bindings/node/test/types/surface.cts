// The same types for who requires it.
import verteilt = require('verteilt');

async function main(): Promise<void> {
  const client: verteilt.Client = await verteilt.connect();
  const pushed: verteilt.Pushed = await client.push('queue');
  console.log(pushed.id);
}
main();
