//! Who asks a gateway, over one connection that is kept alive.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::process::DEADLINE;

pub(super) struct Caller {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lines of its head, with the names in lower case.
    head: Vec<String>,
    pub(super) body: String,
}

impl Answer {
    /// The value of a header field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.iter().filter_map(|line| line.split_once(": "));
        fields.find_map(|(found, value)| (found == name).then_some(value))
    }
}

impl Caller {
    pub(super) fn connect(gateway: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(gateway.strip_prefix("http://").unwrap())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// `line` is method and path, and may have header fields behind it, each on a line of its own.
    pub(super) fn ask(&mut self, line: &str, body: &str) -> std::io::Result<Answer> {
        let (line, fields) = line.split_once("\r\n").unwrap_or((line, ""));
        let length = body.len();
        let request =
            format!("{line} HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n{fields}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            head.push(line.to_owned());
        }
        let status = head.first().and_then(|line| line.split(' ').nth(1));
        let mut answer = Answer {
            status: status.unwrap().parse().unwrap(),
            head,
            body: String::new(),
        };
        let length = answer.field("content-length");
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body)?;
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }
}
