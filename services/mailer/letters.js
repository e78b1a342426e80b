// What customers get to read.

const euros = (cents) => `${(cents / 100).toFixed(2)} €`;

export function confirmation({ order, mail, receipt, lines, total_cents: total }) {
  const what = lines.map(({ emoji, name, count }) => `${count} × ${emoji} ${name}`).join(', ');
  return {
    kind: 'confirmation',
    order,
    to: mail,
    subject: `Your stickers are on their way (receipt ${receipt})`,
    text: `${what}: ${euros(total)}. Thank you!`,
  };
}

export function reminder({ order, mail, lines }) {
  return {
    kind: 'reminder',
    order,
    to: mail,
    subject: `Where did you put ${lines[0].emoji}?`,
    text: 'Show us what you have stuck them on.',
  };
}
