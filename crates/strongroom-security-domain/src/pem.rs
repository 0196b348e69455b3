//! PEM files as people have them (RFC 7468), lines of any length: the official client writes 65 columns.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::Secret;

/// The first block of a PEM text: its label and its bytes.
pub(crate) fn first_block(text: &str) -> Option<(&str, Secret<Vec<u8>>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    // Room for all of it from the start: growing would leave copies of a private key behind.
    let mut base64 = Secret::new(String::with_capacity(body.len()));
    base64.expose_mut().extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    let bytes = STANDARD.decode(base64.expose()).ok()?;
    Some((label, Secret::new(bytes)))
}

/// The certificate of a PEM file, DER: its first block.
pub fn certificate_of_pem(text: &str) -> Option<Vec<u8>> {
    first_block(text).filter(|(label, _)| *label == "CERTIFICATE").map(|(_, der)| der.expose().clone())
}

/// The PEM file of a certificate, DER; [`certificate_of_pem`] reads it back.
pub fn certificate_to_pem(der: &[u8]) -> String {
    to_pem("CERTIFICATE", der).expose().clone()
}

/// A PEM file of one block, lines of 64 columns.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> Secret<String> {
    let base64 = Secret::new(STANDARD.encode(der));
    // Room for all of it from the start: growing would leave copies of a private key behind.
    let room = base64.expose().len() + base64.expose().len() / COLUMNS + 2 * label.len() + 64;
    let mut text = Secret::new(String::with_capacity(room));
    let out = text.expose_mut();
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.expose().as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Characters of a line (RFC 7468 §2).
const COLUMNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_is_read_whatever_its_line_length() {
        for body in ["\nAQID\n", "\r\nAQ\r\nID\r\n", "AQID"] {
            let text = format!("comment\n-----BEGIN THING-----{body}-----END THING-----\nmore");
            let (label, bytes) = first_block(&text).unwrap();
            assert_eq!((label, bytes.expose().as_slice()), ("THING", [1, 2, 3].as_slice()));
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        for length in [0, 1, 47, 48, 49, 96, 1000] {
            let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let text = to_pem("PRIVATE KEY", &bytes);
            assert!(text.expose().lines().all(|line| line.len() <= 64));
            let (label, read) = first_block(text.expose()).unwrap();
            assert_eq!((label, read.expose()), ("PRIVATE KEY", &bytes));
        }
    }

    #[test]
    fn a_certificate_that_was_written_is_read_again() {
        assert_eq!(certificate_of_pem(&certificate_to_pem(&[1, 2, 3])), Some(vec![1, 2, 3]));
        assert_eq!(certificate_of_pem(to_pem("PRIVATE KEY", &[1, 2, 3]).expose()), None);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "AQID",
            "-----BEGIN A-----AQID",
            "-----BEGIN A-----AQID-----END B-----",
            "-----BEGIN A-----AQI-----END A-----",
            "-----BEGIN A-----Proc-Type: 4,ENCRYPTED-----END A-----",
        ] {
            assert!(first_block(text).is_none(), "{text}");
        }
    }
}
