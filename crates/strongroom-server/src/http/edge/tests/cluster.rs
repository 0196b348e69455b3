//! The edge of a node of a cluster: it answers only what it may.

use strongroom_cluster::{Identity, Layout, Node, SystemBootClock, Timing};
use strongroom_store::{Commit, Kv, MemoryStore, Outcome, Write};
use tokio::sync::Notify;

use super::*;
use crate::metrics::{MetricsPage, Sample};

const LAYOUT: Layout = Layout { on_demand: |_| false, incidental: |_| false };

/// A node that loads the engine and is not run yet.
async fn open(engine: &Arc<dyn Kv>, id: &str) -> Arc<Node> {
    let (id, start, name) = (id.to_owned(), "1".to_owned(), id.to_owned());
    let identity = Identity { id, start, name, release: "0".to_owned(), records: 1 };
    let (engine, clock) = (Arc::clone(engine), Arc::new(SystemBootClock));
    Node::open(engine, clock, identity, LAYOUT, Timing::default()).await.unwrap()
}

/// A node that serves.
async fn serving(engine: &Arc<dyn Kv>, id: &str, owner: &TaskOwner) -> Arc<Node> {
    let node = open(engine, id).await;
    let run = Arc::clone(&node);
    owner.tasks().spawn(async move { run.run().await });
    assert!(node.serving(Duration::from_secs(60)).await);
    node
}

/// A plane that says when it is at work, waits until it may go on, and commits.
struct Committer {
    node: Arc<Node>,
    at_work: Notify,
    go_on: Notify,
    committed: AtomicUsize,
}

#[async_trait]
impl Handle for Committer {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.at_work.notify_one();
        self.go_on.notified().await;
        let commit =
            Commit { preconditions: Vec::new(), writes: vec![Write::Put(inbound.path().to_owned(), Vec::new())] };
        match self.node.commit(commit).await {
            Ok(Outcome::Committed(_)) => {
                self.committed.fetch_add(1, Ordering::SeqCst);
                empty(StatusCode::CREATED)
            }
            Ok(Outcome::Conflict) | Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// A node behind an edge, and its plane.
struct Served {
    edge: Edge,
    plane: Arc<Committer>,
    node: Arc<Node>,
    observers: Observers,
    owner: TaskOwner,
    /// Of the nodes, which outlive the requests.
    nodes: TaskOwner,
}

async fn served(engine: &Arc<dyn Kv>) -> Served {
    let nodes = TaskOwner::new();
    let node = serving(engine, "a", &nodes).await;
    let (at_work, go_on, committed) = (Notify::new(), Notify::new(), AtomicUsize::new(0));
    let plane = Arc::new(Committer { node: Arc::clone(&node), at_work, go_on, committed });
    let (owner, observers) = (TaskOwner::new(), Observers::default());
    let edge = edge_over(Arc::clone(&plane) as Arc<dyn Handle>, &Arc::new(health_under("file")), &owner);
    let edge = edge.observed(&observers).of(Membership::of(Arc::clone(&node)));
    Served { edge, plane, node, observers, owner, nodes }
}

fn engine() -> Arc<dyn Kv> {
    Arc::new(MemoryStore::new())
}

fn post(path: &str) -> Request<Empty<Bytes>> {
    request(HSM, path).body(Empty::new()).unwrap()
}

async fn counted(observers: &Observers, reason: &str) -> bool {
    let page = MetricsPage::new(&observers.metrics, Box::new(|| Box::pin(std::future::ready(Sample::default()))), "0");
    let host =
        Arc::new(Host { plane: Plane::Monitoring, authority: "localhost".to_owned(), domain: "localhost".to_owned() });
    let asked = Inbound {
        id: Uuid::nil(),
        received: FixedClock.now(),
        peer: peer(),
        method: http::Method::GET,
        host,
        target: Target::new("/metrics", ""),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let page = page.handle(asked).await;
    body(page).await.contains(&format!("strongroom_cluster_requests_refused_total{{reason=\"{reason}\"}} 1\n"))
}

#[tokio::test]
async fn a_node_that_does_not_serve_hands_no_request_on_and_can_be_watched() {
    let Fixture { edge, plane, health, owner } = fixture();
    let (node, observers) = (open(&engine(), "a").await, Observers::default());
    let membership = Membership::of(node);
    let edge = edge.observed(&observers).of(membership.clone());
    let answer = edge.serve(post("/"), peer()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    assert!(body(answer).await.contains("\"NotServing\""));
    assert!(plane.seen.lock().unwrap().is_empty());
    assert!(counted(&observers, "NotServing").await);
    health.set(Phase::Ready);
    let question = Request::get("/health/live").header(header::HOST, "management.localhost");
    assert_eq!(edge.serve(question.body(Empty::<Bytes>::new()).unwrap(), peer()).await.status(), StatusCode::OK);
    let of = |planes| {
        let (clock, entropy) = (Arc::new(FixedClock), Arc::new(SystemEntropy));
        Edge::new(planes, Arc::clone(&health), clock, entropy, owner.tasks()).of(membership.clone())
    };
    let handle = || Arc::clone(&plane) as Arc<dyn Handle>;
    let monitoring = of(Planes::Monitoring(handle())).serve(post("/"), peer()).await;
    assert_eq!(monitoring.status(), StatusCode::OK);
    let metadata = of(Planes::Metadata(handle())).serve(post("/"), peer()).await;
    assert_eq!(metadata.status(), StatusCode::SERVICE_UNAVAILABLE, "it hands out tokens");
}

#[tokio::test]
async fn an_answer_is_withheld_if_the_node_stopped_serving_while_it_was_made() {
    let Served { edge, plane, node, observers, .. } = served(&engine()).await;
    let (answer, ()) = tokio::join!(edge.serve(post("/k"), peer()), async {
        plane.at_work.notified().await;
        node.stop();
        node.stopped().await;
        plane.go_on.notify_one();
    });
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER), "what it changes may be done");
    assert!(body(answer).await.contains("\"AnswerWithheld\""));
    assert!(counted(&observers, "Withheld").await);
    assert_eq!(plane.committed.load(Ordering::SeqCst), 0, "what began under old rights commits nothing");
}

#[tokio::test]
async fn requests_that_wait_for_each_others_nodes_are_answered() {
    let engine = engine();
    let Served { edge, plane, node, nodes, .. } = served(&engine).await;
    let other = serving(&engine, "b", &nodes).await;
    plane.go_on.notify_one();
    // Both hold tickets that are older than both commits: neither may wait for the other's.
    let held = other.begin().unwrap();
    let theirs = held.scope(async {
        let writes = vec![Write::Put("theirs".to_owned(), Vec::new())];
        other.commit(Commit { preconditions: Vec::new(), writes }).await
    });
    let (answer, theirs) = tokio::join!(edge.serve(post("/ours"), peer()), theirs);
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(matches!(theirs, Ok(Outcome::Committed(_))) && held.check().is_ok());
    assert!(other.get("/ours").await.unwrap().is_some());
    assert_eq!(node.status().tickets, 0, "it is given back");
}

#[tokio::test]
async fn a_request_keeps_its_ticket_although_its_client_has_gone() {
    let Served { edge, plane, node, owner, nodes: _nodes, .. } = served(&engine()).await;
    {
        let serving = std::pin::pin!(edge.serve(post("/k"), peer()));
        tokio::select! {
            _ = serving => panic!("it cannot be done yet"),
            () = plane.at_work.notified() => {}
        }
    }
    assert_eq!(node.status().tickets, 1);
    plane.go_on.notify_one();
    drop(edge);
    assert!(owner.stop(Duration::from_secs(60)).await, "a stop waits for it");
    assert_eq!((plane.committed.load(Ordering::SeqCst), node.status().tickets), (1, 0));
}
