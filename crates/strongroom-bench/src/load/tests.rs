use std::sync::atomic::AtomicBool;

use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::*;
use crate::bare::{Listening, Prepared};

/// An endpoint that answers so, served by a thread that ends with the test.
pub(crate) fn answering(status: u16) -> Endpoint {
    serving(status, async |listening| listening.accept().await)
}

/// An endpoint that takes requests and never answers.
pub(crate) fn silent() -> Endpoint {
    serving(200, async |listening| listening.accept_with(|_| std::future::pending()).await)
}

/// An endpoint that fails the first request and no other.
pub(crate) fn failing_once() -> Endpoint {
    let failed = Arc::new(AtomicBool::new(false));
    serving(200, async |listening| {
        let respond = move |answer: Prepared| {
            let mut response = Response::from_parts(answer.0.clone(), Full::new(answer.1.clone()));
            if !failed.swap(true, Ordering::Relaxed) {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            std::future::ready(response)
        };
        listening.accept_with(respond).await
    })
}

fn serving(status: u16, accept: impl AsyncFnOnce(Listening) -> Result<(), MeasureError> + Send + 'static) -> Endpoint {
    let (told, endpoint) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let answer = Answer { status, headers: vec![("x-a".to_owned(), "1".to_owned())], body: "{}".into() };
            let listening = Listening::bind(&answer).await.unwrap();
            told.send(listening.endpoint()).unwrap();
            accept(listening).await
        })
    });
    endpoint.recv().unwrap()
}

fn load(protocol: Protocol) -> Load {
    let (duration, server) = (Duration::from_secs(600), Some(std::process::id()));
    Load { protocol, at_once: 20, duration, operations_max: Some(200), core: None, server }
}

fn request() -> Arc<Request> {
    let body = "{\"number\":\"{number}\"}".to_owned();
    Arc::new(Request::new(Method::POST, "bare.localhost", "/keys/{number}", Vec::new(), body))
}

#[test]
fn every_answer_counts_over_both_versions_of_http() {
    let endpoint = answering(200);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let outcome = run(&load(protocol), &endpoint, &request()).unwrap();
        assert_eq!((outcome.operations(), outcome.failed, outcome.failure.as_deref()), (200, 0, None), "{protocol:?}");
        assert!(outcome.per_second() > 0.0 && outcome.server_microseconds().is_some());
    }
    let fixed = Arc::new(Request::new(Method::GET, "bare.localhost", "/", Vec::new(), String::new()));
    assert_eq!(run(&load(Protocol::Http1), &endpoint, &fixed).unwrap().operations(), 200);
}

#[test]
fn a_failure_is_told_and_a_refusal_is_counted_apart() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let failed = run(&load(protocol), &answering(500), &request()).unwrap();
        assert_eq!((failed.operations(), failed.failed, failed.failure.as_deref()), (0, 20, Some("500 {}")));
        let refused = run(&load(protocol), &answering(429), &request()).unwrap();
        assert_eq!((refused.operations(), refused.failed, refused.refusals.count()), (0, 0, 200));
    }
}

#[test]
fn something_is_always_asked_and_nobody_there_is_an_error() {
    let mut endpoint = answering(200);
    let short = Load { duration: Duration::ZERO, at_once: 1, ..load(Protocol::Http1) };
    assert_eq!(run(&short, &endpoint, &request()).unwrap().operations(), 1);
    "other.localhost".clone_into(&mut endpoint.name);
    assert!(matches!(run(&short, &endpoint, &request()), Err(MeasureError::Io { .. })), "its name is checked");
}

#[test]
fn one_answer_comes_with_its_headers() {
    let endpoint = answering(201);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(ask_once(&endpoint, &request())).unwrap();
    assert_eq!((answer.status, answer.body.as_ref()), (201, b"{}".as_slice()));
    assert_eq!(answer.headers, [("x-a".to_owned(), "1".to_owned())]);
}

#[test]
fn a_full_generator_before_an_idle_server_is_the_limit() {
    let outcome = |generator, server| Outcome {
        elapsed: Duration::from_secs(10),
        latencies: Latencies::default(),
        refusals: Latencies::default(),
        failed: 0,
        failure: None,
        server_time: Some(Duration::from_millis(server)),
        generator_time: Duration::from_millis(generator),
    };
    assert!(outcome(9600, 8000).is_of_the_generator());
    assert!(!outcome(9600, 8600).is_of_the_generator(), "both are full");
    assert!(!outcome(9000, 5000).is_of_the_generator(), "something else is the limit");
}
