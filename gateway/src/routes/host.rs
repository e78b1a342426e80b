//! Which host a row is for.

use std::cmp::Reverse;

/// `shop.example.org`, `*.example.org` or any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostPattern {
    Exactly(String),
    /// What it ends with, dot included.
    Below(String),
    Any,
}

impl HostPattern {
    /// None: no host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (name, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_host) || without_port(name) != name {
            return None;
        }
        Some(if below {
            Self::Below(format!(".{name}"))
        } else {
            Self::Exactly(name.to_owned())
        })
    }

    /// The lower the sooner it is tried: the more exact first.
    pub(super) fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Exactly(_) => (0, Reverse(0)),
            Self::Below(end) => (1, Reverse(end.len())),
            Self::Any => (2, Reverse(0)),
        }
    }

    /// `host` is in lower case, without a port.
    pub(super) fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => name == host,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
            Self::Any => true,
        }
    }
}

/// `Example.org:8080` -> `Example.org`; `[::1]:80` -> `[::1]`.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_does_not_count() {
        for (host, name) in [
            ("a.b:80", "a.b"),
            ("a.b", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn patterns_fit_whole_labels() {
        let below = HostPattern::parse("*.Example.org").unwrap();
        assert!(below.fits("a.example.org") && below.fits("a.b.example.org"));
        assert!(!below.fits("example.org") && !below.fits("badexample.org"));
        assert!(HostPattern::parse("shop").unwrap().fits("shop"));
        for no_host in ["", "*", "*.", "a b", "a/b", "a:80"] {
            assert_eq!(HostPattern::parse(no_host), None, "{no_host}");
        }
    }
}
