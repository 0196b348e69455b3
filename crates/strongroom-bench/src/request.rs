//! A request as it is sent over and over, and an answer as it comes back.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::MeasureError;

/// What is asked.
#[derive(Debug)]
pub struct Request {
    method: http::Method,
    host: String,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// `None` if every request is the same.
    numbers: Option<Numbers>,
    /// The bytes over HTTP/1.1, with [`NUMBER`] where a number belongs.
    wire: String,
}

/// The numbers that [`NUMBER`] stands for: each request has the next one.
#[derive(Debug)]
struct Numbers {
    next: AtomicU64,
    /// After so many it begins anew.
    period: u64,
}

/// Where the number of a request goes, in its path or body: twelve digits.
pub const NUMBER: &str = "{number}";

impl Request {
    /// A request to a host, with the port if it is not the usual one. [`NUMBER`] in path or body becomes the request's own.
    pub fn new(
        method: http::Method,
        host: &str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: String,
    ) -> Self {
        let mut wire = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in &headers {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        let numbered = path.contains(NUMBER) || body.contains(NUMBER);
        let length = body.replace(NUMBER, &digits(0)).len();
        wire.push_str(&format!("content-length: {length}\r\n\r\n{body}"));
        let numbers = numbered.then_some(Numbers { next: AtomicU64::new(0), period: u64::MAX });
        Self { method, host: host.to_owned(), path: path.to_owned(), headers, body, numbers, wire }
    }

    /// The same with numbers that begin anew after so many.
    #[must_use]
    pub fn with_period(mut self, period: u64) -> Self {
        if let Some(numbers) = &mut self.numbers {
            numbers.period = period.max(1);
        }
        self
    }

    /// Its bytes, unless each request has its own.
    pub(crate) fn fixed(&self) -> Option<Bytes> {
        self.numbers.is_none().then(|| Bytes::from(self.wire.clone()))
    }

    /// The next one over HTTP/1.1.
    pub(crate) fn http1(&self) -> Bytes {
        Bytes::from(self.numbered(&self.wire, &self.number()))
    }

    /// The next one over HTTP/2.
    pub(crate) fn http2(&self) -> Result<http::Request<Full<Bytes>>, MeasureError> {
        let number = self.number();
        let uri = format!("https://{}{}", self.host, self.numbered(&self.path, &number));
        let mut request = http::Request::builder().method(self.method.clone()).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        Ok(request.body(Full::new(Bytes::from(self.numbered(&self.body, &number))))?)
    }

    fn number(&self) -> Option<String> {
        let numbers = self.numbers.as_ref()?;
        Some(digits(numbers.next.fetch_add(1, Ordering::Relaxed) % numbers.period))
    }

    fn numbered(&self, text: &str, number: &Option<String>) -> String {
        number.as_ref().map_or_else(|| text.to_owned(), |number| text.replace(NUMBER, number))
    }
}

fn digits(number: u64) -> String {
    format!("{number:012}")
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers, but for those that frame the message.
    pub headers: Vec<(String, String)>,
    /// The body, in base64 where it is written down.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub body: Bytes,
}

impl Answer {
    /// Status and the beginning of the body, for people.
    pub fn summary(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(SUMMARY_CHARACTERS).collect();
        format!("{} {text}", self.status)
    }
}

fn to_base64<S: serde::Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
}

const SUMMARY_CHARACTERS: usize = 200;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn every_numbered_request_is_another_one_and_says_its_length() {
        let request = Request::new(
            Method::PUT,
            "hsm.test:8443",
            "/keys/k-{number}/create?v=1",
            vec![("authorization", "Bearer t".to_owned())],
            "{\"n\":\"{number}\"}".to_owned(),
        )
        .with_period(2);
        assert!(request.fixed().is_none());
        let expected = |number: &str| {
            format!(
                "PUT /keys/k-{number}/create?v=1 HTTP/1.1\r\nhost: hsm.test:8443\r\nauthorization: Bearer t\r\n\
                 content-length: 20\r\n\r\n{{\"n\":\"{number}\"}}"
            )
        };
        for number in ["000000000000", "000000000001"] {
            assert_eq!(request.http1(), expected(number));
        }
        let again = request.http2().unwrap();
        assert_eq!(again.uri(), "https://hsm.test:8443/keys/k-000000000000/create?v=1");
        assert_eq!(again.headers()["authorization"], "Bearer t");
    }

    #[test]
    fn the_same_request_is_made_once() {
        let request = Request::new(Method::GET, "a", "/", Vec::new(), String::new());
        assert_eq!(request.fixed().unwrap(), "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    }
}
