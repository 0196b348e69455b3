//! A blob store that fails in every way it can.

use std::sync::Arc;
use std::time::Duration;

use strongroom_core::blobs::{BlobContainer, BlobError, BlobStores};

use crate::blob::tests::store::{Fault, Store};
use crate::blob::tests::{SAS, places, sas};
use crate::blob::{BlobRules, LoopbackRule, Patience};

/// A container under a patience that tests can wait for.
async fn container(store: &Store) -> Arc<dyn BlobContainer> {
    let patience = Patience { attempt: Duration::from_secs(2), waits: [Duration::from_millis(10); 3] };
    let rules = BlobRules { loopback: LoopbackRule::Allowed, ..BlobRules::default() };
    places(rules, patience).open(&store.container(), sas(SAS)).await.unwrap()
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, BlobError>) -> String {
    let Err(BlobError::Unavailable(problem)) = outcome else { panic!("{outcome:?}") };
    assert!(!problem.contains("sig=") && !problem.contains("c2VjcmV0") && !problem.contains("http"), "{problem}");
    problem
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let store = Store::start().await;
    let container = container(&store).await;
    for fault in
        [Fault::Status(500, "InternalError"), Fault::Status(503, "ServerBusy"), Fault::Status(429, ""), Fault::Cut]
    {
        let blob = format!("after-{}", store.blobs().len());
        store.will([fault.clone(), fault.clone()]);
        container.create(&blob, b"content".to_vec()).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        store.will([fault.clone(), fault.clone()]);
        assert_eq!(container.read(&blob, 100).await.unwrap(), b"content", "{fault:?}");
    }
    store.will([Fault::HalfAndCut]);
    assert_eq!(container.read("after-0", 100).await.unwrap(), b"content", "half a blob is none");
}

#[tokio::test]
async fn a_store_that_goes_on_failing_is_given_up_with_its_reason() {
    let store = Store::start().await;
    let container = container(&store).await;
    store.will(vec![Fault::Status(500, "InternalError"); 4]);
    assert!(unavailable(container.create("blob", Vec::new()).await).contains("500 InternalError"));
    assert_eq!(store.requests().len(), 4, "as many attempts as were promised");
    store.will(vec![Fault::Status(507, "InsufficientStorage"); 4]);
    assert!(unavailable(container.create("blob", Vec::new()).await).contains("507 InsufficientStorage"));
    store.will(vec![Fault::Cut; 4]);
    unavailable(container.create("blob", Vec::new()).await);
    store.will(vec![Fault::HalfAndCut; 4]);
    unavailable(container.read("blob", 100).await);
    assert!(store.blobs().is_empty());
}

#[tokio::test]
async fn a_refusal_is_final_and_named() {
    let store = Store::start().await;
    let container = container(&store).await;
    container.create("blob", Vec::new()).await.unwrap();
    for code in ["AuthorizationPermissionMismatch", "AuthenticationFailed"] {
        store.will([Fault::Status(403, code)]);
        let refused = container.create("other", Vec::new()).await.unwrap_err();
        assert_eq!(refused, BlobError::Refused(format!("403 {code}")));
        store.will([Fault::Status(403, code)]);
        assert_eq!(container.read("blob", 1).await.unwrap_err(), BlobError::Refused(format!("403 {code}")));
    }
    store.will([Fault::Status(404, "ContainerNotFound")]);
    assert_eq!(container.create("other", Vec::new()).await.unwrap_err().to_string(), "the container does not exist");
    store.will([Fault::Status(409, "BlobImmutableDueToPolicy")]);
    let immutable = container.create("other", Vec::new()).await.unwrap_err();
    assert_eq!(immutable, BlobError::Refused("409 BlobImmutableDueToPolicy".to_owned()));
    assert_eq!(store.requests().len(), 7, "nothing was tried again");
}

#[tokio::test]
async fn a_lost_answer_shows_as_a_blob_that_exists() {
    let store = Store::start().await;
    let container = container(&store).await;
    store.will([Fault::DoneAndCut]);
    let again = container.create("blob", b"content".to_vec()).await;
    assert!(matches!(again, Err(BlobError::AlreadyExists(_))), "{again:?}");
    assert_eq!(container.read("blob", 100).await.unwrap(), b"content");
}

#[tokio::test]
async fn silence_is_waited_for_so_long_and_no_longer() {
    let store = Store::start().await;
    let patience = Patience { attempt: Duration::from_millis(200), waits: [Duration::from_millis(1); 3] };
    let rules = BlobRules { loopback: LoopbackRule::Allowed, ..BlobRules::default() };
    let container = places(rules, patience).open(&store.container(), sas(SAS)).await.unwrap();
    store.will(vec![Fault::Silence(Duration::from_secs(60)); 4]);
    assert!(unavailable(container.create("blob", Vec::new()).await).contains("did not answer in time"));
    store.will([Fault::Silence(Duration::from_millis(20))]);
    container.create("slow", Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_blob_without_end_is_not_read() {
    let store = Store::start().await;
    store.will([Fault::Endless]);
    let endless = container(&store).await.read("blob", 1000).await;
    assert!(matches!(endless, Err(BlobError::TooLarge { limit: 1000, .. })), "{endless:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (store, other) = (Store::start().await, Store::start().await);
    let container = container(&store).await;
    store.will([Fault::Redirect(format!("{}/blob", other.container()))]);
    let refused = container.create("blob", Vec::new()).await;
    assert!(matches!(refused, Err(BlobError::NotAllowed(problem)) if problem.contains("redirect")));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn other_bytes_are_handed_on_as_they_come() {
    // That they are not what was written shows to who authenticates them: the core.
    let store = Store::start().await;
    let container = container(&store).await;
    container.create("blob", b"content".to_vec()).await.unwrap();
    store.will([Fault::OtherBytes]);
    assert_eq!(container.read("blob", 100).await.unwrap(), vec![0; 7]);
}

#[tokio::test]
async fn nobody_listens() {
    let store = Store::start().await;
    let container = container(&store).await;
    drop(store);
    assert!(unavailable(container.read("blob", 1).await).contains("no connection could be made"));
}
