//! The jobs of a batch inside one payload: for each its header block, then its body, back to back.
//! The message of the frame names the lengths.

use bytes::Bytes;

use crate::frame::FrameError;
use crate::limits::HEADER_BYTES_MAX;

/// The bytes of one job, sharing the memory of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSlices {
    /// The header block; empty if the job has none. See [`crate::decode_headers`].
    pub headers: Bytes,
    /// The body, or the part of it that came in this frame.
    pub body: Bytes,
}

/// Walks a payload whose lengths have been checked: yields exactly one [`JobSlices`] a job.
#[derive(Clone, Debug)]
pub struct PayloadSlices<I> {
    rest: Bytes,
    lengths: I,
}

/// Splits by the lists that PUSH and DELIVER carry. `header_lengths` is empty or as long as
/// `body_lengths`. Allocates nothing.
///
/// # Errors
/// The lists do not match each other or the payload, or a header block is over its limit.
pub fn split_payload<'l>(
    payload: &Bytes,
    header_lengths: &'l [u32],
    body_lengths: &'l [u32],
) -> Result<PayloadSlices<impl Iterator<Item = (u32, u32)> + Clone + use<'l>>, FrameError> {
    if !header_lengths.is_empty() && header_lengths.len() != body_lengths.len() {
        return Err(FrameError::ListLength {
            headers: header_lengths.len(),
            bodies: body_lengths.len(),
        });
    }
    let headers = header_lengths.iter().copied().chain(std::iter::repeat(0));
    split_payload_by(payload, headers.zip(body_lengths.iter().copied()))
}

/// Splits by pairs of (header length, body length), one a job.
///
/// # Errors
/// The sum is not the length of the payload, or a header block is over its limit.
pub fn split_payload_by<I>(payload: &Bytes, lengths: I) -> Result<PayloadSlices<I>, FrameError>
where
    I: Iterator<Item = (u32, u32)> + Clone,
{
    let mut named = 0_u64;
    for (header, body) in lengths.clone() {
        if header as usize > HEADER_BYTES_MAX {
            return Err(FrameError::HeadersTooLarge {
                bytes: u64::from(header),
            });
        }
        // A list has far fewer than 2^31 entries (it came in a frame), so this cannot overflow.
        named += u64::from(header) + u64::from(body);
    }
    if named != payload.len() as u64 {
        return Err(FrameError::PayloadLength {
            named,
            payload: payload.len() as u64,
        });
    }
    Ok(PayloadSlices {
        rest: payload.clone(),
        lengths,
    })
}

impl<I: Iterator<Item = (u32, u32)>> Iterator for PayloadSlices<I> {
    type Item = JobSlices;

    fn next(&mut self) -> Option<JobSlices> {
        let (header, body) = self.lengths.next()?;
        let headers = self.rest.split_to(header as usize);
        let body = self.rest.split_to(body as usize);
        Some(JobSlices { headers, body })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lengths.size_hint()
    }
}
