//! From where the data plane of a managed HSM or a vault may be reached (management-plane.md §5, protocols.md §9).
//!
//! [`NetworkRules::judge`] is a pure function: the rules of one HSM or vault and the origin of one request give a
//! [`Verdict`]. It is asked before anything else of the request is judged, and the verdict is *not* a right: who passes
//! still has to say who it is, and what it may do. The management plane is never asked about.
//!
//! Read first: [`NetworkRules`], [`Origin`], [`TrustedServices`].
//!
//! It fails closed: a rule that cannot be read allows nobody.

mod address;
mod connection;
mod rules;
mod subnet;
mod trusted;

pub use address::AddressRange;
pub use connection::{ConnectionStatus, PrivateEndpointConnection};
pub use rules::{Bypass, DefaultAction, NetworkRules, Origin, Refusal, RefusedBy, Verdict};
pub use subnet::SubnetName;
pub use trusted::{TrustedService, TrustedServices};
