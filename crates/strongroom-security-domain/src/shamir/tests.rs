use proptest::prelude::*;
use serde::Deserialize;
use strongroom_crypto::SystemEntropy;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    n: u8,
    required: u8,
    secret_hex: String,
    coefficients_c1_upwards_per_byte: Vec<Vec<u16>>,
    shares_hex: Vec<String>,
}

#[test]
fn splitting_and_combining_give_what_the_vectors_say() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../vectors/security-domain/shamir.json")).unwrap();
    assert_eq!(vectors.cases.len(), 7);
    for case in vectors.cases {
        let secret = hex(&case.secret_hex);
        let each = usize::from(case.required) - 1;
        let coefficients = Coefficients::from_vectors(each, case.coefficients_c1_upwards_per_byte.concat());
        let shares = split(&secret, &coefficients, case.n);
        let bytes: Vec<Vec<u8>> = shares.iter().map(|share| share.to_bytes().expose().clone()).collect();
        assert_eq!(bytes, case.shares_hex.iter().map(|share| hex(share)).collect::<Vec<_>>());
        let read: Vec<Share> = bytes.iter().map(|bytes| Share::from_bytes(bytes).unwrap()).collect();
        for start in 0..=usize::from(case.n - case.required) {
            let quorum: Vec<&Share> = read[start..start + usize::from(case.required)].iter().collect();
            assert_eq!(combine(&quorum).unwrap().expose(), &secret);
        }
    }
}

#[derive(Deserialize)]
struct Expected {
    master_key_hex: String,
    coefficients_c1_per_byte: Vec<u16>,
    shares_plaintext_hex: Vec<String>,
}

#[test]
fn the_shares_of_the_example_file_come_out_of_its_master_key() {
    let expected: Expected =
        serde_json::from_str(include_str!("../../../../vectors/security-domain/expected.json")).unwrap();
    let coefficients = Coefficients::from_vectors(1, expected.coefficients_c1_per_byte);
    let shares = split(&hex(&expected.master_key_hex), &coefficients, 3);
    let bytes: Vec<Vec<u8>> = shares.iter().map(|share| share.to_bytes().expose().clone()).collect();
    assert_eq!(bytes, expected.shares_plaintext_hex.iter().map(|share| hex(share)).collect::<Vec<_>>());
}

/// Whatever the secret is guessed to be, exactly one value of the missing share gives it.
#[test]
fn one_share_fewer_than_the_quorum_fits_every_secret() {
    let quorum = Quorum::new(3, 3).unwrap();
    let coefficients = Coefficients::draw(quorum, 1, &SystemEntropy).unwrap();
    let shares = split(&[0x5a], &coefficients, 3);
    for guess in 0..=255 {
        let with = |value| {
            let invented = Share { x: 100, values: Secret::new(vec![value]) };
            combine(&[&shares[0], &shares[1], &invented]).is_some_and(|secret| secret.expose() == &[guess])
        };
        assert_eq!((0..257).filter(|value| with(*value)).count(), 1, "{guess}");
    }
}

#[test]
fn coefficients_are_uniform_and_may_be_zero() {
    struct EveryWord(std::sync::atomic::AtomicU32);
    impl Entropy for EveryWord {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
            let word = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as u16;
            bytes.copy_from_slice(&word.to_be_bytes());
            Ok(())
        }
    }
    let entropy = EveryWord(0.into());
    let mut counts = [0; 257];
    for _ in 1..=u16::MAX {
        counts[usize::from(draw_element(&entropy).unwrap())] += 1;
    }
    assert_eq!(counts, [255; 257]);
}

#[test]
fn a_share_with_a_wrong_word_is_no_share() {
    let good = [0x01, 0x02, 0x00, 0x03];
    assert!(Share::from_bytes(&good).is_some());
    for (bytes, problem) in [
        (&[][..], "empty"),
        (&good[..3], "half a word"),
        (&[0x01, 0x00, 0x00, 0x01], "place 0"),
        (&[0x01, 0x02, 0x00, 0x04], "two places"),
        (&[0x01, 0x03, 0x00, 0x03], "value 257"),
        (&[0xff, 0x03, 0x00, 0x03], "value 511"),
    ] {
        assert!(Share::from_bytes(bytes).is_none(), "{problem}");
    }
}

#[test]
fn a_split_that_does_not_combine_is_noticed() {
    let quorum = Quorum::new(2, 3).unwrap();
    let coefficients = Coefficients::draw(quorum, 4, &SystemEntropy).unwrap();
    let shares = split(b"good", &coefficients, 3);
    assert_eq!(self_check(b"good", &shares, 2, &SystemEntropy), Ok(()));
    assert_eq!(self_check(b"goof", &shares, 2, &SystemEntropy), Err(SecurityDomainError::SelfCheck));
}

fn quorums() -> impl Strategy<Value = (u8, u8)> {
    (3u8..=10).prop_flat_map(|total| (2..=total, Just(total)))
}

/// Not a sample: every subset of every size, for all 2 ≤ m ≤ n ≤ 10.
#[test]
fn every_m_of_n_opens_and_every_m_minus_one_does_not() {
    let secret = *b"sixteen bytes :)";
    let (mut opened, mut refused) = (0, 0);
    for total in 2u8..=10 {
        for required in 2..=total {
            // Two of two is no security domain, but the sharing does not know.
            let each = usize::from(required) - 1;
            let draw = |_| draw_element(&SystemEntropy).unwrap();
            let coefficients = Coefficients::from_vectors(each, (0..each * secret.len()).map(draw).collect());
            let shares = split(&secret, &coefficients, total);
            for mask in 1u32..1 << total {
                let drawn: Vec<&Share> =
                    (0..).zip(&shares).filter(|(x, _)| mask >> x & 1 == 1).map(|it| it.1).collect();
                if drawn.len() == usize::from(required) {
                    assert_eq!(combine(&drawn).unwrap().expose(), &secret, "{required} of {total}, {mask:b}");
                    opened += 1;
                } else if drawn.len() + 1 == usize::from(required) {
                    let wrong = combine(&drawn).is_none_or(|combined| *combined.expose() != secret);
                    assert!(wrong, "{required} of {total}, {mask:b}");
                    refused += 1;
                }
            }
        }
    }
    // All subsets of two and more of n, and those of one to n - 1.
    assert_eq!(
        (opened, refused),
        ((2u32..=10).map(|n| (1 << n) - n - 1).sum(), (2u32..=10).map(|n| (1 << n) - 2).sum())
    );
}

proptest! {
    #[test]
    fn any_quorum_opens_and_tells_every_other_share(
        (required, total) in quorums(),
        secret in prop::collection::vec(any::<u8>(), 1..64),
        order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let quorum = Quorum::new(i64::from(required), usize::from(total)).unwrap();
        let coefficients = Coefficients::draw(quorum, secret.len(), &SystemEntropy).unwrap();
        let shares = split(&secret, &coefficients, total);
        let drawn: Vec<&Share> = order.iter().filter_map(|x| shares.get(*x)).take(usize::from(required)).collect();
        let combined = combine(&drawn).unwrap();
        prop_assert_eq!(combined.expose(), &secret);
        for share in &shares {
            prop_assert!(share_at(&drawn, share.x()).unwrap().equals(share));
        }
    }

    #[test]
    fn one_share_fewer_never_opens(
        (required, total) in quorums(),
        secret: [u8; 32],
        order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let quorum = Quorum::new(i64::from(required), usize::from(total)).unwrap();
        let coefficients = Coefficients::draw(quorum, secret.len(), &SystemEntropy).unwrap();
        let shares = split(&secret, &coefficients, total);
        let drawn: Vec<&Share> = order.iter().filter_map(|x| shares.get(*x)).take(usize::from(required) - 1).collect();
        prop_assert!(combine(&drawn).is_none_or(|combined| combined.expose() != &secret));
    }

    #[test]
    fn shares_survive_their_byte_form(x in 1u8..=126, values in prop::collection::vec(0u16..=256, 1..40)) {
        let share = Share { x, values: Secret::new(values) };
        let again = Share::from_bytes(share.to_bytes().expose()).unwrap();
        prop_assert!(again.equals(&share));
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
