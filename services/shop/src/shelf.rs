//! The rows of `stock`: what is there, what was sold, and what has changed since when.

use std::collections::{BTreeMap, VecDeque};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Kinds of items that fit on the shelf.
const ITEMS_MAX: usize = 4_096;
/// Receipts that are remembered, for orders that are sent twice.
const RECEIPTS_MAX: usize = 1_000;

/// One row of the shelf.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    name: String,
    emoji: String,
    cents: u32,
    /// How many there were at first.
    pub(crate) room: u32,
    #[serde(default)]
    pub(crate) left: u32,
    #[serde(default)]
    pub(crate) sold: u32,
    /// The number of its latest change.
    #[serde(skip)]
    changed: u64,
}

/// What somebody pays for. Fields that are not named here stand in the receipt as they came.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Order {
    order: String,
    pub(crate) lines: Vec<Line>,
    /// Its number, once it is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<u64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// So many of an item.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    count: u32,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The shelf.
#[derive(Debug)]
pub(crate) struct Shelf {
    items: BTreeMap<String, Item>,
    changes: u64,
    receipts: VecDeque<Order>,
    sales: u64,
}

impl Default for Shelf {
    /// With what is always there; everything else comes from the catalogue when it is asked for.
    fn default() -> Self {
        let mut shelf = Self {
            items: BTreeMap::new(),
            changes: 0,
            receipts: VecDeque::new(),
            sales: 0,
        };
        for (id, emoji, cents) in [
            ("avocado", "🥑", 160),
            ("fox", "🦊", 190),
            ("hot_beverage", "☕", 160),
            ("octopus", "🐙", 190),
            ("rainbow", "🌈", 180),
            ("rocket", "🚀", 180),
            ("sailboat", "⛵", 180),
            ("saxophone", "🎷", 150),
        ] {
            shelf.add(Item {
                id: id.to_owned(),
                name: id.replace('_', " "),
                emoji: emoji.to_owned(),
                cents,
                room: 24,
                ..Item::default()
            });
        }
        shelf
    }
}

impl Shelf {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.items.contains_key(id)
    }

    /// Puts all of an item on the shelf, if it is not there and there is room.
    pub(crate) fn add(&mut self, mut item: Item) {
        if self.items.len() < ITEMS_MAX && !self.has(&item.id) {
            self.changes += 1;
            item.left = item.room;
            item.sold = 0;
            item.changed = self.changes;
            self.items.insert(item.id.clone(), item);
        }
    }

    pub(crate) fn take(&mut self, id: &str, count: u32) -> Result<Item, Refusal> {
        self.change(id, |item| {
            item.left = item.left.checked_sub(count).ok_or("sold out")?;
            Ok(())
        })
    }

    pub(crate) fn give(&mut self, id: &str, count: u32) -> Result<Item, Refusal> {
        self.change(id, |item| {
            let left = item.left.checked_add(count);
            let left = left.filter(|left| *left <= item.room - item.sold);
            item.left = left.ok_or("all of it is here already")?;
            Ok(())
        })
    }

    /// What was taken for the order is gone for good. An order that was sold already has the receipt
    /// that it got then.
    pub(crate) fn sell(&mut self, mut order: Order) -> Order {
        if let Some(receipt) = self.receipt(&order.order) {
            return receipt.clone();
        }
        for line in &order.lines {
            // Never more than was taken.
            let sold = self.change(&line.id, |item| {
                item.sold = item.room.min(item.sold + line.count);
                item.left = item.left.min(item.room - item.sold);
                Ok(())
            });
            debug_assert!(sold.is_ok() || !self.has(&line.id), "nothing refuses it");
        }
        self.sales += 1;
        order.receipt = Some(self.sales);
        self.receipts.push_back(order.clone());
        if self.receipts.len() > RECEIPTS_MAX {
            self.receipts.pop_front();
        }
        order
    }

    pub(crate) fn receipt(&self, order: &str) -> Option<&Order> {
        self.receipts.iter().rev().find(|sold| sold.order == order)
    }

    pub(crate) fn items(&self) -> Vec<&Item> {
        self.items.values().collect()
    }

    /// What has changed since the change of that number, and the number of the latest.
    pub(crate) fn since(&self, seen: u64) -> (Vec<&Item>, u64) {
        let items = self.items.values();
        (
            items.filter(|item| item.changed > seen).collect(),
            self.changes,
        )
    }

    fn change(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Item) -> Result<(), &'static str>,
    ) -> Result<Item, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no {id} here"));
        let item = self.items.get_mut(id).ok_or_else(unknown)?;
        change(item).map_err(|reason| Refusal::new(StatusCode::CONFLICT, reason))?;
        self.changes += 1;
        item.changed = self.changes;
        Ok(item.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(name: &str, count: u32) -> Order {
        let order = serde_json::json!({
            "order": name,
            "lines": [{ "id": "fox", "count": count, "cents": 190 }],
            "total_cents": 190 * count,
        });
        serde_json::from_value(order).expect("it is written as above")
    }

    #[test]
    fn an_order_that_is_sent_twice_is_sold_once() {
        let mut shelf = Shelf::default();
        shelf.take("fox", 3).expect("there are so many");
        let first = shelf.sell(order("a", 3));
        assert_eq!(shelf.sell(order("a", 3)), first);
        assert_ne!(shelf.sell(order("b", 0)).receipt, first.receipt);
        assert_eq!(first.rest["total_cents"], 570);
        assert_eq!(first.lines[0].rest["cents"], 190);
        let fox = shelf.take("fox", 0).expect("it is there");
        assert_eq!((fox.left, fox.sold, fox.room), (21, 3, 24));
    }

    #[test]
    fn what_is_sold_does_not_come_back() {
        let mut shelf = Shelf::default();
        shelf.take("fox", 24).expect("there are so many");
        assert!(shelf.take("fox", 1).is_err());
        shelf.sell(order("a", 20));
        assert!(shelf.give("fox", 5).is_err());
        assert_eq!(shelf.give("fox", 4).expect("they were lent").left, 4);
    }

    #[test]
    fn only_what_has_changed_is_told_again() {
        let mut shelf = Shelf::default();
        let (all, seen) = shelf.since(0);
        assert_eq!(all.len(), shelf.items.len());
        shelf.take("fox", 1).expect("it is there");
        let (changed, _) = shelf.since(seen);
        assert_eq!(
            changed.iter().map(|item| &*item.id).collect::<Vec<_>>(),
            ["fox"]
        );
    }
}
