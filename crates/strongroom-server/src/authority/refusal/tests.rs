//! `docs/errors.md` against what the authority really refuses with.

use http::{Method, header};

use super::*;
use crate::data_plane::error::tests::{Line, assert_page_lists, core_errors, one_of_each};

one_of_each!(assertion_problems: AssertionProblem {
    AssertionProblem::Type => AssertionProblem::Type;
    AssertionProblem::Token(_) =>
        AssertionProblem::Token(TokenError::Expired),
        AssertionProblem::Token(TokenError::NotYetValid),
        AssertionProblem::Token(TokenError::Malformed);
    AssertionProblem::UnknownCertificate => AssertionProblem::UnknownCertificate;
    AssertionProblem::CertificateExpired => AssertionProblem::CertificateExpired;
    AssertionProblem::Audience => AssertionProblem::Audience;
    AssertionProblem::Replayed => AssertionProblem::Replayed;
    AssertionProblem::TooLong => AssertionProblem::TooLong;
});

one_of_each!(refusals: Refusal {
    Refusal::MissingParameter(_) => Refusal::MissingParameter("scope");
    Refusal::MalformedForm => Refusal::MalformedForm;
    Refusal::UnknownTenant(_) => Refusal::UnknownTenant("it".to_owned());
    Refusal::UnknownClient(_) => Refusal::UnknownClient("it".to_owned());
    Refusal::WrongSecret => Refusal::WrongSecret;
    Refusal::SecretExpired => Refusal::SecretExpired;
    Refusal::NoCredential => Refusal::NoCredential;
    Refusal::WrongAssertion(_) => Refusal::WrongAssertion(AssertionProblem::Type);
    Refusal::NoFederatedCredential => Refusal::NoFederatedCredential;
    Refusal::ApplicationDisabled => Refusal::ApplicationDisabled;
    Refusal::UserDisabled => Refusal::UserDisabled;
    Refusal::UnknownResource(_) => Refusal::UnknownResource("it".to_owned());
    Refusal::UnusableScope => Refusal::UnusableScope;
    Refusal::UnsupportedGrant(_) => Refusal::UnsupportedGrant("it".to_owned());
    Refusal::AuthorizationPending => Refusal::AuthorizationPending;
    Refusal::AuthorizationDeclined => Refusal::AuthorizationDeclined;
    Refusal::UnknownDeviceCode => Refusal::UnknownDeviceCode;
    Refusal::DeviceCodeExpired => Refusal::DeviceCodeExpired;
    Refusal::RefreshTokenInvalid => Refusal::RefreshTokenInvalid;
    Refusal::TooManyFailures(_) => Refusal::TooManyFailures(TooSoon { seconds: 7 });
    Refusal::Busy => Refusal::Busy;
    Refusal::Unavailable(_) => Refusal::Unavailable(IdentityError::NotFounded);
    Refusal::OutcomeUnknown(_) => Refusal::OutcomeUnknown(IdentityError::NotFounded);
});

#[test]
fn the_page_of_errors_lists_every_number_of_the_authority_and_no_other() {
    let of_assertions = assertion_problems().into_iter().map(Refusal::WrongAssertion);
    let line = |refusal: Refusal| -> Line {
        let Row { status, error, .. } = refusal.row();
        (status.as_u16(), format!("{error} ({})", refusal.code()))
    };
    assert_page_lists("Authority", &refusals().into_iter().chain(of_assertions).map(line).collect());
}

#[test]
fn what_may_have_been_done_is_not_to_be_repeated() {
    let inbound = crate::authority::graph::tests::inbound(Method::POST, "/adfs/oauth2/token");
    for core in core_errors() {
        let unknown = core.is_outcome_unknown();
        let refusal = Refusal::from(IdentityError::Core(core));
        let answer = refusal.answer(&inbound);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
        assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), !unknown, "{refusal}");
        assert_eq!(refusal.to_string().contains(OUTCOME_UNKNOWN), unknown, "{refusal}");
    }
}

#[test]
fn too_many_failures_say_for_how_long() {
    let inbound = crate::authority::graph::tests::inbound(Method::POST, "/adfs/oauth2/token");
    let answer = Refusal::TooManyFailures(TooSoon { seconds: 7 }).answer(&inbound);
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "7");
}
