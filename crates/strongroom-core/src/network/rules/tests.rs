//! The judgement against a second statement of the same rules, over generated rules and origins.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SUBNETS: [&str; 3] = ["plant/clients", "plant/others", "office/clients"];
const RANGES: [&str; 5] = ["10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "fd00::/8", "::ffff:198.51.100.0/120"];

fn subnet(index: usize) -> SubnetName {
    SUBNETS[index].parse().unwrap()
}

fn subnets() -> impl Strategy<Value = Vec<SubnetName>> {
    prop::collection::vec((0..SUBNETS.len()).prop_map(subnet), 0..3)
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    let v4 =
        prop::sample::select(vec![[10, 1, 2, 3], [10, 1, 9, 9], [192, 0, 2, 200], [198, 51, 100, 1], [203, 0, 113, 5]]);
    prop_oneof![
        v4.clone().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        v4.prop_map(|octets| IpAddr::V6(Ipv4Addr::from(octets).to_ipv6_mapped())),
        prop::sample::select(vec!["fd00::1", "2001:db8::1", "::1"])
            .prop_map(|text| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap())),
    ]
}

prop_compose! {
    fn rules()(
        public_access in prop::sample::select(vec![
            VaultNetworkAccess::Enabled, VaultNetworkAccess::Disabled, VaultNetworkAccess::SecuredByPerimeter,
        ]),
        default_action in prop::sample::select(vec![DefaultAction::Allow, DefaultAction::Deny]),
        bypass in prop::sample::select(vec![Bypass::AzureServices, Bypass::None]),
        ranges in prop::collection::vec(0..RANGES.len(), 0..4),
        subnets in subnets(),
        private_endpoints in subnets(),
    ) -> NetworkRules {
        let addresses = ranges.into_iter().map(|index| RANGES[index].parse().unwrap()).collect();
        NetworkRules { public_access, default_action, bypass, addresses, subnets, private_endpoints }
    }
}

prop_compose! {
    fn origins()(address in addresses(), subnet in prop::option::of((0..SUBNETS.len()).prop_map(subnet))) -> Origin {
        Origin { address, subnet }
    }
}

proptest! {
    #[test]
    fn public_access_off_lets_in_approved_private_endpoints_and_nobody_else(rules in rules(), origin in origins()) {
        let off = NetworkRules { public_access: VaultNetworkAccess::Disabled, ..rules };
        let private = origin.subnet.as_ref().is_some_and(|subnet| off.private_endpoints.contains(subnet));
        prop_assert_eq!(off.judge(&origin) == Verdict::Allowed, private);
    }

    #[test]
    fn deny_lets_in_what_a_rule_names_and_nobody_else(rules in rules(), origin in origins()) {
        let on = NetworkRules {
            public_access: VaultNetworkAccess::Enabled, default_action: DefaultAction::Deny, ..rules
        };
        let named = on.addresses.iter().any(|range| range.contains(origin.address))
            || origin.subnet.as_ref().is_some_and(|subnet| {
                on.subnets.contains(subnet) || on.private_endpoints.contains(subnet)
            });
        prop_assert_eq!(on.judge(&origin) == Verdict::Allowed, named);
    }

    #[test]
    fn allow_lets_in_everybody(rules in rules(), origin in origins()) {
        let on = NetworkRules {
            public_access: VaultNetworkAccess::Enabled, default_action: DefaultAction::Allow, ..rules
        };
        prop_assert_eq!(on.judge(&origin), Verdict::Allowed);
    }

    #[test]
    fn without_bypass_nobody_is_asked_who_it_is(rules in rules(), origin in origins()) {
        let verdict = NetworkRules { bypass: Bypass::None, ..rules }.judge(&origin);
        prop_assert!(!matches!(verdict, Verdict::TrustedServiceOnly(_)));
    }

    #[test]
    fn bypass_changes_refusals_only_and_never_into_leave(rules in rules(), origin in origins()) {
        let with = NetworkRules { bypass: Bypass::AzureServices, ..rules.clone() }.judge(&origin);
        let without = NetworkRules { bypass: Bypass::None, ..rules }.judge(&origin);
        prop_assert_eq!(with == Verdict::Allowed, without == Verdict::Allowed);
    }

    #[test]
    fn a_mapped_address_is_judged_as_the_ipv4_address(rules in rules(), bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let judge = |address| matches!(rules.judge(&Origin { address, subnet: None }), Verdict::Allowed);
        prop_assert_eq!(judge(IpAddr::V4(address)), judge(IpAddr::V6(address.to_ipv6_mapped())));
    }

    #[test]
    fn one_more_rule_shuts_nobody_out(rules in rules(), origin in origins(), more in 0..RANGES.len()) {
        let mut longer = rules.clone();
        longer.addresses.push(RANGES[more].parse().unwrap());
        if rules.judge(&origin) == Verdict::Allowed {
            prop_assert_eq!(longer.judge(&origin), Verdict::Allowed);
        }
    }
}

proptest! {
    /// Rules are read only where they decide.
    #[test]
    fn what_a_record_says_is_judged_as_if_all_of_it_were_read(
        rules in rules(),
        origin in origins(),
        ranges in prop::collection::vec(0..RANGES.len(), 0..4),
        subnets in prop::collection::vec(0..SUBNETS.len(), 0..3),
    ) {
        let word = |is_first, first: &str, other: &str| if is_first { first.to_owned() } else { other.to_owned() };
        let acls = NetworkAcls {
            default_action: word(rules.default_action == DefaultAction::Allow, ALLOW, "Deny"),
            bypass: word(rules.bypass == Bypass::AzureServices, AZURE_SERVICES, "None"),
            ip_rules: ranges.iter().map(|index| RANGES[*index].to_owned()).collect(),
        };
        let named = |index: &usize| {
            let (network, subnet) = SUBNETS[*index].split_once('/').unwrap();
            let group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/a/providers";
            let id = format!("{group}/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}");
            VirtualNetworkRule { id, ignore_missing_service_endpoint: None }
        };
        let virtual_network_rules: Vec<_> = subnets.iter().map(named).collect();
        let private_endpoints = rules.private_endpoints.clone();
        let read = NetworkRules {
            private_endpoints, ..NetworkRules::of_acls(rules.public_access, Some(&acls), &virtual_network_rules)
        };
        let whole = NetworkRules {
            addresses: ranges.iter().map(|index| RANGES[*index].parse().unwrap()).collect(),
            subnets: subnets.into_iter().map(subnet).collect(),
            ..rules
        };
        prop_assert_eq!(read.judge(&origin), whole.judge(&origin));
        let decide = (whole.public_access, whole.default_action) == (VaultNetworkAccess::Enabled, DefaultAction::Deny);
        let as_read = (read.addresses.len(), read.subnets.len());
        prop_assert_eq!(as_read, if decide { (whole.addresses.len(), whole.subnets.len()) } else { (0, 0) });
    }
}

#[test]
fn a_rule_that_cannot_be_read_allows_nobody() {
    let acls = NetworkAcls {
        bypass: "azureservices".to_owned(),
        default_action: "allow".to_owned(),
        ip_rules: vec!["10.0.0.0/99".to_owned(), "anybody".to_owned()],
    };
    let rules = NetworkRules::of_acls(VaultNetworkAccess::Enabled, Some(&acls), &[]);
    let origin = Origin { address: "10.0.0.1".parse().unwrap(), subnet: None };
    assert!(matches!(rules.judge(&origin), Verdict::Refused(Refusal { by: RefusedBy::DefaultAction, .. })));
}

#[test]
fn an_origin_is_told_with_its_subnet_and_without_the_mapping() {
    let address = "::ffff:10.1.0.5".parse().unwrap();
    assert_eq!(Origin { address, subnet: None }.to_string(), "10.1.0.5");
    assert_eq!(Origin { address, subnet: Some(subnet(0)) }.to_string(), "10.1.0.5 (subnet plant/clients)");
}
