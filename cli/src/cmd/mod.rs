//! One file a command.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod checkpoint;
pub(crate) mod completions;
pub(crate) mod gateway;
pub(crate) mod push;
pub(crate) mod queue;
pub(crate) mod restore;
pub(crate) mod result;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod topic;
pub(crate) mod torture;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod verify;
pub(crate) mod work;
