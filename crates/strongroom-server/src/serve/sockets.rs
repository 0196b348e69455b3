//! All sockets of a server, bound before anything else is touched.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::{MetadataListener, Settings};
use crate::http::listener::bind;
use crate::serve::error::StartError;
use crate::serve::port_holder::PortHolder;

/// The bound sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) public: Vec<TcpListener>,
    /// The real port of the first public listener.
    pub(super) port: u16,
    pub(super) metadata: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
}

impl Sockets {
    /// Binds every listener. Port 0 becomes one free port, the same on each address that asked for it.
    pub(super) fn bind(settings: &Settings) -> Result<Self, StartError> {
        let mut public = bind_public(settings)?;
        let ports = public.iter().filter_map(|socket| socket.local_addr().ok()).map(|address| address.port());
        let port = ports.into_iter().next().ok_or(StartError::NoAddress)?;
        bind_networks(settings, &mut public)?;
        let metadata = match settings.metadata {
            MetadataListener::Off => None,
            MetadataListener::At(address) => Some(bind(address).map_err(|source| problem(address, source, "--imds"))?),
        };
        let metrics = settings
            .metrics
            .map(|address| bind(address).map_err(|source| problem(address, source, "[metrics] listen")));
        Ok(Self { public, port, metadata, metrics: metrics.transpose()? })
    }
}

fn bind_public(settings: &Settings) -> Result<Vec<TcpListener>, StartError> {
    let mut attempts_left = FREE_PORT_ATTEMPTS;
    loop {
        attempts_left -= 1;
        match bind_once(settings) {
            // The port that was free on one address is taken on another: try a different one.
            Err(StartError::PortInUse { address, .. })
                if attempts_left > 0 && settings.listen.contains(&SocketAddr::new(address.ip(), 0)) => {}
            result => return result,
        }
    }
}

/// Binds the addresses of subnets, but for those that a listener hears already.
fn bind_networks(settings: &Settings, bound: &mut Vec<TcpListener>) -> Result<(), StartError> {
    for network in &settings.networks {
        let address = network.listen;
        let hears = |listener: &TcpListener| {
            listener.local_addr().is_ok_and(|heard| {
                let everywhere = heard.ip().is_unspecified() && heard.is_ipv4() == address.is_ipv4();
                heard.port() == address.port() && (everywhere || heard.ip() == address.ip())
            })
        };
        if !bound.iter().any(hears) {
            bound.push(bind(address).map_err(|source| problem(address, source, "network.listen"))?);
        }
    }
    Ok(())
}

fn bind_once(settings: &Settings) -> Result<Vec<TcpListener>, StartError> {
    let mut bound = Vec::new();
    let mut drawn = 0;
    for wanted in &settings.listen {
        let address = if wanted.port() == 0 { SocketAddr::new(wanted.ip(), drawn) } else { *wanted };
        let listener = match bind(address) {
            Ok(listener) => listener,
            Err(error) if settings.listen_by_default && address.is_ipv6() && has_no_ipv6(&error) => continue,
            Err(error) => return Err(problem(address, error, "--listen")),
        };
        if wanted.port() == 0 {
            drawn = listener.local_addr().map_err(|source| StartError::Bind { address, source })?.port();
        }
        bound.push(listener);
    }
    Ok(bound)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn problem(address: SocketAddr, source: io::Error, flag: &'static str) -> StartError {
    if source.kind() == io::ErrorKind::AddrInUse {
        return StartError::PortInUse { address, holder: PortHolder::find(address.port()), flag };
    }
    StartError::Bind { address, source }
}

/// How often a free port is drawn until it is free on every address.
const FREE_PORT_ATTEMPTS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Configuration, Flags};

    fn settings(listen: &[&str], metadata: &str) -> Settings {
        let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        let flags = Flags { listen, metadata: Some(metadata.to_owned()), ..Flags::default() };
        Settings::resolve(Configuration::default(), flags, Some("/nowhere".into())).unwrap()
    }

    #[tokio::test]
    async fn port_0_is_one_free_port_on_every_address() {
        let sockets = Sockets::bind(&settings(&["127.0.0.1:0", "127.0.0.2:0"], "127.0.0.1:0")).unwrap();
        let ports: Vec<u16> = sockets.public.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports, [sockets.port, sockets.port]);
        assert_ne!(sockets.port, 0);
        assert_ne!(sockets.metadata.unwrap().local_addr().unwrap().port(), 0);
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_holder_and_the_flag_that_helps() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for (listen, metadata, flag) in [(address.as_str(), "off", "--listen"), ("127.0.0.1:0", &address, "--imds")] {
            let error = Sockets::bind(&settings(&[listen], metadata)).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{address} is in use by process {} (", std::process::id())));
            assert!(error.remedy().contains(flag), "{}", error.remedy());
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let error = Sockets::bind(&settings(&["192.0.2.1:0"], "off")).unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:0: "), "{error}");
    }
}
