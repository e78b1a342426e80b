//! As much of Redis's protocol as the load needs: commands are bytes that were made before, answers
//! are walked without making anything of them.

use anyhow::{Context, Result, bail, ensure};
use bytes::Buf as _;

use super::wire::{Answers, Wire};
use crate::QUEUE;

/// One element of an answer.
#[derive(Debug)]
pub(super) enum Token {
    /// So many elements follow.
    List(usize),
    /// A text that stands in [`Connection::text`] until the next token.
    Text,
    /// A number.
    Number(i64),
    /// Nothing, in place of a text or a list.
    Nil,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    /// Where the next token begins.
    at: usize,
    text: std::ops::Range<usize>,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        Ok(Self {
            wire: Wire::open(port).await?,
            at: 0,
            text: 0..0,
        })
    }

    /// The next element of the answers, waiting for it.
    pub(super) async fn token(&mut self) -> Result<Token> {
        loop {
            if let Some(token) = self.token_here()? {
                return Ok(token);
            }
            self.forget();
            self.wire.more().await?;
        }
    }

    /// Lets go of what was walked.
    fn forget(&mut self) {
        self.wire.incoming.advance(self.at);
        self.at = 0;
    }

    /// The next element, if it is here.
    pub(super) fn token_here(&mut self) -> Result<Option<Token>> {
        let rest = &self.wire.incoming[self.at..];
        let Some(end) = rest.iter().take(512).position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = rest[..end]
            .strip_suffix(b"\r")
            .context("a line ends wrongly")?;
        let (kind, value) = line.split_first().context("an empty line")?;
        let after = self.at + end + 1;
        let token = match kind {
            b':' => Token::Number(number(value)?),
            b'*' => usize::try_from(number(value)?).map_or(Token::Nil, Token::List),
            b'+' => {
                self.text = self.at + 1..self.at + end - 1;
                Token::Text
            }
            b'$' => match usize::try_from(number(value)?) {
                Err(_) => Token::Nil,
                Ok(length) if self.wire.incoming.len() < after + length + 2 => return Ok(None),
                Ok(length) => {
                    self.text = after..after + length;
                    self.at = after + length + 2;
                    return Ok(Some(Token::Text));
                }
            },
            _ => bail!("Redis said {:?}", String::from_utf8_lossy(line)),
        };
        self.at = after;
        Ok(Some(token))
    }

    /// The text of the last token.
    pub(super) fn text(&self) -> &[u8] {
        &self.wire.incoming[self.text.clone()]
    }

    /// Sends one command and gives the first number of its answer.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<i64> {
        let mut out = Vec::new();
        command(&mut out, words);
        self.wire.send(&out).await?;
        let (mut left, mut first) = (1, None);
        while left > 0 {
            left -= 1;
            match self.token().await? {
                Token::List(length) => left += length,
                Token::Number(number) => first = first.or(Some(number)),
                Token::Text | Token::Nil => {}
            }
        }
        Ok(first.unwrap_or_default())
    }
}

impl Answers for Connection {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        add(QUEUE.as_bytes(), body)
    }

    /// Of XADD: an id each.
    fn take_answers(&mut self) -> Result<u64> {
        let mut answers = 0;
        while let Some(token) = self.token_here()? {
            ensure!(
                matches!(token, Token::Text),
                "XADD was answered with {token:?}"
            );
            answers += 1;
        }
        self.forget();
        Ok(answers)
    }
}

/// One job of a stream.
pub(super) fn add(stream: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    command(&mut out, &[b"XADD", stream, b"*", b"b", body]);
    out
}

/// Appends a command.
pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(digits: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(digits)?;
    Ok(text.parse()?)
}
