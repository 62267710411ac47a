//! Names to addresses.

use crate::Outgoing;
use std::io;
use std::net::IpAddr;

/// Turns a name into addresses. A trait, so that tests can say what a name stands for.
pub trait Resolve: Send + Sync {
    /// The addresses of a name, in order of preference.
    fn resolve<'a>(&'a self, name: &'a str) -> Outgoing<'a, io::Result<Vec<IpAddr>>>;
}

/// What the operating system's resolver says (`getaddrinfo`, on a thread of its own).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Outgoing<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
