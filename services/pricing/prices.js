// What an order costs. Money is whole cents.

/** So many of one sticker cost a tenth less. */
const MANY = 3;
const VAT_PERCENT = 19;

/** @param items what the catalogue says of the lines' stickers */
export function priced(order, items) {
  const byId = new Map(items.map((item) => [item.id, item]));
  const lines = order.lines.map(({ id, count }) => {
    const { name, emoji, cents } = byId.get(id);
    const full = cents * count;
    const discount = count >= MANY ? Math.round(full / 10) : 0;
    return { id, count, name, emoji, cents, total_cents: full - discount, discount_cents: discount };
  });
  const sum = (key) => lines.reduce((total, line) => total + line[key], 0);
  const total = sum('total_cents');
  return {
    ...order,
    lines,
    discount_cents: sum('discount_cents'),
    vat_cents: total - Math.round((total * 100) / (100 + VAT_PERCENT)),
    total_cents: total,
  };
}
