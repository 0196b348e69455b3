use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use strongroom_crypto::SystemEntropy;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints as PkixBasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};

use super::*;
use crate::tls::provider;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn authority() -> CertificateAuthority {
    let new = CertificateAuthority::generate("strongroom CA test", &SystemEntropy, NOW).unwrap();
    CertificateAuthority::open(new.certificate.to_vec(), new.key.expose()).unwrap()
}

fn domains() -> Vec<Domain> {
    vec![Domain::localhost(), "hsm.example.com".parse().unwrap()]
}

fn parsed(der: &CertificateDer<'_>) -> Certificate {
    Certificate::from_der(der).unwrap()
}

fn leaf() -> (CertificateAuthority, Certificate, Vec<CertificateDer<'static>>) {
    let authority = authority();
    let chain = authority.issue(&domains(), &SystemEntropy, NOW).unwrap().chain;
    let leaf = parsed(&chain[0]);
    (authority, leaf, chain)
}

fn days(certificate: &Certificate) -> u64 {
    let validity = certificate.tbs_certificate().validity();
    (validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration()).as_secs() / 86_400
}

#[test]
fn the_ca_is_a_ca_by_the_strict_rules() {
    let ca = parsed(authority().certificate());
    let tbs = ca.tbs_certificate();
    let (critical, constraints) = tbs.get_extension::<PkixBasicConstraints>().unwrap().unwrap();
    assert!(critical && constraints.ca && constraints.path_len_constraint == Some(0));
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical);
    assert_eq!(usage.0, KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    assert!(tbs.get_extension::<SubjectKeyIdentifier>().unwrap().is_some());
    assert!(tbs.get_extension::<SubjectAltName>().unwrap().is_none());
    assert_eq!(tbs.issuer(), tbs.subject());
    assert_eq!(days(&ca), 3653);
}

#[test]
fn a_leaf_is_a_server_certificate_by_the_strict_rules() {
    let (authority, leaf, chain) = leaf();
    let tbs = leaf.tbs_certificate();
    let ca = parsed(authority.certificate());
    let (_, constraints) = tbs.get_extension::<PkixBasicConstraints>().unwrap().unwrap();
    assert!(!constraints.ca);
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical);
    assert_eq!(usage.0, KeyUsages::DigitalSignature | KeyUsages::DigitalSignature);
    let (_, purposes) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(purposes.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.3.6.1.5.5.7.3.1"]);
    let (_, own) = tbs.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
    let (_, issuer) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
    let (_, of_ca) = ca.tbs_certificate().get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
    assert_eq!(issuer.key_identifier.as_ref(), Some(&of_ca.0));
    assert_ne!(own.0, of_ca.0);
    assert_eq!(tbs.issuer(), ca.tbs_certificate().subject());
    assert_eq!(chain[1], *authority.certificate(), "the chain is leaf, CA");
    assert_eq!(days(&leaf), 90);
}

#[test]
fn a_leaf_names_the_planes_exactly_and_the_rest_by_wildcard() {
    let (_, leaf, _) = leaf();
    let (_, names) = leaf.tbs_certificate().get_extension::<SubjectAltName>().unwrap().unwrap();
    let dns: Vec<&str> = names
        .0
        .iter()
        .filter_map(|name| if let GeneralName::DnsName(name) = name { Some(name.as_str()) } else { None })
        .collect();
    for domain in ["localhost", "hsm.example.com"] {
        for label in ["management", "login", "graph", "portal", "*.managedhsm", "*.vault", "*.blob"] {
            assert!(dns.contains(&format!("{label}.{domain}").as_str()), "{label}.{domain}");
        }
        assert!(!dns.contains(&format!("*.{domain}").as_str()), "OpenSSL refuses *.localhost");
    }
    let addresses = names.0.iter().filter(|name| matches!(name, GeneralName::IpAddress(_))).count();
    assert_eq!((addresses, dns.contains(&"localhost")), (2, true));
}

#[test]
fn a_leaf_elsewhere_does_not_name_this_machine() {
    let leaf = authority().issue(&["hsm.example.com".parse().unwrap()], &SystemEntropy, NOW).unwrap();
    let (_, names) = parsed(&leaf.chain[0]).tbs_certificate().get_extension::<SubjectAltName>().unwrap().unwrap();
    assert_eq!(names.0.len(), 7);
}

#[test]
fn serial_numbers_are_positive_and_differ() {
    let authority = authority();
    let serial = || {
        let chain = authority.issue(&domains(), &SystemEntropy, NOW).unwrap().chain;
        parsed(&chain[0]).tbs_certificate().serial_number().to_der().unwrap()
    };
    let (one, two) = (serial(), serial());
    assert_ne!(one, two);
    assert_eq!(one.len(), 18, "a header and 16 bytes, without a byte for the sign");
}

#[test]
fn a_client_that_trusts_the_ca_accepts_the_hosts_and_no_others() {
    let (authority, _, chain) = leaf();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let accepts = |host: &str| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let name = ServerName::try_from(host.to_owned()).unwrap();
        verifier.verify_server_cert(&chain[0], &[], &name, &[], now).is_ok()
    };
    for host in ["login.localhost", "contoso.managedhsm.localhost", "x.vault.hsm.example.com", "127.0.0.1", "::1"] {
        assert!(accepts(host), "{host}");
    }
    for host in
        ["other.localhost", "a.b.managedhsm.localhost", "managedhsm.localhost", "login.example.com", "127.0.0.2"]
    {
        assert!(!accepts(host), "{host}");
    }
}
