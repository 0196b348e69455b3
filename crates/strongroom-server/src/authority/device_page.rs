//! The page on which a person signs in: code, then name and password, then done; the first time a passphrase of one's own
//! in between.
//!
//! There is no session and no cookie: each form carries what it needs, so a form sent by another site can do nothing
//! that site could not do itself.

use http::header::ORIGIN;
use strongroom_core::audit::Result as EventResult;
use strongroom_core::identity::record::{Principal, PrincipalState};
use strongroom_core::identity::{IdentityError, PasswordCheck};
use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::authentication::{TooSoon, counted};
use crate::authority::Authority;
use crate::authority::form::Form;
use crate::authority::page::{self, Problem};
use crate::authority::public_clients::PublicClient;
use crate::authority::recording::{caller_of, record, request};
use crate::authority::refusal::is_outcome_unknown;
use crate::http::exchange::{Inbound, Outbound};

impl Authority {
    /// The page where the code is entered.
    pub(super) fn device_page(&self, _inbound: &Inbound) -> Outbound {
        page::code(None)
    }

    /// Takes one of the page's forms.
    pub(super) async fn device_form(&self, inbound: &Inbound) -> Outbound {
        if !from_our_own_page(inbound) {
            return page::code(Some(&Problem::OtherSite));
        }
        let Ok(form) = Form::read(inbound) else { return page::code(Some(&Problem::Unreadable)) };
        let address = counted(inbound.peer.remote.ip());
        if let Err(soon) = self.page_failures.begin(&address, inbound.received) {
            return page::code(Some(&Problem::TooSoon(soon)));
        }
        let code = form.get("user_code").unwrap_or_default();
        let Some(client) = self.devices.waiting(code, inbound.received) else {
            self.strangers.saw(inbound.peer.remote.ip(), inbound.path(), "UnknownUserCode", inbound.received);
            return page::code(Some(&Problem::UnknownCode));
        };
        let result = match form.get("step") {
            Some("sign-in") => self.sign_in_step(inbound, &form, code, client).await,
            Some("passphrase") => self.passphrase_step(inbound, &form, code, client).await,
            Some("decline") => {
                self.devices.decline(code, inbound.received);
                Ok(page::declined())
            }
            _ => Ok(page::sign_in(client, code, "", None)),
        };
        match result {
            Ok(answer) => {
                self.page_failures.succeeded(&address);
                answer
            }
            Err(answer) => *answer,
        }
    }

    /// Name and password. `Err` is an answer as well: to a failed attempt.
    async fn sign_in_step(
        &self,
        inbound: &Inbound,
        form: &Form,
        code: &str,
        client: &'static PublicClient,
    ) -> Result<Outbound, Box<Outbound>> {
        let (name, password) = (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
        let again = |problem: &Problem| Box::new(page::sign_in(client, code, name, Some(problem)));
        let counted_name = name.to_lowercase().chars().take(NAME_CHARACTERS_MAX).collect::<String>();
        self.user_failures
            .begin(&counted_name, inbound.received)
            .map_err(|soon: TooSoon| again(&Problem::TooSoon(soon)))?;
        let user = self.enabled_user(name).await.map_err(|error| again(&unavailable(inbound, &error)))?;
        let owner = user.as_ref().map_or(PrincipalId::from_uuid(Uuid::nil()), |user| user.object_id);
        let checked = self.directory.check_password(user.as_ref().and_then(Principal::user), owner, password).await;
        let checked = checked.map_err(|error| again(&unavailable(inbound, &error)))?;
        let (Some(user), PasswordCheck::Right | PasswordCheck::OneTime) = (user, checked) else {
            self.strangers.saw(inbound.peer.remote.ip(), inbound.path(), "WrongPassword", inbound.received);
            return Err(again(&Problem::WrongPassword));
        };
        self.user_failures.forget(&counted_name);
        if checked == PasswordCheck::Right {
            return Ok(self.approve(inbound, &user, code, client));
        }
        match self.devices.offer_enrolment(code, user.object_id, inbound.received) {
            Ok(Some(ticket)) => Ok(page::passphrase(code, ticket.expose(), None)),
            Ok(None) => Ok(page::code(Some(&Problem::UnknownCode))),
            Err(error) => Err(again(&unavailable(inbound, &error.into()))),
        }
    }

    /// The passphrase a person chooses the first time.
    async fn passphrase_step(
        &self,
        inbound: &Inbound,
        form: &Form,
        code: &str,
        client: &'static PublicClient,
    ) -> Result<Outbound, Box<Outbound>> {
        let ticket = form.get("ticket").unwrap_or_default();
        let Some(user) = self.devices.enrolling(code, ticket, inbound.received) else {
            return Err(Box::new(page::code(Some(&Problem::UnknownCode))));
        };
        let (passphrase, repeated) = (form.get("passphrase").unwrap_or_default(), form.get("repeated"));
        if repeated != Some(passphrase) {
            return Ok(page::passphrase(code, ticket, Some(&Problem::Different)));
        }
        let failed = |problem: &Problem| Box::new(page::passphrase(code, ticket, Some(problem)));
        let found = self.directory.principal(user).await.map_err(|error| failed(&unavailable(inbound, &error)))?;
        let Some(user) = found.map(|stored| stored.value).filter(|user| user.state == PrincipalState::Enabled) else {
            return Err(Box::new(page::code(Some(&Problem::UnknownCode))));
        };
        let Some(caller) = caller_of(&self.directory, &user, Some(client.client_id.to_string())) else {
            return Err(failed(&unavailable(inbound, &IdentityError::NotFounded)));
        };
        let request = request(inbound, "UserPassphraseSet", caller);
        match self.directory.enrol_passphrase(&request, user.object_id, passphrase).await {
            Ok(()) if self.devices.approve(code, user.object_id, inbound.received) => Ok(page::done(client)),
            Ok(()) => Ok(page::code(Some(&Problem::Expired))),
            Err(IdentityError::BadParameter { problem, .. }) => {
                Ok(page::passphrase(code, ticket, Some(&Problem::Passphrase(problem))))
            }
            Err(IdentityError::AlreadyEnrolled) => Err(Box::new(page::sign_in(client, code, "", None))),
            Err(error) => Err(failed(&unavailable(inbound, &error))),
        }
    }

    fn approve(&self, inbound: &Inbound, user: &Principal, code: &str, client: &'static PublicClient) -> Outbound {
        if !self.devices.approve(code, user.object_id, inbound.received) {
            return page::code(Some(&Problem::Expired));
        }
        if let Some(caller) = caller_of(&self.directory, user, Some(client.client_id.to_string())) {
            let request = request(inbound, "DeviceLoginApproved", caller);
            record(self.directory.core(), &request, EventResult::success(200), None);
        }
        page::done(client)
    }

    async fn enabled_user(&self, name: &str) -> Result<Option<Principal>, IdentityError> {
        let found = self.directory.by_user_principal_name(name).await?.map(|stored| stored.value);
        Ok(found.filter(|user| user.state == PrincipalState::Enabled))
    }
}

/// Browsers say where a form was; programs that say nothing are no browsers that could be tricked.
fn from_our_own_page(inbound: &Inbound) -> bool {
    let same_origin = inbound.header(ORIGIN.as_str()).is_none_or(|origin| origin == inbound.base_url());
    let same_site = inbound.header("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    same_origin && same_site
}

fn unavailable(inbound: &Inbound, error: &IdentityError) -> Problem {
    tracing::error!(request = %inbound.id, %error, "a person cannot sign in");
    if is_outcome_unknown(error) { Problem::OutcomeUnknown } else { Problem::Unavailable }
}

/// Characters of a name that failures are counted under.
const NAME_CHARACTERS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::data_plane::error::tests::core_errors;

    #[test]
    fn a_person_is_told_if_a_passphrase_may_be_set_and_not_to_try_again() {
        let inbound = crate::authority::graph::tests::inbound(Method::POST, "/device");
        for core in core_errors() {
            let unknown = core.is_outcome_unknown();
            let problem = unavailable(&inbound, &IdentityError::Core(core));
            assert_eq!(matches!(problem, Problem::OutcomeUnknown), unknown, "{problem:?}");
            assert_eq!(page::code(Some(&problem)).status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}
