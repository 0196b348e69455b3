//! The api-versions of the management plane (management-plane.md).

use crate::arm::error::ArmError;

/// Checks the `api-version` of a request: it must be there and be a date; the Key Vault provider knows its own list.
pub(crate) fn check(version: Option<&str>, namespace: Option<&str>) -> Result<String, ArmError> {
    let version = version.filter(|version| !version.is_empty()).ok_or(ArmError::ApiVersionMissing)?;
    if !is_date(version) {
        return Err(ArmError::ApiVersionNotValid(version.chars().take(SHOWN_MAX).collect()));
    }
    let key_vault = namespace.is_some_and(|namespace| namespace.eq_ignore_ascii_case("Microsoft.KeyVault"));
    if key_vault && !KEY_VAULT.iter().any(|known| known.eq_ignore_ascii_case(version)) {
        return Err(ArmError::ApiVersionNotSupported(version.to_owned()));
    }
    Ok(version.to_owned())
}

/// `YYYY-MM-DD`, maybe with a suffix such as `-preview`.
fn is_date(version: &str) -> bool {
    let (date, suffix) = version.split_at_checked(10).unwrap_or_default();
    let digits = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let plain = |suffix: &str| {
        (1..=SUFFIX_MAX).contains(&suffix.len())
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    };
    date.len() == 10 && digits && (suffix.is_empty() || suffix.strip_prefix('-').is_some_and(plain))
}

/// What clients of `Microsoft.KeyVault` ask for; all have the same shapes here.
pub(crate) const KEY_VAULT: &[&str] = &[
    "2015-06-01",
    "2016-10-01",
    "2018-02-14",
    "2018-02-14-preview",
    "2019-09-01",
    "2020-04-01-preview",
    "2021-04-01-preview",
    "2021-06-01-preview",
    "2021-10-01",
    "2021-11-01-preview",
    "2022-02-01-preview",
    "2022-07-01",
    "2022-11-01",
    "2023-02-01",
    "2023-07-01",
    "2023-08-01-preview",
    "2024-04-01-preview",
    "2024-11-01",
    "2024-12-01-preview",
    "2025-05-01",
    "2026-02-01",
    "2026-04-01-preview",
    "2026-04-01",
    "2026-05-15",
];

const SHOWN_MAX: usize = 64;
const SUFFIX_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_date_that_the_provider_knows() {
        let key_vault = Some("microsoft.keyvault");
        assert!(matches!(check(None, None), Err(ArmError::ApiVersionMissing)));
        assert!(matches!(check(Some(""), None), Err(ArmError::ApiVersionMissing)));
        for wrong in ["7.4", "2024-13", "2024-11-01preview", "2024-11-01-", "2024-11-01-é", "éééééééééé"] {
            assert!(matches!(check(Some(wrong), key_vault), Err(ArmError::ApiVersionNotValid(_))), "{wrong}");
        }
        assert!(matches!(check(Some("2099-01-01"), key_vault), Err(ArmError::ApiVersionNotSupported(_))));
        assert!(check(Some("2099-01-01"), None).is_ok());
        assert!(check(Some("2026-02-01"), key_vault).is_ok());
        assert!(KEY_VAULT.iter().all(|known| is_date(known)));
    }
}
