//! URLs in the configuration: they hold no password, and lead nowhere in the clear.

use reqwest::Url;

use crate::outgoing::literal;

/// A URL without a user, a password and a fragment.
pub(crate) fn without_user(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.username().is_empty() && url.password().is_none() && url.fragment().is_none()).then_some(url)
}

/// Whether what is sent there is encrypted, or stays on this machine.
pub(super) fn keeps_secrets(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => url.host_str() == Some("localhost") || literal(url).is_some_and(|address| address.is_loopback()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_user_or_a_password_is_none() {
        for bad in ["https://u@a", "https://u:p@a", "https://:p@a", "https://a#b", "a", "", "https://"] {
            assert!(without_user(bad).is_none(), "{bad}");
        }
        assert!(without_user("https://a/b?c").is_some());
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        let keeps = |text| keeps_secrets(&Url::parse(text).unwrap());
        for good in ["HTTPS://a", "https:a", "http://localhost:1", "http://[::1]", "http://127.0.0.2", "HTTP://127.1"] {
            assert!(keeps(good), "{good}");
        }
        for bad in ["http://a", "HTTP://a", "http://10.0.0.1", "http://localhost.example", "ftp://localhost"] {
            assert!(!keeps(bad), "{bad}");
        }
    }
}
