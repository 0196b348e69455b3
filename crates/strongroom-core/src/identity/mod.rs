//! The directory, the tokens it issues, and the verification of tokens, its own and outside ones (protocols.md §8).
//!
//! The directory knows one tenant and its principals: service principals, managed identities, users and groups. It makes
//! every secret itself and keeps only keyed hashes of them. It signs access tokens with keys that rotate, and reads the
//! state and the groups of a principal anew each time one of its tokens is used, so that removal bites at once.
//!
//! It is *not* the place for HTTP, key-set downloads or the shapes of the token endpoint: those are the server's.
//!
//! Read first: [`Directory`], [`token::ParsedToken`], [`record::Principal`].
//!
//! It fails with [`IdentityError`]; a token is refused with [`token::TokenError`].

mod credential;
mod directory;
mod error;
mod federated;
mod group;
mod issue;
mod layout;
mod principal;
pub mod record;
mod secret;
mod sign_in;
mod signing;
#[cfg(test)]
mod test_support;
pub mod token;
mod user;

pub use credential::CredentialHash;
pub use directory::{Directory, Foundation, ProgramIds};
pub use error::{IdentityError, Result};
pub use federated::{FederatedSpecification, WrittenFederated};
pub use issue::{ACCESS_TOKEN_SECONDS, AccessTokenOrder, IssuedToken, IssuerForm};
pub use principal::{CertificateChange, NewManagedIdentity, PrincipalChange};
pub use secret::{BootstrapSecret, SecretDescription};
pub use sign_in::{Continued, SIGN_INS_MAX, SignIn};
pub use signing::{PUBLISHED_AHEAD_SECONDS, PublicSigningKey, SIGNING_KEY_DAYS, SigningKeyState};
pub use user::{NewUser, PASSPHRASE_CHARACTERS_MAX, PASSPHRASE_CHARACTERS_MIN, PasswordCheck};
