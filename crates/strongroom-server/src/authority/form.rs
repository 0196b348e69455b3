//! Form-encoded bodies (RFC 6749 appendix B).

use strongroom_types::Secret;

use crate::authority::refusal::Refusal;
use crate::http::exchange::Inbound;

/// The parameters of a form; some are secrets, so all are treated as such.
pub(super) struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::MalformedForm`]; a parameter that comes twice is one as well (RFC 6749 §3.2).
    pub(super) fn read(inbound: &Inbound) -> Result<Self, Refusal> {
        let content_type = inbound.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") || inbound.body.len() > BYTES_MAX {
            return Err(Refusal::MalformedForm);
        }
        let mut parameters: Vec<(String, Secret<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(&inbound.body) {
            if parameters.len() >= PARAMETERS_MAX || parameters.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::MalformedForm);
            }
            parameters.push((name.into_owned(), Secret::new(value.into_owned())));
        }
        Ok(Self(parameters))
    }

    /// A parameter; an empty one counts as absent (RFC 6749 §3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.expose().as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// [`Refusal::MissingParameter`].
    pub(super) fn require(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::MissingParameter(name))
    }
}

/// A federated token is the longest parameter.
const BYTES_MAX: usize = 64 * 1024;
const PARAMETERS_MAX: usize = 64;
