//! Which request goes where.
//!
//! | file | what it knows |
//! |---|---|
//! | `file.rs` | the route file: reading it, and everything that can be wrong with it |
//! | `route.rs` | one row, with its limits |
//! | `host.rs` | which host a row is for |
//! | `table.rs` | [`Table`]: finding the row of a request |
//! | `default.rs` | `/<service>/...`, without a file |
//! | `watch.rs` | a file that changes while the gateway runs |

mod default;
mod file;
mod host;
mod route;
mod table;
mod watch;

use std::sync::Arc;

use parking_lot::RwLock;

pub use file::{RouteFileError, RouteMistake};
pub use table::Table;
pub use watch::watch;

pub(crate) use route::{Route, Turn};
pub(crate) use table::Found;

/// The routes in force. Clones are one and the same; a request keeps what it found when they change.
#[derive(Clone, Debug)]
pub struct Routes(Arc<RwLock<Arc<Table>>>);

impl Routes {
    /// These, until others take their place.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(table))))
    }

    /// From the next request on. Rows of the same name count their requests in flight together.
    pub fn replace(&self, mut table: Table) {
        let mut current = self.0.write();
        table.take_counts_of(&current);
        *current = Arc::new(table);
    }

    pub(crate) fn current(&self) -> Arc<Table> {
        Arc::clone(&self.0.read())
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Table::default())
    }
}
