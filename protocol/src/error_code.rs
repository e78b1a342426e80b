//! Every reason for which a broker refuses, with its number, whether the same request may succeed
//! later, and what to do about it. Numbers are stable for ever.

// One row a code, so that number, name, retryable and hint cannot drift apart.
macro_rules! error_codes {
    ($($variant:ident = $number:literal, $name:literal, $retryable:literal, $hint:literal;)+) => {
        /// The code of an ERROR frame, and of an entry of SETTLED.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode {
            $(#[doc = $hint] $variant = $number,)+
        }

        impl ErrorCode {
            /// Every code, by growing number.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code of this number; `None` for one that a newer broker has added. Treat such
            /// a one by the `retryable` field that came with it.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name in documents and logs, such as `LEASE_LOST`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Whether the same request, unchanged, may succeed later.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retryable,)+
                }
            }

            /// What happened and what to do about it, for people.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self {
                    $(Self::$variant => $hint,)+
                }
            }
        }
    };
}

error_codes! {
    MalformedFrame = 100, "MALFORMED_FRAME", false, "The frame header contradicts itself; the sender has a bug or speaks another protocol. The connection is closed.";
    FrameTooLarge = 101, "FRAME_TOO_LARGE", false, "The frame is longer than the announced limit; send less in one frame, a large body in parts. The connection is closed.";
    UnknownFrameType = 102, "UNKNOWN_FRAME_TYPE", false, "This broker does not know the frame type; it is older than the client. The connection goes on.";
    MalformedMessage = 103, "MALFORMED_MESSAGE", false, "The message cannot be decoded (then the connection is closed), or its lists and lengths do not fit each other or the payload; the sender has a bug.";
    HandshakeExpected = 104, "HANDSHAKE_EXPECTED", false, "The first frame must be HELLO. The connection is closed.";
    HandshakeTimeout = 105, "HANDSHAKE_TIMEOUT", true, "HELLO did not come in time; connect again. The connection is closed.";
    VersionUnsupported = 106, "VERSION_UNSUPPORTED", false, "Client and broker have no protocol version in common; bring the older one up to date. The connection is closed.";
    Unauthenticated = 107, "UNAUTHENTICATED", false, "The credentials are missing or wrong; correct them. The connection is closed.";
    HeartbeatMissed = 108, "HEARTBEAT_MISSED", true, "Nothing came for two heartbeats; connect again. The connection is closed.";
    CreditExceeded = 109, "CREDIT_EXCEEDED", false, "More was pushed than was granted; the client has a bug. The connection is closed.";
    SessionReplaced = 110, "SESSION_REPLACED", false, "A newer connection has taken over this session; do not connect again with it. The connection is closed.";
    ShuttingDown = 111, "SHUTTING_DOWN", true, "The broker is going down; connect again after a pause.";
    ConnectionLimit = 112, "CONNECTION_LIMIT", true, "The broker has as many connections as it allows; connect again after a pause, or raise the limit. The connection is closed.";
    Unsupported = 113, "UNSUPPORTED", false, "This broker knows the request or the option but does not serve it; look at its capabilities.";
    Cancelled = 114, "CANCELLED", false, "The client has cancelled this request itself; to a worker: the caller is gone.";
    UnexpectedFrame = 115, "UNEXPECTED_FRAME", false, "A client may not send this frame, or not now; the client has a bug.";
    BadName = 200, "BAD_NAME", false, "The name of the queue, topic, service or namespace breaks the rules for names; choose another.";
    BodyTooLarge = 201, "BODY_TOO_LARGE", false, "The body is larger than the announced limit; keep it elsewhere and push a reference.";
    HeadersTooLarge = 202, "HEADERS_TOO_LARGE", false, "The header block is larger than the announced limit; move data into the body.";
    BatchTooLarge = 203, "BATCH_TOO_LARGE", false, "No entry at all, or more in one frame than the announced limit; split the batch.";
    BadArgument = 204, "BAD_ARGUMENT", false, "A field is out of its bounds; the text says which. Correct the request.";
    SequenceTooOld = 205, "SEQUENCE_TOO_OLD", false, "The sequence is behind the window in which doubles are known, so whether this push was taken cannot be told; ask the queue or push under a new sequence.";
    UploadUnknown = 206, "UPLOAD_UNKNOWN", false, "The parts of this upload are gone or a part is missing; send the body again under a new upload number.";
    UploadLimit = 207, "UPLOAD_LIMIT", true, "Too many bytes are in unfinished uploads; try again after a pause.";
    QueueUnknown = 300, "QUEUE_UNKNOWN", false, "There is no such queue; it comes into being at its first push or reserve.";
    LeaseLost = 301, "LEASE_LOST", false, "The lease has ended and the job may run elsewhere; drop what was done for it.";
    SubscriptionUnknown = 302, "SUBSCRIPTION_UNKNOWN", false, "There is no such subscription on this connection.";
    QueueLimit = 303, "QUEUE_LIMIT", false, "The broker has as many queues as it allows; use fewer queues, or raise the limit.";
    SubscriptionExists = 304, "SUBSCRIPTION_EXISTS", false, "This subscription number already stands for another queue; choose another number.";
    SubscriptionLimit = 305, "SUBSCRIPTION_LIMIT", false, "The connection has as many subscriptions and waiting RESERVE as it may; end one or open another connection.";
    TopicUnknown = 306, "TOPIC_UNKNOWN", false, "There is no such topic; create it first.";
    TopicExists = 307, "TOPIC_EXISTS", false, "A topic of this name has other settings; change it, or choose another name.";
    TopicLimit = 308, "TOPIC_LIMIT", false, "The broker has as many topics or partitions as it allows; use fewer, or raise the limit.";
    PartitionUnknown = 309, "PARTITION_UNKNOWN", false, "The topic has no such partition; look at its numbers.";
    PartitionLost = 310, "PARTITION_LOST", false, "Another member of the group has the partition now; drop what was read of it.";
    GroupLimit = 311, "GROUP_LIMIT", false, "The topic has as many consumer groups as the broker allows; use fewer names.";
    NoWorker = 312, "NO_WORKER", true, "Nobody serves this name and version now; start a worker, or try again after a pause.";
    WorkerLost = 313, "WORKER_LOST", true, "The worker that held the request is gone; whether it did the work is unknown. Send it again if it may run twice.";
    DeadlineExceeded = 314, "DEADLINE_EXCEEDED", true, "The request was not answered in time; the text says where it was. Allow more time, or more workers.";
    RequestLost = 315, "REQUEST_LOST", true, "The connection broke while the request or its reply was on its way; whether it was served is unknown. Send it again if it may run twice.";
    RequestExists = 316, "REQUEST_EXISTS", false, "A request with this id is open; ids are 16 random bytes, new for each request.";
    RequestUnknown = 317, "REQUEST_UNKNOWN", false, "The broker knows no such request; only recent ones are traced, and results are kept for a time.";
    RequestLimit = 318, "REQUEST_LIMIT", true, "The client has as many requests open as it may; wait for replies.";
    ServiceLimit = 319, "SERVICE_LIMIT", false, "The broker has as many services or workers as it allows; use fewer, or raise the limit.";
    ForwardLimit = 320, "FORWARD_LIMIT", false, "The request was forwarded as often as it may be; services that forward in a circle are the usual cause.";
    StreamCreditExceeded = 321, "STREAM_CREDIT_EXCEEDED", false, "More of a body was sent than its receiver had granted; the sender has a bug.";
    BodyBroken = 322, "BODY_BROKEN", false, "The sender of a body broke it off before its end; drop what came of it.";
    InboxClosed = 323, "INBOX_CLOSED", false, "The connection has no inbox, or another one has it now; send INBOX first.";
    RequestMismatch = 324, "REQUEST_MISMATCH", false, "Another request was accepted under this id before; a new request needs a new id.";
    Busy = 400, "BUSY", true, "The broker has more work than it can take on; try again after a pause.";
    MemoryFull = 401, "MEMORY_FULL", true, "The memory for bodies of `memory` jobs is full; try again once some are done.";
    DiskFull = 402, "DISK_FULL", true, "The disk or the journal's share of it is full; work off jobs or add space, then try again.";
    StoreFailed = 500, "STORE_FAILED", false, "Writing to the disk failed; whether the request took effect is unknown. The broker stops; push again under the same producer and sequence once it is back.";
    Internal = 501, "INTERNAL", false, "The broker has a bug; report it with its log.";
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The message of an ERROR frame with this code and a text for people, without advice on when
    /// to retry.
    #[must_use]
    pub fn error(self, message: impl Into<String>) -> crate::wire::Error {
        crate::wire::Error {
            code: self.number(),
            message: message.into(),
            retryable: self.is_retryable(),
            retry_after_ms: 0,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
