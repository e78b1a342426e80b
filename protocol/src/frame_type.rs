//! Every type of frame: its number, who sends it, which message it carries.
//!
//! The numbers are stable for ever. A broker answers a number that it does not know with
//! `UNKNOWN_FRAME_TYPE` and goes on; a client ignores one.

/// Who may send a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// Only the client.
    Client,
    /// Only the broker.
    Server,
    /// Either.
    Both,
}

// One row a type, so that number, name, sender and message cannot drift apart.
macro_rules! frame_types {
    ($($variant:ident = $number:literal, $name:literal, $sender:ident, $message:expr, $text:literal;)+) => {
        /// The type of a frame, byte 4 of its header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum FrameType {
            $(#[doc = $text] $variant = $number,)+
        }

        impl FrameType {
            /// Every type, by growing number.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The type of this number, if version 1 knows it.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name in documents and logs, such as `QUEUE_STATS`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Who may send it.
            #[must_use]
            pub const fn sender(self) -> Sender {
                match self {
                    $(Self::$variant => Sender::$sender,)+
                }
            }

            /// The message of `verteilt.proto` that it carries; `None`: it has no message.
            #[must_use]
            pub const fn message_name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $message,)+
                }
            }
        }
    };
}

frame_types! {
    Hello = 0x01, "HELLO", Client, Some("Hello"), "The first frame of a connection.";
    Welcome = 0x02, "WELCOME", Server, Some("Welcome"), "Answers HELLO.";
    Heartbeat = 0x03, "HEARTBEAT", Both, None, "Proof of life; has no answer.";
    Goodbye = 0x04, "GOODBYE", Both, Some("Goodbye"), "The sender is going to close.";
    Ok = 0x05, "OK", Server, None, "Done; with `FLAG_CUMULATIVE` for all settlings up to here.";
    Error = 0x06, "ERROR", Server, Some("Error"), "Not done.";
    Cancel = 0x07, "CANCEL", Client, None, "Gives up the RESERVE of this correlation.";
    PushCredit = 0x08, "PUSH_CREDIT", Server, Some("PushCredit"), "The client may push more bytes.";
    Push = 0x10, "PUSH", Client, Some("Push"), "Jobs for one queue.";
    Pushed = 0x11, "PUSHED", Server, Some("Pushed"), "Answers one or more PUSH.";
    PushPart = 0x12, "PUSH_PART", Client, Some("PushPart"), "A part of a large body.";
    Subscribe = 0x13, "SUBSCRIBE", Client, Some("Subscribe"), "Jobs of a queue, as credit allows.";
    Unsubscribe = 0x14, "UNSUBSCRIBE", Client, Some("Unsubscribe"), "No more jobs; those held stay held.";
    Reserve = 0x15, "RESERVE", Client, Some("Reserve"), "Jobs of a queue, once.";
    Deliver = 0x16, "DELIVER", Server, Some("Deliver"), "Leased jobs.";
    DeliverPart = 0x17, "DELIVER_PART", Server, Some("DeliverPart"), "A part of a large body.";
    Ack = 0x18, "ACK", Client, Some("Settle"), "Jobs are done.";
    Nack = 0x19, "NACK", Client, Some("Nack"), "Jobs failed and are to be retried.";
    Release = 0x1A, "RELEASE", Client, Some("Settle"), "Jobs go back to their place.";
    Touch = 0x1B, "TOUCH", Client, Some("Touch"), "Leases are lengthened.";
    Settled = 0x1C, "SETTLED", Server, Some("Settled"), "Answers a settling of which some was refused.";
    LeaseLost = 0x1D, "LEASE_LOST", Server, Some("LeaseLost"), "Leases ended without the client.";
    QueueStats = 0x20, "QUEUE_STATS", Client, Some("QueueStatsRequest"), "Asks for the numbers of queues.";
    QueueStatsReply = 0x21, "QUEUE_STATS_REPLY", Server, Some("QueueStatsReply"), "Answers QUEUE_STATS.";
    QueuePeek = 0x22, "QUEUE_PEEK", Client, Some("QueuePeek"), "Asks to see jobs without leasing them.";
    QueuePeeked = 0x23, "QUEUE_PEEKED", Server, Some("QueuePeeked"), "Answers QUEUE_PEEK.";
    QueuePause = 0x24, "QUEUE_PAUSE", Client, Some("QueuePause"), "Stops or starts a queue's deliveries.";
    QueuePurge = 0x25, "QUEUE_PURGE", Client, Some("QueuePurge"), "Removes jobs that nobody holds.";
    QueuePurged = 0x26, "QUEUE_PURGED", Server, Some("QueuePurged"), "Answers QUEUE_PURGE.";
    Checkpoint = 0x27, "CHECKPOINT", Client, Some("Checkpoint"), "Asks for a checkpoint now.";
    CheckpointDone = 0x28, "CHECKPOINT_DONE", Server, Some("CheckpointDone"), "Answers CHECKPOINT.";
    Backup = 0x2C, "BACKUP", Client, Some("Backup"), "Asks for a backup.";
    BackupData = 0x2D, "BACKUP_DATA", Server, Some("BackupData"), "The next bytes of a backup.";
    BackupDone = 0x2E, "BACKUP_DONE", Server, Some("BackupDone"), "Ends a backup.";
    TopicCreate = 0x30, "TOPIC_CREATE", Client, Some("TopicCreate"), "Creates a topic.";
    Publish = 0x31, "PUBLISH", Client, Some("Publish"), "Records for one topic.";
    Published = 0x32, "PUBLISHED", Server, Some("Published"), "Answers one or more PUBLISH.";
    TopicSubscribe = 0x33, "TOPIC_SUBSCRIBE", Client, Some("TopicSubscribe"), "Records of a topic, as credit allows.";
    Records = 0x34, "RECORDS", Server, Some("Records"), "Records of one partition.";
    Consumed = 0x35, "CONSUMED", Client, Some("Consumed"), "Records up to an offset are done with.";
    TopicAssigned = 0x36, "TOPIC_ASSIGNED", Server, Some("TopicAssigned"), "The partitions that a subscription reads.";
    TopicChange = 0x37, "TOPIC_CHANGE", Client, Some("TopicChange"), "Changes what a topic keeps.";
    TopicDelete = 0x38, "TOPIC_DELETE", Client, Some("TopicDelete"), "Deletes a topic with its records and groups.";
    TopicStats = 0x39, "TOPIC_STATS", Client, Some("TopicStatsRequest"), "Asks for the numbers of topics.";
    TopicStatsReply = 0x3A, "TOPIC_STATS_REPLY", Server, Some("TopicStatsReply"), "Answers TOPIC_STATS.";
    GroupStats = 0x3B, "GROUP_STATS", Client, Some("GroupStatsRequest"), "Asks for the numbers of a topic's groups.";
    GroupStatsReply = 0x3C, "GROUP_STATS_REPLY", Server, Some("GroupStatsReply"), "Answers GROUP_STATS.";
    Request = 0x40, "REQUEST", Both, Some("Request"), "Work for a service, answered once.";
    BodyPart = 0x41, "BODY_PART", Both, Some("BodyPart"), "A part of a request's or a reply's body.";
    Reply = 0x42, "REPLY", Both, Some("Reply"), "The answer to a request.";
    Forward = 0x43, "FORWARD", Client, Some("Forward"), "Passes a request on to another service.";
    RequestEnded = 0x44, "REQUEST_ENDED", Server, Some("RequestEnded"), "A request is over without a reply, or for its worker.";
    RequestCancel = 0x45, "REQUEST_CANCEL", Client, Some("RequestCancel"), "Gives up a request.";
    StreamCredit = 0x46, "STREAM_CREDIT", Both, Some("StreamCredit"), "More bytes of a body may come.";
    Inbox = 0x47, "INBOX", Client, Some("Inbox"), "Opens the inbox that replies come to.";
    Serve = 0x48, "SERVE", Client, Some("Serve"), "Requests for a service, as credit allows.";
    Unserve = 0x49, "UNSERVE", Client, Some("Unserve"), "No more requests; those held stay held.";
    Services = 0x4A, "SERVICES", Client, Some("ServicesRequest"), "Asks who serves what, and how well.";
    ServicesReply = 0x4B, "SERVICES_REPLY", Server, Some("ServicesReply"), "Answers SERVICES.";
    Trace = 0x4C, "TRACE", Client, Some("TraceRequest"), "Asks for the way of a request.";
    TraceReply = 0x4D, "TRACE_REPLY", Server, Some("TraceReply"), "Answers TRACE.";
    RequestAccepted = 0x4E, "REQUEST_ACCEPTED", Server, Some("RequestAccepted"), "A request is on the disk.";
    Result = 0x4F, "RESULT", Client, Some("ResultRequest"), "Asks what came of a request of durability `disk`.";
    ResultReply = 0x50, "RESULT_REPLY", Server, Some("ResultReply"), "Answers RESULT.";
}

impl FrameType {
    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The capability a broker must have announced before a client may send this type.
    /// `None`: always there.
    #[must_use]
    pub const fn capability(self) -> Option<&'static str> {
        match self.number() {
            0x00..=0x0F => None,
            0x10..=0x2F => Some(crate::CAPABILITY_JOBS),
            0x30..=0x3F => Some(crate::CAPABILITY_TOPICS),
            _ => Some(crate::CAPABILITY_REQUESTS),
        }
    }
}

impl TryFrom<u8> for FrameType {
    /// The number that no type has.
    type Error = u8;

    fn try_from(number: u8) -> Result<Self, u8> {
        Self::from_number(number).ok_or(number)
    }
}

impl std::fmt::Display for FrameType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
