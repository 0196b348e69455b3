//! The pages people see: plain HTML, made here, without scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use strongroom_core::identity::{PASSPHRASE_CHARACTERS_MAX, PASSPHRASE_CHARACTERS_MIN};
use strongroom_crypto::digest::sha256;

use crate::authentication::TooSoon;
use crate::authority::public_clients::PublicClient;
use crate::http::exchange::{Inbound, Outbound, Whole, empty, with_header};

/// What went wrong, in words for people.
#[derive(Debug)]
pub(super) enum Problem {
    UnknownCode,
    Expired,
    WrongPassword,
    Different,
    Passphrase(&'static str),
    TooSoon(TooSoon),
    OtherSite,
    Unreadable,
    Unavailable,
    OutcomeUnknown,
}

impl Problem {
    fn text(&self) -> String {
        match self {
            Self::UnknownCode => "Nobody is waiting for this code. Check it, or start again where you got it.".into(),
            Self::Expired => "The code has expired in the meantime. Start again where you got it.".into(),
            Self::WrongPassword => "That name and password do not belong together.".into(),
            Self::Different => "The two passphrases differ.".into(),
            Self::Passphrase(problem) => format!("A passphrase needs {problem}."),
            Self::TooSoon(TooSoon { seconds }) => {
                format!("There were too many failed attempts. Try again in {seconds} seconds.")
            }
            Self::OtherSite => "The form came from another site. Enter your code here.".into(),
            Self::Unreadable => "The form could not be read. Enter your code again.".into(),
            Self::Unavailable => "This does not work at the moment. Try again.".into(),
            Self::OutcomeUnknown => PASSPHRASE_UNKNOWN.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::OtherSite => StatusCode::FORBIDDEN,
            Self::TooSoon(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnknownCode | Self::Expired | Self::Different | Self::Passphrase(_) | Self::Unreadable => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

/// Where the code is entered.
pub(super) fn code(problem: Option<&Problem>) -> Outbound {
    let form = r#"<p>Enter the code that the program you want to sign in to has shown you.</p>
<form method="post" action="/device">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="16" required autofocus>
<button name="step" value="code">Next</button>
</form>"#;
    page("Sign in", form, problem)
}

/// Where name and password are entered.
pub(super) fn sign_in(client: &PublicClient, user_code: &str, name: &str, problem: Option<&Problem>) -> Outbound {
    let (program, user_code, name) = (escaped(client.name), escaped(user_code), escaped(name));
    let form = format!(
        r#"<p><strong>{program}</strong> wants to act in your name. Go on only if you started it yourself, on a machine you trust: whoever gave you the code gets your rights.</p>
<form method="post" action="/device">
<input type="hidden" name="user_code" value="{user_code}">
<label for="username">User name</label>
<input id="username" name="username" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="113" required autofocus>
<label for="password">Passphrase, or the one-time password you were given</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="{PASSPHRASE_CHARACTERS_MAX}" required>
<button name="step" value="sign-in">Sign in</button>
<button name="step" value="decline" class="quiet" formnovalidate>Do not sign in</button>
</form>"#
    );
    page("Sign in", &form, problem)
}

/// Where a passphrase is chosen.
pub(super) fn passphrase(user_code: &str, ticket: &str, problem: Option<&Problem>) -> Outbound {
    let (user_code, ticket) = (escaped(user_code), escaped(ticket));
    let form = format!(
        r#"<p>Your one-time password ends here. Choose a passphrase of at least {PASSPHRASE_CHARACTERS_MIN} characters to sign in with from now on; several words are good.</p>
<form method="post" action="/device">
<input type="hidden" name="user_code" value="{user_code}">
<input type="hidden" name="ticket" value="{ticket}">
<label for="passphrase">New passphrase</label>
<input id="passphrase" name="passphrase" type="password" autocomplete="new-password" minlength="{PASSPHRASE_CHARACTERS_MIN}" maxlength="{PASSPHRASE_CHARACTERS_MAX}" required autofocus>
<label for="repeated">Once more</label>
<input id="repeated" name="repeated" type="password" autocomplete="new-password" minlength="{PASSPHRASE_CHARACTERS_MIN}" maxlength="{PASSPHRASE_CHARACTERS_MAX}" required>
<button name="step" value="passphrase">Set passphrase and sign in</button>
</form>"#
    );
    page("Choose a passphrase", &form, problem)
}

/// The end, if all went well.
pub(super) fn done(client: &PublicClient) -> Outbound {
    let text = format!(
        "<p>You are signed in to <strong>{}</strong>. Close this page and go back to it.</p>",
        escaped(client.name)
    );
    page("Signed in", &text, None)
}

/// The end, if the person did not want it.
pub(super) fn declined() -> Outbound {
    page("Not signed in", "<p>Nobody was signed in. You can close this page.</p>", None)
}

/// What a browser finds that a program has sent here to sign in without a code.
pub(super) fn interactive(inbound: &Inbound) -> Outbound {
    let text = format!(
        "<p>This server signs people in with a code. Run</p><p><code>az login --use-device-code</code></p>\
         <p>and open <a href=\"/device\">{}</a>.</p>",
        escaped(&format!("{}/device", inbound.base_url()))
    );
    let mut answer = page("Sign in with a code", &text, None);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

fn page(title: &str, body: &str, problem: Option<&Problem>) -> Outbound {
    let (status, alert) = match problem {
        None => (StatusCode::OK, String::new()),
        Some(problem) => {
            (problem.status(), format!(r#"<p class="problem" role="alert">{}</p>"#, escaped(&problem.text())))
        }
    };
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · strongroom</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<p class="product">strongroom</p>
<h1>{title}</h1>
{alert}
{body}
</main>
</body>
</html>
"#
    );
    let mut answer = empty(status);
    *answer.body_mut() = Whole::from(html);
    let style = STANDARD.encode(sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy.as_str()),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        // Not no-referrer: browsers would then hide the origin of our own forms.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]
    .into_iter()
    .fold(answer, |answer, (name, value)| with_header(answer, name, value))
}

/// Text that can stand in an element or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

const PASSPHRASE_UNKNOWN: &str = "Whether your passphrase was set is not known. Start again where you got the code, and \
                                  sign in with it; if it is not taken, the one-time password still is.";
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fff;--ground:#eef1f5;--line:#b9c2cf;--accent:#0b5c8a;--bad:#a3261b}\
@media (prefers-color-scheme:dark){:root{--ink:#e8edf3;--paper:#1b222c;--ground:#11161d;--line:#4a5666;--accent:#62b5e5;--bad:#ff9b8f}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{width:min(26rem,100% - 2rem);margin:1rem;padding:2rem;background:var(--paper);border:1px solid var(--line);border-radius:.5rem}\
.product{margin:0;letter-spacing:.08em;font-size:.85rem;color:var(--accent)}\
h1{margin:.25rem 0 1rem;font-size:1.5rem;line-height:1.2}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input{width:100%;padding:.6rem .7rem;font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:.3rem}\
#user_code{text-transform:uppercase;letter-spacing:.15em}\
input:focus-visible,button:focus-visible{outline:3px solid var(--accent);outline-offset:1px}\
button{width:100%;margin-top:1.25rem;padding:.65rem;font:inherit;font-weight:600;color:var(--paper);background:var(--accent);border:1px solid var(--accent);border-radius:.3rem;cursor:pointer}\
button.quiet{margin-top:.6rem;color:var(--accent);background:transparent}\
a{color:var(--accent)}\
.problem{padding:.6rem .8rem;color:var(--bad);border:1px solid var(--bad);border-radius:.3rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_cannot_become_markup() {
        assert_eq!(escaped(r#"<a href="x" id='y'>&"#), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn the_style_has_nothing_that_would_end_it() {
        assert!(!STYLE.contains('<'));
    }
}
