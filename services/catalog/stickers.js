// The catalogue: every emoji of Unicode is a sticker. A group has one price.

import { createRequire } from 'node:module';

const emojis = createRequire(import.meta.url)('unicode-emoji-json/data-by-emoji.json');

const CENTS = {
  'Smileys & Emotion': 120,
  'People & Body': 130,
  'Animals & Nature': 190,
  'Food & Drink': 160,
  'Travel & Places': 180,
  Activities: 170,
  Objects: 150,
  Symbols: 90,
  Flags: 140,
};
/** How many of each are printed. */
const PRINTED = 24;

const stickers = Object.entries(emojis).map(([emoji, { name, slug, group }]) => ({
  id: slug, name, emoji, group, cents: CENTS[group], room: PRINTED,
}));
const byId = new Map(stickers.map((sticker) => [sticker.id, sticker]));

export const groups = Object.keys(CENTS);

export function find(id) {
  return byId.get(id);
}

/** Those whose name has every word that is looked for. */
export function search(text, group) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return stickers.filter((sticker) => (!group || sticker.group === group)
    && words.every((word) => sticker.name.includes(word)));
}
