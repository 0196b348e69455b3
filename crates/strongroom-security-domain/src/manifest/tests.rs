use strongroom_crypto::{DomainIdentity, SystemEntropy};

use super::*;
use crate::CertificateJwk;
use crate::entries::EncData;

#[derive(Deserialize)]
struct DownloadRequest {
    certificates: Vec<CertificateJwk>,
    required: i64,
}

const CREATED: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn custodians() -> Custodians {
    let request = include_str!("../../../../vectors/security-domain/download-request.json");
    let request: DownloadRequest = serde_json::from_str(request).unwrap();
    Custodians::parse(&request.certificates, request.required).unwrap()
}

fn entries(secrets: &DomainSecrets) -> Entries {
    make_entries(secrets, Epoch::FIRST, &custodians(), CREATED).unwrap()
}

fn altered(entries: &Entries) -> &'static str {
    match OpenedDomain::from_entries(entries) {
        Err(SecurityDomainError::Altered(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

/// The manifest of the entries after a change, signed again by the identity if there is one.
fn rewritten(entries: &Entries, resign: Option<&DomainIdentity>, change: impl FnOnce(&mut Wire)) -> Vec<u8> {
    let mut wire = Wire::parse(entries.get(MANIFEST_TAG).unwrap().expose()).unwrap();
    change(&mut wire);
    if let Some(identity) = resign {
        wire.signature = Some(URL_SAFE_NO_PAD.encode(identity.sign(&wire.signed_bytes().unwrap()).unwrap()));
    }
    wire.to_bytes().unwrap()
}

fn with_manifest(entries: &Entries, manifest: Vec<u8>) -> Entries {
    let domain = entries.get(DOMAIN_TAG).unwrap().expose().clone();
    Entries(vec![
        Entry { tag: DOMAIN_TAG.to_owned(), plaintext: Secret::new(domain) },
        Entry { tag: MANIFEST_TAG.to_owned(), plaintext: Secret::new(manifest) },
    ])
}

#[test]
fn entries_open_as_the_domain_they_were_made_from() {
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let opened = OpenedDomain::from_entries(&entries(&secrets)).unwrap();
    assert_eq!(opened.secrets.to_bytes().unwrap().expose(), secrets.to_bytes().unwrap().expose());
    let Manifest { domain_id, epoch, quorum, certificates, created } = opened.manifest;
    assert_eq!((domain_id, epoch, created), (secrets.domain_id(), Epoch::FIRST, CREATED));
    assert_eq!(quorum, Quorum::new(2, 3).unwrap());
    let expected: Vec<Thumbprint> = custodians().certificates().iter().map(|one| one.thumbprint()).collect();
    assert_eq!(certificates, expected);
}

#[test]
fn the_manifest_is_canonical_json_in_the_documented_order() {
    let secrets = DomainSecrets::from_bytes(FIXED).unwrap();
    let entries = entries(&secrets);
    let text = std::str::from_utf8(entries.get(MANIFEST_TAG).unwrap().expose()).unwrap();
    // Ed25519 is deterministic, so the whole entry is. The text was made by another implementation.
    assert_eq!(text, include_str!("fixed.json").trim_end());
    assert!(OpenedDomain::from_entries(&entries).is_ok());
}

/// A member and how it is changed.
type Change = (&'static str, fn(&mut Wire));

#[test]
fn a_manifest_changed_in_any_member_is_noticed() {
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let entries = entries(&secrets);
    let changes: [Change; 7] = [
        ("certificates", |wire| wire.certificates.reverse()),
        ("created", |wire| wire.created += 1),
        ("entries", |wire| wire.entries.insert("other".to_owned(), String::new()).map_or((), drop)),
        ("epoch", |wire| wire.epoch = Epoch::new(2)),
        ("required", |wire| wire.required = 3),
        ("total", |wire| wire.total = 4),
        ("signature", |wire| wire.signature = None),
    ];
    for (member, change) in changes {
        let changed = with_manifest(&entries, rewritten(&entries, None, change));
        assert_eq!(altered(&changed), "the signature of the manifest is wrong", "{member}");
    }
    let other = DomainSecrets::generate(&SystemEntropy).unwrap().domain_id();
    let changed = with_manifest(&entries, rewritten(&entries, None, |wire| wire.domain_id = other));
    assert_eq!(altered(&changed), "the manifest is signed by another domain");
}

#[test]
fn another_identity_cannot_sign_for_the_domain() {
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let other = DomainIdentity::from_seed(&[9; 32]).unwrap();
    let entries = entries(&secrets);
    let claimed = rewritten(&entries, Some(&other), |_| {});
    assert_eq!(altered(&with_manifest(&entries, claimed)), "the signature of the manifest is wrong");
    let public_key = URL_SAFE_NO_PAD.encode(other.public_key());
    let foreign = rewritten(&entries, Some(&other), |wire| wire.public_key = public_key);
    assert_eq!(altered(&with_manifest(&entries, foreign)), "the manifest is signed by another domain");
}

#[test]
fn the_entries_of_two_domains_do_not_mix() {
    let one = entries(&DomainSecrets::generate(&SystemEntropy).unwrap());
    let two = entries(&DomainSecrets::generate(&SystemEntropy).unwrap());
    let manifest = two.get(MANIFEST_TAG).unwrap().expose().clone();
    assert_eq!(altered(&with_manifest(&one, manifest)), "an entry is not the one of the manifest");
}

#[test]
fn a_manifest_of_an_epoch_without_root_is_noticed_and_never_made() {
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let entries = entries(&secrets);
    let identity = secrets.identity().unwrap();
    let manifest = rewritten(&entries, Some(&identity), |wire| wire.epoch = Epoch::new(2));
    assert_eq!(altered(&with_manifest(&entries, manifest)), "the manifest is that of another domain");
    let made = make_entries(&secrets, Epoch::new(2), &custodians(), CREATED);
    assert_eq!(made.unwrap_err(), SecurityDomainError::UnknownEpoch);
}

#[test]
fn a_manifest_in_another_spelling_is_refused() {
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let entries = entries(&secrets);
    let good = String::from_utf8(entries.get(MANIFEST_TAG).unwrap().expose().clone()).unwrap();
    for wrong in [
        good.replacen(':', ": ", 1),
        good.replacen('{', "{\"a\":1,", 1),
        good.replacen("\"format\":1", "\"format\":2", 1),
        format!("{good}\n"),
        good.replacen("\"total\":3", "\"total\":3,\"total\":3", 1),
        String::new(),
    ] {
        let error = OpenedDomain::from_entries(&with_manifest(&entries, wrong.into_bytes())).unwrap_err();
        assert!(matches!(error, SecurityDomainError::Malformed { what: "manifest", .. }), "{error}");
    }
}

#[test]
fn an_entry_left_out_or_added_is_noticed_before_anything_is_opened() {
    let master = [1; 32];
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let check = |entries: Entries| {
        let sealed = EncData::seal(&entries, &master, &SystemEntropy).unwrap();
        sealed.check("upload", crate::STRONGROOM_TAGS)
    };
    assert_eq!(check(entries(&secrets)), Ok(()));
    let mut without_manifest = entries(&secrets);
    without_manifest.0.truncate(1);
    let mut without_domain = entries(&secrets);
    without_domain.0.remove(0);
    let mut twice = entries(&secrets);
    twice.0.push(entries(&secrets).0.remove(0));
    let mut added = entries(&secrets);
    added.0.push(Entry { tag: "other".to_owned(), plaintext: Secret::new(vec![1]) });
    for wrong in [without_manifest, without_domain, twice, added] {
        assert!(matches!(check(wrong), Err(SecurityDomainError::Altered(_))));
    }
    let foreign = Entries(vec![Entry { tag: "hsm_backup".to_owned(), plaintext: Secret::new(vec![1]) }]);
    assert_eq!(check(foreign), Err(SecurityDomainError::Foreign));
}

/// A domain whose identity is 32 bytes of 1 and whose root is 32 bytes of 2.
const FIXED: &[u8] = br#"{"domain_id":"2e9bcb61-2259-ebf4-266b-50a8f634cc85","epochs":[{"epoch":1,"root":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"}],"format":1,"identity":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}"#;
