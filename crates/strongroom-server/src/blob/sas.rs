//! Shared access signatures: the shape only. Whether one is good is for the blob store to say; what cannot be good is
//! said here, in words that help, before anything is asked.

use percent_encoding::percent_decode_str;
use strongroom_core::blobs::BlobError;
use strongroom_types::{Secret, Timestamp};

/// A shared access signature, told apart.
#[derive(Debug)]
pub(super) struct Sas {
    pairs: Vec<(String, Secret<String>)>,
}

impl Sas {
    /// Reads a token, with or without the leading `?`, and says what cannot be right about it.
    ///
    /// # Errors
    /// [`BlobError::Malformed`].
    pub(super) fn parse(token: &Secret<String>, now: Timestamp) -> Result<Self, BlobError> {
        let text = token.expose().trim().trim_start_matches('?');
        if text.len() > LENGTH_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("it is no query string: printable ASCII, at most 4096 bytes"));
        }
        let mut sas = Self { pairs: Vec::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| malformed("a part of it has no `=`"))?;
            // Not as a form: a plus sign in a signature is one.
            let value = percent_decode_str(value).decode_utf8().map_err(|_| malformed("a part of it is no UTF-8"))?;
            sas.pairs.push((name.to_owned(), Secret::new(value.into_owned())));
        }
        sas.check(now)?;
        Ok(sas)
    }

    /// The members of the query.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        self.pairs.iter().map(|(name, value)| (name.clone(), value.expose().clone())).collect()
    }

    /// Whether it can be used to write, as far as it says.
    pub(super) fn may_create(&self) -> bool {
        self.get("sp").is_none_or(|permissions| permissions.contains(['c', 'w']))
    }

    /// Whether it may travel by this scheme.
    pub(super) fn allows_scheme(&self, scheme: &str) -> bool {
        self.get("spr").is_none_or(|protocols| protocols.split(',').any(|protocol| protocol == scheme))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().as_str())
    }

    fn check(&self, now: Timestamp) -> Result<(), BlobError> {
        for (name, meaning) in [("sv", "version"), ("sig", "signature")] {
            if self.get(name).is_none_or(str::is_empty) {
                return Err(malformed(&format!("it has no {name} ({meaning}); was it cut off or quoted wrongly?")));
            }
        }
        let twice = |name: &str| self.pairs.iter().filter(|(known, _)| known == name).count() > 1;
        if let Some((name, _)) = self.pairs.iter().find(|(name, _)| twice(name)) {
            let name: String = name.chars().take(8).collect();
            return Err(malformed(&format!("it has {name} twice")));
        }
        match self.get("se") {
            // A stored access policy may say when it ends.
            None if self.get("si").is_some() => {}
            None => return Err(malformed("it has no se (when it ends)")),
            Some(end) => {
                let ends = instant(end).ok_or_else(|| malformed("its se is no time such as 2026-01-31T12:00:00Z"))?;
                if ends <= now {
                    return Err(malformed(&format!(
                        "it ended at {end}: make a new one with `az storage container generate-sas`"
                    )));
                }
            }
        }
        if self.get("sp").is_some_and(|permissions| !permissions.contains('r')) {
            return Err(malformed(
                "its sp lacks r (read); a backup needs racwdl, or at least rc, a restore needs rl, or at least r",
            ));
        }
        if self.get("sr").is_some_and(|resource| !["c", "d"].contains(&resource)) {
            return Err(malformed("it is not for a container: its sr is neither c nor d"));
        }
        if self.get("srt").is_some_and(|types| !types.contains('o')) || self.get("ss").is_some_and(|s| !s.contains('b'))
        {
            return Err(malformed("it is an account SAS that is not for blobs: ss must have b and srt must have o"));
        }
        Ok(())
    }
}

fn malformed(problem: &str) -> BlobError {
    BlobError::Malformed(format!("the SAS token cannot be used: {problem}"))
}

/// `2026-01-31T12:00:00Z`, `2026-01-31T12:00Z` or `2026-01-31`.
fn instant(text: &str) -> Option<Timestamp> {
    let midnight = || format!("{text}T00:00:00Z").parse();
    let time: jiff::Timestamp = text.parse().or_else(|_| midnight()).ok()?;
    Some(Timestamp::from_seconds(time.as_second()))
}

/// Longest token, in bytes.
const LENGTH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const GOOD: &str = "sv=2025-05-05&se=2027-02-01T00%3A00%3A00Z&sr=c&sp=racwdl&sig=a%2Bb+c%3D";

    fn parse(text: &str) -> Result<Sas, BlobError> {
        Sas::parse(&Secret::new(text.to_owned()), NOW)
    }

    #[test]
    fn a_signature_keeps_its_plus_signs() {
        for text in [GOOD.to_owned(), format!("?{GOOD}")] {
            let sas = parse(&text).unwrap();
            assert_eq!(sas.get("sig"), Some("a+b+c="));
            assert!(sas.may_create() && sas.allows_scheme("http"));
        }
        assert!(!parse(&GOOD.replace("racwdl", "rl")).unwrap().may_create());
        assert!(!parse(&format!("{GOOD}&spr=https")).unwrap().allows_scheme("http"));
        for end in ["2027-02-01T00:00Z", "2027-02-01"] {
            assert!(parse(&GOOD.replace("2027-02-01T00%3A00%3A00Z", end)).is_ok(), "{end}");
        }
        assert!(parse("sv=1&sig=x&si=policy").is_ok());
    }

    #[test]
    fn what_cannot_be_good_is_said_without_the_token() {
        let cases = [
            ("SECRET", "has no `=`"),
            ("sv=1&se=2027-02-01", "no sig"),
            ("sig=SECRET&se=2027-02-01", "no sv"),
            ("sv=1&sig=SECRET", "no se"),
            ("sv=1&sig=SECRET&se=tomorrow", "its se is no time"),
            ("sv=1&sig=SECRET&se=2020-01-01T00:00:00Z", "it ended at 2020-01-01T00:00:00Z"),
            ("sv=1&sig=SECRET&se=2027-02-01&sp=wl", "lacks r"),
            ("sv=1&sig=SECRET&se=2027-02-01&sr=b", "not for a container"),
            ("sv=1&sig=SECRET&se=2027-02-01&ss=qt&srt=o", "not for blobs"),
            ("sv=1&sig=SECRET&sig=SECRET&se=2027-02-01", "sig twice"),
            ("sv=1&sig=SEC RET", "printable"),
        ];
        for (text, expected) in cases {
            let Err(BlobError::Malformed(problem)) = parse(text) else { panic!("{text}") };
            assert!(problem.contains(expected) && !problem.contains("SECRET"), "{text}: {problem}");
        }
    }
}
