module.exports = class Items {
  static path = '/items';

  constructor(router, context) {
    router.get('/:id', (req, res) => res.json({ id: req.params.id, price: context.prices[req.params.id] }));
  }
};
