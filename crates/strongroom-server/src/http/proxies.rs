//! Proxies in front of the listeners, and what they say about whom they speak for.
//!
//! Only a proxy that the configuration lists is believed, by the address of the accepted socket itself; from anybody else
//! a PROXY header is no request, and `X-Forwarded-For` is one header among others that nobody reads.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ppp::v2::{Addresses, Command};
use ppp::{HeaderResult, v1};
use serde::Deserialize;
use strongroom_core::network::AddressRange;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The proxies that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Where they connect from.
    pub addresses: Vec<AddressRange>,
    /// How they say for whom.
    pub form: ProxyForm,
}

/// How a proxy says for whom it speaks (`[proxy] client_address`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyForm {
    /// The PROXY protocol, version 1 or 2, in front of TLS: for proxies that pass TLS on.
    ProxyProtocol,
    /// The header `X-Forwarded-For`: for proxies that end TLS and begin it again.
    XForwardedFor,
}

/// A listed proxy said something that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Proxies {
    /// Whether an address is a proxy's.
    pub fn list(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.contains(address))
    }

    /// The client of one request: the last address that no proxy of ours has, as each proxy adds the one it was asked
    /// from at the end. What comes before it is the client's own claim. `None` if the peer is no proxy, or says nothing.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<IpAddr>, Malformed> {
        if self.form != ProxyForm::XForwardedFor || !self.list(peer) {
            return Ok(None);
        }
        for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for text in line.to_str().map_err(|_| Malformed)?.rsplit(',') {
                let address = address(text.trim()).ok_or(Malformed)?;
                if !self.list(address) {
                    return Ok(Some(address));
                }
            }
        }
        Ok(None)
    }

    /// Whether a connection begins with a PROXY header.
    pub fn announce(&self, peer: IpAddr) -> bool {
        self.form == ProxyForm::ProxyProtocol && self.list(peer)
    }
}

/// Reads a PROXY header to its last byte and no further; `None` if the proxy speaks for itself, as in a health check.
///
/// # Errors
/// What the connection says, or [`io::ErrorKind::InvalidData`].
pub async fn proxied<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![stream.read_u8().await?];
    if header.first() == Some(&V2_FIRST_BYTE) {
        read_v2(stream, &mut header).await?;
    } else {
        read_v1(stream, &mut header).await?;
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(it) => Some((it.source_address, it.source_port).into()),
            v1::Addresses::Tcp6(it) => Some((it.source_address, it.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => match header.addresses {
            Addresses::IPv4(it) => Ok(Some((it.source_address, it.source_port).into())),
            Addresses::IPv6(it) => Ok(Some((it.source_address, it.source_port).into())),
            Addresses::Unspecified | Addresses::Unix(_) => Err(io::ErrorKind::InvalidData.into()),
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A line of text that ends with CRLF.
async fn read_v1<S: AsyncRead + Unpin>(stream: &mut S, header: &mut Vec<u8>) -> io::Result<()> {
    while !header.ends_with(b"\r\n") {
        if header.len() >= V1_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

/// 16 bytes, of which the last two say how many follow.
async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S, header: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = [0; 15];
    stream.read_exact(&mut rest).await?;
    header.extend_from_slice(&rest);
    let [.., high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    header.extend_from_slice(&body);
    Ok(())
}

/// An address, maybe with a port, as proxies write them.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// The first byte of the signature of version 2; a TLS record begins with 0x16, a line of version 1 with `P`.
const V2_FIRST_BYTE: u8 = 0x0d;
/// Longest line of version 1, with its end.
const V1_BYTES_MAX: usize = 107;
/// Most bytes of addresses and extensions of version 2.
const V2_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(form: ProxyForm) -> Proxies {
        Proxies { addresses: vec!["10.0.0.0/24".parse().unwrap()], form }
    }

    fn forwarded(peer: &str, lines: &[&str]) -> Result<Option<IpAddr>, Malformed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        proxies(ProxyForm::XForwardedFor).forwarded(peer.parse().unwrap(), &headers)
    }

    fn client(text: &str) -> Result<Option<IpAddr>, Malformed> {
        Ok(Some(text.parse().unwrap()))
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_client() {
        assert_eq!(forwarded("10.0.0.5", &["192.0.2.7"]), client("192.0.2.7"));
        assert_eq!(forwarded("10.0.0.5", &["198.51.100.1, 192.0.2.7"]), client("192.0.2.7"));
        assert_eq!(forwarded("10.0.0.5", &["198.51.100.1", "192.0.2.7", "10.0.0.9"]), client("192.0.2.7"));
        assert_eq!(forwarded("10.0.0.5", &["nonsense, 192.0.2.7:4711,10.0.0.9"]), client("192.0.2.7"));
        assert_eq!(forwarded("10.0.0.5", &["[2001:db8::7]:4711"]), client("2001:db8::7"));
        assert_eq!(forwarded("::ffff:10.0.0.5", &["192.0.2.7"]), client("192.0.2.7"));
        assert_eq!(forwarded("10.0.0.5", &[]), Ok(None));
        assert_eq!(forwarded("10.0.0.5", &["10.0.0.9"]), Ok(None));
        assert_eq!(forwarded("10.0.0.5", &["192.0.2.7, unknown"]), Err(Malformed));
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(forwarded("192.0.2.99", &["10.1.0.1"]), Ok(None));
        let protocol = proxies(ProxyForm::ProxyProtocol);
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR.parse().unwrap(), HeaderValue::from_static("1.2.3.4"))]);
        assert_eq!(protocol.forwarded("10.0.0.5".parse().unwrap(), &headers), Ok(None));
        assert!(protocol.announce("10.0.0.5".parse().unwrap()) && !protocol.announce("10.0.1.5".parse().unwrap()));
        assert!(!proxies(ProxyForm::XForwardedFor).announce("10.0.0.5".parse().unwrap()));
    }

    /// What a header says, and what is left of the stream behind it.
    async fn read(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut stream = bytes;
        let said = proxied(&mut stream).await;
        (said, stream.to_vec())
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn both_versions_of_the_header_are_read_to_their_end_and_no_further() {
        let body = [192, 0, 2, 7, 10, 1, 0, 1, 0x12, 0x34, 0x20, 0xfb];
        let v6 = [[0x20; 32].as_slice(), &[0x12, 0x34, 0x20, 0xfb]].concat();
        let with_extension = [&body[..], &[4, 0, 1, 0]].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.7 10.1.0.1 4660 8443\r\n".to_vec(), Some("192.0.2.7:4660")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 8443\r\n".to_vec(), Some("[2001:db8::7]:4660")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &body), Some("192.0.2.7:4660")),
            (v2(1, 0x11, &with_extension), Some("192.0.2.7:4660")),
            (v2(1, 0x21, &v6), Some("[2020:2020:2020:2020:2020:2020:2020:2020]:4660")),
            (v2(0, 0x00, &[]), None),
        ] {
            let (said, rest) = read(&[&header[..], b"\x16\x03\x01"].concat()).await;
            assert_eq!(said.unwrap(), client.map(|text| text.parse().unwrap()), "{header:?}");
            assert_eq!(rest, b"\x16\x03\x01");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let endless = [&v2(1, 0x11, &[])[..14], &[0xff, 0xff]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PROXY TCP4 192.0.2.7",
            b"PROXY TCP4 x 10.1.0.1 1 2\r\n",
            b"",
            &long,
            &v2(1, 0x11, &[192, 0, 2]),
            &v2(1, 0x31, &[0; 216]),
            &endless,
        ] {
            assert!(read(bytes).await.0.is_err(), "{bytes:?}");
        }
    }
}
