export default class Health {
  constructor(router, context) {
    router.get('/health', (req, res) => res.send(context.name));
  }
}
