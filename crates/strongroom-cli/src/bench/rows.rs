//! The table of what is measured, what it is compared with, and what it must reach.

use strongroom_bench::raw::Raw;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name, also on the command line.
    pub(super) name: &'static str,
    /// What is asked.
    pub(super) ask: Ask,
    /// How many ask at a time.
    pub(super) clients: Clients,
    /// What the machine could do at best.
    pub(super) ceiling: Ceiling,
    /// The ratio to the ceiling that we want to reach; `None` where none was set.
    pub(super) target: Option<f64>,
    /// Operations a second that Azure publishes for one partition of a managed HSM (its scaling guidance).
    pub(super) published: Option<f64>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The key signs a digest.
    Sign(Key, &'static str),
    /// The key checks a signature of its own.
    Verify(Key, &'static str),
    /// The key encrypts or wraps 32 bytes.
    Forth(Key, Way, &'static str),
    /// The key decrypts or unwraps them.
    Back(Key, Way, &'static str),
    /// A key is shown.
    GetKey,
    /// The first page of keys is listed.
    ListKeys,
    /// A key with a new name is made.
    Create(Key),
    /// A key gets a new version.
    Rotate,
    /// A new role assignment for the scope of a key.
    AssignRole,
    /// A token for the data plane, by a client secret.
    Token,
}

/// A key of the managed HSM that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// 2048 bits.
    Rsa,
    /// 4096 bits, which take long to make.
    Rsa4096,
    /// P-256.
    Ec,
    /// AES, 256 bits.
    Oct,
}

/// Which pair of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Encrypt and decrypt.
    Encrypt,
    /// Wrap and unwrap.
    Wrap,
}

/// How many requests there are at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    /// What the command line says, over both versions of HTTP.
    Many,
    /// So many, over HTTP/1.1: the disk is measured, not the protocol.
    Writers(usize),
}

/// What a row is compared with; one server core is the measure for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceiling {
    /// Cryptography alone.
    Raw(Raw),
    /// An HTTPS server that answers the same bytes.
    Bare,
    /// Both, one after the other on one core.
    Both(Raw),
    /// An append and an `fdatasync`, by one writer.
    Append,
    /// The same while there is no other client, who asks for this all the time.
    Alone(Ask),
}

impl Ceiling {
    /// Its name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw(_) => "raw",
            Self::Bare => "bare",
            Self::Both(_) => "both",
            Self::Append => "append",
            Self::Alone(_) => "alone",
        }
    }
}

impl Key {
    /// Its name in the managed HSM.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "bench-rsa",
            Self::Rsa4096 => "bench-rsa-4096",
            Self::Ec => "bench-ec",
            Self::Oct => "bench-oct",
        }
    }
}

/// All rows, in the order of the table.
pub(super) const ROWS: [Row; 22] = [
    crypto("sign-rs256", Ask::Sign(Key::Rsa, "RS256"), Ceiling::Raw(Raw::SignPkcs1), Some(0.92), Some(900.0)),
    crypto("sign-ps256", Ask::Sign(Key::Rsa, "PS256"), Ceiling::Raw(Raw::SignPss), Some(0.92), Some(900.0)),
    crypto("sign-es256", Ask::Sign(Key::Ec, "ES256"), Ceiling::Both(Raw::SignEcdsa), Some(0.8), Some(330.0)),
    crypto("sign-es256-beside", Ask::Sign(Key::Ec, "ES256"), Ceiling::Alone(MAKE_RSA_4096), Some(0.85), None),
    crypto("verify-es256", Ask::Verify(Key::Ec, "ES256"), Ceiling::Both(Raw::VerifyEcdsa), None, Some(130.0)),
    crypto("encrypt-a256gcm", Ask::Forth(Key::Oct, Way::Encrypt, "A256GCM"), Ceiling::Bare, Some(0.85), None),
    crypto("decrypt-a256gcm", Ask::Back(Key::Oct, Way::Encrypt, "A256GCM"), Ceiling::Bare, Some(0.85), None),
    crypto("encrypt-a256cbcpad", Ask::Forth(Key::Oct, Way::Encrypt, "A256CBCPAD"), Ceiling::Bare, None, None),
    crypto("decrypt-a256cbcpad", Ask::Back(Key::Oct, Way::Encrypt, "A256CBCPAD"), Ceiling::Bare, None, None),
    crypto("wrap-a256kw", Ask::Forth(Key::Oct, Way::Wrap, "A256KW"), Ceiling::Bare, Some(0.85), Some(2100.0)),
    crypto("unwrap-a256kw", Ask::Back(Key::Oct, Way::Wrap, "A256KW"), Ceiling::Bare, Some(0.85), Some(2200.0)),
    crypto("wrap-rsa-oaep-256", RSA_WRAP, Ceiling::Both(Raw::EncryptOaep), None, Some(2200.0)),
    crypto("unwrap-rsa-oaep-256", RSA_UNWRAP, Ceiling::Raw(Raw::DecryptOaep), Some(0.92), Some(1100.0)),
    crypto("get-key", Ask::GetKey, Ceiling::Bare, Some(0.85), Some(1100.0)),
    crypto("list-keys", Ask::ListKeys, Ceiling::Bare, None, None),
    crypto("token", Ask::Token, Ceiling::Raw(Raw::SignPkcs1), Some(0.8), None),
    writing("create-ec", Ask::Create(Key::Ec), 1, Ceiling::Append, Some(0.6), Some(1.0)),
    writing("create-ec-16", Ask::Create(Key::Ec), 16, Ceiling::Append, Some(4.0), Some(1.0)),
    writing("create-oct", Ask::Create(Key::Oct), 1, Ceiling::Append, None, Some(1.0)),
    writing("create-rsa", Ask::Create(Key::Rsa), 1, Ceiling::Raw(Raw::GenerateRsa), None, Some(1.0)),
    writing("rotate", Ask::Rotate, 1, Ceiling::Append, None, None),
    writing("assign-role", Ask::AssignRole, 1, Ceiling::Append, None, None),
];

const MAKE_RSA_4096: Ask = Ask::Create(Key::Rsa4096);
const RSA_WRAP: Ask = Ask::Forth(Key::Rsa, Way::Wrap, "RSA-OAEP-256");
const RSA_UNWRAP: Ask = Ask::Back(Key::Rsa, Way::Wrap, "RSA-OAEP-256");

const fn crypto(name: &'static str, ask: Ask, ceiling: Ceiling, target: Option<f64>, published: Option<f64>) -> Row {
    Row { name, ask, clients: Clients::Many, ceiling, target, published }
}

const fn writing(
    name: &'static str,
    ask: Ask,
    writers: usize,
    ceiling: Ceiling,
    target: Option<f64>,
    published: Option<f64>,
) -> Row {
    Row { name, ask, clients: Clients::Writers(writers), ceiling, target, published }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ROWS;

    #[test]
    fn no_two_rows_have_one_name() {
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
