//! Durations and sizes as people write them: `250ms`, `1h30m`, `64MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written `30s` or `1h30m`. A bare number has no unit and is refused, but 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes, written `64MiB` or as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const SPANS_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZES: [(&str, u64); 7] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// Why a text is no duration or size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {wanted}")]
pub(crate) struct UnitError {
    found: String,
    wanted: &'static str,
}

impl Span {
    /// Whole milliseconds; what does not fit is a very long time anyhow.
    pub(crate) fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn from_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

/// The digits at the front, the letters after them, and the rest.
fn first_term(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start();
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    Some((number, &rest[..letters], rest[letters..].trim_start()))
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError {
            found: text.to_owned(),
            wanted: "duration such as 250ms, 30s or 1h30m",
        };
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text.trim();
        let mut total_ms = 0_u64;
        loop {
            let (number, unit, after) = first_term(rest).ok_or_else(wrong)?;
            let (_, ms) = SPANS_MS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?;
            let term = number.checked_mul(*ms).ok_or_else(wrong)?;
            total_ms = total_ms.checked_add(term).ok_or_else(wrong)?;
            if after.is_empty() {
                return Ok(Self::from_ms(total_ms));
            }
            rest = after;
        }
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError {
            found: text.to_owned(),
            wanted: "size such as 64MiB or 1048576",
        };
        let (number, unit, rest) = first_term(text.trim()).ok_or_else(wrong)?;
        let factor = match unit {
            "" | "B" => 1,
            _ => {
                let known = SIZES
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit));
                known.ok_or_else(wrong)?.1
            }
        };
        if !rest.is_empty() {
            return Err(wrong());
        }
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.as_ms();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in SPANS_MS {
            if left >= ms {
                write!(f, "{}{unit}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, bytes): &&(&str, u64)| self.0 >= *bytes && self.0.is_multiple_of(*bytes);
        match SIZES[..4].iter().find(exact) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads either form: a text, or a plain number where `from_number` allows it.
struct UnitVisitor<T> {
    wanted: &'static str,
    from_number: fn(u64) -> Option<T>,
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for UnitVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.from_number)(number)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let unexpected = de::Unexpected::Signed(number);
        let number = u64::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))?;
        self.visit_u64(number)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor {
            wanted: "a duration with its unit, such as \"30s\"",
            from_number: |number| (number == 0).then_some(Self(Duration::ZERO)),
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor {
            wanted: "a size, such as \"64MiB\" or 1048576",
            from_number: |number| Some(Self(number)),
        })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_written() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.as_ms(), ms, "{text}");
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("0".parse::<Span>().unwrap().to_string(), "0s");
        assert_eq!("5 s".parse::<Span>().unwrap().as_ms(), 5_000);
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "30",
            "s",
            "1x",
            "-1s",
            "1.5s",
            "1s2",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_and_written() {
        for (text, bytes, again) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("1048576", 1 << 20, "1MiB"),
            ("1 GiB", 1 << 30, "1GiB"),
            ("10mb", 10_000_000, "10000000"),
            ("17B", 17, "17"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), again);
        }
        for text in ["", "MiB", "1XB", "1.5GiB", "-1", "1MiB 2", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
