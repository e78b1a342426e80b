const { ServiceBroker } = require('moleculer');
const Api = require('moleculer-web');
const broker = new ServiceBroker({ nodeID: 'gateway', transporter: process.argv[2], logger: false });
broker.createService({ name: 'api', mixins: [Api], settings: { port: +process.argv[3], ip: '127.0.0.1', routes: [{ path: '/', aliases: { 'GET items/:id': 'shop.item' }, bodyParsers: { json: true } }] } });
broker.start().then(() => broker.waitForServices('shop')).then(() => console.log('ready'));
