//! What must hold, seen from outside: every request has one end, every lease one holder.

use std::collections::{BTreeMap, BTreeSet};

use verteilt_core::{ConnectionId, RequestEffect, RequestId, Side};

/// What a caller knows of its request.
#[derive(Debug, Default)]
struct Asked {
    replied: bool,
    over: bool,
    on_disk: bool,
}

/// What the world has seen.
#[derive(Debug, Default)]
pub(crate) struct Model {
    asked: BTreeMap<RequestId, Asked>,
    /// Who holds which request under which token, as far as it was told.
    pub(crate) leases: BTreeMap<u64, (ConnectionId, RequestId)>,
    tokens: BTreeSet<u64>,
    gone: BTreeSet<ConnectionId>,
}

impl Model {
    pub(crate) fn sent(&mut self, request: RequestId, on_disk: bool) {
        let asked = Asked {
            on_disk,
            ..Asked::default()
        };
        let before = self.asked.insert(request, asked);
        assert!(before.is_none(), "an id is used once here");
    }

    /// One of the requests of durability `disk`, over or not.
    pub(crate) fn on_disk(&self, at: usize) -> Option<RequestId> {
        let on_disk = self.asked.iter().filter(|(_, asked)| asked.on_disk);
        let ids: Vec<RequestId> = on_disk.map(|(request, _)| *request).collect();
        ids.get(at % ids.len().max(1)).copied()
    }

    /// Its caller sends it again, and waits for the answer anew.
    pub(crate) fn asks_again(&mut self, request: RequestId) {
        if let Some(asked) = self.asked.get_mut(&request) {
            (asked.replied, asked.over) = (false, false);
        }
    }

    pub(crate) fn cancelled(&mut self, request: RequestId) {
        self.over(request);
    }

    /// What its client still waits for.
    pub(crate) fn waiting(&self) -> Vec<RequestId> {
        let open = self.asked.iter().filter(|(_, asked)| !asked.over);
        open.map(|(request, _)| *request).collect()
    }

    pub(crate) fn is_over(&self, request: RequestId) -> bool {
        self.asked.get(&request).is_none_or(|asked| asked.over)
    }

    pub(crate) fn disconnected(&mut self, connection: ConnectionId) {
        self.gone.insert(connection);
        self.leases.retain(|_, (holder, _)| *holder != connection);
    }

    fn over(&mut self, request: RequestId) {
        if let Some(asked) = self.asked.get_mut(&request) {
            asked.over = true;
        }
    }

    /// Gives the lease up as its worker does, when it answers or passes on.
    pub(crate) fn released(&mut self, token: u64) {
        self.leases.remove(&token);
    }

    pub(crate) fn see(&mut self, to: ConnectionId, effect: &RequestEffect) {
        assert!(
            !self.gone.contains(&to),
            "{to:?} is gone and was told {effect:?}"
        );
        match effect {
            RequestEffect::Deliver { token, request, .. } => {
                assert!(self.tokens.insert(*token), "no token is used twice");
                let held = self.leases.values().find(|(_, held)| held == request);
                assert!(held.is_none(), "{request:?} has two leases");
                self.leases.insert(*token, (to, *request));
            }
            RequestEffect::Reply {
                request, content, ..
            } => {
                let asked = self.asked.get_mut(request).expect("it was sent");
                assert!(!asked.replied && !asked.over, "{request:?} answered twice");
                asked.replied = true;
                asked.over = !content.more;
            }
            RequestEffect::Part(Side::Caller(request), part) => {
                let asked = self.asked.get_mut(request).expect("it was sent");
                assert!(
                    asked.replied && !asked.over,
                    "{request:?}: a part of nothing"
                );
                asked.over = !part.more;
            }
            RequestEffect::Ended {
                side: Side::Caller(request),
                ..
            } => {
                let asked = self.asked.get_mut(request).expect("it was sent");
                assert!(!asked.over, "{request:?} ended twice");
                asked.over = true;
            }
            RequestEffect::Ended {
                side: Side::Worker(token),
                ..
            } => self.released(*token),
            _ => {}
        }
    }
}
