//! What carries the bytes. TCP now; anything that reads and writes can stand in.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream to a broker.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// A connection in the making; see [`Connector`].
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send + 'a>>;

/// Makes connections: the first one and every one after a loss. See
/// [`crate::ClientBuilder::connector`].
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Begins one attempt. The client bounds it with its connect timeout and drops it then.
    fn connect(&self) -> Connecting<'_>;

    /// Where to, for error texts.
    fn address(&self) -> String;

    /// Why no attempt will ever succeed again, if that is so: the client then ends with
    /// [`crate::ClientError::BrokerEnded`] instead of trying.
    fn ended(&self) -> Option<String> {
        None
    }
}

/// TCP with Nagle's algorithm off: frames are gathered here already.
#[derive(Debug)]
pub(crate) struct TcpConnector {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Connector for TcpConnector {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }

    fn address(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}
