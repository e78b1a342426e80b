//! Environment variables over the file: `VERTEILT_LISTEN`, `VERTEILT_JOURNAL__BYTES_MAX`.

use figment::providers::Env;

/// In front of every variable.
pub(super) const PREFIX: &str = "VERTEILT_";

/// Between a section and its key.
pub(super) const SECTION: &str = "__";

/// Variables of other commands, and what `verteilt work` tells the programs it runs.
const OTHERS: [&str; 6] = ["url", "log", "config", "queue", "job_id", "job_attempt"];

/// The variables that name a key. An empty one counts as unset, as deployment files write it.
pub(super) fn provider() -> Env {
    Env::prefixed(PREFIX)
        .filter(|key| is_key(&key.as_str().to_ascii_lowercase()))
        .split(SECTION)
}

/// `name` is in lower case, without the prefix.
fn is_key(name: &str) -> bool {
    !OTHERS.contains(&name) && !is_service_link(name) && !is_empty(name)
}

/// Kubernetes gives every container variables for each service beside it: for one that is called
/// `verteilt...` they begin like ours.
fn is_service_link(name: &str) -> bool {
    let name = format!("_{name}");
    name.ends_with("_service_host")
        || name.contains("_service_port")
        || name.ends_with("_port")
        || name.contains("_tcp")
}

fn is_empty(name: &str) -> bool {
    let variable = format!("{PREFIX}{}", name.to_ascii_uppercase());
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_somebody_else() {
        for name in ["url", "log", "port", "service_host", "service_port_broker"] {
            assert!(!is_key(name), "{name}");
        }
        for name in [
            "gateway_port_7480_tcp_addr",
            "gateway_service_host",
            "port_7450_tcp",
        ] {
            assert!(!is_key(name), "{name}");
        }
        for name in ["listen", "lisen", "journal__bytes_max", "connections__max"] {
            assert!(is_key(name), "{name}");
        }
    }
}
