//! `/metadata/endpoints`: how `az cloud register --endpoint-resource-manager` learns where everything is
//! (az-cli.md §1.4).

use http::StatusCode;
use serde::Serialize;

use crate::http::exchange::{Inbound, Outbound, json, performed};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoints {
    name: &'static str,
    portal: String,
    authentication: Authentication,
    resource_manager: String,
    graph: String,
    graph_audience: String,
    microsoft_graph_resource_id: String,
    suffixes: Suffixes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    login_endpoint: String,
    audiences: Vec<String>,
    tenant: &'static str,
    identity_provider: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Suffixes {
    key_vault_dns: String,
    mhsm_dns: String,
    storage: String,
}

/// Answers `GET /metadata/endpoints`: one object, or a list of one for the api-versions that want it so. It needs no
/// token: clients ask it before they know where to get one.
pub(crate) fn endpoints(inbound: &Inbound) -> Outbound {
    let domain = &inbound.host.domain;
    let url = |label: &str| format!("https://{label}.{domain}");
    let endpoints = Endpoints {
        name: "strongroom",
        portal: url("portal"),
        authentication: Authentication {
            login_endpoint: url("login"),
            audiences: vec![url("management")],
            tenant: "common",
            identity_provider: "AAD",
        },
        resource_manager: url("management"),
        graph: url("graph"),
        graph_audience: url("graph"),
        microsoft_graph_resource_id: url("graph"),
        suffixes: Suffixes {
            key_vault_dns: format!("vault.{domain}"),
            mhsm_dns: format!("managedhsm.{domain}"),
            storage: domain.clone(),
        },
    };
    let version = inbound.query_parameter("api-version");
    let as_list = version.is_some_and(|version| *version < *FIRST_WITH_ONE_OBJECT);
    let answer = if as_list { json(StatusCode::OK, &[endpoints]) } else { json(StatusCode::OK, &endpoints) };
    performed(answer, OPERATION)
}

/// The segments of its path.
pub(crate) const PATH: &[&str] = &["metadata", "endpoints"];
/// Its name in the metrics; the audit log has no events without a caller.
const OPERATION: &str = "MetadataEndpoints";
const FIRST_WITH_ONE_OBJECT: &str = "2022-09-01";
