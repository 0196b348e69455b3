use proptest::prelude::*;
use serde_json::{Value, json};
use strongroom_types::{KeyOperation, KeyOperations};

use super::*;

fn parse(policy: &Value) -> Result<ReleasePolicy> {
    ReleasePolicy::new(None, false, policy.to_string().as_bytes())
}

fn problem(policy: &Value) -> String {
    match parse(policy) {
        Err(Error::BadParameter { parameter: "release_policy", problem }) => problem,
        other => panic!("{policy} gives {other:?}"),
    }
}

fn with(condition: &Value) -> Value {
    json!({"version": "1.0.0", "anyOf": [{"authority": AUTHORITY, "allOf": [condition]}]})
}

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).unwrap()
}

const AUTHORITY: &str = "https://attest.example";

#[test]
fn the_canonical_text_is_compact_and_sorted_and_has_the_full_version() {
    let text = r#" {"version": "1.0", "anyOf": [ {"authority": "https://attest.example/",
        "anyof": [ {"equals": "true", "claim": "sdk-test"}, {"allOf": [{"claim": "n", "equals": 1}]} ]} ]} "#;
    let policy = ReleasePolicy::new(None, true, text.as_bytes()).unwrap();
    assert_eq!(
        policy.canonical(),
        r#"{"anyOf":[{"anyOf":[{"claim":"sdk-test","equals":"true"},{"allOf":[{"claim":"n","equals":1}]}],"authority":"https://attest.example/"}],"version":"1.0.0"}"#
    );
    assert!(policy.is_immutable());
    assert_eq!(policy.content_type(), CONTENT_TYPE);
}

#[test]
fn what_the_grammar_does_not_have_is_refused() {
    let claim = json!({"claim": "a", "equals": 1});
    let rule = json!({"authority": AUTHORITY, "allOf": [claim]});
    for (policy, part) in [
        (json!({"anyOf": [rule]}), "no version"),
        (json!({"version": "2.0.0", "anyOf": [rule]}), "version must be"),
        (json!({"version": "1.0.0"}), "no anyOf"),
        (json!({"version": "1.0.0", "anyOf": []}), "1 to 32 authorities"),
        (json!({"version": "1.0.0", "allOf": [rule]}), "grammar"),
        (json!({"version": "1.0.0", "anyOf": [rule], "more": 1}), "grammar"),
        (json!({"version": "1.0.0", "anyOf": [{"authority": AUTHORITY}]}), "no allOf or anyOf"),
        (json!({"version": "1.0.0", "anyOf": [{"allOf": [claim]}]}), "grammar"),
        (
            json!({"version": "1.0.0", "anyOf": [{"authority": AUTHORITY, "allOf": [claim], "anyOf": [claim]}]}),
            "in one place",
        ),
        (json!({"version": "1.0.0", "anyOf": [{"authority": AUTHORITY, "allOf": []}]}), "empty"),
        (with(&json!({})), "empty"),
        (with(&json!({"claim": "a"})), "needs claim and equals"),
        (with(&json!({"equals": 1})), "needs claim and equals"),
        (with(&json!({"claim": "", "equals": 1})), "is empty"),
        (with(&json!({"claim": "a", "equals": null})), "grammar"),
        (with(&json!({"claim": "a", "equals": [1]})), "grammar"),
        (with(&json!({"claim": "a", "equals": 1, "allOf": [claim]})), "at once"),
        (json!([]), "grammar"),
    ] {
        assert!(problem(&policy).contains(part), "{policy} gives {:?}, which lacks {part:?}", problem(&policy));
    }
    let repeated = br#"{"version":"1.0.0","version":"1.0.0","anyOf":[]}"#;
    assert!(ReleasePolicy::new(None, false, repeated).is_err(), "a repeated member has two meanings");
    assert!(ReleasePolicy::new(Some("text/plain".to_owned()), false, b"{}").is_err());
}

#[test]
fn reserved_operators_are_named_in_the_refusal() {
    for operator in ["notEquals", "less", "lessOrEquals", "greater", "greaterOrEquals", "exists"] {
        let text = problem(&with(&json!({"claim": "a", operator: 1})));
        assert!(text.contains(operator) && text.contains("reserved"), "{text}");
    }
}

#[test]
fn an_authority_is_an_https_url_and_no_more() {
    for wrong in [
        "",
        "http://a",
        "https://",
        "https:///x",
        "https://:1",
        "https://u@h",
        "https://h?q",
        "https://h#f",
        "https://h h",
    ] {
        let policy =
            json!({"version": "1.0.0", "anyOf": [{"authority": wrong, "allOf": [{"claim": "a", "equals": 1}]}]});
        assert!(parse(&policy).is_err(), "{wrong}");
    }
}

#[test]
fn every_limit_holds() {
    let nested =
        |depth: usize| (1..depth).fold(json!({"claim": "a", "equals": 1}), |inner, _| json!({"anyOf": [inner]}));
    assert!(parse(&with(&nested(POLICY_DEPTH_MAX))).is_ok());
    assert!(problem(&with(&nested(POLICY_DEPTH_MAX + 1))).contains("nested deeper"));
    let many = |count: usize| {
        let claims = vec![json!({"claim": "a", "equals": 1}); count];
        json!({"version": "1.0.0", "anyOf": [{"authority": AUTHORITY, "anyOf": claims}]})
    };
    assert!(parse(&many(POLICY_CONDITIONS_MAX)).is_ok());
    assert!(problem(&many(POLICY_CONDITIONS_MAX + 1)).contains("more than 256"));
    let rule = json!({"authority": AUTHORITY, "anyOf": [{"claim": "a", "equals": 1}]});
    assert!(parse(&json!({"version": "1.0.0", "anyOf": vec![rule; POLICY_AUTHORITIES_MAX + 1]})).is_err());
    let long = "a".repeat(CLAIM_BYTES_MAX + 1);
    assert!(parse(&with(&json!({"claim": long, "equals": 1}))).is_err());
    assert!(parse(&with(&json!({"claim": "a", "equals": long}))).is_err());
    let spaces = format!("{}{}", " ".repeat(POLICY_BYTES_MAX), with(&json!({"claim": "a", "equals": 1})));
    assert!(ReleasePolicy::new(None, false, spaces.as_bytes()).is_err());
}

#[test]
fn dots_walk_nested_claims_and_a_missing_one_is_false() {
    let policy = parse(&with(&json!({"claim": "x-ms-tee.compliance.status", "equals": "good"}))).unwrap();
    let allows = |value: Value| policy.allows(AUTHORITY, &claims(value));
    assert!(allows(json!({"x-ms-tee": {"compliance": {"status": "good"}}})));
    assert!(!allows(json!({"x-ms-tee": {"compliance": {"status": "bad"}}})));
    assert!(!allows(json!({"x-ms-tee": {"compliance": "good"}})));
    assert!(!allows(json!({"x-ms-tee.compliance.status": 1})));
    assert!(!allows(json!({})));
}

#[test]
fn values_are_compared_by_type_save_that_truth_may_be_written_as_text() {
    let equal = |wanted: Value, found: Value| {
        parse(&with(&json!({"claim": "c", "equals": wanted}))).unwrap().allows(AUTHORITY, &claims(json!({"c": found})))
    };
    for (wanted, found) in [
        (json!(true), json!(true)),
        (json!("true"), json!(true)),
        (json!(false), json!("false")),
        (json!(3), json!(3)),
        (json!(3), json!(3.0)),
        (json!("x"), json!("x")),
    ] {
        assert!(equal(wanted.clone(), found.clone()), "{wanted} {found}");
    }
    for (wanted, found) in [
        (json!(true), json!(false)),
        (json!("true"), json!("True")),
        (json!(1), json!("1")),
        (json!(1), json!(true)),
        (json!("x"), json!(["x"])),
        (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
        (json!("null"), json!(null)),
    ] {
        assert!(!equal(wanted.clone(), found.clone()), "{wanted} {found}");
    }
}

#[test]
fn each_authority_answers_for_its_own_conditions_only() {
    let policy = parse(&json!({"version": "1.0.0", "anyOf": [
        {"authority": "https://one.example/", "allOf": [{"claim": "a", "equals": 1}, {"claim": "b", "equals": 2}]},
        {"authority": "https://two.example", "anyOf": [{"claim": "a", "equals": 1}, {"claim": "b", "equals": 2}]},
    ]}))
    .unwrap();
    let half = claims(json!({"a": 1}));
    assert!(!policy.allows("https://one.example", &half));
    assert!(policy.allows("https://two.example/", &half));
    assert!(policy.allows("https://one.example", &claims(json!({"a": 1, "b": 2}))));
    assert!(policy.trusts("https://one.example") && !policy.trusts("https://one.example.net"));
    assert!(!policy.trusts("https://one.example//"));
}

#[test]
fn one_of_exportable_and_policy_without_the_other_is_refused_and_neither_can_be_changed_later() {
    let none = KeyOperations::default();
    let policy = || parse(&with(&json!({"claim": "a", "equals": 1}))).unwrap();
    let other = || parse(&with(&json!({"claim": "a", "equals": 2}))).unwrap();
    let terms = |exportable, policy| ReleaseTerms { exportable, policy };
    assert!(terms(Some(true), None).first(none).is_err());
    assert!(terms(None, Some(policy())).first(none).is_err());
    let plain = terms(None, None).first(none).unwrap();
    assert!(terms(Some(true), Some(policy())).after(&plain, none).is_err());
    assert!(terms(None, Some(policy())).after(&plain, none).is_err());
    let free = terms(Some(true), Some(policy())).first(none).unwrap();
    assert!(terms(Some(false), None).after(&free, none).is_err());
    assert_eq!(terms(None, None).after(&free, none).unwrap(), free);
    let changed = terms(None, Some(other())).after(&free, none).unwrap();
    assert_eq!(changed.policy(), Some(&other()));
    let sealed = || ReleasePolicy { immutable: true, ..policy() };
    let bound = terms(None, Some(sealed())).after(&changed, none).unwrap();
    assert!(terms(None, Some(policy())).after(&bound, none).is_err(), "immutable is not undone");
    assert!(terms(None, Some(ReleasePolicy { immutable: true, ..other() })).after(&bound, none).is_err());
    assert_eq!(terms(Some(true), Some(sealed())).after(&bound, none).unwrap(), bound);
}

#[test]
fn an_exportable_key_is_no_key_exchange_key_and_does_not_become_one() {
    let policy = || parse(&with(&json!({"claim": "a", "equals": 1}))).unwrap();
    let import: KeyOperations = [KeyOperation::Import].into_iter().collect();
    let terms = |exportable, policy| ReleaseTerms { exportable, policy };
    assert!(terms(Some(true), Some(policy())).first(import).is_err());
    let exportable = terms(Some(true), Some(policy())).first(KeyOperations::default()).unwrap();
    assert!(terms(None, None).after(&exportable, import).is_err());
}

#[test]
fn a_key_for_secure_wrapping_has_a_policy_and_does_not_leave_and_cannot_become_an_ordinary_one() {
    let policy = || parse(&with(&json!({"claim": "a", "equals": 1}))).unwrap();
    let secure: KeyOperations = [KeyOperation::SecureUnwrapKey].into_iter().collect();
    let ordinary: KeyOperations = [KeyOperation::UnwrapKey].into_iter().collect();
    let terms = |exportable, policy| ReleaseTerms { exportable, policy };
    assert!(terms(None, None).first(secure).is_err());
    assert!(terms(Some(true), Some(policy())).first(secure).is_err());
    let kept = terms(Some(false), Some(policy())).first(secure).unwrap();
    assert!(!kept.is_exportable() && kept.policy().is_some());
    assert!(terms(None, None).after(&kept, secure).is_ok());
    assert!(terms(None, None).after(&kept, ordinary).is_err(), "that would go around the policy");
}

fn any_operand() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from)
    ]
}

fn any_condition() -> impl Strategy<Value = Value> {
    let claim =
        ("[a-z.\\-\"é]{1,12}", any_operand()).prop_map(|(claim, equals)| json!({"claim": claim, "equals": equals}));
    claim.prop_recursive(5, 40, 4, |inner| {
        ("(allOf|anyOf)", prop::collection::vec(inner, 1..4)).prop_map(|(group, inner)| json!({group: inner}))
    })
}

fn any_policy() -> impl Strategy<Value = Value> {
    let rule = ("(allOf|anyOf)", prop::collection::vec(any_condition(), 1..4), "[a-z]{1,8}").prop_map(
        |(group, conditions, host)| json!({"authority": format!("https://{host}.example/"), group: conditions}),
    );
    prop::collection::vec(rule, 1..4).prop_map(|rules| json!({"version": "1.0", "anyOf": rules}))
}

proptest! {
    #[test]
    fn the_canonical_text_of_a_policy_is_its_own(policy in any_policy()) {
        let parsed = parse(&policy).unwrap();
        let text = parsed.canonical();
        let again = ReleasePolicy::new(None, false, text.as_bytes()).unwrap();
        prop_assert_eq!(&again, &parsed);
        prop_assert_eq!(again.canonical(), text);
        let stored: ReleasePolicy = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
        prop_assert_eq!(stored, parsed);
    }

    #[test]
    fn an_any_holds_whenever_the_same_all_does(conditions in prop::collection::vec(any_condition(), 1..4), a in any::<bool>()) {
        let rule = |group: &str| parse(&json!({"version": "1.0", "anyOf": [{"authority": AUTHORITY, group: conditions}]}));
        let claims = claims(json!({"a": a, "b": {"a": a}}));
        let (all, any) = (rule("allOf").unwrap(), rule("anyOf").unwrap());
        prop_assert!(!all.allows(AUTHORITY, &claims) || any.allows(AUTHORITY, &claims));
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_saying_so(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = ReleasePolicy::new(None, false, &text);
    }
}
