const { ServiceBroker } = require('moleculer');
const broker = new ServiceBroker({ nodeID: 'service', transporter: process.argv[2], logger: false });
broker.createService({ name: 'shop', actions: { item: { handler: (ctx) => ({ id: ctx.params.id, name: 'a thing', price: 250 }) } } });
broker.start().then(() => console.log('ready'));
