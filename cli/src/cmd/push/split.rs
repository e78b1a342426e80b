//! Cuts a stream of bytes into lines without copying them.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};

/// Bytes asked for in one read. A pipe gives what it has, so a slow writer's lines do not wait for
/// this many.
const READ_BYTES: usize = 128 * 1024;

/// The lines of a stream, a read's worth at a time.
pub(super) struct LineReader<R> {
    source: R,
    /// Holds the beginning of a line whose end has not been read yet.
    unfinished: BytesMut,
    line_bytes_max: usize,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(source: R, line_bytes_max: usize) -> Self {
        Self {
            source,
            unfinished: BytesMut::new(),
            line_bytes_max,
            ended: false,
        }
    }

    /// All whole lines of the next reads, without their newlines; the last line needs none.
    /// `None` at the end.
    pub(super) fn next_lines(&mut self) -> io::Result<Option<Vec<Bytes>>> {
        while !self.ended {
            let held = self.unfinished.len();
            self.unfinished.resize(held + READ_BYTES, 0);
            let read = read_some(&mut self.source, &mut self.unfinished[held..]);
            self.unfinished
                .truncate(held + *read.as_ref().unwrap_or(&0));
            self.ended = read? == 0;
            // What was held before had no newline: look at the new bytes only.
            if let Some(last) = self.unfinished[held..]
                .iter()
                .rposition(|byte| *byte == b'\n')
            {
                let whole = self.unfinished.split_to(held + last + 1).freeze();
                self.check_unfinished()?;
                return self.cut(&whole.slice(..whole.len() - 1)).map(Some);
            }
            self.check_unfinished()?;
        }
        if self.unfinished.is_empty() {
            return Ok(None);
        }
        Ok(Some(vec![self.unfinished.split().freeze()]))
    }

    fn cut(&self, whole: &Bytes) -> io::Result<Vec<Bytes>> {
        let lines: Vec<Bytes> = whole
            .split(|byte| *byte == b'\n')
            .map(|line| whole.slice_ref(line))
            .collect();
        match lines.iter().find(|line| line.len() > self.line_bytes_max) {
            Some(_) => Err(self.too_long()),
            None => Ok(lines),
        }
    }

    fn check_unfinished(&self) -> io::Result<()> {
        if self.unfinished.len() > self.line_bytes_max {
            Err(self.too_long())
        } else {
            Ok(())
        }
    }

    fn too_long(&self) -> io::Error {
        let limit = self.line_bytes_max;
        io::Error::other(format!(
            "a line is longer than a job's body may be ({limit} bytes)"
        ))
    }
}

/// Cuts lines into batches that the broker takes as a whole: so they keep their order.
pub(super) fn batches(lines: Vec<Bytes>, jobs_max: usize, bytes_max: usize) -> Vec<Vec<Bytes>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for line in lines {
        if !batch.is_empty() && (batch.len() == jobs_max || bytes + line.len() > bytes_max) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += line.len();
        batch.push(line);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn read_some(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pieces one read at a time.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            into[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn lines(pieces: &[&'static [u8]], max: usize) -> io::Result<Vec<Bytes>> {
        let mut reader = LineReader::new(Pieces(pieces.to_vec()), max);
        let mut all = Vec::new();
        while let Some(lines) = reader.next_lines()? {
            all.extend(lines);
        }
        Ok(all)
    }

    #[test]
    fn every_line_is_a_job_the_empty_and_the_last_too() {
        assert_eq!(lines(&[b"a\n\nb"], 9).unwrap(), ["a", "", "b"]);
        assert_eq!(lines(&[b"a\n"], 9).unwrap(), ["a"]);
        assert_eq!(lines(&[b"\n"], 9).unwrap(), [""]);
        assert_eq!(lines(&[], 9).unwrap(), Vec::<Bytes>::new());
    }

    #[test]
    fn lines_across_reads_and_bytes_of_any_kind() {
        assert_eq!(
            lines(&[b"a", b"b\nc", b"\n", b"d\r\n"], 9).unwrap(),
            ["ab", "c", "d\r"]
        );
        assert_eq!(lines(&[b"\xff\0\n"], 9).unwrap(), [&b"\xff\0"[..]]);
    }

    #[test]
    fn batches_are_bounded_by_jobs_and_by_bytes() {
        let lines = |texts: &[&'static str]| texts.iter().copied().map(Bytes::from).collect();
        let sizes = |texts: &[&'static str]| -> Vec<usize> {
            batches(lines(texts), 3, 4).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&["", "", "", ""]), [3, 1]);
        assert_eq!(sizes(&["ab", "cd", "e"]), [2, 1]);
        assert_eq!(sizes(&["abcdefgh", "i"]), [1, 1]);
    }

    #[test]
    fn a_line_over_the_limit_is_refused() {
        assert!(lines(&[b"123", b"456\n"], 6).is_ok());
        assert!(lines(&[b"123", b"4567\n"], 6).is_err());
        assert!(lines(&[b"123", b"4567"], 6).is_err());
    }
}
