//! `verteilt://host:port/namespace` to its parts.

use verteilt_protocol::Name;
use verteilt_protocol::limits::BROKER_PORT;

use crate::error::ClientError;

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address, an IPv6 one without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) namespace: Option<Name>,
}

impl Address {
    /// Reads `verteilt://host[:port][/namespace]`.
    pub(crate) fn parse(text: &str) -> Result<Self, ClientError> {
        let refuse = |reason: &str| ClientError::Address {
            text: text.into(),
            reason: reason.into(),
        };
        let url = ::url::Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if url.scheme() != "verteilt" {
            return Err(refuse("the scheme is not `verteilt`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(
                "this version knows no authentication, leave the user out",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("nothing may follow the namespace"));
        }
        let host = match url.host() {
            Some(::url::Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(::url::Host::Ipv4(address)) => address.to_string(),
            Some(::url::Host::Ipv6(address)) => address.to_string(),
            _ => return Err(refuse("it names no host")),
        };
        let namespace = match url.path().trim_start_matches('/') {
            "" => None,
            name => Some(Name::parse(name).map_err(|error| refuse(&error.to_string()))?),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(BROKER_PORT),
            namespace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_defaults() {
        let address = Address::parse("verteilt://10.0.0.7:7451/billing").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("10.0.0.7", 7451));
        assert_eq!(address.namespace.unwrap().as_str(), "billing");
        let address = Address::parse("verteilt://broker.internal").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port),
            ("broker.internal", BROKER_PORT)
        );
        assert_eq!(address.namespace, None);
        assert_eq!(Address::parse("verteilt://[::1]:9").unwrap().host, "::1");
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "127.0.0.1:7450",
            "http://127.0.0.1:7450",
            "verteilt://",
            "verteilt://user@host",
            "verteilt://host/Bad Name",
            "verteilt://host/a/b",
            "verteilt://host?x=1",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(
                matches!(error, ClientError::Address { .. }),
                "{text}: {error}"
            );
        }
    }
}
