//! As much of Redis's protocol as the load needs: commands are bytes that were made before, answers
//! are walked without making anything of them.

use anyhow::{Context, Result, bail};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for one read; several answers' worth.
const READ_BYTES: usize = 128 * 1024;

/// One element of an answer.
#[derive(Debug)]
pub enum Token {
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
pub struct Connection {
    stream: TcpStream,
    incoming: BytesMut,
    /// Where the next token begins.
    at: usize,
    text: std::ops::Range<usize>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            incoming: BytesMut::with_capacity(READ_BYTES),
            at: 0,
            text: 0..0,
        })
    }

    /// Writes commands.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send(&mut self, commands: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(commands).await?)
    }

    /// The next element of the answers, waiting for it.
    ///
    /// # Errors
    /// An error that Redis answered, or the end of the connection.
    pub async fn token(&mut self) -> Result<Token> {
        loop {
            if let Some(token) = self.token_here()? {
                return Ok(token);
            }
            self.incoming.advance(self.at);
            self.at = 0;
            self.incoming.reserve(READ_BYTES);
            let bytes = self.stream.read_buf(&mut self.incoming).await?;
            (bytes > 0)
                .then_some(())
                .context("Redis closed the connection")?;
        }
    }

    /// The next element, if it is here.
    ///
    /// # Errors
    /// An error that Redis answered.
    pub fn token_here(&mut self) -> Result<Option<Token>> {
        let rest = &self.incoming[self.at..];
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
                Ok(length) if self.incoming.len() < after + length + 2 => return Ok(None),
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
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.incoming[self.text.clone()]
    }

    /// Sends one command and gives the first number of its answer.
    ///
    /// # Errors
    /// If there is none.
    pub async fn ask(&mut self, words: &[&[u8]]) -> Result<i64> {
        let mut out = Vec::new();
        command(&mut out, words);
        self.send(&out).await?;
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

/// Appends a command.
pub fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
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
