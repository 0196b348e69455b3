use strongroom_core::Error;
use strongroom_types::SettingName;

use crate::support::{World, stranger};

const THROUGH_ARM: &str = "AllowKeyManagementOperationsThroughARM";

#[tokio::test]
async fn a_setting_is_off_until_it_is_switched_on_and_says_what_it_is() {
    let world = World::active().await;
    let (hsm, request) = (world.hsm().await, world.administration());
    let all = hsm.settings(&request).await.unwrap();
    assert_eq!(all.len(), SettingName::ALL.len());
    assert!(all.iter().all(|setting| !setting.value));
    for (written, value) in [("true", true), ("TRUE", true), ("False", false)] {
        assert_eq!(hsm.update_setting(&request, THROUGH_ARM, written).await.unwrap().value, value);
        assert_eq!(hsm.setting(&request, THROUGH_ARM).await.unwrap().value, value);
    }
}

#[tokio::test]
async fn a_wrong_name_or_value_is_refused_and_changes_nothing() {
    let world = World::active().await;
    let (hsm, request) = (world.hsm().await, world.administration());
    let refused = hsm.update_setting(&request, "Nothing", "true").await;
    assert!(matches!(refused, Err(Error::SettingNotFound { .. })));
    for value in ["", "1", "yes", "true "] {
        let refused = hsm.update_setting(&request, THROUGH_ARM, value).await;
        assert!(matches!(refused, Err(Error::BadParameter { parameter: "value", .. })), "{value}");
    }
    assert!(!hsm.setting(&request, THROUGH_ARM).await.unwrap().value);
}

#[tokio::test]
async fn settings_are_the_administrators() {
    let world = World::active().await;
    let (hsm, visitor) = (world.hsm().await, world.request(stranger()));
    assert!(matches!(hsm.settings(&visitor).await, Err(Error::Forbidden { .. })));
    assert!(matches!(hsm.setting(&visitor, "Nothing").await, Err(Error::Forbidden { .. })));
    let refused = hsm.update_setting(&visitor, "Nothing", "x").await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "rights come before names and values: {refused:?}");
}

#[tokio::test]
async fn two_changes_at_once_both_happen_in_some_order() {
    let world = World::active().await;
    let (hsm, one, two) = (world.hsm().await, world.administration(), world.administration());
    let (on, off) =
        tokio::join!(hsm.update_setting(&one, THROUGH_ARM, "true"), hsm.update_setting(&two, THROUGH_ARM, "false"),);
    assert!(on.is_ok() && off.is_ok(), "{on:?} {off:?}");
    let events = world.test.audit.take();
    assert_eq!(events.iter().filter(|event| event.event_id == one.id || event.event_id == two.id).count(), 2);
}
