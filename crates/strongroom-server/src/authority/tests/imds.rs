//! The metadata service by itself: what it says of its answers to the metrics.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use strongroom_testkit::{START, draw_uuid};
use strongroom_types::Secret;

use super::world::World;
use crate::authentication::{PublicAddress, PublicNames};
use crate::authority::{Imds, ServedIdentities};
use crate::http::exchange::{Host, Inbound, Peer, Plane, Target};
use crate::metrics::operation;

#[tokio::test]
async fn answers_are_counted_as_those_of_a_sign_in() {
    let world = World::new().await;
    let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
    let names = Arc::new(PublicNames::new(address, Vec::new()));
    let header = Secret::new("header".to_owned());
    let imds = Imds::new(Arc::clone(&world.directory), names, header, ServedIdentities::All);
    let resource = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagedhsm.localhost%3A8443";
    for (path, query, status, counted) in [
        ("/metadata/identity/oauth2/token", resource, 200, "ManagedIdentitySignIn"),
        ("/metadata/identity/oauth2/token", "", 400, "ManagedIdentitySignIn"),
        ("/msi/token", resource, 401, "ManagedIdentitySignIn"),
        ("/metadata/instance", "", 404, "none"),
    ] {
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8480));
        let host = "127.0.0.1:8480".to_owned();
        let inbound = Inbound {
            id: draw_uuid().unwrap(),
            received: START,
            peer: Peer { remote: end, local: end },
            method: Method::GET,
            host: Arc::new(Host { plane: Plane::Metadata, authority: host.clone(), domain: host }),
            target: Target::new(path, query),
            headers: HeaderMap::from_iter([("metadata".parse().unwrap(), HeaderValue::from_static("true"))]),
            body: Bytes::new(),
        };
        let answer = imds.handle(inbound).await;
        assert_eq!((answer.status().as_u16(), operation(&answer)), (status, counted), "{path}?{query}");
    }
}
