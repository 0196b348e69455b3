//! `docs/errors.md` against what errors of the directory really become.

use http::header;
use strongroom_core::identity::token::TokenError;

use super::*;
use crate::arm::error::tests::identity_errors;
use crate::data_plane::error::tests::{Line, assert_page_lists, core_errors, one_of_each};

one_of_each!(graph_errors: GraphError {
    GraphError::NotAuthenticated(_) =>
        GraphError::NotAuthenticated(AuthenticationError::Missing),
        GraphError::NotAuthenticated(AuthenticationError::Token(TokenError::Malformed)),
        GraphError::NotAuthenticated(AuthenticationError::TooManyFailures { retry_after_seconds: 7 }),
        GraphError::NotAuthenticated(AuthenticationError::Unavailable(IdentityError::NotFounded));
    GraphError::Denied => GraphError::Denied;
    GraphError::RouteNotFound(_) => GraphError::RouteNotFound("it".to_owned());
    GraphError::NotFound(_) => GraphError::not_found("it");
    GraphError::BadRequest(_) => GraphError::bad_request("It is wrong.");
    GraphError::NameTaken(_) => GraphError::NameTaken("name");
    GraphError::Protected(_) => GraphError::Protected("It".to_owned());
    GraphError::LimitReached { .. } => GraphError::LimitReached { what: "things", limit: 1 };
    GraphError::Unavailable(_) => GraphError::Unavailable(IdentityError::NotFounded);
    GraphError::OutcomeUnknown(_) => GraphError::OutcomeUnknown(IdentityError::NotFounded);
});

#[test]
fn the_page_of_errors_lists_every_code_of_the_directory_and_no_other() {
    let of_the_directory = identity_errors().into_iter().map(GraphError::from);
    let of_the_core = core_errors().into_iter().map(GraphError::from);
    let line = |error: GraphError| -> Line {
        let (status, code) = error.row();
        (status.as_u16(), code.to_owned())
    };
    let errors = graph_errors().into_iter().chain(of_the_directory).chain(of_the_core);
    assert_page_lists("Directory", &errors.map(line).collect());
}

#[test]
fn what_may_have_been_done_is_not_to_be_repeated_and_what_is_too_large_is_the_clients() {
    let inbound = crate::authority::graph::tests::inbound(http::Method::POST, "/users");
    for core in core_errors() {
        let unknown = core.is_outcome_unknown();
        let too_large = matches!(core, Error::Store(StoreError::TooLarge { .. }));
        let error = GraphError::from(core);
        let answer = error.answer(&inbound);
        assert_eq!(answer.status().as_u16(), if too_large { 400 } else { 503 }, "{error}");
        assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), !unknown && !too_large, "{error}");
        assert_eq!(error.to_string().contains(OUTCOME_UNKNOWN), unknown, "{error}");
    }
}
