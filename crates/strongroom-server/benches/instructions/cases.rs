//! What is asked, and how often.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

use crate::Result;
use crate::world::{LOGIN, World};

/// A hot path.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) ask: Ask,
    pub(crate) requests: u32,
}

/// A request.
pub(crate) enum Ask {
    /// A key works on 32 bytes: its name, the operation, the algorithm.
    Use(&'static str, &'static str, &'static str),
    Verify,
    GetKey,
    ListKeys,
    Token,
    Create,
}

impl Ask {
    /// A new request of this kind.
    pub(crate) fn request(&self, world: &World) -> Result<Request<Full<bytes::Bytes>>> {
        match self {
            Self::Use(key, operation, alg) => {
                let body = json!({"alg": alg, "value": world.digest()});
                world.request(Method::POST, &format!("{}/{operation}", world.path(key)), &body)
            }
            Self::Verify => {
                let body = json!({"alg": "ES256", "digest": world.digest(), "value": world.signature()});
                world.request(Method::POST, &format!("{}/verify", world.path(EC)), &body)
            }
            Self::GetKey => world.request(Method::GET, world.path(OCT), &serde_json::Value::Null),
            Self::ListKeys => world.request(Method::GET, "/keys", &serde_json::Value::Null),
            Self::Create => {
                let body = json!({"kty": "EC-HSM", "crv": "P-256"});
                world.request(Method::POST, &format!("/keys/{}/create", world.new_name()), &body)
            }
            Self::Token => {
                let request = Request::post(world.token_path()).header("host", LOGIN);
                let request = request.header("content-type", "application/x-www-form-urlencoded");
                Ok(request.body(Full::from(world.token_form()))?)
            }
        }
    }
}

const fn case(name: &'static str, ask: Ask, requests: u32) -> Case {
    Case { name, ask, requests }
}

pub(crate) const RSA: &str = "rsa";
pub(crate) const EC: &str = "ec";
pub(crate) const OCT: &str = "oct";

/// The rows of `ceilings.txt`.
pub(crate) const CASES: [Case; 9] = [
    case("sign-rs256", Ask::Use(RSA, "sign", "RS256"), 20),
    case("sign-es256", Ask::Use(EC, "sign", "ES256"), 100),
    case("verify-es256", Ask::Verify, 100),
    case("encrypt-a256gcm", Ask::Use(OCT, "encrypt", "A256GCM"), 100),
    case("wrap-a256kw", Ask::Use(OCT, "wrapkey", "A256KW"), 100),
    case("get-key", Ask::GetKey, 100),
    case("list-keys", Ask::ListKeys, 20),
    case("token", Ask::Token, 20),
    case("create-ec", Ask::Create, 50),
];
