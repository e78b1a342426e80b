//! The way of one request: what is known of it so far.

use crate::findings::Findings;
use crate::{Body, Rule};

/// What a worker said or saw under one lease.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) line: usize,
    pub(super) token: u64,
    pub(super) forwards: u32,
    /// Where it passes the request on to, with which body; gone again if that was refused.
    pub(super) forward: Option<(String, Option<Body>)>,
    pub(super) reply: Option<Reply>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) line: usize,
    pub(super) status: u32,
    pub(super) body: Body,
}

/// How it is with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It waits.
    Open,
    /// The answer has begun.
    Began { line: usize, status: u32 },
    /// Nothing more may come.
    Over { line: usize },
}

#[derive(Debug)]
pub(super) struct Way {
    pub(super) line: usize,
    pub(super) sent_ms: u64,
    pub(super) deadline_ms: u64,
    pub(super) service: String,
    pub(super) body: Body,
    pub(super) end: End,
    /// In the order in which they began.
    pub(super) holds: Vec<Hold>,
}

impl Way {
    pub(super) fn hold(&mut self, token: u64) -> Option<&mut Hold> {
        self.holds.iter_mut().find(|hold| hold.token == token)
    }

    /// Service and body of the stretch of the way after so many forwards, if anybody began it.
    pub(super) fn stretch(&self, forwards: u32) -> Option<(&str, Body)> {
        let mut at = (self.service.as_str(), self.body);
        for forward in 0..forwards {
            let hold = self.holds.iter().find(|hold| hold.forwards == forward)?;
            let (service, body) = hold.forward.as_ref()?;
            at = (service, body.unwrap_or(at.1));
        }
        Some(at)
    }

    /// An answer is one that the holder gave.
    pub(super) fn answered(&self, request: u64, body: Body, line: usize, findings: &mut Findings) {
        let status = match self.end {
            End::Began { status, .. } => status,
            _ => 0,
        };
        let is_it = |reply: &Reply| reply.status == status && reply.body == body;
        let replies = self.holds.iter().filter_map(|hold| hold.reply.as_ref());
        if !replies.clone().any(is_it) {
            let expected = format!("an answer to request {request} as its service gave it");
            let found = format!("status {status} with {} other bytes", body.length);
            let lines: Vec<usize> = [self.line]
                .into_iter()
                .chain(replies.map(|reply| reply.line))
                .chain([line])
                .collect();
            findings.broken(Rule::S9, expected, found, &lines);
        }
        // Whoever passed it on has nothing more to say.
        let is_stale =
            |hold: &&Hold| hold.forward.is_some() && hold.reply.as_ref().is_some_and(is_it);
        if let Some(hold) = self.holds.iter().find(is_stale) {
            let expected = format!("an answer to request {request} from its holder");
            let found = format!("one under token {}, passed on before", hold.token);
            findings.broken(Rule::S9, expected, found, &[hold.line, line]);
        }
    }
}
