//! Patterns of actions, as role definitions hold them.

/// Whether a pattern of a role definition means an action: `*` stands for anything, slashes included; compared without
/// case.
pub fn matches_action(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The leftmost place leaves the most for what follows.
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_case_does_not_matter() {
        let action = "Microsoft.KeyVault/managedHSMs/read";
        let fits =
            ["*", "*/read", "microsoft.keyvault/*", "Microsoft.KeyVault/MANAGEDHSMS/*", "*/managed*/re*d", action];
        for pattern in fits {
            assert!(matches_action(pattern, action), "{pattern}");
        }
        let other = ["", "*/write", "Microsoft.KeyVault/managedHSMs", "Microsoft.KeyVault/*/x", "read", "*/read/"];
        for pattern in other {
            assert!(!matches_action(pattern, action), "{pattern}");
        }
    }

    #[test]
    fn prefix_and_suffix_do_not_share_characters() {
        assert!(!matches_action("ab*ba", "aba"));
        assert!(matches_action("ab*ba", "abba"));
    }
}
