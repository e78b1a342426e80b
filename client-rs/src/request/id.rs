//! The names of requests and inboxes: 128 random bits, written as 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use crate::error::ClientError;

macro_rules! id {
    ($name:ident, $text:literal) => {
        #[doc = $text]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = ClientError;

            fn from_str(text: &str) -> Result<Self, ClientError> {
                let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
                number.map(Self).ok_or_else(|| ClientError::BadArgument {
                    reason: format!("`{text}` is no id: it has 32 hexadecimal digits"),
                })
            }
        }

        impl $name {
            pub(crate) fn to_wire(self) -> bytes::Bytes {
                bytes::Bytes::copy_from_slice(&self.0.to_be_bytes())
            }

            pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
                Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
            }
        }
    };
}

id!(
    RequestId,
    "Names a request on its whole way, across services."
);
id!(
    GatewayId,
    "Names the inbox of a client: where the replies to its requests come."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = RequestId(0x0123_4567_89ab_cdef_u128);
        assert_eq!(id.to_string(), "00000000000000000123456789abcdef");
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        assert_eq!(RequestId::from_wire(&id.to_wire()), Some(id));
        for bad in ["", "12", "+0000000000000000123456789abcdef", "0x"] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad}");
        }
    }
}
