use std::sync::Arc;

use http_body_util::BodyExt;
use strongroom_types::Timestamp;
use uuid::Uuid;

use super::*;
use crate::http::exchange::{Host, Inbound, Peer, Target, empty, performed};
use crate::http::planes::Handle;

fn page(metrics: &Metrics) -> MetricsPage {
    let cluster = ClusterSample { registered_nodes: 3, not_serving_seconds: 1.5, ..ClusterSample::default() };
    let sample = Sample { audit_waiting: 3, token_hits: 5, cluster: Some(cluster), ..Sample::default() };
    MetricsPage::new(metrics, Box::new(move || Box::pin(std::future::ready(sample))), "1.2.3")
}

async fn get(page: &MetricsPage, authority: &str, method: http::Method, path: &str) -> (StatusCode, String) {
    let answer = page
        .handle(Inbound {
            id: Uuid::nil(),
            received: Timestamp::default(),
            peer: Peer { remote: "127.0.0.1:1".parse().unwrap(), local: "127.0.0.1:2".parse().unwrap() },
            method,
            host: Arc::new(Host {
                plane: Plane::Monitoring,
                authority: authority.to_owned(),
                domain: authority.to_owned(),
            }),
            target: Target::new(path, ""),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        })
        .await;
    let status = answer.status();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn what_was_answered_is_counted_by_plane_operation_and_class() {
    let metrics = Metrics::new();
    let hsm = Plane::ManagedHsm("very-secret-name".to_owned());
    for (status, took) in [(StatusCode::OK, 2), (StatusCode::OK, 20), (StatusCode::FORBIDDEN, 1)] {
        metrics.answered(&hsm, &performed(empty(status), "KeySign"), Duration::from_millis(took));
    }
    metrics.answered(&Plane::Management, &empty(StatusCode::UNAUTHORIZED), Duration::ZERO);
    metrics.containers(ContainerState::Sealed, 2);
    metrics.did(JobKind::Rotated, 4);
    metrics.not_answered(NotAnswered::Withheld);
    let (status, text) = get(&page(&metrics), "127.0.0.1:9100", http::Method::GET, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"strongroom_requests_total{plane="managedhsm",operation="KeySign",status="2xx"} 2"#,
        r#"strongroom_requests_total{plane="managedhsm",operation="KeySign",status="4xx"} 1"#,
        r#"strongroom_requests_total{plane="management",operation="none",status="4xx"} 1"#,
        r#"strongroom_request_duration_seconds_count{plane="managedhsm",operation="KeySign"} 3"#,
        r#"strongroom_request_duration_seconds_bucket{le="0.005",plane="managedhsm",operation="KeySign"} 2"#,
        r#"strongroom_managed_hsms{state="Sealed"} 2"#,
        r#"strongroom_jobs_total{job="Rotated"} 4"#,
        "strongroom_audit_waiting_events 3",
        "strongroom_token_cache_hits_total 5",
        r#"strongroom_cluster_requests_refused_total{reason="Withheld"} 1"#,
        "strongroom_cluster_serving 0",
        "strongroom_cluster_registered_nodes 3",
        "strongroom_cluster_not_serving_seconds_total 1.5",
        r#"strongroom_build_info{version="1.2.3"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("very-secret-name"));
}

#[tokio::test]
async fn only_the_page_is_there_and_only_for_this_machine() {
    let page = page(&Metrics::new());
    for (authority, method, path, status) in [
        ("localhost:9100", http::Method::GET, "/metrics", StatusCode::OK),
        ("[::1]:9100", http::Method::HEAD, "/metrics", StatusCode::OK),
        ("127.0.0.1", http::Method::GET, "/", StatusCode::NOT_FOUND),
        ("127.0.0.1", http::Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
        ("rebound.example:9100", http::Method::GET, "/metrics", StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(get(&page, authority, method.clone(), path).await.0, status, "{method} {authority}{path}");
    }
}
