//! What a queue, topic, service or namespace may be called: `[a-z0-9][a-z0-9._-]{0,199}`.
//! A dot is a level for wildcards.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::NAME_BYTES_MAX;

/// A name that keeps the rules. Cloning copies no bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name has at least one character")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Begins with a dot, an underscore or a hyphen.
    #[error("a name begins with a letter a-z or a digit, not with {found:?}")]
    BadStart {
        /// Its first character.
        found: char,
    },
    /// A character that no name may hold.
    #[error("a name holds a-z, 0-9, '.', '_' and '-' only, not {found:?} (byte {at})")]
    BadCharacter {
        /// Where it stands, in bytes from 0.
        at: usize,
        /// The character.
        found: char,
    },
}

impl Name {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Checks without keeping: no allocation.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        let first = text.chars().next().ok_or(NameError::Empty)?;
        let allowed = |found: char| matches!(found, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        if let Some((at, found)) = text.char_indices().find(|(_, found)| !allowed(*found)) {
            return Err(NameError::BadCharacter { at, found });
        }
        if matches!(first, '.' | '_' | '-') {
            return Err(NameError::BadStart { found: first });
        }
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

// Hash and order of a Name are those of its text, so a map of names can be asked with a &str.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_keep_the_rules() {
        for text in [
            "a",
            "0",
            "mail",
            "eu.west.mail-out_2",
            "a.",
            "a..b",
            &"x".repeat(200),
        ] {
            assert_eq!(Name::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_that_break_them() {
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(
            Name::parse(&"x".repeat(201)),
            Err(NameError::TooLong { bytes: 201 })
        );
        for found in ['.', '_', '-'] {
            let text = format!("{found}a");
            assert_eq!(Name::parse(&text), Err(NameError::BadStart { found }));
        }
        for found in ['A', ' ', '/', '*', '>', '\0', '\n', 'ä', '漢'] {
            let text = format!("ab{found}c");
            assert_eq!(
                Name::parse(&text),
                Err(NameError::BadCharacter { at: 2, found })
            );
        }
    }

    #[test]
    fn json_is_the_text_and_is_checked() {
        let name = Name::parse("mail").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"mail\"");
        assert_eq!(serde_json::from_str::<Name>("\"mail\"").unwrap(), name);
        assert!(serde_json::from_str::<Name>("\"MAIL\"").is_err());
    }
}
