//! Sign-ins in progress on the device page (RFC 8628).
//!
//! They live in the memory of the node they were begun on, bounded and for a quarter of an hour: nothing a stranger does
//! here reaches the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;
use strongroom_core::identity::token::ParsedToken;
use strongroom_crypto::{CryptoError, Entropy};
use strongroom_types::{PrincipalId, Secret, Timestamp};

use crate::authentication::counted;
use crate::authority::Authority;
use crate::authority::form::Form;
use crate::authority::grant::public_client;
use crate::authority::public_clients::PublicClient;
use crate::authority::refusal::Refusal;
use crate::authority::scope::Wanted;
use crate::http::exchange::{Inbound, Outbound, json as json_answer, with_header};

/// The sign-ins in progress.
pub(super) struct DeviceLogins {
    entropy: Arc<dyn Entropy>,
    /// By the hash of the device code; the user code is a member.
    pending: Mutex<HashMap<[u8; 32], Pending>>,
}

struct Pending {
    user_code: String,
    client: &'static PublicClient,
    scope: String,
    expires: Timestamp,
    state: State,
}

enum State {
    Waiting,
    /// The one-time password was right; whoever has the ticket may choose the passphrase.
    Enrolling {
        user: PrincipalId,
        ticket: [u8; 32],
    },
    Approved(PrincipalId),
    Declined,
}

/// A sign-in that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) device_code: Secret<String>,
    pub(super) user_code: String,
}

/// What the program that polls is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Poll {
    Pending,
    Approved { user: PrincipalId, scope: String },
    Declined,
    Expired,
    Unknown,
}

impl DeviceLogins {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, pending: Mutex::new(HashMap::new()) }
    }

    /// Begins a sign-in; `None` if too many are in progress.
    pub(super) fn begin(
        &self,
        client: &'static PublicClient,
        scope: &str,
        now: Timestamp,
    ) -> Result<Option<Begun>, CryptoError> {
        let (device_code, user_code) = (self.draw_token()?, self.draw_user_code()?);
        let mut pending = self.locked();
        pending.retain(|_, login| login.expires.plus_seconds(REMEMBERED_SECONDS) > now);
        let taken = pending.values().any(|login| login.user_code == user_code);
        if pending.len() >= PENDING_MAX || taken {
            return Ok(None);
        }
        let login = Pending {
            user_code: user_code.clone(),
            client,
            scope: scope.to_owned(),
            expires: now.plus_seconds(EXPIRES_SECONDS),
            state: State::Waiting,
        };
        pending.insert(ParsedToken::hash(device_code.expose()), login);
        Ok(Some(Begun { device_code, user_code }))
    }

    /// The program that waits for this code.
    pub(super) fn waiting(&self, user_code: &str, now: Timestamp) -> Option<&'static PublicClient> {
        self.change(user_code, now, |login| login.client)
    }

    /// Lets the user in. False if nobody waits for this code any more.
    pub(super) fn approve(&self, user_code: &str, user: PrincipalId, now: Timestamp) -> bool {
        self.change(user_code, now, |login| login.state = State::Approved(user)).is_some()
    }

    /// Lets nobody in.
    pub(super) fn decline(&self, user_code: &str, now: Timestamp) {
        self.change(user_code, now, |login| login.state = State::Declined);
    }

    /// A ticket with which the user may choose a passphrase; one given before ends.
    pub(super) fn offer_enrolment(
        &self,
        user_code: &str,
        user: PrincipalId,
        now: Timestamp,
    ) -> Result<Option<Secret<String>>, CryptoError> {
        let ticket = self.draw_token()?;
        let hash = ParsedToken::hash(ticket.expose());
        let offered = self.change(user_code, now, |login| login.state = State::Enrolling { user, ticket: hash });
        Ok(offered.map(|()| ticket))
    }

    /// The user a ticket was given to.
    pub(super) fn enrolling(&self, user_code: &str, ticket: &str, now: Timestamp) -> Option<PrincipalId> {
        let hash = ParsedToken::hash(ticket);
        self.change(user_code, now, |login| match &login.state {
            State::Enrolling { user, ticket } if *ticket == hash => Some(*user),
            _ => None,
        })
        .flatten()
    }

    /// What has become of a sign-in; success and refusal are told once.
    pub(super) fn poll(&self, device_code: &str, client: &PublicClient, now: Timestamp) -> Poll {
        let hash = ParsedToken::hash(device_code);
        let mut pending = self.locked();
        let Some(login) = pending.get(&hash).filter(|login| login.client == client) else { return Poll::Unknown };
        if login.expires <= now {
            return Poll::Expired;
        }
        let answer = match &login.state {
            State::Waiting | State::Enrolling { .. } => return Poll::Pending,
            State::Approved(user) => Poll::Approved { user: *user, scope: login.scope.clone() },
            State::Declined => Poll::Declined,
        };
        pending.remove(&hash);
        answer
    }

    /// Does something to the sign-in that waits for a code; a finished or expired one waits no more.
    fn change<T>(&self, user_code: &str, now: Timestamp, change: impl FnOnce(&mut Pending) -> T) -> Option<T> {
        let typed = normalized(user_code);
        let mut pending = self.locked();
        let waits = |login: &&mut Pending| {
            let open = matches!(login.state, State::Waiting | State::Enrolling { .. });
            open && login.expires > now && login.user_code == typed
        };
        pending.values_mut().find(waits).map(change)
    }

    fn draw_token(&self) -> Result<Secret<String>, CryptoError> {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes)?;
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn draw_user_code(&self) -> Result<String, CryptoError> {
        let mut code = String::with_capacity(USER_CODE_CHARACTERS);
        while code.len() < USER_CODE_CHARACTERS {
            let mut byte = [0];
            self.entropy.fill(&mut byte)?;
            // Bytes beyond the last whole round of the alphabet would favour its first letters.
            let [byte] = byte;
            if usize::from(byte) < 256 - 256 % USER_CODE_ALPHABET.len() {
                code.extend(
                    USER_CODE_ALPHABET.get(usize::from(byte) % USER_CODE_ALPHABET.len()).copied().map(char::from),
                );
            }
        }
        Ok(code)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<[u8; 32], Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority {
    /// Answers a program that wants a person to sign in (RFC 8628 §3.1, §3.2).
    pub(super) fn device_authorization(&self, inbound: &Inbound) -> Result<Outbound, Refusal> {
        let form = Form::read(inbound)?;
        let client = public_client(&form)?;
        let wanted = Wanted::read(&form, &self.names)?;
        let address = counted(inbound.peer.remote.ip());
        self.client_failures.check(&address, inbound.received).map_err(Refusal::TooManyFailures)?;
        let begun = self.devices.begin(client, &wanted.scope, inbound.received);
        let begun = begun.map_err(|error| Refusal::Unavailable(error.into()))?.ok_or(Refusal::Busy)?;
        let page = format!("{}/device", inbound.base_url());
        let code = grouped(&begun.user_code);
        let body = json!({
            "user_code": code,
            "device_code": begun.device_code.expose(),
            "verification_uri": page,
            // Version 1 of the endpoint calls it so.
            "verification_url": page,
            "expires_in": EXPIRES_SECONDS,
            "interval": INTERVAL_SECONDS,
            "message": format!("To sign in, open {page} in a web browser and enter the code {code}."),
        });
        Ok(with_header(json_answer(StatusCode::OK, &body), "cache-control", "no-store"))
    }
}

/// A code as it is shown: two groups of four.
pub(super) fn grouped(user_code: &str) -> String {
    let (head, tail) = user_code.split_at_checked(USER_CODE_CHARACTERS / 2).unwrap_or((user_code, ""));
    format!("{head}-{tail}")
}

/// A code as it was typed, in the form it is kept in.
fn normalized(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// Letters that nobody misreads and that spell no words (RFC 8628 §6.1).
const USER_CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// 20^8: 34 bits, for a quarter of an hour, with limited attempts.
const USER_CODE_CHARACTERS: usize = 8;
const EXPIRES_SECONDS: i64 = 900;
/// For how long afterwards the program is told that the code has expired.
const REMEMBERED_SECONDS: i64 = 900;
const INTERVAL_SECONDS: i64 = 5;
/// Most sign-ins in progress.
const PENDING_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use uuid::Uuid;

    use super::*;
    use crate::authority::public_clients;

    const NOW: Timestamp = Timestamp::from_seconds(1000);
    const USER: PrincipalId = PrincipalId::from_uuid(Uuid::from_u128(1));

    fn client() -> &'static PublicClient {
        public_clients::find("04b07795-8ddb-461a-bbee-02f9e1bf7b46").unwrap()
    }

    fn logins() -> DeviceLogins {
        DeviceLogins::new(Arc::new(SystemEntropy))
    }

    #[test]
    fn the_program_learns_once_who_has_signed_in() {
        let logins = logins();
        let begun = logins.begin(client(), "scope", NOW).unwrap().unwrap();
        let poll = |now| logins.poll(begun.device_code.expose(), client(), now);
        assert_eq!(poll(NOW), Poll::Pending);
        let typed = grouped(&begun.user_code).to_lowercase();
        assert_eq!(logins.waiting(&typed, NOW), Some(client()));
        assert!(logins.approve(&typed, USER, NOW));
        assert!(!logins.approve(&typed, USER, NOW), "it waits no more");
        assert_eq!(poll(NOW), Poll::Approved { user: USER, scope: "scope".to_owned() });
        assert_eq!(poll(NOW), Poll::Unknown);
    }

    #[test]
    fn a_code_ends_after_a_quarter_of_an_hour_and_is_another_clients_never() {
        let logins = logins();
        let begun = logins.begin(client(), "scope", NOW).unwrap().unwrap();
        let other = public_clients::find("1950a258-227b-4e31-a9cf-717495945fc2").unwrap();
        assert_eq!(logins.poll(begun.device_code.expose(), other, NOW), Poll::Unknown);
        let late = NOW.plus_seconds(EXPIRES_SECONDS);
        assert_eq!(logins.waiting(&begun.user_code, late), None);
        assert!(!logins.approve(&begun.user_code, USER, late));
        assert_eq!(logins.poll(begun.device_code.expose(), client(), late), Poll::Expired);
        logins.begin(client(), "scope", late.plus_seconds(REMEMBERED_SECONDS)).unwrap().unwrap();
        assert_eq!(logins.poll(begun.device_code.expose(), client(), late), Poll::Unknown);
    }

    #[test]
    fn a_new_ticket_ends_the_one_before() {
        let logins = logins();
        let code = logins.begin(client(), "scope", NOW).unwrap().unwrap().user_code;
        let first = logins.offer_enrolment(&code, USER, NOW).unwrap().unwrap();
        let second = logins.offer_enrolment(&code, USER, NOW).unwrap().unwrap();
        assert_eq!(logins.enrolling(&code, first.expose(), NOW), None);
        assert_eq!(logins.enrolling(&code, second.expose(), NOW), Some(USER));
        assert_eq!(logins.enrolling("BBBBBBBB", second.expose(), NOW), None);
    }

    #[test]
    fn the_number_of_sign_ins_in_progress_is_limited() {
        let logins = logins();
        for _ in 0..PENDING_MAX {
            assert!(logins.begin(client(), "scope", NOW).unwrap().is_some());
        }
        assert!(logins.begin(client(), "scope", NOW).unwrap().is_none());
        let later = NOW.plus_seconds(EXPIRES_SECONDS + REMEMBERED_SECONDS);
        assert!(logins.begin(client(), "scope", later).unwrap().is_some());
    }
}
