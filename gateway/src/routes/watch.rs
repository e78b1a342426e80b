//! A route file that changes while the gateway runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Notify;

use super::Routes;
use super::table::Table;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// Puts what the file says in force whenever it says something else, looking once a second and
/// whenever `now` is notified. What cannot be read changes nothing and is logged once. `text` is what
/// is in force. Ends when it is dropped.
pub async fn watch(path: PathBuf, mut text: String, routes: Routes, now: &Notify) {
    let mut refused = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = now.notified() => refused = None,
        }
        let found = match tokio::fs::read_to_string(&path).await {
            Ok(found) => found,
            Err(error) => {
                tell_once(&mut refused, &path, error.to_string());
                continue;
            }
        };
        if found == text {
            refused = None;
            continue;
        }
        match Table::parse(&found) {
            Ok(table) => {
                tracing::info!(file = %path.display(), routes = table.len(), "new routes are in force");
                routes.replace(table);
                (text, refused) = (found, None);
            }
            Err(error) => tell_once(&mut refused, &path, error.to_string()),
        }
    }
}

fn tell_once(told: &mut Option<String>, path: &Path, error: String) {
    if told.as_ref() != Some(&error) {
        let file = path.display();
        tracing::error!(%file, "the route file is not used, the routes stay as they were: {error}");
        *told = Some(error);
    }
}
